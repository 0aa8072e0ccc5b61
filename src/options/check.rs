//! What can be wrong with an option before anything is opened.

use crate::cluster::RESERVED_PATHS;
use crate::error::ConfigError;

/// The setting behind `preload`.
pub(super) const PRELOAD: &str = "shared_preload_libraries";

/// PostgreSQL takes a list of names, in which others would have to be quoted.
pub(super) fn check_module_name(name: &str) -> Result<(), ConfigError> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    match !name.is_empty() && name.bytes().all(valid) {
        true => Ok(()),
        false => Err(ConfigError::InvalidValue {
            name: PRELOAD.into(),
            value: name.into(),
            reason: "a module's name has letters, digits, underscores and hyphens".into(),
        }),
    }
}

const OWN_SOCKETS: &str = "the library opens the sockets: see `PgliteServer`";
const OWN_LOG: &str = "the library reads the log and passes it on to `tracing`";

/// Settings that the library itself makes.
const RESERVED: &[(&str, &str)] = &[
    ("data_directory", "use the builder's `path`"),
    ("listen_addresses", OWN_SOCKETS),
    ("unix_socket_directories", OWN_SOCKETS),
    ("port", OWN_SOCKETS),
    ("dynamic_shared_memory_type", "only System V segments are shared by all processes"),
    ("log_line_prefix", OWN_LOG),
    ("log_destination", OWN_LOG),
    ("logging_collector", OWN_LOG),
];

pub(super) fn check_setting(name: &str, value: &str) -> Result<(), ConfigError> {
    let invalid =
        |reason: &str| ConfigError::InvalidName { name: name.into(), reason: reason.into() };
    let valid_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    if name.is_empty() || !name.bytes().all(valid_byte) {
        return Err(invalid("a name has letters, digits, underscores and dots"));
    }
    if let Some((_, why)) =
        RESERVED.iter().find(|(reserved, _)| name.eq_ignore_ascii_case(reserved))
    {
        return Err(invalid(why));
    }
    if value.contains('\0') {
        return Err(ConfigError::InvalidValue {
            name: name.into(),
            value: value.into(),
            reason: "it has a NUL in it".into(),
        });
    }
    Ok(())
}

pub(super) fn check_mount_point(path: &str) -> Result<(), ConfigError> {
    let conflict = |reason: &str| {
        Err(ConfigError::Conflict {
            reason: format!("nothing can be mounted at \"{path}\": {reason}"),
        })
    };
    let Some(parts) = path.strip_prefix('/') else {
        return conflict("the path is not absolute");
    };
    if path.contains('\0') || parts.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return conflict("the path is not a plain one");
    }
    let is_within = |outer: &str| {
        path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if path == "/tmp" || RESERVED_PATHS.iter().any(|reserved| is_within(reserved)) {
        return conflict("the path is PostgreSQL's own");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let cases = [
            ("work_mem", "4MB", true),
            ("my.setting", "x", true),
            ("", "x", false),
            ("a b", "x", false),
            ("work_mem=1; x", "x", false),
            ("Port", "1", false),
            ("work_mem", "4\0MB", false),
        ];
        for (name, value, valid) in cases {
            assert_eq!(check_setting(name, value).is_ok(), valid, "{name}={value}");
        }
    }

    #[test]
    fn mount_points_are_checked() {
        let cases = [
            ("/import", true),
            ("/tmp/import", true),
            ("/pgdata2", true),
            ("import", false),
            ("/", false),
            ("/a/../pgdata", false),
            ("/a//b", false),
            ("/a/", false),
            ("/tmp", false),
            ("/pgdata", false),
            ("/pgdata/pg_wal", false),
            ("/pglite/share", false),
            ("/run/x", false),
            ("/dev", false),
        ];
        for (path, valid) in cases {
            assert_eq!(check_mount_point(path).is_ok(), valid, "{path}");
        }
    }
}
