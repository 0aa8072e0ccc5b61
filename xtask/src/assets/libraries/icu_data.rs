//! Step `icu-data`: what collations need of ICU's data, as files of the installation.
//!
//! ICU's tarball has the data of all its services as one file. As files of their own, each is read when it is needed:
//! the order of a language costs a session only that language.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use super::super::sources::ICU;
use super::super::{Build, Key, hash};
use super::{SOURCES, unpack};
use crate::process::Log;

/// In the installation.
pub(crate) const DIR: &str = "share/icu";

/// By directory of ICU's data, what is taken: patterns with at most one `*`, and commas between them.
const FILES: &[(&str, &str)] = &[
    // Locales that there are, their other names, the keys and values in them; names of converters.
    (
        "",
        "cnvalias.icu,icustd.res,icuver.res,keyTypeData.res,langInfo.res,metadata.res,res_index.res",
    ),
    // Converters between UTF-16 and the encodings that a database can have, by ICU's own names.
    ("", CONVERTERS),
    ("coll", "*.res,ucadata.icu"),
    // Where words begin: initcap.
    ("brkitr", "*.res,word*.brk"),
    // English names of languages and countries: comments of collations.
    ("lang", "en.res,pool.res,res_index.res,root.res"),
    ("region", "en.res,pool.res,res_index.res,root.res"),
];

/// In the order of `pg_enc2icu_tbl`, which has other names for them.
const CONVERTERS: &str = "euc-jp-2007.cnv,ibm-1383_P110-1999.cnv,ibm-970_P110_P110-2006_U2.cnv,euc-tw-2014.cnv,\
     ibm-912_P100-1995.cnv,ibm-913_P100-2000.cnv,ibm-914_P100-1995.cnv,ibm-920_P100-1995.cnv,iso-8859_10-1998.cnv,\
     ibm-921_P100-1995.cnv,iso-8859_14-1998.cnv,ibm-923_P100-1998.cnv,ibm-9448_X100-2005.cnv,ibm-5354_P100-1998.cnv,\
     ibm-866_P100-1995.cnv,ibm-878_P100-1996.cnv,ibm-5347_P100-1998.cnv,ibm-5348_P100-1997.cnv,ibm-915_P100-1995.cnv,\
     ibm-1089_P100-1995.cnv,ibm-9005_X110-2007.cnv,ibm-5012_P100-1999.cnv,ibm-5346_P100-1998.cnv,\
     ibm-5349_P100-1998.cnv,ibm-5350_P100-1998.cnv,ibm-9447_P100-2002.cnv,ibm-9449_P100-2002.cnv,\
     ibm-1168_P100-2002.cnv";

pub(crate) fn key(build: &Build) -> Result<Key> {
    Ok(Key::new("icu-data")
        .text("source", &build.lock.source(ICU)?.sha256)
        .text("files", &format!("{DIR} {FILES:?}")))
}

/// An installation with nothing but the data.
pub(crate) fn dir(build: &Build) -> PathBuf {
    build.paths.out("icu")
}

pub(crate) fn run(build: &Build, log: &mut Log) -> Result<()> {
    let source = build.paths.work(SOURCES).join(ICU).join("source/data/in");
    if !source.exists() {
        unpack(build, log, ICU, SOURCES)?;
    }
    let mut packages = hash::files(&source)?;
    packages.retain(|file| file.extension().is_some_and(|ending| ending == "dat"));
    let [package] = packages.as_slice() else {
        bail!("{} has not one package of data, but {}", source.display(), packages.len());
    };
    let bytes = hash::read(&source.join(package))?;
    let items = items(&bytes).with_context(|| package.display().to_string())?;
    let out = dir(build);
    hash::empty_dir(&out)?;
    let mut taken = 0;
    for (directory, patterns) in FILES {
        for pattern in patterns.split(',') {
            let mut found = false;
            for (name, content) in &items {
                if matches(name, directory, pattern) {
                    hash::write_file(&out.join(DIR).join(name), content)?;
                    taken += content.len();
                    found = true;
                }
            }
            if !found {
                bail!("ICU's data have no {directory}/{pattern}");
            }
        }
    }
    log.note(&format!("{taken} bytes of {}", bytes.len()))
}

/// Does a name of the package, `icudt76l/coll/de.res`, fit?
fn matches(name: &str, directory: &str, pattern: &str) -> bool {
    let Some((_, path)) = name.split_once('/') else { return false };
    let (found, file) = path.rsplit_once('/').unwrap_or(("", path));
    found == directory
        && match pattern.split_once('*') {
            Some((start, end)) => {
                file.len() >= start.len() + end.len()
                    && file.starts_with(start)
                    && file.ends_with(end)
            }
            None => file == pattern,
        }
}

/// What is in a package of ICU's data, `unicode/udata.h` and its tool `icupkg`: a header, whose length is its first
/// 16 bits, and from there a count, for each item the places of its name and of its content, and these.
fn items(package: &[u8]) -> Result<Vec<(String, &[u8])>> {
    const FORMAT: &[u8] = b"CmnD";
    let header = usize::from(u16::from_le_bytes(array(package, 0)?));
    if package.get(12..16) != Some(FORMAT) {
        bail!("not a package of ICU's data for little-endian machines");
    }
    let body = package.get(header..).context("a header longer than the file")?;
    let number =
        |at: usize| -> Result<usize> { Ok(usize::try_from(u32::from_le_bytes(array(body, at)?))?) };
    let count = number(0)?;
    let mut items = Vec::new();
    for item in 0..count {
        let name = body.get(number(4 + 8 * item)?..).context("a name beyond the end")?;
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        let start = number(8 + 8 * item)?;
        let end = if item + 1 < count { number(16 + 8 * item)? } else { body.len() };
        let content = body.get(start..end).context("an item beyond the end")?;
        items.push((String::from_utf8(name.to_vec())?, content));
    }
    Ok(items)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let part = bytes.get(at..at + N).context("a package of data that was cut off")?;
    Ok(part.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_taken_apart() {
        let mut package = vec![16, 0, 0xda, 0x27, 20, 0, 0, 0, 0, 0, 2, 0];
        package.extend(b"CmnD");
        // Names at 20 and 24, contents at 28 and 30.
        for number in [2u32, 20, 28, 24, 30] {
            package.extend(number.to_le_bytes());
        }
        package.extend(b"x/a\0x/b\0AABBB");
        let found = items(&package).expect("a package");
        assert_eq!(found, [("x/a".to_owned(), &b"AA"[..]), ("x/b".to_owned(), &b"BBB"[..])]);
        assert!(items(&package[..24]).is_err());
    }

    #[test]
    fn patterns_are_of_one_directory() {
        assert!(matches("icudt76l/coll/de.res", "coll", "*.res"));
        assert!(matches("icudt76l/brkitr/word_fi_sv.brk", "brkitr", "word*.brk"));
        assert!(matches("icudt76l/cnvalias.icu", "", "cnvalias.icu"));
        assert!(!matches("icudt76l/de.res", "coll", "*.res"));
        assert!(!matches("icudt76l/coll/de.res", "", "*.res"));
    }
}
