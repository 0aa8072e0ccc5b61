//! Rows as JSON, without losing anything on the way.

use std::collections::HashSet;
use std::fmt::Write;

use postgres_types::{Kind, ToSql, Type};

use super::session::Session;
use super::simple_row::SimpleRow;
use super::statement::ToStatement;
use crate::error::Error;

impl Session {
    /// Runs a statement and returns each row as the text of a JSON object; see [`row_to_json`] for
    /// the form of the values.
    ///
    /// # Errors
    ///
    /// As [`query`](Session::query).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = pglite_oxide::Pglite::temporary()?;
    /// let rows = db.query_json(
    ///     "SELECT 9007199254740993 AS id, 0.10 AS price, ARRAY['a', NULL] AS tags, 1 AS id",
    ///     &[],
    /// )?;
    /// assert_eq!(rows[0], r#"{"id":9007199254740993,"price":0.10,"tags":["a",null],"id_2":1}"#);
    /// # Ok(())
    /// # }
    /// ```
    pub fn query_json<S: ?Sized + ToStatement>(
        &mut self,
        statement: &S,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<String>, Error> {
        let rows = self.query_text(statement, params)?;
        let Some(first) = rows.first() else {
            return Ok(Vec::new());
        };
        let keys = keys(first);
        Ok(rows.iter().map(|row| write_row(&keys, row)).collect())
    }
}

/// A row as the text of a JSON object.
///
/// Rows in text form come from [`Session::query_text`], or from [`Session::exec`], which knows the
/// built-in types only and gives values of other types as strings. [`Session::query_json`] does
/// both steps.
///
/// - Integers, `numeric` and floating-point numbers are JSON numbers with all their digits: a
///   reader that turns them into doubles is what may lose some. `NaN` and infinities, which JSON
///   does not have, are strings.
/// - `NULL` is `null`, also inside of arrays; arrays are arrays, also nested ones; composite types
///   are objects; `boolean` is a boolean; `json` and `jsonb` are taken over as they are.
/// - `timestamp` and `timestamptz` are in the form of ISO 8601 (`2024-05-06T07:08:09+00:00`), as
///   long as `DateStyle` is `ISO`, the default. `bytea` is a string in hexadecimal form (`\x00ff`).
/// - All else is a string of what PostgreSQL writes for it.
/// - Columns with the same name are all kept: the second gets the name `name_2`, the third
///   `name_3`, and so on, past names that are taken already.
pub fn row_to_json(row: &SimpleRow) -> String {
    write_row(&keys(row), row)
}

/// The names of the columns, each quoted, and no two the same.
fn keys(row: &SimpleRow) -> Vec<String> {
    unique(&row.columns().iter().map(|column| column.name()).collect::<Vec<_>>())
        .iter()
        .map(|name| {
            let mut key = String::new();
            write_string(&mut key, name);
            key
        })
        .collect()
}

fn unique(names: &[&str]) -> Vec<String> {
    let mut taken: HashSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut seen = HashSet::new();
    names
        .iter()
        .map(|&name| {
            if seen.insert(name) {
                return name.to_owned();
            }
            (2u32..)
                .map(|number| format!("{name}_{number}"))
                .find(|other| taken.insert(other.clone()))
                .expect("there are fewer columns than numbers")
        })
        .collect()
}

fn write_row(keys: &[String], row: &SimpleRow) -> String {
    let mut out = String::from("{");
    for (index, key) in keys.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(key);
        out.push(':');
        match row.bytes(index) {
            None => out.push_str("null"),
            // Not UTF-8 only if `client_encoding` was changed.
            Some(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                write_value(&mut out, row.columns()[index].type_(), &text);
            }
        }
    }
    out.push('}');
    out
}

fn write_value(out: &mut String, type_: Option<&Type>, text: &str) {
    let Some(type_) = type_ else {
        return write_string(out, text);
    };
    match *type_ {
        Type::BOOL => out.push_str(if text == "t" { "true" } else { "false" }),
        Type::INT2 | Type::INT4 | Type::INT8 | Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC
            if text.ends_with(|last: char| last.is_ascii_digit()) =>
        {
            out.push_str(text);
        }
        Type::JSON | Type::JSONB => out.push_str(text),
        Type::TIMESTAMP | Type::TIMESTAMPTZ => write_string(out, &iso_timestamp(text)),
        Type::BYTEA => write_string(out, &hex_bytea(text)),
        Type::INT2_VECTOR | Type::OID_VECTOR => {
            let element = if *type_ == Type::INT2_VECTOR { Type::INT2 } else { Type::OID };
            out.push('[');
            for (index, value) in text.split_ascii_whitespace().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(out, Some(&element), value);
            }
            out.push(']');
        }
        _ => {
            let begin = out.len();
            let written = match type_.kind() {
                Kind::Domain(base) => {
                    write_value(out, Some(base), text);
                    Some(())
                }
                Kind::Array(element) => write_array(out, element, text),
                Kind::Composite(fields) => write_composite(out, fields, text),
                _ => None,
            };
            if written.is_none() {
                out.truncate(begin);
                write_string(out, text);
            }
        }
    }
}

