//! Texts in parts of a size that can be shown as an answer, and that are about one thing.
//!
//! Paragraphs are put together until a chunk is full. The next chunk begins with the last paragraph of the one before
//! if that is short: so a heading, or a sentence that leads to what follows, is in one chunk with it.

use std::ops::Range;

/// Sizes in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How long a chunk may be.
    pub(crate) chunk: usize,
    /// How long a paragraph may be to be in two chunks.
    pub(crate) overlap: usize,
}

/// Some paragraphs of prose; short enough to be read in full, long enough to have words in common with a question.
pub(crate) const LIMITS: Limits = Limits { chunk: 800, overlap: 250 };

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk<'a> {
    /// The number of its first line; the first of the text is 1.
    pub(crate) first_line: usize,
    /// The number of its last line.
    pub(crate) last_line: usize,
    /// What it says.
    pub(crate) text: &'a str,
}

/// Splits a text. What has no letters and digits, such as a ruler, is in no chunk of its own.
pub(crate) fn chunks(text: &str, limits: Limits) -> Vec<Chunk<'_>> {
    let pieces = pieces(text, limits.chunk);
    let mut chunks = Vec::new();
    // The chunk in the making begins with `first`; all before `next` are in some chunk.
    let (mut first, mut next) = (0, 0);
    while next < pieces.len() {
        let start = pieces[first].bytes.start;
        let fitting = pieces[next..].iter().take_while(|p| p.bytes.end - start <= limits.chunk);
        let mut end = next + fitting.count();
        if end == next {
            if first < next {
                // With the overlap there is no room for anything new.
                first = next;
                continue;
            }
            // One character that is longer than a chunk may be.
            end += 1;
        }
        let last = &pieces[end - 1];
        chunks.push(Chunk {
            first_line: pieces[first].first_line,
            last_line: last.last_line,
            text: &text[start..last.bytes.end],
        });
        next = end;
        first = if last.bytes.len() <= limits.overlap { end - 1 } else { end };
    }
    chunks.retain(|chunk| chunk.text.contains(char::is_alphanumeric));
    chunks
}

/// What is not divided further: a paragraph, or a part of one that is longer than a chunk.
struct Piece {
    first_line: usize,
    last_line: usize,
    bytes: Range<usize>,
}

fn pieces(text: &str, longest: usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    // Of the paragraph that is being read.
    let mut open: Option<Piece> = None;
    let mut offset = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let number = index + 1;
        let bytes = offset..offset + line.trim_end().len();
        offset += line.len();
        if bytes.is_empty() {
            pieces.extend(open.take());
            continue;
        }
        match &mut open {
            Some(piece) if bytes.end - piece.bytes.start <= longest => {
                piece.last_line = number;
                piece.bytes.end = bytes.end;
            }
            _ => {
                pieces.extend(open.take());
                let mut parts: Vec<Piece> = split_line(text, bytes, longest)
                    .into_iter()
                    .map(|bytes| Piece { first_line: number, last_line: number, bytes })
                    .collect();
                open = parts.pop();
                pieces.extend(parts);
            }
        }
    }
    pieces.extend(open);
    pieces
}

/// Divides a line that is longer than a chunk, between words if there are any.
fn split_line(text: &str, mut line: Range<usize>, longest: usize) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    while line.len() > longest {
        let rest = &text[line.clone()];
        // One character at least, or this would never end.
        let fits = rest.floor_char_boundary(longest).max(rest.ceil_char_boundary(1));
        let words = rest[..fits].rfind(char::is_whitespace).map(|space| rest[..space].trim_end());
        // If there are none, in the middle of one.
        let end = words.map(str::len).filter(|&end| end > 0).unwrap_or(fits);
        parts.push(line.start..line.start + end);
        let blanks = rest[end..].len() - rest[end..].trim_start().len();
        line.start += end + blanks;
    }
    parts.push(line);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chunks as `first-last: text`.
    fn split(text: &str, chunk: usize, overlap: usize) -> Vec<String> {
        chunks(text, Limits { chunk, overlap })
            .iter()
            .map(|chunk| format!("{}-{}: {}", chunk.first_line, chunk.last_line, chunk.text))
            .collect()
    }

    #[test]
    fn paragraphs_that_fit_are_one_chunk() {
        for (text, expected) in [
            ("one", &["1-1: one"][..]),
            ("one\ntwo\n", &["1-2: one\ntwo"]),
            ("\n\none\n\ntwo\n\n", &["3-5: one\n\ntwo"]),
            ("one\r\n\r\ntwo\r\n", &["1-3: one\r\n\r\ntwo"]),
            ("", &[]),
            (" \n\t\n", &[]),
        ] {
            assert_eq!(split(text, 20, 0), expected, "{text:?}");
        }
    }

    #[test]
    fn a_full_chunk_is_followed_by_another() {
        assert_eq!(
            split("first\n\nsecond\n\nthird\nand more\n", 15, 0),
            ["1-3: first\n\nsecond", "5-6: third\nand more"]
        );
    }

    #[test]
    fn a_short_last_paragraph_is_in_the_next_chunk_too() {
        for (overlap, expected) in [
            (5, ["1-3: first thing\n\n# Two", "3-5: # Two\n\nsecond thing"]),
            (4, ["1-3: first thing\n\n# Two", "5-5: second thing"]),
        ] {
            assert_eq!(
                split("first thing\n\n# Two\n\nsecond thing\n", 20, overlap),
                expected,
                "{overlap}"
            );
        }
    }

    #[test]
    fn an_overlap_gives_way_if_there_is_no_room() {
        assert_eq!(
            split("# Two\n\nparagraph of 20 byte\n\nend", 20, 5),
            ["1-1: # Two", "3-3: paragraph of 20 byte", "5-5: end"]
        );
    }

    #[test]
    fn long_paragraphs_are_divided_between_lines() {
        assert_eq!(
            split("one one\ntwo two\nthree\nfour\n", 16, 0),
            ["1-2: one one\ntwo two", "3-4: three\nfour"]
        );
        assert_eq!(
            split("one one\ntwo two\nthree\nfour\n", 13, 0),
            ["1-1: one one", "2-3: two two\nthree", "4-4: four"]
        );
    }

    #[test]
    fn long_lines_are_divided_between_words() {
        for (text, expected) in [
            ("aaa bbb  ccc ddd", &["1-1: aaa bbb", "1-1: ccc ddd"][..]),
            ("aaaaaaaaaabbb", &["1-1: aaaaaaaaa", "1-1: abbb"]),
            ("  aaaaaaaaaaa", &["1-1:   aaaaaaa", "1-1: aaaa"]),
            // Characters of two bytes each.
            ("öööööö", &["1-1: öööö", "1-1: öö"]),
            ("x\naaaaaaaaaabbb\ny", &["1-1: x", "2-2: aaaaaaaaa", "2-3: abbb\ny"]),
        ] {
            assert_eq!(split(text, 9, 0), expected, "{text:?}");
        }
        assert_eq!(split("öä", 1, 0), ["1-1: ö", "1-1: ä"], "characters longer than a chunk");
    }

    #[test]
    fn chunks_without_letters_are_left_out() {
        assert_eq!(split("====\n\nword\n\n----\n", 4, 0), ["3-3: word"]);
    }
}
