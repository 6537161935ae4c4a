//! Leaves fields out that a header lists, as ExtractNewRecordState's `drop.fields.*` do.

use super::Next;
use super::derived::read;
use super::properties::Settings;
use super::replace_field::select;
use super::side::Side;
use crate::model::record::{Datum, HeaderValue, Record};
use crate::model::schema::Schema;
use crate::model::value::Value;
use shared::Result;
use std::collections::HashMap;
use std::sync::Arc;

/// Kept at a time; a list of columns per update makes many.
const KEPT: usize = 4_096;

pub struct DropFields {
    header: String,
    from_key: bool,
    /// Only fields that are optional, so that the schema stays compatible.
    only_optional: bool,
    /// By schema and names.
    selected: HashMap<(u64, Vec<String>), Selected>,
}

type Selected = (Arc<Schema>, Vec<usize>);

impl DropFields {
    /// # Errors
    /// `Config`.
    pub fn new(settings: &mut Settings<'_>) -> Result<Option<DropFields>> {
        let header = settings.text("drop.fields.header.name").filter(|name| !name.trim().is_empty());
        let from_key = settings.flag("drop.fields.from.key", false)?;
        let only_optional = settings.flag("drop.fields.keep.schema.compatible", true)?;
        Ok(header.map(|header| DropFields {
            header: header.to_owned(),
            from_key,
            only_optional,
            selected: HashMap::new(),
        }))
    }

    /// Hands the record on without the fields.
    ///
    /// # Errors
    /// Those of `next`.
    pub fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let names = listed(record, &self.header);
        if names.is_empty() {
            return next(record);
        }
        let key = if self.from_key { self.without(Side::Key, record, &names) } else { None };
        let value = self.without(Side::Value, record, &names);
        let mut out = *record;
        for (side, kept) in [(Side::Key, &key), (Side::Value, &value)] {
            if let Some((schema, values)) = kept {
                out = side.with(&out, Some(Datum { schema, value: Value::Struct(values) }));
            }
        }
        next(&out)
    }

    fn without<'a>(
        &mut self,
        side: Side,
        record: &Record<'a>,
        names: &[&str],
    ) -> Option<(Arc<Schema>, Vec<Value<'a>>)> {
        let (schema, values) = side.structure(record)?;
        let goes = |name: &str| {
            names.contains(&name)
                && schema.field(name).is_some_and(|(_, field)| field.optional || !self.only_optional)
        };
        let excluded: Vec<String> =
            schema.fields().iter().map(|field| field.name.clone()).filter(|name| goes(name)).collect();
        if excluded.is_empty() {
            return None;
        }
        if self.selected.len() >= KEPT {
            self.selected.clear();
        }
        let selected = self.selected.entry((schema.id, excluded));
        let selected = selected.or_insert_with_key(|(_, excluded)| select(schema, &[], excluded, &[]));
        let (kept, places) = selected.clone();
        let value = |at: &usize| Some(read(&schema.fields().get(*at)?.schema, *values.get(*at)?, true));
        Some((kept, places.iter().filter_map(value).collect()))
    }
}

/// The names that a header of the record lists.
fn listed<'a>(record: &Record<'a>, name: &str) -> Vec<&'a str> {
    let header = record.headers.iter().find(|header| header.name == name);
    let Some(HeaderValue::Datum(Datum { value: Value::List(names), .. })) = header.map(|found| found.value)
    else {
        return Vec::new();
    };
    let name = |value: &Value<'a>| match value {
        Value::Text(name) => Some(*name),
        _ => None,
    };
    names.iter().filter_map(name).collect()
}
