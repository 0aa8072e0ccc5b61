//! Step `compile`: the objects of the backend and of the modules that are linked into it.

use anyhow::Result;

use super::{Build, Key, configure, hash};
use crate::paths::WORK;
use crate::process::Log;

/// Modules that are part of the main module: `(directory, library name)`. They are hot, and code in a side module
/// runs up to twice as slow. Each names its magic block and its initialiser alike, so they are renamed to
/// `library__symbol`, which is where the shim's `dlsym` looks.
const MODULES: &[(&str, &str)] =
    &[("src/pl/plpgsql/src", "plpgsql"), ("src/backend/snowball", "dict_snowball")];

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
        make -s -j{jobs} -C src/port libpgport_srv.a
        make -s -j{jobs} -C src/common libpgcommon_srv.a
        make -s -j{jobs} -C src/backend -f {WORK}/objects.mk pglite-objects\n",
        program_link = configure::program_link(),
    );
    for (dir, name) in modules() {
        // A stale archive would hide that its objects were made without the renaming.
        script += &format!(
            "make -s -j{jobs} -C {dir} all-static-lib \
             COPT='-DPg_magic_func={name}__Pg_magic_func -D_PG_init={name}___PG_init'\n"
        );
    }
    // The files initdb reads, see the step `share`.
    script += "make -s -C src/backend/snowball snowball_create.sql\n";
    script
}
