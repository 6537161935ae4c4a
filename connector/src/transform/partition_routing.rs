//! Debezium's PartitionRouting: the partition follows from fields of the envelope.

use super::derived::is_envelope;
use super::properties::Settings;
use super::{Next, Transform};
use crate::connect::{Fault, hash};
use crate::model::record::{Datum, Record};
use crate::model::schema::Schema;
use crate::model::value::Value;
use shared::error::{Context, Error, Kind, OrKind};

type Hash = fn(&Schema, &Value<'_>) -> Result<i32, Fault>;

struct PartitionRouting {
    /// Paths into the envelope; `change` is the row that the event is about.
    fields: Vec<Vec<String>>,
    partitions: i32,
    hash: Hash,
}

pub fn make(settings: &mut Settings<'_>) -> shared::Result<Box<dyn Transform>> {
    settings.required("partition.payload.fields")?;
    let path = |text: &String| text.split('.').map(|part| part.trim().to_owned()).collect();
    let fields = settings.list("partition.payload.fields").iter().map(path).collect();
    let number = settings.required("partition.topic.num")?;
    let partitions: i32 = number
        .trim()
        .parse()
        .or_kind(Kind::Config)
        .doing(|| format!("read partition.topic.num = {number}"))?;
    if partitions < 1 {
        return Err(Error::new(Kind::Config, format!("partition.topic.num = {number} is not positive")));
    }
    let hash = match settings.word("partition.hash.function", &["java", "murmur"], "java")? {
        "murmur" => hash::murmur,
        _ => hash::java,
    };
    Ok(Box::new(PartitionRouting { fields, partitions, hash }))
}

impl Transform for PartitionRouting {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> shared::Result<()> {
        let Some(envelope) = record.value.filter(|datum| is_envelope(datum.schema)) else {
            return next(record);
        };
        let operation = match envelope.field("op").map(|op| op.value) {
            Some(Value::Text(operation)) => operation,
            _ => "",
        };
        if matches!(operation, "t" | "m") {
            return next(record);
        }
        let row = if operation == "d" { "before" } else { "after" };
        let mut found = 0;
        let mut sum = 0i32;
        for path in &self.fields {
            let Some(datum) = path.iter().try_fold(envelope, |at, name| resolve(at, name, row)) else {
                continue;
            };
            let datum = datum.or_default();
            if datum.value == Value::Null {
                continue;
            }
            found += 1;
            let hash = (self.hash)(datum.schema, &datum.value).map_err(|_| {
                let text = format!("topic {}: {} has no hash to route by", record.topic, path.join("."));
                Error::new(Kind::Data, text).remedy("name fields that are texts, numbers or bytes")
            })?;
            sum = sum.wrapping_add(hash);
        }
        if found == 0 {
            return next(record);
        }
        let hash = match sum & i32::MAX {
            i32::MAX => 0,
            hash => hash,
        };
        next(&Record { partition: Some(hash % self.partitions), ..*record })
    }
}

fn resolve<'a>(at: Datum<'a>, name: &str, row: &str) -> Option<Datum<'a>> {
    at.field(if name == "change" { row } else { name })
}
