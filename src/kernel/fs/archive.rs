//! A flat image of a tree of files, to be used where it lies: mapped from a file, or in memory.
//!
//! This file depends on the standard library alone, because our build tool includes it by path to
//! write the archives that the library reads.
//!
//! # Format
//!
//! All numbers are little-endian.
//!
//! | part | contents |
//! |---|---|
//! | header, 64 bytes | magic, version, number of entries, full pages and short pages, length of the index, length of the archive, hash of header and index, hash of the pages, zeros |
//! | index | for each entry, sorted by path: kind (1 byte), length of the path (2), path; for a file its length (8) and a page number (4) for each 8 KiB of it, for a symlink the length of its target (2) and the target; then the length (2) of each short page |
//! | zeros | up to the next multiple of 8 KiB |
//! | full pages | 8 KiB each, so that each is two pages of the host when mapped |
//! | short pages | end to end: the ends of files, and pages with little but zeros after their start |
//!
//! Page number 0 is a page of zeros, which is not stored; then come the full pages, then the short
//! ones. A page that occurs twice is stored once. The same files always give the same bytes: nothing
//! of times, owners or the order of a directory is in them.
//!
//! [`Archive::parse`] checks all that it returns, so that nothing can lie outside, but reads the
//! index only. [`Archive::verify`] also reads the pages; once, when an archive is unpacked.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

/// Bytes of a page; Postgres' block size.
const PAGE: usize = 8192;
/// A page is stored short if all is zero from here on.
const SHORT: usize = PAGE / 2;
const HEADER: usize = 64;
const MAGIC: [u8; 8] = *b"pgoxtree";
const VERSION: u32 = 1;
/// Largest file that an archive may have.
const LEN_MAX: u64 = 1 << 40;

const DIRECTORY: u8 = 1;
const FILE: u8 = 2;
const SYMLINK: u8 = 3;

/// One file to be written to an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// From the root of the archive, without a slash at either end. The directory it is in must be
    /// an entry, too.
    pub(crate) path: String,
    pub(crate) body: EntryBody,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EntryBody {
    Directory,
    File(Vec<u8>),
    Symlink(String),
}

/// Why bytes are not an archive, or entries cannot be one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum ArchiveError {
    /// It does not start like an archive.
    NotAnArchive,
    /// It was written by another version of this library.
    Version(u32),
    /// It is shorter or longer than it says.
    Length,
    /// The bytes of this part are not those that were written.
    Damaged(&'static str),
    /// It contradicts itself; what about.
    Invalid(&'static str),
    /// An entry that cannot be in an archive.
    Entry { path: String, reason: &'static str },
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArchiveError::NotAnArchive => f.write_str("not a file tree archive"),
            ArchiveError::Version(found) => {
                write!(f, "file tree archive of version {found}, this library reads {VERSION}")
            }
            ArchiveError::Length => f.write_str("file tree archive is truncated or has a tail"),
            ArchiveError::Damaged(part) => write!(f, "file tree archive is damaged: {part}"),
            ArchiveError::Invalid(what) => write!(f, "file tree archive is invalid: {what}"),
            ArchiveError::Entry { path, reason } => write!(f, "cannot archive {path:?}: {reason}"),
        }
    }
}

impl std::error::Error for ArchiveError {}

/// The index of an archive, checked.
#[derive(Debug)]
pub(crate) struct Archive<'a> {
    /// Sorted by path; each after the directory it is in.
    pub(crate) entries: Vec<Item<'a>>,
    data: &'a [u8],
    data_hash: u64,
}

#[derive(Debug)]
pub(crate) struct Item<'a> {
    pub(crate) path: &'a str,
    pub(crate) body: ItemBody<'a>,
}

#[derive(Debug)]
pub(crate) enum ItemBody<'a> {
    Directory,
    /// For each 8 KiB where their bytes are in the archive, and how many there are before zeros
    /// follow; `None` where there are only zeros.
    File {
        len: u64,
        pages: Vec<Option<(usize, u16)>>,
    },
    Symlink(&'a str),
}

