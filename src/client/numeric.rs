//! `numeric`, exactly.

use std::cmp::Ordering;
use std::error::Error as StdError;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use bytes::{BufMut, BytesMut};
use postgres_types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// Groups of four decimal digits, as `numeric` has them on the wire and on disk.
const GROUP: usize = 4;

/// The most digits before the decimal point.
const MAX_INTEGER_DIGITS: i64 = 131_072;

/// The most digits after the decimal point.
const MAX_SCALE: i64 = 16_383;

// The sign field of the binary form.
const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// Any value of PostgreSQL's `numeric`: up to 131072 digits before the decimal point and 16383
/// after it, `NaN` and the infinities.
///
/// It is a carrier, without arithmetic: [`Display`](fmt::Display) gives exactly the text that
/// PostgreSQL gives, with the same number of digits after the point, and [`FromStr`] reads it. For
/// arithmetic, and values of up to 28 digits, `rust_decimal::Decimal` with its feature
/// `db-postgres` can be used as a column or parameter type, too.
///
/// Values compare as in PostgreSQL: by value, so `1.0` equals `1.00`; `NaN` equals itself and is
/// greater than all other values.
///
/// # Examples
///
/// ```
/// use pglite_oxide::Numeric;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut db = pglite_oxide::Pglite::temporary()?;
/// let price: Numeric = "12345678901234567890.12345678901234567890".parse()?;
/// let row = db.query_one("SELECT $1::numeric, 'NaN'::numeric", &[&price])?;
/// assert_eq!(row.get::<_, Numeric>(0).to_string(), "12345678901234567890.12345678901234567890");
/// assert!(row.get::<_, Numeric>(1).is_nan());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Numeric(Repr);

#[derive(Clone)]
enum Repr {
    NaN,
    Infinity { negative: bool },
    Finite(Finite),
}

/// The value is the sum of `groups[i] * 10000^(weight - i)`. Neither the first nor the last group
/// is 0; zero has no groups, weight 0 and no sign.
#[derive(Clone)]
struct Finite {
    negative: bool,
    weight: i32,
    /// Decimal digits after the point, for display.
    scale: u16,
    groups: Vec<u16>,
}

impl Finite {
    fn normalized(negative: bool, weight: i32, scale: u16, mut groups: Vec<u16>) -> Finite {
        while groups.last() == Some(&0) {
            groups.pop();
        }
        let zeros = groups.iter().take_while(|&&group| group == 0).count();
        groups.drain(..zeros);
        if groups.is_empty() {
            return Finite { negative: false, weight: 0, scale, groups };
        }
        Finite { negative, weight: weight - zeros as i32, scale, groups }
    }

    /// The group that counts units of `10000^place`.
    fn group_at(&self, place: i32) -> u16 {
        usize::try_from(self.weight - place)
            .ok()
            .and_then(|index| self.groups.get(index).copied())
            .unwrap_or(0)
    }

    /// Sign, size, digits: enough to compare values.
    fn key(&self) -> (bool, i32, &[u16]) {
        (self.negative, self.weight, &self.groups)
    }

    fn cmp_magnitude(&self, other: &Finite) -> Ordering {
        match (self.groups.is_empty(), other.groups.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            // No group at either end is 0, so slices compare as the digits do.
            (false, false) => {
                self.weight.cmp(&other.weight).then_with(|| self.groups.cmp(&other.groups))
            }
        }
    }
}

impl Numeric {
    /// Not a number.
    pub const NAN: Numeric = Numeric(Repr::NaN);
    /// Positive infinity.
    pub const INFINITY: Numeric = Numeric(Repr::Infinity { negative: false });
    /// Negative infinity.
    pub const NEG_INFINITY: Numeric = Numeric(Repr::Infinity { negative: true });

    /// Whether it is `NaN`.
    pub fn is_nan(&self) -> bool {
        matches!(self.0, Repr::NaN)
    }

    /// Whether it is neither `NaN` nor infinite.
    pub fn is_finite(&self) -> bool {
        matches!(self.0, Repr::Finite(_))
    }

