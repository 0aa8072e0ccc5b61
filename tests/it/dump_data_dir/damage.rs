//! Archives that are damaged, of something else, or made to do harm.

use std::path::PathBuf;

use pglite_oxide::LoadError;
use tar::{Builder, EntryType, Header};

use super::*;

/// What loading says, to memory and to a directory, in which nothing stays.
fn refused(archive: &[u8]) -> LoadError {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let in_directory = Pglite::builder().path(&path).load_data_dir(archive);
    let Err(Error::Load(error)) = in_directory else { panic!("{in_directory:?}") };
    if path.exists() {
        assert_eq!(names(&path), ["pglite-oxide.lock"]);
        // It can be used for something else.
        if matches!(error, LoadError::Incompatible { .. }) {
            Pglite::open(&path).unwrap();
        }
    }
    assert!(!error.to_string().is_empty());
    match Pglite::load_data_dir(archive) {
        Err(Error::Load(again)) => assert_eq!(again.to_string(), error.to_string()),
        other => panic!("{other:?}"),
    }
    error
}

/// Some places in `len` bytes, the ends among them.
fn places(len: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..=count).map(move |at| (len - 1) * at / count)
}

#[test]
fn truncated_archives() {
    let db = temporary();
    let plain = dumped(&db, DumpFormat::Tar);
    // At the border of an entry too.
    let mut starts = Vec::new();
    let mut archive = tar::Archive::new(&plain[..]);
    for entry in archive.entries().unwrap() {
        starts.push(entry.unwrap().raw_header_position() as usize);
    }
    let last = plain.len() - 1024;
    let borders = [starts[1], starts[starts.len() / 2], starts[starts.len() - 1], last];
    for len in places(plain.len(), 9).chain(borders).filter(|len| *len >= 512) {
        // One block of zeros is enough of an end.
        if len >= last + 512 {
            continue;
        }
        let error = refused(&plain[..len]);
        assert!(matches!(error, LoadError::Truncated), "{len}: {error:?}");
    }
    let packed = dumped(&db, DumpFormat::TarZst);
    for len in places(packed.len(), 9).filter(|len| *len > 512) {
        let error = refused(&packed[..len]);
        assert!(matches!(error, LoadError::Truncated), "{len}: {error:?}");
    }
    for nothing in [&b""[..], &plain[..100], b"-- PostgreSQL database dump\n", &[0; 2000]] {
        assert!(matches!(refused(nothing), LoadError::NotAnArchive));
    }
}

/// Every bit of the files, and of what describes them.
#[test]
fn changed_bits() {
    let mut db = temporary();
    db.exec("CREATE TABLE item AS SELECT generate_series(1, 1000) AS id").unwrap();
    for format in FORMATS {
        let mut archive = dumped(&db, format);
        for at in places(archive.len() - 1024, 25) {
            archive[at] ^= 0x10;
            match Pglite::load_data_dir(&archive[..]) {
                Err(Error::Load(error)) => assert!(
                    matches!(
                        error,
                        LoadError::Damaged { .. } | LoadError::Truncated | LoadError::NotAnArchive
                    ),
                    "{format:?} {at}: {error:?}"
                ),
                // Of what fills up a block: nothing that is read.
                Ok(mut copy) => assert_eq!(text(&mut copy, "SELECT count(*) FROM item"), "1000"),
                other => panic!("{format:?} {at}: {other:?}"),
            }
            archive[at] ^= 0x10;
        }
    }
}

/// An archive with one entry, made without the checks of the program that makes it.
fn one(name: &[u8], kind: EntryType, target: Option<&str>, size: u64) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    if let Some(target) = target {
        header.set_link_name_literal(target).unwrap();
    }
    header.set_cksum();
    let mut builder = Builder::new(Vec::new());
    builder.append(&header, &b"evil"[..size.min(4) as usize]).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn hostile_entries() {
    use EntryType as Kind;
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    let absolute = victim.to_str().unwrap().to_owned();
    let cases: &[(&[u8], Kind, Option<&str>)] = &[
        (b"../victim", Kind::Regular, None),
        (b"base/../../victim", Kind::Regular, None),
        (b"..", Kind::Directory, None),
        (absolute.as_bytes(), Kind::Regular, None),
        (b"/", Kind::Directory, None),
        (b"base/1\xff", Kind::Regular, None),
        (b".", Kind::Regular, None),
        (b"pg_tblspc/1", Kind::Symlink, Some("/etc")),
        (b"base", Kind::Symlink, Some("../..")),
        (b"passwd", Kind::Link, Some("/etc/passwd")),
        (b"null", Kind::Char, None),
        (b"disk", Kind::Block, None),
        (b"pipe", Kind::Fifo, None),
        (b"holes", Kind::GNUSparse, None),
        (b"what", Kind::new(b'Z'), None),
    ];
    for (name, kind, target) in cases {
        let size = if *kind == Kind::Regular { 4 } else { 0 };
        let error = refused(&one(name, *kind, *target, size));
        let LoadError::Forbidden { path, .. } = &error else { panic!("{name:?}: {error:?}") };
        assert_eq!(*path, String::from_utf8_lossy(name));
    }
    assert!(!victim.exists());
}

