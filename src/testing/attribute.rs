//! What code written by `#[pglite_oxide::test]` calls. Nobody else should.

use std::error::Error;
use std::path::{Path, PathBuf};

use super::parameter::{AsyncTestParameter, StartResult, TestParameter};
use crate::snapshot::Snapshot;

/// A directory of the package that is tested.
///
/// The package may have moved since the test was compiled, as it does with archives of cargo-nextest, which
/// says where to.
pub fn in_package(package: &str, directory: &str) -> PathBuf {
    let compiled = Path::new(package).join(directory);
    if compiled.is_dir() {
        return compiled;
    }
    let moved = std::env::var_os("CARGO_MANIFEST_DIR").map(|now| Path::new(&now).join(directory));
    moved.filter(|moved| moved.is_dir()).unwrap_or(compiled)
}

/// A parameter of a test.
///
/// # Errors
///
/// Those of the parameter.
pub fn start<T: TestParameter>(snapshot: &Snapshot) -> StartResult<T, T::Guard> {
    T::start(snapshot)
}

/// A parameter of an asynchronous test.
///
/// # Errors
///
/// Those of the parameter.
pub async fn start_async<T: AsyncTestParameter>(snapshot: &Snapshot) -> StartResult<T, T::Guard> {
    T::start_async(snapshot).await
}

/// The test has no database.
///
/// # Panics
///
/// Always, at the test, with the error and its causes.
#[track_caller]
pub fn fail(error: impl Into<Box<dyn Error + Send + Sync>>) -> ! {
    panic!("{}", message(error.into().as_ref()));
}

/// The same for a test that is expected to panic.
#[track_caller]
pub fn report(error: impl Into<Box<dyn Error + Send + Sync>>) {
    eprintln!("{}", message(error.into().as_ref()));
}

fn message(error: &(dyn Error + 'static)) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        // Some say it themselves.
        if !message.contains(&cause) {
            message += &format!("\ncaused by: {cause}");
        }
        source = error.source();
    }
    message
}

/// Runs an asynchronous test, as `#[tokio::test]` does: on this thread.
///
/// # Panics
///
/// If the test does, and if the system has no room for a run time.
#[cfg(feature = "tokio")]
#[track_caller]
pub fn block_on<F: Future>(test: F) -> F::Output {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(test),
        Err(error) => panic!("there is no Tokio run time for the test: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_a_package() {
        let package = env!("CARGO_MANIFEST_DIR");
        assert_eq!(in_package(package, "src/testing"), Path::new(package).join("src/testing"));
        // It is named as it was compiled when it is nowhere.
        assert_eq!(in_package("/gone", "src/nowhere"), Path::new("/gone/src/nowhere"));
    }

    #[test]
    fn causes_are_told_once() {
        #[derive(Debug)]
        struct Outer(std::io::Error);
        impl std::fmt::Display for Outer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("it cannot connect")
            }
        }
        impl Error for Outer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let error = Outer(std::io::Error::other("the network is gone"));
        assert_eq!(message(&error), "it cannot connect\ncaused by: the network is gone");
        assert_eq!(message(&std::io::Error::other("the network is gone")), "the network is gone");
    }
}
