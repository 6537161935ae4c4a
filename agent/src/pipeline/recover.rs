//! Brings what is sound in a damaged file into a new one: the tables of each room, then the batches.
//!
//! What is computed from the log (views, their values, what waits to be sent) is only taken if it can be
//! read whole; else it is built anew. What the damaged file had and the new one lacks is counted.

use crate::buffer::salvage::{self, Salvaged};
use crate::config::Config;
use crate::config::db::DbConfig;
use crate::db::{self, Db, OrDb};
use rusqlite::Connection;
use shared::error::{Context, Error, Kind, Result};
use std::path::{Path, PathBuf};

/// What stands beside the log and is not computed from it, in the order in which it refers to itself.
const KEPT: [&str; 15] = [
    "schema_text",
    "schema_reference",
    "subject_version",
    "registry_level",
    "registry_mode",
    "consume_position",
    "consume_schema",
    "file_position",
    "push_request",
    "group_offset",
    "forward_target",
    "forward_cursor",
    "forward_schema",
    "pipeline_cursor",
    "quarantine",
];
/// What is computed from the log: all of it or nothing.
const COMPUTED: [&str; 15] = [
    "feature_view",
    "feature_chunk",
    "feature_key",
    "feature_place",
    "feature_placed",
    "feature_lookup",
    "feature_joined",
    "feature_reference",
    "store_value",
    "store_block",
    "store_view",
    "sync_outbox",
    "sync_target",
    "sync_refused",
    "pipeline_short_view",
];
/// Of producers and their open transactions, who may have gone on: they begin anew.
#[cfg(test)]
const LEFT: [&str; 4] = ["producer", "transactional_id", "staged_batch", "group_offset_staged"];

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Where the damaged file lies now.
    pub from: PathBuf,
    pub log: Salvaged,
    /// Tables that could not be read to their end.
    pub cut: Vec<&'static str>,
}

/// What the operator asks for while no agent runs: the file at `from` may be the agent's own.
///
/// # Errors
/// `Config` if the agent's file has topics of its own or is in use, `Lost` if nothing can be read.
pub fn recover(config: &Config, from: &Path) -> Result<Recovered> {
    let own = same(from, &config.db.path);
    let from = match own {
        true => db::set_aside(&config.db)?,
        false => from.to_owned(),
    };
    let db = Db::open(&DbConfig { on_damage: crate::config::db::OnDamage::Stop, ..config.db.clone() })?;
    if !salvage::is_empty(&db.reader()?)? {
        let what = format!("{} has topics of its own", config.db.path.display());
        return Err(Error::new(Kind::Config, what)
            .remedy("recover into a new file: name it with --set db.path=…, or move the present one away"));
    }
    bring_over(&from, &db)
}

fn same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().ok();
    whole(one).is_some_and(|one| Some(one) == whole(other))
}

/// Copies what is sound from the file at `from` into the new, empty `db`.
pub fn bring_over(from: &Path, db: &Db) -> Result<Recovered> {
    let damaged = db::open_damaged(from)?;
    let mut cut = salvage::tables(&damaged, db)?;
    cut.append(&mut copy(&damaged, db, &KEPT)?);
    let mut lost = copy(&damaged, db, &COMPUTED)?;
    if !lost.is_empty() {
        db.write(|tx| {
            COMPUTED.iter().try_for_each(|table| {
                tx.execute(&format!("DELETE FROM {table}"), []).map(drop).or_db("begin views anew")
            })
        })?;
        cut.append(&mut lost);
    }
    let log = salvage::batches(&damaged, db).doing(|| format!("recover from {}", from.display()))?;
    tracing::warn!(
        event = "db_recovered", from = %from.display(), batches = log.batches, records = log.records,
        damaged_batches = log.damaged, unreadable_places = log.gaps, missing_records = log.missing_records,
        tables_cut = cut.join(","), "brought over what is sound"
    );
    db.recovered()?;
    Ok(Recovered { from: from.to_owned(), log, cut })
}

fn copy(from: &Connection, db: &Db, tables: &[&'static str]) -> Result<Vec<&'static str>> {
    let mut cut = Vec::new();
    for table in tables {
        if db::copy_table(from, db, table)?.cut {
            cut.push(*table);
        }
    }
    Ok(cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A new table is not forgotten here.
    #[test]
    fn every_table_is_brought_over_or_left_with_a_reason() {
        let mut connection = Connection::open_in_memory().expect("opens");
        db::migrate(&mut connection).expect("migrates");
        let text = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'";
        let mut statement = connection.prepare(text).expect("valid");
        let tables = statement.query_map([], |row| row.get::<_, String>(0)).expect("reads");
        let tables: BTreeSet<String> = tables.collect::<rusqlite::Result<_>>().expect("reads");
        let known = [&KEPT[..], &COMPUTED, &LEFT, &salvage::TABLES, &["log_batch"]].concat();
        assert_eq!(tables, known.into_iter().map(str::to_owned).collect());
    }
}
