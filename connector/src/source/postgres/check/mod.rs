//! Everything that starting would trip over, and what would fail later, found without changing anything.

mod limit;
mod privilege;
mod published;
mod signal;
mod slot;
mod table;

pub use privilege::privileges;

use super::catalog::{Catalog, Describes};
use super::connect::{Purpose, address, connect};
use super::filter::TableFilter;
use super::server;
use super::sql::Sql;
use crate::config::signal::SignalConfig;
use crate::config::source::SourceConfig;
use crate::model::finding::Finding;
use crate::model::position::Position;
use crate::model::table::TableId;
use shared::Result;
use tokio::runtime::Handle;

/// Looks at the server and the role as `open` and `start` would, with this stored position.
pub fn check(
    config: &SourceConfig,
    signal: &SignalConfig,
    stored: Option<&Position>,
    runtime: &Handle,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(error) = gather(config, signal, stored, runtime, &mut findings) {
        findings.push(Finding::from_error("server", &error));
    }
    findings
}

fn gather(
    config: &SourceConfig,
    signal: &SignalConfig,
    stored: Option<&Position>,
    runtime: &Handle,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    config.check()?;
    let mut catalog = Catalog::new(Sql::new(config, runtime.clone())?);
    let filter = TableFilter::new(config)?.with_signals(signal.table.as_deref());
    let server = server::inspect(&mut catalog.sql)?;
    let role = if server.in_recovery { "standby" } else { "primary" };
    let version = server.version / 10_000;
    findings.push(Finding::ok(
        "server",
        format!("PostgreSQL {version} at {} answers, a {role}", address(config)),
    ));
    record(findings, "server", server.check_version(), || format!("version {} will do", server.version));
    record(findings, "server", server.check_wal_level(), || "wal_level is logical".to_owned());
    limit::check(findings, &mut catalog.sql, config)?;
    let replication = server.check_replication(config);
    let may_replicate = replication.is_ok();
    record(findings, "role", replication, || format!("role {} may replicate", config.user));
    if may_replicate {
        let login = connect(config, Purpose::Replication).map(|mut wire| wire.close());
        record(findings, "role", login, || "a replication connection is let in".to_owned());
    }
    let all = catalog.tables()?;
    let literals = filter.check_literals(&all);
    record(findings, "tables", literals, || "source.tables names tables that exist".to_owned());
    let tables = filter.select(all);
    table::check(findings, &mut catalog.sql, config, &tables)?;
    published::check(findings, &mut catalog.sql, config, &server, &tables)?;
    signal::check(findings, &mut catalog.sql, config, signal)?;
    slot::check(findings, &mut catalog.sql, config, &server, stored)
}

fn record(
    findings: &mut Vec<Finding>,
    about: &'static str,
    result: Result<()>,
    fine: impl FnOnce() -> String,
) {
    findings.push(match result {
        Ok(()) => Finding::ok(about, fine()),
        Err(error) => Finding::from_error(about, &error),
    });
}

/// The names of `tables` as two arrays, for a query to join with.
fn names(tables: &[TableId]) -> (Vec<&str>, Vec<&str>) {
    tables.iter().map(|table| (table.schema.as_str(), table.name.as_str())).unzip()
}
