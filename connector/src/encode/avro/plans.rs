//! The plans of the schemas seen, each with its schema's ids.

use super::plan::Step;
use crate::metrics;
use crate::model::schema::Schema;
use shared::avro::wire::{PREFIX_LEN, SchemaId, prefix};
use std::collections::HashMap;

/// Plans kept: more schemas than this at a time would only cost memory.
const PLANS: usize = 8_192;

/// Topics kept for one schema.
const TOPICS: usize = 256;

#[derive(Debug, Default)]
pub struct Plans {
    plans: Vec<Plan>,
    /// Schema → which of them.
    numbers: HashMap<u64, usize>,
    /// The one that was used last: mostly it is the next one too.
    latest: usize,
}

/// How records of one schema are written.
#[derive(Debug)]
struct Plan {
    schema: u64,
    step: Step,
    /// Topic → the schema's id there. Mostly one.
    prefixes: Vec<(String, [u8; PREFIX_LEN])>,
}

impl Plans {
    /// The plan and what stands in front of each message, if this schema was seen in this topic.
    #[inline]
    pub fn find(&mut self, schema: u64, topic: &str) -> Option<(&Step, &[u8; PREFIX_LEN])> {
        if self.plans.get(self.latest).is_none_or(|latest| latest.schema != schema) {
            self.latest = *self.numbers.get(&schema)?;
        }
        let plan = self.plans.get(self.latest)?;
        let (_, prefix) = plan.prefixes.iter().find(|(name, _)| name == topic)?;
        Some((&plan.step, prefix))
    }

    /// Keeps the id that a schema has in a topic.
    pub fn keep(&mut self, schema: &Schema, topic: &str, id: SchemaId, keep_nulls: bool) {
        if self.plans.len() >= PLANS {
            self.plans.clear();
            self.numbers.clear();
        }
        let number = *self.numbers.entry(schema.id).or_insert(self.plans.len());
        if number == self.plans.len() {
            metrics::AVRO_PLANS.inc();
            let step = Step::new(schema, keep_nulls);
            self.plans.push(Plan { schema: schema.id, step, prefixes: Vec::new() });
        }
        let Some(plan) = self.plans.get_mut(number) else { return };
        if plan.prefixes.len() >= TOPICS {
            plan.prefixes.clear();
        }
        plan.prefixes.push((topic.to_owned(), prefix(id)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_schema_has_its_plan_and_each_topic_its_id() {
        let (number, text) = (Schema::int32(), Schema::string());
        let mut plans = Plans::default();
        plans.keep(&number, "a", SchemaId(1), false);
        plans.keep(&text, "a", SchemaId(2), false);
        plans.keep(&number, "b", SchemaId(3), false);
        for (schema, topic, want) in
            [(&number, "a", Some(1)), (&text, "a", Some(2)), (&text, "b", None), (&number, "b", Some(3))]
        {
            let found = plans.find(schema.id, topic).map(|(_, found)| *found);
            assert_eq!(found, want.map(|id| prefix(SchemaId(id))), "{} in {topic}", schema.id);
        }
        assert_eq!(plans.plans.len(), 2);
        let many: Vec<Schema> = std::iter::repeat_with(Schema::int64).take(PLANS).collect();
        many.iter().for_each(|schema| plans.keep(schema, "a", SchemaId(4), false));
        assert!(plans.plans.len() < PLANS && plans.plans.len() == plans.numbers.len());
        for (schema, want) in [(&number, false), (many.last().expect("many"), true)] {
            assert_eq!(plans.find(schema.id, "a").is_some(), want, "the first are gone");
        }
    }
}
