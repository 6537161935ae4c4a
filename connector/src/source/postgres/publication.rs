//! The publication: which tables the server sends, made or changed as the operator allows.

use super::server::Server;
use super::sql::{Sql, identifier};
use crate::config::source::{PublicationAutocreate, SourceConfig};
use crate::model::table::TableId;
use shared::error::Context;
use shared::{Error, Kind, Result};
use std::collections::BTreeSet;

/// A publication as the server keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    pub all_tables: bool,
    pub tables: BTreeSet<String>,
}

pub fn inspect(sql: &mut Sql, name: &str) -> Result<Option<Publication>> {
    let doing = || format!("inspect publication {name}");
    let rows = sql
        .query("SELECT puballtables FROM pg_catalog.pg_publication WHERE pubname::text = $1", &[&name])
        .doing(doing)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let tables = sql
        .query(
            "SELECT schemaname::text, tablename::text FROM pg_catalog.pg_publication_tables WHERE pubname::text = $1",
            &[&name],
        )
        .doing(doing)?;
    let tables = tables.iter().map(|row| TableId { schema: row.get(0), name: row.get(1) }.to_string());
    Ok(Some(Publication { all_tables: row.get(0), tables: tables.collect() }))
}

/// Makes or changes the publication so that it carries `tables`, as `publication_autocreate` says.
pub fn ensure(sql: &mut Sql, config: &SourceConfig, server: &Server, tables: &[TableId]) -> Result<()> {
    let name = &config.publication;
    let present = inspect(sql, name)?;
    let Some(statement) = statement(config, present.as_ref(), tables)? else {
        if let Some(publication) = &present {
            warn_missing(name, publication, tables);
        }
        return Ok(());
    };
    let verb = if present.is_some() { "change" } else { "create" };
    if server.in_recovery {
        return Err(on_standby(name, &statement).doing(format!("{verb} publication {name}")));
    }
    sql.execute(&statement).doing(|| format!("{verb} publication {name}")).map_err(|error| {
        let remedy = match (error.kind(), config.publication_autocreate) {
            (Kind::Denied, PublicationAutocreate::AllTables) => format!(
                "as a superuser: {statement}; or set source.publication_autocreate = \"filtered\", which needs no superuser"
            ),
            (Kind::Denied, _) => format!(
                "as the tables' owner: {statement}; then set source.publication_autocreate = \"disabled\"; \
                 or GRANT CREATE ON DATABASE {} TO {}, and make {} owner of the tables",
                identifier(&config.database), identifier(&config.user), identifier(&config.user)
            ),
            _ => error.hint().to_owned(),
        };
        error.remedy(remedy)
    })?;
    tracing::info!(event = "publication_set", publication = %name, tables = tables.len(), "publication set");
    Ok(())
}

/// A standby takes its publications from the primary.
pub fn on_standby(name: &str, statement: &str) -> Error {
    Error::new(Kind::Config, format!("the server is a standby, and publication {name} is not as it must be"))
        .remedy(format!("on the primary: {statement}; and wait until the standby has it"))
}

