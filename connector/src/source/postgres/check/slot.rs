//! The slot: is it there or does it fit, is it healthy, free, and does the stored position go with it?

use super::record;
use crate::config::source::SourceConfig;
use crate::model::finding::Finding;
use crate::model::position::Position;
use crate::source::postgres::server::Server;
use crate::source::postgres::slot;
use crate::source::postgres::sql::Sql;
use shared::Result;

const ABOUT: &str = "slot";

pub fn check(
    findings: &mut Vec<Finding>,
    sql: &mut Sql,
    config: &SourceConfig,
    server: &Server,
    stored: Option<&Position>,
) -> Result<()> {
    let name = &config.slot;
    let slot = slot::inspect(sql, name)?;
    if let Some(position) = stored {
        let resumable = slot::resumable(config, server, position.lsn(), slot.as_ref());
        record(findings, ABOUT, resumable.map(drop), || {
            format!("the stored position {} can be resumed", position.lsn())
        });
    }
    let Some(slot) = slot else { return room(findings, sql, name) };
    if stored.is_none() {
        record(findings, ABOUT, slot.check(config), || {
            format!("slot {name} exists, confirmed to {}", slot.confirmed)
        });
    }
    if let Some(pid) = slot.active_pid {
        findings.push(Finding::warn(
            ABOUT,
            format!("slot {name} is being read by process {pid}: two readers of one slot lose changes to each other"),
            "stop that reader before starting; this is fine if it is this connector",
        ));
    }
    health(findings, sql, config)
}

fn health(findings: &mut Vec<Finding>, sql: &mut Sql, config: &SourceConfig) -> Result<()> {
    let name = &config.slot;
    let rows = sql.query(
        "SELECT to_jsonb(s) ->> 'wal_status', (to_jsonb(s) ->> 'failover')::bool, \
         (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END \
         - s.restart_lsn)::int8 FROM pg_catalog.pg_replication_slots s WHERE s.slot_name::text = $1",
        &[&name],
    )?;
    let Some(row) = rows.first() else { return Ok(()) };
    let kept = row.get::<_, Option<i64>>(2).map_or(0, |bytes| bytes / (1024 * 1024));
    match row.get::<_, Option<&str>>(0) {
        Some("unreserved") => findings.push(Finding::warn(
            ABOUT,
            format!("slot {name} holds {kept} MB of log, more than max_slot_wal_keep_size: it may be lost any moment"),
            "start the connector now, or raise max_slot_wal_keep_size",
        )),
        Some("lost") => {}
        _ => findings.push(Finding::ok(ABOUT, format!("slot {name} holds {kept} MB of log"))),
    }
    if config.slot_failover && row.get::<_, Option<bool>>(1) == Some(false) {
        findings.push(Finding::warn(
            ABOUT,
            format!("slot {name} was made without failover, and source.slot_failover asks for it"),
            format!("on a replication connection: ALTER_REPLICATION_SLOT {name} (FAILOVER true)"),
        ));
    }
    Ok(())
}

/// One more slot must fit.
fn room(findings: &mut Vec<Finding>, sql: &mut Sql, name: &str) -> Result<()> {
    let rows = sql.query(
        "SELECT current_setting('max_replication_slots')::int8 - count(*) FROM pg_catalog.pg_replication_slots",
        &[],
    )?;
    let free: i64 = rows.first().map(|row| row.get(0)).unwrap_or_default();
    findings.push(if free > 0 {
        Finding::ok(ABOUT, format!("slot {name} will be made; {free} more fit"))
    } else {
        Finding::error(
            ABOUT,
            format!("slot {name} does not exist, and no more slots fit"),
            "raise max_replication_slots and restart the server, or drop slots that are no longer used",
        )
    });
    Ok(())
}
