//! Step `icu`: ICU's libraries, as far as PostgreSQL's collations need them, and without their data.

use anyhow::Result;

use super::super::sources::ICU;
use super::super::{Build, Key, flags, hash};
use super::{OURS, SOURCES, unpack};
use crate::paths::WORK;
use crate::process::Log;

/// Beside `SOURCES`.
const OBJECTS: &str = "icu/objects";

/// What PostgreSQL is compiled against.
pub(crate) const INCLUDE: &str = "icu/include";

/// Of `i18n`: collation. The rest (calendars, formats, transliteration, regular expressions) nobody would call.
const I18N: &str = "bocsu coleitr coll collation* rulebasedcollator sortkey ucln_in ucol* uitercollationiterator \
     utf16collationiterator utf8collationiterator";

/// No exceptions: nothing here throws any. With run-time types, which ICU compares objects by. Its data are files: it
/// finds none linked in, so looks where it was told to.
fn compile_flags() -> String {
    format!(
        "-O2 -std=c++17 -fno-exceptions -fvisibility=hidden -w -DU_STATIC_IMPLEMENTATION -DU_ENABLE_DYLOAD=0 \
         -DU_CHARSET_IS_UTF8=1 -DU_HAVE_TZSET=0 -DU_HAVE_TIMEZONE=0 -DU_HAVE_TZNAME=0 -DUCONFIG_NO_SERVICE=1 \
         -DUCONFIG_NO_TRANSLITERATION=1 -DUCONFIG_NO_REGULAR_EXPRESSIONS=1 \
         '-DICU_DATA_DIR=\"{}\"'",
        data_dir()
    )
}

/// Where ICU looks for its data.
pub(crate) fn data_dir() -> String {
    format!("{}/{}", flags::PREFIX, super::icu_data::DIR)
}

pub(crate) fn key(build: &Build) -> Result<Key> {
    Key::new("icu")
        .text("sysroot", &super::super::sysroot::key(build)?.finish())
        .text("tools", &build.lock.tools_text())
        .text("compiler", &flags::cxx_script())
        .text("source", &build.lock.source(ICU)?.sha256)
        .text("script", &script(1))
        .dir("include", &build.paths.repo("assets/wasix/include"))?
        .dir("ours", &build.paths.repo(OURS).join(ICU))
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    hash::empty_dir(&build.paths.work("icu"))?;
    unpack(build, log, ICU, SOURCES)?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    log.run(&mut build.chroot().script(&script(jobs)))
}

fn script(jobs: usize) -> String {
    format!(
        "cd {WORK}/{SOURCES}/{ICU}/source
        mkdir -p {WORK}/{INCLUDE}/unicode {WORK}/icu/lib {WORK}/{OBJECTS}/uc {WORK}/{OBJECTS}/i18n
        cp common/unicode/*.h i18n/unicode/*.h {WORK}/{INCLUDE}/unicode/
        compile() {{
            xargs -n1 -P{jobs} sh -euc '
                exec {cxx} {flags} -I{WORK}/{SOURCES}/{ICU}/include -Icommon -Ii18n $1 -c $2 \
                    -o {WORK}/{OBJECTS}/$0/$(basename $2 .cpp).o' $1 $2
            rm -f {WORK}/icu/lib/libicu$1.a
            llvm-ar-22 rcsD {WORK}/icu/lib/libicu$1.a {WORK}/{OBJECTS}/$1/*.o
        }}
        ls common/*.cpp stubdata/stubdata.cpp | compile uc -DU_COMMON_IMPLEMENTATION
        for name in {I18N}; do ls i18n/$name.cpp; done | compile i18n -DU_I18N_IMPLEMENTATION",
        cxx = flags::CXX,
        flags = compile_flags().replace('\'', "'\\''"),
    )
}
