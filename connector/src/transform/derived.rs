//! Schemas that follow from others: made once per schema met.

use crate::model::schema::Schema;
use crate::model::value::Value;
use shared::Result;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// Kept per transform: more at a time would only cost memory.
const KEPT: usize = 4_096;

/// What was made from each schema, by its id.
#[derive(Debug)]
pub struct Derived<T>(HashMap<u64, T>);

impl<T> Default for Derived<T> {
    fn default() -> Self {
        Derived(HashMap::new())
    }
}

impl<T> Derived<T> {
    pub fn of(&mut self, schema: &Schema, make: impl FnOnce() -> T) -> &T {
        if self.0.len() >= KEPT && !self.0.contains_key(&schema.id) {
            self.0.clear();
        }
        self.0.entry(schema.id).or_insert_with(make)
    }

    /// # Errors
    /// Those of making it; it is tried again with the next record.
    pub fn try_of(&mut self, schema: &Schema, make: impl FnOnce() -> Result<T>) -> Result<&T> {
        if self.0.len() >= KEPT && !self.0.contains_key(&schema.id) {
            self.0.clear();
        }
        match self.0.entry(schema.id) {
            Entry::Occupied(kept) => Ok(kept.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(make()?)),
        }
    }
}

/// The same struct under another name.
pub fn renamed(schema: &Schema, name: String) -> Schema {
    Schema { name: Some(name), ..schema.clone().renewed() }
}

/// A field's value as most of Kafka's transforms read it (`replace.null.with.default`).
pub fn read<'a>(schema: &'a Schema, value: Value<'a>, replace_null: bool) -> Value<'a> {
    if replace_null { schema.or_default(value) } else { value }
}

/// Whether a record's value is Debezium's envelope.
pub fn is_envelope(schema: &Arc<Schema>) -> bool {
    schema.name.as_deref().is_some_and(|name| name == "Envelope" || name.ends_with(".Envelope"))
}