/// Not cryptographic: it finds accidents. Each step is a bijection of the state, so that no single
/// changed word goes unnoticed.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let step = |state: u64, word: u64| (state ^ word).wrapping_mul(FACTOR).rotate_left(29);
    let (words, rest) = bytes.as_chunks::<8>();
    let state = words.iter().fold(seed, |state, word| step(state, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let state = step(state, u64::from_le_bytes(last));
    step(state, bytes.len() as u64)
}

/// Takes numbers and texts off the front of the index.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], ArchiveError> {
        let (taken, rest) =
            self.0.split_at_checked(len).ok_or(ArchiveError::Invalid("index too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ArchiveError> {
        Ok(self.take(N)?.try_into().expect("as long as asked for"))
    }

    fn u16(&mut self) -> Result<u16, ArchiveError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, ArchiveError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ArchiveError> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<&'a str, ArchiveError> {
        let len = usize::from(self.u16()?);
        std::str::from_utf8(self.take(len)?).map_err(|_| ArchiveError::Invalid("name is not UTF-8"))
    }
}

fn usize_of(number: u64) -> Result<usize, ArchiveError> {
    usize::try_from(number).map_err(|_| ArchiveError::Length)
}

/// Why `path` cannot be the path of an entry.
fn path_problem(path: &str) -> Option<&'static str> {
    if path.is_empty() || path.len() >= 4096 {
        return Some("path is empty or too long");
    }
    let bad = |name: &str| matches!(name, "" | "." | "..") || name.len() > 255;
    if path.contains('\0') || path.split('/').any(bad) {
        return Some("path has a name that no file can have");
    }
    None
}

/// Why `target` cannot be the target of a symlink.
fn target_problem(target: &str) -> Option<&'static str> {
    (target.is_empty() || target.len() >= 4096 || target.contains('\0'))
        .then_some("symlink has a target that none can have")
}

impl<'a> Archive<'a> {
    /// Reads the index.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Archive<'a>, ArchiveError> {
        let mut header = Reader(bytes.get(..HEADER).ok_or(ArchiveError::Length)?);
        if header.array()? != MAGIC {
            return Err(ArchiveError::NotAnArchive);
        }
        let version = header.u32()?;
        if version != VERSION {
            return Err(ArchiveError::Version(version));
        }
        let (entries, full, short) = (header.u32()?, header.u32()?, header.u32()?);
        let (index_len, total_len) = (usize_of(header.u64()?)?, usize_of(header.u64()?)?);
        let (head_hash, data_hash) = (header.u64()?, header.u64()?);
        if header.u64()? != 0 {
            return Err(ArchiveError::Damaged("header"));
        }
        let index_end = HEADER.checked_add(index_len).ok_or(ArchiveError::Length)?;
        let start = index_end.checked_next_multiple_of(PAGE).ok_or(ArchiveError::Length)?;
        if total_len != bytes.len() || start > total_len {
            return Err(ArchiveError::Length);
        }
        if head_hash != hash_of_head(&bytes[..start]) {
            return Err(ArchiveError::Damaged("index"));
        }

        let mut reader = Reader(&bytes[HEADER..index_end]);
        // The lengths of the short pages are at the end of the index, and needed first.
        let lengths_at = usize_of(u64::from(short) * 2)
            .ok()
            .and_then(|len| index_len.checked_sub(len))
            .ok_or(ArchiveError::Invalid("index too short"))?;
        let (items, lengths) = reader.0.split_at(lengths_at);
        reader.0 = items;
        let pages = Pages::new(start, total_len, full, lengths)?;

        // The count is not to be trusted with an allocation before that many entries are seen.
        let mut found: Vec<Item<'a>> = Vec::new();
        let mut directories = HashSet::from([""]);
        for _ in 0..entries {
            let kind = reader.array::<1>()?[0];
            let path = reader.text()?;
            if let Some(problem) = path_problem(path) {
                return Err(ArchiveError::Invalid(problem));
            }
            if found.last().is_some_and(|before| before.path >= path) {
                return Err(ArchiveError::Invalid("entries are not sorted"));
            }
            if !directories.contains(path.rsplit_once('/').map_or("", |(parent, _)| parent)) {
                return Err(ArchiveError::Invalid("entry without its directory"));
            }
            let body = match kind {
                DIRECTORY => {
                    directories.insert(path);
                    ItemBody::Directory
                }
                FILE => pages.file(&mut reader)?,
                SYMLINK => {
                    let target = reader.text()?;
                    if let Some(problem) = target_problem(target) {
                        return Err(ArchiveError::Invalid(problem));
                    }
                    ItemBody::Symlink(target)
                }
                _ => return Err(ArchiveError::Invalid("unknown kind of entry")),
            };
            found.push(Item { path, body });
        }
        if !reader.0.is_empty() {
            return Err(ArchiveError::Invalid("index too long"));
        }
        Ok(Archive { entries: found, data: &bytes[start..], data_hash })
    }

    /// Reads all pages and checks that they are those that were written.
    pub(crate) fn verify(&self) -> Result<(), ArchiveError> {
        if hash(VERSION.into(), self.data) == self.data_hash {
            Ok(())
        } else {
            Err(ArchiveError::Damaged("pages"))
        }
    }
}

