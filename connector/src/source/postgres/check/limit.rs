//! The server's limits: room for one more reader, how long a silent one is kept, how much log.

use crate::config::source::SourceConfig;
use crate::model::finding::Finding;
use crate::source::postgres::sql::Sql;
use shared::Result;
use shared::error::Context;

/// Settings in the units of `pg_settings`: milliseconds, megabytes, minutes or seconds.
struct Limits {
    senders: i64,
    senders_used: i64,
    sender_timeout_ms: i64,
    /// Megabytes; -1 without a bound, none before PostgreSQL 13.
    slot_keeps_mb: Option<i64>,
    /// With its unit; none before PostgreSQL 18.
    idle_timeout: Option<String>,
}

pub fn check(findings: &mut Vec<Finding>, sql: &mut Sql, config: &SourceConfig) -> Result<()> {
    let limits = read(sql).doing(|| "read the server's limits")?;
    let free = limits.senders - limits.senders_used;
    findings.push(if free > 0 {
        Finding::ok("server", format!("{free} of {} WAL senders are free", limits.senders))
    } else {
        Finding::error(
            "server",
            format!("all {} WAL senders are in use", limits.senders),
            "raise max_wal_senders and restart the server, or end readers that are no longer used (pg_stat_replication)",
        )
    });
    findings.push(sender_timeout(limits.sender_timeout_ms, config.status_interval_ms));
    findings.extend(limits.slot_keeps_mb.map(slot_keeps));
    let idle = limits
        .idle_timeout
        .filter(|setting| setting.trim_start_matches('0').starts_with(|c: char| c.is_ascii_digit()));
    findings.extend(idle.map(|setting| {
        Finding::warn(
            "server",
            format!("idle_replication_slot_timeout is {setting}: the slot is given up if the connector is away for longer"),
            "set it to 0, or to longer than any stop of the connector",
        )
    }));
    Ok(())
}

fn read(sql: &mut Sql) -> Result<Limits> {
    let rows = sql.query(
        "SELECT current_setting('max_wal_senders')::int8, \
         (SELECT count(*) FROM pg_catalog.pg_stat_replication), \
         (SELECT setting::int8 FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'), \
         (SELECT setting::int8 FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size'), \
         current_setting('idle_replication_slot_timeout', true)",
        &[],
    )?;
    let Some(row) = rows.first() else {
        return Err(shared::Error::new(shared::Kind::Bug, "the server did not answer"));
    };
    Ok(Limits {
        senders: row.get(0),
        senders_used: row.get(1),
        sender_timeout_ms: row.get::<_, Option<i64>>(2).unwrap_or_default(),
        slot_keeps_mb: row.get(3),
        idle_timeout: row.get(4),
    })
}

fn sender_timeout(timeout_ms: i64, status_interval_ms: u64) -> Finding {
    let interval = i64::try_from(status_interval_ms).unwrap_or(i64::MAX);
    match timeout_ms {
        0 => Finding::warn(
            "server",
            "wal_sender_timeout is 0: the server never notices a reader that vanished, and its slot stays in use",
            "ALTER SYSTEM SET wal_sender_timeout = '60s'; SELECT pg_reload_conf()",
        ),
        timeout if interval >= timeout => Finding::error(
            "server",
            format!(
                "source.status_interval_ms is {interval}, and wal_sender_timeout {timeout} ms: the stream will be cut"
            ),
            "set source.status_interval_ms to at most half of wal_sender_timeout",
        ),
        timeout => Finding::ok("server", format!("wal_sender_timeout is {timeout} ms")),
    }
}

fn slot_keeps(megabytes: i64) -> Finding {
    match megabytes {
        -1 => Finding::warn(
            "server",
            "max_slot_wal_keep_size is -1: while the connector is away the server keeps log until its disk is full",
            "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf(); beyond that the slot is \
             given up, and a new snapshot is needed",
        ),
        megabytes => {
            Finding::ok("server", format!("the server keeps {megabytes} MB of log for a slot at most"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::Severity;

    #[test]
    fn timeouts() {
        for (timeout, interval, severity) in
            [(60_000, 10_000, Severity::Ok), (0, 10_000, Severity::Warn), (10_000, 10_000, Severity::Error)]
        {
            assert_eq!(sender_timeout(timeout, interval).severity, severity, "{timeout} {interval}");
        }
    }
}
