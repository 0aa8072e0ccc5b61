//! What no client should send, or do. After each row the server is as it was before: other connections
//! work, a new one connects, and no process, thread, descriptor or memory is left.
//!
//! The expected answers are those of PostgreSQL's `backend_startup.c` and `postgres.c`: what cannot be a
//! message at all closes the connection without a word.

use std::path::Path;
use std::time::Duration;

use pglite_oxide::{PgliteServer, Session};
use postgres::Client;

use super::raw::{Raw, VERSION_3, extended, message, opening, query, startup, with_length};
use super::{Sql, eventually, tcp};
use crate::child::{self, Process};

const CANCEL_REQUEST: u32 = (1234 << 16) | 5678;
const SSL_REQUEST: u32 = (1234 << 16) | 5679;
const GSS_REQUEST: u32 = (1234 << 16) | 5680;

const GIGABYTES_2: u32 = 0x7fff_ffff;

/// How many connections PostgreSQL serves, in this test.
const MAX_CONNECTIONS: usize = 20;

/// In kB. A leak of what a process takes, over a megabyte, would be a gigabyte over all rows. What allocators keep for
/// the next time is less: after 1,000 connections at once glibc has 30 to 110 MB in its arenas, after six times as many
/// no more than that.
const MEMORY_BOUND: u64 = 300 << 10;

/// In a process of its own, whose threads, descriptors and memory are of this server only.
#[test]
fn the_server_survives_bad_clients() {
    let mut child = Process::start_with_many_files("bad input", Path::new(""));
    let mut rows = 0;
    while child.line().is_some() {
        rows += 1;
    }
    child.wait();
    assert!(rows > 50, "{rows}");
}

/// What the task `bad input` does.
pub(crate) fn run() {
    let mut target = Target::start();
    let rows = before_log_in()
        .into_iter()
        .map(|(name, bytes, answer)| (name, Box::new(before(bytes, answer)) as Row))
        .chain(
            after_log_in()
                .into_iter()
                .map(|(name, bytes, answer)| (name, Box::new(after(bytes, answer)) as Row)),
        )
        .chain(behaviours());
    for (name, row) in rows {
        target.row = name;
        row(&mut target);
        target.settle();
        child::say(name);
    }
}

type Row = Box<dyn Fn(&mut Target)>;

/// First bytes of a connection, and the answer to them.
fn before_log_in() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let raw_length = |length: u32| length.to_be_bytes().to_vec();
    let startup_with = |body: &[u8]| opening(VERSION_3, body);
    vec![
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), "closed"),
        ("TLS without asking", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), "closed"),
        ("zeros", vec![0; 100_000], "closed"),
        ("ones", vec![0xff; 100_000], "closed"),
        ("start-up length 0", raw_length(0), "closed"),
        ("start-up length 7", raw_length(7), "closed"),
        ("start-up length -1", raw_length(u32::MAX), "closed"),
        ("start-up length 2 GB", raw_length(GIGABYTES_2), "closed"),
        ("start-up length 10005", raw_length(10_005), "closed"),
        ("a query before start-up", query("SELECT 1"), "closed"),
        ("a password before start-up", message(b'p', b"secret\0"), "closed"),
        ("protocol 4.0", opening(4 << 16, b"user\0postgres\0\0"), "E(FATAL 0A000) closed"),
        ("no protocol", opening(1, b"user\0postgres\0\0"), "2.0"),
        ("protocol 2.0", opening(2 << 16, &[0; 292]), "2.0"),
        ("protocol 3.2", opening(VERSION_3 + 2, b"user\0postgres\0\0"), "v R K Z"),
        ("a protocol option", startup_with(b"user\0postgres\0_pq_.x\x001\0\0"), "v R K Z"),
        ("no user", startup_with(b"database\0postgres\0\0"), "E(FATAL 28000) closed"),
        ("no parameters", startup_with(b"\0"), "E(FATAL 28000) closed"),
        ("no end of parameters", startup_with(b"user\0postgres\0"), "E(FATAL 08P01) closed"),
        ("no value", startup_with(b"user\0postgres\0database\0"), "E(FATAL 08P01) closed"),
        ("something behind the end", startup_with(b"user\0postgres\0\0x"), "E(FATAL 08P01) closed"),
        ("an unknown role", startup_with(b"user\0nobody\0\0"), "R E(FATAL 28000) closed"),
        (
            "an unknown database",
            startup_with(b"user\0postgres\0database\0nowhere\0\0"),
            "R E(FATAL 3D000) closed",
        ),
        (
            "a database by a path",
            startup_with(b"user\0postgres\0database\0../../etc\0\0"),
            "R E(FATAL 3D000) closed",
        ),
        (
            "an unknown setting",
            startup_with(b"user\0postgres\0nonsense\x001\0\0"),
            "R E(FATAL 42704) closed",
        ),
        (
            "a replication of another kind",
            startup_with(b"user\0postgres\0replication\0maybe\0\0"),
            "E(FATAL 22023) closed",
        ),
        ("a cancel request with a wrong key", opening(CANCEL_REQUEST, &[1; 8]), "closed"),
        ("a cancel request without a key", opening(CANCEL_REQUEST, &[]), "closed"),
        ("start-up twice", [startup(), startup()].concat(), "R K Z E(FATAL 08P01) closed"),
    ]
}