#[test]
fn names_that_meet() {
    let mut builder = Builder::new(Vec::new());
    let mut add = |name: &str| {
        let mut header = Header::new_gnu();
        header.set_size(1);
        builder.append_data(&mut header, name, &b"x"[..]).unwrap();
    };
    add("base");
    add("base/1/1259");
    let archive = builder.into_inner().unwrap();
    assert!(matches!(refused(&archive), LoadError::Forbidden { .. }));

    let mut builder = Builder::new(Vec::new());
    for _ in 0..2 {
        let mut header = Header::new_gnu();
        header.set_size(1);
        builder.append_data(&mut header, "PG_VERSION", &b"x"[..]).unwrap();
    }
    assert!(matches!(refused(&builder.into_inner().unwrap()), LoadError::Forbidden { .. }));
}

/// Sizes that are not those of what follows take no memory.
#[test]
fn sizes_that_lie() {
    for size in [5000, u64::MAX / 4, u64::MAX - 5] {
        for kind in [EntryType::Regular, EntryType::GNULongName, EntryType::XHeader] {
            let error = refused(&one(b"base", kind, None, size));
            assert!(
                matches!(error, LoadError::Truncated | LoadError::Damaged { .. }),
                "{size} {kind:?}: {error:?}"
            );
        }
    }
}

#[test]
fn long_names_and_extended_headers() {
    let archive = dumped(&temporary(), DumpFormat::Tar);
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(130));
    let mut files = files(&archive);
    files.insert(long.clone(), b"long".to_vec());
    let dir = tempfile::tempdir().unwrap();
    drop(Pglite::builder().path(dir.path()).load_data_dir(&packed(&files)[..]).unwrap());
    assert_eq!(fs::read(dir.path().join(&long)).unwrap(), b"long");

    let mut builder = Builder::new(packed(&files));
    builder.get_mut().truncate(packed(&files).len() - 1024);
    builder.append_pax_extensions([("mtime", &b"1.5"[..]), ("path", b"renamed")]).unwrap();
    let mut header = Header::new_ustar();
    header.set_size(1);
    builder.append_data(&mut header, "short", &b"x"[..]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let archive = builder.into_inner().unwrap();
    drop(Pglite::builder().path(dir.path()).load_data_dir(&archive[..]).unwrap());
    assert_eq!(fs::read(dir.path().join("renamed")).unwrap(), b"x");
    for hostile in ["../out", "/out"] {
        let mut builder = Builder::new(Vec::new());
        builder.append_pax_extensions([("path", hostile.as_bytes())]).unwrap();
        let mut header = Header::new_ustar();
        header.set_size(1);
        builder.append_data(&mut header, "short", &b"x"[..]).unwrap();
        let error = refused(&builder.into_inner().unwrap());
        assert!(matches!(error, LoadError::Forbidden { .. }), "{error:?}");
    }
}

#[test]
fn archives_of_something_else() {
    let archive = dumped(&temporary(), DumpFormat::Tar);
    let files = files(&archive);
    let changed = |change: &dyn Fn(&mut Files)| {
        let mut files = files.clone();
        change(&mut files);
        packed(&files)
    };
    let source = one(b"src/main.rs", EntryType::Regular, None, 4);
    assert!(matches!(refused(&source), LoadError::NotADataDir { .. }));
    let nested = files.iter().map(|(path, contents)| (format!("db/{path}"), contents.clone()));
    assert!(matches!(refused(&packed(&nested.collect())), LoadError::NotADataDir { .. }));
    let without = changed(&|files| drop(files.remove("global/pg_control")));
    assert!(matches!(refused(&without), LoadError::NotADataDir { .. }));
    let older = changed(&|files| drop(files.insert("PG_VERSION".into(), b"16\n".to_vec())));
    match refused(&older) {
        LoadError::WrongVersion { found, expected } => {
            assert_eq!((&*found, &*expected), ("16", "17"))
        }
        other => panic!("{other:?}"),
    }
    let broken = changed(&|files| files.get_mut("global/pg_control").unwrap()[100] ^= 1);
    assert!(matches!(refused(&broken), LoadError::Damaged { .. }));
    // As a 64-bit server writes it: `float8ByVal`.
    let wide = changed(&|files| {
        let control = files.get_mut("global/pg_control").unwrap();
        control[248] = 1;
        let crc = crc32c::crc32c(&control[..288]);
        control[288..292].copy_from_slice(&crc.to_le_bytes());
    });
    let error = refused(&wide);
    assert!(error.to_string().contains("64-bit PostgreSQL"), "{error}");
    // What can be seen by PostgreSQL only is its own message.
    let without_log = changed(&|files| files.retain(|path, _| !path.starts_with("pg_wal/0")));
    let error = Pglite::load_data_dir(&without_log[..]).unwrap_err();
    assert!(matches!(error, Error::Start(_)), "{error:?}");
    assert!(error.as_db_error().is_some());
}

#[test]
fn a_reader_that_fails() {
    struct Broken(usize);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0 == 0 {
                return Err(std::io::Error::other("the line is down"));
            }
            let len = buffer.len().min(self.0);
            self.0 -= len;
            buffer[..len].fill(0);
            Ok(len)
        }
    }
    for format in FORMATS {
        let archive = dumped(&temporary(), format);
        for len in [0, 100, 600, 300_000] {
            let reader = (&archive[..len]).chain(Broken(0));
            match Pglite::load_data_dir(reader) {
                Err(Error::Load(LoadError::Read(error))) => {
                    assert_eq!(error.to_string(), "the line is down");
                }
                other => panic!("{format:?} {len}: {other:?}"),
            }
        }
    }
    assert!(PathBuf::from("PG_VERSION").metadata().is_err());
}
