//! How far back the log must reach for a view that is built from it.
//!
//! The log is trimmed, so a view that is new or changed may lack rows. Such a view is *short*: it
//! takes rows as they come, but its values are not given out before the rows that it may lack have
//! left its windows. (A row's time is taken to be no later than its arrival.) A view with a feature
//! over all rows stays short for ever. This room's table: `pipeline_short_view`.

use crate::db::OrDb;
use crate::model::feature::ViewId;
use rusqlite::{Connection, Transaction, params};
use shared::error::Result;
use std::collections::HashMap;

const DOING: &str = "note which views lack rows";

/// Waiting does not help.
pub const NEVER: i64 = i64::MAX;

/// From when on (µs since 1970) a view has all the rows that it needs, if the youngest batch that
/// its topic's log lacks arrived at `trimmed_ms` (0: it lacks none).
pub fn whole_at_us(trimmed_ms: i64, window_us: Option<i64>) -> i64 {
    match window_us {
        _ if trimmed_ms == 0 => 0,
        Some(window_us) => trimmed_ms.saturating_add(1).saturating_mul(1_000).saturating_add(window_us),
        None => NEVER,
    }
}

/// What the operator can do.
pub fn remedy(until_us: i64) -> &'static str {
    match until_us {
        NEVER => "begin with a new file (db.path) and a new snapshot of the source, then raise buffer.keep",
        _ => "wait; or raise buffer.keep above the longest window before the next change of a view",
    }
}

pub fn load(connection: &Connection) -> Result<HashMap<ViewId, i64>> {
    let mut statement =
        connection.prepare_cached("SELECT view, until_us FROM pipeline_short_view").or_db(DOING)?;
    let rows = statement.query_map([], |row| Ok((ViewId(row.get(0)?), row.get(1)?))).or_db(DOING)?;
    rows.collect::<rusqlite::Result<_>>().or_db(DOING)
}

pub fn set(tx: &Transaction<'_>, view: ViewId, until_us: i64) -> Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO pipeline_short_view (view, until_us) VALUES (?1, ?2)")
        .and_then(|mut statement| statement.execute(params![view.0, until_us]))
        .or_db(DOING)
        .map(drop)
}

pub fn forget(tx: &Transaction<'_>, view: ViewId) -> Result<()> {
    tx.prepare_cached("DELETE FROM pipeline_short_view WHERE view = ?1")
        .and_then(|mut statement| statement.execute([view.0]))
        .or_db(DOING)
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_whole_when_what_it_lacks_left_its_windows() {
        for (trimmed_ms, window_us, want) in [
            (0, Some(600), 0),
            (0, None, 0),
            (1_000, Some(600_000_000), 1_001_000 + 600_000_000),
            (1_000, None, NEVER),
            (i64::MAX, Some(1), NEVER),
        ] {
            assert_eq!(whole_at_us(trimmed_ms, window_us), want, "{trimmed_ms} {window_us:?}");
        }
    }
}
