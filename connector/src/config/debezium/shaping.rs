//! Properties of which several, or parts of their names, make one setting: skipped operations, the
//! naming strategy, masks, digests, truncation.

use super::Target;
use super::properties::Properties;
use shared::error::{Error, Kind, Result};
use toml::{Table, Value};

const STRATEGIES: &[(&str, &str)] = &[
    ("SchemaTopicNamingStrategy", "schema"),
    ("SchemaUnicodeTopicNamingStrategy", "schema_unicode"),
    ("SchemaRegexTopicNamingStrategy", "regex"),
    ("DefaultTopicNamingStrategy", "default"),
    ("DefaultUnicodeTopicNamingStrategy", "default_unicode"),
    ("DefaultRegexTopicNamingStrategy", "default_regex"),
];

pub fn apply(connector: &Properties, target: &mut Target) -> Result<()> {
    if let Some(letters) = connector.get("skipped.operations") {
        let skipped: Vec<&str> = super::list(letters).iter().map(|l| operation(l)).collect::<Result<_>>()?;
        // Debezium then makes its publication without them.
        let published = ["insert", "update", "delete", "truncate"]
            .into_iter()
            .zip(["create", "update", "delete", "truncate"]);
        let published = published.filter(|(_, operation)| !skipped.contains(operation));
        target.set("source.publish", Value::from(published.map(|(word, _)| word).collect::<Vec<_>>()));
        let skipped: Vec<Value> = skipped.into_iter().filter(|w| !w.is_empty()).map(Value::from).collect();
        target.set("event.skip", Value::from(skipped));
    }
    if let Some(strategy) = connector.get("topic.naming.strategy") {
        let short = strategy.rsplit('.').next().unwrap_or_default();
        let (_, word) = STRATEGIES.iter().find(|(name, _)| *name == short).ok_or_else(|| {
            let known: Vec<&str> = STRATEGIES.iter().map(|(name, _)| *name).collect();
            Error::new(Kind::Config, format!("topic.naming.strategy = {strategy} is not supported"))
                .remedy(format!("supported are: {}", known.join(", ")))
        })?;
        target.set("event.topic_naming", Value::from(*word));
    }
    if let Some(text) = connector.get("database.initial.statements") {
        target.set("source.initial_statements", Value::from(statements(&super::properties::resolve(text)?)));
    }
    if connector.get("sanitize.field.names").is_some_and(|value| value == "true") {
        target.set("event.field_names", Value::from("avro"));
    }
    slot(connector, target)?;
    selects(connector, target);
    channels(connector, target)?;
    for (name, columns) in connector {
        column(name, &super::list(columns), target)?;
    }
    Ok(())
}

/// Channels by Debezium's names; those of the JVM are for whoever has one.
fn channels(connector: &Properties, target: &mut Target) -> Result<()> {
    for (property, setting, known) in [
        (
            "signal.enabled.channels",
            "signal.channels",
            &[("source", "source"), ("kafka", "kafka"), ("file", "file"), ("jmx", ""), ("in-process", "")][..],
        ),
        (
            "notification.enabled.channels",
            "event.notifications",
            &[("sink", "topic"), ("log", "log"), ("jmx", "")],
        ),
    ] {
        let Some(given) = connector.get(property) else { continue };
        let mut ours = Vec::new();
        for name in super::list(given) {
            let found = known.iter().find(|(theirs, _)| *theirs == name);
            let (_, word) = found.ok_or_else(|| {
                let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                Error::new(Kind::Config, format!("{property}: {name:?} is no channel"))
                    .remedy(format!("known are {}", names.join(", ")))
            })?;
            ours.extend((!word.is_empty()).then(|| Value::from(*word)));
        }
        target.set(setting, Value::Array(ours));
    }
    Ok(())
}

/// Old names of settings, and a wait that Debezium gives as attempts and pauses.
fn slot(connector: &Properties, target: &mut Target) -> Result<()> {
    let is = |name: &str, value: &str| connector.get(name).is_some_and(|given| given.trim() == value);
    if is("flush.lsn.source", "false") && !connector.contains_key("lsn.flush.mode") {
        target.set("source.lsn_flush", Value::from("manual"));
    }
    let seeks = "internal.slot.seek.to.known.offset.on.start";
    if is(seeks, "true") && !connector.contains_key("offset.mismatch.strategy") {
        target.set("source.offset_mismatch", Value::from("trust_offset"));
    }
    let (retries, pause) = ("slot.max.retries", "slot.retry.delay.ms");
    if [retries, pause].iter().any(|name| connector.contains_key(*name)) {
        let number = |name: &str, default: i64| match connector.get(name) {
            Some(text) => text
                .trim()
                .parse::<u32>()
                .map(i64::from)
                .map_err(|_| Error::new(Kind::Config, format!("{name} = {text} is no number"))),
            None => Ok(default),
        };
        let wait = number(retries, 6)?.saturating_mul(number(pause, 10_000)?);
        target.set("source.slot_wait_ms", Value::from(wait));
    }
    Ok(())
}