/// What a client sends that has logged in, and the answer.
fn after_log_in() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    vec![
        ("message type z", message(b'z', b""), "E(FATAL 08P01) closed"),
        ("message type 0", message(0, b""), "E(FATAL 08P01) closed"),
        ("message type 255", message(0xff, b"abc"), "E(FATAL 08P01) closed"),
        ("HTTP after log-in", b"PUT / HTTP/1.1\r\n\r\n".to_vec(), "closed"),
        ("length 3", with_length(b'Q', 3, b"SELECT 1\0"), "closed"),
        ("length 0", with_length(b'Q', 0, b""), "closed"),
        ("length -5", with_length(b'Q', -5_i32 as u32, b"SELECT 1\0"), "closed"),
        ("length 2 GB", with_length(b'Q', GIGABYTES_2, b"SELECT 1\0"), "closed"),
        ("a long Sync", with_length(b'S', 20_000, &[0; 100]), "closed"),
        ("a query without its end", message(b'Q', b"SELECT 1"), "E(ERROR 08P01) Z"),
        ("a query with two ends", message(b'Q', b"SELECT 1\0SELECT 2\0"), "E(ERROR 08P01) Z"),
        ("no query", message(b'Q', b"\0"), "I Z"),
        ("a query that is not UTF-8", message(b'Q', b"SELECT '\xff'\0"), "E(ERROR 22021) Z"),
        ("a password out of place", message(b'p', b"secret\0"), "E(FATAL 08P01) closed"),
        ("COPY data out of place", [message(b'd', b"1\n"), query("")].concat(), "I Z"),
        (
            "a statement that is not there",
            [message(b'B', b"\0\0\0\0\0\x01\0\0\x03\xe8ab\0\0"), message(b'S', b"")].concat(),
            "E(ERROR 26000) Z",
        ),
        (
            "more parameters than bytes",
            [
                message(b'P', b"\0SELECT $1::text\0\0\0"),
                message(b'B', b"\0\0\0\0\xff\xff"),
                message(b'S', b""),
            ]
            .concat(),
            "1 E(ERROR 08P01) Z",
        ),
        (
            "a parameter longer than its message",
            [
                message(b'P', b"\0SELECT $1::text\0\0\0"),
                message(b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff"),
                message(b'S', b""),
            ]
            .concat(),
            "1 E(ERROR 08P01) Z",
        ),
        ("a function call of nothing", message(b'F', b""), "E(ERROR 08P01) Z"),
        (
            "a description of nothing",
            [message(b'D', b"X\0"), message(b'S', b"")].concat(),
            "E(ERROR 08P01) Z",
        ),
        (
            "many errors in one write",
            [extended("SELECT 1/0"), extended("SELECT 1"), message(b'S', b"")].concat(),
            "1 E(ERROR 22012) Z",
        ),
    ]
}

