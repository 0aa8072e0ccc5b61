//! A process that is killed while it writes, and what is left.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pglite_oxide::Pglite;

use crate::report::Report;

/// The child: commits row after row, and says which are committed, until it is killed.
pub(crate) fn write_for_ever(path: &Path) -> Result<(), Box<dyn Error>> {
    let mut db = Pglite::open(path)?;
    db.exec("CREATE TABLE IF NOT EXISTS ledger (id int PRIMARY KEY, note text)")?;
    for id in 1i32.. {
        db.execute("INSERT INTO ledger VALUES ($1, 'row ' || $1::int)", &[&id])?;
        // From here on the row has to survive whatever happens.
        println!("{id}");
    }
    Ok(())
}

/// The parent: lets the child write for a second, kills it, and looks.
pub(crate) fn survive(path: &Path) -> Result<(), Box<dyn Error>> {
    let mut report = Report::new("A crash: the writing process is killed");
    let mut child =
        Command::new(std::env::current_exe()?).arg(path).stdout(Stdio::piped()).spawn()?;
    let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    let mut acknowledged = 0;
    let mut deadline = None;
    for line in lines {
        // A last line cut off by the kill is no acknowledgement.
        let Ok(id) = line?.parse() else { break };
        acknowledged = id;
        let deadline = *deadline.get_or_insert_with(|| Instant::now() + Duration::from_secs(1));
        if Instant::now() > deadline {
            child.kill()?; // SIGKILL: nothing is cleaned up
        }
    }
    child.wait()?;

    let mut db = report.time("open after the crash (recovery)", || Pglite::open(path))?;
    let row = db.query_one("SELECT count(*), max(id) FROM ledger", &[])?;
    let (count, last): (i64, i32) = (row.get(0), row.get(1));
    report.note("rows acknowledged before the kill", acknowledged);
    report.note("rows there", count);
    assert!(count >= i64::from(acknowledged), "an acknowledged row is lost");
    assert_eq!(count, i64::from(last), "a row in the middle is lost");
    db.close()?;
    println!("\nEvery acknowledged row is there.");
    Ok(())
}
