//! `pglite run`.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::process::{Signal, kill_current_process_group};
use signal_hook::consts::{SIGINT, SIGUSR1};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;

use crate::harness::{Dir, Running, assert_one_line, connect, exists, outcome, pglite, value};

/// Set for a run of this program as the command: what it is to do.
const TASK: &str = "PGLITE_CLI_TEST_TASK";

/// What the command says, among what the test harness says.
const SAID: &str = "said: ";

/// Not a test by itself: the command that others let `pglite run` run.
#[test]
fn as_a_command() {
    let Ok(task) = std::env::var(TASK) else { return };
    match task.as_str() {
        "query" => {
            let mut client = connect(&std::env::var("DATABASE_URL").unwrap());
            println!("{SAID}{}", value(&mut client, "SELECT 40 + 2"));
        }
        "count" => count(|| {}),
        "signal group and count" => count(|| kill_current_process_group(Signal::INT).unwrap()),
        other => panic!("no task {other}"),
    }
}

/// Counts the SIGINT that reach it, and ends with the number. To know that there are no more, it has
/// another signal sent to `pglite`, which passes it on after those that came before.
fn count(then: impl FnOnce()) {
    let mut signals = SignalsInfo::<WithOrigin>::new([SIGINT, SIGUSR1]).unwrap();
    println!("{SAID}ready");
    then();
    let mut count = 0;
    for origin in signals.forever() {
        if origin.signal == SIGUSR1 {
            println!("{SAID}got {count}");
            std::process::exit(6);
        }
        count += 1;
        if count == 1 {
            let pglite = std::os::unix::process::parent_id().to_string();
            let mut kill = Command::new("kill").args(["-USR1", &pglite]).spawn().unwrap();
            assert!(kill.wait().unwrap().success());
        }
    }
}

/// The arguments of this program that make it a command.
fn this(task: &str) -> Vec<String> {
    let this = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
    let task = format!("{TASK}={task}");
    [
        "run",
        "--log-level",
        "debug",
        "--",
        "env",
        &task,
        &this,
        "--exact",
        "run::as_a_command",
        "--nocapture",
        "--test-threads=1",
    ]
    .map(str::to_owned)
    .to_vec()
}

#[test]
fn a_command_finds_the_server() {
    let end = outcome(&this("query"));
    assert_eq!(end.status, Some(0), "{}", end.stderr);
    assert!(end.stdout.contains("said: 42"), "{}", end.stdout);
}

#[test]
fn the_environment_is_that_of_the_server() {
    let dir = Dir::new();
    let password = dir.file("password", "s3 cret\n");
    let mut command = pglite(&[
        "run",
        "--database",
        "app",
        "--password-file",
        &password,
        "--",
        "sh",
        "-c",
        "echo $DATABASE_URL; echo $PGHOST; echo $PGPORT; echo $PGUSER; echo $PGDATABASE; \
         echo \"$PGPASSWORD\"; echo \"${PGSERVICE-none} ${PGHOSTADDR-none} ${PGSSLMODE-none}\"; \
         echo $MINE",
    ]);
    command.envs([
        ("DATABASE_URL", "postgresql://elsewhere"),
        ("PGHOST", "elsewhere"),
        ("PGHOSTADDR", "192.0.2.1"),
        ("PGSERVICE", "other"),
        ("PGSSLMODE", "verify-full"),
        ("MINE", "kept"),
    ]);
    let output = command.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = stdout.lines().collect();
    let [url, host, port, user, database, password, removed, mine] = lines[..] else {
        panic!("{stdout}");
    };
    let expected = format!("postgresql://127.0.0.1:{port}/app?user=postgres&password=s3%20cret");
    assert_eq!(url, expected);
    assert_eq!([host, user, database, password], ["127.0.0.1", "postgres", "app", "s3 cret"]);
    assert_eq!([removed, mine], ["none none none", "kept"]);
}

#[test]
fn the_status_is_the_command_s() {
    let dir = Dir::new();
    let not_executable = dir.file("file", "echo never");
    let cases: &[(&[&str], i32)] = &[
        (&["true"], 0),
        (&["false"], 1),
        (&["sh", "-c", "exit 42"], 42),
        (&["sh", "-c", "exit 255"], 255),
        (&["sh", "-c", "kill -TERM $$"], 143),
        (&["sh", "-c", "kill -KILL $$"], 137),
        (&["--", "sh", "-c", "exit 7"], 7),
        (&["no-such-command-anywhere"], 127),
        (&[&not_executable], 126),
    ];
    for (command, status) in cases {
        let args: Vec<&str> = ["run"].iter().chain(*command).copied().collect();
        let end = outcome(&args);
        assert_eq!(end.status, Some(*status), "{command:?}: {}", end.stderr);
        assert_eq!(end.stdout, "");
        match status {
            126 | 127 => assert_one_line(&end.stderr),
            _ => assert_eq!(end.stderr, ""),
        }
    }
}