/// Of everything before the pages, with the hash itself as zero.
fn hash_of_head(head: &[u8]) -> u64 {
    let state = hash(VERSION.into(), &head[..40]);
    hash(state, &head[48..])
}

fn put_head_hash(bytes: &mut [u8], start: usize) {
    let hash = hash_of_head(&bytes[..start]);
    bytes[40..48].copy_from_slice(&hash.to_le_bytes());
}

/// Makes the hash of a changed small archive fit again.
#[cfg(test)]
pub(crate) fn rehash(bytes: &mut [u8]) {
    put_head_hash(bytes, PAGE);
}

/// Where the pages of an archive are.
struct Pages {
    start: usize,
    full: usize,
    /// Offset and length.
    short: Vec<(usize, u16)>,
}

impl Pages {
    fn new(start: usize, end: usize, full: u32, lengths: &[u8]) -> Result<Pages, ArchiveError> {
        let full = usize_of(full.into())?;
        let mut at = full
            .checked_mul(PAGE)
            .and_then(|len| len.checked_add(start))
            .filter(|at| *at <= end)
            .ok_or(ArchiveError::Length)?;
        let mut short = Vec::with_capacity(lengths.len() / 2);
        for len in lengths.as_chunks::<2>().0 {
            let len = u16::from_le_bytes(*len);
            if len == 0 || usize::from(len) > PAGE {
                return Err(ArchiveError::Invalid("short page is empty or too long"));
            }
            short.push((at, len));
            at = at.checked_add(len.into()).ok_or(ArchiveError::Length)?;
        }
        if at != end {
            return Err(ArchiveError::Length);
        }
        Ok(Pages { start, full, short })
    }

    fn file<'a>(&self, reader: &mut Reader<'a>) -> Result<ItemBody<'a>, ArchiveError> {
        let len = reader.u64()?;
        if len > LEN_MAX {
            return Err(ArchiveError::Invalid("file too long"));
        }
        let count = usize_of(len.div_ceil(PAGE as u64))?;
        let numbers = reader.take(count.checked_mul(4).ok_or(ArchiveError::Length)?)?;
        let mut pages = Vec::with_capacity(count);
        let mut left = len;
        for number in numbers.as_chunks::<4>().0 {
            let page = self.get(usize_of(u32::from_le_bytes(*number).into())?)?;
            // Bytes after the end of the file would appear when it grows.
            if page.is_some_and(|(_, page)| u64::from(page) > left) {
                return Err(ArchiveError::Invalid("page longer than its file"));
            }
            pages.push(page);
            left = left.saturating_sub(PAGE as u64);
        }
        Ok(ItemBody::File { len, pages })
    }

    fn get(&self, number: usize) -> Result<Option<(usize, u16)>, ArchiveError> {
        let Some(number) = number.checked_sub(1) else {
            return Ok(None);
        };
        if number < self.full {
            let len = u16::try_from(PAGE).expect("8192");
            return Ok(Some((self.start + number * PAGE, len)));
        }
        let page = self.short.get(number - self.full).copied();
        page.map(Some).ok_or(ArchiveError::Invalid("no such page"))
    }
}

/// A page to be written, by where it will be.
#[derive(Clone, Copy)]
enum Slot {
    Zeros,
    Full(usize),
    Short(usize),
}

