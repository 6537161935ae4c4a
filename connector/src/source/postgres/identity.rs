//! Replica identities: what the server logs of a row before it is changed, set at start if so configured.

use super::filter::compile;
use super::sql::{Sql, identifier};
use crate::config::source::SourceConfig;
use crate::model::table::TableId;
use regex::Regex;
use shared::error::Context;
use shared::{Error, Kind, Result};

/// A line of `source.replica_identities`: tables, and what to set.
#[derive(Clone, Debug)]
struct Rule {
    table: Regex,
    identity: Identity,
}

/// A table's replica identity, as `ALTER TABLE` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Identity {
    Default,
    Full,
    Nothing,
    Index(String),
}

/// Sets what `source.replica_identities` says, where it is not so already.
pub fn ensure(sql: &mut Sql, config: &SourceConfig, tables: &[TableId]) -> Result<()> {
    let rules = config.replica_identities.iter().map(|text| rule(text)).collect::<Result<Vec<_>>>()?;
    for table in tables {
        let Some(rule) = rules.iter().find(|rule| rule.table.is_match(&table.to_string())) else { continue };
        let doing = || format!("set the replica identity of {table}");
        if inspect(sql, table).doing(doing)?.as_ref() == Some(&rule.identity) {
            continue;
        }
        let statement = statement(table, &rule.identity);
        sql.execute(&statement).doing(doing).map_err(|error| match error.kind() {
            Kind::Denied => error.remedy(format!("as the table's owner: {statement}")),
            _ => error,
        })?;
        tracing::info!(event = "replica_identity_set", %table, "replica identity set");
    }
    Ok(())
}

fn rule(text: &str) -> Result<Rule> {
    let wrong = || {
        Error::new(Kind::Config, format!("source.replica_identities: {text:?} names no replica identity"))
            .remedy("write schema.table:FULL, or DEFAULT, NOTHING, INDEX name")
    };
    let (table, identity) = text.rsplit_once(':').ok_or_else(wrong)?;
    let mut words = identity.split_whitespace();
    let identity = match (words.next().map(str::to_ascii_uppercase).as_deref(), words.next(), words.next()) {
        (Some("DEFAULT"), None, None) => Identity::Default,
        (Some("FULL"), None, None) => Identity::Full,
        (Some("NOTHING"), None, None) => Identity::Nothing,
        (Some("INDEX"), Some(name), None) => Identity::Index(name.to_owned()),
        _ => return Err(wrong()),
    };
    Ok(Rule { table: compile("source.replica_identities", table.trim())?, identity })
}

fn inspect(sql: &mut Sql, table: &TableId) -> Result<Option<Identity>> {
    let rows = sql.query(
        "SELECT c.relreplident::text, (SELECT x.relname::text FROM pg_catalog.pg_index i \
         JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND i.indisreplident) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname::text = $1 AND c.relname::text = $2",
        &[&table.schema, &table.name],
    )?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (letter, index): (String, Option<String>) = (row.get(0), row.get(1));
    Ok(match (letter.as_str(), index) {
        ("d", _) => Some(Identity::Default),
        ("f", _) => Some(Identity::Full),
        ("n", _) => Some(Identity::Nothing),
        (_, index) => index.map(Identity::Index),
    })
}

fn statement(table: &TableId, identity: &Identity) -> String {
    let words = match identity {
        Identity::Default => "DEFAULT".to_owned(),
        Identity::Full => "FULL".to_owned(),
        Identity::Nothing => "NOTHING".to_owned(),
        Identity::Index(name) => format!("USING INDEX {}", identifier(name)),
    };
    format!("ALTER TABLE {}.{} REPLICA IDENTITY {words}", identifier(&table.schema), identifier(&table.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_said_as_sql() {
        let table = TableId { schema: "public".into(), name: "A b".into() };
        for (text, want) in [
            ("public.*:FULL", "ALTER TABLE \"public\".\"A b\" REPLICA IDENTITY FULL"),
            ("public.a b:default", "ALTER TABLE \"public\".\"A b\" REPLICA IDENTITY DEFAULT"),
            ("p.*:INDEX by_code", "ALTER TABLE \"public\".\"A b\" REPLICA IDENTITY USING INDEX \"by_code\""),
            (".*:NOTHING", "ALTER TABLE \"public\".\"A b\" REPLICA IDENTITY NOTHING"),
        ] {
            let rule = rule(text).expect(text);
            assert!(rule.table.is_match("public.A b"), "{text}");
            assert_eq!(statement(&table, &rule.identity), want);
        }
        for text in
            ["public.t", "public.t:", "public.t:SOME", "public.t:INDEX", "public.t:INDEX a b", "(:FULL"]
        {
            assert_eq!(rule(text).expect_err(text).kind(), Kind::Config, "{text}");
        }
    }
}
