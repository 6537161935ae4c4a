//! One message of the stream after the other → changes and boundaries. No connection, no clock.

use super::catalog::Describes;
use super::cursor::Cursor;
use super::filter::Names;
use super::incremental::{Beside, Database, Place, Server};
use super::pgoutput::{Begin, Commit, Logical, Message, Old, Truncate, Tuple};
use super::relation::{Relation, Relations};
use super::row::{decode_tuple, empty, fill_unavailable, raw_tuple};
use super::wire::protocol;
use crate::metrics;
use crate::model::change::{self, Change, Event, Marker, Op, Origin, PostgresOrigin};
use crate::model::position::{Lsn, Position, PostgresPosition};
use crate::model::refusal::RawRow;
use crate::model::value::{RowBuffer, Value};
use crate::snapshot::visible::Seen;
use crate::source::Take;
use bumpalo::Bump;
use shared::error::Context;
use shared::{Error, Kind, Result};
use std::sync::Arc;

/// What happens to rows in the stream.
const OPS: [Op; 3] = [Op::Create, Op::Update, Op::Delete];
/// What a stream starts with.
pub struct Start<D = Server> {
    /// The last boundary: from here on, and what the source block says of it.
    pub position: PostgresPosition,
    /// Where the slot stands: it is never told an earlier position.
    pub slot_confirmed: Lsn,
    /// Prefixes of logical messages that are captured.
    pub messages: Names,
    /// Reads tables again beside the stream, if somebody asks.
    pub beside: Option<Box<Beside<D>>>,
    /// Whether the server is told what may be forgotten, or somebody else does that.
    pub flushes: bool,
}

/// Everything but the connection: what a message is handled with.
pub struct Reader<D = Server> {
    database: String,
    pub position: PostgresPosition,
    transaction: Option<Transaction>,
    /// What a snapshot has of what the stream brings.
    seen: Option<Seen>,
    messages: Names,
    pub beside: Option<Box<Beside<D>>>,
    /// Where the running transaction was replicated from.
    replicated_from: Option<(String, Lsn)>,
    pub xmin: Option<i64>,
    before: RowBuffer,
    after: RowBuffer,
    arena: Bump,
    pub received: Lsn,
    pub server_end: Lsn,
    pub confirmed: Lsn,
    pub reply_wanted: bool,
    /// A signal came that nobody may have followed yet.
    signalled: bool,
    changes: u64,
    /// Creates, updates and deletes of tables that are not captured.
    filtered: [u64; 3],
    transactions: u64,
}

#[derive(Clone, Copy, Debug)]
struct Transaction {
    begin: Begin,
    /// A snapshot has it already.
    seen: bool,
}

impl<D: Database> Reader<D> {
    pub fn new(database: String, start: Start<D>) -> Self {
        Reader {
            database,
            received: start.position.lsn,
            server_end: start.position.lsn,
            confirmed: start.position.lsn.max(start.slot_confirmed),
            seen: start.position.progress.clone().and_then(Seen::new),
            position: start.position,
            transaction: None,
            messages: start.messages,
            beside: start.beside,
            replicated_from: None,
            xmin: None,
            before: RowBuffer::default(),
            after: RowBuffer::default(),
            arena: Bump::new(),
            reply_wanted: false,
            signalled: false,
            changes: 0,
            filtered: [0; 3],
            transactions: 0,
        }
    }

    /// The last boundary, if no transaction is being read.
    pub fn between(&self) -> Option<&PostgresPosition> {
        self.transaction.is_none().then_some(&self.position)
    }

    /// What is done while no message is: a boundary that waited for a signal is given if all are `followed`,
    /// and between two transactions a chunk may be read. Whether one waits for the end of an idle log, so
    /// that the server should be asked for it.
    pub fn between_messages(
        &mut self,
        followed: bool,
        relations: &mut Relations,
        catalog: &mut dyn Describes,
        take: Take<'_>,
    ) -> Result<bool> {
        if followed {
            self.followed(relations, take)?;
        }
        let between = self.transaction.is_none();
        let Some(beside) = self.beside.as_mut().filter(|_| between) else { return Ok(false) };
        while beside.due() {
            beside.read(relations, catalog)?;
        }
        beside.tell(take)?;
        beside.nudge()?;
        let awaits = beside.awaits().is_some();
        // What was asked for, stopped or found empty is stored although the log may stand still.
        let state = |state: Option<&Arc<_>>| state.map(Arc::as_ptr);
        if state(beside.state()) != state(self.position.incremental.as_ref()) {
            self.boundary(relations, take)?;
        }
        Ok(awaits)
    }

