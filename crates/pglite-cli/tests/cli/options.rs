//! The command line itself.

use crate::harness::{Dir, assert_one_line, outcome};

#[test]
fn wrong_options_are_refused_in_one_line() {
    let dir = Dir::new();
    let password = dir.file("password", "x");
    let cases: &[(&[&str], &str)] = &[
        (&["serve", "--prot", "1"], "--prot"),
        (&["serve", "--port", "70000"], "70000"),
        (&["serve", "--port"], "--port"),
        (&["serve", "extra"], "extra"),
        (&["serve", "--host", "example.org"], "IP address"),
        (&["serve", "--path", "x", "--temporary"], "cannot be used with"),
        (&["serve", "--path", "x", "--memory-limit", "1GB"], "cannot be used with"),
        (&["serve", "--memory-limit", "much"], "512MB"),
        (&["serve", "--no-tcp"], "--socket"),
        (&["serve", "--no-tcp", "--socket", "x", "--port", "1"], "cannot be used with"),
        (&["serve", "--max-connections", "0"], "from 1 to 262143"),
        (&["serve", "--max-connections", "262144"], "from 1 to 262143"),
        (&["serve", "--max-connections", "few"], "from 1 to 262143"),
        (&["serve", "--config", "work_mem"], "NAME=VALUE"),
        (&["serve", "--config", "port=1"], "use --port"),
        (&["serve", "--config", "a b=1"], "a name has letters"),
        (&["serve", "--config", "dynamic_shared_memory_type=posix"], "cannot be used"),
        (&["serve", "--mount", "/data"], "HOST:GUEST"),
        (&["serve", "--mount", "/data:/pgdata/x"], "PostgreSQL's own"),
        (&["serve", "--host", "0.0.0.0"], "--allow-remote and --password-file"),
        (&["serve", "--host", "0.0.0.0", "--password-file", &password], "--allow-remote"),
        (&["serve", "--host", "0.0.0.0", "--allow-remote"], "--password-file"),
        (&["serve", "--show-password"], "--password-file"),
        (&["serve", "--quiet", "--log-level", "info"], "cannot be used with"),
        (&["run"], "CMD"),
        (&["run", "--prot", "true"], "--prot"),
        (&["url", "--port", "1"], "--port"),
        (&["start"], "start"),
        #[cfg(feature = "tls")]
        (&["serve", "--tls-cert", "x"], "--tls-key"),
        #[cfg(feature = "tls")]
        (&["serve", "--tls-cert-out", "x"], "--tls"),
    ];
    for (args, hint) in cases {
        let refused = outcome(args);
        assert_eq!((refused.status, refused.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert_one_line(&refused.stderr);
        assert!(refused.stderr.contains(hint), "{args:?}: {}", refused.stderr);
    }
}

#[test]
fn files_that_cannot_be_used() {
    let dir = Dir::new();
    let empty = dir.file("empty", "\nsecond line\n");
    let notes = dir.at("");
    dir.file("notes.txt", "mine");
    let missing = dir.at("missing");
    let cases: &[(&[&str], &str)] = &[
        (&["--password-file", &missing], "No such file"),
        (&["--password-file", &empty], "is empty"),
        (&["--path", &notes], "not a PostgreSQL data directory"),
        (&["--path", &empty], "is a file, not a directory"),
        (&["--ready-file", "/dev/null/ready"], "/dev/null/ready"),
        #[cfg(feature = "tls")]
        (&["--tls", "--tls-cert-out", "/dev/null/cert"], "certificate file /dev/null/cert"),
        #[cfg(feature = "tls")]
        (&["--tls-cert", &empty, "--tls-key", &missing], &missing),
        #[cfg(feature = "tls")]
        (&["--tls-cert", &empty, "--tls-key", &empty], &empty),
    ];
    for (args, hint) in cases {
        for (command, rest, status) in [("serve", None, 1), ("run", Some("true"), 125)] {
            if command == "run" && args[0] == "--ready-file" {
                continue;
            }
            let args: Vec<&str> =
                [command, "--quiet"].iter().chain(*args).copied().chain(rest).collect();
            let failed = outcome(&args);
            assert_eq!((failed.status, failed.stdout.as_str()), (Some(status), ""), "{args:?}");
            assert_one_line(&failed.stderr);
            assert!(failed.stderr.contains(hint), "{args:?}: {}", failed.stderr);
        }
    }
}

#[test]
fn help_and_version() {
    let version = outcome(&["--version"]);
    assert_eq!(version.status, Some(0));
    let expected = concat!("pglite ", env!("CARGO_PKG_VERSION"), " (PostgreSQL 17.");
    assert!(version.stdout.starts_with(expected), "{}", version.stdout);

    for (args, text) in [
        (&["--help"][..], "serve"),
        (&["serve", "--help"], "--ready-file"),
        (&["run", "--help"], "127"),
        (&["url", "--help"], "--path"),
    ] {
        let help = outcome(args);
        assert_eq!((help.status, help.stderr.as_str()), (Some(0), ""), "{args:?}");
        assert!(help.stdout.contains(text), "{args:?}: {}", help.stdout);
    }
    assert_eq!(outcome::<&str>(&[]).status, Some(2));
}
