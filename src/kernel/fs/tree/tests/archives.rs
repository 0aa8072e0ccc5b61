//! Archives give back what was put in, and damaged ones an error.

use super::*;
use crate::kernel::fs::archive::{self, Archive, ArchiveError, Entry, EntryBody};
use crate::kernel::fs::tree::frozen::entries;

fn entry(path: &str, body: EntryBody) -> Entry {
    Entry { path: path.to_owned(), body }
}

fn file(path: &str, bytes: impl Into<Vec<u8>>) -> Entry {
    entry(path, EntryBody::File(bytes.into()))
}

fn dir(path: &str) -> Entry {
    entry(path, EntryBody::Directory)
}

fn link(path: &str, target: &str) -> Entry {
    entry(path, EntryBody::Symlink(target.to_owned()))
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Xorshift(seed);
    (0..len).map(|_| random.next().to_le_bytes()[3] | 1).collect()
}

fn sample() -> Vec<Entry> {
    let mut heap = vec![0; 8192];
    heap[8000..].fill(3);
    let mut fsm = vec![0; 3 * 8192];
    fsm[8192 + 5] = 1;
    vec![
        dir("base"),
        dir("base-x"),
        file("base/1", noise(1, 20_000)),
        file("base/1_copy", noise(1, 20_000)),
        file("base/2", heap),
        file("base/2_fsm", fsm),
        file("base/empty", []),
        file("base/zeros", vec![0; 100_000]),
        file("base/large", noise(2, 300 * 8192 + 1)),
        file("version", *b"17\n"),
        link("wal", "/pgdata/../elsewhere"),
    ]
}

#[test]
fn round_trip() {
    let mut expected = sample();
    let bytes = archive::write(expected.clone()).unwrap();
    expected.sort_by(|a, b| a.path.cmp(&b.path));
    let tree = Tree::from_archive(bytes.clone()).unwrap();
    assert_eq!(tree.owned_bytes(), 0);
    assert!(entries(&tree).unwrap() == expected);
    Archive::parse(&bytes).unwrap().verify().unwrap();
    // Whatever order they come in; from a tree, its clone, and a host directory.
    assert!(archive::write(expected.clone().into_iter().rev()).unwrap() == bytes);
    assert!(archive::write(entries(&tree.clone_tree()).unwrap()).unwrap() == bytes);
    let temp = tempfile::tempdir().unwrap();
    for Entry { path, body } in &expected {
        let path = temp.path().join(path);
        match body {
            EntryBody::Directory => std::fs::create_dir(path).unwrap(),
            EntryBody::File(bytes) => std::fs::write(path, bytes).unwrap(),
            EntryBody::Symlink(target) => std::os::unix::fs::symlink(target, path).unwrap(),
        }
    }
    let read = archive::read_dir(temp.path(), |_| true).unwrap();
    assert!(archive::write(read).unwrap() == bytes);
    let read = archive::read_dir(temp.path(), |path| path != "base").unwrap();
    let paths: Vec<_> = read.iter().map(|entry| &entry.path[..]).collect();
    assert_eq!(paths, ["base-x", "version", "wal"]);
}

/// Pages that occur twice, zeros, and the empty rest of short pages take no room.
#[test]
fn size() {
    let bytes = archive::write(sample()).unwrap();
    // 300 + 2 full pages of noise and the heap's; short: two ends of files, one of the free space
    // map, the version.
    let full = 300 + 2 + 1;
    let short = 1 + (20_000 - 2 * 8192) + 6 + 3;
    assert_eq!(bytes.len(), 8192 + full * 8192 + short);
}

