//! Rows of typed results.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use postgres_types::{Format, FromSql, Type, WrongType};

use super::column::{Column, Columns, SimpleColumn};
use crate::error::{ConversionError, ConversionPlace, Error};

/// How many places inside a row are remembered.
const MARKS: usize = 8;

/// The values of a row as they came, checked once, so that reading cannot go out of bounds.
#[derive(Clone)]
pub(super) struct RawRow {
    body: Bytes,
    /// Where every `stride`-th value begins. Rows with up to [`MARKS`] columns reach each value
    /// directly, wider ones walk a little; no row needs memory of its own for this.
    marks: [u32; MARKS],
    stride: usize,
}

impl RawRow {
    /// Checks the body of a DataRow that should have `columns` values.
    pub(super) fn new(body: Bytes, columns: usize) -> Result<RawRow, &'static str> {
        let [high, low, ..] = *body else {
            return Err("a row without a column count");
        };
        if usize::from(u16::from_be_bytes([high, low])) != columns {
            return Err("a row with another number of columns than its description");
        }
        let stride = columns.div_ceil(MARKS).max(1);
        let mut marks = [0; MARKS];
        let mut at = 2;
        for column in 0..columns {
            if column % stride == 0 {
                // A frame is at most 1 GiB.
                marks[column / stride] = at as u32;
            }
            let (_, next) = value_at(&body, at).ok_or("a row that is cut off")?;
            at = next;
        }
        if at != body.len() {
            return Err("a row with bytes left over");
        }
        Ok(RawRow { body, marks, stride })
    }

    /// The value of a column that exists; `None` is NULL.
    pub(super) fn get(&self, column: usize) -> Option<&[u8]> {
        let mut at = self.marks[column / self.stride] as usize;
        for _ in 0..column % self.stride {
            at = value_at(&self.body, at).expect("the row was checked").1;
        }
        value_at(&self.body, at).expect("the row was checked").0
    }
}

/// The value whose length is at `at`, and where the next one begins. The outer `None`: cut off.
fn value_at(body: &[u8], at: usize) -> Option<(Option<&[u8]>, usize)> {
    let start = at.checked_add(4)?;
    let length = i32::from_be_bytes(body.get(at..start)?.try_into().ok()?);
    if length == -1 {
        return Some((None, start));
    }
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    Some((Some(body.get(start..end)?), end))
}

/// A row of a result.
///
/// Values are read with [`get`](Row::get) or [`try_get`](Row::try_get), by zero-based index or by
/// name, as any type that implements [`FromSql`].
///
/// A row keeps the memory it was received in, up to 64 KiB that it shares with its neighbours.
#[derive(Clone)]
pub struct Row {
    columns: Columns,
    raw: RawRow,
}

