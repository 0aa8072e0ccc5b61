//! Commands inside the toolchain's Debian root.

use std::path::PathBuf;
use std::process::Command;

use crate::paths::WORK;

/// The Debian root, entered by `chroot` in a mount namespace of its own: whatever happens to the command, nothing
/// stays mounted.
pub(crate) struct Chroot {
    root: PathBuf,
}

/// PostgreSQL 17.0's release, for whatever wants to write a date into its output.
const SOURCE_DATE_EPOCH: &str = "1727308800";

impl Chroot {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// A shell script; it stops at the first command that fails. It sees nothing of the caller's environment.
    pub(crate) fn script(&self, script: &str) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-euc"])
            .arg(r#"mount -t proc proc "$0/proc"; cd "$0"; exec chroot "$0" /bin/sh -euc "$1""#)
            .arg(&self.root)
            .arg(script)
            .env_clear()
            .env("PATH", format!("{WORK}/bin:/usr/sbin:/usr/bin:/sbin:/bin"))
            .env("HOME", "/root")
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH);
        command
    }
}

/// A word of a shell script.
pub(crate) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn quotes_survive_the_shell() {
        assert_eq!(super::quote("it's"), r"'it'\''s'");
    }
}
