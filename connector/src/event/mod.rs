//! Change → records in Debezium's shape: the envelope, the `source` block, the topic, the
//! headers, tombstones, and the pair of records that a changed key makes.
//!
//! ```text
//! create, read, update  → record
//! delete                → record, tombstone
//! update, other key     → delete (newkey), tombstone (newkey), create (oldkey)
//! truncate, message     → record
//! begin, end            → record, if transactions are asked for
//! ```
//!
//! Pure but for the clock. Nothing is allocated per change in the steady state.

mod column;
mod edit;
mod envelope;
mod key;
mod message;
mod name;
mod notice;
mod shape;
mod source_info;
mod tally;
mod topic;
mod transaction;

use crate::config::event::{EventConfig, Operation};
use crate::model::change::{Change, Event, Message, Op, Origin, Transaction, Truncate};
use crate::model::position::Lsn;
use crate::model::record::{Datum, Header, HeaderValue, Record};
use crate::model::schema::Schema;
use crate::model::value::{Row, RowBuffer, Value};
use bumpalo::Bump;
use envelope::Context as RunContext;
use message::Fixed;
use notice::Notices;
use shape::{Shape, Shapes};
use shared::error::{Context, Result};
use shared::time::Clock;
use source_info::{Constant, Sequence};
use std::sync::Arc;
use tally::Tally;
use topic::Topics;
use transaction::Counts;

const TRUNCATE: &str = "t";
const MESSAGE: &str = "m";
/// Texts that were made for one row may keep so much memory.
const KEPT_BYTES: usize = 1024 * 1024;

