//! The same operations on a host directory and on a tree give the same results and the same files.
//! The errors are those of Linux.
#![cfg(target_os = "linux")]

use super::*;
use crate::kernel::fs::{FileKind, HostDir};

const NAMES: &[&str] = &["a", "b", "c", "d"];
const TARGETS: &[&str] =
    &["a", "b", "../c", "/a/b", "a/", "/", ".", "..", "../../../a", "d/c", "no/where", "/d/.."];

fn path(random: &mut Xorshift) -> String {
    let mut path = String::new();
    if random.below(4) == 0 {
        path.push('/');
    }
    for n in 0..=random.below(3) {
        if n > 0 {
            path.push_str(random.pick::<&str>(&["/", "/", "/", "//", "/./", "/../"]));
        }
        path.push_str(random.pick::<&str>(NAMES));
    }
    match random.below(120) {
        0..6 => path.push('/'),
        6 => path.push_str("/."),
        7 => path.push_str("/.."),
        8 => path = "/".to_owned(),
        9 => path = "..".to_owned(),
        10 => path = String::new(),
        11 => path = format!("{path}/{}", "n".repeat(256)),
        12 => path = "x/".repeat(2100),
        13 => path = format!("{}/x", "n".repeat(255)),
        _ => {}
    }
    path
}

fn options(random: &mut Xorshift) -> OpenOptions {
    let mut flag = |one_in| random.below(one_in) == 0;
    OpenOptions {
        read: !flag(4),
        write: !flag(3),
        append: flag(10),
        create: flag(2),
        exclusive: flag(6),
        truncate: flag(6),
        directory: flag(8),
        no_follow: flag(5),
    }
}

/// What of the attributes both sides can agree on.
fn comparable(metadata: Metadata) -> (FileKind, Option<(u64, u64)>) {
    let is_dir = metadata.kind == FileKind::Directory;
    (metadata.kind, (!is_dir).then_some((metadata.len, metadata.links)))
}

fn names(file: &dyn File) -> FsResult<Vec<(String, FileKind)>> {
    let mut entries: Vec<_> =
        file.read_dir()?.into_iter().map(|entry| (entry.name, entry.kind)).collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(entries)
}

/// All names below `path` with what they are.
fn state(fs: &dyn FileSystem, path: &str, out: &mut Vec<(String, String)>) {
    for (name, kind) in
        names(&*fs.open(if path.is_empty() { "/" } else { path }, READ).unwrap()).unwrap()
    {
        let path = format!("{path}/{name}");
        let what = match kind {
            FileKind::Directory => "directory".to_owned(),
            FileKind::Symlink => fs.read_link(&path).unwrap(),
            _ => format!("{:?}", get(fs, &path).unwrap()),
        };
        let metadata = comparable(fs.metadata(&path, false).unwrap());
        out.push((path.clone(), format!("{metadata:?} {what}")));
        if kind == FileKind::Directory {
            state(fs, &path, out);
        }
    }
}

type Pair = (Arc<dyn File>, Arc<dyn File>);

/// One random operation on an open file, done on both.
fn use_file(random: &mut Xorshift, pair: &Pair) -> (String, String) {
    let offset = match random.below(10) {
        0 => 0,
        1 => 8192,
        2 => u64::MAX - random.below(3),
        _ => random.below(40_000),
    };
    let len = match random.below(3) {
        0 => 8192,
        _ => random.below(20_000),
    };
    let size = usize::try_from(len).unwrap();
    let byte = random.next().to_le_bytes()[0];
    let data = vec![byte; size];
    let cut = random.below(len + 1).try_into().unwrap();
    let (one, two) = data.split_at(cut);
    let buffers = [IoSlice::new(one), IoSlice::new(two)];
    let kind = random.below(9);
    let each = |file: &dyn File| match kind {
        0 | 1 => format!("write {offset} {len} {:?}", file.write_at(&buffers, offset)),
        2 => format!("append {len} {:?}", file.append(&buffers)),
        3 => format!("set_len {offset} {:?}", file.set_len(offset)),
        4 => format!("allocate {offset} {len} {:?}", file.allocate(offset, len)),
        5 => format!("readdir {:?}", names(file)),
        6 => format!("stat {:?}", file.metadata().map(comparable)),
        7 => format!("sync {:?}", file.sync(byte < 128)),
        _ => {
            let (mut one, mut two) = (vec![0xee; cut], vec![0xee; size - cut]);
            let mut buffers = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
            let read = file.read_at(&mut buffers, offset);
            format!("read {offset} {len} {read:?} {one:?} {two:?}")
        }
    };
    (each(&*pair.0), each(&*pair.1))
}

