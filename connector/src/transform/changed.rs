//! Debezium's ExtractChangedRecordState: headers that list which columns an update changed.

use super::derived::is_envelope;
use super::properties::Settings;
use super::{Next, Transform};
use crate::model::record::{Datum, Header, HeaderValue, Record};
use crate::model::schema::{Kind, Schema};
use crate::model::value::Value;
use shared::Result;
use std::sync::Arc;

struct Changed {
    /// Of the changed columns, and of the others.
    headers: [Option<Arc<Schema>>; 2],
    /// Of the record before: its tombstone has the same headers.
    lists: [Vec<String>; 2],
}

pub fn make(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    let mut header = |property| {
        let name = settings.text(property).filter(|name| !name.trim().is_empty())?;
        let items = Arc::new(Schema::string().optional());
        Some(Arc::new(Schema::new(Kind::Array(items)).named(name).optional()))
    };
    let headers = [header("header.changed.name"), header("header.unchanged.name")];
    Ok(Box::new(Changed { headers, lists: Default::default() }))
}

impl Transform for Changed {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        match record.value {
            Some(datum) if is_envelope(datum.schema) => {
                self.lists = compare(record).map(|names| names.into_iter().map(str::to_owned).collect());
            }
            Some(_) => return next(record),
            None => {}
        }
        let lists = self.lists.each_ref().map(|list| list.iter().map(|name| Value::Text(name)).collect());
        let lists: &[Vec<Value<'_>>; 2] = &lists;
        let mut headers = record.headers.to_vec();
        headers.extend(self.headers.iter().zip(lists).filter_map(|(schema, list)| {
            let schema = schema.as_ref()?;
            let value = HeaderValue::Datum(Datum { schema, value: Value::List(list) });
            Some(Header { name: schema.name.as_deref()?, value })
        }));
        next(&Record { headers: &headers, ..*record })
    }
}

/// Names of the columns that differ, and of those that do not; none without both rows.
fn compare<'a>(record: &Record<'a>) -> [Vec<&'a str>; 2] {
    let mut lists = [Vec::new(), Vec::new()];
    let Some(datum) = record.value else { return lists };
    let Value::Struct([Value::Struct(before), Value::Struct(after), ..]) = datum.value else { return lists };
    let Some((_, row)) = datum.schema.field("after") else { return lists };
    for (field, (before, after)) in row.fields().iter().zip(before.iter().zip(*after)) {
        let [changed, unchanged] = &mut lists;
        if before == after { unchanged } else { changed }.push(field.name.as_str());
    }
    lists
}