/// Takes a record further.
pub type Take<'t> = &'t mut dyn FnMut(&Record<'_>) -> Result<()>;

/// Makes records out of changes.
#[derive(Debug)]
pub struct Events {
    clock: Clock,
    shapes: Shapes,
    prefix: String,
    version: String,
    tombstones: bool,
    skip: Vec<Operation>,
    skip_unchanged: bool,
    context: RunContext,
    /// Topic of BEGIN and END, and the running transaction; `None` if they are not asked for.
    transactions: Option<(String, Counts)>,
    messages: Fixed,
    heartbeats: Fixed,
    notices: Notices,
    rows: Rows,
    tally: Tally,
}

/// Memory for rows that are not as the source sent them.
#[derive(Debug, Default)]
struct Rows {
    completed: RowBuffer,
    before: RowBuffer,
    after: RowBuffer,
    key: RowBuffer,
    other_key: RowBuffer,
    arena: Bump,
}

impl Events {
    /// A new run: its id goes into the headers.
    ///
    /// # Errors
    /// `Config` for a regular expression or an algorithm that is none.
    pub fn new(config: &EventConfig, clock: Clock) -> Result<Events> {
        Events::with_run(config, clock, uuid::Uuid::now_v7().to_string())
    }

    /// [`Events::new`] with a given run id, for tests.
    ///
    /// # Errors
    /// As [`Events::new`].
    pub fn with_run(config: &EventConfig, clock: Clock, run_id: String) -> Result<Events> {
        let named = |full: &str| name::schema(full, config.schema_names);
        let common = |part: &str| named(&format!("io.debezium.connector.common.{part}"));
        let postgres = |part: &str| named(&format!("io.debezium.connector.postgresql.{part}"));
        let counts = || {
            let key = transaction::key_schema(common("TransactionMetadataKey"));
            Counts::new(key, transaction::value_schema(common("TransactionMetadataValue")))
        };
        let topics = Topics::new(config)?;
        let heartbeats = config.heartbeat_topic.clone();
        let heartbeats = heartbeats.unwrap_or_else(|| {
            format!("{}{}{}", config.heartbeat_prefix, config.topic_delimiter, config.topic_prefix)
        });
        Ok(Events {
            clock,
            shapes: Shapes::new(config)?,
            prefix: config.topic_prefix.clone(),
            version: config.source_version.clone(),
            tombstones: config.tombstones,
            skip: config.skip.clone(),
            skip_unchanged: config.skip_unchanged,
            context: RunContext::new(config, source_info::POSTGRES, run_id),
            transactions: config.transactions.then(|| (topics.beside(&config.transaction_topic), counts())),
            // Debezium does not put this one through its naming strategy.
            messages: message::message(
                format!("{}.message", config.topic_prefix),
                postgres("MessageKey"),
                postgres("MessageValue"),
                postgres("Message"),
                config.values.binary,
            ),
            heartbeats: message::heartbeat(heartbeats, common("ServerNameKey"), common("Heartbeat")),
            notices: Notices::new(config, common("NotificationKey"), common("Notification")),
            rows: Rows::default(),
            tally: Tally::default(),
        })
    }

    /// Hands an event's records to `take`, in order.
    ///
    /// # Errors
    /// Those of `take`, with the event's position.
    #[inline]
    pub fn records(&mut self, event: &Event<'_>, take: Take<'_>) -> Result<()> {
        match event {
            Event::Change(change) => self.change(change, take),
            Event::Truncate(truncate) => self.truncate(truncate, take),
            Event::Message(message) => self.message(message, take),
            Event::Begin(transaction) => self.begin(transaction, take),
            Event::End(transaction) => self.end(transaction, take),
            Event::Notice(notice) => self.notices.tell(notice, self.clock.now().millis(), take),
            // Without values there is no record.
            Event::Refused(_) | Event::Boundary(_) => Ok(()),
        }
    }

    fn change(&mut self, change: &Change<'_>, take: Take<'_>) -> Result<()> {
        let Events { shapes, rows, transactions, context, tally, .. } = self;
        if is_skipped(&self.skip, change.op) && !moves(change) {
            return Ok(());
        }
        if self.skip_unchanged && is_unchanged(change) {
            tally.unchanged += 1;
            return Ok(());
        }
        let shape = shapes.of(change.table);
        tally.of(shape, &change.origin);
        let Origin::Postgres(origin) = &change.origin;
        let constant = Constant { version: &self.version, name: &self.prefix };
        let sequence = Sequence::new(origin);
        let time_ns = source_info::time_ns(origin, &self.clock);
        let source = source_info::postgres(constant, origin, &sequence, Some(&change.table.id), time_ns);
        let mut maker = Maker {
            clock: &self.clock,
            tombstones: self.tombstones,
            skip: &self.skip,
            shape,
            source: &source,
            lsn: origin.lsn,
            counts: transactions.as_mut().map(|(_, counts)| counts),
            context,
            tally,
            take,
        };
        if rows.arena.allocated_bytes() > KEPT_BYTES {
            rows.arena = Bump::new();
        }
        rows.arena.reset();
        maker.change(change, rows).doing(|| format!("at {}", origin.lsn))
    }

    fn truncate(&mut self, truncate: &Truncate<'_>, take: Take<'_>) -> Result<()> {
        if self.skip.contains(&Operation::Truncate) {
            return Ok(());
        }
        let Origin::Postgres(origin) = &truncate.origin;
        let constant = Constant { version: &self.version, name: &self.prefix };
        let sequence = Sequence::new(origin);
        let time_ns = source_info::time_ns(origin, &self.clock);
        let source = source_info::postgres(constant, origin, &sequence, Some(&truncate.table.id), time_ns);
        let shape = self.shapes.of(truncate.table);
        self.tally.of(shape, &truncate.origin);
        let mut maker = Maker {
            clock: &self.clock,
            tombstones: self.tombstones,
            skip: &self.skip,
            shape,
            source: &source,
            lsn: origin.lsn,
            counts: self.transactions.as_mut().map(|(_, counts)| counts),
            context: &self.context,
            tally: &mut self.tally,
            take,
        };
        maker.one(TRUNCATE, None, Value::Null, Value::Null, None).doing(|| format!("at {}", origin.lsn))
    }

    fn message(&mut self, message: &Message<'_>, take: Take<'_>) -> Result<()> {
        let Origin::Postgres(origin) = &message.origin;
        let constant = Constant { version: &self.version, name: &self.prefix };
        let sequence = Sequence::new(origin);
        let time_ns = source_info::time_ns(origin, &self.clock);
        let source = source_info::postgres(constant, origin, &sequence, None, time_ns);
        let counts = self.transactions.as_mut().filter(|_| message.transactional);
        let block = counts.and_then(|(_, counts)| counts.count(transaction::MESSAGES, origin.lsn));
        let content = [Value::Text(message.prefix), Value::Bytes(message.content)];
        let value = [
            Value::Text(MESSAGE),
            Value::Int(self.clock.now().millis()),
            Value::Struct(&source),
            block.as_ref().map_or(Value::Null, |block| Value::Struct(block)),
            Value::Struct(&content),
        ];
        let key = [Value::Text(message.prefix)];
        self.tally.records += 1;
        take(&fixed(&self.messages, None, &key, &value)).doing(|| format!("at {}", origin.lsn))
    }

    fn begin(&mut self, transaction: &Transaction, take: Take<'_>) -> Result<()> {
        let Some((topic, counts)) = &mut self.transactions else { return Ok(()) };
        counts.begin(transaction);
        self.tally.records += 1;
        boundary(topic, counts, transaction, "BEGIN", [Value::Null, Value::Null], take)
    }

    fn end(&mut self, transaction: &Transaction, take: Take<'_>) -> Result<()> {
        let Some((topic, counts)) = &mut self.transactions else { return Ok(()) };
        self.tally.records += 1;
        let (total, tables) = counts.counted();
        let pairs: Vec<[Value<'_>; 2]> =
            tables.into_iter().map(|(name, count)| [Value::Text(name), Value::Int(*count)]).collect();
        let collections: Vec<Value<'_>> = pairs.iter().map(|pair| Value::Struct(pair)).collect();
        let counted = [Value::Int(total), Value::List(&collections)];
        boundary(topic, counts, transaction, "END", counted, take)?;
        counts.end();
        Ok(())
    }

    /// A record that only says that we are alive.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn heartbeat(&mut self, take: Take<'_>) -> Result<()> {
        self.tally.records += 1;
        let (key, value) = ([Value::Text(&self.prefix)], [Value::Int(self.clock.now().millis())]);
        take(&fixed(&self.heartbeats, Some(0), &key, &value)).doing(|| "send a heartbeat")
    }

    /// Tells the metrics what was made since the last time: meant for the end of a read.
    pub fn publish(&mut self) {
        self.tally.tell(&self.clock);
    }
}

/// An update of the key is a delete and a create, also where operations are skipped.
fn moves(change: &Change<'_>) -> bool {
    match (change.op, change.before, change.after) {
        (Op::Update, Some(before), Some(after)) => key::changed(change.table, before, after),
        _ => false,
    }
}

fn is_skipped(skip: &[Operation], op: Op) -> bool {
    let operation = match op {
        Op::Read => return false,
        Op::Create => Operation::Create,
        Op::Update => Operation::Update,
        Op::Delete => Operation::Delete,
    };
    skip.contains(&operation)
}

/// Nothing that is captured changed. Without the row before that cannot be known.
fn is_unchanged(change: &Change<'_>) -> bool {
    let (Op::Update, Some(before), Some(after)) = (change.op, change.before, change.after) else {
        return false;
    };
    let same = |(before, after): (&Value<'_>, &Value<'_>)| before == after || *after == Value::Unavailable;
    before.iter().zip(after).all(same)
}

fn shown<'a>(row: Option<Row<'a>>, shaped: Option<Row<'a>>) -> Value<'a> {
    shaped.or(row).map_or(Value::Null, Value::Struct)
}

fn boundary(
    topic: &str,
    counts: &Counts,
    transaction: &Transaction,
    status: &str,
    counted: [Value<'_>; 2],
    take: Take<'_>,
) -> Result<()> {
    let mut id = String::new();
    transaction::write_id(&mut id, transaction.id, transaction.lsn);
    let [total, collections] = counted;
    let time = Value::Int(transaction.time_us.div_euclid(1_000));
    let key = [Value::Text(&id)];
    let value = [Value::Text(status), Value::Text(&id), total, collections, time];
    let record = record(topic, None, datum(&counts.key, &key), datum(&counts.value, &value));
    take(&record).doing(|| format!("at {}", transaction.lsn))
}

fn fixed<'a>(
    of: &'a Fixed,
    partition: Option<i32>,
    key: &'a [Value<'a>],
    value: &'a [Value<'a>],
) -> Record<'a> {
    record(&of.topic, partition, datum(&of.key, key), datum(&of.value, value))
}

