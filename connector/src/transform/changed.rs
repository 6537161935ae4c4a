//! Debezium's ExtractChangedRecordState: headers that list which columns an update changed.

use super::derived::is_envelope;
use super::properties::Settings;
use super::{Next, Transform};
use crate::connect::java::json_text;
use crate::model::record::{Header, HeaderValue, Record};
use crate::model::value::Value;
use shared::Result;

struct Changed {
    changed: Option<String>,
    unchanged: Option<String>,
    /// Of the record before: its tombstone has the same headers.
    lists: [String; 2],
}

pub fn make(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    let mut name = |property| settings.text(property).map(str::to_owned).filter(|name| !name.is_empty());
    let (changed, unchanged) = (name("header.changed.name"), name("header.unchanged.name"));
    Ok(Box::new(Changed { changed, unchanged, lists: [list(&[]), list(&[])] }))
}

impl Transform for Changed {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        match record.value {
            Some(datum) if is_envelope(datum.schema) => {
                self.lists = compare(record).map(|names| list(&names))
            }
            Some(_) => return next(record),
            None => {}
        }
        let [changed, unchanged] = &self.lists;
        let mut headers = record.headers.to_vec();
        for (name, text) in [(&self.changed, changed), (&self.unchanged, unchanged)] {
            headers.extend(name.as_ref().map(|name| Header { name, value: HeaderValue::Text(text) }));
        }
        next(&Record { headers: &headers, ..*record })
    }
}

fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| json_text(name)).collect();
    format!("[{}]", quoted.join(","))
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
