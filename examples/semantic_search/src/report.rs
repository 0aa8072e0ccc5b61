//! What is printed.

use std::io::{self, Write};
use std::path::Path;

use crate::search::Hit;
use crate::store::Changes;

/// Where lines of a snippet end.
const WIDTH: usize = 96;

/// Prints the answers to a question.
pub(crate) fn print_hits(out: &mut impl Write, question: &str, hits: &[Hit]) -> io::Result<()> {
    writeln!(out, "\n? {question}")?;
    if hits.is_empty() {
        writeln!(out, "  nothing found")?;
    }
    for (index, hit) in hits.iter().enumerate() {
        let Hit { path, first_line, last_line, score, .. } = hit;
        writeln!(out, "\n{}. {}:{first_line}-{last_line}", index + 1, shortened(path))?;
        writeln!(
            out,
            "   score {score:.4} = text {} ({:.3}) + vector {} (distance {:.3})",
            rank(hit.text_rank),
            hit.text_score,
            rank(hit.vector_rank),
            hit.distance
        )?;
        for line in wrapped(&hit.snippet, WIDTH - 3) {
            writeln!(out, "   {line}")?;
        }
    }
    Ok(())
}

/// Prints what an update of the index has done.
pub(crate) fn print_changes(
    out: &mut impl Write,
    changes: &Changes,
    chunks: i64,
) -> io::Result<()> {
    let Changes { added, changed, removed, unchanged } = changes;
    writeln!(
        out,
        "files: {added} new, {changed} changed, {removed} removed, {unchanged} unchanged; {chunks} chunks"
    )
}

fn rank(rank: Option<i64>) -> String {
    rank.map_or("-".to_owned(), |rank| format!("#{rank}"))
}

/// A path as seen from the working directory.
fn shortened(path: &str) -> &str {
    let directory = std::env::current_dir().and_then(|directory| directory.canonicalize());
    let below = directory.ok().and_then(|directory| Path::new(path).strip_prefix(directory).ok());
    below.and_then(Path::to_str).unwrap_or(path)
}

/// The words of a text in lines of this width.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_printed_with_ranks() {
        let hit = Hit {
            path: "docs/tea.md".into(),
            first_line: 3,
            last_line: 5,
            snippet: "black\n  «tea»".into(),
            score: 1.0 / 61.0,
            text_rank: Some(1),
            text_score: 0.0608,
            vector_rank: None,
            distance: 0.9123,
        };
        for (hits, expected) in [
            (&[][..], "\n? tea\n  nothing found\n"),
            (
                &[hit],
                "\n? tea\n\n1. docs/tea.md:3-5\n   score 0.0164 = text #1 (0.061) + vector - (distance 0.912)\n   black «tea»\n",
            ),
        ] {
            let mut out = Vec::new();
            print_hits(&mut out, "tea", hits).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn snippets_are_wrapped() {
        for (text, expected) in [
            ("one two\n  three", &["one two", "three"][..]),
            ("one, two", &["one, two"]),
            ("a-very-long-word and", &["a-very-long-word", "and"]),
            ("", &[]),
        ] {
            assert_eq!(wrapped(text, 8), expected, "{text:?}");
        }
    }
}
