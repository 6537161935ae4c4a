//! The SQL that gives a role what the connector needs of a database, and nothing more.

use super::signal::wanted;
use crate::config::signal::SignalConfig;
use crate::config::source::{PublicationAutocreate, SourceConfig};
use crate::model::table::TableId;
use crate::source::postgres::catalog::{Catalog, Describes};
use crate::source::postgres::filter::TableFilter;
use crate::source::postgres::sql::{Sql, identifier, literal};
use crate::source::postgres::{publication, server};
use shared::Result;
use std::collections::BTreeSet;
use tokio::runtime::Handle;

/// A script for a superuser or the tables' owner. The configuration's own role need only see the tables.
///
/// # Errors
/// `Config` if no table is captured.
pub fn privileges(
    config: &SourceConfig,
    signal: &SignalConfig,
    role: &str,
    runtime: &Handle,
) -> Result<String> {
    let mut catalog = Catalog::new(Sql::new(config, runtime.clone())?);
    let server = server::inspect(&mut catalog.sql)?;
    let exists = catalog.sql.query("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname::text = $1", &[&role])?;
    let tables = TableFilter::new(config)?.with_signals(signal.table.as_deref()).select(catalog.tables()?);
    let present = publication::inspect(&mut catalog.sql, &config.publication)?;
    // What is made here is made by its owner, for the captured tables; the role does not make it.
    let filtered = SourceConfig { publication_autocreate: PublicationAutocreate::Filtered, ..config.clone() };
    let publication = publication::statement(&filtered, present.as_ref(), &tables)?;
    let where_to = if server.in_recovery { " on the primary" } else { "" };
    let head = format!(
        "-- What {role} needs of database {}, and nothing more. Run it{where_to} as the tables' owner.\n",
        config.database
    );
    let marks = signal.table.as_deref().and_then(|table| table.split_once('.'));
    let marks = marks.filter(|_| !wanted(signal).is_empty()).map(|(schema, name)| {
        let (verbs, role) = (wanted(signal).join(", "), identifier(role));
        format!("GRANT {verbs} ON TABLE {}.{} TO {role};", identifier(schema), identifier(name))
    });
    let further = marks.into_iter().chain(publication.map(|statement| format!("{statement};"))).collect();
    Ok(head + &script(&config.database, role, exists.is_empty(), &tables, further))
}

/// Pure.
fn script(database: &str, role: &str, missing: bool, tables: &[TableId], further: Vec<String>) -> String {
    let name = identifier(role);
    let mut lines = vec![if missing {
        format!("CREATE ROLE {name} LOGIN REPLICATION PASSWORD {};  -- choose one", literal("…"))
    } else {
        format!("ALTER ROLE {name} LOGIN REPLICATION;  -- as a superuser")
    }];
    lines.push(format!("GRANT CONNECT ON DATABASE {} TO {name};", identifier(database)));
    let schemas: BTreeSet<&str> = tables.iter().map(|table| table.schema.as_str()).collect();
    lines.extend(
        schemas.iter().map(|schema| format!("GRANT USAGE ON SCHEMA {} TO {name};", identifier(schema))),
    );
    lines.extend(tables.iter().map(|table| {
        format!("GRANT SELECT ON TABLE {}.{} TO {name};", identifier(&table.schema), identifier(&table.name))
    }));
    lines.extend(further);
    lines.push(
        "-- Then source.publication_autocreate = \"disabled\": the role cannot change the publication."
            .to_owned(),
    );
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_gets_what_it_needs() {
        let table = |schema: &str, name: &str| TableId { schema: schema.to_owned(), name: name.to_owned() };
        let tables = [table("public", "a"), table("public", "B c"), table("other", "d")];
        let text = script("shop", "app", true, &tables, vec!["CREATE PUBLICATION \"p\";".to_owned()]);
        for line in [
            "CREATE ROLE \"app\" LOGIN REPLICATION PASSWORD '…';",
            "GRANT CONNECT ON DATABASE \"shop\" TO \"app\";",
            "GRANT USAGE ON SCHEMA \"other\" TO \"app\";\nGRANT USAGE ON SCHEMA \"public\" TO \"app\";",
            "GRANT SELECT ON TABLE \"public\".\"B c\" TO \"app\";",
            "CREATE PUBLICATION \"p\";",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(script("shop", "app", false, &[], Vec::new()).starts_with("ALTER ROLE"));
    }
}
