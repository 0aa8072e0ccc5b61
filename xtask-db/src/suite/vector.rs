//! `cargo xtask regress --vector`: pgvector's regression tests and our own against our extensions for vectors.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};

use super::contrib::{Tests, run_at};
use super::run::Address;
use super::server::{Server, Transport};
use super::{REGRESS, empty_dir};
use crate::args::Args;
use crate::log;
use crate::paths::Paths;
use crate::perf::native::NativeData;

const HELP: &str = "\
cargo xtask regress --vector [OPTIONS]: pgvector's regression tests, and our own, against our `vector`

  --native         against the native PostgreSQL of `cargo xtask native ruvector`
  --reference      pgvector's tests against pgvector itself, built as ours is: to see that they can pass
  --built          what was built last, packed or not
  --only A,B,...   these tests alone
  --output DIR     where results are left (default target/vector)
";

pub(crate) fn command(args: &[String]) -> Result<ExitCode> {
    let mut args = Args::new(args);
    if args.flag("--help") {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let native = args.flag("--native");
    let reference = args.flag("--reference");
    let built = args.flag("--built");
    let only = args.value("--only")?;
    let output = args.value("--output")?;
    args.finish(HELP)?;

    let paths = Paths::find("psql")?;
    let output = output.map_or_else(|| paths.repo("target/vector"), PathBuf::from);
    let output = empty_dir(&output)?;
    log::to_file(&output.join("postgres.log"))?;
    let mut suites = vec![("pgvector", paths.pgvector_tests()?, &["vector"][..])];
    if !reference {
        let ours = paths.repo("crates/ruvector-side-module/tests");
        suites.push(("ruvector", ours, &["vector", "ruvector"]));
    }
    let (mut passed, mut failed) = (0, Vec::new());
    for (name, dir, load) in suites {
        let mut tests = Tests::in_directory(&dir, load)?;
        if let Some(only) = &only {
            tests.names.retain(|test| only.split(',').any(|name| name == test));
        }
        println!("# {name}");
        let results = empty_dir(&output.join(name))?;
        // Running servers are kept until their tests have ended.
        let (outcome, hanging) = if native {
            let home = tempfile::tempdir()?;
            let data = NativeData::make(&paths.with_ruvector()?, &home.path().join("server"))?;
            let server = data.serve()?;
            let address = Address {
                host: server.directory().to_string_lossy().into_owned(),
                port: 5432,
                user: "postgres".to_owned(),
            };
            (run_at(&paths, address, &dir, &results, &tests, results.clone())?, None)
        } else {
            let modules = match (reference, built) {
                (true, _) => vec![paths.reference_modules()?],
                (false, true) => vec![paths.built_modules()],
                (false, false) => Vec::new(),
            };
            let server = Server::start(
                Transport::Unix,
                &[&dir],
                &results,
                REGRESS.settings,
                modules.as_slice(),
            )?;
            let address = server.connection().into();
            (run_at(&paths, address, &dir, &results, &tests, results.clone())?, Some(server))
        };
        if outcome.stalled {
            std::mem::forget(hanging);
        }
        let missing = tests.names.iter().filter(|test| !outcome.passed.contains(*test));
        failed.extend(missing.map(|test| format!("{name}/{test}")));
        passed += outcome.passed.len();
    }
    if !failed.is_empty() {
        println!("# failed: {}", failed.join(" "));
        println!("# differences: {}/*/regression.diffs", output.display());
    }
    println!("{passed} passed, {} failed", failed.len());
    if passed == 0 && failed.is_empty() {
        bail!("there are no such tests\n\n{HELP}");
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
