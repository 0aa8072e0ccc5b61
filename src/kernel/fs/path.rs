//! Guest paths: the parts of their syntax that every file system here shares.

use super::{FsResult, OpenOptions};
use crate::kernel::errno::Errno;

/// `PATH_MAX` of Linux, which counts the final NUL.
pub(super) const PATH_MAX: usize = 4096;
/// Longest file name.
pub(super) const NAME_MAX: usize = 255;
/// Symlinks followed in one resolution before it is `ELOOP`, as on Linux.
pub(super) const LINKS_MAX: usize = 40;

/// Refuses what no file system accepts as a path.
pub(super) fn check(path: &str) -> FsResult<()> {
    if path.is_empty() {
        return Err(Errno::NOENT);
    }
    if path.len() >= PATH_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    if path.as_bytes().contains(&0) {
        return Err(Errno::INVAL);
    }
    Ok(())
}

/// Refuses what cannot be the target of a symlink.
pub(super) fn check_target(target: &str) -> FsResult<()> {
    check(target)
}

/// The components of a path; `a//b` has two.
pub(super) fn components(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// The last component of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last<'a> {
    /// The path is all slashes.
    Root,
    Dot,
    DotDot,
    Name(&'a str),
}

/// A path cut before its last component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split<'a> {
    /// Without the last component; empty means the root.
    pub(super) parent: &'a str,
    pub(super) last: Last<'a>,
    /// Slashes follow the last component: it must be a directory.
    pub(super) slash: bool,
}

/// How a resolution takes the last component.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    /// Through a symlink there.
    pub(super) follow: bool,
    /// To create a file there if there is none: then a slash after it is `EISDIR` without a look at
    /// what is there, as on Linux.
    pub(super) create: bool,
}

impl Ending {
    pub(super) fn of_open(options: &OpenOptions) -> Ending {
        let exclusive = options.create && options.exclusive;
        Ending { follow: !options.no_follow && !exclusive, create: options.create }
    }
}

impl From<bool> for Ending {
    fn from(follow: bool) -> Ending {
        Ending { follow, create: false }
    }
}

/// Cuts a path before its last component.
pub(super) fn split(path: &str) -> Split<'_> {
    let trimmed = path.trim_end_matches('/');
    let slash = trimmed.len() != path.len();
    let (parent, name) = match trimmed.rfind('/') {
        Some(at) => trimmed.split_at(at + 1),
        None => ("", trimmed),
    };
    let last = match name {
        "" => Last::Root,
        "." => Last::Dot,
        ".." => Last::DotDot,
        name => Last::Name(name),
    };
    Split { parent, last, slash }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn splits() {
        let table = [
            ("a", "", Last::Name("a"), false),
            ("/a", "/", Last::Name("a"), false),
            ("a/b", "a/", Last::Name("b"), false),
            ("a/b//", "a/", Last::Name("b"), true),
            ("a//b", "a//", Last::Name("b"), false),
            ("/", "", Last::Root, true),
            ("", "", Last::Root, false),
            (".", "", Last::Dot, false),
            ("a/..", "a/", Last::DotDot, false),
            ("a/./", "a/", Last::Dot, true),
        ];
        for (path, parent, last, slash) in table {
            assert_eq!(split(path), Split { parent, last, slash }, "{path:?}");
        }
    }

    #[test]
    fn refuses() {
        let long = "x".repeat(PATH_MAX);
        for (path, errno) in
            [("", Errno::NOENT), ("a\0b", Errno::INVAL), (&long[..], Errno::NAMETOOLONG)]
        {
            assert_eq!(check(path), Err(errno));
        }
        assert_eq!(check(&long[1..]), Ok(()));
    }
}
