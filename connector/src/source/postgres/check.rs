//! Everything that starting would trip over, found without changing anything.

use super::catalog::Catalog;
use super::connect::{Purpose, address, connect};
use super::filter::TableFilter;
use super::sql::{Sql, identifier};
use super::{publication, server, slot};
use crate::config::source::{PublicationAutocreate, SourceConfig};
use crate::model::finding::Finding;
use crate::model::table::TableId;
use shared::Result;
use tokio::runtime::Handle;

/// Looks at the server and the role as `open` and `start` would.
pub fn check(config: &SourceConfig, runtime: &Handle) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(error) = gather(config, runtime, &mut findings) {
        findings.push(Finding::from_error(&error));
    }
    findings
}

fn gather(config: &SourceConfig, runtime: &Handle, findings: &mut Vec<Finding>) -> Result<()> {
    config.check()?;
    let mut catalog = Catalog::new(Sql::new(config, runtime.clone())?);
    let filter = TableFilter::new(config)?;
    let server = server::inspect(&mut catalog.sql)?;
    findings.push(Finding::ok(format!(
        "PostgreSQL {} at {} answers",
        server.version / 10_000,
        address(config)
    )));
    record(findings, server.check_version(), || format!("version {} will do", server.version));
    record(findings, server.check_wal_level(), || "wal_level is logical".to_owned());
    let replication = server.check_replication(config);
    let may_replicate = replication.is_ok();
    record(findings, replication, || format!("role {} may replicate", config.user));
    if may_replicate {
        let login = connect(config, Purpose::Replication).map(|mut wire| wire.close());
        record(findings, login, || "a replication connection is let in".to_owned());
    }
    let all = catalog.tables()?;
    record(findings, filter.check_literals(&all), || "source.tables names tables that exist".to_owned());
    let tables = filter.select(all);
    captured(findings, &tables);
    unreadable(findings, &mut catalog.sql, config, &tables)?;
    without_identity(findings, &mut catalog.sql, &tables)?;
    published(findings, &mut catalog.sql, config, &server, &tables)?;
    slots(findings, &mut catalog.sql, config)
}

fn record(findings: &mut Vec<Finding>, result: Result<()>, fine: impl FnOnce() -> String) {
    findings.push(match result {
        Ok(()) => Finding::ok(fine()),
        Err(error) => Finding::from_error(&error),
    });
}

fn captured(findings: &mut Vec<Finding>, tables: &[TableId]) {
    findings.push(if tables.is_empty() {
        Finding::warn(
            "no table is captured",
            "correct source.tables and source.exclude_tables: regular expressions on schema.table",
        )
    } else {
        Finding::ok(format!("{} tables are captured", tables.len()))
    });
}

/// The names of `tables` as two arrays, for a query to join with.
fn names(tables: &[TableId]) -> (Vec<&str>, Vec<&str>) {
    tables.iter().map(|table| (table.schema.as_str(), table.name.as_str())).unzip()
}

fn unreadable(
    findings: &mut Vec<Finding>,
    sql: &mut Sql,
    config: &SourceConfig,
    tables: &[TableId],
) -> Result<()> {
    let (schemas, tables) = names(tables);
    let rows = sql.query(
        "SELECT n.nspname::text, c.relname::text, has_schema_privilege(n.oid, 'USAGE') \
         FROM unnest($1::text[], $2::text[]) AS t(s, r) \
         JOIN pg_catalog.pg_namespace n ON n.nspname = t.s \
         JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.r \
         WHERE NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))",
        &[&schemas, &tables],
    )?;
    for row in rows {
        let (schema, table): (String, String) = (row.get(0), row.get(1));
        let role = identifier(&config.user);
        let usage = match row.get(2) {
            true => String::new(),
            false => format!("GRANT USAGE ON SCHEMA {} TO {role}; ", identifier(&schema)),
        };
        findings.push(Finding::error(
            format!("role {} may not read {schema}.{table}", config.user),
            format!("{usage}GRANT SELECT ON {}.{} TO {role}", identifier(&schema), identifier(&table)),
        ));
    }
    Ok(())
}

/// Tables whose updates and deletes the server refuses once they are published.
fn without_identity(findings: &mut Vec<Finding>, sql: &mut Sql, tables: &[TableId]) -> Result<()> {
    let (schemas, tables) = names(tables);
    let rows = sql.query(
        "SELECT n.nspname::text, c.relname::text FROM unnest($1::text[], $2::text[]) AS t(s, r) \
         JOIN pg_catalog.pg_namespace n ON n.nspname = t.s \
         JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.r \
         WHERE c.relreplident = 'n' OR (c.relreplident = 'd' AND NOT EXISTS \
         (SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary))",
        &[&schemas, &tables],
    )?;
    for row in rows {
        let (schema, table): (String, String) = (row.get(0), row.get(1));
        findings.push(Finding::warn(
            format!("{schema}.{table} has no replica identity: once published, updates and deletes fail"),
            format!(
                "add a primary key, or ALTER TABLE {}.{} REPLICA IDENTITY FULL",
                identifier(&schema),
                identifier(&table)
            ),
        ));
    }
    Ok(())
}

fn published(
    findings: &mut Vec<Finding>,
    sql: &mut Sql,
    config: &SourceConfig,
    server: &server::Server,
    tables: &[TableId],
) -> Result<()> {
    let name = &config.publication;
    let present = publication::inspect(sql, name)?;
    match publication::statement(config, present.as_ref(), tables) {
        Err(error) => findings.push(Finding::from_error(&error)),
        Ok(Some(statement))
            if config.publication_autocreate == PublicationAutocreate::AllTables && !server.superuser =>
        {
            findings.push(Finding::error(
                format!("publication {name} is missing, and only a superuser may make one for all tables"),
                format!("as a superuser: {statement}; or set source.publication_autocreate = \"filtered\""),
            ));
        }
        Ok(Some(statement)) => findings.push(Finding::ok(format!("starting will run: {statement}"))),
        Ok(None) => findings.push(Finding::ok(format!("publication {name} exists"))),
    }
    for table in present.iter().flat_map(|publication| publication::missing(publication, tables)) {
        if config.publication_autocreate != PublicationAutocreate::Filtered {
            findings.push(Finding::warn(
                format!("{table} is captured but not in publication {name}"),
                format!(
                    "ALTER PUBLICATION {} ADD TABLE {}.{}",
                    identifier(name),
                    identifier(&table.schema),
                    identifier(&table.name)
                ),
            ));
        }
    }
    Ok(())
}

fn slots(findings: &mut Vec<Finding>, sql: &mut Sql, config: &SourceConfig) -> Result<()> {
    let name = &config.slot;
    if let Some(slot) = slot::inspect(sql, name)? {
        record(findings, slot.check(config), || {
            format!("slot {name} exists, confirmed to {}", slot.confirmed)
        });
        if let Some(pid) = slot.active_pid {
            findings.push(Finding::warn(
                format!("slot {name} is being read by process {pid}"),
                "stop that reader before starting; this is fine if it is this connector",
            ));
        }
        return Ok(());
    }
    let rows = sql.query(
        "SELECT current_setting('max_replication_slots')::int8 - count(*) FROM pg_catalog.pg_replication_slots",
        &[],
    )?;
    let free: i64 = rows.first().map(|row| row.get(0)).unwrap_or_default();
    findings.push(if free > 0 {
        Finding::ok(format!("slot {name} will be made; {free} more fit"))
    } else {
        Finding::error(
            format!("slot {name} does not exist, and no more slots fit"),
            "raise max_replication_slots and restart the server, or drop slots that are no longer used",
        )
    });
    Ok(())
}
