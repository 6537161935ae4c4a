//! Debezium's properties → our TOML.
//!
//! The same file then goes the same way as one that was written by hand: overrides, defaults,
//! checks. Nothing is dropped silently: what is not followed is refused, or noted for the log.

mod properties;
mod shaping;
mod table;
mod transforms;

#[cfg(any(test, fuzzing))]
pub mod fuzz;

use properties::Properties;
use shared::error::{Context, Error, Kind, OrKind, Result};
use std::path::Path;
use table::{Form, Rule};
use toml::{Table, Value};

const CONNECTOR_CLASS: &str = "io.debezium.connector.postgresql.PostgresConnector";
const CONVERTER_CLASS: &str = "io.confluent.connect.avro.AvroConverter";

/// What became of a property that has no setting here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub property: String,
    pub reason: &'static str,
    /// The operator asked for something that will not happen.
    pub warn: bool,
}

impl Note {
    pub fn log(&self) {
        let Note { property, reason, .. } = self;
        if self.warn {
            tracing::warn!(event = "property_not_followed", property, reason, "a property is not followed");
        } else {
            tracing::info!(event = "property_ignored", property, reason, "a property has no effect here");
        }
    }
}

/// A configuration in our own form.
#[derive(Debug)]
pub struct Imported {
    pub toml: String,
    pub notes: Vec<Note>,
}

/// Reads the two files.
pub fn read(connector: &Path, worker: &Path) -> Result<Imported> {
    let text = |path: &Path| {
        std::fs::read_to_string(path).or_kind(Kind::Config).doing(|| format!("read {}", path.display()))
    };
    let connector_properties =
        connector_properties(&text(connector)?).doing(|| format!("read {}", connector.display()))?;
    let worker_properties = properties::parse(&text(worker)?);
    import(&connector_properties, &worker_properties).doing(|| format!("take over {}", connector.display()))
}

/// `{"name": …, "config": {…}}` as it is posted, or the flat form as it is put.
fn connector_properties(text: &str) -> Result<Properties> {
    let mut document: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).or_kind(Kind::Config)?;
    if let Some(serde_json::Value::Object(mut inner)) = document.remove("config") {
        if let Some(name) = document.remove("name") {
            inner.insert("name".to_owned(), name);
        }
        document = inner;
    }
    let text_of = |(name, value): (String, serde_json::Value)| match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some((name, text)),
        other => Some((name, other.to_string())),
    };
    Ok(document.into_iter().filter_map(text_of).collect())
}

fn import(connector: &Properties, worker: &Properties) -> Result<Imported> {
    let mut target = Target::default();
    if let Some(class) = connector.get("connector.class").filter(|class| *class != CONNECTOR_CLASS) {
        return Err(Error::new(Kind::Config, format!("connector.class = {class} is not supported"))
            .remedy(format!("this connector runs {CONNECTOR_CLASS}")));
    }
    target.apply(table::WORKER, "", worker)?;
    offsets(worker, &mut target);
    security(worker, &mut target)?;
    target.apply(table::CONNECTOR, "", connector)?;
    shaping::apply(connector, &mut target)?;
    transforms::apply(connector, &mut target)?;
    let urls = ["key", "value"].map(|side| converter(side, connector, worker, &mut target));
    let [key, value] = urls;
    if key? != value? {
        return Err(Error::new(Kind::Config, "key.converter and value.converter use different registries"));
    }
    let toml = toml::to_string(&target.table).or_kind(Kind::Bug)?;
    Ok(Imported { toml, notes: target.notes })
}

/// Where progress is kept: the connector's own topic has been set by the table and wins.
fn offsets(worker: &Properties, target: &mut Target) {
    if let Some(topic) = worker.get("offset.storage.topic") {
        target.set("offset.kind", Value::from("kafka"));
        target.set("offset.topic", Value::from(topic.as_str()));
    } else if let Some(file) = worker.get("offset.storage.file.filename") {
        target.set("offset.kind", Value::from("file"));
        target.set("offset.path", Value::from(file.as_str()));
    }
}

