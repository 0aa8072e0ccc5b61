//! The one error type of the crate.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use crate::kind::VectorKind;

/// The result of every function that can fail.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// What went wrong.
///
/// The messages of the cases that pgvector has too are pgvector's, to the letter, so that a database extension can hand
/// them on; [`Error::detail`] is its `DETAIL`, and [`Error::class`] says which `SQLSTATE` goes with it.
///
/// ```
/// use ruvector_core::text::parse_vector;
///
/// let error = parse_vector(b"1,2]", None).unwrap_err();
/// assert_eq!(error.to_string(), r#"invalid input syntax for type vector: "1,2]""#);
/// assert_eq!(error.detail(), Some(r#"Vector contents must start with "["."#));
/// assert_eq!(error.class().sqlstate(), "22P02");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// Two vectors of one kind have different numbers of dimensions.
    DifferentDimensions {
        /// The kind of both.
        kind: VectorKind,
        /// Dimensions of the first.
        left: u32,
        /// Dimensions of the second.
        right: u32,
    },
    /// A vector has not the number of dimensions that its column, state or index has.
    UnexpectedDimensions {
        /// What it should have.
        expected: u32,
        /// What it has.
        found: u32,
    },
    /// A vector without any dimension.
    NoDimensions {
        /// Its kind.
        kind: VectorKind,
    },
    /// More dimensions than the kind can have.
    TooManyDimensions {
        /// The kind, which knows its limit.
        kind: VectorKind,
    },
    /// Not a number.
    NotANumber {
        /// The kind of the vector.
        kind: VectorKind,
    },
    /// An element is infinite.
    Infinite {
        /// The kind of the vector.
        kind: VectorKind,
    },
    /// A text is not that of a vector.
    Syntax {
        /// The kind that was wanted.
        kind: VectorKind,
        /// The text; what is not UTF-8 in it is replaced.
        text: Box<str>,
        /// What is wrong with it, if there is more to say.
        detail: Option<&'static str>,
    },
    /// A number that the element's type cannot hold.
    OutOfRange {
        /// The kind of the vector.
        kind: VectorKind,
        /// The number.
        text: Box<str>,
    },
    /// A sum or product is too large for the element's type.
    Overflow,
    /// A product of numbers other than zero is so small that it would be zero.
    Underflow,
    /// More than 16,000 elements other than zero.
    TooManyElements,
    /// A sparse vector with fewer than no elements.
    NegativeElements,
    /// A sparse vector with more elements than dimensions.
    MoreElementsThanDimensions,
    /// The position of an element is not one of the vector's dimensions.
    IndexOutOfBounds,
    /// Positions are not in ascending order.
    IndexOrder,
    /// A position occurs twice.
    IndexDuplicate,
    /// The binary form of a sparse vector has an element that is zero.
    ZeroElement,
    /// As many values as positions are needed.
    UnequalParts {
        /// Positions.
        indices: usize,
        /// Values.
        values: usize,
    },
    /// The field for later use is in use.
    UnusedField {
        /// Its value.
        value: i32,
    },
    /// A binary form ends too early.
    Truncated,
    /// A binary form goes on after its end.
    TrailingBytes,
    /// Two bit strings have different lengths.
    DifferentBitLengths {
        /// Bits of the first.
        left: u32,
        /// Bits of the second.
        right: u32,
    },
    /// Not the number of bytes that so many bits need, or bits after the last are set.
    BitPadding,
    /// A text has something else than zeros and ones.
    BitDigit {
        /// What it has.
        digit: char,
    },
    /// A type modifier is below one.
    ModifierTooSmall {
        /// The kind of vectors.
        kind: VectorKind,
    },
    /// A type modifier is above the limit of the kind.
    ModifierTooLarge {
        /// The kind of vectors.
        kind: VectorKind,
    },
    /// Not exactly one type modifier.
    ModifierCount,
    /// No memory for that.
    OutOfMemory,
    /// An option has a value that it cannot have.
    InvalidOption {
        /// The option's name.
        name: &'static str,
        /// What it may be.
        allowed: &'static str,
    },
    /// A vector of zeros, which has no direction, where cosines are compared.
    ZeroVector,
    /// An index holds as many elements as it can.
    IndexFull,
    /// Stored bytes are not those of an index that this version can read, or were changed.
    Corrupt {
        /// What is wrong.
        what: &'static str,
    },
    /// Bytes that do not stand for a vector.
    Packed {
        /// What is wrong.
        what: &'static str,
    },
    /// A file could not be read or written.
    #[cfg(feature = "std")]
    Io {
        /// The operating system's kind of error.
        kind: std::io::ErrorKind,
        /// Its message.
        message: Box<str>,
    },
}

