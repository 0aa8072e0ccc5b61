//! Where the statements of an SQL text begin and end: as `psql` finds them, for messages and for files that
//! run statement by statement.

use std::ops::Range;

/// The statements of a text, as byte ranges without what surrounds them: blanks, comments, semicolons.
pub(super) fn statements(text: &str) -> Vec<Range<usize>> {
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0 };
    let mut found = Vec::new();
    let mut statement = Statement::default();
    while let Some(token) = scanner.next() {
        if statement.add(&token) {
            found.extend(std::mem::take(&mut statement).range);
        }
    }
    found.extend(statement.range);
    found
}

/// The line of a byte, from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// What has been read of the current statement.
#[derive(Default)]
struct Statement {
    /// From its first token to its last.
    range: Option<Range<usize>>,
    parentheses: usize,
    /// Its first words, in small letters.
    words: Vec<String>,
    /// `BEGIN ATOMIC ... END` and `CASE ... END` that are open, in the body of a function.
    blocks: usize,
}

impl Statement {
    /// Whether the token ends the statement. It is not part of it then.
    fn add(&mut self, token: &Token<'_>) -> bool {
        match token.kind {
            Kind::Semicolon if self.parentheses == 0 && self.blocks == 0 => return true,
            Kind::Open => self.parentheses += 1,
            Kind::Close => self.parentheses = self.parentheses.saturating_sub(1),
            Kind::Word(word) => self.add_word(&word.to_ascii_lowercase()),
            Kind::Semicolon | Kind::Other => {}
        }
        let start = self.range.as_ref().map_or(token.range.start, |range| range.start);
        self.range = Some(start..token.range.end);
        false
    }

    fn add_word(&mut self, word: &str) {
        const ENOUGH: usize = 4;
        if self.words.len() < ENOUGH {
            self.words.push(word.to_owned());
        }
        if self.parentheses > 0 || !self.makes_routine() {
            return;
        }
        match word {
            "begin" => self.blocks += 1,
            "case" if self.blocks > 0 => self.blocks += 1,
            "end" => self.blocks = self.blocks.saturating_sub(1),
            _ => {}
        }
    }

    /// CREATE [OR REPLACE] FUNCTION or PROCEDURE: the only statements with statements of their own inside.
    fn makes_routine(&self) -> bool {
        let words: Vec<_> = self.words.iter().map(String::as_str).collect();
        matches!(
            words.as_slice(),
            ["create", "function" | "procedure", ..]
                | ["create", "or", "replace", "function" | "procedure", ..]
        )
    }
}

struct Token<'a> {
    range: Range<usize>,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Semicolon,
    Open,
    Close,
    /// A key word or a name without quotes.
    Word(&'a str),
    Other,
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// The next token that is neither blank nor comment.
    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks();
        let start = self.at;
        let kind = match *self.bytes.get(start)? {
            b';' => self.single(Kind::Semicolon),
            b'(' => self.single(Kind::Open),
            b')' => self.single(Kind::Close),
            b'\'' => self.quoted(b'\'', false),
            b'"' => self.quoted(b'"', false),
            b'$' => self.dollar(),
            byte if begins_word(byte) => self.word(),
            byte if byte.is_ascii_digit() => self.number(),
            _ => self.single(Kind::Other),
        };
        Some(Token { range: start..self.at, kind })
    }

    fn single(&mut self, kind: Kind<'a>) -> Kind<'a> {
        self.at += 1;
        kind
    }

    fn skip_blanks(&mut self) {
        loop {
            match (self.peek(0), self.peek(1)) {
                (b'-', b'-') => self.skip_while(|byte| byte != b'\n'),
                (b'/', b'*') => self.skip_comment(),
                (byte, _) if byte.is_ascii_whitespace() || byte == 0x0b => self.at += 1,
                _ => return,
            }
        }
    }

    fn skip_while(&mut self, matches: impl Fn(u8) -> bool) {
        while self.bytes.get(self.at).is_some_and(|byte| matches(*byte)) {
            self.at += 1;
        }
    }

    /// Comments of this kind nest.
    fn skip_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.at += 1,
            }
        }
        self.at = self.bytes.len();
    }

    /// To the closing quote. A doubled one is two texts in a row here, which is the same for us.
    fn quoted(&mut self, quote: u8, escapes: bool) -> Kind<'a> {
        self.at += 1;
        while let Some(&byte) = self.bytes.get(self.at) {
            self.at += if escapes && byte == b'\\' { 2 } else { 1 };
            if byte == quote {
                break;
            }
        }
        self.at = self.at.min(self.bytes.len());
        Kind::Other
    }

    /// `$tag$ ... $tag$`, or a parameter.
    fn dollar(&mut self) -> Kind<'a> {
        let start = self.at;
        self.at += 1;
        if begins_word(self.peek(0)) {
            self.skip_while(|byte| begins_word(byte) || byte.is_ascii_digit());
        }
        if self.peek(0) != b'$' {
            return Kind::Other;
        }
        self.at += 1;
        let tag = &self.bytes[start..self.at];
        let end = self.bytes[self.at..].windows(tag.len()).position(|window| window == tag);
        self.at = end.map_or(self.bytes.len(), |end| self.at + end + tag.len());
        Kind::Other
    }

    fn word(&mut self) -> Kind<'a> {
        let start = self.at;
        self.skip_while(|byte| begins_word(byte) || byte.is_ascii_digit() || byte == b'$');
        let word = &self.bytes[start..self.at];
        if word.eq_ignore_ascii_case(b"e") && self.peek(0) == b'\'' {
            return self.quoted(b'\'', true);
        }
        // Words end before an ASCII byte, so this is whole characters.
        Kind::Word(std::str::from_utf8(word).unwrap_or_default())
    }

    fn number(&mut self) -> Kind<'a> {
        self.skip_while(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_');
        Kind::Other
    }
}