fn record<'a>(topic: &'a str, partition: Option<i32>, key: Datum<'a>, value: Datum<'a>) -> Record<'a> {
    Record { topic, partition, key: Some(key), value: Some(value), headers: &[], timestamp_ms: None }
}

fn datum<'a>(schema: &'a Arc<Schema>, values: &'a [Value<'a>]) -> Datum<'a> {
    Datum { schema, value: Value::Struct(values) }
}

/// What the records of one change share, and where they go.
struct Maker<'a, 't> {
    clock: &'a Clock,
    tombstones: bool,
    skip: &'a [Operation],
    shape: &'a Shape,
    source: Row<'a>,
    lsn: Lsn,
    counts: Option<&'a mut Counts>,
    context: &'a RunContext,
    tally: &'a mut Tally,
    take: Take<'t>,
}

impl Maker<'_, '_> {
    fn change(&mut self, change: &Change<'_>, rows: &mut Rows) -> Result<()> {
        let mut completed = Vec::new();
        let after = match (change.before, change.after) {
            (Some(before), Some(after)) if key::can_complete(before, after) => {
                completed = rows.completed.take();
                key::complete(before, after, &mut completed);
                Some(completed.as_slice())
            }
            (_, after) => after,
        };
        let done = self.rows(change, after, rows);
        if completed.capacity() > 0 {
            rows.completed.give_back(completed);
        }
        done
    }