/// The producer's own settings win over the worker's, as in Kafka Connect.
fn security(worker: &Properties, target: &mut Target) -> Result<()> {
    let find = |name: &str| worker.get(&format!("producer.{name}")).or_else(|| worker.get(name));
    if let Some(protocol) = find("security.protocol") {
        target.set("sink.kafka.security.protocol", Value::from(protocol.to_lowercase()));
    }
    let Some(login) = find("sasl.jaas.config") else { return Ok(()) };
    let login = properties::resolve(login)?;
    let part = |name: &str| {
        let (_, rest) = login.split_once(&format!("{name}=\""))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    let (Some(user), Some(password)) = (part("username"), part("password")) else {
        return Err(Error::new(Kind::Config, "sasl.jaas.config names no username and password")
            .remedy("set sink.kafka.security.username and password"));
    };
    target.set("sink.kafka.security.username", Value::from(user));
    target.set("sink.kafka.security.password", Value::from(password));
    Ok(())
}

/// Takes over one side's converter and returns its registry. As in Kafka Connect, the class and
/// its settings come from the same file.
fn converter(side: &str, connector: &Properties, worker: &Properties, target: &mut Target) -> Result<String> {
    let name = format!("{side}.converter");
    let from = if connector.contains_key(&name) { connector } else { worker };
    match from.get(&name).map(String::as_str) {
        Some(CONVERTER_CLASS) => {}
        Some(other) => {
            return Err(Error::new(Kind::Config, format!("{name} = {other} is not supported"))
                .remedy(format!("only {CONVERTER_CLASS} is written yet")));
        }
        None => {
            return Err(Error::new(Kind::Config, format!("{name} is not set, neither in the worker's file")));
        }
    }
    let front = format!("{name}.");
    let settings: Properties = from
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(&front)?.to_owned(), value.clone())))
        .collect();
    target.apply(table::CONVERTER, &front, &settings)?;
    let naming = format!("{side}.subject.name.strategy");
    if let Some(strategy) = settings.get(&naming) {
        let short = strategy.rsplit('.').next().unwrap_or_default();
        let word = match short {
            "TopicNameStrategy" => "topic",
            "RecordNameStrategy" => "record",
            "TopicRecordNameStrategy" => "topic_record",
            _ => {
                return Err(Error::new(Kind::Config, format!("{front}{naming} = {strategy} is not supported"))
                    .remedy("supported are Confluent's TopicNameStrategy, RecordNameStrategy and TopicRecordNameStrategy"));
            }
        };
        target.set(&format!("avro.{side}_subject"), Value::from(word));
    }
    let login = settings.get("basic.auth.user.info");
    let login = login.or_else(|| settings.get("schema.registry.basic.auth.user.info"));
    if let Some(login) = login {
        let login = properties::resolve(login)?;
        let (user, password) = login.split_once(':').unwrap_or((&login, ""));
        target.set("avro.registry.username", Value::from(user));
        target.set("avro.registry.password", Value::from(password));
    }
    settings
        .get("schema.registry.url")
        .cloned()
        .ok_or_else(|| Error::new(Kind::Config, format!("{front}schema.registry.url is not set")))
}

/// The TOML being built.
#[derive(Default)]
struct Target {
    table: Table,
    notes: Vec<Note>,
}

impl Target {
    /// Applies every property by its rule. `front` stands before the names in messages.
    fn apply(&mut self, table: &[(&str, Rule)], front: &str, properties: &Properties) -> Result<()> {
        for (name, value) in properties {
            let written = format!("{front}{name}");
            let Some(rule) = table::rule(table, name) else {
                self.note(&written, "it is not a property of Debezium 3.6 or of Kafka Connect", false);
                continue;
            };
            self.one(&written, rule, value).doing(|| written.clone())?;
        }
        Ok(())
    }

    fn one(&mut self, name: &str, rule: Rule, value: &str) -> Result<()> {
        let refuse = |why: &str| Error::new(Kind::Config, format!("cannot be followed: {why}"));
        match rule {
            Rule::Set(path, form) => self.set(path, written(&properties::resolve(value)?, form)?),
            // Debezium's older word for the same.
            Rule::Word(path, words) if words.contains(&value) && value == "never" => {
                self.set(path, Value::from("no_data"));
            }
            Rule::Word(path, words) if words.contains(&value) => self.set(path, Value::from(value)),
            Rule::Word(_, words) => {
                return Err(refuse(&format!("{value:?} is not supported"))
                    .remedy(format!("supported are: {}", words.join(", "))));
            }
            Rule::Only(values, _) | Rule::Unless(values, _) if values.contains(&value) => {}
            Rule::Only(_, why) | Rule::Refused(why) => {
                return Err(refuse(why).remedy("remove the property, or keep this connector on Debezium"));
            }
            Rule::Unless(_, why) => self.note(name, why, true),
            Rule::Ignored(why) => self.note(name, why, false),
            Rule::Elsewhere => {}
        }
        Ok(())
    }

    fn note(&mut self, property: &str, reason: &'static str, warn: bool) {
        self.notes.push(Note { property: property.to_owned(), reason, warn });
    }

    /// Sets a value at a dotted path.
    fn set(&mut self, path: &str, value: Value) {
        let mut table = &mut self.table;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                table.insert(part.to_owned(), value);
                return;
            }
            let inner = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(inner) = inner else { return };
            table = inner;
        }
    }
}

fn written(value: &str, form: Form) -> Result<Value> {
    let wrong = |what: &str| Error::new(Kind::Config, format!("{value:?} is no {what}"));
    Ok(match form {
        Form::Text => Value::from(value),
        Form::Number => Value::from(value.trim().parse::<i64>().map_err(|_| wrong("whole number"))?),
        Form::Flag => {
            Value::from(value.trim().to_lowercase().parse::<bool>().map_err(|_| wrong("true or false"))?)
        }
        Form::List => Value::from(list(value)),
        Form::Semicolons => {
            let items = value.split(';').map(str::trim).filter(|item| !item.is_empty());
            Value::from(items.map(str::to_owned).collect::<Vec<_>>())
        }
    })
}

/// Names separated by commas; a comma of a regular expression is written `\,`.
fn list(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, items.last_mut()) {
            ('\\', Some(item)) if chars.peek() == Some(&',') => item.extend(chars.next()),
            (',', _) => items.push(String::new()),
            (c, Some(item)) => item.push(c),
            (_, None) => {}
        }
    }
    items.into_iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

#[cfg(test)]
mod tests;
