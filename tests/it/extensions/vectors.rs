//! Indexes of vectors: what ends a process, or what is wrong with a statement, harms neither them nor the session.

use std::path::Path;

use pglite_oxide::{Pglite, Session};

use crate::child::{Process, say};
use crate::{sqlstate, temporary, text};

/// Rows around a few centres, by a function of the database: always the same for the same number.
const PREPARE: &str = "\
    CREATE EXTENSION ruvector CASCADE;
    CREATE FUNCTION some_vector(n int) RETURNS vector(24) LANGUAGE sql IMMUTABLE AS $$
        SELECT array_agg(sin(n % 17 * 3.7 + d * d) * 5 + sin(n * 12.9898 + d * 78.233))::vector(24)
        FROM generate_series(1, 24) AS d
    $$;
    CREATE TABLE item (id int PRIMARY KEY, v vector(24));";

const INDEXES: &str = "\
    CREATE INDEX graph ON item USING hnsw (v vector_l2_ops);
    CREATE INDEX bytes ON item USING ruhnsw (v vector_l2_ops) WITH (quantizer = sq8);
    CREATE INDEX bits ON item USING ruhnsw (v vector_l2_ops) WITH (quantizer = rabitq);
    CREATE INDEX lists ON item USING ivfflat (v vector_l2_ops) WITH (lists = 10);";

/// The indexes that are graphs; and all.
const GRAPHS: [&str; 3] = ["graph", "bytes", "bits"];
const ALL: [&str; 4] = ["graph", "bytes", "bits", "lists"];

/// What is wrong with an index; empty if nothing.
fn complaints(db: &mut Session, graph: &str) -> String {
    let check = format!("ruvector_index_check('{graph}')");
    text(db, &format!("SELECT coalesce(string_agg(c, '; '), '') FROM {check} AS c"))
}

fn recall(db: &mut Session, index: &str, ef: u32) -> f64 {
    let sql = format!("SELECT recall FROM ruvector_evaluate_recall('{index}', 10, 50, {ef})");
    text(db, &sql).parse().unwrap()
}

/// Indexes have every row that there is, and find it.
fn assert_sound(db: &mut Session) {
    for graph in GRAPHS {
        assert_eq!(complaints(db, graph), "", "{graph}");
        let found = recall(db, graph, 80);
        assert!(found >= 0.95, "recall of {graph} is {found}");
    }
    let lists = recall(db, "lists", 10);
    assert!(lists >= 0.999, "recall of all lists is {lists}");
}

/// The task of [`a_killed_process_leaves_sound_indexes`].
pub(crate) fn change(path: &Path) {
    let mut db = Pglite::open(path).unwrap();
    let first: i32 = db.query_one("SELECT coalesce(max(id), 0) + 1 FROM item", &[]).unwrap().get(0);
    for (round, from) in (0..).zip((first..).step_by(40)) {
        db.exec(&format!(
            "INSERT INTO item SELECT i, some_vector(i) FROM generate_series({from}, {from} + 39) AS i"
        ))
        .unwrap();
        db.exec(&format!("DELETE FROM item WHERE id % 5 = {} AND id > {from} - 400", round % 5))
            .unwrap();
        match round % 7 {
            3 => db.exec("VACUUM item").map(drop).unwrap(),
            2 => db.exec("REINDEX INDEX bytes").map(drop).unwrap(),
            4 => db.exec("REINDEX INDEX bits").map(drop).unwrap(),
            5 => db.exec("REINDEX INDEX graph").map(drop).unwrap(),
            6 => db.exec("REINDEX INDEX lists").map(drop).unwrap(),
            _ => {}
        }
        say(from);
    }
}

