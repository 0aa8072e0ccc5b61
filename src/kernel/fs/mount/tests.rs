#![allow(clippy::unwrap_used)]

use super::*;
use crate::kernel::fs::testing::{self, CREATE, READ, WRITE, put};
use crate::kernel::fs::{HostDir, Tree};

fn get(fs: &dyn FileSystem, path: &str) -> FsResult<String> {
    Ok(String::from_utf8(testing::get(fs, path)?).unwrap())
}

fn list(fs: &dyn FileSystem, path: &str) -> FsResult<String> {
    let mut names: Vec<_> =
        fs.open(path, READ)?.read_dir()?.into_iter().map(|entry| entry.name).collect();
    names.sort();
    Ok(names.join(" "))
}

/// `/pgdata` on the host, `/usr/share/pg` read only, `/spaces` a tablespace.
fn namespace() -> (tempfile::TempDir, Namespace) {
    let temp = tempfile::tempdir().unwrap();
    let (share, spaces) = (Tree::new(), Tree::new());
    put(&share, "postgres.bki", "bki");
    share.create_dir("timezonesets").unwrap();
    spaces.create_dir("one").unwrap();
    let mut names = Namespace::new(Arc::new(Tree::new()));
    names.mount("/pgdata", Arc::new(HostDir::open(temp.path()).unwrap()), false).unwrap();
    names.mount("/usr/share/pg/", Arc::new(share), true).unwrap();
    names.mount("/spaces", Arc::new(spaces), false).unwrap();
    names.mount_devices().unwrap();
    for dir in ["/pgdata/base", "/pgdata/pg_tblspc", "/tmp"] {
        names.create_dir(dir).unwrap();
    }
    (temp, names)
}

#[test]
fn longest_prefix_wins() {
    let (temp, mut names) = namespace();
    put(&names, "/pgdata/base/1", "on the host");
    put(&names, "/tmp/1", "in memory");
    assert_eq!(std::fs::read_to_string(temp.path().join("base/1")).unwrap(), "on the host");
    let wal = Tree::new();
    put(&wal, "1", "elsewhere");
    names.mount("/pgdata/pg_wal", Arc::new(wal), false).unwrap();
    for (path, text) in [
        ("/pgdata/base/1", "on the host"),
        ("pgdata/base/1", "on the host"),
        ("//pgdata/./base//1", "on the host"),
        ("./pgdata/base/1", "on the host"),
        ("/pgdata/pg_wal/1", "elsewhere"),
        ("/pgdata/base/../pg_wal/1", "elsewhere"),
        ("/pgdata/../pgdata/base/1", "on the host"),
        ("/../../tmp/1", "in memory"),
        ("/tmp/../../tmp/1", "in memory"),
        ("/usr/share/pg/postgres.bki", "bki"),
        ("/usr/../usr/share/pg/timezonesets/../postgres.bki", "bki"),
    ] {
        assert_eq!(get(&names, path).as_deref(), Ok(text), "{path}");
    }
    for (path, errno) in [
        ("/pgdatax", Errno::NOENT),
        ("/pgdata/base/1/..", Errno::NOTDIR),
        ("/pgdata/base/1/", Errno::NOTDIR),
        ("/tmp/1/", Errno::NOTDIR),
        ("/pgdata/no/../base/1", Errno::NOENT),
        ("", Errno::NOENT),
        ("/etc/passwd", Errno::NOENT),
        ("/pgdata/../../../../../../etc/passwd", Errno::NOENT),
    ] {
        assert_eq!(get(&names, path), Err(errno), "{path}");
    }
    for (path, listed) in [
        ("/", "dev pgdata spaces tmp usr"),
        ("/usr/share", "pg"),
        ("/usr/./share/", "pg"),
        ("/pgdata", "base pg_tblspc pg_wal"),
        ("/usr/share/pg", "postgres.bki timezonesets"),
        ("/dev", "null random urandom zero"),
    ] {
        assert_eq!(list(&names, path).as_deref(), Ok(listed), "{path}");
        assert_eq!(names.metadata(path, true).unwrap().kind, FileKind::Directory, "{path}");
    }
}

#[test]
fn read_only_mounts() {
    let (_temp, names) = namespace();
    let bki = "/usr/share/pg/postgres.bki";
    let new = "/usr/share/pg/new";
    let open = |path, options| names.open(path, options).map(drop);
    for (n, (result, expected)) in [
        (open(bki, WRITE), Err(Errno::ROFS)),
        (open(bki, OpenOptions { truncate: true, ..READ }), Err(Errno::ROFS)),
        (open(bki, OpenOptions { create: true, ..READ }), Ok(())),
        (open(bki, OpenOptions { exclusive: true, ..CREATE }), Err(Errno::EXIST)),
        (open(new, CREATE), Err(Errno::ROFS)),
        (open(new, WRITE), Err(Errno::NOENT)),
        (open("/usr/share/pg/no/new", CREATE), Err(Errno::NOENT)),
        (open("/usr/share/pg", WRITE), Err(Errno::ISDIR)),
        (names.create_dir(new), Err(Errno::ROFS)),
        (names.create_dir(bki), Err(Errno::EXIST)),
        (names.symlink("x", new), Err(Errno::ROFS)),
        (names.link(bki, new), Err(Errno::ROFS)),
        (names.rename(bki, new), Err(Errno::ROFS)),
        (names.remove_file(bki), Err(Errno::ROFS)),
        (names.remove_dir("/usr/share/pg/timezonesets"), Err(Errno::ROFS)),
        (names.open(bki, READ).unwrap().set_modified(SystemTime::now()), Err(Errno::ROFS)),
        (names.open(bki, READ).unwrap().set_len(0), Err(Errno::INVAL)),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(result, expected, "{n}");
    }
    assert_eq!(get(&names, bki).unwrap(), "bki");
}

