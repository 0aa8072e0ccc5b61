//! Step `compile`: the objects of the backend and of the modules that are linked into it.

use anyhow::Result;

use super::{Build, Key, configure, flags, hash};
use crate::paths::WORK;
use crate::process::Log;

/// Modules that are part of the main module: `(directory, library name)`. Code in a side module runs up to twice as
/// slow, and replication needs its modules in every database. Each names its magic block and its initialiser alike, so
/// they are renamed to `library__symbol`, which is where the shim's `dlsym` looks.
const MODULES: &[(&str, &str)] = &[
    ("src/pl/plpgsql/src", "plpgsql"),
    ("src/backend/snowball", "dict_snowball"),
    ("src/backend/replication/libpqwalreceiver", "libpqwalreceiver"),
    ("src/backend/replication/pgoutput", "pgoutput"),
];

/// The encoding conversions, each a module in a directory of its own below [`CONVERSIONS_DIR`]. A new one also needs
/// its line in assets/wasix/conversions.h.
pub(crate) const CONVERSIONS: &[&str] = &[
    "cyrillic_and_mic",
    "euc2004_sjis2004",
    "euc_cn_and_mic",
    "euc_jp_and_sjis",
    "euc_kr_and_mic",
    "euc_tw_and_big5",
    "latin2_and_win1250",
    "latin_and_mic",
    "utf8_and_big5",
    "utf8_and_cyrillic",
    "utf8_and_euc2004",
    "utf8_and_euc_cn",
    "utf8_and_euc_jp",
    "utf8_and_euc_kr",
    "utf8_and_euc_tw",
    "utf8_and_gb18030",
    "utf8_and_gbk",
    "utf8_and_iso8859",
    "utf8_and_iso8859_1",
    "utf8_and_johab",
    "utf8_and_sjis",
    "utf8_and_sjis2004",
    "utf8_and_uhc",
    "utf8_and_win",
];

const CONVERSIONS_DIR: &str = "src/backend/utils/mb/conversion_procs";

/// All that is linked in as if it were a module: directory and library name.
pub(crate) fn modules() -> impl Iterator<Item = (String, &'static str)> {
    let hot = MODULES.iter().map(|(dir, name)| ((*dir).to_owned(), *name));
    hot.chain(CONVERSIONS.iter().map(|name| (format!("{CONVERSIONS_DIR}/{name}"), *name)))
}

/// The objects that Postgres' own link of `postgres` would take, one a line.
pub(crate) const OBJECTS: &str = "obj/backend.objects";

/// libpq, for modules that are clients of other servers.
pub(crate) const LIBPQ: &str = "obj/libpq.o";

/// Asks the backend's makefile for its objects: what `postgres` depends on.
const OBJECTS_MAKEFILE: &str = "\
include Makefile
pglite-objects: $(OBJS)
\t@printf '%s\\n' $(call expand_subsys,$^) > $(top_builddir)/backend.objects
";

pub(crate) fn key(build: &Build) -> Result<Key> {
    let mut key = Key::new("compile")
        .text("configure", &configure::key(build)?.finish())
        .text("tree", &super::tree::key(build)?.finish())
        .text("script", &script(1))
        .text("makefile", OBJECTS_MAKEFILE);
    let config = build.paths.work("obj/src/include/pg_config.h");
    if config.exists() {
        key = key.file("pg_config.h", &config)?;
    }
    Ok(key)
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    hash::write_file(&build.paths.work("objects.mk"), OBJECTS_MAKEFILE.as_bytes())?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    log.run(&mut build.chroot().script(&script(jobs)))
}

fn script(jobs: usize) -> String {
    let mut script = format!(
        "cd {WORK}/obj
        {program_link}
        make -s -C src/backend generated-headers
        {libpq}
        make -s -j{jobs} -C src/port libpgport_srv.a
        make -s -j{jobs} -C src/common libpgcommon_srv.a
        make -s -j{jobs} -C src/backend -f {WORK}/objects.mk pglite-objects
        {internal_libpq}\n",
        program_link = configure::program_link(),
        libpq = libpq_script(jobs),
        internal_libpq = internal_libpq_script(),
    );
    for (dir, name) in modules() {
        // A stale archive would hide that its objects were made without the renaming.
        script += &format!(
            "make -s -j{jobs} -C {dir} all-static-lib \
             SHLIB_PREREQS= COPT='-DPg_magic_func={name}__Pg_magic_func -D_PG_init={name}___PG_init \
             -D_PG_output_plugin_init={name}___PG_output_plugin_init'\n"
        );
    }
    // The files initdb reads, see the step `share`.
    script += "make -s -C src/backend/snowball snowball_create.sql\n";
    script
}

/// libpq as bitcode, with what it needs of the two libraries below it. Before all else: other targets would make the
/// same objects on the way, without `-flto`.
fn libpq_script(jobs: usize) -> String {
    let make = format!("make -s -j{jobs} COPT=-flto PTHREAD_CFLAGS= SHLIB_PREREQS=");
    format!(
        "{make} -C src/port libpgport_shlib.a
        {make} -C src/common libpgcommon_shlib.a
        {make} -C src/interfaces/libpq all-static-lib
        llvm-link-22 src/interfaces/libpq/libpq.a src/common/libpgcommon_shlib.a \
            src/port/libpgport_shlib.a -o libpq.all.bc"
    )
}

/// libpq brings copies of its own of much that the backend has too, under the same names and made for frontends. In
/// WebAssembly all is one program, so these must become local to libpq. No tool does that to an object file, but LLVM
/// does it to bitcode: everything is internalised but libpq's interface. Of that, the few functions that the backend
/// exports as well are the backend's, as they are with a shared libpq.
fn internal_libpq_script() -> String {
    format!(
        "(cd src/backend; llvm-nm-22 -g --defined-only --format=just-symbols --no-sort $(cat {WORK}/{OBJECTS})) |
            grep -v -e ':$' -e '^$' | sort -u > backend.symbols
        awk '!/^#/ && NF {{ print $1 }}' {WORK}/pg/src/interfaces/libpq/exports.txt | sort -u |
            comm -23 - backend.symbols > libpq.symbols
        opt-22 -passes=internalize,globaldce -internalize-public-api-file=libpq.symbols libpq.all.bc -o libpq.bc
        {cc} {optimize} -c libpq.bc -o {WORK}/{LIBPQ}",
        cc = flags::CC,
        optimize = flags::OPTIMIZE,
    )
}