    /// Whether it is less than zero.
    pub fn is_negative(&self) -> bool {
        match &self.0 {
            Repr::NaN => false,
            Repr::Infinity { negative } => *negative,
            Repr::Finite(finite) => finite.negative,
        }
    }

    /// The number of digits after the decimal point; `None` unless it is finite.
    pub fn scale(&self) -> Option<u16> {
        match &self.0 {
            Repr::Finite(finite) => Some(finite.scale),
            _ => None,
        }
    }

    /// Where it stands among `-Infinity`, finite values, `Infinity` and `NaN`.
    fn class(&self) -> u8 {
        match self.0 {
            Repr::Infinity { negative: true } => 0,
            Repr::Finite(_) => 1,
            Repr::Infinity { negative: false } => 2,
            Repr::NaN => 3,
        }
    }
}

impl PartialEq for Numeric {
    fn eq(&self, other: &Numeric) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Numeric {}

impl PartialOrd for Numeric {
    fn partial_cmp(&self, other: &Numeric) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Numeric {
    fn cmp(&self, other: &Numeric) -> Ordering {
        match (&self.0, &other.0) {
            (Repr::Finite(a), Repr::Finite(b)) => match (a.negative, b.negative) {
                (false, false) => a.cmp_magnitude(b),
                (true, true) => b.cmp_magnitude(a),
                (false, true) => Ordering::Greater,
                (true, false) => Ordering::Less,
            },
            _ => self.class().cmp(&other.class()),
        }
    }
}

impl Hash for Numeric {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.class().hash(state);
        if let Repr::Finite(finite) = &self.0 {
            finite.key().hash(state);
        }
    }
}

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let finite = match &self.0 {
            Repr::NaN => return f.pad("NaN"),
            Repr::Infinity { negative: false } => return f.pad("Infinity"),
            Repr::Infinity { negative: true } => return f.pad("-Infinity"),
            Repr::Finite(finite) => finite,
        };
        let mut text = String::new();
        if finite.negative {
            text.push('-');
        }
        if finite.weight < 0 || finite.groups.is_empty() {
            text.push('0');
        } else {
            text.push_str(&finite.group_at(finite.weight).to_string());
            for place in (0..finite.weight).rev() {
                text.push_str(&format!("{:04}", finite.group_at(place)));
            }
        }
        if finite.scale > 0 {
            text.push('.');
            let end = text.len() + usize::from(finite.scale);
            let mut place = -1;
            while text.len() < end {
                text.push_str(&format!("{:04}", finite.group_at(place)));
                place -= 1;
            }
            text.truncate(end);
        }
        f.pad(&text)
    }
}

impl fmt::Debug for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Numeric({self})")
    }
}

/// A text that is not a `numeric`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseNumericError(&'static str);

impl fmt::Display for ParseNumericError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl StdError for ParseNumericError {}

impl FromStr for Numeric {
    type Err = ParseNumericError;

    /// Reads what PostgreSQL reads as a decimal `numeric`: `-12.50`, `1.5e-3`, `NaN`, `Infinity`
    /// or `inf`; not the hexadecimal and other forms with a prefix.
    fn from_str(text: &str) -> Result<Numeric, ParseNumericError> {
        let text = text.trim_ascii();
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if text.eq_ignore_ascii_case("nan") {
            return Ok(Numeric::NAN);
        }
        if unsigned.eq_ignore_ascii_case("infinity") || unsigned.eq_ignore_ascii_case("inf") {
            return Ok(Numeric(Repr::Infinity { negative }));
        }
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            None => (unsigned, 0),
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
        };
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: Vec<u8> = integer.bytes().chain(fraction.bytes()).collect();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(ParseNumericError("a numeric is a decimal number, NaN or Infinity"));
        }
        // Where the point stands, counted from the first digit; it may be left or right of them.
        let point = integer.len() as i64 + exponent;
        let scale = (digits.len() as i64 - point).max(0);
        if point > MAX_INTEGER_DIGITS || scale > MAX_SCALE {
            return Err(ParseNumericError("the value is too long for a numeric"));
        }
        // Groups are aligned at the point.
        let lead = point.rem_euclid(GROUP as i64) as usize;
        let padding = (GROUP - lead) % GROUP;
        let weight = (point + padding as i64) / GROUP as i64 - 1;
        let padded: Vec<u8> = std::iter::repeat_n(b'0', padding).chain(digits).collect();
        let groups = padded
            .chunks(GROUP)
            .map(|chunk| {
                let value =
                    chunk.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0'));
                (chunk.len()..GROUP).fold(value, |value, _| value * 10)
            })
            .collect();
        let finite = Finite::normalized(negative, weight as i32, scale as u16, groups);
        Ok(Numeric(Repr::Finite(finite)))
    }
}

