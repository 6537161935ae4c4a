//! Change → records in Debezium's shape: the envelope, the `source` block, the topic, the
//! headers, tombstones, and the pair of records that a changed key makes.
//!
//! ```text
//! create, read, update  → record
//! delete                → record, tombstone
//! update, other key     → delete (newkey), tombstone (newkey), create (oldkey)
//! ```
//!
//! Pure but for the clock. Nothing is allocated per change, apart from headers of changed keys.

mod envelope;
mod key;
mod source_info;
mod topic;

use crate::config::event::EventConfig;
use crate::metrics;
use crate::model::change::{Change, Op, Origin};
use crate::model::record::{ContextHeader, Envelope, Link, Record};
use crate::model::value::{Row, RowBuffer};
use prometheus::IntCounter;
use shared::error::{Context, Result};
use shared::time::Clock;
use source_info::{Constant, Sequence};
use topic::Topics;

const OPS: [Op; 4] = [Op::Read, Op::Create, Op::Update, Op::Delete];

/// Makes records out of changes.
#[derive(Debug)]
pub struct Events {
    clock: Clock,
    topics: Topics,
    prefix: String,
    version: String,
    tombstones: bool,
    context: Vec<ContextHeader>,
    completed: RowBuffer,
    /// One per operation, looked up once.
    changes: [IntCounter; 4],
}

/// What the records of one change share, and where they go.
struct Parts<'a, 'take> {
    clock: &'a Clock,
    tombstones: bool,
    source: Row<'a>,
    /// Without key, value and link.
    frame: Record<'a>,
    take: &'take mut dyn FnMut(&Record<'_>) -> Result<()>,
}

impl Events {
    /// A new run: its id goes into the headers.
    pub fn new(config: &EventConfig, clock: Clock) -> Events {
        Events::with_run(config, clock, uuid::Uuid::now_v7().to_string())
    }

    /// [`Events::new`] with a given run id, for tests.
    pub fn with_run(config: &EventConfig, clock: Clock, run_id: String) -> Events {
        Events {
            clock,
            topics: Topics::new(&config.topic_prefix),
            prefix: config.topic_prefix.clone(),
            version: config.source_version.clone(),
            tombstones: config.tombstones,
            context: envelope::context(config, source_info::POSTGRES, run_id),
            completed: RowBuffer::default(),
            changes: OPS.map(|op| metrics::EVENT_CHANGES.with_label_values(&[op.code()])),
        }
    }

    /// Hands the change's records to `take`, in order.
    ///
    /// # Errors
    /// Those of `take`, with the change's position.
    pub fn records(
        &mut self,
        change: &Change<'_>,
        take: &mut dyn FnMut(&Record<'_>) -> Result<()>,
    ) -> Result<()> {
        let Origin::Postgres(origin) = &change.origin;
        let sequence = Sequence::new(origin);
        let constant = Constant { version: &self.version, name: &self.prefix };
        let source = source_info::postgres(constant, origin, &sequence, &change.table.id);
        let mut completed = Vec::new();
        let after = match (change.before, change.after) {
            (Some(before), Some(after)) if key::can_complete(before, after) => {
                completed = self.completed.take();
                key::complete(before, after, &mut completed);
                Some(completed.as_slice())
            }
            (_, after) => after,
        };
        let topic = self.topics.of(change.table);
        let frame =
            Record { topic, table: change.table, key: None, value: None, link: None, context: &self.context };
        let mut parts =
            Parts { clock: &self.clock, tombstones: self.tombstones, source: &source, frame, take };
        let done = parts.send(change.op, change.before, after);
        if completed.capacity() > 0 {
            self.completed.give_back(completed);
        }
        if let Some(counter) = OPS.iter().position(|op| *op == change.op).and_then(|at| self.changes.get(at))
        {
            counter.inc();
        }
        done.doing(|| format!("at {}", origin.lsn))
    }
}

impl<'a> Parts<'a, '_> {
    fn send(&mut self, op: Op, before: Option<Row<'a>>, after: Option<Row<'a>>) -> Result<()> {
        match (op, before, after) {
            (Op::Update, Some(before), Some(after)) if key::changed(self.frame.table, before, after) => {
                let to_new = Some(Link { header: envelope::NEW_KEY, key: after });
                self.one(Op::Delete, Some(before), None, to_new)?;
                let to_old = Some(Link { header: envelope::OLD_KEY, key: before });
                self.one(Op::Create, None, Some(after), to_old)
            }
            _ => self.one(op, before, after, None),
        }
    }

    /// One record, and its tombstone if it is a delete.
    fn one(
        &mut self,
        op: Op,
        before: Option<Row<'a>>,
        after: Option<Row<'a>>,
        link: Option<Link<'a>>,
    ) -> Result<()> {
        let key = if self.frame.table.key.is_empty() { None } else { after.or(before) };
        let time = self.clock.now();
        let value = Some(Envelope { before, after, source: self.source, op, time });
        (self.take)(&Record { key, value, link, ..self.frame })?;
        if op == Op::Delete && self.tombstones {
            (self.take)(&Record { key, link, ..self.frame })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
