//! `cargo run --release --example quickstart`: a tour of an embedded PostgreSQL on real data.
//!
//! First a temporary database in memory, then the same on disk, then a crash: a child process that is
//! killed while it writes, and whose every acknowledged row is there afterwards.

mod crash;
mod data;
mod report;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use pglite_oxide::Pglite;

use report::Report;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    // The crash test starts this program again as its writer.
    if let Some(path) = std::env::args().nth(1).filter(|argument| argument != "--") {
        return crash::write_for_ever(Path::new(&path));
    }

    let mut report = Report::new("A temporary database, in memory");
    let mut db = report.time("open", Pglite::temporary)?;
    tour(&mut db, &mut report)?;
    report.time("close", || db.close())?;

    let dir = Scratch::new()?;
    let mut report = Report::new("A database in a directory, with fsync");
    let mut db = report.time("open (makes the database)", || Pglite::open(dir.path()))?;
    tour(&mut db, &mut report)?;
    report.time("close (checkpoint)", || db.close())?;
    let db = report.time("open again", || Pglite::open(dir.path()))?;
    drop(db);

    crash::survive(dir.path())
}

/// What a first look at a database would try.
fn tour(db: &mut Pglite, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let version = db.query_one("SELECT split_part(version(), ',', 1)", &[])?;
    report.note("version", version.get::<_, &str>(0));

    let rows = report.time("COPY 11,000 rows of onek and tenk", || data::load(db))?;
    report.note("rows loaded", rows);

    let row = report.time("join and aggregate", || {
        db.query_one(
            "SELECT count(*), sum(t.unique1)
             FROM tenk t JOIN onek o ON t.hundred = o.hundred WHERE o.ten < $1",
            &[&5i32],
        )
    })?;
    report.note("pairs, sum", format!("{}, {}", row.get::<_, i64>(0), row.get::<_, i64>(1)));

    let rows = report.time("window functions", || {
        db.query(
            "SELECT ten, unique1, rank() OVER (PARTITION BY ten ORDER BY unique1 DESC) AS place
             FROM tenk ORDER BY place, ten LIMIT 3",
            &[],
        )
    })?;
    for row in &rows {
        report.note(
            "best of its ten",
            format!("{} -> {}", row.get::<_, i32>(0), row.get::<_, i32>(1)),
        );
    }

    db.exec(
        "CREATE FUNCTION safe_divide(a numeric, b numeric) RETURNS text LANGUAGE plpgsql AS $$
         BEGIN
             RETURN round(a / b, 3)::text;
         EXCEPTION WHEN division_by_zero THEN
             RETURN 'not a number';
         END $$",
    )?;
    let row = report.time("1,000 calls of plpgsql with EXCEPTION", || {
        db.query_one(
            "SELECT count(*) FILTER (WHERE safe_divide(unique1, ten) = 'not a number') FROM onek",
            &[],
        )
    })?;
    report.note("divisions by zero, caught", row.get::<_, i64>(0));

    let row = report.time("English full text search", || {
        db.query_one(
            "SELECT to_tsvector('english', 'The quick foxes were jumping over lazy dogs')
                    @@ to_tsquery('english', 'fox & jump & !cat') AS found,
                    to_tsvector('english', 'the and of')::text AS stop_words",
            &[],
        )
    })?;
    report.note("'foxes … jumping' matches 'fox & jump'", row.get::<_, bool>("found"));
    report.note("stop words left", format!("'{}'", row.get::<_, &str>("stop_words")));

    let row = report.time("JSON: build, index path, aggregate", || {
        db.query_one(
            "SELECT jsonb_path_query_first(jsonb_agg(to_jsonb(o)), '$[*] ? (@.unique1 == 42).stringu1') #>> '{}'
             FROM onek o",
            &[],
        )
    })?;
    report.note("stringu1 of row 42", row.get::<_, &str>(0));

    let error = db.exec("SELECT 1/0").expect_err("PostgreSQL knows that one");
    report.note("an error", error);
    Ok(())
}

/// A directory that is removed at the end.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Scratch> {
        let path = std::env::temp_dir().join(format!("pglite-quickstart-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Scratch(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing to be done about it in a destructor, and the system cleans its temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