/// Classes of errors, as SQL has them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ErrorClass {
    /// Data that the operation is not defined for.
    DataException,
    /// A text that is not of the type.
    InvalidTextRepresentation,
    /// A number outside of its type's range.
    NumericValueOutOfRange,
    /// An option or type modifier that cannot be.
    InvalidParameterValue,
    /// Beyond a limit of the implementation.
    ProgramLimitExceeded,
    /// A message that breaks the protocol.
    ProtocolViolation,
    /// A binary form that is not of the type.
    InvalidBinaryRepresentation,
    /// Memory has run out.
    OutOfMemory,
    /// An index is damaged.
    IndexCorrupted,
    /// The operating system said no.
    Io,
}

impl ErrorClass {
    /// The five characters that SQL clients see.
    pub const fn sqlstate(self) -> &'static str {
        match self {
            Self::DataException => "22000",
            Self::InvalidTextRepresentation => "22P02",
            Self::NumericValueOutOfRange => "22003",
            Self::InvalidParameterValue => "22023",
            Self::ProgramLimitExceeded => "54000",
            Self::ProtocolViolation => "08P01",
            Self::InvalidBinaryRepresentation => "22P03",
            Self::OutOfMemory => "53200",
            Self::IndexCorrupted => "XX002",
            Self::Io => "58030",
        }
    }
}

impl Error {
    /// The class of the error.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::DifferentDimensions { .. }
            | Self::UnexpectedDimensions { .. }
            | Self::NoDimensions { .. }
            | Self::NotANumber { .. }
            | Self::Infinite { .. }
            | Self::NegativeElements
            | Self::IndexOutOfBounds
            | Self::IndexOrder
            | Self::IndexDuplicate
            | Self::ZeroElement
            | Self::UnequalParts { .. }
            | Self::UnusedField { .. }
            | Self::BitPadding
            | Self::ZeroVector
            | Self::DifferentBitLengths { .. } => ErrorClass::DataException,
            Self::TooManyDimensions { .. }
            | Self::TooManyElements
            | Self::MoreElementsThanDimensions
            | Self::IndexFull => ErrorClass::ProgramLimitExceeded,
            Self::Syntax { .. } | Self::BitDigit { .. } => ErrorClass::InvalidTextRepresentation,
            Self::OutOfRange { .. } | Self::Overflow | Self::Underflow => {
                ErrorClass::NumericValueOutOfRange
            }
            Self::Truncated => ErrorClass::ProtocolViolation,
            Self::TrailingBytes | Self::Packed { .. } => ErrorClass::InvalidBinaryRepresentation,
            Self::ModifierTooSmall { .. }
            | Self::ModifierTooLarge { .. }
            | Self::ModifierCount
            | Self::InvalidOption { .. } => ErrorClass::InvalidParameterValue,
            Self::OutOfMemory => ErrorClass::OutOfMemory,
            Self::Corrupt { .. } => ErrorClass::IndexCorrupted,
            #[cfg(feature = "std")]
            Self::Io { .. } => ErrorClass::Io,
        }
    }

    /// More about it, for a second line.
    pub const fn detail(&self) -> Option<&'static str> {
        match self {
            Self::Syntax { detail, .. } => *detail,
            _ => None,
        }
    }

    /// The error for a text that is not that of a vector; if there is no memory to keep the text, that is the error.
    pub(crate) fn syntax(kind: VectorKind, text: &[u8], detail: Option<&'static str>) -> Self {
        match copy_text(text) {
            Ok(text) => Self::Syntax { kind, text, detail },
            Err(error) => error,
        }
    }

    /// The error for a number beyond the element's type.
    pub(crate) fn out_of_range(kind: VectorKind, text: &[u8]) -> Self {
        match copy_text(text) {
            Ok(text) => Self::OutOfRange { kind, text },
            Err(error) => error,
        }
    }
}

