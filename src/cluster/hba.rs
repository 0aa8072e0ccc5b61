//! `pg_hba.conf`: who may connect how.

use super::write_file;
use crate::kernel::errno::Errno;
use crate::kernel::fs::{FileSystem, OpenOptions, Tree};

const PATH: &str = "/pg_hba.conf";

/// The first line of a file that this library wrote.
const MARK: &str = "# Written by pglite-oxide, because a password was set.";

/// Sessions of the program that runs PostgreSQL are not asked (patch 0006); everybody else is.
const WITH_PASSWORD: &str = "
# To make rules of your own, remove the first line: then the file is left alone.
# TYPE  DATABASE     USER  ADDRESS  METHOD
local   all          all            scram-sha-256
host    all          all   all      scram-sha-256
local   replication  all            scram-sha-256
host    replication  all   all      scram-sha-256
";

/// Asks all clients for a password from the next start on. Rules that somebody has made stay as they are.
///
/// The file stays in the data directory: once a password was asked for, opening the directory without
/// one does not open it to everybody.
pub(super) fn require_password(data: &dyn FileSystem, template: &Tree) -> Result<(), Errno> {
    let current = read(data)?;
    if current.starts_with(MARK.as_bytes()) {
        return Ok(());
    }
    if current != read(template)? {
        tracing::info!("pg_hba.conf has rules of its own: they decide who needs the password");
        return Ok(());
    }
    let new = format!("{PATH}.new");
    write_file(data, &new, format!("{MARK}{WITH_PASSWORD}").as_bytes())?;
    data.rename(&new, PATH)
}

fn read(files: &dyn FileSystem) -> Result<Vec<u8>, Errno> {
    let file = files.open(PATH, OpenOptions { read: true, ..OpenOptions::default() })?;
    file.read_first(file.metadata()?.len as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(contents: &str) -> Tree {
        let tree = Tree::new();
        write_file(&tree, PATH, contents.as_bytes()).unwrap();
        tree
    }

    #[test]
    fn only_the_template_s_own_rules_are_replaced() {
        let template = tree("local all all trust\n");
        let ours = format!("{MARK}\nlocal all all scram-sha-256\n");
        let cases = [
            ("local all all trust\n", true),
            ("local all all peer\n", false),
            (ours.as_str(), false),
            ("", false),
        ];
        for (before, replaced) in cases {
            let data = tree(before);
            require_password(&data, &template).unwrap();
            let after = String::from_utf8(read(&data).unwrap()).unwrap();
            assert_eq!(after != before, replaced, "{before:?}");
            assert_eq!(after.starts_with(MARK), replaced || before.starts_with(MARK));
        }
    }
}
