//! `cargo run --package semantic_search`: questions to text files, answered by full text search and vector search
//! together, in a PostgreSQL inside this process.
//!
//! Without arguments it indexes a few texts of its own, asks them questions, and checks the answers.

mod arguments;
mod chunking;
mod corpus;
mod embedding;
mod report;
mod samples;
mod search;
mod store;

use std::error::Error;
use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use pglite_oxide::Pglite;

use arguments::{Arguments, Command};
use search::Question;
use store::Index;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the output has seen enough, as `head` does.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("semantic_search: {error}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments = match arguments::parse(std::env::args_os().skip(1))? {
        Command::Help => {
            io::stdout().write_all(arguments::USAGE.as_bytes())?;
            return Ok(());
        }
        Command::Search(arguments) => arguments,
    };
    // Before there is anything to wait for.
    let question = arguments.question.as_deref().map(Question::new).transpose()?;
    let sampled = arguments.paths.is_empty() && arguments.database.is_none();

    let mut index = indexed(&arguments, sampled)?;
    match question {
        Some(question) => answer(&mut index, &question, arguments.limit)?,
        None => {
            if sampled {
                check_samples(&mut index, arguments.limit)?;
            }
            answer_lines(&mut index, arguments.limit)?;
        }
    }
    index.close()?;
    Ok(())
}

/// Opens the index and brings it up to date.
fn indexed(arguments: &Arguments, sampled: bool) -> Result<Index, Box<dyn Error>> {
    let documents = if sampled {
        Some(samples::documents())
    } else if arguments.paths.is_empty() {
        None
    } else {
        let corpus = corpus::read(&arguments.paths)?;
        for skipped in &corpus.skipped {
            eprintln!("skipped {skipped}");
        }
        Some(corpus.documents)
    };
    let db = match &arguments.database {
        // Opening it would make it, for a misspelt name too.
        Some(directory) if documents.is_none() && !directory.exists() => {
            return Err(NO_INDEX.into());
        }
        Some(directory) => Pglite::open(directory)?,
        None => Pglite::temporary()?,
    };
    let mut index = Index::new(db)?;
    if let Some(documents) = documents {
        let changes = index.update(&documents)?;
        report::print_changes(&mut io::stdout(), &changes, index.chunks()?)?;
    } else if index.chunks()? == 0 {
        return Err(NO_INDEX.into());
    }
    Ok(index)
}

const NO_INDEX: &str = "there is no index in this directory yet: name files or directories too";

fn answer(index: &mut Index, question: &Question, limit: i64) -> Result<(), Box<dyn Error>> {
    let hits = search::search(index, question, limit)?;
    report::print_hits(&mut io::stdout(), question.text(), &hits)?;
    Ok(())
}

/// Answers each line of the standard input.
fn answer_lines(index: &mut Index, limit: i64) -> Result<(), Box<dyn Error>> {
    let mut input = io::stdin().lock();
    let prompt = input.is_terminal();
    let mut line = String::new();
    loop {
        if prompt {
            let mut out = io::stdout();
            out.write_all(b"\nquestion (Ctrl-D ends): ")?;
            out.flush()?;
        }
        line.clear();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        match Question::new(line.trim()) {
            Ok(question) => answer(index, &question, limit)?,
            // The next line may have some.
            Err(no_words) => eprintln!("{no_words}"),
        }
    }
}

/// Asks the samples what they are known to answer.
fn check_samples(index: &mut Index, limit: i64) -> Result<(), Box<dyn Error>> {
    for (text, expected) in samples::QUESTIONS {
        let question = Question::new(text)?;
        let hits = search::search(index, &question, limit)?;
        report::print_hits(&mut io::stdout(), text, &hits)?;
        let found = hits.first().map(|hit| hit.path.as_str());
        assert_eq!(found, Some(expected), "{text}");
    }
    Ok(())
}
