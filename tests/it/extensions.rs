//! Extensions: side modules that load at run time.

use std::collections::{BTreeSet, HashMap};

use pglite_oxide::{Error, Pglite, PgliteServer, Session, Snapshot};

use crate::{sqlstate, temporary, text};

/// An extension in use: what it needs, statements, and what the last of them says.
struct Use {
    name: &'static str,
    requires: &'static str,
    sql: &'static str,
    answer: &'static str,
}

const fn of(name: &'static str, sql: &'static str, answer: &'static str) -> Use {
    Use { name, requires: "", sql, answer }
}

/// All that are packed. Statements can be run again in the same database.
const EXTENSIONS: &[Use] = &[
    of(
        "amcheck",
        "CREATE TABLE IF NOT EXISTS am (i int PRIMARY KEY);
         SELECT coalesce(bt_index_check('am_pkey', true)::text, '') = ''",
        "t",
    ),
    of(
        "autoinc",
        "CREATE SEQUENCE IF NOT EXISTS auto_seq;
         CREATE TABLE IF NOT EXISTS auto (id int, what text);
         TRUNCATE auto; SELECT setval('auto_seq', 1, false);
         CREATE OR REPLACE TRIGGER auto_id BEFORE INSERT ON auto FOR EACH ROW
             EXECUTE FUNCTION autoinc(id, auto_seq);
         INSERT INTO auto VALUES (0, 'a'), (0, 'b');
         SELECT string_agg(id::text, ',' ORDER BY id) FROM auto",
        "1,2",
    ),
    of(
        "bloom",
        "DROP TABLE IF EXISTS bl; CREATE TABLE bl AS SELECT i % 7 AS a, i % 11 AS b FROM generate_series(1, 1000) i;
         CREATE INDEX ON bl USING bloom (a, b); SET enable_seqscan = off;
         SELECT count(*) FROM bl WHERE a = 3 AND b = 5",
        "13",
    ),
    of(
        "btree_gin",
        "DROP TABLE IF EXISTS bg; CREATE TABLE bg AS SELECT i FROM generate_series(1, 1000) i;
         CREATE INDEX ON bg USING gin (i); SET enable_seqscan = off; SELECT count(*) FROM bg WHERE i < 100",
        "99",
    ),
    of(
        "btree_gist",
        "DROP TABLE IF EXISTS bgi; CREATE TABLE bgi AS SELECT i FROM generate_series(1, 1000) i;
         CREATE INDEX ON bgi USING gist (i); SET enable_seqscan = off; SELECT i FROM bgi ORDER BY i <-> 500 LIMIT 1",
        "500",
    ),
    of("citext", "SELECT 'Straße'::citext = 'sTRAßE'::citext", "t"),
    of("cube", "SELECT cube_distance('(0,0)', '(3,4)')", "5"),
    of(
        "dblink",
        "SELECT dblink_connect_u('self', 'host=/tmp dbname=' || current_database() || ' user=postgres');
         SELECT sum(i) FROM dblink('self', 'SELECT generate_series(1, 4)') AS t(i int);
         SELECT dblink_disconnect('self')",
        "OK",
    ),
    of("dict_int", "SELECT ts_lexize('intdict', '12345678')", "{123456}"),
    of(
        "dict_xsyn",
        "ALTER TEXT SEARCH DICTIONARY xsyn (RULES = 'xsyn_sample', KEEPORIG = true, MATCHSYNONYMS = true);
         SELECT ts_lexize('xsyn', 'supernova')",
        "{supernova,sn,sne,1987a}",
    ),
    Use {
        name: "earthdistance",
        requires: "cube",
        sql: "SELECT round(earth_distance(ll_to_earth(52.52, 13.40), ll_to_earth(48.85, 2.35)) / 1000)",
        answer: "879",
    },
    of(
        "file_fdw",
        "DROP SERVER IF EXISTS files CASCADE; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
         CREATE FOREIGN TABLE version (v text) SERVER files OPTIONS (filename '/pgdata/PG_VERSION');
         SELECT v FROM version",
        "17",
    ),
    of("fuzzystrmatch", "SELECT levenshtein('kitten', 'sitting') || soundex('Robert') || dmetaphone('Schmidt')", "3R163XMT"),
    of("hstore", "SELECT ('a=>1, b=>2'::hstore || 'b=>3')->'b'", "3"),
    of(
        "insert_username",
        "CREATE TABLE IF NOT EXISTS who (what text, name text); TRUNCATE who;
         CREATE OR REPLACE TRIGGER who_name BEFORE INSERT ON who FOR EACH ROW EXECUTE FUNCTION insert_username(name);
         INSERT INTO who VALUES ('x'); SELECT name FROM who",
        "postgres",
    ),
    of("intagg", "SELECT int_array_aggregate(i) FROM generate_series(1, 3) i", "{1,2,3}"),
    of("intarray", "SELECT sort(uniq('{3,1,1,2}'::int[] & '{1,2,3}'::int[]))", "{1,2,3}"),
    of("ip4r", "SELECT '10.1.2.3'::ip4 <<= '10.0.0.0/8'::ip4r", "t"),
    of("isn", "SELECT isbn('978-0-393-04002-9')", "0-393-04002-X"),
    of(
        "lo",
        "CREATE TABLE IF NOT EXISTS image (raster lo); TRUNCATE image; INSERT INTO image VALUES (lo_create(0));
         SELECT count(*) FROM image",
        "1",
    ),
    of("ltree", "SELECT 'Top.Science.Astronomy'::ltree <@ 'Top.Science' AND 'a.b.c'::ltree ~ 'a.*{1}.c'", "t"),
    of(
        "moddatetime",
        "CREATE TABLE IF NOT EXISTS seen (i int, at timestamptz); TRUNCATE seen;
         CREATE OR REPLACE TRIGGER seen_at BEFORE UPDATE ON seen FOR EACH ROW EXECUTE FUNCTION moddatetime(at);
         INSERT INTO seen VALUES (1, '2000-01-01'); UPDATE seen SET i = 2; SELECT at = now() FROM seen",
        "t",
    ),
    of("pageinspect", "SELECT pagesize FROM page_header(get_raw_page('pg_class', 0))", "8192"),
    of("pg_buffercache", "SELECT count(*) > 0 FROM pg_buffercache WHERE relfilenode IS NOT NULL", "t"),
    of("pg_freespacemap", "SELECT count(*) >= 0 FROM pg_freespace('pg_class')", "t"),
    of(
        "pg_partman",
        "DELETE FROM part_config; DROP TABLE IF EXISTS parted CASCADE; CREATE TABLE parted (at timestamptz NOT NULL) PARTITION BY RANGE (at);
         SELECT public.create_parent('public.parted', 'at', '1 day');
         SELECT count(*) > 3 FROM pg_inherits WHERE inhparent = 'parted'::regclass",
        "t",
    ),
    of("pg_prewarm", "SELECT pg_prewarm('pg_class') > 0", "t"),
    of("pg_surgery", "SELECT heap_force_freeze('pg_class', ARRAY[]::tid[]) IS NULL", "f"),
    of("pg_trgm", "SELECT round(similarity('word', 'two words')::numeric, 2)", "0.36"),
    of("pg_visibility", "SELECT count(*) > 0 FROM pg_visibility_map('pg_class')", "t"),
    of(
        "pg_walinspect",
        "SELECT count(*) > 0 FROM pg_get_wal_records_info(
             (SELECT redo_lsn FROM pg_control_checkpoint()), pg_current_wal_insert_lsn())",
        "t",
    ),
    of(
        "pgcrypto",
        "SELECT encode(digest('abc', 'sha256'), 'hex') = encode(sha256('abc'), 'hex')
             AND crypt('secret', crypt('secret', gen_salt('bf', 4))) = crypt('secret', crypt('secret', gen_salt('bf', 4)))
             IS NOT NULL
             AND pgp_sym_decrypt(pgp_sym_encrypt('hidden', 'key', 'compress-algo=1'), 'key') = 'hidden'
             AND convert_from(decrypt(encrypt('data', 'k', 'aes'), 'k', 'aes'), 'UTF8') = 'data'",
        "t",
    ),
    of("pgrowlocks", "SELECT count(*) FROM pgrowlocks('pg_class')", "0"),
    of("pgstattuple", "SELECT tuple_count > 0 FROM pgstattuple('pg_class')", "t"),
    of("pgtap", "SELECT pg_version_num() > 170000", "t"),
    of(
        "postgres_fdw",
        "DROP SERVER IF EXISTS self CASCADE;
         DO $$ BEGIN EXECUTE format('CREATE SERVER self FOREIGN DATA WRAPPER postgres_fdw
             OPTIONS (host ''/tmp'', dbname %L)', current_database()); END $$;
         CREATE USER MAPPING FOR CURRENT_USER SERVER self OPTIONS (user 'postgres', password_required 'false');
         CREATE FOREIGN TABLE methods (amname name) SERVER self OPTIONS (schema_name 'pg_catalog', table_name 'pg_am');
         SELECT count(*) FROM methods WHERE amname = 'heap'",
        "1",
    ),
    of("prefix", "SELECT '123'::prefix_range @> '12345'", "t"),
    of(
        "refint",
        "DROP TABLE IF EXISTS child; DROP TABLE IF EXISTS parent;
         CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int);
         CREATE TRIGGER fk BEFORE INSERT ON child FOR EACH ROW
             EXECUTE FUNCTION check_primary_key('id', 'parent', 'id');
         INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1); SELECT count(*) FROM child",
        "1",
    ),
    of("seg", "SELECT '6.25 .. 6.50'::seg && '6.4 .. 7'::seg", "t"),
    of("tablefunc", "SELECT count(*) FROM normal_rand(10, 5, 3)", "10"),
    of(
        "tcn",
        "CREATE TABLE IF NOT EXISTS watched (i int PRIMARY KEY);
         CREATE OR REPLACE TRIGGER tell AFTER INSERT ON watched FOR EACH ROW
             EXECUTE FUNCTION triggered_change_notification();
         INSERT INTO watched SELECT coalesce(max(i), 0) + 1 FROM watched; SELECT count(*) > 0 FROM watched",
        "t",
    ),
    of(
        "tsm_system_rows",
        "SELECT count(*) FROM pg_class TABLESAMPLE system_rows(10)",
        "10",
    ),
    of("tsm_system_time", "SELECT count(*) > 0 FROM pg_class TABLESAMPLE system_time(1000)", "t"),
    of("unaccent", "SELECT unaccent('Hôtel Ærø')", "Hotel AEro"),
    of(
        "uuid-ossp",
        "SELECT uuid_generate_v5(uuid_ns_url(), 'http://example.org') = uuid_generate_v5(uuid_ns_url(), 'http://example.org')
             AND uuid_generate_v4() <> uuid_generate_v4() AND uuid_generate_v1() <> uuid_generate_v1()",
        "t",
    ),
    of(
        "vector",
        "DROP TABLE IF EXISTS item; CREATE TABLE item AS SELECT i, ARRAY[i, i * i % 7, 1]::vector(3) AS v FROM generate_series(1, 500) i;
         CREATE INDEX ON item USING hnsw (v vector_l2_ops); SET enable_seqscan = off;
         SELECT i FROM item ORDER BY v <-> '[250, 1, 1]' LIMIT 1",
        "251",
    ),
    of(
        "xml2",
        "SELECT xpath_number('<a><b>4</b><b>5</b></a>', 'sum(/a/b)')::text || xslt_process('<names><n>Ada</n></names>',
             '<xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\">
                <xsl:output method=\"text\"/>
                <xsl:template match=\"n\">, <xsl:value-of select=\".\"/></xsl:template>
              </xsl:stylesheet>')",
        "9, Ada",
    ),
];

