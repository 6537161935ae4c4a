//! The captured tables: may they be read, and what does the server log of their old rows?

use super::names;
use crate::config::source::SourceConfig;
use crate::model::finding::Finding;
use crate::model::table::TableId;
use crate::source::postgres::sql::{Sql, identifier};
use shared::Result;

/// Findings of the same kind that are told one by one.
const TOLD: usize = 20;

pub fn check(
    findings: &mut Vec<Finding>,
    sql: &mut Sql,
    config: &SourceConfig,
    tables: &[TableId],
) -> Result<()> {
    findings.push(if tables.is_empty() {
        Finding::warn(
            "tables",
            "no table is captured",
            "correct source.tables and source.exclude_tables: regular expressions on schema.table",
        )
    } else {
        Finding::ok("tables", format!("{} tables are captured", tables.len()))
    });
    tell(findings, unreadable(sql, config, tables)?);
    identities(findings, sql, tables)
}

/// The first ones, and how many more there are.
fn tell(findings: &mut Vec<Finding>, found: Vec<Finding>) {
    let more = found.len().saturating_sub(TOLD);
    let last = found.last().filter(|_| more > 0).cloned();
    findings.extend(found.into_iter().take(TOLD));
    findings.extend(last.map(|last| Finding { what: format!("and {more} more like these"), ..last }));
}

fn unreadable(sql: &mut Sql, config: &SourceConfig, tables: &[TableId]) -> Result<Vec<Finding>> {
    let (schemas, tables) = names(tables);
    let rows = sql.query(
        "SELECT n.nspname::text, c.relname::text, has_schema_privilege(n.oid, 'USAGE') \
         FROM unnest($1::text[], $2::text[]) AS t(s, r) \
         JOIN pg_catalog.pg_namespace n ON n.nspname = t.s \
         JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.r \
         WHERE NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')) ORDER BY 1, 2",
        &[&schemas, &tables],
    )?;
    let finding = |row: &tokio_postgres::Row| {
        let (schema, table): (String, String) = (row.get(0), row.get(1));
        let role = identifier(&config.user);
        let usage = match row.get(2) {
            true => String::new(),
            false => format!("GRANT USAGE ON SCHEMA {} TO {role}; ", identifier(&schema)),
        };
        Finding::error(
            "tables",
            format!("role {} may not read {schema}.{table}", config.user),
            format!("{usage}GRANT SELECT ON {}.{} TO {role}", identifier(&schema), identifier(&table)),
        )
    };
    Ok(rows.iter().map(finding).collect())
}

/// Tables whose updates and deletes the server refuses once they are published, and what the others log.
fn identities(findings: &mut Vec<Finding>, sql: &mut Sql, tables: &[TableId]) -> Result<()> {
    let (schemas, tables) = names(tables);
    let rows = sql.query(
        "SELECT n.nspname::text, c.relname::text, \
         CASE WHEN c.relreplident = 'd' AND NOT EXISTS \
         (SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) \
         THEN 'n' ELSE c.relreplident::text END \
         FROM unnest($1::text[], $2::text[]) AS t(s, r) \
         JOIN pg_catalog.pg_namespace n ON n.nspname = t.s \
         JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.r ORDER BY 1, 2",
        &[&schemas, &tables],
    )?;
    let with = |letter: &str| rows.iter().filter(|row| row.get::<_, &str>(2) == letter).count();
    let (key, full, index) = (with("d"), with("f"), with("i"));
    if key + full + index > 0 {
        findings.push(Finding::ok(
            "tables",
            format!("replica identity: {key} by primary key, {full} full, {index} by index; `before` holds no more"),
        ));
    }
    let without = rows.iter().filter(|row| row.get::<_, &str>(2) == "n");
    tell(findings, without.map(|row| without_identity(row.get(0), row.get(1))).collect());
    Ok(())
}

fn without_identity(schema: &str, table: &str) -> Finding {
    let name = format!("{}.{}", identifier(schema), identifier(table));
    Finding::warn(
        "tables",
        format!(
            "{schema}.{table} has no replica identity: once published, the server refuses its updates and deletes"
        ),
        format!(
            "add a primary key, or ALTER TABLE {name} REPLICA IDENTITY FULL, or source.replica_identities = [\"{schema}\\\\.{table}:FULL\"]"
        ),
    )
}
