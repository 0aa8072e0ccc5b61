#![allow(clippy::unwrap_used)]

use std::io::{IoSlice, IoSliceMut};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::kernel::fs::testing::{CREATE, READ, get};

fn methods() -> Vec<Method> {
    #[cfg(target_os = "linux")]
    return vec![Method::Openat2, Method::Walk];
    #[cfg(not(target_os = "linux"))]
    return vec![Method::Walk];
}

fn with_each(body: impl Fn(&Path, &HostDir)) {
    for method in methods() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let mut dir = HostDir::open(&root).unwrap();
        dir.method = method;
        body(temp.path(), &dir);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn this_kernel_has_openat2() {
    let temp = tempfile::tempdir().unwrap();
    assert_eq!(HostDir::open(temp.path()).unwrap().method, Method::Openat2);
}

#[test]
fn opens_only_directories() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert_eq!(HostDir::open(file.path()).unwrap_err().raw_os_error(), Some(libc::ENOTDIR));
    assert!(HostDir::open(&file.path().join("no")).is_err());
}

/// A secret next to the root, and every way to it that a guest could try.
#[test]
fn nothing_leads_out() {
    with_each(|temp, dir| {
        std::fs::write(temp.join("secret"), "outside").unwrap();
        let root = temp.join("root");
        std::fs::create_dir_all(root.join("sub/deep")).unwrap();
        std::fs::write(root.join("inside"), "inside").unwrap();
        for (link, target) in [
            ("link_etc", "/etc"),
            ("passwd", "/etc/passwd"),
            ("up", "../secret"),
            ("far", "../../../../../../../../../../etc/passwd"),
            ("sub/up", "../../secret"),
            ("sub/parent", "../.."),
            ("absolute", temp.join("secret").to_str().unwrap()),
            ("dots", ".."),
            ("slash", "/"),
            ("procfs", "/proc/self/root/etc/passwd"),
            ("chain", "up"),
            ("ok", "/inside"),
            ("sub/ok", "../../../inside"),
            ("loop", "loop"),
            ("a", "b"),
            ("b", "a"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let absolute = temp.join("secret").to_str().unwrap().to_owned();
        for path in [
            "../secret",
            "/../secret",
            "sub/../../secret",
            "sub/deep/../../../secret",
            "../../../../../../../../../../../../etc/passwd",
            "etc/passwd",
            "link_etc/passwd",
            "passwd",
            "up",
            "far",
            "sub/up",
            "sub/parent/secret",
            "dots/secret",
            "slash/../secret",
            "absolute",
            "procfs",
            "chain",
            "/etc/passwd",
            "/proc/self/root/etc/passwd",
            &absolute,
        ] {
            assert_eq!(dir.open(path, READ).unwrap_err(), Errno::NOENT, "{path}");
            assert_eq!(dir.metadata(path, true).unwrap_err(), Errno::NOENT, "{path}");
        }
        for path in ["loop", "a", "loop/x", "sub/../a/x"] {
            assert_eq!(dir.open(path, READ).unwrap_err(), Errno::LOOP, "{path}");
        }
        for path in ["ok", "sub/ok", "../inside", "dots/inside", "slash/inside", "/../../inside"] {
            assert_eq!(get(dir, path).unwrap(), b"inside", "{path}");
        }

        // Names are made, moved and removed inside.
        for path in ["../new", "dots/new2", "sub/parent/new3", "/../new4"] {
            dir.open(path, CREATE).unwrap();
        }
        dir.create_dir("../newdir").unwrap();
        dir.create_dir("sub/parent/newdir2").unwrap();
        dir.rename("inside", "../moved").unwrap();
        dir.link("moved", "dots/linked").unwrap();
        dir.symlink("x", "slash/sym").unwrap();
        dir.rename("up", "../up2").unwrap();
        assert_eq!(dir.remove_file("../secret"), Err(Errno::NOENT));
        assert_eq!(dir.remove_file("dots/secret"), Err(Errno::NOENT));
        assert_eq!(dir.remove_dir("../root"), Err(Errno::NOENT));
        // Writing through a dangling symlink makes the file inside.
        dir.open("up2", CREATE).unwrap();
        assert!(root.join("secret").exists());

        let mut left: Vec<_> =
            temp.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["root", "secret"]);
        assert_eq!(std::fs::read(temp.join("secret")).unwrap(), b"outside");
    });
}

#[test]
fn reads_and_writes() {
    with_each(|temp, dir| {
        let file = dir.open("file", CREATE).unwrap();
        assert_eq!(file.write_at(&[IoSlice::new(b"abc"), IoSlice::new(b"def")], 2).unwrap(), 6);
        let (mut one, mut two) = ([9; 5], [9; 5]);
        let mut buffers = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!(file.read_at(&mut buffers, 0).unwrap(), 8);
        assert_eq!((&one, &two), (b"\0\0abc", b"def\x09\x09"));
        assert_eq!(file.append(&[IoSlice::new(b"gh")]).unwrap(), (2, 10));
        file.set_len(3).unwrap();
        file.allocate(2, 4).unwrap();
        assert_eq!(get(dir, "file").unwrap(), b"\0\0a\0\0\0");
        file.sync(true).unwrap();
        file.sync(false).unwrap();
        let time = UNIX_EPOCH + Duration::new(1_000_000_000, 5_000);
        file.set_modified(time).unwrap();
        assert_eq!(dir.metadata("file", true).unwrap().modified, time);
        let before: SystemTime = UNIX_EPOCH - Duration::from_millis(1_500);
        file.set_modified(before).unwrap();
        assert_eq!(file.metadata().unwrap().modified, before);
        for (result, errno) in [
            (file.write_at(&[IoSlice::new(b"x")], u64::MAX).map(drop), Errno::INVAL),
            (file.set_len(u64::MAX), Errno::INVAL),
            (file.allocate(0, 0), Errno::INVAL),
            (file.read_dir().map(drop), Errno::NOTDIR),
        ] {
            assert_eq!(result, Err(errno));
        }
        let mode = temp.join("root/file").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    });
}

/// More buffers than one call takes.
#[test]
fn many_buffers() {
    with_each(|_, dir| {
        let file = dir.open("file", CREATE).unwrap();
        let bytes: Vec<u8> = (0..3000u32).map(|n| n.to_le_bytes()[0]).collect();
        let slices: Vec<_> = bytes.chunks(1).map(IoSlice::new).collect();
        assert_eq!(file.write_at(&slices, 0).unwrap(), BUFFERS_IN_ONE_CALL);
        file.write_at(&[IoSlice::new(&bytes)], 0).unwrap();
        let mut read = vec![0; 3000];
        let mut slices: Vec<_> = read.chunks_mut(1).map(IoSliceMut::new).collect();
        assert_eq!(file.read_at(&mut slices, 0).unwrap(), 3000);
        assert_eq!(read, bytes);
    });
}
const BUFFERS_IN_ONE_CALL: usize = 1024;

#[test]
fn directories() {
    with_each(|temp, dir| {
        dir.create_dir("base").unwrap();
        let mode = temp.join("root/base").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        dir.open("base/1", CREATE).unwrap();
        dir.symlink("1", "base/2").unwrap();
        dir.create_dir("base/3").unwrap();
        let handle = dir.open("base", OpenOptions { directory: true, ..READ }).unwrap();
        handle.sync(false).unwrap();
        for _ in 0..2 {
            let mut entries = handle.read_dir().unwrap();
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            let found: Vec<_> = entries.iter().map(|e| (&e.name[..], e.kind)).collect();
            let expected =
                [("1", FileKind::Regular), ("2", FileKind::Symlink), ("3", FileKind::Directory)];
            assert_eq!(found, expected);
        }
        assert_eq!(dir.open("/", READ).unwrap().read_dir().unwrap().len(), 1);
        assert_eq!(dir.read_link("base/2").unwrap(), "1");
        assert_eq!(dir.metadata("base/2", false).unwrap().kind, FileKind::Symlink);
    });
}

/// No descriptor of ours may reach a program that the host process starts.
#[test]
#[cfg(target_os = "linux")]
fn descriptors_close_on_exec() {
    with_each(|_, dir| {
        let root = dir.root.as_raw_fd();
        let fd = dir.resolve("/", libc::O_RDONLY).unwrap();
        for fd in [root, fd.as_raw_fd()] {
            let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
            let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
            assert_ne!(flags & libc::O_CLOEXEC, 0);
        }
    });
}
