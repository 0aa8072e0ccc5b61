//! Steps `tools` and `tools-aot`: PostgreSQL's front-end tools as one program, which runs the one that `argv[0]`
//! names. They share nine tenths of their code, and no global name but `main`.

use anyhow::Result;

use super::{Build, Key, aot, configure, flags, hash, link};
use crate::paths::WORK;
use crate::process::Log;

/// Directory, programs, and the objects beside those: what the makefiles there call `OBJS`.
const PROGRAMS: &[(&str, &[&str], &[&str])] = &[
    (
        "src/bin/pg_dump",
        &["pg_dump", "pg_restore", "pg_dumpall"],
        &[
            "common",
            "compress_gzip",
            "compress_io",
            "compress_lz4",
            "compress_none",
            "compress_zstd",
            "dumputils",
            "filter",
            "parallel",
            "pg_backup_archiver",
            "pg_backup_custom",
            "pg_backup_db",
            "pg_backup_directory",
            "pg_backup_null",
            "pg_backup_tar",
            "pg_backup_utils",
            "pg_dump_sort",
        ],
    ),
    (
        "src/bin/psql",
        // psql's main is in here, and there is no object of its own name.
        &["startup"],
        &[
            "command",
            "common",
            "copy",
            "crosstabview",
            "describe",
            "help",
            "input",
            "large_obj",
            "mainloop",
            "prompt",
            "psqlscanslash",
            "sql_help",
            "stringutils",
            "tab-complete",
            "variables",
        ],
    ),
];

/// Libraries of PostgreSQL. The first of each pair is what libpq is made with: it has names of encodings that libpq
/// does not share with the programs where it is a shared library, which it is not here.
const LIBRARIES: &[&str] = &[
    "src/fe_utils/libpgfeutils.a",
    "src/interfaces/libpq/libpq.a",
    "src/common/libpgcommon_shlib.a",
    "src/common/libpgcommon.a",
    "src/port/libpgport_shlib.a",
    "src/port/libpgport.a",
];

const REQUIRED_EXPORTS: &[&str] =
    &["__c_longjmp", "__stack_pointer", "_initialize", "memory", "pgl_child", "pgl_main"];

/// libpq is bitcode here (see the step `compile`), so that the linker is who makes code of it, and has to know how setjmp
/// is compiled.
const LTO: &str = "-Wl,-mllvm,-wasm-enable-sjlj -Wl,-mllvm,-wasm-use-legacy-eh=false";

/// What `assets/wasix/tools/stream.c` puts in the place of libc's.
const WRAP: &str = "-Wl,--wrap=fdopen";

/// They wait for the database and the disk: a small program is worth more than a fast one.
const WASM_OPT: &str = "-O2 --skip-pass=memory-packing";

pub(crate) fn key(build: &Build) -> Result<Key> {
    Ok(Key::new("tools")
        .text("compile", &super::compile::key(build)?.finish())
        .text("shim", &super::shim::key(build)?.finish())
        .text("script", &script(1)))
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    hash::empty_dir(&build.paths.work("tools"))?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    log.run(&mut build.chroot().script(&script(jobs)))?;
    let bytes = hash::read(&build.paths.work("tools/tools.wasm"))?;
    link::check("tools.wasm", &bytes, REQUIRED_EXPORTS)?;
    hash::write_file(&build.paths.out("tools.wasm"), &bytes)
}

pub(crate) fn aot_key(build: &Build) -> Result<Key> {
    aot::key_of(build, &build.paths.out("tools.wasm"))
}

pub(crate) fn aot_run(build: &Build, log: &mut Log) -> Result<()> {
    aot::make(build, log, &build.paths.out("tools.wasm"), &artifact(build))
}

/// Where the artifact goes.
pub(crate) fn artifact(build: &Build) -> std::path::PathBuf {
    aot::artifact_of(build, "tools.elf")
}

fn script(jobs: usize) -> String {
    let mut script = format!(
        "cd {WORK}/obj
        {program_link}
        make -s -j{jobs} -C src/port libpgport.a
        make -s -j{jobs} -C src/common libpgcommon.a
        make -s -j{jobs} -C src/fe_utils libpgfeutils.a\n",
        program_link = configure::program_link(),
    );
    let mut objects = String::new();
    for (dir, programs, others) in PROGRAMS {
        for program in *programs {
            let name = if *program == "startup" { "psql" } else { program };
            script += &format!("make -s -C {dir} {program}.o COPT=-Dmain={name}_main\n");
            objects += &format!(" {dir}/{program}.o");
        }
        let others: Vec<String> = others.iter().map(|name| format!("{name}.o")).collect();
        script += &format!("make -s -j{jobs} -C {dir} {}\n", others.join(" "));
        for object in others {
            objects += &format!(" {dir}/{object}");
        }
    }
    let exports: String =
        flags::EXPORTS.iter().map(|name| format!(" -Wl,--export={name}")).collect();
    script
        + &format!(
            "unset PROGRAM_LINK
        echo __wasm_longjmp > {WORK}/tools/late
        for file in main command stream terminal; do
            {cc} {optimize} -D_GNU_SOURCE -Wall -c {WORK}/wasix/tools/$file.c -o {WORK}/tools/$file.o
        done
        {cc} {optimize} -o {WORK}/tools/linked.wasm {WORK}/tools/*.o {objects} {postgres} \
            {WORK}/shim/setjmp.obj -L{WORK}/shim -lpglite {link} {LTO} {WRAP} {exports} {compression} {libraries} \
            -Wl,--allow-undefined-file={WORK}/tools/late
        cd {WORK}/tools
        wasm-as --all-features {WORK}/wasix/longjmp/longjmp.wat -o longjmp.wasm
        wasm-merge --all-features -g linked.wasm main longjmp.wasm env -o merged.wasm
        wasm-opt --all-features -g {WASM_OPT} merged.wasm -o tools.debug.wasm
        wasm-opt --all-features {strip} tools.debug.wasm -o tools.wasm",
            cc = flags::CC,
            optimize = flags::OPTIMIZE,
            postgres = LIBRARIES.join(" "),
            link = flags::LINK.join(" "),
            compression = flags::COMPRESSION.join(" "),
            libraries = flags::LIBRARIES.join(" "),
            strip = flags::STRIP.join(" "),
        )
}
