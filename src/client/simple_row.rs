//! Rows in text form.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use postgres_types::Type;

use super::column::SimpleColumn;
use super::row::{RawRow, RowIndex, find};
use crate::error::{ConversionError, ConversionPlace, Error};

/// A row whose values are the text PostgreSQL writes for them, as psql shows it.
///
/// From [`Session::exec`](crate::Session::exec) and
/// [`Session::query_text`](crate::Session::query_text).
#[derive(Clone)]
pub struct SimpleRow {
    columns: Arc<[SimpleColumn]>,
    raw: RawRow,
}

impl SimpleRow {
    pub(super) fn new(columns: Arc<[SimpleColumn]>, body: Bytes) -> Result<Self, &'static str> {
        let raw = RawRow::new(body, columns.len())?;
        Ok(SimpleRow { columns, raw })
    }

    /// The columns of the row.
    pub fn columns(&self) -> &[SimpleColumn] {
        &self.columns
    }

    /// The number of columns.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether the row has no columns.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The text of a value, by zero-based index or by name (the first of several). `None` is NULL.
    ///
    /// # Panics
    ///
    /// If there is no such column. [`try_get`](SimpleRow::try_get) returns an error instead.
    #[track_caller]
    pub fn get<I: RowIndex>(&self, index: I) -> Option<&str> {
        match self.try_get(index) {
            Ok(value) => value,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`get`](SimpleRow::get), with an error in place of a panic.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownColumn`], or [`Error::Conversion`] if the value is not UTF-8, because
    /// `client_encoding` was changed.
    pub fn try_get<I: RowIndex>(&self, index: I) -> Result<Option<&str>, Error> {
        let index = find(&index, &self.columns)?;
        let Some(bytes) = self.raw.get(index) else {
            return Ok(None);
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(error) => {
                let column = &self.columns[index];
                let place = ConversionPlace::Column { index, name: column.name.clone() };
                let type_ = column.type_.as_ref().unwrap_or(&Type::UNKNOWN);
                Err(ConversionError::new(place, type_, Box::new(error)).into())
            }
        }
    }

    /// The bytes of a value's text. The column must exist.
    pub(super) fn bytes(&self, index: usize) -> Option<&[u8]> {
        self.raw.get(index)
    }
}

impl fmt::Debug for SimpleRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (index, column) in self.columns.iter().enumerate() {
            map.entry(&column.name, &self.bytes(index).map(String::from_utf8_lossy));
        }
        map.finish()
    }
}