/// Modules without an extension, or that ask to be loaded at the start.
const PRELOADED: &[&str] = &["pg_stat_statements"];

fn create(db: &mut Session, what: &Use) {
    db.exec(&format!("CREATE EXTENSION IF NOT EXISTS \"{}\" CASCADE", what.name))
        .unwrap_or_else(|error| panic!("{}: {error}", what.name));
    assert!(what.requires.is_empty() || installed(db).contains(what.requires));
}

fn answer(db: &mut Session, what: &Use) -> String {
    let results = db.exec(what.sql).unwrap_or_else(|error| panic!("{}: {error}", what.name));
    let row = results.last().expect("a statement").rows()[0].get(0).map(str::to_owned);
    db.exec("RESET ALL").unwrap();
    row.unwrap_or_default()
}

fn installed(db: &mut Session) -> BTreeSet<String> {
    let rows = db.query("SELECT extname::text FROM pg_extension", &[]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[test]
fn all_that_are_there_are_tested() {
    let mut db = temporary();
    let rows = db.query("SELECT name::text FROM pg_available_extensions", &[]).unwrap();
    let available: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let tested = EXTENSIONS.iter().map(|what| what.name).chain(PRELOADED.iter().copied());
    let mut tested: BTreeSet<String> = tested.map(str::to_owned).collect();
    tested.insert("plpgsql".into());
    assert_eq!(available, tested);
}

/// Created, used, dropped; and nothing is left of one whose creation is rolled back.
#[test]
fn each_is_created_used_and_dropped() {
    let mut db = temporary();
    for what in EXTENSIONS {
        db.exec("BEGIN").unwrap();
        create(&mut db, what);
        db.exec("ROLLBACK").unwrap();
        assert!(!installed(&mut db).contains(what.name), "{} is still there", what.name);

        create(&mut db, what);
        assert_eq!(answer(&mut db, what), what.answer, "{}", what.name);
        db.exec(&format!("DROP EXTENSION \"{}\" CASCADE", what.name)).unwrap();
        assert!(!installed(&mut db).contains(what.name), "{} is still there", what.name);
    }
}

/// In one database all at once: in the session that made them, in another at the same time, in a fork, which has all of
/// them loaded, and in a snapshot that went through a file.
#[test]
fn all_together_in_sessions_forks_and_snapshots() {
    let mut db = temporary();
    for what in EXTENSIONS {
        create(&mut db, what);
        assert_eq!(answer(&mut db, what), what.answer, "{}", what.name);
    }
    let mut other = db.connect().unwrap();
    for what in EXTENSIONS {
        assert_eq!(answer(&mut other, what), what.answer, "{} in a second session", what.name);
    }
    other.close().unwrap();

    let mut fork = db.fork().unwrap();
    for what in EXTENSIONS {
        assert_eq!(answer(&mut fork, what), what.answer, "{} in a fork", what.name);
    }
    let mut fork_of_fork = fork.fork().unwrap();
    for what in EXTENSIONS.iter().rev() {
        assert_eq!(answer(&mut fork_of_fork, what), what.answer, "{} in a fork's fork", what.name);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all.snapshot");
    db.snapshot().unwrap().save(&path).unwrap();
    let mut loaded = Snapshot::load(&path).unwrap().start().unwrap();
    for what in EXTENSIONS {
        assert_eq!(answer(&mut loaded, what), what.answer, "{} from a file", what.name);
    }
}

#[test]
fn a_persistent_database_has_them_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let mut db = Pglite::open(&path).unwrap();
    for what in EXTENSIONS {
        create(&mut db, what);
        assert_eq!(answer(&mut db, what), what.answer, "{}", what.name);
    }
    db.close().unwrap();
    let mut db = Pglite::open(&path).unwrap();
    for what in EXTENSIONS {
        assert_eq!(answer(&mut db, what), what.answer, "{} after a restart", what.name);
    }
}

#[test]
fn modules_that_are_loaded_at_the_start() {
    let mut db = Pglite::builder()
        .preload(["pg_stat_statements", "auto_explain"])
        .config("auto_explain.log_min_duration", "-1")
        .open()
        .unwrap();
    db.exec("CREATE EXTENSION pg_stat_statements").unwrap();
    db.exec("SELECT 41 + 1").unwrap();
    let seen = "SELECT count(*) FROM pg_stat_statements WHERE query LIKE 'SELECT $1 + $2%'";
    assert_eq!(text(&mut db, seen), "1");
    assert_eq!(text(&mut db, "SHOW auto_explain.log_min_duration"), "-1");
    // The counters are the cluster's.
    let mut other = db.connect().unwrap();
    assert_eq!(text(&mut other, seen), "1");

    let error = Pglite::builder().preload(["no_such_module"]).open().unwrap_err();
    assert!(error.to_string().contains("no_such_module"), "{error}");
    let error = Pglite::builder().preload(["a,b"]).open().unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error}");
}

#[test]
fn parallel_workers_and_other_processes_have_the_modules() {
    let mut db = temporary();
    db.exec(
        "CREATE EXTENSION pg_trgm;
         CREATE TABLE words AS SELECT md5(i::text) AS w FROM generate_series(1, 20000) i;
         ANALYZE words; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
         SET min_parallel_table_scan_size = 0; SET debug_parallel_query = on",
    )
    .unwrap();
    let sql = "SELECT count(*) FROM words WHERE similarity(w, 'abc') > 0.1";
    let parallel = text(&mut db, sql);
    db.exec("SET max_parallel_workers_per_gather = 0; SET debug_parallel_query = off").unwrap();
    assert_eq!(parallel, text(&mut db, sql));
}

#[test]
fn errors_pass_through_modules() {
    let mut db = temporary();
    db.exec("CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION cube").unwrap();
    // Out of a module, into PL/pgSQL of the core, many times.
    db.exec(
        "DO $$ DECLARE caught int := 0; BEGIN
           FOR i IN 1..2000 LOOP
             BEGIN
               IF i % 2 = 0 THEN PERFORM 'a=>'::hstore; ELSE PERFORM 'a..b'::ltree; END IF;
             EXCEPTION WHEN OTHERS THEN caught := caught + 1;
             END;
           END LOOP;
           IF caught <> 2000 THEN RAISE 'only % were caught', caught; END IF;
         END $$",
    )
    .unwrap();
    let error = db.exec("SELECT '(1,2'::cube").unwrap_err();
    assert_eq!(sqlstate(&error), "22P02");
    assert_eq!(text(&mut db, "SELECT '(1,2)'::cube"), "(1, 2)");
}

#[test]
fn hstore_is_a_map() {
    let mut db = temporary();
    db.exec("CREATE EXTENSION hstore").unwrap();
    let map = HashMap::from([("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)]);
    let row = db.query_one("SELECT $1::hstore, $1::hstore -> 'a'", &[&map]).unwrap();
    assert_eq!(row.get::<_, HashMap<String, Option<String>>>(0), map);
    assert_eq!(row.get::<_, &str>(1), "1");
}

/// Text that PostgreSQL says when a module cannot be loaded.
fn load_error(db: &mut Session, path: &str) -> String {
    db.exec(&format!("LOAD '{path}'")).unwrap_err().to_string()
}

#[test]
fn only_modules_of_this_program_are_loaded() {
    let mut db = temporary();
    db.exec("COPY (SELECT 'not a module') TO '/tmp/evil.so'").unwrap();
    let error = load_error(&mut db, "/tmp/evil.so");
    assert!(error.contains("modules are loaded from"), "{error}");
    let error = load_error(&mut db, "no_such_module");
    assert!(error.contains("no_such_module"), "{error}");
    let error = db.exec("CREATE EXTENSION no_such_extension").unwrap_err();
    assert!(error.to_string().contains("not available"), "{error}");
    // The session goes on, and modules can still be loaded.
    db.exec("LOAD 'hstore'").unwrap();
}

#[test]
fn a_module_is_loaded_once_however_often_it_is_asked_for() {
    let mut db = temporary();
    for _ in 0..100 {
        db.exec("LOAD 'pg_trgm'; LOAD '$libdir/pg_trgm'").unwrap();
        db.exec("DISCARD ALL").unwrap();
    }
    db.exec("CREATE EXTENSION pg_trgm").unwrap();
    assert_eq!(text(&mut db, "SELECT similarity('a', 'a')"), "1");
}

#[test]
fn a_server_has_them_too() {
    let server = PgliteServer::temporary().unwrap();
    let mut client = postgres::Client::connect(&server.database_url(), postgres::NoTls).unwrap();
    client.batch_execute("CREATE EXTENSION citext; CREATE TABLE t (name citext UNIQUE)").unwrap();
    client.batch_execute("INSERT INTO t VALUES ('Ada')").unwrap();
    let mut second = postgres::Client::connect(&server.database_url(), postgres::NoTls).unwrap();
    let found: i64 =
        second.query_one("SELECT count(*) FROM t WHERE name = 'ADA'", &[]).unwrap().get(0);
    assert_eq!(found, 1);
    drop((client, second));
}

/// Directories of a program's own.
mod directories {
    use std::fs;
    use std::path::{Path, PathBuf};

    use pglite_oxide::{Error, Pglite};

    use super::load_error;

    fn write(dir: &Path, path: &str, contents: &[u8]) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// A directory with one module: that of PostgreSQL's own tests.
    fn modules() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/regress/modules")
    }

    const REVERSE: &str =
        "CREATE FUNCTION reverse_name(name) RETURNS name AS '$libdir/regress' LANGUAGE C STRICT";

    #[test]
    fn a_module_of_the_programs_own() {
        let mut db = Pglite::builder().extension_dir(modules()).open().unwrap();
        db.exec(REVERSE).unwrap();
        assert_eq!(crate::text(&mut db, "SELECT reverse_name('abc')"), "cba");
        // A copy has loaded it, too.
        let mut fork = db.fork().unwrap();
        assert_eq!(crate::text(&mut fork, "SELECT reverse_name('abc')"), "cba");
    }

    /// The same code, for a core that does not exist.
    #[test]
    fn a_module_of_another_core_is_refused() {
        let abi = pglite_oxide_extensions::MANIFEST.split_once("\"abi\": \"").unwrap().1;
        let abi: Vec<u8> =
            (0..32).map(|at| u8::from_str_radix(&abi[2 * at..2 * at + 2], 16).unwrap()).collect();
        let mut code = fs::read(modules().join("lib/regress.so")).unwrap();
        let trailer = code.split_off(code.len() - 64);
        let at = code.windows(32).position(|bytes| bytes == abi).expect("it names its core");
        code[at] ^= 1;
        let hash = blake3::hash(&code);
        let dir = tempfile::tempdir().unwrap();
        let file = [&code[..], hash.as_bytes(), &trailer[32..]].concat();
        write(dir.path(), "lib/regress.so", &file);
        let mut db = Pglite::builder().extension_dir(dir.path()).open().unwrap();
        let error = load_error(&mut db, "regress");
        assert!(error.contains("another PostgreSQL core"), "{error}");
        // One that has been altered is not even looked at.
        write(dir.path(), "lib/regress.so", &[&code[..], &trailer].concat());
        assert!(Pglite::builder().extension_dir(dir.path()).open().is_err());
    }

    #[test]
    fn an_extension_of_sql_alone() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            "share/extension/greeting.control",
            b"default_version = '1.0'\nrelocatable = true\n",
        );
        write(
            dir.path(),
            "share/extension/greeting--1.0.sql",
            b"CREATE FUNCTION greet(text) RETURNS text LANGUAGE sql AS $$ SELECT 'Hello, ' || $1 $$;",
        );
        let mut db = Pglite::builder().extension_dir(dir.path()).open().unwrap();
        db.exec("CREATE EXTENSION greeting").unwrap();
        assert_eq!(crate::text(&mut db, "SELECT greet('you')"), "Hello, you");
        // Others do not have it.
        let error = crate::temporary().exec("CREATE EXTENSION greeting").unwrap_err();
        assert!(error.to_string().contains("not available"), "{error}");
    }

    #[test]
    fn what_is_missing_or_damaged_is_an_error_before_anything_runs() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Pglite::builder().extension_dir(dir.path()).open();
        let error = open().unwrap_err();
        assert!(matches!(error, Error::Assets(_)), "{error}");

        write(dir.path(), "lib/broken.so", b"\x7fELF and nothing more");
        let error = std::error::Error::source(&open().unwrap_err()).map(ToString::to_string);
        let text = error.unwrap_or_else(|| open().unwrap_err().to_string());
        assert!(text.contains("not a side module"), "{text}");

        fs::remove_dir_all(dir.path().join("lib")).unwrap();
        write(
            dir.path(),
            "share/extension/half.control",
            b"default_version = '1.0'\nmodule_pathname = '$libdir/half'\n",
        );
        let mut db = open().unwrap();
        let error = db.exec("CREATE EXTENSION half").unwrap_err().to_string();
        assert!(error.contains("no installation script"), "{error}");
        let error = load_error(&mut db, "half");
        assert!(error.contains("half"), "{error}");
    }
}

/// A copy once had no socket by the name of its port: it was a copy of a server with another port.
#[test]
fn copies_connect_to_themselves() {
    let servers: Vec<_> = (0..2).map(|_| PgliteServer::temporary().unwrap()).collect();
    drop(servers);
    for number in 0..3 {
        let mut db = temporary();
        assert_eq!(text(&mut db, "SHOW port"), "5432");
        let mut fork = db.fork().unwrap();
        for db in [&mut db, &mut fork] {
            db.exec("CREATE EXTENSION dblink").unwrap();
            let sql = "SELECT i FROM dblink('host=/tmp dbname=postgres user=postgres', 'SELECT 7') AS t(i int)";
            assert_eq!(text(db, sql), "7", "database {number}");
        }
    }
}