/// The SQL that brings the publication to what is wanted; `None` when it is so already. Pure.
///
/// # Errors
/// When it is missing and may not be made, or when no table would be in it.
pub fn statement(
    config: &SourceConfig,
    present: Option<&Publication>,
    tables: &[TableId],
) -> Result<Option<String>> {
    let name = identifier(&config.publication);
    let listed = || {
        let names: Vec<String> =
            tables.iter().map(|t| format!("{}.{}", identifier(&t.schema), identifier(&t.name))).collect();
        names.join(", ")
    };
    match (config.publication_autocreate, present) {
        (PublicationAutocreate::Disabled, None) => {
            Err(Error::new(Kind::Config, format!("publication {} does not exist", config.publication))
                .remedy(format!(
                    "CREATE PUBLICATION {name} FOR TABLE {}; or set source.publication_autocreate",
                    listed()
                )))
        }
        (PublicationAutocreate::Disabled | PublicationAutocreate::AllTables, Some(_))
        | (PublicationAutocreate::NoTables, Some(_)) => Ok(None),
        (PublicationAutocreate::AllTables, None) => {
            Ok(Some(format!("CREATE PUBLICATION {name} FOR ALL TABLES{}", options(config))))
        }
        (PublicationAutocreate::NoTables, None) => {
            Ok(Some(format!("CREATE PUBLICATION {name}{}", options(config))))
        }
        (PublicationAutocreate::Filtered, Some(Publication { all_tables: true, .. })) => Ok(None),
        (PublicationAutocreate::Filtered, _) if tables.is_empty() => {
            Err(Error::new(Kind::Config, "no table matches source.tables, so no publication can be made")
                .remedy("correct source.tables: regular expressions on schema.table"))
        }
        (PublicationAutocreate::Filtered, Some(publication)) => {
            let wanted: BTreeSet<String> = tables.iter().map(TableId::to_string).collect();
            Ok((publication.tables != wanted)
                .then(|| format!("ALTER PUBLICATION {name} SET TABLE {}", listed())))
        }
        (PublicationAutocreate::Filtered, None) => {
            Ok(Some(format!("CREATE PUBLICATION {name} FOR TABLE {}{}", listed(), options(config))))
        }
    }
}

fn options(config: &SourceConfig) -> String {
    let mut options = Vec::new();
    if !config.publish.is_empty() {
        let words: Vec<&str> = config.publish.iter().map(|operation| operation.word()).collect();
        options.push(format!("publish = '{}'", words.join(", ")));
    }
    if config.publish_via_partition_root {
        options.push("publish_via_partition_root = true".to_owned());
    }
    if options.is_empty() { String::new() } else { format!(" WITH ({})", options.join(", ")) }
}

/// Captured tables that the server will never send.
pub fn missing<'a>(publication: &Publication, tables: &'a [TableId]) -> Vec<&'a TableId> {
    tables
        .iter()
        .filter(|t| !publication.all_tables && !publication.tables.contains(&t.to_string()))
        .collect()
}

fn warn_missing(name: &str, publication: &Publication, tables: &[TableId]) {
    for table in missing(publication, tables) {
        tracing::warn!(
            event = "table_not_published",
            %table,
            publication = name,
            "captured table is not in the publication: its changes will not come"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(autocreate: &str) -> SourceConfig {
        let text =
            format!("database = 'd'\nuser = 'u'\npublication = 'p'\npublication_autocreate = '{autocreate}'");
        let overrides = shared::config::Overrides { env_prefix: "NO_SUCH_PREFIX", set: &[] };
        shared::config::parse(&text, &overrides).expect("valid configuration")
    }

    #[test]
    fn statements() {
        let tables = [TableId { schema: "public".into(), name: "A b".into() }];
        let holds = |all_tables, names: &[&str]| {
            Some(Publication { all_tables, tables: names.iter().map(|n| (*n).to_owned()).collect() })
        };
        for (mode, present, want) in [
            ("all_tables", None, Some("CREATE PUBLICATION \"p\" FOR ALL TABLES")),
            ("all_tables", holds(false, &[]), None),
            ("filtered", None, Some("CREATE PUBLICATION \"p\" FOR TABLE \"public\".\"A b\"")),
            ("filtered", holds(false, &["public.A b"]), None),
            (
                "filtered",
                holds(false, &["public.x"]),
                Some("ALTER PUBLICATION \"p\" SET TABLE \"public\".\"A b\""),
            ),
            ("filtered", holds(true, &[]), None),
            ("no_tables", None, Some("CREATE PUBLICATION \"p\"")),
            ("disabled", holds(false, &[]), None),
        ] {
            let got = statement(&config(mode), present.as_ref(), &tables).expect(mode);
            assert_eq!(got.as_deref(), want, "{mode} {present:?}");
        }
        assert!(statement(&config("disabled"), None, &tables).is_err());
        assert!(statement(&config("filtered"), None, &[]).is_err());
    }
}