/// One random operation on names, done on both; a pair of files if it opened one.
fn use_name(
    random: &mut Xorshift,
    host: &dyn FileSystem,
    tree: &dyn FileSystem,
) -> (String, String, Option<Pair>) {
    let (one, two) = (path(random), path(random));
    let target = *random.pick::<&str>(TARGETS);
    let options = options(random);
    let follow = random.below(2) == 0;
    let kind = random.below(11);
    if kind < 3 {
        let (a, b) = (host.open(&one, options), tree.open(&one, options));
        let say = |result: &FsResult<Arc<dyn File>>| {
            format!("open {one} {options:?} {:?}", result.as_ref().map(drop))
        };
        return (say(&a), say(&b), a.ok().zip(b.ok()));
    }
    let each = |fs: &dyn FileSystem| match kind {
        3 => format!("stat {one} {follow} {:?}", fs.metadata(&one, follow).map(comparable)),
        4 => format!("mkdir {one} {:?}", fs.create_dir(&one)),
        5 => format!("rmdir {one} {:?}", fs.remove_dir(&one)),
        6 => format!("unlink {one} {:?}", fs.remove_file(&one)),
        7 => format!("link {one} {two} {:?}", fs.link(&one, &two)),
        8 => format!("symlink {target} {one} {:?}", fs.symlink(target, &one)),
        9 => format!("readlink {one} {:?}", fs.read_link(&one)),
        _ => format!("rename {one} {two} {:?}", fs.rename(&one, &two)),
    };
    (each(host), each(tree), None)
}

#[test]
fn host_and_tree_agree() {
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    for seed in 1..=12u64 {
        let temp = tempfile::tempdir().unwrap();
        let host = HostDir::open(temp.path()).unwrap();
        let host = if seed % 2 == 0 { host } else { host.without_openat2() };
        let mut tree = Tree::new();
        let mut random = Xorshift(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut open: Vec<Pair> = Vec::new();
        for step in 0..3000 {
            let (a, b) = if !open.is_empty() && random.below(3) == 0 {
                let at = usize::try_from(random.below(open.len() as u64)).unwrap();
                if random.below(8) == 0 {
                    open.swap_remove(at);
                    continue;
                }
                use_file(&mut random, &open[at])
            } else {
                let (a, b, pair) = use_name(&mut random, &host, &tree);
                open.extend(pair);
                if open.len() > 12 {
                    open.remove(0);
                }
                (a, b)
            };
            assert!(a == b, "seed {seed} step {step}\nhost {a}\ntree {b}");
            let verb = a.split(' ').next().unwrap();
            let result = a.rsplit(' ').next().unwrap();
            *seen
                .entry(format!("{verb} {}", if a.contains("Err") { result } else { "ok" }))
                .or_default() += 1;
            // A clone with nothing open takes over now and then.
            if step % 500 == 499 {
                open.clear();
                tree = tree.clone_tree();
            }
        }
        let (mut a, mut b) = (Vec::new(), Vec::new());
        state(&host, "", &mut a);
        state(&tree, "", &mut b);
        assert_eq!(a, b, "seed {seed}");
    }
    // The test must have reached the interesting cases.
    for case in [
        "open ok",
        "open Err(EEXIST)",
        "open Err(EISDIR)",
        "open Err(ELOOP)",
        "open Err(ENOTDIR)",
        "rename ok",
        "rename Err(EINVAL)",
        "rename Err(ENOTEMPTY)",
        "rename Err(EISDIR)",
        "rename Err(EBUSY)",
        "link ok",
        "link Err(EPERM)",
        "rmdir Err(ENOTEMPTY)",
        "unlink ok",
        "stat Err(ENAMETOOLONG)",
        "readlink Err(EINVAL)",
        "readlink ok",
        "read ok",
        "write ok",
    ] {
        assert!(seen.get(case).is_some_and(|count| *count > 3), "{case}: {seen:#?}");
    }
}