/// A vacuum that was cut short among those that it removes once left elements, about to be removed too, whose links
/// `ruvector_index_check` complained of.
#[test]
fn a_killed_process_leaves_sound_indexes() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = Pglite::open(dir.path()).unwrap();
    db.exec(PREPARE).unwrap();
    db.exec("INSERT INTO item SELECT i, some_vector(i) FROM generate_series(1, 500) AS i").unwrap();
    db.exec(INDEXES).unwrap();
    db.close().unwrap();
    // Wherever in a round that is.
    for (rounds, pause) in [(3, 0), (5, 7), (4, 19), (6, 3), (7, 11)] {
        let mut child = Process::start("change vectors", dir.path(), &[]);
        let mut last = 0;
        for _ in 0..rounds {
            last = child.line().unwrap().parse().unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(pause));
        child.kill();
        let mut db = Pglite::open(dir.path()).unwrap();
        let newest: i32 = db.query_one("SELECT max(id) FROM item", &[]).unwrap().get(0);
        assert!(newest >= last, "{newest} of {last}");
        assert_sound(&mut db);
        db.close().unwrap();
    }
}

#[test]
fn many_sessions_insert_while_one_vacuums() {
    let mut db = temporary();
    db.exec(PREPARE).unwrap();
    db.exec(INDEXES).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let mut session = db.connect().unwrap();
            scope.spawn(move || {
                for at in 0..25 {
                    let from = writer * 1000 + at * 10;
                    session
                        .exec(&format!(
                            "INSERT INTO item SELECT i, some_vector(i) FROM generate_series({from}, {from} + 9) AS i;
                             DELETE FROM item WHERE id = {from} + 3"
                        ))
                        .unwrap();
                }
            });
        }
        let mut vacuum = db.connect().unwrap();
        scope.spawn(move || {
            for _ in 0..10 {
                vacuum.exec("VACUUM item").unwrap();
            }
        });
    });
    assert_eq!(text(&mut db, "SELECT count(*) FROM item"), "900");
    assert_sound(&mut db);
    db.exec("VACUUM item").unwrap();
    assert_sound(&mut db);
}

/// How many of the notices since the last time say this.
fn told(db: &mut Session, what: &str) -> usize {
    db.take_notices().iter().filter(|notice| notice.message().contains(what)).count()
}

#[test]
fn several_processes_build_one_index() {
    let mut db = temporary();
    db.exec(PREPARE).unwrap();
    db.exec("INSERT INTO item SELECT i, some_vector(i) FROM generate_series(1, 3000) AS i")
        .unwrap();
    db.exec("ALTER TABLE item SET (parallel_workers = 2); SET client_min_messages = debug1")
        .unwrap();
    told(&mut db, "");
    db.exec(INDEXES).unwrap();
    assert_eq!(told(&mut db, "using 2 parallel workers"), ALL.len());
    assert_sound(&mut db);
    // When memory is full, one of them says so.
    db.exec("SET maintenance_work_mem = '1MB'; REINDEX INDEX graph").unwrap();
    assert_eq!(told(&mut db, "no longer fits into maintenance_work_mem"), 1);
    assert_sound(&mut db);
    // A copy has no other processes until they are wanted.
    let mut fork = db.fork().unwrap();
    fork.exec("RESET maintenance_work_mem; REINDEX TABLE item").unwrap();
    assert_sound(&mut fork);
    assert_sound(&mut db);
    // Errors of all processes are the session's, and end all of them.
    db.exec("RESET maintenance_work_mem").unwrap();
    let all = ALL.join(", ");
    db.exec(&format!("DROP INDEX {all}; ALTER TABLE item ALTER v TYPE vector")).unwrap();
    db.exec("UPDATE item SET v = '[1,2]' WHERE id = 1500").unwrap();
    let wrong = "CREATE INDEX wrong ON item USING hnsw ((v::vector(24)) vector_l2_ops)";
    assert_eq!(sqlstate(&db.exec(wrong).unwrap_err()), "22000");
    assert_eq!(text(&mut db, "SELECT count(*) FROM pg_class WHERE relname = 'wrong'"), "0");
    db.exec("DELETE FROM item WHERE id = 1500; ALTER TABLE item ALTER v TYPE vector(24)").unwrap();
    db.exec(INDEXES).unwrap();
    assert_sound(&mut db);
}

