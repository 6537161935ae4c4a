//! Who may write under a transactional id: producer id and epoch, and where its transaction stands.
//!
//! Each new incarnation gets the next epoch, and the older one is refused from then on. A producer
//! that goes on after an error, or after its transaction timed out, says which epoch it had, so
//! that it cannot push out somebody who came in between; the same question asked twice, because the
//! answer got lost, is answered twice with the same epoch.

use super::{Denial, Step, end};
use crate::db::OrDb;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use shared::Result;

/// A producer id with the epoch of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    pub producer: i64,
    pub epoch: i16,
}

/// Epochs end here; then the name gets another producer id. The last one is nobody's: it fences.
const LAST_EPOCH: i16 = i16::MAX - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    New,
    Open,
    Committed,
    Aborted,
}

impl State {
    const fn number(self) -> i64 {
        match self {
            State::New => 0,
            State::Open => 1,
            State::Committed => 2,
            State::Aborted => 3,
        }
    }

    const fn of(number: i64) -> State {
        match number {
            1 => State::Open,
            2 => State::Committed,
            3 => State::Aborted,
            _ => State::New,
        }
    }
}

/// A row of `transactional_id`.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub name: String,
    pub who: Incarnation,
    former: i16,
    pub state: State,
}

const COLUMNS: &str = "SELECT name, producer, epoch, former, state FROM transactional_id";

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Identity> {
    let who = Incarnation { producer: row.get(1)?, epoch: row.get(2)? };
    Ok(Identity { name: row.get(0)?, who, former: row.get(3)?, state: State::of(row.get(4)?) })
}

fn find(tx: &Transaction<'_>, name: &str) -> Result<Option<Identity>> {
    tx.prepare_cached(&format!("{COLUMNS} WHERE name = ?"))
        .and_then(|mut statement| statement.query_row([name], row).optional())
        .or_db("read a transactional id")
}

/// The transactional id that a producer id belongs to.
pub(super) fn of_producer(tx: &Transaction<'_>, producer: i64) -> Result<Option<Identity>> {
    tx.prepare_cached(&format!("{COLUMNS} WHERE producer = ?"))
        .and_then(|mut statement| statement.query_row([producer], row).optional())
        .or_db("read a producer's transactional id")
}

/// Whether the name is this producer's, and the epoch the newest.
pub(super) fn check(
    tx: &Transaction<'_>,
    name: &str,
    who: Incarnation,
) -> Result<std::result::Result<Identity, Denial>> {
    Ok(match find(tx, name)? {
        Some(identity) if identity.who == who => Ok(identity),
        Some(identity) if identity.who.producer == who.producer => Err(Denial::Fenced),
        _ => Err(Denial::Unknown),
    })
}

pub(super) fn begin(
    step: &mut Step<'_>,
    name: &str,
    timeout_ms: i32,
    had: Option<Incarnation>,
    fresh: i64,
    max_ids: u32,
) -> Result<std::result::Result<Incarnation, Denial>> {
    let Some(identity) = find(step.tx, name)? else {
        if !make_room(step.tx, max_ids)? {
            return Ok(Err(Denial::TooMany));
        }
        let who = Incarnation { producer: fresh, epoch: 0 };
        return store(step, name, who, -1, timeout_ms).map(|()| Ok(who));
    };
    let present = identity.who;
    if let Some(had) = had {
        if had.producer != present.producer {
            return Ok(Err(Denial::Fenced));
        }
        if had.epoch == identity.former && identity.state != State::Open {
            return Ok(Ok(present));
        }
        if had.epoch != present.epoch {
            return Ok(Err(Denial::Fenced));
        }
    }
    if identity.state == State::Open {
        end::finish(step, &identity, false)?;
    }
    let next = match present.epoch {
        ..LAST_EPOCH => Incarnation { epoch: present.epoch + 1, ..present },
        _ => Incarnation { producer: fresh, epoch: 0 },
    };
    // After a change of producer id there is no way back to the older one.
    let former = had.filter(|had| had.producer == next.producer).map_or(-1, |had| had.epoch);
    store(step, name, next, former, timeout_ms)?;
    Ok(Ok(next))
}

