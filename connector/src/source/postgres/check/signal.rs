//! The table of signals: it must be read from the stream, and the marks of chunks are written to it.

use crate::config::signal::{Channel, SignalConfig, Watermarking};
use crate::config::source::SourceConfig;
use crate::model::finding::Finding;
use crate::source::postgres::sql::{Sql, identifier};
use shared::Result;

const ABOUT: &str = "signal";

pub fn check(
    findings: &mut Vec<Finding>,
    sql: &mut Sql,
    config: &SourceConfig,
    signal: &SignalConfig,
) -> Result<()> {
    let Some(table) = &signal.table else {
        if signal.uses(Channel::Source) {
            findings.push(Finding::ok(
                ABOUT,
                "no table of signals is named (signal.table): none is read from one",
            ));
        }
        return Ok(());
    };
    let (schema, name) = table.split_once('.').unwrap_or(("public", table));
    let quoted = format!("{}.{}", identifier(schema), identifier(name));
    let rows = sql.query(
        "SELECT has_table_privilege(c.oid, 'INSERT'), has_table_privilege(c.oid, 'DELETE'), \
         (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute a \
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname::text = $1 AND c.relname::text = $2",
        &[&schema, &name],
    )?;
    let Some(row) = rows.first() else {
        findings.push(Finding::error(
            ABOUT,
            format!("the table of signals {table} does not exist"),
            format!("CREATE TABLE {quoted} (id varchar(42) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048))"),
        ));
        return Ok(());
    };
    let columns: Vec<String> = row.get(2);
    if columns.len() != 3 {
        findings.push(Finding::warn(
            ABOUT,
            format!("the table of signals {table} has {} columns, not id, type and data", columns.len()),
            "the first three are taken; make it with these three as Debezium wants it",
        ));
    }
    let lacking: Vec<&str> = wanted(signal)
        .into_iter()
        .filter(|privilege| !row.get::<_, bool>(usize::from(*privilege == "DELETE")))
        .collect();
    findings.push(if lacking.is_empty() {
        Finding::ok(ABOUT, format!("signals are read from {table}"))
    } else {
        let lacking = lacking.join(", ");
        Finding::error(
            ABOUT,
            format!("role {} may not {lacking} in {table}, which an incremental snapshot does", config.user),
            format!(
                "GRANT {lacking} ON {quoted} TO {}; or set signal.read_only = true",
                identifier(&config.user)
            ),
        )
    });
    Ok(())
}

/// What is done to the table.
pub fn wanted(signal: &SignalConfig) -> Vec<&'static str> {
    match (signal.read_only, signal.watermarking) {
        (true, _) => Vec::new(),
        (false, Watermarking::InsertInsert) => vec!["INSERT"],
        (false, Watermarking::InsertDelete) => vec!["INSERT", "DELETE"],
    }
}
