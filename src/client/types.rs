//! What is behind a type OID that is not built in: asked of the catalogues, and remembered.

use std::collections::HashMap;

use postgres_protocol::Oid;
use postgres_types::{Field, Format, Kind, Type};

use super::session::Session;
use super::simple_row::SimpleRow;
use crate::error::Error;

/// Types inside types inside types: PostgreSQL has no cycles, but a changed catalogue between two
/// questions could look like one.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Clone, Default)]
pub(super) struct TypeCache {
    types: HashMap<Oid, (Type, Format)>,
}

impl TypeCache {
    pub(super) fn get(&self, oid: Oid) -> Option<&Type> {
        self.types.get(&oid).map(|(type_, _)| type_)
    }

    pub(super) fn clear(&mut self) {
        self.types.clear();
    }
}

impl Session {
    /// The type with this OID, and the format its values can be asked for.
    pub(super) fn resolve_type(&mut self, oid: Oid) -> Result<(Type, Format), Error> {
        self.resolve_nested(oid, 0)
    }

    fn resolve_nested(&mut self, oid: Oid, depth: usize) -> Result<(Type, Format), Error> {
        if let Some(type_) = Type::from_oid(oid) {
            let format = builtin_format(&type_);
            return Ok((type_, format));
        }
        if let Some(known) = self.types.types.get(&oid) {
            return Ok(known.clone());
        }
        let resolved = if depth < MAX_DEPTH {
            self.look_up_type(oid, depth)?
        } else {
            (unknown(oid), Format::Text)
        };
        self.types.types.insert(oid, resolved.clone());
        Ok(resolved)
    }

    fn look_up_type(&mut self, oid: Oid, depth: usize) -> Result<(Type, Format), Error> {
        // `rngsubtype` also for multiranges: the element type of theirs is that of the range.
        let rows = self.catalogue(&format!(
            "SELECT t.typname, n.nspname, t.typtype, t.typelem, t.typbasetype, t.typrelid, \
                    r.rngsubtype, t.typsend OPERATOR(pg_catalog.<>) 0, \
                    t.typsubscript OPERATOR(pg_catalog.=) \
                        'pg_catalog.array_subscript_handler'::pg_catalog.regproc \
             FROM pg_catalog.pg_type t \
             JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) t.typnamespace \
             LEFT JOIN pg_catalog.pg_range r \
                    ON r.rngtypid OPERATOR(pg_catalog.=) t.oid \
                    OR r.rngmultitypid OPERATOR(pg_catalog.=) t.oid \
             WHERE t.oid OPERATOR(pg_catalog.=) {oid}"
        ))?;
        // Dropped since the statement was described.
        let Some(row) = rows.first() else {
            return Ok((unknown(oid), Format::Text));
        };
        let text = |index| row.try_get(index).map(|value| value.unwrap_or(""));
        let related = |index| text(index).map(|value| value.parse().unwrap_or(0));
        let name = text(0)?.to_owned();
        let schema = text(1)?.to_owned();
        let mut format = if text(7)? == "t" { Format::Binary } else { Format::Text };
        let mut part = |session: &mut Session, oid: Oid| {
            let (type_, part_format) = session.resolve_nested(oid, depth + 1)?;
            if matches!(part_format, Format::Text) {
                format = Format::Text;
            }
            Ok::<Type, Error>(type_)
        };
        let kind = match text(2)? {
            "e" => Kind::Enum(self.enum_labels(oid)?),
            "p" => Kind::Pseudo,
            "d" => Kind::Domain(part(self, related(4)?)?),
            "r" => Kind::Range(part(self, related(6)?)?),
            "m" => Kind::Multirange(part(self, related(6)?)?),
            "c" => {
                let mut fields = Vec::new();
                for (name, oid) in self.composite_fields(related(5)?)? {
                    fields.push(Field::new(name, part(self, oid)?));
                }
                Kind::Composite(fields)
            }
            // Some types with elements are not arrays: `point`, `name`, ...
            _ if text(8)? == "t" && related(3)? != 0 => Kind::Array(part(self, related(3)?)?),
            _ => Kind::Simple,
        };
        Ok((Type::new(name, oid, kind, schema), format))
    }

    fn enum_labels(&mut self, oid: Oid) -> Result<Vec<String>, Error> {
        let rows = self.catalogue(&format!(
            "SELECT enumlabel FROM pg_catalog.pg_enum \
             WHERE enumtypid OPERATOR(pg_catalog.=) {oid} ORDER BY enumsortorder"
        ))?;
        rows.iter().map(|row| Ok(row.try_get(0)?.unwrap_or("").to_owned())).collect()
    }

    fn composite_fields(&mut self, relation: Oid) -> Result<Vec<(String, Oid)>, Error> {
        let rows = self.catalogue(&format!(
            "SELECT attname, atttypid FROM pg_catalog.pg_attribute \
             WHERE attrelid OPERATOR(pg_catalog.=) {relation} \
               AND NOT attisdropped AND attnum OPERATOR(pg_catalog.>) 0 ORDER BY attnum"
        ))?;
        rows.iter()
            .map(|row| {
                let name = row.try_get(0)?.unwrap_or("").to_owned();
                let type_oid = row.try_get(1)?.and_then(|oid| oid.parse().ok()).unwrap_or(0);
                Ok((name, type_oid))
            })
            .collect()
    }

    /// Runs a query of our own. As a simple query with text results it needs no types itself, and
    /// no prepared statement that `DISCARD ALL` could take away.
    fn catalogue(&mut self, sql: &str) -> Result<Vec<SimpleRow>, Error> {
        Ok(self.exec(sql)?.pop().map(|result| result.into_rows()).unwrap_or_default())
    }
}

/// A type of which nothing is known but its OID; values can be asked for as text.
fn unknown(oid: Oid) -> Type {
    Type::new(oid.to_string(), oid, Kind::Simple, "pg_catalog".to_owned())
}

/// These built-in types have no `typsend`, or, `anyarray`, elements of a type that may have none.
fn builtin_format(type_: &Type) -> Format {
    match *type_ {
        Type::ACLITEM
        | Type::ACLITEM_ARRAY
        | Type::GTS_VECTOR
        | Type::GTS_VECTOR_ARRAY
        | Type::ANYARRAY => Format::Text,
        _ => Format::Binary,
    }
}
