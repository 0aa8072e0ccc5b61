//! Vectors move: from here to native PostgreSQL with our extension or with pgvector, and back.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use pglite_oxide::Pglite;

use super::super::native::{NativeData, NativeServer};
use super::super::servers::TEMPORARY;
use super::readable;
use crate::paths::Paths;

/// All types, each with an index that has its own way to store them.
const TABLES: &str = "\
    CREATE EXTENSION vector; \
    SELECT setseed(0.25); \
    CREATE TABLE item AS SELECT i AS id, \
        ARRAY(SELECT round(random()::numeric, 3)::real FROM generate_series(1, 32) WHERE i > 0)::vector(32) AS v \
        FROM generate_series(1, 2000) i; \
    ALTER TABLE item ADD h halfvec(32), ADD s sparsevec(32), ADD b bit(32); \
    UPDATE item SET h = v::halfvec, s = (v - (SELECT avg(v) FROM item))::sparsevec, \
        b = binary_quantize(v - (SELECT avg(v) FROM item)); \
    INSERT INTO item VALUES (0, NULL, NULL, NULL, NULL); \
    CREATE INDEX ON item USING hnsw (v vector_cosine_ops) WITH (m = 12, ef_construction = 80); \
    CREATE INDEX ON item USING hnsw (s sparsevec_l2_ops); \
    CREATE INDEX ON item USING hnsw (b bit_hamming_ops); \
    CREATE INDEX ON item USING ivfflat (h halfvec_l2_ops) WITH (lists = 20); \
    CREATE INDEX ON item (v)";

/// To the last bit, in the order of their ids.
const CHECKSUM: &str = "SELECT md5(string_agg(t::text, ';' ORDER BY id)) FROM item t";

/// Nearest by each distance that an index has, without the index and with it: searched so thoroughly, both find the same.
const NEAREST: [&str; 4] = [
    "v <=> (SELECT v FROM item WHERE id = 7)",
    "s <-> (SELECT s FROM item WHERE id = 7)",
    "b <~> (SELECT b FROM item WHERE id = 7)",
    "h <-> (SELECT h FROM item WHERE id = 7)",
];

const THOROUGH: &str = "SET hnsw.ef_search = 1000; SET ivfflat.probes = 20";

/// Distances, as ties may come in any order.
fn nearest(order: &str) -> String {
    format!(
        "SELECT string_agg(d::text, ' ') FROM \
         (SELECT ({order})::numeric(9, 5) AS d FROM item ORDER BY {order} LIMIT 10) AS nearest"
    )
}

/// All that is compared; each statement has one value.
fn answers(mut ask: impl FnMut(&[&str]) -> Result<String>) -> Result<Vec<String>> {
    let mut all = vec![ask(&[CHECKSUM])?];
    for order in NEAREST {
        let sql = nearest(order);
        for scan in ["SET enable_indexscan = off", "SET enable_seqscan = off"] {
            all.push(ask(&[THOROUGH, scan, &sql])?);
        }
        let [.., exact, indexed] = all.as_slice() else { unreachable!("two were added") };
        ensure!(exact == indexed, "{order}: exact {exact}, by an index {indexed}");
    }
    Ok(all)
}

fn ours(db: &mut Pglite) -> Result<Vec<String>> {
    answers(|statements| {
        let results = db.exec(&statements.join(";"))?;
        let row = results.last().and_then(|result| result.rows().first()).context("no row")?;
        Ok(row.get(0).context("a null")?.to_owned())
    })
}

fn native(data: &NativeData, server: &NativeServer, database: &str) -> Result<Vec<String>> {
    answers(|statements| {
        let mut arguments = vec!["--no-psqlrc", "-qAt", "--set=ON_ERROR_STOP=1"];
        for statement in statements {
            arguments.extend(["-c", statement]);
        }
        arguments.push(database);
        Ok(data.output_of(server, "psql", &arguments)?.trim_end().to_owned())
    })
}

pub(crate) fn command() -> Result<ExitCode> {
    let paths = Paths::find("postgres")?;
    let dir = tempfile::tempdir()?;
    let mut db = Pglite::temporary()?;
    db.exec(TABLES)?;
    let expected = ours(&mut db)?;
    let places = [("ruvector", paths.with_ruvector()?), ("pgvector", paths.with_pgvector()?)];
    for (name, paths) in places {
        let data = NativeData::make(&paths, &dir.path().join(name))?;
        let (server, mut client) = data.start(TEMPORARY)?;
        client.simple("CREATE DATABASE moved")?;
        let dump = data.path("ours.sql");
        db.dump().to_path(&dump)?;
        readable(&dump)?;
        let file = format!("--file={}", dump.display());
        let arguments = ["--no-psqlrc", "-q", "--set=ON_ERROR_STOP=1", "--dbname=moved", &file];
        data.client_of(&server, "psql", &arguments)?;
        ensure!(native(&data, &server, "moved")? == expected, "native {name} answers otherwise");

        let back = data.path("back.dump");
        let file = format!("--file={}", back.display());
        data.client_of(&server, "pg_dump", &["--format=custom", &file, "moved"])?;
        let mut copy = Pglite::temporary()?;
        copy.restore().from_path(&back)?;
        ensure!(ours(&mut copy)? == expected, "what comes back from {name} answers otherwise");
        println!("native {name}: vectors and indexes go there and back");
        if name == "ruvector" {
            run_commands(&paths, &server)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the page about vectors tells users to do, with a native server where clients look for one.
fn run_commands(paths: &Paths, server: &NativeServer) -> Result<()> {
    let program = std::env::current_exe()?;
    let ours = program.parent().context("a program in no directory")?;
    ensure!(ours.join("pglite").exists(), "no pglite beside {}: build it", program.display());
    let mut path = vec![ours.to_owned(), paths.native("bin")];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let status = Command::new("python3")
        .arg(paths.repo(".ci/commands.py"))
        .arg(paths.repo("docs/vectors.md"))
        .arg("## A server of its own")
        .env("PATH", std::env::join_paths(path)?)
        .env("PGHOST", server.directory())
        .env("PGUSER", "postgres")
        .status()
        .context("cannot run python3")?;
    ensure!(status.success(), "commands of docs/vectors.md failed");
    Ok(())
}