#[test]
fn a_directory_is_left_cleanly_closed() {
    let dir = Dir::new();
    let path = dir.at("db");
    for command in ["true", "no-such-command-anywhere"] {
        outcome(&["run", "--path", &path, "--", command]);
        assert!(exists(&path, "PG_VERSION"));
        for left in ["postmaster.pid", "pglite-oxide.url"] {
            assert!(!exists(&path, left), "{command}: {left}");
        }
    }
    let end = outcome(&["run", "--log-level", "info", "--path", &path, "--", "true"]);
    assert!(end.stderr.contains("database system was shut down"), "{}", end.stderr);
}

#[test]
fn standard_streams_are_the_command_s() {
    let mut child = pglite(&["run", "--", "sh", "-c", "cat; echo error >&2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"to cat").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"to cat");
    assert_eq!(output.stderr, b"error\n");
}

/// A shell that says which signals it gets, and ends when it gets one. It waits for a process that ends
/// with it, not in a builtin, which would hold traps back.
fn trapping(signal: &str) -> String {
    format!(
        "trap 'echo got {signal}; kill $pid; exit 5' {signal}; sleep 600 & pid=$!; echo ready; \
         wait $pid"
    )
}

#[test]
fn signals_are_passed_on() {
    let cases = [
        (Signal::HUP, "HUP"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::TERM, "TERM"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
    ];
    for (signal, name) in cases {
        let mut process = Running::start(pglite(&["run", "--", "sh", "-c", &trapping(name)]));
        assert_eq!(process.line(), "ready");
        let end = process.stop(signal);
        assert_eq!(end.stdout, format!("got {name}\n"), "{}", end.stderr);
        assert_eq!(end.status, Some(5), "{name}: {}", end.stderr);
    }
}

#[test]
fn a_command_that_ignores_signals_is_waited_for() {
    let script = "trap '' TERM INT; echo ready; read line; echo \"$line\"; exit 9";
    let mut command = pglite(&["run", "--", "sh", "-c", script]);
    command.stdin(Stdio::piped());
    let (reader, mut writer) = std::io::pipe().unwrap();
    command.stdin(reader);
    let mut process = Running::start(command);
    assert_eq!(process.line(), "ready");
    process.signal(Signal::TERM);
    process.signal(Signal::INT);
    process.signal(Signal::TERM);
    writer.write_all(b"still here\n").unwrap();
    let end = process.end();
    assert_eq!((end.status, end.stdout.as_str()), (Some(9), "still here\n"));
}

/// The terminal sends SIGINT to all processes in its foreground: the command gets it once, and `pglite`
/// waits for what the command makes of it.
#[test]
fn control_c_reaches_the_command_once() {
    let words: Vec<String> = [env!("CARGO_BIN_EXE_pglite").to_owned()]
        .into_iter()
        .chain(this("count"))
        .map(|word| format!("'{word}'"))
        .collect();
    // Without `exec` the shell would wait, and dash then dies of the SIGINT itself.
    let command = format!("exec {}", words.join(" "));
    // `script` makes a terminal, and what it reads is what is typed there.
    let mut child = Command::new("script")
        .args(["-q", "-e", "-c", &command, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut typed = child.stdin.take().unwrap();
    let mut shown = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("said: ready") {
        line.clear();
        assert_ne!(shown.read_line(&mut line).unwrap(), 0, "it ended before it was ready");
    }
    typed.write_all(b"\x03").unwrap();
    let mut rest = String::new();
    shown.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("said: got 1"), "{rest}");
    // A second one can be lost in the first, so the log has to agree.
    assert!(rest.contains("SIGUSR1 passed on"), "{rest}");
    assert!(!rest.contains("SIGINT passed on"), "{rest}");
    assert_eq!(child.wait().unwrap().code(), Some(6));
}

#[test]
fn a_signal_that_the_command_sends_to_its_group_reaches_it_once() {
    let mut command = pglite(&this("signal group and count"));
    // Not the group of this test.
    command.process_group(0);
    let end = Running::start(command).end();
    assert!(end.stdout.contains("said: got 1"), "{}{}", end.stdout, end.stderr);
    assert!(end.stderr.contains("SIGUSR1 passed on"), "{}", end.stderr);
    assert!(!end.stderr.contains("SIGINT passed on"), "{}", end.stderr);
    assert_eq!(end.status, Some(6));
}
