#![allow(clippy::unwrap_used)]

mod archives;
mod clones;
mod differential;

use std::io::{IoSlice, IoSliceMut};

use super::*;
use crate::kernel::fs::testing::{CREATE, READ, WRITE, get, get_handle, put};

/// Reproducible randomness.
pub(super) struct Xorshift(pub(super) u64);

impl Xorshift {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[usize::try_from(self.below(items.len() as u64)).unwrap()]
    }
}

#[test]
fn unlinked_files_live_while_open() {
    let tree = Tree::new();
    put(&tree, "/file", b"contents");
    let file = tree.open("file", WRITE).unwrap();
    tree.remove_file("file").unwrap();
    assert_eq!(get(&tree, "file"), Err(Errno::NOENT));
    assert_eq!(get_handle(&*file).unwrap(), b"contents");
    file.write_at(&[IoSlice::new(b"C")], 0).unwrap();
    assert_eq!(get_handle(&*file).unwrap(), b"Contents");
    assert_eq!(file.metadata().unwrap().links, 0);
    assert_eq!(tree.owned_bytes(), 8192);
    // A file of the same name is another file.
    put(&tree, "file", b"new");
    assert_eq!(get_handle(&*file).unwrap(), b"Contents");
    drop(file);
    assert_eq!(tree.owned_bytes(), 8192);
    assert!(tree.shared.dirty().len() == 1 && tree.shared.live().len() == 1);
}

#[test]
fn replaced_files_live_while_open() {
    let tree = Tree::new();
    put(&tree, "a", b"a");
    put(&tree, "b", b"b");
    let old = tree.open("b", READ).unwrap();
    tree.rename("a", "b").unwrap();
    assert_eq!(get_handle(&*old).unwrap(), b"b");
    assert_eq!(get(&tree, "b").unwrap(), b"a");
    assert_eq!(tree.owned_bytes(), 2 * 8192);
    drop(old);
    assert_eq!(tree.owned_bytes(), 8192);
}

#[test]
fn symlinks_stop_at_forty() {
    let tree = Tree::new();
    put(&tree, "l0", b"end");
    for n in 1..=41 {
        tree.symlink(&format!("l{}", n - 1), &format!("l{n}")).unwrap();
    }
    assert_eq!(get(&tree, "l40").unwrap(), b"end");
    assert_eq!(get(&tree, "l41"), Err(Errno::LOOP));
}

/// Sparse and shrunk files read as zero where nothing was written.
#[test]
fn holes_and_tails() {
    let tree = Tree::new();
    let file = tree.open("file", CREATE).unwrap();
    file.write_at(&[IoSlice::new(b"end")], 5_000_000).unwrap();
    assert_eq!(tree.owned_bytes(), 8192);
    let bytes = get_handle(&*file).unwrap();
    assert_eq!((bytes.len(), &bytes[5_000_000..]), (5_000_003, &b"end"[..]));
    assert!(bytes[..5_000_000].iter().all(|byte| *byte == 0));
    file.write_at(&[IoSlice::new(&[7; 20_000])], 0).unwrap();
    for (len, pages) in [(10_000, 2), (8192, 1), (1, 1), (0, 0)] {
        file.set_len(len).unwrap();
        assert_eq!(tree.owned_bytes(), pages * 8192, "{len}");
        file.set_len(3_000_000).unwrap();
        let bytes = get_handle(&*file).unwrap();
        let len = usize::try_from(len).unwrap();
        assert!(bytes[..len].iter().all(|byte| *byte == 7));
        assert!(bytes[len..].iter().all(|byte| *byte == 0));
    }
    for (offset, errno) in [(pages::LEN_MAX, Errno::FBIG), (1 << 63, Errno::INVAL)] {
        assert_eq!(file.write_at(&[IoSlice::new(b"x")], offset), Err(errno));
    }
    assert_eq!(file.write_at(&[IoSlice::new(b"xyz")], pages::LEN_MAX - 1), Ok(1));
    assert_eq!(file.set_len(pages::LEN_MAX + 1), Err(Errno::FBIG));
    assert_eq!(file.allocate(u64::MAX >> 1, 1), Err(Errno::FBIG));
}