#[test]
fn forks_have_the_index_and_change_their_own() {
    let mut db = temporary();
    db.exec(PREPARE).unwrap();
    db.exec("INSERT INTO item SELECT i, some_vector(i) FROM generate_series(1, 300) AS i").unwrap();
    db.exec(INDEXES).unwrap();
    let mut fork = db.fork().unwrap();
    fork.exec(
        "DELETE FROM item WHERE id % 2 = 0; INSERT INTO item VALUES (1000, some_vector(1000))",
    )
    .unwrap();
    fork.exec("VACUUM item").unwrap();
    assert_sound(&mut fork);
    assert_sound(&mut db);
    let indexed = "SET enable_seqscan = off; SELECT count(*) FROM \
                   (SELECT id FROM item ORDER BY v <-> some_vector(1000) LIMIT 1000) AS t WHERE id = 1000";
    assert_eq!((text(&mut db, indexed), text(&mut fork, indexed)), ("0".into(), "1".into()));
}

#[test]
fn input_that_is_wrong_is_an_error_and_nothing_else() {
    let mut db = temporary();
    db.exec(PREPARE).unwrap();
    db.exec("INSERT INTO item SELECT i, some_vector(i) FROM generate_series(1, 100) AS i").unwrap();
    db.exec(INDEXES).unwrap();
    let long = format!("SELECT '[{}1]'::vector", "1,".repeat(16_000));
    let digits = format!("SELECT '[{}]'::vector", "9".repeat(100_000));
    let cases = [
        ("INSERT INTO item VALUES (101, '[1,2,3]')", "22000"),
        ("SELECT id FROM item ORDER BY v <-> '[1,2]' LIMIT 1", "22000"),
        ("SELECT '[NaN]'::vector", "22000"),
        ("SELECT '[Infinity]'::vector", "22000"),
        ("SELECT '[1e400]'::vector", "22003"),
        ("SELECT '[1,2'::vector", "22P02"),
        ("SELECT '[]'::vector", "22000"),
        ("SELECT '{1:1,1:2}/3'::sparsevec", "22000"),
        (long.as_str(), "54000"),
        (digits.as_str(), "22003"),
        ("CREATE TABLE wide (v vector(16001))", "22023"),
        (
            "CREATE TABLE wide (v vector(2001)); CREATE INDEX ON wide USING hnsw (v vector_l2_ops)",
            "54000",
        ),
        (
            "CREATE TABLE loose (v vector); CREATE INDEX ON loose USING hnsw (v vector_l2_ops)",
            "22023",
        ),
        ("CREATE INDEX ON item USING hnsw (v vector_l2_ops) WITH (m = 1)", "22023"),
        ("SET hnsw.ef_search = 0", "22023"),
        ("SET hnsw.no_such = 1", "42602"),
        ("SET ivfflat.probes = 0", "22023"),
        ("SELECT ruvector_dequantize('\\x00ff')", "22P03"),
        ("SELECT ruvector_index_check('item_pkey')", "42809"),
    ];
    let mut wrong = Vec::new();
    for (sql, expected) in cases {
        let found =
            db.exec(sql).map_or_else(|error| sqlstate(&error).to_owned(), |_| "none".into());
        if found != expected {
            wrong.push(format!("{found} instead of {expected}: {sql:.60}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(text(&mut db, "SELECT count(*) FROM item"), "100");
    assert_sound(&mut db);
}

#[test]
fn a_malformed_binary_copy_is_refused() {
    let mut db = temporary();
    db.exec(PREPARE).unwrap();
    let row = |value: &[u8]| {
        let mut data = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        data.extend(2i16.to_be_bytes());
        data.extend(4i32.to_be_bytes());
        data.extend(7i32.to_be_bytes());
        data.extend((value.len() as i32).to_be_bytes());
        data.extend(value);
        data.extend((-1i16).to_be_bytes());
        data
    };
    let vector = |dimensions: i16, unused: i16, values: &[f32]| {
        let head = [dimensions.to_be_bytes(), unused.to_be_bytes()].concat();
        values.iter().fold(head, |mut bytes, value| {
            bytes.extend(value.to_be_bytes());
            bytes
        })
    };
    let cases = [
        (vector(24, 0, &[1.0; 23]), "08P01"),
        (vector(24, 1, &[1.0; 24]), "22000"),
        (vector(-1, 0, &[]), "22000"),
        (vector(0, 0, &[]), "22000"),
        (vector(24, 0, &[f32::NAN; 24]), "22000"),
        (vector(24, 0, &[1.0; 25]), "22P03"),
        (vec![0], "08P01"),
    ];
    let mut wrong = Vec::new();
    for (at, (value, expected)) in cases.iter().enumerate() {
        let found = match db.copy_in("COPY item FROM STDIN (FORMAT binary)") {
            Ok(mut copy) => {
                use std::io::Write as _;
                let written = copy.write_all(&row(value));
                match (written, copy.finish()) {
                    (_, Err(error)) => sqlstate(&error).to_owned(),
                    (written, Ok(_)) => format!("none ({written:?})"),
                }
            }
            Err(error) => sqlstate(&error).to_owned(),
        };
        if found != *expected {
            wrong.push(format!("{at}: {found} instead of {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(text(&mut db, "SELECT count(*) FROM item"), "0");
}

#[test]
fn a_build_that_is_cancelled_or_short_of_memory_leaves_the_session_whole() {
    let mut db = temporary();
    db.exec(PREPARE).unwrap();
    db.exec("INSERT INTO item SELECT i, some_vector(i) FROM generate_series(1, 3000) AS i")
        .unwrap();
    for index in [
        "hnsw (v vector_l2_ops) WITH (ef_construction = 1000, m = 50)",
        "ruhnsw (v vector_l2_ops) WITH (ef_construction = 1000, m = 50)",
        "ruhnsw (v vector_l2_ops) WITH (ef_construction = 1000, m = 50, quantizer = rabitq)",
        "ivfflat (v vector_l2_ops) WITH (lists = 2000)",
    ] {
        db.exec("SET statement_timeout = 60").unwrap();
        let error = db.exec(&format!("CREATE INDEX cut ON item USING {index}")).unwrap_err();
        assert_eq!(sqlstate(&error), "57014", "{error}");
        db.exec("SET statement_timeout = 0").unwrap();
        assert_eq!(text(&mut db, "SELECT count(*) FROM pg_class WHERE relname = 'cut'"), "0");
    }
    db.exec("SET maintenance_work_mem = '1MB'").unwrap();
    db.exec(INDEXES).unwrap();
    assert_sound(&mut db);
}

#[test]
fn a_damaged_page_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = Pglite::open(dir.path()).unwrap();
    db.exec(PREPARE).unwrap();
    db.exec("INSERT INTO item SELECT i, some_vector(i) FROM generate_series(1, 300) AS i").unwrap();
    db.exec(INDEXES).unwrap();
    let files = ALL.map(|name| {
        dir.path().join(text(&mut db, &format!("SELECT pg_relation_filepath('{name}')")))
    });
    db.close().unwrap();
    for file in files {
        let mut bytes = std::fs::read(&file).unwrap();
        for page in bytes.chunks_exact_mut(8192).skip(1) {
            // What is stored, not the page's own head.
            page[100..7000].fill(0xa5);
        }
        std::fs::write(&file, bytes).unwrap();
    }
    let mut db = Pglite::open(dir.path()).unwrap();
    db.exec("SET enable_seqscan = off").unwrap();
    for index in ALL {
        let others = ALL.into_iter().filter(|&other| other != index).collect::<Vec<_>>().join(", ");
        let mut cut =
            |sql: &str| db.exec(sql).map(drop).map_err(|error| sqlstate(&error).to_owned());
        let searched = cut(&format!(
            "BEGIN; DROP INDEX {others}; SELECT id FROM item ORDER BY v <-> some_vector(5) LIMIT 5"
        ));
        cut("ROLLBACK").unwrap();
        assert_eq!(searched, Err("XX002".into()), "{index}");
        let inserted = cut(&format!(
            "BEGIN; DROP INDEX {others}; INSERT INTO item VALUES (1001, some_vector(5))"
        ));
        cut("ROLLBACK").unwrap();
        // A row goes to the end of a list, whatever is before it.
        if index != "lists" {
            assert_eq!(inserted, Err("XX002".into()), "{index}");
        }
    }
    assert_ne!(complaints(&mut db, "graph"), "");
    db.exec("REINDEX TABLE item").unwrap();
    assert_sound(&mut db);
}
