//! SQLSTATE codes.

use std::fmt;

/// A SQLSTATE: the five characters by which PostgreSQL classifies an error.
///
/// The often used ones have a constant; any other can be compared through
/// [`code`](SqlState::code). The whole list is in PostgreSQL's manual, appendix A.
///
/// ```
/// use pglite_oxide::SqlState;
///
/// assert_eq!(SqlState::UNIQUE_VIOLATION.code(), "23505");
/// assert_eq!(SqlState::from_code("23505"), SqlState::UNIQUE_VIOLATION);
/// assert_eq!(SqlState::UNIQUE_VIOLATION.class(), "23");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// The SQLSTATE with this code.
    ///
    /// A code has five characters out of `0`-`9` and `A`-`Z`; anything else gives
    /// [`INTERNAL_ERROR`](SqlState::INTERNAL_ERROR).
    pub fn from_code(code: &str) -> SqlState {
        match <[u8; 5]>::try_from(code.as_bytes()) {
            Ok(bytes) if bytes.iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()) => {
                SqlState(bytes)
            }
            _ => SqlState::INTERNAL_ERROR,
        }
    }

    /// The five characters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a SQLSTATE is made of ASCII letters and digits only")
    }

    /// The first two characters: the class of the error.
    pub fn class(&self) -> &str {
        &self.code()[..2]
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqlState({})", self.code())
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

macro_rules! states {
    ($($code:literal $name:ident)*) => {
        impl SqlState {
            $(
                #[doc = concat!("`", $code, "`")]
                pub const $name: SqlState = {
                    let b = $code.as_bytes();
                    SqlState([b[0], b[1], b[2], b[3], b[4]])
                };
            )*
        }
    };
}

states! {
    "00000" SUCCESSFUL_COMPLETION
    "01000" WARNING
    "02000" NO_DATA
    "08000" CONNECTION_EXCEPTION
    "08003" CONNECTION_DOES_NOT_EXIST
    "08006" CONNECTION_FAILURE
    "08P01" PROTOCOL_VIOLATION
    "0A000" FEATURE_NOT_SUPPORTED
    "21000" CARDINALITY_VIOLATION
    "22001" STRING_DATA_RIGHT_TRUNCATION
    "22003" NUMERIC_VALUE_OUT_OF_RANGE
    "22004" NULL_VALUE_NOT_ALLOWED
    "22007" INVALID_DATETIME_FORMAT
    "22008" DATETIME_FIELD_OVERFLOW
    "22012" DIVISION_BY_ZERO
    "22021" CHARACTER_NOT_IN_REPERTOIRE
    "22023" INVALID_PARAMETER_VALUE
    "22026" STRING_DATA_LENGTH_MISMATCH
    "22P02" INVALID_TEXT_REPRESENTATION
    "22P03" INVALID_BINARY_REPRESENTATION
    "22P04" BAD_COPY_FILE_FORMAT
    "22P05" UNTRANSLATABLE_CHARACTER
    "23000" INTEGRITY_CONSTRAINT_VIOLATION
    "23001" RESTRICT_VIOLATION
    "23502" NOT_NULL_VIOLATION
    "23503" FOREIGN_KEY_VIOLATION
    "23505" UNIQUE_VIOLATION
    "23514" CHECK_VIOLATION
    "23P01" EXCLUSION_VIOLATION
    "24000" INVALID_CURSOR_STATE
    "25000" INVALID_TRANSACTION_STATE
    "25001" ACTIVE_SQL_TRANSACTION
    "25006" READ_ONLY_SQL_TRANSACTION
    "25P01" NO_ACTIVE_SQL_TRANSACTION
    "25P02" IN_FAILED_SQL_TRANSACTION
    "25P03" IDLE_IN_TRANSACTION_SESSION_TIMEOUT
    "26000" INVALID_SQL_STATEMENT_NAME
    "28000" INVALID_AUTHORIZATION_SPECIFICATION
    "28P01" INVALID_PASSWORD
    "2BP01" DEPENDENT_OBJECTS_STILL_EXIST
    "34000" INVALID_CURSOR_NAME
    "3B001" INVALID_SAVEPOINT_SPECIFICATION
    "3D000" INVALID_CATALOG_NAME
    "3F000" INVALID_SCHEMA_NAME
    "40001" SERIALIZATION_FAILURE
    "40P01" DEADLOCK_DETECTED
    "42501" INSUFFICIENT_PRIVILEGE
    "42601" SYNTAX_ERROR
    "42602" INVALID_NAME
    "42701" DUPLICATE_COLUMN
    "42702" AMBIGUOUS_COLUMN
    "42703" UNDEFINED_COLUMN
    "42704" UNDEFINED_OBJECT
    "42710" DUPLICATE_OBJECT
    "42723" DUPLICATE_FUNCTION
    "42725" AMBIGUOUS_FUNCTION
    "42803" GROUPING_ERROR
    "42804" DATATYPE_MISMATCH
    "42809" WRONG_OBJECT_TYPE
    "42846" CANNOT_COERCE
    "42883" UNDEFINED_FUNCTION
    "42P01" UNDEFINED_TABLE
    "42P02" UNDEFINED_PARAMETER
    "42P03" DUPLICATE_CURSOR
    "42P04" DUPLICATE_DATABASE
    "42P05" DUPLICATE_PREPARED_STATEMENT
    "42P06" DUPLICATE_SCHEMA
    "42P07" DUPLICATE_TABLE
    "42P18" INDETERMINATE_DATATYPE
    "44000" WITH_CHECK_OPTION_VIOLATION
    "53000" INSUFFICIENT_RESOURCES
    "53100" DISK_FULL
    "53200" OUT_OF_MEMORY
    "53300" TOO_MANY_CONNECTIONS
    "53400" CONFIGURATION_LIMIT_EXCEEDED
    "54000" PROGRAM_LIMIT_EXCEEDED
    "54001" STATEMENT_TOO_COMPLEX
    "54011" TOO_MANY_COLUMNS
    "55000" OBJECT_NOT_IN_PREREQUISITE_STATE
    "55006" OBJECT_IN_USE
    "55P02" CANT_CHANGE_RUNTIME_PARAM
    "55P03" LOCK_NOT_AVAILABLE
    "57014" QUERY_CANCELED
    "57P01" ADMIN_SHUTDOWN
    "57P02" CRASH_SHUTDOWN
    "57P03" CANNOT_CONNECT_NOW
    "57P04" DATABASE_DROPPED
    "57P05" IDLE_SESSION_TIMEOUT
    "58000" SYSTEM_ERROR
    "58030" IO_ERROR
    "58P01" UNDEFINED_FILE
    "F0000" CONFIG_FILE_ERROR
    "F0001" LOCK_FILE_EXISTS
    "P0001" RAISE_EXCEPTION
    "P0002" NO_DATA_FOUND
    "P0003" TOO_MANY_ROWS
    "P0004" ASSERT_FAILURE
    "XX000" INTERNAL_ERROR
    "XX001" DATA_CORRUPTED
    "XX002" INDEX_CORRUPTED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_codes_become_internal_error() {
        for code in ["", "2350", "235055", "2350\u{e9}", "abcde", "23 05"] {
            assert_eq!(SqlState::from_code(code), SqlState::INTERNAL_ERROR, "{code:?}");
        }
        assert_eq!(SqlState::from_code("42P01").code(), "42P01");
    }
}
