//! A wrapper that makes the file system under it fail on purpose.

use std::io::{IoSlice, IoSliceMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::{DirEntry, File, FileSystem, FsResult, Metadata, OpenOptions};
use crate::kernel::errno::Errno;

/// A kind of call that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Open,
    Metadata,
    CreateDir,
    RemoveDir,
    RemoveFile,
    Rename,
    Link,
    Symlink,
    ReadLink,
    Read,
    /// Appends, too.
    Write,
    SetLen,
    Allocate,
    Sync,
    SetModified,
    ReadDir,
}

/// What happens instead of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call fails, and the file system under the wrapper does not see it.
    Error(Errno),
    /// A write of at most this many bytes, which says so.
    Short(usize),
    /// A write of at most this many bytes that then fails: what a crash or a bad disk leaves.
    Torn(usize, Errno),
}

/// When a fault happens.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) operation: Operation,
    /// Only for paths that contain this. A file has the path that it was opened with; a rename and
    /// a link have both of theirs.
    pub(crate) path: Option<String>,
    /// Calls that match and still succeed before the first fault.
    pub(crate) skip: u64,
    /// Faults until the rule has no effect any more.
    pub(crate) times: u64,
    pub(crate) fault: Fault,
}

impl Rule {
    /// The next call fails, once.
    pub(crate) fn once(operation: Operation, errno: Errno) -> Rule {
        Rule { operation, path: None, skip: 0, times: 1, fault: Fault::Error(errno) }
    }

    /// All calls fail.
    pub(crate) fn always(operation: Operation, errno: Errno) -> Rule {
        Rule { times: u64::MAX, ..Rule::once(operation, errno) }
    }

    pub(crate) fn on(self, path: &str) -> Rule {
        Rule { path: Some(path.to_owned()), ..self }
    }

    pub(crate) fn after(self, skip: u64) -> Rule {
        Rule { skip, ..self }
    }
}

#[derive(Debug, Default)]
struct Plan {
    rules: Vec<Rule>,
    injected: u64,
}

type SharedPlan = Arc<Mutex<Plan>>;

fn locked(plan: &SharedPlan) -> MutexGuard<'_, Plan> {
    // A plan is whole between any two statements.
    plan.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The fault for a call, if it is time for one.
fn next_fault(plan: &SharedPlan, operation: Operation, paths: &[&str]) -> Option<Fault> {
    let mut plan = locked(plan);
    let mut fault = None;
    // Every rule counts the call, also if an earlier one already has a fault for it.
    for rule in &mut plan.rules {
        let matches = rule.path.as_ref().is_none_or(|part| paths.iter().any(|p| p.contains(part)));
        if rule.operation != operation || !matches || rule.times == 0 {
            continue;
        }
        if rule.skip > 0 {
            rule.skip -= 1;
        } else if fault.is_none() {
            rule.times -= 1;
            fault = Some(rule.fault);
        }
    }
    plan.injected += u64::from(fault.is_some());
    fault
}

/// Fails where the fault for the call is an error; other faults are for writes only.
fn check(plan: &SharedPlan, operation: Operation, paths: &[&str]) -> FsResult<()> {
    match next_fault(plan, operation, paths) {
        None | Some(Fault::Short(_)) => Ok(()),
        Some(Fault::Error(errno) | Fault::Torn(_, errno)) => Err(errno),
    }
}

/// A file system that fails by rules.
#[derive(Debug)]
pub(crate) struct FaultFs {
    inner: Arc<dyn FileSystem>,
    plan: SharedPlan,
}

impl FaultFs {
    pub(crate) fn new(inner: Arc<dyn FileSystem>) -> FaultFs {
        FaultFs { inner, plan: SharedPlan::default() }
    }

    /// Adds a rule, for files that are open already, too.
    pub(crate) fn inject(&self, rule: Rule) {
        locked(&self.plan).rules.push(rule);
    }

    /// From now on all is well.
    pub(crate) fn clear(&self) {
        locked(&self.plan).rules.clear();
    }

    /// Faults so far: a test that injects one can tell whether it was reached.
    pub(crate) fn injected(&self) -> u64 {
        locked(&self.plan).injected
    }

    fn check(&self, operation: Operation, paths: &[&str]) -> FsResult<()> {
        check(&self.plan, operation, paths)
    }
}

impl FileSystem for FaultFs {
    fn open(&self, path: &str, options: OpenOptions) -> FsResult<Arc<dyn File>> {
        self.check(Operation::Open, &[path])?;
        let inner = self.inner.open(path, options)?;
        let plan = Arc::clone(&self.plan);
        Ok(Arc::new(FaultFile { inner, plan, path: path.to_owned() }))
    }

    fn metadata(&self, path: &str, follow: bool) -> FsResult<Metadata> {
        self.check(Operation::Metadata, &[path])?;
        self.inner.metadata(path, follow)
    }

    fn create_dir(&self, path: &str) -> FsResult<()> {
        self.check(Operation::CreateDir, &[path])?;
        self.inner.create_dir(path)
    }

    fn remove_dir(&self, path: &str) -> FsResult<()> {
        self.check(Operation::RemoveDir, &[path])?;
        self.inner.remove_dir(path)
    }

    fn remove_file(&self, path: &str) -> FsResult<()> {
        self.check(Operation::RemoveFile, &[path])?;
        self.inner.remove_file(path)
    }