/// Makes an archive of entries in any order.
pub(crate) fn write(entries: impl IntoIterator<Item = Entry>) -> Result<Vec<u8>, ArchiveError> {
    let mut entries: Vec<Entry> = entries.into_iter().collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let refuse = |path: &str, reason| ArchiveError::Entry { path: path.to_owned(), reason };
    let mut directories = HashSet::from([""]);
    for (n, Entry { path, body }) in entries.iter().enumerate() {
        if let Some(problem) = path_problem(path) {
            return Err(refuse(path, problem));
        }
        if n > 0 && entries[n - 1].path == *path {
            return Err(refuse(path, "it is there twice"));
        }
        if !directories.contains(path.rsplit_once('/').map_or("", |(parent, _)| parent)) {
            return Err(refuse(path, "its directory is not there"));
        }
        match body {
            EntryBody::Directory => {
                directories.insert(path);
            }
            EntryBody::Symlink(target) => {
                if let Some(problem) = target_problem(target) {
                    return Err(refuse(path, problem));
                }
            }
            EntryBody::File(_) => {}
        }
    }

    // In the order of first use, so that what is read together lies together.
    let (mut full, mut short) = (Vec::<&[u8]>::new(), Vec::<&[u8]>::new());
    let mut known: HashMap<&[u8], Slot> = HashMap::new();
    let mut slots = Vec::new();
    for entry in &entries {
        let EntryBody::File(bytes) = &entry.body else {
            continue;
        };
        for page in bytes.chunks(PAGE) {
            let used = page.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            let page = if page.len() == PAGE && used > SHORT { page } else { &page[..used] };
            slots.push(*known.entry(page).or_insert_with(|| match page.len() {
                0 => Slot::Zeros,
                PAGE => {
                    full.push(page);
                    Slot::Full(full.len())
                }
                _ => {
                    short.push(page);
                    Slot::Short(short.len())
                }
            }));
        }
    }

    let count = |number: usize| {
        u32::try_from(number).map_err(|_| ArchiveError::Invalid("more than 32 bits can count"))
    };
    let mut slots = slots.into_iter();
    let mut index = Vec::new();
    for Entry { path, body } in &entries {
        index.push(match body {
            EntryBody::Directory => DIRECTORY,
            EntryBody::File(_) => FILE,
            EntryBody::Symlink(_) => SYMLINK,
        });
        push_text(&mut index, path);
        match body {
            EntryBody::Directory => {}
            EntryBody::Symlink(target) => push_text(&mut index, target),
            EntryBody::File(bytes) => {
                index.extend((bytes.len() as u64).to_le_bytes());
                for slot in slots.by_ref().take(bytes.len().div_ceil(PAGE)) {
                    let number = match slot {
                        Slot::Zeros => 0,
                        Slot::Full(number) => number,
                        Slot::Short(number) => full.len() + number,
                    };
                    index.extend(count(number)?.to_le_bytes());
                }
            }
        }
    }
    for page in &short {
        index.extend(u16::try_from(page.len()).expect("at most a page").to_le_bytes());
    }

    let start = (HEADER + index.len()).next_multiple_of(PAGE);
    let mut out = vec![0; start];
    out[HEADER..HEADER + index.len()].copy_from_slice(&index);
    out.extend(full.concat());
    out.extend(short.concat());
    let mut header = Vec::with_capacity(HEADER);
    header.extend(MAGIC);
    for number in [VERSION, count(entries.len())?, count(full.len())?, count(short.len())?] {
        header.extend(number.to_le_bytes());
    }
    for number in [index.len() as u64, out.len() as u64, 0, hash(VERSION.into(), &out[start..])] {
        header.extend(number.to_le_bytes());
    }
    out[..header.len()].copy_from_slice(&header);
    put_head_hash(&mut out, start);
    // What cannot be read again must not be shipped.
    Archive::parse(&out)?;
    Ok(out)
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.extend(u16::try_from(text.len()).expect("checked to be below 4096").to_le_bytes());
    out.extend(text.as_bytes());
}

/// The entries of a host directory, but for those that `keep` does not want (with all below them).
/// Symlinks are kept as they are; what is neither file, directory nor symlink is an error.
pub(crate) fn read_dir(root: &Path, mut keep: impl FnMut(&str) -> bool) -> io::Result<Vec<Entry>> {
    let invalid = |path: &Path, what: &str| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()))
    };
    let mut entries = Vec::new();
    let mut todo = vec![String::new()];
    while let Some(dir) = todo.pop() {
        for found in fs::read_dir(root.join(&dir))? {
            let found = found?;
            let host = found.path();
            let name = found.file_name();
            let name = name.to_str().ok_or_else(|| invalid(&host, "name is not UTF-8"))?;
            let path = if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
            if !keep(&path) {
                continue;
            }
            let kind = found.file_type()?;
            let body = if kind.is_dir() {
                todo.push(path.clone());
                EntryBody::Directory
            } else if kind.is_file() {
                EntryBody::File(fs::read(&host)?)
            } else if kind.is_symlink() {
                let target = fs::read_link(&host)?;
                let target =
                    target.to_str().ok_or_else(|| invalid(&host, "target is not UTF-8"))?;
                EntryBody::Symlink(target.to_owned())
            } else {
                return Err(invalid(&host, "neither a file nor a directory nor a symlink"));
            };
            entries.push(Entry { path, body });
        }
    }
    // The host lists names in any order.
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}
