//! Columns of results.

use std::sync::Arc;

use postgres_protocol::Oid;
use postgres_types::{Format, Type};

/// A column of a statement's result.
#[derive(Debug, Clone)]
pub struct Column {
    pub(super) name: String,
    pub(super) table_oid: Option<Oid>,
    pub(super) column_id: Option<i16>,
    pub(super) type_: Type,
    pub(super) type_size: i16,
    pub(super) type_modifier: i32,
    pub(super) format: Format,
}

impl Column {
    /// The name. Several columns may have the same one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type.
    pub fn type_(&self) -> &Type {
        &self.type_
    }

    /// The OID of the table it comes from, if it is simply a column of a table.
    pub fn table_oid(&self) -> Option<Oid> {
        self.table_oid
    }

    /// The number of the column in that table (`pg_attribute.attnum`), from 1; negative for system
    /// columns.
    pub fn column_id(&self) -> Option<i16> {
        self.column_id
    }

    /// The size of the type in bytes (`pg_type.typlen`); negative if values vary in size.
    pub fn type_size(&self) -> i16 {
        self.type_size
    }

    /// The modifier of the type, such as the length of a `varchar(n)` plus 4; -1 if there is none.
    pub fn type_modifier(&self) -> i32 {
        self.type_modifier
    }

    /// The format of the values: binary, or text for the few types that have no binary form, such
    /// as `aclitem`. Those can be read as a string.
    pub fn format(&self) -> Format {
        self.format
    }
}

/// The columns of a result, shared by its rows.
pub(super) type Columns = Arc<[Column]>;

/// A column of a result in text form.
#[derive(Debug, Clone)]
pub struct SimpleColumn {
    pub(super) name: String,
    pub(super) type_oid: Oid,
    pub(super) type_: Option<Type>,
}

impl SimpleColumn {
    /// The name. Several columns may have the same one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The OID of the type.
    pub fn type_oid(&self) -> Oid {
        self.type_oid
    }

    /// The type, if it is a built-in one, or one the session has met already.
    /// [`Session::query_text`](crate::Session::query_text) knows all types.
    pub fn type_(&self) -> Option<&Type> {
        self.type_.as_ref()
    }
}
