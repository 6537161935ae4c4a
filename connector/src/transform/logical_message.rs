//! Debezium's DecodeLogicalDecodingMessageContent: a logical message whose content is JSON becomes an
//! event of its own, which the outbox router can route.

use super::derived::Derived;
use super::json::Expand;
use super::properties::Settings;
use super::{Next, Transform};
use crate::model::record::{Datum, Record};
use crate::model::schema::{Field, Schema};
use crate::model::value::Value;
use bumpalo::Bump;
use shared::Result;
use shared::error::{Error, Kind};
use std::sync::Arc;

/// The schema of logical messages' values.
const MESSAGE: &str = "io.debezium.connector.postgresql.MessageValue";

struct Decode {
    expand: Expand,
    /// By the content's schema.
    derived: Derived<Arc<Schema>>,
    arena: Bump,
}

pub fn make(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    let nulls = settings.flag("fields.null.include", false)?;
    Ok(Box::new(Decode {
        expand: Expand::new(nulls, false),
        derived: Derived::default(),
        arena: Bump::new(),
    }))
}

impl Transform for Decode {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let Some(message) = record.value.filter(|datum| datum.schema.name.as_deref() == Some(MESSAGE)) else {
            return next(record);
        };
        let Value::Struct(values) = message.value else { return next(record) };
        self.arena.reset();
        let fail = |why: &str| {
            Error::new(Kind::Data, format!("a logical message cannot be decoded: {why}")).remedy(
                "send JSON objects, with event.values.binary = bytes, or give the transform a predicate",
            )
        };
        let content = message.field("message").and_then(|block| block.field("content"));
        let bytes = match content.map(|content| content.value) {
            Some(Value::Bytes(bytes)) => bytes,
            _ => return Err(fail("its content is not binary")),
        };
        let text = std::str::from_utf8(bytes).map_err(|_| fail("it is no text"))?;
        let (inner, after) =
            self.expand.read("", text, &self.arena).map_err(|refusal| fail(refusal.text()))?;
        let kept = |field: &&Field| field.name != "message";
        let schema = self.derived.of(&inner, || {
            let mut fields: Vec<Field> = message.schema.fields().iter().filter(kept).cloned().collect();
            fields.push(Field { name: "after".to_owned(), schema: inner.clone() });
            Arc::new(Schema::structure(format!("{MESSAGE}.Envelope"), fields))
        });
        let fields = message.schema.fields().iter().zip(values).filter(|(field, _)| kept(field));
        let mut out: Vec<Value<'_>> =
            fields.map(|(field, value)| if field.name == "op" { Value::Text("c") } else { *value }).collect();
        out.push(after);
        let value = Some(Datum { schema, value: Value::Struct(&out) });
        next(&Record { key: None, value, ..*record })
    }
}
