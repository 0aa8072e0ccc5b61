//! Clones are independent, cheap, and one instant.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn clones_do_not_see_each_other() {
    let tree = Tree::new();
    tree.create_dir("base").unwrap();
    put(&tree, "base/1", [1; 20_000]);
    let open = tree.open("base/1", WRITE).unwrap();
    let clone = tree.clone_tree();
    // Through a handle that was open before, and through a new one.
    open.write_at(&[IoSlice::new(b"old")], 0).unwrap();
    let in_clone = clone.open("base/1", WRITE).unwrap();
    in_clone.write_at(&[IoSlice::new(b"new")], 9000).unwrap();
    let (a, b) = (get_handle(&*open).unwrap(), get_handle(&*in_clone).unwrap());
    assert_eq!((&a[..3], &a[9000..9003]), (&b"old"[..], &[1, 1, 1][..]));
    assert_eq!((&b[..3], &b[9000..9003]), (&[1, 1, 1][..], &b"new"[..]));
    // One page each was copied.
    assert_eq!((tree.owned_bytes(), clone.owned_bytes()), (4 * 8192, 8192));
    clone.remove_file("base/1").unwrap();
    clone.rename("base", "other").unwrap();
    tree.create_dir("base/new").unwrap();
    assert_eq!(get(&tree, "base/1").unwrap(), a);
    assert_eq!(clone.metadata("other/new", true).unwrap_err(), Errno::NOENT);
    assert_eq!(get_handle(&*in_clone).unwrap(), b);
}

#[test]
fn memory_comes_back() {
    let tree = Tree::new();
    put(&tree, "file", [1; 10 * 8192]);
    let clone = tree.clone_tree();
    // The table of a tree must not keep what its file has been overwritten with.
    put(&tree, "file", [2; 10 * 8192]);
    assert_eq!(tree.family_owned_bytes(), 20 * 8192);
    drop(clone);
    assert_eq!(tree.family_owned_bytes(), 10 * 8192);
    let clones: Vec<_> = (0..5).map(|_| tree.clone_tree()).collect();
    for (n, clone) in (1..).zip(&clones) {
        put(clone, "file", [n; 8192]);
    }
    assert_eq!(tree.family_owned_bytes(), 15 * 8192);
    tree.remove_file("file").unwrap();
    assert_eq!(tree.family_owned_bytes(), 5 * 8192);
    drop(clones);
    assert_eq!((tree.family_owned_bytes(), tree.owned_bytes()), (0, 0));
}

/// After each of 100 generations every tree still has the contents of its model.
#[test]
fn forks_of_forks() {
    let mut random = Xorshift(42);
    let mut generations = vec![(Tree::new(), BTreeMap::<String, Vec<u8>>::new())];
    for _ in 0..100 {
        let (parent, model) = random.pick(&generations);
        let (tree, mut model) = (parent.clone_tree(), model.clone());
        for _ in 0..20 {
            let name = format!("f{}", random.below(30));
            if random.below(4) == 0 {
                assert_eq!(tree.remove_file(&name).is_ok(), model.remove(&name).is_some());
                continue;
            }
            let file = tree.open(&name, CREATE).unwrap();
            let bytes = model.entry(name).or_default();
            let offset = usize::try_from(random.below(30_000)).unwrap();
            let data = vec![random.next().to_le_bytes()[0]; 10_000];
            file.write_at(&[IoSlice::new(&data)], offset as u64).unwrap();
            bytes.resize(bytes.len().max(offset + data.len()), 0);
            bytes[offset..offset + data.len()].copy_from_slice(&data);
        }
        generations.push((tree, model));
    }
    for (tree, model) in &generations {
        let listed = tree.open("/", READ).unwrap().read_dir().unwrap();
        assert_eq!(listed.len(), model.len());
        for (name, bytes) in model {
            assert!(get(tree, name).unwrap() == *bytes);
        }
    }
}

/// A clone without writes since the last one leaves no state behind and copies no files.
#[test]
fn idle_clones_touch_nothing() {
    let tree = Tree::new();
    for n in 0..100 {
        put(&tree, &format!("f{n}"), b"x");
    }
    assert_eq!(tree.shared.dirty().len(), 100);
    drop(tree.clone_tree());
    assert_eq!((tree.shared.dirty().len(), tree.shared.live().len()), (0, 0));
    get(&tree, "f1").unwrap();
    assert_eq!((tree.shared.dirty().len(), tree.shared.live().len()), (0, 1));
}

/// The write-ahead rule: whoever sees the later of two writes, in another file, sees the earlier.
#[test]
fn a_clone_is_one_instant() {
    let tree = Arc::new(Tree::new());
    for name in ["log", "data"] {
        put(&*tree, name, 0u64.to_le_bytes());
    }
    let done = AtomicBool::new(false);
    let number =
        |tree: &Tree, name: &str| u64::from_le_bytes(get(tree, name).unwrap().try_into().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (log, data) = (tree.open("log", WRITE).unwrap(), tree.open("data", WRITE).unwrap());
            for n in 1..=20_000u64 {
                log.write_at(&[IoSlice::new(&n.to_le_bytes())], 0).unwrap();
                data.write_at(&[IoSlice::new(&n.to_le_bytes())], 0).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            let clone = tree.clone_tree();
            let (log, data) = (number(&clone, "log"), number(&clone, "data"));
            assert!(log == data || log == data + 1, "{log} {data}");
        }
    });
}

/// One thread writes to one tree, then to the other, and so on.
#[test]
fn two_trees_are_cloned_at_one_instant() {
    let (data, log) = (Tree::new(), Tree::new());
    put(&data, "file", [0; 8]);
    put(&log, "file", [0; 8]);
    let number = |tree: &Tree| u64::from_le_bytes(get(tree, "file").unwrap().try_into().unwrap());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let handles = [&log, &data].map(|tree| tree.open("file", WRITE).unwrap());
            for count in 1u64.. {
                for handle in &handles {
                    handle.write_at(&[IoSlice::new(&count.to_le_bytes())], 0).unwrap();
                }
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        for _ in 0..2000 {
            let (data, log) = data.clone_with(&log);
            let (data, log) = (number(&data), number(&log));
            assert!(log == data || log == data + 1, "{data} in one, {log} in the other");
        }
        stop.store(true, Ordering::Relaxed);
    });
}