/// What takes more than bytes.
fn behaviours() -> Vec<(&'static str, Row)> {
    vec![
        ("SSL and GSS are refused", Box::new(encryption_requests)),
        ("silence in the start-up", Box::new(|target| silence(target, &startup()[..9]))),
        ("silence in a length", Box::new(|target| silence(target, &[0, 0]))),
        ("silence in a query", Box::new(silence_in_a_query)),
        ("a start-up byte by byte", Box::new(byte_by_byte)),
        ("a query of 300 MB", Box::new(large_query)),
        ("gone before start-up", Box::new(|target| drop(target.raw()))),
        ("gone in the start-up", Box::new(|target| target.raw().send(&startup()[..9]))),
        ("gone after the start-up", Box::new(|target| target.raw().send(&startup()))),
        ("gone in a message", Box::new(|target| target.logged_in().send(&query("SELECT 1")[..7]))),
        ("gone in a result", Box::new(|target| drop(in_a_result(target)))),
        ("gone in a COPY out", Box::new(|target| drop(in_a_copy_out(target)))),
        ("gone in a COPY in", Box::new(|target| drop(in_a_copy_in(target)))),
        ("gone in a pipeline", Box::new(|target| drop(in_a_pipeline(target)))),
        ("gone in a transaction", Box::new(|target| drop(in_a_transaction(target)))),
        ("a reset before start-up", Box::new(|target| target.raw().reset())),
        ("a reset of an idle session", Box::new(|target| target.logged_in().reset())),
        ("a reset in a result", Box::new(|target| in_a_result(target).reset())),
        ("a reset in a COPY in", Box::new(|target| in_a_copy_in(target).reset())),
        ("a reset in a pipeline", Box::new(|target| in_a_pipeline(target).reset())),
        ("a reset in a transaction", Box::new(|target| in_a_transaction(target).reset())),
        (
            "300 connections that come and go",
            Box::new(|target| {
                (0..300).for_each(|_| drop(target.raw()));
            }),
        ),
        ("1,000 connections that never speak", Box::new(never_speaking)),
        ("more clients than there may be", Box::new(too_many)),
    ]
}

/// The server, and what it was before.
struct Target {
    row: &'static str,
    before: Footprint,
    memory_before: u64,
    server: PgliteServer,
    direct: Session,
    other: Client,
}

#[derive(Debug, PartialEq)]
struct Footprint {
    backends: String,
    threads: usize,
    descriptors: usize,
}

impl Target {
    fn start() -> Target {
        let server = PgliteServer::builder()
            .max_connections(MAX_CONNECTIONS as u32)
            // Its workers would come and go.
            .config("autovacuum", "off")
            // Connections that never speak are to stay until they are closed.
            .config("authentication_timeout", "600s")
            .start()
            .unwrap();
        let mut direct = server.connect().unwrap();
        direct.run("CREATE TABLE kept (i int); CREATE TABLE locked ()");
        let other = tcp(&server);
        let before = Footprint { backends: String::new(), threads: 0, descriptors: 0 };
        let mut target = Target { row: "", before, memory_before: 0, server, direct, other };
        // The first connections leave what is made once.
        for _ in 0..3 {
            drop(tcp(&target.server));
        }
        eventually("the first connections are gone", || {
            let first = target.footprint();
            std::thread::sleep(Duration::from_millis(100));
            target.before = target.footprint();
            // All that are left are in the view, but for the postmaster.
            target.before == first && first.backends == (first.threads - 1).to_string()
        });
        target.memory_before = memory();
        target
    }

    fn raw(&self) -> Raw {
        Raw::connect(self.server.local_addr().unwrap())
    }

    fn logged_in(&self) -> Raw {
        Raw::log_in(self.server.local_addr().unwrap())
    }

    fn footprint(&mut self) -> Footprint {
        Footprint {
            backends: self.direct.value("SELECT count(*) FROM pg_stat_activity"),
            threads: threads(),
            descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count(),
        }
    }