/// An exponent; one that is beyond any `numeric` is cut to one that is found to be too long.
fn parse_exponent(text: &str) -> Result<i64, ParseNumericError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(ParseNumericError("the exponent of a numeric is a whole number"));
    }
    let size = digits.parse().unwrap_or(i64::MAX).min(1 << 40);
    Ok(if text.starts_with('-') { -size } else { size })
}

macro_rules! from_integer {
    ($($integer:ty)*) => {
        $(impl From<$integer> for Numeric {
            fn from(value: $integer) -> Numeric {
                value.to_string().parse().expect("an integer is a numeric")
            }
        })*
    };
}

from_integer!(i16 i32 i64 i128 u16 u32 u64 u128);

impl<'a> FromSql<'a> for Numeric {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Numeric, Box<dyn StdError + Sync + Send>> {
        let field = |index: usize| {
            let bytes = raw.get(index * 2..index * 2 + 2)?;
            Some(u16::from_be_bytes([bytes[0], bytes[1]]))
        };
        let header = (field(0), field(1), field(2), field(3));
        let (Some(count), Some(weight), Some(sign), Some(scale)) = header else {
            return Err("a numeric has at least 8 bytes".into());
        };
        let count = usize::from(count);
        let negative = match sign {
            NAN => return Ok(Numeric::NAN),
            INFINITY => return Ok(Numeric::INFINITY),
            NEGATIVE_INFINITY => return Ok(Numeric::NEG_INFINITY),
            POSITIVE => false,
            NEGATIVE => true,
            _ => return Err("unknown sign of a numeric".into()),
        };
        if raw.len() != 8 + 2 * count {
            return Err("the length of a numeric does not fit its digits".into());
        }
        if i64::from(scale) > MAX_SCALE {
            return Err("the scale of a numeric is out of range".into());
        }
        let groups: Vec<u16> = (0..count).filter_map(|index| field(4 + index)).collect();
        if groups.iter().any(|&group| group > 9999) {
            return Err("a digit of a numeric is out of range".into());
        }
        let weight = i32::from(weight as i16);
        Ok(Numeric(Repr::Finite(Finite::normalized(negative, weight, scale, groups))))
    }

    accepts!(NUMERIC);
}