/// Writes an array literal such as `{1,NULL,"a \"b\""}`. `None`: it is not one.
fn write_array(out: &mut String, element: &Type, text: &str) -> Option<()> {
    // Bounds other than from 1 are written in front: `[2:3]={1,2}`.
    let literal = if text.starts_with('[') { text.split_once('=')?.1 } else { text };
    let delimiter = if *element == Type::BOX { b';' } else { b',' };
    let rest = write_dimension(out, element, delimiter, literal)?;
    rest.is_empty().then_some(())
}

/// Writes what is inside a pair of braces and returns the text after it.
fn write_dimension<'a>(
    out: &mut String,
    element: &Type,
    delimiter: u8,
    text: &'a str,
) -> Option<&'a str> {
    let mut rest = text.strip_prefix('{')?;
    out.push('[');
    if let Some(rest) = rest.strip_prefix('}') {
        out.push(']');
        return Some(rest);
    }
    loop {
        if rest.starts_with('{') {
            // PostgreSQL has at most six dimensions.
            rest = write_dimension(out, element, delimiter, rest)?;
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let (value, after) = unquote(quoted)?;
            write_value(out, Some(element), &value);
            rest = after;
        } else {
            let end = rest.bytes().position(|byte| byte == delimiter || byte == b'}')?;
            match &rest[..end] {
                "NULL" => out.push_str("null"),
                value => write_value(out, Some(element), value),
            }
            rest = &rest[end..];
        }
        if let Some(after) = rest.strip_prefix('}') {
            out.push(']');
            return Some(after);
        }
        rest = rest.strip_prefix(char::from(delimiter))?;
        out.push(',');
    }
}

/// Writes a composite literal such as `(1,,"a ""b""")`. `None`: it is not one of these fields.
fn write_composite(out: &mut String, fields: &[postgres_types::Field], text: &str) -> Option<()> {
    let mut rest = text.strip_prefix('(')?;
    out.push('{');
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix(',')?;
            out.push(',');
        }
        write_string(out, field.name());
        out.push(':');
        if let Some(quoted) = rest.strip_prefix('"') {
            let (value, after) = unquote(quoted)?;
            write_value(out, Some(field.type_()), &value);
            rest = after;
        } else {
            let end = rest.find([',', ')'])?;
            match &rest[..end] {
                "" => out.push_str("null"),
                value => write_value(out, Some(field.type_()), value),
            }
            rest = &rest[end..];
        }
    }
    out.push('}');
    (rest == ")").then_some(())
}

/// The value of a quoted part, from after its opening quote, and the text after its closing one.
/// Quotes inside are doubled or, like backslashes, follow a backslash.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => value.push(chars.next()?.1),
            '"' if text[at + 1..].starts_with('"') => {
                chars.next();
                value.push('"');
            }
            '"' => return Some((value, &text[at + 1..])),
            _ => value.push(char),
        }
    }
    None
}

/// `2024-05-06 07:08:09+00` as ISO 8601 wants it. Anything else, such as `infinity` or another
/// `DateStyle`, stays as it is.
fn iso_timestamp(text: &str) -> String {
    let Some((date, time)) = text.split_once(' ') else {
        return text.to_owned();
    };
    let parts: Vec<&str> = date.split('-').collect();
    let is_iso = parts.len() == 3
        && parts[0].len() >= 4
        && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_iso {
        return text.to_owned();
    }
    // What follows the time, after a space, is the era.
    let (clock, era) = match time.split_once(' ') {
        Some((clock, era)) => (clock, Some(era)),
        None => (time, None),
    };
    let mut iso = format!("{date}T{clock}");
    if let Some(sign) = clock.rfind(['+', '-'])
        && clock.len() - sign == "+00".len()
    {
        iso.push_str(":00");
    }
    if let Some(era) = era {
        iso.push(' ');
        iso.push_str(era);
    }
    iso
}