impl Row {
    pub(super) fn new(columns: Columns, body: Bytes) -> Result<Row, &'static str> {
        let raw = RawRow::new(body, columns.len())?;
        Ok(Row { columns, raw })
    }

    /// The columns of the row.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The number of columns.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether the row has no columns, as that of `SELECT` without anything.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The value of a column, by zero-based index or by name. Of several columns with the same name
    /// the first is taken; the others have their index. Names are compared exactly.
    ///
    /// # Panics
    ///
    /// If there is no such column, if the type of the column does not fit `T`, or if the value is
    /// NULL and `T` is not an [`Option`]. [`try_get`](Row::try_get) returns an error instead.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), pglite_oxide::Error> {
    /// let mut db = pglite_oxide::Pglite::temporary()?;
    /// let row = db.query_one("SELECT 1 AS id, 'x'::text AS name, NULL::text AS note", &[])?;
    /// let id: i32 = row.get("id");
    /// let name: &str = row.get("name");
    /// assert_eq!((id, name), (1, "x"));
    /// assert_eq!(row.get::<_, Option<String>>(2), None);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn get<'a, I: RowIndex, T: FromSql<'a>>(&'a self, index: I) -> T {
        match self.try_get(index) {
            Ok(value) => value,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`get`](Row::get), with an error in place of a panic.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownColumn`] or [`Error::Conversion`].
    pub fn try_get<'a, I: RowIndex, T: FromSql<'a>>(&'a self, index: I) -> Result<T, Error> {
        let index = find(&index, &self.columns)?;
        let column = &self.columns[index];
        // What has no binary form is text, whatever its type.
        let type_ = match column.format {
            Format::Binary => &column.type_,
            Format::Text => &Type::TEXT,
        };
        let value = if T::accepts(type_) {
            T::from_sql_nullable(type_, self.raw.get(index))
        } else {
            Err(Box::new(WrongType::new::<T>(column.type_.clone())) as _)
        };
        value.map_err(|error| {
            let place = ConversionPlace::Column { index, name: column.name.clone() };
            ConversionError::new(place, &column.type_, error).into()
        })
    }

    /// The bytes of a value, in the [format](Column::format) of its column. `None` is NULL.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownColumn`].
    pub fn try_get_raw<I: RowIndex>(&self, index: I) -> Result<Option<&[u8]>, Error> {
        Ok(self.raw.get(find(&index, &self.columns)?))
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// What columns have in common.
pub trait NamedColumn {
    /// The name of the column.
    fn name(&self) -> &str;
}

impl NamedColumn for Column {
    fn name(&self) -> &str {
        &self.name
    }
}

impl NamedColumn for SimpleColumn {
    fn name(&self) -> &str {
        &self.name
    }
}

/// What can name a column: a zero-based index (`usize`) or a name (`&str`, `&String`).
///
/// It cannot be implemented outside of this crate.
pub trait RowIndex: fmt::Debug + sealed::Sealed {}

impl RowIndex for usize {}
impl RowIndex for str {}
impl RowIndex for String {}
impl<T: ?Sized + RowIndex> RowIndex for &T {}

mod sealed {
    use super::NamedColumn;

    pub trait Sealed {
        fn position_in<C: NamedColumn>(&self, columns: &[C]) -> Option<usize>;
    }

    impl Sealed for usize {
        fn position_in<C: NamedColumn>(&self, columns: &[C]) -> Option<usize> {
            (*self < columns.len()).then_some(*self)
        }
    }

    impl Sealed for str {
        fn position_in<C: NamedColumn>(&self, columns: &[C]) -> Option<usize> {
            columns.iter().position(|column| column.name() == self)
        }
    }

    impl Sealed for String {
        fn position_in<C: NamedColumn>(&self, columns: &[C]) -> Option<usize> {
            self.as_str().position_in(columns)
        }
    }

    impl<T: ?Sized + Sealed> Sealed for &T {
        fn position_in<C: NamedColumn>(&self, columns: &[C]) -> Option<usize> {
            (**self).position_in(columns)
        }
    }
}

pub(super) fn find<C: NamedColumn>(
    index: &impl RowIndex,
    columns: &Arc<[C]>,
) -> Result<usize, Error> {
    index.position_in(columns).ok_or_else(|| Error::UnknownColumn {
        column: format!("{index:?}"),
        available: columns.iter().map(|column| column.name().to_owned()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut body = (values.len() as u16).to_be_bytes().to_vec();
        for value in values {
            match value {
                Some(value) => {
                    body.extend_from_slice(&(value.len() as i32).to_be_bytes());
                    body.extend_from_slice(value);
                }
                None => body.extend_from_slice(&(-1i32).to_be_bytes()),
            }
        }
        body
    }

    #[test]
    fn values_of_narrow_and_wide_rows() {
        for count in [0usize, 1, 7, 8, 9, 16, 17, 63, 64, 65, 1600] {
            let texts: Vec<String> = (0..count).map(|i| "x".repeat(i % 5)).collect();
            let values: Vec<Option<&[u8]>> =
                texts.iter().map(|text| (text.len() != 3).then_some(text.as_bytes())).collect();
            let row = RawRow::new(body(&values).into(), count).expect("a good row");
            for (i, value) in values.iter().enumerate() {
                assert_eq!(row.get(i), *value, "{i} of {count}");
            }
        }
    }

    #[test]
    fn hostile_rows() {
        let good = body(&[Some(b"abc"), None]);
        assert!(RawRow::new(good.clone().into(), 2).is_ok());
        assert!(RawRow::new(good.clone().into(), 1).is_err());
        for cut in 0..good.len() {
            assert!(RawRow::new(good[..cut].to_vec().into(), 2).is_err(), "{cut}");
        }
        let mut longer = good.clone();
        longer.push(0);
        assert!(RawRow::new(longer.into(), 2).is_err());
        for length in [-2i32, i32::MIN, i32::MAX, 8] {
            let mut bad = good.clone();
            bad[2..6].copy_from_slice(&length.to_be_bytes());
            assert!(RawRow::new(bad.into(), 2).is_err(), "{length}");
        }
    }
}
