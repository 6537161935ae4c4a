//! Schemas that follow from others: made once per schema met.

use crate::model::schema::Schema;
use std::collections::HashMap;
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
}

/// The same struct under another name.
pub fn renamed(schema: &Schema, name: String) -> Schema {
    Schema { name: Some(name), ..schema.clone().renewed() }
}

/// Whether a record's value is Debezium's envelope.
pub fn is_envelope(schema: &Arc<Schema>) -> bool {
    schema.name.as_deref().is_some_and(|name| name == "Envelope" || name.ends_with(".Envelope"))
}