    fn rows(&mut self, change: &Change<'_>, after: Option<Row<'_>>, rows: &mut Rows) -> Result<()> {
        let Rows { before: before_buffer, after: after_buffer, key, other_key, arena, .. } = rows;
        let shaped_before = self.shaped(change.before, before_buffer, arena);
        let shaped_after = self.shaped(after, after_buffer, arena);
        let before_value = shown(change.before, shaped_before.as_deref());
        let after_value = shown(after, shaped_after.as_deref());
        let mut key_row = key.take();
        let mut other_row = other_key.take();
        let done = match (change.op, change.before, after) {
            (Op::Update, Some(before), Some(after)) if key::changed(change.table, before, after) => {
                self.key(before, &mut key_row);
                self.key(after, &mut other_row);
                self.moved(before_value, after_value, &key_row, &other_row)
            }
            (op, before, after) => {
                if let Some(row) = after.or(before) {
                    self.key(row, &mut key_row);
                }
                self.one(op.code(), Some(&key_row), before_value, after_value, None)
            }
        };
        key.give_back(key_row);
        other_key.give_back(other_row);
        if let Some(row) = shaped_before {
            before_buffer.give_back(row);
        }
        if let Some(row) = shaped_after {
            after_buffer.give_back(row);
        }
        done
    }

    /// The row under its old key goes, and comes again under its new one.
    fn moved(&mut self, before: Value<'_>, after: Value<'_>, old: Row<'_>, new: Row<'_>) -> Result<()> {
        if !is_skipped(self.skip, Op::Delete) {
            self.one(Op::Delete.code(), Some(old), before, Value::Null, Some((envelope::NEW_KEY, new)))?;
        }
        if is_skipped(self.skip, Op::Create) {
            return Ok(());
        }
        self.one(Op::Create.code(), Some(new), Value::Null, after, Some((envelope::OLD_KEY, old)))
    }

    fn key<'r>(&self, row: Row<'r>, out: &mut Vec<Value<'r>>)
    where
        Self: 'r,
    {
        out.extend(self.shape.key_columns.iter().map(|at| row.get(*at).copied().unwrap_or(Value::Null)));
        out.extend(self.shape.key_suffix.as_deref().map(Value::Text));
    }

    /// The row as the value shows it, if that is not the very row.
    fn shaped<'r>(
        &self,
        row: Option<Row<'r>>,
        buffer: &mut RowBuffer,
        arena: &'r Bump,
    ) -> Option<Vec<Value<'r>>>
    where
        Self: 'r,
    {
        let row = row?;
        if self.shape.value_columns.is_none() && self.shape.edits.is_empty() {
            return None;
        }
        let mut out = buffer.take();
        match &self.shape.value_columns {
            Some(columns) => {
                out.extend(columns.iter().map(|at| row.get(*at).copied().unwrap_or(Value::Null)))
            }
            None => out.extend_from_slice(row),
        }
        for (at, edit) in &self.shape.edits {
            if let Some(value) = out.get_mut(*at) {
                *value = edit.apply(*value, arena);
            }
        }
        Some(out)
    }

    /// One record, and its tombstone if it is a delete.
    fn one(
        &mut self,
        op: &'static str,
        key: Option<Row<'_>>,
        before: Value<'_>,
        after: Value<'_>,
        link: Option<(&'static str, Row<'_>)>,
    ) -> Result<()> {
        let shape = self.shape;
        let block = self.counts.as_deref_mut().and_then(|counts| counts.count(&shape.table, self.lsn));
        let block = block.as_ref().map_or(Value::Null, |block| Value::Struct(block));
        let time = self.clock.now();
        let [millis, micros, nanos] = [time.millis(), time.micros(), time.nanos()].map(Value::Int);
        let source = Value::Struct(self.source);
        let value = [before, after, source, block, Value::Text(op), millis, micros, nanos];
        let datum_of = |row| shape.key.as_ref().map(|schema| datum(schema, row));
        let (mut headers, count) = self.context.headers();
        let mut first = 1;
        if let Some((name, datum)) = link.and_then(|(name, row)| Some((name, datum_of(row)?))) {
            if let Some(header) = headers.first_mut() {
                *header = Header { name, value: HeaderValue::Datum(datum) };
            }
            first = 0;
        }
        let record = Record {
            topic: &shape.topic,
            partition: None,
            key: key.and_then(datum_of),
            value: Some(datum(&shape.envelope, &value)),
            headers: headers.get(first..count).unwrap_or_default(),
            timestamp_ms: None,
        };
        self.tally.count(op);
        self.tally.records += 1;
        (self.take)(&record)?;
        if op == Op::Delete.code() && self.tombstones {
            self.tally.records += 1;
            (self.take)(&Record { value: None, ..record })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
