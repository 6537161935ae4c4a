//! What holds of any connector's JSON and any worker's properties.

use super::properties::{self, Properties};
use super::{connector_properties, import};
use crate::config::{Config, parse};
use shared::Kind;

/// A connector that is taken over, for inputs to change.
const CONNECTOR: &str = r#"{
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "database.hostname": "db.example", "database.user": "u", "database.password": "p", "database.dbname": "shop",
    "topic.prefix": "shop", "name": "orders"
}"#;
const WORKER: &str = "
    bootstrap.servers=kafka:9092
    key.converter=io.confluent.connect.avro.AvroConverter
    key.converter.schema.registry.url=http://a:8081
    value.converter=io.confluent.connect.avro.AvroConverter
    value.converter.schema.registry.url=http://a:8081
";
/// A line between the connector's part and the worker's.
const BETWEEN: &str = "\n%%\n";

/// The input is the connector's JSON, or behind a `+` properties that are laid over a good one; then, if
/// there is one, the worker's part likewise. Gives the configuration if there is one.
pub fn debezium(input: &[u8]) -> Option<Config> {
    // References to files are followed: a path is not for a fuzzer to choose.
    let text = std::str::from_utf8(input).ok().filter(|text| !text.contains("${file:"))?;
    let (connector, worker) = text.split_once(BETWEEN).unwrap_or((text, "+"));
    let theirs = worker_properties(worker);
    let ours = match connector.strip_prefix('+') {
        Some(changes) => {
            let mut ours = connector_properties(CONNECTOR).expect("it is a good one");
            ours.extend(read(changes));
            ours
        }
        None => match connector_properties(connector) {
            Ok(ours) => ours,
            Err(error) => {
                assert_eq!(error.kind(), Kind::Config, "{error}");
                return None;
            }
        },
    };
    let imported =
        import(&ours, &theirs).map_err(|error| assert_eq!(error.kind(), Kind::Config, "{error}")).ok()?;
    // What is written as TOML is read as the same.
    let table: toml::Table = imported.toml.parse().expect("TOML as it was written");
    assert_eq!(toml::to_string_pretty(&table).expect("it was a table").len(), imported.toml.len());
    parse(&imported.toml, &[]).map_err(|error| assert_eq!(error.kind(), Kind::Config, "{error}")).ok()
}

fn worker_properties(worker: &str) -> Properties {
    match worker.strip_prefix('+') {
        Some(changes) => {
            let mut theirs = properties::parse(WORKER);
            theirs.extend(read(changes));
            theirs
        }
        None => read(worker),
    }
}

/// Properties that are, printed, read as the same.
fn read(text: &str) -> Properties {
    let found = properties::parse(text);
    let held: usize = found.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(held <= text.len());
    let printed: String =
        found.iter().map(|(n, v)| format!("{}={}\n", escaped(n, true), escaped(v, false))).collect();
    assert_eq!(properties::parse(&printed), found, "{printed}");
    found
}

/// As Java's `Properties.store` writes it.
fn escaped(text: &str, name: bool) -> String {
    let mut out = String::new();
    for (at, character) in text.char_indices() {
        match character {
            '\\' | '=' | ':' | '#' | '!' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' ' if name || at == 0 => out.push_str("\\ "),
            // Java escapes what is not Latin-1; blanks of Unicode are told apart from ours so.
            other if other.is_control() || other.is_whitespace() => {
                out.push_str(&format!("\\u{:04X}", u32::from(other)))
            }
            other => out.push(other),
        }
    }
    out
}
