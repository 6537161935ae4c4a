//! The point in time that a snapshot is read at, taken over by each of its connections.

use super::Of;
use crate::config::source::SourceConfig;
use crate::model::position::Lsn;
use crate::model::progress::View;
use crate::source::postgres::connect::{Purpose, connect};
use crate::source::postgres::sql::literal;
use crate::source::postgres::wire::Wire;
use shared::error::Context;
use shared::{Error, Kind, Result};

/// What the server says of a snapshot just taken.
#[derive(Clone, Debug)]
pub struct Taken {
    pub view: View,
    /// Ours, which Debezium shows in each row; none on a standby.
    pub transaction_id: Option<u32>,
    /// Microseconds since 1970.
    pub time_us: i64,
}

/// Opens `count` connections that all see the same.
pub fn open(
    config: &SourceConfig,
    of: &Of,
    count: usize,
    lock_timeout_ms: u32,
) -> Result<(Vec<Wire>, Taken)> {
    let import = match of {
        Of::NewSlot { name, .. } => Some(name.clone()),
        Of::Now { .. } => None,
    };
    let mut first = begin(config, import.as_deref(), lock_timeout_ms)?;
    let taken = describe(&mut first)?;
    let mut wires = vec![first];
    if count > 1 {
        let name = match (import, wires.first_mut()) {
            (Some(name), _) => name,
            (None, Some(first)) => one(first, "SELECT pg_catalog.pg_export_snapshot()")?,
            (None, None) => return Err(Error::new(Kind::Bug, "the first connection vanished")),
        };
        for _ in 1..count {
            wires.push(begin(config, Some(&name), lock_timeout_ms)?);
        }
    }
    Ok((wires, taken))
}

fn begin(config: &SourceConfig, import: Option<&str>, lock_timeout_ms: u32) -> Result<Wire> {
    let mut wire = connect(config, Purpose::Sql)?;
    for (at, statement) in config.initial_statements.iter().enumerate() {
        wire.query(statement).doing(|| format!("run source.initial_statements[{at}]"))?;
    }
    let import =
        import.map(|name| format!("SET TRANSACTION SNAPSHOT {};", literal(name))).unwrap_or_default();
    wire.query(&format!(
        "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ; {import} SET LOCAL lock_timeout = {lock_timeout_ms}"
    ))
    .doing(|| "begin the snapshot")?;
    Ok(wire)
}

/// The first function takes the snapshot; the end of log is read after it.
fn describe(wire: &mut Wire) -> Result<Taken> {
    let facts = wire
        .query(
            "SELECT txid_current_snapshot()::text, pg_is_in_recovery(), \
             (extract(epoch FROM now()) * 1000000)::bigint",
        )
        .doing(|| "begin the snapshot")?;
    let [Some(seen), Some(recovery), Some(time)] = facts.first().map(Vec::as_slice).unwrap_or_default()
    else {
        return Err(Error::new(Kind::Data, "the server did not describe the snapshot"));
    };
    let (transaction_id, end) = if recovery == "t" {
        (None, one(wire, "SELECT pg_last_wal_replay_lsn()::text")?)
    } else {
        // Numbered transactions leave a trace in the log when they end: so the stream gets beyond
        // `end` even if nobody else writes. Debezium shows the number's lower half too.
        let number: u64 = one(wire, "SELECT txid_current()::text")?.parse().unwrap_or_default();
        let low = u32::try_from(number & u64::from(u32::MAX)).ok();
        (low, one(wire, "SELECT pg_current_wal_insert_lsn()::text")?)
    };
    let end: Lsn = end.parse().map_err(|_| Error::new(Kind::Data, "the end of log is no LSN"))?;
    let view = View { seen: seen.clone(), end };
    Ok(Taken { view, transaction_id, time_us: time.parse().unwrap_or_default() })
}

fn one(wire: &mut Wire, sql: &str) -> Result<String> {
    let rows = wire.query(sql).doing(|| "begin the snapshot")?;
    match rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten() {
        Some(text) => Ok(text),
        None => Err(Error::new(Kind::Data, "the server answered nothing").doing("begin the snapshot")),
    }
}