fn store(step: &Step<'_>, name: &str, who: Incarnation, former: i16, timeout_ms: i32) -> Result<()> {
    step.tx
        .prepare_cached(
            "INSERT OR REPLACE INTO transactional_id
                (name, producer, epoch, former, timeout_ms, state, began_ms, seen_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?6)",
        )
        .and_then(|mut put| {
            put.execute(params![name, who.producer, who.epoch, former, timeout_ms, step.now_ms])
        })
        .or_db("store a transactional id")?;
    Ok(())
}

pub(super) fn open(tx: &Transaction<'_>, identity: &Identity, now_ms: i64) -> Result<()> {
    if identity.state == State::Open {
        return Ok(());
    }
    tx.prepare_cached(
        "UPDATE transactional_id SET state = 1, former = -1, began_ms = ?2, seen_ms = ?2 WHERE name = ?1",
    )
    .and_then(|mut update| update.execute(params![identity.name, now_ms]))
    .or_db("open a transaction")?;
    Ok(())
}

pub(super) fn ended(tx: &Transaction<'_>, identity: &Identity, state: State, now_ms: i64) -> Result<()> {
    tx.prepare_cached("UPDATE transactional_id SET state = ?2, seen_ms = ?3 WHERE name = ?1")
        .and_then(|mut update| update.execute(params![identity.name, state.number(), now_ms]))
        .or_db("end a transaction")?;
    Ok(())
}

/// The producer whose transaction timed out is refused, and may go on with the next epoch.
pub(super) fn fence(tx: &Transaction<'_>, identity: &Identity) -> Result<()> {
    let next = identity.who.epoch.saturating_add(1);
    tx.execute(
        "UPDATE transactional_id SET epoch = ?2, former = ?3 WHERE name = ?1",
        params![identity.name, next, identity.who.epoch],
    )
    .or_db("fence a producer")?;
    Ok(())
}

const IS_DUE: &str = "state = 1 AND began_ms + timeout_ms < ?1";
const IS_FORGOTTEN: &str = "state <> 1 AND seen_ms < ?1 - ?2";

pub(super) fn any_due(reader: &Connection, now_ms: i64, retention_ms: i64) -> Result<bool> {
    let text = format!(
        "SELECT EXISTS (SELECT 1 FROM transactional_id WHERE {IS_DUE})
            OR EXISTS (SELECT 1 FROM transactional_id WHERE {IS_FORGOTTEN})"
    );
    reader
        .prepare_cached(&text)
        .and_then(|mut statement| statement.query_row([now_ms, retention_ms], |row| row.get(0)))
        .or_db("look for expired transactions")
}

pub(super) fn due(tx: &Transaction<'_>, now_ms: i64) -> Result<Vec<Identity>> {
    tx.prepare_cached(&format!("{COLUMNS} WHERE {IS_DUE} LIMIT 1000"))
        .and_then(|mut statement| statement.query_map([now_ms], row)?.collect())
        .or_db("read the expired transactions")
}

pub(super) fn forget(tx: &Transaction<'_>, now_ms: i64, retention_ms: i64) -> Result<()> {
    tx.execute(&format!("DELETE FROM transactional_id WHERE {IS_FORGOTTEN}"), [now_ms, retention_ms])
        .or_db("forget transactional ids")?;
    Ok(())
}

/// Room for one more name: who was silent longest goes, unless a transaction of it is open.
fn make_room(tx: &Transaction<'_>, max_ids: u32) -> Result<bool> {
    let count: u32 = tx
        .query_row("SELECT count(*) FROM transactional_id", [], |row| row.get(0))
        .or_db("count the transactional ids")?;
    if count < max_ids {
        return Ok(true);
    }
    let forgotten = tx
        .execute(
            "DELETE FROM transactional_id WHERE name IN
                (SELECT name FROM transactional_id WHERE state <> 1 ORDER BY seen_ms LIMIT ?)",
            [count - max_ids + 1],
        )
        .or_db("forget transactional ids")?;
    Ok(forgotten > 0)
}
