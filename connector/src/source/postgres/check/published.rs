//! The publication: is it there or may it be made, and does it carry what is captured?

use super::names;
use crate::config::source::{PublicationAutocreate, Publish, SourceConfig};
use crate::model::finding::Finding;
use crate::model::table::TableId;
use crate::source::postgres::publication::{self, Publication};
use crate::source::postgres::server::Server;
use crate::source::postgres::sql::{Sql, identifier};
use shared::Result;

const ABOUT: &str = "publication";

pub fn check(
    findings: &mut Vec<Finding>,
    sql: &mut Sql,
    config: &SourceConfig,
    server: &Server,
    tables: &[TableId],
) -> Result<()> {
    let name = &config.publication;
    let present = publication::inspect(sql, name)?;
    match publication::statement(config, present.as_ref(), tables) {
        Err(error) => findings.push(Finding::from_error(ABOUT, &error)),
        Ok(None) => findings.push(Finding::ok(ABOUT, format!("publication {name} exists"))),
        Ok(Some(statement)) => {
            findings.push(may_run(sql, config, server, present.is_some(), &statement, tables)?);
        }
    }
    if let Some(publication) = &present {
        missing_tables(findings, config, publication, tables);
        options(findings, sql, config)?;
        partial_tables(findings, sql, config, tables)?;
    }
    Ok(())
}

/// Whether the role may make or change the publication by this statement.
fn may_run(
    sql: &mut Sql,
    config: &SourceConfig,
    server: &Server,
    present: bool,
    statement: &str,
    tables: &[TableId],
) -> Result<Finding> {
    let (name, role) = (&config.publication, &config.user);
    if server.in_recovery {
        return Ok(Finding::from_error(ABOUT, &publication::on_standby(name, statement)));
    }
    if config.publication_autocreate == PublicationAutocreate::AllTables && !server.superuser {
        return Ok(Finding::error(
            ABOUT,
            format!("publication {name} is missing, and only a superuser may make one for all tables"),
            format!("as a superuser: {statement}; or set source.publication_autocreate = \"filtered\""),
        ));
    }
    let (may, lacks) = if present { owns(sql, name)? } else { may_create(sql, tables)? };
    if may || server.superuser {
        return Ok(Finding::ok(ABOUT, format!("starting will run: {statement}")));
    }
    let verb = if present { "change" } else { "create" };
    Ok(Finding::error(
        ABOUT,
        format!("role {role} may not {verb} publication {name}: {lacks}"),
        format!("as the owner: {statement}; then set source.publication_autocreate = \"disabled\""),
    ))
}

fn owns(sql: &mut Sql, name: &str) -> Result<(bool, String)> {
    let rows = sql.query(
        "SELECT pg_has_role(current_user, pubowner, 'USAGE'), pg_get_userbyid(pubowner)::text \
         FROM pg_catalog.pg_publication WHERE pubname::text = $1",
        &[&name],
    )?;
    Ok(rows.first().map_or((true, String::new()), |row| {
        (row.get(0), format!("it belongs to {}", row.get::<_, String>(1)))
    }))
}

/// A publication for tables can be made by their owner, who may create in the database.
fn may_create(sql: &mut Sql, tables: &[TableId]) -> Result<(bool, String)> {
    let (schemas, tables) = names(tables);
    let rows = sql.query(
        "SELECT has_database_privilege(current_database(), 'CREATE'), \
         (SELECT min(n.nspname::text || '.' || c.relname::text) FROM unnest($1::text[], $2::text[]) AS t(s, r) \
         JOIN pg_catalog.pg_namespace n ON n.nspname = t.s \
         JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.r \
         WHERE NOT pg_has_role(current_user, c.relowner, 'USAGE'))",
        &[&schemas, &tables],
    )?;
    let Some(row) = rows.first() else { return Ok((true, String::new())) };
    Ok(match (row.get(0), row.get::<_, Option<String>>(1)) {
        (_, Some(table)) => (false, format!("{table} belongs to another role")),
        (false, None) => (false, "it may not CREATE in the database".to_owned()),
        (true, None) => (true, String::new()),
    })
}