fn begins_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        statements(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn statements_are_found() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            (" ;; \n-- nothing\n;", &[]),
            ("SELECT 1", &["SELECT 1"]),
            ("SELECT 1; SELECT 2;", &["SELECT 1", "SELECT 2"]),
            (
                "-- a; b\nSELECT 1 -- c; d\n; /* e; /* f; */ g; */ SELECT 2",
                &["SELECT 1", "SELECT 2"],
            ),
            ("SELECT ';', 'it''s;' ; X", &["SELECT ';', 'it''s;'", "X"]),
            ("SELECT E'\\';' ; X", &["SELECT E'\\';'", "X"]),
            ("SELECT '\\'; X", &["SELECT '\\'", "X"]),
            ("SELECT \"a;\"\"b\"; X", &["SELECT \"a;\"\"b\"", "X"]),
            ("DO $$ a; b $$; X", &["DO $$ a; b $$", "X"]),
            ("DO $a$ ; $$ ; $b$ ; $a$; X", &["DO $a$ ; $$ ; $b$ ; $a$", "X"]),
            ("PREPARE p AS SELECT $1; X", &["PREPARE p AS SELECT $1", "X"]),
            ("SELECT a$b$; X; $b$", &["SELECT a$b$", "X", "$b$"]),
            (
                "CREATE RULE r AS ON INSERT TO t DO (A; B); X",
                &["CREATE RULE r AS ON INSERT TO t DO (A; B)", "X"],
            ),
            (
                "BEGIN; INSERT INTO t VALUES (1); END; X",
                &["BEGIN", "INSERT INTO t VALUES (1)", "END", "X"],
            ),
            (
                "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN \
                 true THEN 1 END; END; X",
                &[
                    "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE \
                     WHEN true THEN 1 END; END",
                    "X",
                ],
            ),
            ("SELECT 'ü;é'; größe; X", &["SELECT 'ü;é'", "größe", "X"]),
            // What never ends goes to the end.
            ("SELECT 'a; b", &["SELECT 'a; b"]),
            ("A; /* b; c", &["A"]),
            ("DO $$ a; b", &["DO $$ a; b"]),
            ("SELECT E'\\", &["SELECT E'\\"]),
        ];
        for (text, expected) in cases {
            assert_eq!(&split(text), expected, "{text}");
        }
    }

    #[test]
    fn lines() {
        let text = "a\nb\r\nc";
        let found: Vec<_> = (0..=text.len()).map(|at| line_of(text, at)).collect();
        assert_eq!(found, [1, 1, 2, 2, 2, 3, 3]);
        assert_eq!(line_of(text, 100), 3);
    }
}
