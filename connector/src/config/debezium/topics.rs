//! `topic.creation.*`: Kafka Connect's groups, of which the first that fits counts, and `default` at last.

use super::Target;
use super::properties::Properties;
use shared::error::{Error, Kind, Result};
use toml::{Table, Value};

const FRONT: &str = "topic.creation.";

pub fn apply(connector: &Properties, worker: &Properties, target: &mut Target) -> Result<()> {
    let enabled = worker.get("topic.creation.enable").is_none_or(|flag| flag.trim() != "false");
    if !enabled || !connector.contains_key("topic.creation.default.replication.factor") {
        return Ok(());
    }
    let groups = super::list(connector.get("topic.creation.groups").map_or("", String::as_str));
    for group in groups.iter().map(String::as_str).chain(["default"]) {
        target.append(&["sink", "topic"], rule(connector, group)?);
    }
    Ok(())
}

fn rule(connector: &Properties, group: &str) -> Result<Table> {
    let front = format!("{FRONT}{group}.");
    let (mut rule, mut settings) = (Table::new(), Table::new());
    for (property, value) in connector {
        let Some(name) = property.strip_prefix(&front) else { continue };
        let number = || {
            let wrong = |_| Error::new(Kind::Config, format!("{property} = {value:?} is no whole number"));
            value.trim().parse::<i64>().map(Value::from).map_err(wrong)
        };
        let names = || Value::from(super::list(value));
        match name {
            "partitions" => rule.insert("partitions".to_owned(), number()?),
            "replication.factor" => rule.insert("replicas".to_owned(), number()?),
            "include" | "exclude" => rule.insert(name.to_owned(), names()),
            setting => settings.insert(setting.to_owned(), Value::from(value.as_str())),
        };
    }
    if !settings.is_empty() {
        rule.insert("settings".to_owned(), Value::Table(settings));
    }
    if group != "default" && !rule.contains_key("include") {
        return Err(Error::new(Kind::Config, format!("{front}include is not set")));
    }
    Ok(rule)
}