/// `bytea` in hexadecimal form, also if `bytea_output` is `escape`.
fn hex_bytea(text: &str) -> String {
    if text.starts_with("\\x") {
        return text.to_owned();
    }
    let mut hex = String::from("\\x");
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let (byte, after) = match (first, after) {
            (b'\\', [b'\\', after @ ..]) => (b'\\', after),
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                ((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), after)
            }
            _ => (*first, after),
        };
        write!(hex, "{byte:02x}").expect("writing to a string does not fail");
        rest = after;
    }
    hex
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => write!(out, "\\u{:04x}", u32::from(control))
                .expect("writing to a string does not fail"),
            _ => out.push(char),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(type_: &Type, text: &str) -> String {
        let mut out = String::new();
        write_value(&mut out, Some(type_), text);
        out
    }

    #[test]
    fn scalars() {
        for (type_, text, expected) in [
            (Type::BOOL, "t", "true"),
            (Type::INT8, "-9223372036854775808", "-9223372036854775808"),
            (Type::NUMERIC, "0.10", "0.10"),
            (Type::NUMERIC, "NaN", "\"NaN\""),
            (Type::FLOAT8, "1e+20", "1e+20"),
            (Type::FLOAT8, "-Infinity", "\"-Infinity\""),
            (Type::TEXT, "a\"\\\n\t\u{1}\u{e9}", r#""a\"\\\n\t\u0001é""#),
            (Type::JSON, "{\"a\": 1.0}", "{\"a\": 1.0}"),
            (Type::BYTEA, "\\x00ff", r#""\\x00ff""#),
            (Type::BYTEA, "a\\\\\\000\\377", r#""\\x615c00ff""#),
            (Type::TIMESTAMP, "2024-05-06 07:08:09.5", "\"2024-05-06T07:08:09.5\""),
            (Type::TIMESTAMPTZ, "2024-05-06 07:08:09+00", "\"2024-05-06T07:08:09+00:00\""),
            (Type::TIMESTAMPTZ, "0044-03-15 01:00:00-03 BC", "\"0044-03-15T01:00:00-03:00 BC\""),
            (Type::TIMESTAMPTZ, "2024-05-06 07:08:09+05:30", "\"2024-05-06T07:08:09+05:30\""),
            (Type::TIMESTAMPTZ, "infinity", "\"infinity\""),
            (Type::TIMESTAMP, "Mon May 06 07:08:09 2024", "\"Mon May 06 07:08:09 2024\""),
            (Type::INT2_VECTOR, "1 2", "[1,2]"),
        ] {
            assert_eq!(json(&type_, text), expected, "{text}");
        }
    }

    #[test]
    fn arrays() {
        for (type_, text, expected) in [
            (Type::INT4_ARRAY, "{}", "[]"),
            (Type::INT4_ARRAY, "{1,NULL,3}", "[1,null,3]"),
            (Type::INT4_ARRAY, "{{1,2},{3,4}}", "[[1,2],[3,4]]"),
            (Type::INT4_ARRAY, "[2:3]={1,2}", "[1,2]"),
            (Type::TEXT_ARRAY, r#"{a,"b,c","NULL","","\"\\"}"#, r#"["a","b,c","NULL","","\"\\"]"#),
            (Type::BOX_ARRAY, "{(1,1),(0,0);(2,2),(1,1)}", r#"["(1,1),(0,0)","(2,2),(1,1)"]"#),
            (Type::JSONB_ARRAY, r#"{"{\"a\": [1]}"}"#, r#"[{"a": [1]}]"#),
            (Type::BOOL_ARRAY, "{t,f}", "[true,false]"),
        ] {
            assert_eq!(json(&type_, text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_array_stays_a_string() {
        for text in ["", "{", "{1", "{1,", "1}", "{1}}", "{\"a}", "[1:2]", "{\"\\", "{{1}"] {
            let out = json(&Type::INT4_ARRAY, text);
            assert!(out.starts_with('"') && out.ends_with('"'), "{text}: {out}");
        }
    }

    #[test]
    fn composites() {
        let fields = vec![
            postgres_types::Field::new("id".to_owned(), Type::INT4),
            postgres_types::Field::new("names".to_owned(), Type::TEXT_ARRAY),
        ];
        let type_ = Type::new("t".to_owned(), 1, Kind::Composite(fields), "public".to_owned());
        // The array `{a,"b \"c"}`, quoted once more.
        assert_eq!(json(&type_, r#"(1,"{a,""b \\""c""}")"#), r#"{"id":1,"names":["a","b \"c"]}"#);
        assert_eq!(json(&type_, "(,)"), r#"{"id":null,"names":null}"#);
        assert_eq!(json(&type_, "(1,{},2)"), r#""(1,{},2)""#);
    }

    #[test]
    fn same_names() {
        assert_eq!(unique(&["a", "a", "b", "a"]), ["a", "a_2", "b", "a_3"]);
        assert_eq!(unique(&["a", "a", "a_2", "a_2"]), ["a", "a_3", "a_2", "a_2_2"]);
        assert_eq!(unique(&["?column?", "?column?"]), ["?column?", "?column?_2"]);
    }
}