/// `snapshot.select.statement.overrides` lists tables; behind its name and a table's stands the SELECT.
fn selects(connector: &Properties, target: &mut Target) {
    const NAME: &str = "snapshot.select.statement.overrides";
    let tables = super::list(connector.get(NAME).map_or("", String::as_str));
    let select = |table: String| {
        let select = connector.get(&format!("{NAME}.{table}"))?;
        Some((table, Value::from(select.as_str())))
    };
    let selects: Table = tables.into_iter().filter_map(select).collect();
    if !selects.is_empty() {
        target.set("snapshot.select", Value::Table(selects));
    }
}

/// Statements end with a semicolon; two of them stand for one.
fn statements(text: &str) -> Vec<String> {
    let parts = text.replace(";;", "\0");
    let parts = parts.split(';').map(|part| part.replace('\0', ";").trim().to_owned());
    parts.filter(|part| !part.is_empty()).collect()
}

fn operation(letter: &str) -> Result<&'static str> {
    Ok(match letter {
        "none" => "",
        "c" => "create",
        "u" => "update",
        "d" => "delete",
        "t" => "truncate",
        _ => {
            return Err(Error::new(Kind::Config, format!("skipped.operations: {letter:?} is no operation"))
                .remedy("use c, u, d, t or none"));
        }
    })
}

/// `column.mask.with.12.chars`, `column.mask.hash[.v2].SHA-256.with.salt.x`, `column.truncate.to.3.chars`.
fn column(name: &str, columns: &[String], target: &mut Target) -> Result<()> {
    let number = |text: &str| {
        let wrong = || Error::new(Kind::Config, format!("{name}: {text:?} is no number of characters"));
        text.parse::<i64>().ok().filter(|number| *number >= 0).map(Value::from).ok_or_else(wrong)
    };
    let between = |front: &str, back: &str| name.strip_prefix(front)?.strip_suffix(back);
    if let Some(length) = between("column.mask.with.", ".chars") {
        target.push("mask", [("length", number(length)?)], columns);
    } else if let Some(length) = between("column.truncate.to.", ".chars") {
        target.push("truncate", [("length", number(length)?)], columns);
    } else if let Some(rest) = name.strip_prefix("column.mask.hash.") {
        let (version, rest) = rest.strip_prefix("v2.").map_or((1, rest), |rest| (2, rest));
        let (algorithm, salt) = rest.split_once(".with.salt.").ok_or_else(|| {
            Error::new(Kind::Config, format!("{name} names no salt"))
                .remedy("write column.mask.hash.ALGORITHM.with.salt.SALT")
        })?;
        let settings = [
            ("algorithm", Value::from(algorithm)),
            ("salt", Value::from(salt)),
            ("version", Value::from(version)),
        ];
        target.push("hash", settings, columns);
    } else if name.starts_with("column.mask.") || name.starts_with("column.truncate.") {
        return Err(Error::new(Kind::Config, format!("{name} is not understood"))
            .remedy("column.mask.with.N.chars, column.mask.hash.A.with.salt.S and column.truncate.to.N.chars are known"));
    }
    Ok(())
}

impl Target {
    /// Appends to `[[event.NAME]]`.
    fn push<const N: usize>(&mut self, name: &str, settings: [(&str, Value); N], columns: &[String]) {
        let mut item: Table = settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        item.insert("columns".to_owned(), Value::from(columns.to_vec()));
        self.append(&["event", name], item);
    }

    /// Appends to an array of tables.
    pub fn append(&mut self, path: &[&str], item: Table) {
        let Some((last, tables)) = path.split_last() else { return };
        let mut table = &mut self.table;
        for part in tables {
            let inner = table.entry(*part).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(inner) = inner else { return };
            table = inner;
        }
        let list = table.entry(*last).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(items) = list {
            items.push(Value::Table(item));
        }
    }
}