impl ToSql for Numeric {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        let (groups, weight, sign, scale): (&[u16], _, _, _) = match &self.0 {
            Repr::NaN => (&[], 0, NAN, 0),
            Repr::Infinity { negative: false } => (&[], 0, INFINITY, 0),
            Repr::Infinity { negative: true } => (&[], 0, NEGATIVE_INFINITY, 0),
            Repr::Finite(finite) => {
                let sign = if finite.negative { NEGATIVE } else { POSITIVE };
                (&finite.groups, i16::try_from(finite.weight)?, sign, finite.scale)
            }
        };
        out.put_u16(u16::try_from(groups.len())?);
        out.put_i16(weight);
        out.put_u16(sign);
        out.put_u16(scale);
        for &group in groups {
            out.put_u16(group);
        }
        Ok(IsNull::No)
    }

    accepts!(NUMERIC);
    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Numeric {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn round_trip(value: &Numeric) -> Numeric {
        let mut bytes = BytesMut::new();
        value.to_sql(&Type::NUMERIC, &mut bytes).expect("a numeric can be encoded");
        Numeric::from_sql(&Type::NUMERIC, &bytes).expect("and decoded")
    }

    #[test]
    fn text_and_back() {
        for text in [
            "0",
            "0.00",
            "1",
            "-1",
            "9999",
            "10000",
            "100000000",
            "0.1",
            "0.0001",
            "0.00001",
            "-0.000000001",
            "123456789.987654321",
            "10000.0001",
            "1.10",
            "12345678901234567890123456789012345678901234567890.05",
            "NaN",
            "Infinity",
            "-Infinity",
        ] {
            let value = parse(text);
            assert_eq!(value.to_string(), text);
            assert_eq!(round_trip(&value).to_string(), text, "{text} through bytes");
        }
    }

    #[test]
    fn other_spellings() {
        for (text, shown) in [
            ("+1", "1"),
            ("-0", "0"),
            ("-0.0", "0.0"),
            (".5", "0.5"),
            ("5.", "5"),
            ("007", "7"),
            ("1e3", "1000"),
            ("1.50e1", "15.0"),
            ("15e-4", "0.0015"),
            ("1E+2", "100"),
            ("0e5", "0"),
            (" 1 ", "1"),
            ("inf", "Infinity"),
            ("-INF", "-Infinity"),
            ("nan", "NaN"),
        ] {
            assert_eq!(parse(text).to_string(), shown, "{text}");
        }
    }

    #[test]
    fn not_numbers() {
        for text in [
            "",
            "-",
            ".",
            "e1",
            "1e",
            "1e+",
            "1 2",
            "--1",
            "1.2.3",
            "0x10",
            "-nan",
            "1e99999999999",
            "1e-16384",
            "1e131072",
            "\u{661}",
        ] {
            assert!(text.parse::<Numeric>().is_err(), "{text:?}");
        }
        assert_eq!(parse("1e131071").to_string().len(), 131_072);
        assert_eq!(parse("1e-16383").to_string().len(), 16_385);
    }

    #[test]
    fn order_is_that_of_postgres() {
        let order = [
            "-Infinity",
            "-10000.5",
            "-10000",
            "-9999",
            "-0.1",
            "-0.00001",
            "0",
            "0.00001",
            "0.1",
            "9999",
            "10000",
            "10000.5",
            "99999999",
            "Infinity",
            "NaN",
        ];
        for (i, a) in order.iter().enumerate() {
            for (j, b) in order.iter().enumerate() {
                assert_eq!(parse(a).cmp(&parse(b)), i.cmp(&j), "{a} and {b}");
            }
        }
        assert_eq!(parse("1.0"), parse("1.000"));
        assert_eq!(parse("0"), parse("-0.00"));
    }

    #[test]
    fn known_bytes() {
        // numeric_send(-12345.678): three groups 1 2345 6780, weight 1, scale 3.
        let bytes = [0, 3, 0, 1, 0x40, 0, 0, 3, 0, 1, 0x09, 0x29, 0x1a, 0x7c];
        let mut out = BytesMut::new();
        parse("-12345.678").to_sql(&Type::NUMERIC, &mut out).expect("it can be encoded");
        assert_eq!(&out[..], bytes);
        assert_eq!(Numeric::from(-5i32).to_string(), "-5");
        assert_eq!(Numeric::from(u128::MAX).to_string(), u128::MAX.to_string());
    }

    #[test]
    fn hostile_bytes() {
        let good = [0u8, 1, 0, 0, 0, 0, 0, 0, 0, 5];
        assert!(Numeric::from_sql(&Type::NUMERIC, &good).is_ok());
        for cut in 0..good.len() {
            assert!(Numeric::from_sql(&Type::NUMERIC, &good[..cut]).is_err(), "{cut}");
        }
        for (index, value) in [(0, 255), (4, 0x10), (6, 0x40), (8, 0xff)] {
            let mut bad = good;
            bad[index] = value;
            assert!(Numeric::from_sql(&Type::NUMERIC, &bad).is_err(), "byte {index}");
        }
        let far = [0u8, 1, 0x80, 0, 0, 0, 0, 2, 0, 1];
        let tiny = Numeric::from_sql(&Type::NUMERIC, &far).expect("a tiny value");
        assert_eq!(tiny.to_string(), "0.00");
    }
}