    /// Those who were there before the row notice nothing of it.
    fn others_work(&mut self) {
        let row = self.row;
        let ask = "SELECT count(*) FROM kept";
        assert_eq!(self.direct.value(ask), "0", "{row}");
        assert_eq!(self.other.value(ask), "0", "{row}");
    }

    fn settle(&mut self) {
        let row = self.row;
        self.others_work();
        assert_eq!(tcp(&self.server).value("SELECT 1"), "1", "{row}");
        let deadline = std::time::Instant::now() + super::PATIENCE;
        loop {
            let now = self.footprint();
            let memory = memory().saturating_sub(self.memory_before);
            if now == self.before && memory < MEMORY_BOUND {
                return;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "{row}: {now:?} and {memory} kB more, before it {:?}",
                self.before
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// PostgreSQL's processes: threads named after them and their pid.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(Result::unwrap);
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    let pid = |name: &str| name.trim_end().strip_prefix("postgres ")?.parse::<u32>().ok();
    names.filter(|name| pid(name).is_some()).count()
}

/// Resident memory in kB.
fn memory() -> u64 {
    child::resident_kilobytes()
}

fn before(bytes: Vec<u8>, answer: &'static str) -> impl Fn(&mut Target) {
    move |target| {
        let mut raw = target.raw();
        raw.try_send(&bytes);
        if answer == "2.0" {
            // In the form that clients of that time understood.
            let mut text = [0; 25];
            assert!(raw.read(&mut text), "{}", target.row);
            assert_eq!(text[..], *b"EFATAL:  unsupported fron", "{}", target.row);
            return;
        }
        let transcript = match answer.split_once("Z ") {
            Some(_) => format!("{} {}", raw.transcript(), raw.transcript()),
            None => raw.transcript(),
        };
        assert_eq!(transcript, answer, "{}", target.row);
    }
}

fn after(bytes: Vec<u8>, answer: &'static str) -> impl Fn(&mut Target) {
    move |target| {
        let mut raw = target.logged_in();
        raw.try_send(&bytes);
        assert_eq!(raw.transcript(), answer, "{}", target.row);
        if answer.ends_with('Z') {
            raw.send(&query("SELECT 1"));
            assert_eq!(raw.transcript(), "T D C Z", "{}", target.row);
        }
    }
}

fn encryption_requests(target: &mut Target) {
    let mut raw = target.raw();
    for request in [SSL_REQUEST, GSS_REQUEST] {
        raw.send(&opening(request, &[]));
        let mut answer = [0];
        assert!(raw.read(&mut answer));
        assert_eq!(answer, *b"N");
    }
    // Each may be asked once; then it counts as a protocol.
    raw.send(&opening(SSL_REQUEST, &[]));
    assert_eq!(raw.transcript(), "E(FATAL 0A000) closed");
    // What comes together with the request might have come from somebody in the middle.
    let mut raw = target.raw();
    raw.send(&[opening(SSL_REQUEST, &[]), startup()].concat());
    let mut answer = [0];
    assert!(raw.read(&mut answer));
    assert_eq!(raw.transcript(), "E(FATAL 08P01) closed");
}

fn silence(target: &mut Target, beginning: &[u8]) {
    let mut raw = target.raw();
    raw.send(beginning);
    target.others_work();
    assert_eq!(tcp(&target.server).value("SELECT 1"), "1");
    raw.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(raw.transcript(), "closed");
}

fn silence_in_a_query(target: &mut Target) {
    let mut raw = target.logged_in();
    raw.send(&query("SELECT 'half a message'")[..12]);
    target.others_work();
    assert_eq!(tcp(&target.server).value("SELECT 1"), "1");
    // A cancel request does not end it: there is no statement yet. Another session can.
    let waiting = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE backend_type = 'client backend' AND application_name = '' AND query = ''";
    assert_eq!(target.direct.value(waiting), "1");
    assert_eq!(raw.transcript(), "E(FATAL 57P01) closed");
}

fn byte_by_byte(target: &mut Target) {
    let mut raw = target.raw();
    raw.stream.set_nodelay(true).unwrap();
    for byte in startup() {
        raw.send(&[byte]);
    }
    assert_eq!(raw.transcript(), "R K Z");
    for byte in [query("SELECT 1"), extended("SELECT 2"), message(b'S', b"")].concat() {
        raw.send(&[byte]);
    }
    assert_eq!(raw.transcript(), "T D C Z");
    assert_eq!(raw.transcript(), "1 2 D C Z");
}

fn large_query(target: &mut Target) {
    const MEGABYTE: usize = 1 << 20;
    let (begin, end) = ("SELECT 1 /* ", " */\0");
    let length = begin.len() + 300 * MEGABYTE + end.len() + 4;
    let mut raw = target.logged_in();
    raw.send(&with_length(b'Q', length as u32, begin.as_bytes()));
    let piece = vec![b'x'; MEGABYTE];
    for _ in 0..300 {
        raw.send(&piece);
    }
    target.others_work();
    raw.send(end.as_bytes());
    assert_eq!(raw.transcript(), "T D C Z");
    raw.send(&query("SELECT 1"));
    assert_eq!(raw.transcript(), "T D C Z");
}

/// A result that is far larger than all buffers between, with a part of it read.
fn in_a_result(target: &mut Target) -> Raw {
    in_the_answer_to("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)", target)
}

fn in_a_copy_out(target: &mut Target) -> Raw {
    let all = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000000)) TO STDOUT";
    in_the_answer_to(all, target)
}

fn in_the_answer_to(sql: &str, target: &mut Target) -> Raw {
    let mut raw = target.logged_in();
    raw.send(&query(sql));
    assert!(raw.read(&mut [0; 100_000]));
    target.others_work();
    raw
}

/// Nothing of it is to be in the table: `others_work` counts its rows.
fn in_a_copy_in(target: &mut Target) -> Raw {
    let mut raw = target.logged_in();
    raw.send(&query("COPY kept FROM STDIN"));
    assert!(raw.read(&mut [0; 5]));
    let rows = message(b'd', "1\n".repeat(4000).as_bytes());
    for _ in 0..20 {
        raw.send(&rows);
    }
    raw.send(&rows[..100]);
    target.others_work();
    raw
}

fn in_a_pipeline(target: &mut Target) -> Raw {
    let mut raw = target.logged_in();
    for _ in 0..1000 {
        raw.send(&extended("INSERT INTO kept VALUES (1)"));
    }
    target.others_work();
    raw
}

fn in_a_transaction(target: &mut Target) -> Raw {
    let mut raw = target.logged_in();
    raw.send(&query("BEGIN; INSERT INTO kept VALUES (1); LOCK locked"));
    assert_eq!(raw.transcript(), "C C C Z");
    target.others_work();
    raw
}

/// More than PostgreSQL has processes for: the others wait for a message that says so.
fn never_speaking(target: &mut Target) {
    let silent: Vec<_> = (0..1000).map(|_| target.raw()).collect();
    target.others_work();
    eventually("PostgreSQL has taken most of them", || threads() > 500);
    target.others_work();
    drop(silent);
    // A new client is one too many until PostgreSQL has noticed.
    eventually("there is room again", || {
        let mut raw = target.raw();
        raw.send(&startup());
        raw.transcript() == "R K Z"
    });
}

fn too_many(target: &mut Target) {
    // Two are there already.
    let mut clients: Vec<_> = (2..MAX_CONNECTIONS).map(|_| target.logged_in()).collect();
    for _ in 0..MAX_CONNECTIONS {
        let mut raw = target.raw();
        raw.send(&startup());
        assert_eq!(raw.transcript(), "E(FATAL 53300) closed");
    }
    assert_eq!(crate::sqlstate(&target.server.connect().unwrap_err()), "53300");
    assert!(!target.server.ready());
    target.others_work();
    for client in &mut clients {
        client.send(&query("SELECT 1"));
        assert_eq!(client.transcript(), "T D C Z");
    }
}
