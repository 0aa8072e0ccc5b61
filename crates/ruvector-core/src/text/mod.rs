//! The text forms of vectors, as pgvector reads and PostgreSQL prints them.

mod bits;
mod decimal;
mod format;
mod number;
mod parse;
mod shortest;

pub use bits::{format_bits, parse_bits};
pub use format::{format_halfvec, format_sparsevec, format_vector};
pub use parse::{append_halfvec, append_vector, parse_halfvec, parse_sparsevec, parse_vector};
pub use shortest::{FLOAT_TEXT_MAX, format_f32};

/// White space in SQL.
#[inline]
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// What of the text comes after white space.
#[inline]
fn skip_spaces(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|&&byte| is_space(byte)).count();
    text.get(spaces..).unwrap_or_default()
}