fn missing_tables(
    findings: &mut Vec<Finding>,
    config: &SourceConfig,
    publication: &Publication,
    tables: &[TableId],
) {
    if config.publication_autocreate == PublicationAutocreate::Filtered {
        return;
    }
    let name = &config.publication;
    findings.extend(publication::missing(publication, tables).into_iter().map(|table| {
        Finding::warn(
            ABOUT,
            format!("{table} is captured but not in publication {name}"),
            format!(
                "ALTER PUBLICATION {} ADD TABLE {}.{}",
                identifier(name),
                identifier(&table.schema),
                identifier(&table.name)
            ),
        )
    }));
}

/// What the publication publishes, against what is wanted of it.
fn options(findings: &mut Vec<Finding>, sql: &mut Sql, config: &SourceConfig) -> Result<()> {
    let rows = sql.query(
        "SELECT pubinsert, pubupdate, pubdelete, (to_jsonb(p) ->> 'pubviaroot')::bool \
         FROM pg_catalog.pg_publication p WHERE pubname::text = $1",
        &[&config.publication],
    )?;
    let Some(row) = rows.first() else { return Ok(()) };
    let name = identifier(&config.publication);
    let wanted = |operation| config.publish.is_empty() || config.publish.contains(&operation);
    let operations = [Publish::Insert, Publish::Update, Publish::Delete];
    let lacking: Vec<&str> = (0..)
        .zip(operations)
        .filter(|(at, operation)| wanted(*operation) && !row.get::<_, bool>(*at))
        .map(|(_, operation)| operation.word())
        .collect();
    if !lacking.is_empty() {
        findings.push(Finding::warn(
            ABOUT,
            format!("publication {} leaves out: {}", config.publication, lacking.join(", ")),
            format!("ALTER PUBLICATION {name} SET (publish = 'insert, update, delete, truncate')"),
        ));
    }
    let via_root = row.get::<_, Option<bool>>(3).unwrap_or_default();
    if via_root != config.publish_via_partition_root {
        findings.push(Finding::warn(
            ABOUT,
            format!(
                "publish_via_partition_root of publication {} is {via_root}, and in [source] it is not",
                config.publication
            ),
            format!(
                "ALTER PUBLICATION {name} SET (publish_via_partition_root = {})",
                config.publish_via_partition_root
            ),
        ));
    }
    Ok(())
}

/// Since PostgreSQL 15 a publication may carry some rows and columns of a table only.
fn partial_tables(
    findings: &mut Vec<Finding>,
    sql: &mut Sql,
    config: &SourceConfig,
    tables: &[TableId],
) -> Result<()> {
    let (schemas, tables) = names(tables);
    let rows = sql.query(
        "SELECT p.schemaname::text || '.' || p.tablename::text, to_jsonb(p) ->> 'rowfilter' IS NOT NULL, \
         jsonb_array_length(to_jsonb(p) -> 'attnames') < (SELECT count(*) FROM pg_catalog.pg_attribute a \
         JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = p.schemaname AND c.relname = p.tablename AND a.attnum > 0 AND NOT a.attisdropped \
         AND a.attgenerated = '') \
         FROM pg_catalog.pg_publication_tables p JOIN unnest($2::text[], $3::text[]) AS t(s, r) \
         ON p.schemaname::text = t.s AND p.tablename::text = t.r WHERE p.pubname::text = $1 ORDER BY 1",
        &[&config.publication, &schemas, &tables],
    )?;
    for row in rows {
        let (table, filtered, narrowed): (String, bool, Option<bool>) = (row.get(0), row.get(1), row.get(2));
        let lacks = match (filtered, narrowed.unwrap_or_default()) {
            (false, false) => continue,
            (true, false) => "some of its rows only",
            (false, true) => "some of its columns only",
            (true, true) => "some of its rows and columns only",
        };
        findings.push(Finding::warn(
            ABOUT,
            format!("{table} is published with {lacks}"),
            "this is fine if it is meant; else ALTER PUBLICATION … SET TABLE without WHERE and column list",
        ));
    }
    Ok(())
}