/// Files from an archive can be changed like others, and the archive stays as it is.
#[test]
fn write_on_archive() {
    let bytes = Arc::new(archive::write(sample()).unwrap());
    struct Shared(Arc<Vec<u8>>);
    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let before = bytes.to_vec();
    let template = Tree::from_archive(Shared(Arc::clone(&bytes))).unwrap();
    let (one, two) = (template.clone_tree(), template.clone_tree());
    let large = one.open("base/large", WRITE).unwrap();
    large.write_at(&[IoSlice::new(b"changed")], 299 * 8192 - 3).unwrap();
    assert_eq!(one.owned_bytes(), 2 * 8192);
    let mut expected = noise(2, 300 * 8192 + 1);
    expected[299 * 8192 - 3..][..7].copy_from_slice(b"changed");
    assert!(get_handle(&*large).unwrap() == expected);
    // A shrunk page of the archive does not show its old bytes when the file grows again.
    large.set_len(299 * 8192 + 100).unwrap();
    large.set_len(300 * 8192).unwrap();
    expected.truncate(299 * 8192 + 100);
    expected.resize(300 * 8192, 0);
    assert!(get_handle(&*large).unwrap() == expected);
    let end = two.open("base/1", WRITE).unwrap();
    end.set_len(10_000).unwrap();
    end.write_at(&[IoSlice::new(b"x")], 12_000).unwrap();
    let mut expected = noise(1, 10_000);
    expected.resize(12_000, 0);
    expected.push(b'x');
    assert!(get_handle(&*end).unwrap() == expected);
    assert!(get(&template, "base/1").unwrap() == noise(1, 20_000));
    assert!(*bytes == before);
    drop((large, end, one, two, template));
    assert_eq!(Arc::strong_count(&bytes), 1);
}

fn small() -> Vec<u8> {
    archive::write([
        dir("d"),
        file("d/f", noise(1, 8192 + 10)),
        file("e", *b"end"),
        link("l", "d/f"),
    ])
    .unwrap()
}

fn check(bytes: &[u8]) -> Result<(), ArchiveError> {
    Archive::parse(bytes)?.verify()
}

#[test]
fn every_damaged_byte_is_found() {
    let good = small();
    check(&good).unwrap();
    let mut bytes = good.clone();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            bytes[at] ^= flip;
            assert!(check(&bytes).is_err(), "byte {at}");
            bytes[at] ^= flip;
        }
    }
    for len in 0..good.len() {
        assert!(Archive::parse(&good[..len]).is_err(), "{len}");
    }
    let longer = [&good[..], &[0]].concat();
    assert_eq!(check(&longer), Err(ArchiveError::Length));
}

/// With a hash that fits, so that the checks behind it are reached: whatever is accepted can be read
/// to the last byte.
#[test]
fn forged_archives_do_no_harm() {
    let good = small();
    let head = usize::from(u16::from_le_bytes([good[24], good[25]])) + 64;
    let mut accepted = 0;
    for at in 0..head {
        for flip in 1..=255u8 {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            archive::rehash(&mut bytes);
            if let Ok(tree) = Tree::from_archive(bytes) {
                accepted += 1;
                for entry in entries(&tree).unwrap() {
                    if let EntryBody::File(bytes) = entry.body {
                        assert!(bytes.len() <= 1 << 20);
                    }
                }
            }
        }
    }
    // Other names, for example.
    assert!(accepted > 100, "{accepted}");
}

#[test]
fn refused_entries() {
    for (entries, reason) in [
        (vec![file("a/b", [])], "its directory is not there"),
        (vec![file("a", []), file("a/b", [])], "its directory is not there"),
        (vec![file("a", []), dir("a")], "it is there twice"),
        (vec![dir("")], "path is empty or too long"),
        (vec![dir("/a")], "path has a name that no file can have"),
        (vec![dir("a"), dir("a/")], "path has a name that no file can have"),
        (vec![dir("..")], "path has a name that no file can have"),
        (vec![file(&"n".repeat(256), [])], "path has a name that no file can have"),
        (vec![link("a", "")], "symlink has a target that none can have"),
    ] {
        match archive::write(entries) {
            Err(ArchiveError::Entry { reason: found, .. }) => assert_eq!(found, reason),
            other => panic!("{reason}: {other:?}"),
        }
    }
    assert!(entries(&Tree::from_archive(archive::write([]).unwrap()).unwrap()).unwrap().is_empty());
}