#[test]
fn mounts_are_kept_apart() {
    let (_temp, names) = namespace();
    put(&names, "/pgdata/base/1", "x");
    for (n, (result, expected)) in [
        (names.rename("/pgdata/base/1", "/tmp/1"), Err(Errno::XDEV)),
        (names.rename("/pgdata/base/1", "/spaces/one/1"), Err(Errno::XDEV)),
        (names.link("/pgdata/base/1", "/tmp/1"), Err(Errno::XDEV)),
        (names.rename("/pgdata/base/1", "/no/1"), Err(Errno::NOENT)),
        (names.rename("/pgdata/base/1", "/pgdata/base/../2"), Ok(())),
        (names.link("/pgdata/2", "/pgdata/base/1"), Ok(())),
        (names.rename("/pgdata", "/elsewhere"), Err(Errno::BUSY)),
        (names.rename("/usr", "/elsewhere"), Err(Errno::BUSY)),
        (names.rename("/tmp", "/usr/share/pg"), Err(Errno::BUSY)),
        (names.remove_dir("/pgdata"), Err(Errno::BUSY)),
        (names.remove_dir("/usr/share"), Err(Errno::BUSY)),
        (names.create_dir("/pgdata"), Err(Errno::EXIST)),
        (names.remove_dir("/tmp"), Ok(())),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(result, expected, "{n}");
    }
    let mut names = names;
    let again = names.mount("/pgdata/", Arc::new(Tree::new()), false);
    assert_eq!(again, Err(Errno::BUSY));
    assert_eq!(names.mount("/a/../b", Arc::new(Tree::new()), false), Err(Errno::INVAL));
}

#[test]
fn symlinks_between_mounts() {
    let (_temp, names) = namespace();
    names.symlink("/spaces/one", "/pgdata/pg_tblspc/16384").unwrap();
    names.create_dir("/pgdata/pg_tblspc/16384/PG_17").unwrap();
    put(&names, "/pgdata/pg_tblspc/16384/PG_17/1", "in the space");
    assert_eq!(get(&names, "/spaces/one/PG_17/1").unwrap(), "in the space");
    assert_eq!(list(&names, "/pgdata/pg_tblspc/16384").unwrap(), "PG_17");
    assert_eq!(names.read_link("/pgdata/pg_tblspc/16384").unwrap(), "/spaces/one");
    names.rename("/pgdata/pg_tblspc/16384/PG_17/1", "/spaces/one/2").unwrap();
    assert_eq!(get(&names, "/pgdata/pg_tblspc/16384/2").unwrap(), "in the space");
    names.remove_file("/pgdata/pg_tblspc/16384/2").unwrap();
    // From the root, relative, through several mounts, and to the end of the chain of links.
    names.symlink("../pgdata/pg_tblspc", "/tmp/link").unwrap();
    put(&names, "/tmp/link/16384/3", "far");
    assert_eq!(get(&names, "/spaces/one/3").unwrap(), "far");
    names.symlink("/tmp/dangling-target", "/pgdata/dangling").unwrap();
    assert_eq!(get(&names, "/pgdata/dangling"), Err(Errno::NOENT));
    names.symlink("/pgdata/b", "/spaces/a").unwrap();
    names.symlink("/spaces/a", "/pgdata/b").unwrap();
    assert_eq!(get(&names, "/pgdata/b"), Err(Errno::LOOP));
    // The root has the directory of the mount point as well, but the mount is over it.
    names.symlink("/usr", "/tmp/usr").unwrap();
    assert_eq!(get(&names, "/tmp/usr/share/pg/postgres.bki").unwrap(), "bki");
    assert_eq!(list(&names, "/tmp/usr/share/pg/").unwrap(), "postgres.bki timezonesets");
    // A link inside one mount is that mount's.
    names.symlink("/base", "/pgdata/link").unwrap();
    put(&names, "/pgdata/base/1", "x");
    assert_eq!(get(&names, "/pgdata/link/1").unwrap(), "x");
    names.symlink("/etc/passwd", "/pgdata/out").unwrap();
    assert_eq!(get(&names, "/pgdata/out"), Err(Errno::NOENT));
}

#[test]
fn device_files() {
    let (_temp, names) = namespace();
    let read = |path: &str| {
        let mut bytes = [7; 600];
        let file = names.open(path, WRITE).unwrap();
        assert_eq!(file.write_at(&[IoSlice::new(b"gone")], 0), Ok(4));
        let len = file.read_at(&mut [IoSliceMut::new(&mut bytes)], 0).unwrap();
        (len, bytes)
    };
    assert_eq!(read("/dev/null"), (0, [7; 600]));
    assert_eq!(read("/dev/zero"), (600, [0; 600]));
    let (one, two) = (read("/dev/urandom"), read("/dev/urandom"));
    assert!(one.0 == 600 && one.1 != two.1 && one.1[300..] != [7; 300]);
    assert_eq!(names.metadata("/dev/null", true).unwrap().kind, FileKind::CharacterDevice);
    for (result, errno) in [
        (names.open("/dev/new", CREATE).map(drop), Errno::ROFS),
        (names.open("/dev/new", READ).map(drop), Errno::NOENT),
        (names.open("/dev/null/x", READ).map(drop), Errno::NOTDIR),
        (names.open("/dev", WRITE).map(drop), Errno::ISDIR),
        (names.remove_file("/dev/null"), Errno::ROFS),
        (names.rename("/dev/null", "/dev/zero"), Errno::ROFS),
        (names.open("/dev/null", READ).unwrap().write_at(&[], 0).map(drop), Errno::BADF),
    ] {
        assert_eq!(result, Err(errno));
    }
}
