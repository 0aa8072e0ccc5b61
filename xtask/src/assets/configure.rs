//! Step `configure`: Postgres' own, for our target.

use anyhow::Result;

use super::{Build, Key, flags, hash};
use crate::paths::WORK;
use crate::process::Log;

pub(crate) fn key(build: &Build) -> Result<Key> {
    let work = |path: &str| build.paths.work(path);
    let mut key = Key::new("configure")
        .text("sysroot", &super::sysroot::key(build)?.finish())
        .text("libraries", &super::libraries::key(build)?.finish())
        .text("tools", &build.lock.tools_text())
        .text("script", &script())
        .text("compiler", &flags::compiler_script())
        .dir("include", &build.paths.repo("assets/wasix/include"))?;
    let headers = work(super::libraries::icu::INCLUDE);
    if headers.exists() {
        key = key.dir("icu", &headers)?;
    }
    // The tests ask which functions there are, not what they do: another body is no reason to configure again.
    for file in ["shim/defined", "shim/undefined", "pg/configure", "pg/src/template/wasix"] {
        if work(file).exists() {
            key = key.file(file, &work(file))?;
        }
    }
    Ok(key)
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    hash::empty_dir(&build.paths.work("obj"))?;
    log.run(&mut build.chroot().script(&script()))
}

/// What a whole program needs, for `configure`'s tests and for the `zic` that comes with the backend's objects.
pub(crate) fn program_link() -> String {
    format!(
        "export PROGRAM_LINK='{WORK}/shim/setjmp.obj -L{WORK}/shim -lpglite \
         -Wl,--allow-undefined-file={WORK}/shim/undefined {}'",
        flags::LIBRARIES.join(" ")
    )
}

fn script() -> String {
    format!(
        "cd {WORK}/obj
        export CC={cc} CFLAGS={optimize} AR=llvm-ar-22 RANLIB=llvm-ranlib-22 NM=llvm-nm-22 LD=wasm-ld-22
        {program_link}
        export {cache}
        export {libraries}
        {WORK}/pg/configure --prefix={prefix} {options}
        # configure knows two kinds of semaphores and of shared memory; ours are neither.
        ln -sf {WORK}/pg/src/backend/port/wasix_sema.c src/backend/port/pg_sema.c
        ln -sf {WORK}/pg/src/backend/port/wasix_shmem.c src/backend/port/pg_shmem.c",
        program_link = program_link(),
        cc = flags::CC,
        optimize = flags::OPTIMIZE,
        libraries = flags::CONFIGURE_LIBRARIES,
        cache = flags::CONFIGURE_CACHE.join(" "),
        prefix = flags::PREFIX,
        options = flags::CONFIGURE.join(" "),
    )
}
