//! Step `shim`: `assets/wasix/*.c` as `libpglite.a`, and the setjmp half of the longjmp replacement.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result};

use super::{Build, Key, flags, hash};
use crate::paths::WORK;
use crate::process::Log;

pub(crate) fn key(build: &Build) -> Result<Key> {
    Key::new("shim")
        .text("sysroot", &super::sysroot::key(build)?.finish())
        .text("tools", &build.lock.tools_text())
        .text("compiler", &[flags::compiler_script(), flags::cxx_script()].concat())
        .text("optimize", flags::OPTIMIZE)
        .text("script", SCRIPT)
        .dir("wasix", &build.paths.repo("assets/wasix"))
}

const SCRIPT: &str = r#"
for file in *.c; do
    "$CC" "$OPTIMIZE" -D_GNU_SOURCE -Wall -c "$file" -o "../shim/${file%.c}.o"
done
cd ../shim
llvm-ar-22 rcsD libpglite.a *.o
"$CC" -mexception-handling -mreference-types -c ../wasix/longjmp/setjmp.s -o setjmp.obj

# What the kernel, Postgres or longjmp.wat provide. configure's tests link the shim without them, so they must be
# allowed to be missing there: all that the library and libc leave open, but the imports and the linker's own names.
llvm-nm-22 -u libpglite.a 2>/dev/null | awk 'NF == 2 { print $2 }' | sort -u > wanted
llvm-nm-22 --defined-only -g libpglite.a ../sysroot/lib/*/*.a 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u > found
comm -23 wanted found | grep -v -E '^(k_|__indirect_function_table$|__stack_pointer$|__tls_base$)' > undefined
echo __wasm_longjmp >> undefined
llvm-nm-22 --defined-only -g libpglite.a 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u > defined
"#;

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    hash::mirror(&build.paths.repo("assets/wasix"), &build.paths.work("wasix"))?;
    hash::empty_dir(&build.paths.work("shim"))?;
    write_compiler(build)?;
    log.run(&mut build.chroot().script(&format!(
        "CC={}; OPTIMIZE={}; cd {WORK}/wasix\n{SCRIPT}",
        flags::CC,
        flags::OPTIMIZE
    )))
}

fn write_compiler(build: &Build) -> Result<()> {
    for (name, script) in [(flags::CC, flags::compiler_script()), (flags::CXX, flags::cxx_script())]
    {
        let path = build.paths.work("bin").join(name);
        hash::write_file(&path, script.as_bytes())?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {} executable", path.display()))?;
    }
    Ok(())
}
