//! What the makefile of an extension of others asks for: headers, PostgreSQL's rules, and `pg_config`.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result};

use super::super::sources::POSTGRES;
use super::super::{Build, flags, hash};
use crate::paths::WORK;

/// The program on the search path.
pub(super) const PG_CONFIG: &str = "wasm32-pg-config";

/// Headers and rules, installed as the guest's prefix below this directory.
const DIR: &str = "sdk";

/// Part of a script, after PostgreSQL was compiled.
pub(super) fn install() -> String {
    format!(
        "rm -rf {WORK}/{DIR}
        for dir in src/include src/makefiles config; do make -s -C {WORK}/obj/$dir install DESTDIR={WORK}/{DIR}; done
        make -s -C {WORK}/obj/src install-local DESTDIR={WORK}/{DIR}\n"
    )
}

/// Headers and rules are found where they are, files go to where the guest has them (below `DESTDIR`).
pub(super) fn pg_config(version: &str) -> String {
    let (prefix, sdk) = (flags::PREFIX, format!("{WORK}/{DIR}{}", flags::PREFIX));
    let answers = [
        ("--version", format!("PostgreSQL {version}")),
        ("--bindir", format!("{prefix}/bin")),
        ("--libdir", format!("{prefix}/lib")),
        ("--pkglibdir", format!("{prefix}/lib/postgresql")),
        ("--sharedir", format!("{prefix}/share/postgresql")),
        ("--docdir", format!("{prefix}/share/doc/postgresql")),
        ("--htmldir", format!("{prefix}/share/doc/postgresql")),
        ("--mandir", format!("{prefix}/share/man")),
        ("--localedir", format!("{prefix}/share/locale")),
        ("--sysconfdir", format!("{prefix}/etc/postgresql")),
        ("--includedir", format!("{sdk}/include")),
        ("--pkgincludedir", format!("{sdk}/include/postgresql")),
        ("--includedir-server", format!("{sdk}/include/postgresql/server")),
        ("--pgxs", format!("{sdk}/lib/postgresql/pgxs/src/makefiles/pgxs.mk")),
        ("--cc", flags::CC.to_owned()),
    ];
    let cases: String =
        answers.iter().map(|(ask, answer)| format!("    {ask}) echo '{answer}' ;;\n")).collect();
    format!(
        "#!/bin/sh\ncase \"$1\" in\n{cases}    *) echo \"no answer to $1\" >&2; exit 1 ;;\nesac\n"
    )
}

pub(super) fn write_pg_config(build: &Build) -> Result<()> {
    let path = build.paths.work("bin").join(PG_CONFIG);
    let version = &build.lock.source(POSTGRES)?.version;
    hash::write_file(&path, pg_config(version).as_bytes())?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))
}