    fn rename(&self, from: &str, to: &str) -> FsResult<()> {
        self.check(Operation::Rename, &[from, to])?;
        self.inner.rename(from, to)
    }

    fn link(&self, from: &str, to: &str) -> FsResult<()> {
        self.check(Operation::Link, &[from, to])?;
        self.inner.link(from, to)
    }

    fn symlink(&self, target: &str, path: &str) -> FsResult<()> {
        self.check(Operation::Symlink, &[path])?;
        self.inner.symlink(target, path)
    }

    fn read_link(&self, path: &str) -> FsResult<String> {
        self.check(Operation::ReadLink, &[path])?;
        self.inner.read_link(path)
    }
}

#[derive(Debug)]
struct FaultFile {
    inner: Arc<dyn File>,
    plan: SharedPlan,
    path: String,
}

impl FaultFile {
    fn check(&self, operation: Operation) -> FsResult<()> {
        check(&self.plan, operation, &[&self.path])
    }

    /// Writes by `write` what the fault for this call lets through.
    fn write<T>(
        &self,
        buffers: &[IoSlice<'_>],
        write: impl Fn(&[IoSlice<'_>]) -> FsResult<T>,
    ) -> FsResult<T> {
        let (most, errno) = match next_fault(&self.plan, Operation::Write, &[&self.path]) {
            None => return write(buffers),
            Some(Fault::Error(errno)) => return Err(errno),
            Some(Fault::Short(most)) => (most, None),
            Some(Fault::Torn(most, errno)) => (most, Some(errno)),
        };
        let bytes: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.iter().copied()).collect();
        let written = write(&[IoSlice::new(&bytes[..bytes.len().min(most)])])?;
        errno.map_or(Ok(written), Err)
    }
}

impl File for FaultFile {
    fn metadata(&self) -> FsResult<Metadata> {
        self.check(Operation::Metadata)?;
        self.inner.metadata()
    }

    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> FsResult<usize> {
        self.check(Operation::Read)?;
        self.inner.read_at(buffers, offset)
    }

    fn write_at(&self, buffers: &[IoSlice<'_>], offset: u64) -> FsResult<usize> {
        self.write(buffers, |buffers| self.inner.write_at(buffers, offset))
    }

    fn append(&self, buffers: &[IoSlice<'_>]) -> FsResult<(usize, u64)> {
        self.write(buffers, |buffers| self.inner.append(buffers))
    }

    fn set_len(&self, len: u64) -> FsResult<()> {
        self.check(Operation::SetLen)?;
        self.inner.set_len(len)
    }

    fn allocate(&self, offset: u64, len: u64) -> FsResult<()> {
        self.check(Operation::Allocate)?;
        self.inner.allocate(offset, len)
    }

    fn sync(&self, data_only: bool) -> FsResult<()> {
        self.check(Operation::Sync)?;
        self.inner.sync(data_only)
    }

    fn sync_file_system(&self) -> FsResult<()> {
        self.check(Operation::Sync)?;
        self.inner.sync_file_system()
    }

    fn set_modified(&self, time: SystemTime) -> FsResult<()> {
        self.check(Operation::SetModified)?;
        self.inner.set_modified(time)
    }

    fn read_dir(&self) -> FsResult<Vec<DirEntry>> {
        self.check(Operation::ReadDir)?;
        self.inner.read_dir()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::kernel::fs::Tree;
    use crate::kernel::fs::testing::CREATE;

    #[test]
    fn rules() {
        let fs = FaultFs::new(Arc::new(Tree::new()));
        let (wal, data) = (fs.open("wal", CREATE).unwrap(), fs.open("data", CREATE).unwrap());
        let write = |file: &dyn File| file.write_at(&[IoSlice::new(b"ab"), IoSlice::new(b"cd")], 0);

        // The third write to one of the files, and only that.
        fs.inject(Rule::once(Operation::Write, Errno::NOSPC).on("wal").after(2));
        let results = [&wal, &data, &wal, &wal, &wal].map(|file| write(&**file));
        assert_eq!(results, [Ok(4), Ok(4), Ok(4), Err(Errno::NOSPC), Ok(4)]);

        fs.inject(Rule::always(Operation::Sync, Errno::IO));
        assert_eq!([wal.sync(true), data.sync(false)], [Err(Errno::IO); 2]);
        fs.clear();
        assert_eq!(wal.sync(true), Ok(()));

        wal.set_len(0).unwrap();
        fs.inject(Rule { fault: Fault::Short(3), ..Rule::once(Operation::Write, Errno::IO) });
        assert_eq!((write(&*wal), wal.metadata().unwrap().len), (Ok(3), 3));
        fs.inject(Rule {
            fault: Fault::Torn(1, Errno::IO),
            ..Rule::once(Operation::Write, Errno::IO)
        });
        assert_eq!(wal.append(&[IoSlice::new(b"xyz")]), Err(Errno::IO));
        assert_eq!(wal.metadata().unwrap().len, 4);

        fs.inject(Rule::once(Operation::Rename, Errno::IO).on("new"));
        assert_eq!(fs.rename("wal", "other"), Ok(()));
        assert_eq!(fs.rename("other", "new"), Err(Errno::IO));
        assert_eq!(fs.rename("other", "new"), Ok(()));
        assert_eq!(fs.injected(), 6);
    }
}