    /// One message of the stream: log data, or a keepalive.
    pub fn copy_data(
        &mut self,
        body: &[u8],
        relations: &mut Relations,
        catalog: &mut dyn Describes,
        take: Take<'_>,
    ) -> Result<bool> {
        let mut cursor = Cursor(body);
        match cursor.u8("stream message").map_err(protocol)? {
            b'w' => {
                let lsn = Lsn(cursor.u64("log data").map_err(protocol)?);
                cursor.take(8 + 8, "log data").map_err(protocol)?;
                self.received = self.received.max(lsn);
                let message = Message::parse(cursor.0).map_err(protocol);
                message
                    .and_then(|message| self.message(lsn, message, relations, catalog, take))
                    .doing(|| format!("read the stream at {lsn}"))
            }
            b'k' => {
                let end = Lsn(cursor.u64("keepalive").map_err(protocol)?);
                cursor.take(8, "keepalive").map_err(protocol)?;
                self.reply_wanted |= cursor.u8("keepalive").map_err(protocol)? == 1;
                self.server_end = self.server_end.max(end);
                self.keepalive(end, relations, take)
            }
            _ => Ok(false),
        }
    }

    fn message(
        &mut self,
        lsn: Lsn,
        message: Message<'_>,
        relations: &mut Relations,
        catalog: &mut dyn Describes,
        take: Take<'_>,
    ) -> Result<bool> {
        match message {
            Message::Insert { relation, new } => {
                self.change(lsn, Op::Create, relation, relations, None, Some(new), take)
            }
            Message::Update { relation, old, new } => {
                self.change(lsn, Op::Update, relation, relations, old, Some(new), take)
            }
            Message::Delete { relation, old } => {
                self.change(lsn, Op::Delete, relation, relations, Some(old), None, take)
            }
            Message::Begin(begin) => self.begin(lsn, begin, take),
            Message::Commit(commit) => self.commit(lsn, commit, relations, take),
            Message::Truncate(truncate) => self.truncate(lsn, truncate, relations, take),
            Message::Logical(logical) => self.logical(lsn, logical, take),
            Message::Origin { name, lsn } => {
                self.replicated_from = Some((name.to_owned(), lsn));
                Ok(false)
            }
            Message::Relation(relation) => relations.define(&relation, catalog).map(|()| false),
            Message::Type => Ok(false),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the hot path: a struct would be built per row")]
    #[inline]
    fn change(
        &mut self,
        lsn: Lsn,
        op: Op,
        relation: u32,
        relations: &Relations,
        old: Option<Old<'_>>,
        new: Option<Tuple<'_>>,
        take: Take<'_>,
    ) -> Result<bool> {
        let Some(transaction) = self.transaction else {
            return Err(Error::new(Kind::Data, "the server sent a row outside a transaction"));
        };
        let Some(relation) = relations.get(relation)? else {
            self.filtered(op);
            return Ok(false);
        };
        if let Some(beside) = &mut self.beside {
            beside.changed(relation, old, new);
        }
        if transaction.seen {
            return Ok(false);
        }
        empty(&mut self.arena);
        let mut before = self.before.take();
        let mut after = self.after.take();
        let decoded = decode(relation, old, new, &self.arena, &mut before, &mut after);
        let origin = self.origin(lsn, Some(transaction));
        if let Err(error) = decoded {
            return refuse(op, relation, old, new, origin, &error, take);
        }
        take(Event::Change(Change {
            op,
            table: &relation.table,
            before: old.map(|_| before.as_slice()),
            after: new.map(|_| after.as_slice()),
            origin,
        }))?;
        self.before.give_back(before);
        self.after.give_back(after);
        self.changes += 1;
        self.signalled |= relation.signals && op == Op::Create;
        if let (Some(beside), Some(tuple)) = (&mut self.beside, new.or(old.map(|old| old.tuple)))
            && beside.closes(relation, op, tuple)
        {
            let place = Place { database: &self.database, lsn, last_commit_lsn: self.position.commit_lsn };
            beside.emit(place, relations, take)?;
        }
        Ok(true)
    }

    /// Of a message outside a transaction there is no number, and the time is the last commit's.
    fn origin(&self, lsn: Lsn, transaction: Option<Transaction>) -> Origin<'_> {
        Origin::Postgres(PostgresOrigin {
            database: &self.database,
            transaction_id: transaction.map(|transaction| transaction.begin.transaction_id),
            lsn,
            last_commit_lsn: self.position.commit_lsn,
            time_us: transaction.map_or(self.position.commit_time_us, |t| t.begin.commit_time_us),
            xmin: self.xmin,
            replicated_from: self.replicated_from.as_ref().map(|(name, lsn)| (name.as_str(), *lsn)),
            snapshot: Marker::Streamed,
        })
    }

    fn begin(&mut self, lsn: Lsn, begin: Begin, take: Take<'_>) -> Result<bool> {
        let seen = self.seen.as_ref().is_some_and(|seen| seen.contains(begin.transaction_id));
        self.transaction = Some(Transaction { begin, seen });
        self.replicated_from = None;
        if !seen {
            let (id, time_us) = (begin.transaction_id, begin.commit_time_us);
            take(Event::Begin(change::Transaction { id, lsn, time_us }))?;
        }
        Ok(!seen)
    }

    /// One event per captured table, in the server's order.
    fn truncate(
        &mut self,
        lsn: Lsn,
        truncate: Truncate<'_>,
        relations: &Relations,
        take: Take<'_>,
    ) -> Result<bool> {
        let transaction = self.transaction.filter(|transaction| !transaction.seen);
        let Some(transaction) = transaction else { return Ok(false) };
        for number in truncate.relations() {
            if let Some(relation) = relations.get(number)? {
                if let Some(beside) = &mut self.beside {
                    beside.emptied(&relation.table.id);
                }
                let origin = self.origin(lsn, Some(transaction));
                take(Event::Truncate(change::Truncate { table: &relation.table, origin }))?;
            }
        }
        Ok(true)
    }

    /// A message outside a transaction counts as a commit of its own, as with Debezium; but it makes
    /// no boundary, since the server may send it again from an earlier one.
    fn logical(&mut self, lsn: Lsn, logical: Logical<'_>, take: Take<'_>) -> Result<bool> {
        let Logical { transactional, prefix, content } = logical;
        let transaction = self.transaction.filter(|_| transactional);
        if transaction.is_some_and(|transaction| transaction.seen) || !self.messages.pass(prefix) {
            return Ok(false);
        }
        if !transactional {
            self.position.commit_lsn = Some(lsn);
        }
        let origin = self.origin(lsn, transaction);
        take(Event::Message(change::Message { prefix, content, transactional, origin }))?;
        Ok(true)
    }

    fn commit(&mut self, lsn: Lsn, commit: Commit, relations: &Relations, take: Take<'_>) -> Result<bool> {
        let Some(transaction) = self.transaction.take() else {
            return Err(Error::new(Kind::Data, "the server sent a commit without its beginning"));
        };
        self.transactions += 1;
        if !transaction.seen {
            let (id, time_us) = (transaction.begin.transaction_id, commit.commit_time_us);
            take(Event::End(change::Transaction { id, lsn, time_us }))?;
            self.position = PostgresPosition {
                lsn: commit.end_lsn,
                commit_lsn: Some(commit.end_lsn),
                transaction_id: Some(transaction.begin.transaction_id),
                commit_time_us: commit.commit_time_us,
                snapshot: None,
                progress: None,
                incremental: self.position.incremental.take(),
            };
        }
        self.position.lsn = commit.end_lsn;
        self.boundary(relations, take)
    }

    fn keepalive(&mut self, end: Lsn, relations: &Relations, take: Take<'_>) -> Result<bool> {
        if self.transaction.is_some() || end <= self.position.lsn {
            return Ok(false);
        }
        self.position.lsn = end;
        self.boundary(relations, take)
    }

    fn boundary(&mut self, relations: &Relations, take: Take<'_>) -> Result<bool> {
        if let Some(beside) = &mut self.beside
            && beside.awaits().is_some_and(|end| self.position.lsn >= end)
        {
            let (lsn, last_commit_lsn) = (self.position.lsn, self.position.commit_lsn);
            beside.emit(Place { database: &self.database, lsn, last_commit_lsn }, relations, take)?;
        }
        if self.seen.as_ref().is_some_and(|seen| self.position.lsn >= seen.end()) {
            self.seen = None;
            tracing::info!(event = "snapshot_passed", lsn = %self.position.lsn, "stream is beyond the snapshot");
        }
        self.position.incremental = self.beside.as_ref().and_then(|beside| beside.state().cloned());
        self.position.progress = self.seen.as_ref().map(|seen| seen.progress().clone());
        if self.signalled {
            return Ok(true);
        }
        take(Event::Boundary(Position::Postgres(self.position.clone())))?;
        Ok(true)
    }

    /// All signals so far are followed, or passed over: the boundary that waited for that is given, with what
    /// became of them.
    fn followed(&mut self, relations: &Relations, take: Take<'_>) -> Result<()> {
        if std::mem::take(&mut self.signalled) && self.transaction.is_none() {
            self.boundary(relations, take)?;
        }
        Ok(())
    }

    fn filtered(&mut self, op: Op) {
        if let Some(count) =
            OPS.iter().position(|known| *known == op).and_then(|at| self.filtered.get_mut(at))
        {
            *count += 1;
        }
    }

    pub fn publish(&mut self, bytes: usize) {
        for (op, count) in OPS.iter().zip(&mut self.filtered).filter(|(_, count)| **count > 0) {
            metrics::SOURCE_FILTERED.with_label_values(&[op.code()]).inc_by(std::mem::take(count));
            metrics::seen("stream");
        }
        metrics::SOURCE_RECEIVED_BYTES.inc_by(u64::try_from(bytes).unwrap_or_default());
        metrics::SOURCE_CHANGES.inc_by(std::mem::take(&mut self.changes));
        metrics::SOURCE_TRANSACTIONS.inc_by(std::mem::take(&mut self.transactions));
        metrics::SOURCE_RECEIVED_LSN.set(gauge(self.received));
        metrics::server_log_ends(gauge(self.server_end.max(self.received)));
    }
}

/// Both rows of a change.
#[inline]
fn decode<'a>(
    relation: &Relation,
    old: Option<Old<'a>>,
    new: Option<Tuple<'a>>,
    arena: &'a Bump,
    before: &mut Vec<Value<'a>>,
    after: &mut Vec<Value<'a>>,
) -> Result<()> {
    if let Some(old) = old {
        decode_tuple(relation, old.tuple, arena, before)?;
    }
    if let Some(new) = new {
        decode_tuple(relation, new, arena, after)?;
        if old.is_some_and(|old| old.whole) {
            fill_unavailable(after, before);
        }
    }
    Ok(())
}

/// Hands over what cannot be read, as it came.
#[cold]
fn refuse(
    op: Op,
    relation: &Relation,
    old: Option<Old<'_>>,
    new: Option<Tuple<'_>>,
    origin: Origin<'_>,
    error: &Error,
    take: Take<'_>,
) -> Result<bool> {
    let before = old.map(|old| raw_tuple(relation, old.tuple));
    let after = new.map(|new| raw_tuple(relation, new));
    let (before, after) = (before.as_deref(), after.as_deref());
    take(Event::Refused(RawRow { op: op.code(), table: &relation.table, before, after, origin, error }))?;
    Ok(true)
}

pub fn gauge(lsn: Lsn) -> i64 {
    i64::try_from(lsn.0).unwrap_or(i64::MAX)
}