/// A copy of a text that may not be UTF-8.
fn copy_text(bytes: &[u8]) -> Result<Box<str>> {
    let mut text = String::new();
    text.try_reserve_exact(bytes.len())?;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.try_reserve(char::REPLACEMENT_CHARACTER.len_utf8() + bytes.len())?;
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    Ok(text.into_boxed_str())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DifferentDimensions { kind, left, right } => {
                write!(f, "different {kind} dimensions {left} and {right}")
            }
            Self::UnexpectedDimensions { expected, found } => {
                write!(f, "expected {expected} dimensions, not {found}")
            }
            Self::NoDimensions { kind } => write!(f, "{kind} must have at least 1 dimension"),
            Self::TooManyDimensions { kind } => {
                write!(f, "{kind} cannot have more than {} dimensions", kind.max_dimensions())
            }
            Self::NotANumber { kind } => write!(f, "NaN not allowed in {kind}"),
            Self::Infinite { kind } => write!(f, "infinite value not allowed in {kind}"),
            Self::Syntax { kind, text, .. } => {
                write!(f, "invalid input syntax for type {kind}: \"{text}\"")
            }
            Self::OutOfRange { kind, text } => {
                write!(f, "\"{text}\" is out of range for type {kind}")
            }
            Self::Overflow => f.write_str("value out of range: overflow"),
            Self::Underflow => f.write_str("value out of range: underflow"),
            Self::TooManyElements => write!(
                f,
                "sparsevec cannot have more than {} non-zero elements",
                crate::kind::SPARSEVEC_MAX_ELEMENTS
            ),
            Self::NegativeElements => {
                f.write_str("sparsevec cannot have negative number of elements")
            }
            Self::MoreElementsThanDimensions => {
                f.write_str("sparsevec cannot have more elements than dimensions")
            }
            Self::IndexOutOfBounds => f.write_str("sparsevec index out of bounds"),
            Self::IndexOrder => f.write_str("sparsevec indices must be in ascending order"),
            Self::IndexDuplicate => f.write_str("sparsevec indices must not contain duplicates"),
            Self::ZeroElement => {
                f.write_str("binary representation of sparsevec cannot contain zero values")
            }
            Self::UnequalParts { indices, values } => write!(
                f,
                "{indices} indices and {values} values: a sparse vector has as many of each"
            ),
            Self::UnusedField { value } => write!(f, "expected unused to be 0, not {value}"),
            Self::Truncated => f.write_str("insufficient data left in message"),
            Self::TrailingBytes => f.write_str("incorrect binary data format"),
            Self::DifferentBitLengths { left, right } => {
                write!(f, "different bit lengths {left} and {right}")
            }
            Self::BitPadding => f.write_str(
                "the bytes of a bit string must be as many as its bits need, with zeros after the last bit",
            ),
            Self::BitDigit { digit } => write!(f, "\"{digit}\" is not a valid binary digit"),
            Self::ModifierTooSmall { kind } => {
                write!(f, "dimensions for type {kind} must be at least 1")
            }
            Self::ModifierTooLarge { kind } => {
                write!(f, "dimensions for type {kind} cannot exceed {}", kind.max_dimensions())
            }
            Self::ModifierCount => f.write_str("invalid type modifier"),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::InvalidOption { name, allowed } => write!(f, "{name} must be {allowed}"),
            Self::ZeroVector => f.write_str(
                "a vector of zeros has no direction: leave it out, or use another metric than the cosine",
            ),
            Self::IndexFull => f.write_str(
                "the index holds as many elements as it can: divide them over several indexes",
            ),
            Self::Corrupt { what } => {
                write!(f, "the stored index is damaged or not an index: {what}; build it again")
            }
            Self::Packed { what } => write!(f, "the bytes are not a quantized vector: {what}"),
            #[cfg(feature = "std")]
            Self::Io { message, .. } => write!(f, "the index file: {message}"),
        }
    }
}

impl core::error::Error for Error {}

impl From<alloc::collections::TryReserveError> for Error {
    fn from(_: alloc::collections::TryReserveError) -> Self {
        Self::OutOfMemory
    }
}

#[cfg(feature = "std")]
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        use alloc::string::ToString as _;
        Self::Io { kind: error.kind(), message: error.to_string().into_boxed_str() }
    }
}