#[test]
fn capacity() {
    let page = [1u8; 8192];
    let tree = Tree::with_capacity(4 * 8192);
    let file = tree.open("file", CREATE).unwrap();
    let five = [1u8; 5 * 8192];
    assert_eq!(file.write_at(&[IoSlice::new(&five)], 0), Ok(4 * 8192));
    assert_eq!(file.metadata().unwrap().len, 4 * 8192);
    assert_eq!(file.write_at(&[IoSlice::new(&page)], 4 * 8192), Err(Errno::NOSPC));
    assert_eq!(file.allocate(4 * 8192, 1), Err(Errno::NOSPC));
    // Overwriting needs no space, and shrinking gives some back.
    assert_eq!(file.write_at(&[IoSlice::new(&page)], 8192), Ok(8192));
    file.set_len(2 * 8192).unwrap();
    // What is reserved, by posix_fallocate or by zeros, can be written later.
    file.allocate(2 * 8192, 8192).unwrap();
    assert_eq!(file.write_at(&[IoSlice::new(&[0; 8192])], 3 * 8192), Ok(8192));
    let other = tree.open("other", CREATE).unwrap();
    assert_eq!(other.write_at(&[IoSlice::new(b"x")], 0), Err(Errno::NOSPC));
    assert_eq!(file.write_at(&[IoSlice::new(&page)], 3 * 8192), Ok(8192));
    assert_eq!(file.write_at(&[IoSlice::new(b"x")], 2 * 8192), Ok(1));
    // All or nothing.
    file.set_len(8192).unwrap();
    assert_eq!(other.allocate(0, 4 * 8192), Err(Errno::NOSPC));
    assert_eq!(tree.owned_bytes(), 8192);
    other.allocate(0, 3 * 8192).unwrap();
    assert_eq!(tree.owned_bytes(), 4 * 8192);
    // Names need no space.
    tree.create_dir("dir").unwrap();
    tree.remove_file("other").unwrap();
    drop(other);
    assert_eq!(tree.owned_bytes(), 8192);
    // A clone may write as much again; the overwritten page is a copy of its own.
    let clone = tree.clone_tree();
    let file = clone.open("file", WRITE).unwrap();
    assert_eq!(file.write_at(&[IoSlice::new(&five)], 0), Ok(4 * 8192));
    assert_eq!((tree.owned_bytes(), clone.owned_bytes()), (8192, 4 * 8192));
    assert_eq!(tree.family_owned_bytes(), 5 * 8192);
    drop((tree, clone));
    assert_eq!(get_handle(&*file).unwrap().len(), 4 * 8192);
}

/// Zeros written to a new WAL segment cost nothing until other bytes take their place.
#[test]
fn zeros_are_holes() {
    let tree = Tree::new();
    let file = tree.open("wal", CREATE).unwrap();
    for n in 0..16 {
        file.write_at(&[IoSlice::new(&[0; 65536])], n * 65536).unwrap();
    }
    assert_eq!((tree.owned_bytes(), file.metadata().unwrap().len), (0, 1 << 20));
    file.write_at(&[IoSlice::new(&[1; 8192])], 8192).unwrap();
    file.write_at(&[IoSlice::new(&[0; 8192])], 8192).unwrap();
    assert!(get_handle(&*file).unwrap().iter().all(|byte| *byte == 0));
}

/// Appends from many threads are each in one piece; block writes and reads never mix two writes.
#[test]
fn threads() {
    let tree = Arc::new(Tree::new());
    put(&*tree, "log", b"");
    put(&*tree, "relation", [0; 4 * 8192]);
    let clones = std::thread::scope(|scope| {
        for writer in 1..=4u8 {
            let tree = Arc::clone(&tree);
            scope.spawn(move || {
                let log = tree.open("log", OpenOptions { append: true, ..READ }).unwrap();
                let relation = tree.open("relation", WRITE).unwrap();
                let mut random = Xorshift(u64::from(writer) * 7919);
                for n in 0..500 {
                    log.append(&[IoSlice::new(&[writer; 100])]).unwrap();
                    let block = random.below(4) * 8192;
                    relation.write_at(&[IoSlice::new(&[writer; 8192])], block).unwrap();
                    let mut read = [0; 8192];
                    relation.read_at(&mut [IoSliceMut::new(&mut read)], block).unwrap();
                    assert!(read.iter().all(|byte| *byte == read[0]));
                    let name = format!("tmp{}", random.below(8));
                    let _ = tree.open(&name, CREATE).map(|file| file.append(&[IoSlice::new(b"x")]));
                    if n % 3 == 0 {
                        let _ = tree.remove_file(&name);
                        let _ = tree.rename("tmp0", &name);
                    }
                }
            });
        }
        let tree = Arc::clone(&tree);
        scope.spawn(move || (0..50).map(|_| tree.clone_tree()).collect::<Vec<_>>()).join().unwrap()
    });
    for tree in clones.iter().chain([&*tree]) {
        let log = get(tree, "log").unwrap();
        assert_eq!(log.len() % 100, 0);
        for line in log.chunks(100) {
            assert!(line.iter().all(|byte| *byte == line[0]));
        }
        for block in get(tree, "relation").unwrap().chunks(8192) {
            assert!(block.iter().all(|byte| *byte == block[0]));
        }
    }
    assert_eq!(get(&*tree, "log").unwrap().len(), 4 * 500 * 100);
}
