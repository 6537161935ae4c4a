//! Debezium's properties → our TOML.
//!
//! The same file then goes the same way as one that was written by hand: overrides, defaults,
//! checks. Nothing is dropped silently: what is not followed is refused, or noted for the log.

mod properties;
mod shaping;
mod table;
mod topics;
mod transforms;

#[cfg(any(test, fuzzing))]
pub mod fuzz;

use properties::Properties;
use shared::error::{Context, Error, Kind, OrKind, Result};
use std::path::Path;
use table::{Form, Rule};
use toml::{Table, Value};

const CONNECTOR_CLASS: &str = "io.debezium.connector.postgresql.PostgresConnector";
/// Converter → `encode.*.format`.
const CONVERTERS: [(&str, &str); 5] = [
    ("io.confluent.connect.avro.AvroConverter", "avro"),
    ("org.apache.kafka.connect.json.JsonConverter", "json"),
    ("org.apache.kafka.connect.storage.StringConverter", "text"),
    ("org.apache.kafka.connect.converters.ByteArrayConverter", "bytes"),
    ("io.debezium.converters.BinaryDataConverter", "bytes"),
];

/// What became of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub property: String,
    pub fate: Fate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Became this setting, alone or together with others.
    Mapped(&'static str),
    /// Has no effect on records; the reason.
    Ignored(&'static str),
    /// The operator asked for something that will not happen; what does.
    NotFollowed(&'static str),
    /// Asks for other records than this connector would write; why, and what to do.
    Refused(String),
}

impl Note {
    pub fn log(&self) {
        let Note { property, fate } = self;
        match fate {
            Fate::NotFollowed(reason) => tracing::warn!(
                event = "property_not_followed",
                property,
                reason,
                "a property is not followed"
            ),
            Fate::Ignored(reason) => {
                tracing::info!(event = "property_ignored", property, reason, "a property has no effect here");
            }
            Fate::Mapped(_) | Fate::Refused(_) => {}
        }
    }
}

/// A configuration in our own form.
#[derive(Debug)]
pub struct Imported {
    pub toml: String,
    /// One per property, by name.
    pub notes: Vec<Note>,
    /// The brokers are known, which only the worker's file names.
    pub complete: bool,
}

impl Imported {
    /// What keeps it from being run: all of it at once.
    pub fn refusal(&self) -> Option<Error> {
        let refused = |note: &Note| match &note.fate {
            Fate::Refused(why) => Some(format!("{}: {why}", note.property)),
            _ => None,
        };
        let refused: Vec<String> = self.notes.iter().filter_map(refused).collect();
        (!refused.is_empty()).then(|| Error::new(Kind::Config, refused.join("; ")))
    }

    /// The TOML, with what became of each property that is not in it as comments before it.
    pub fn document(&self, source: &str) -> String {
        let mut out =
            format!("# Taken over from {source}. Every property that is not named here is below.\n");
        if !self.complete {
            out.push_str(
                "#\n# To be filled in: sink.kafka.brokers, and [offset] if there is progress in Kafka Connect's topic.\n# --worker FILE takes both from the worker's properties.\n",
            );
        }
        for (title, of) in [
            ("Refused: the connector does not start with these", 0),
            ("Not followed: what happens instead", 1),
            ("Without effect here", 2),
        ] {
            let line = |note: &Note| match (&note.fate, of) {
                (Fate::Refused(why), 0) => Some(format!("#   {}: {why}\n", note.property)),
                (Fate::NotFollowed(why), 1) | (Fate::Ignored(why), 2) => {
                    Some(format!("#   {}: {why}\n", note.property))
                }
                _ => None,
            };
            let lines: String = self.notes.iter().filter_map(line).collect();
            if !lines.is_empty() {
                out.push_str(&format!("#\n# {title}:\n{lines}"));
            }
        }
        out + "\n" + &self.toml
    }
}

/// Reads the two files. Without the worker's, what only it says is left for the operator to fill in.
pub fn read(connector: &Path, worker: Option<&Path>) -> Result<Imported> {
    let text = |path: &Path| {
        std::fs::read_to_string(path).or_kind(Kind::Config).doing(|| format!("read {}", path.display()))
    };
    let connector_properties =
        connector_properties(&text(connector)?).doing(|| format!("read {}", connector.display()))?;
    let worker = worker.map(&text).transpose()?;
    let worker_properties = worker.map(|text| properties::parse(&text)).unwrap_or_default();
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
    target.apply(table::WORKER, "", worker);
    offsets(worker, &mut target);
    delivery(connector, worker, &mut target)?;
    security(worker, &mut target)?;
    target.apply(table::CONNECTOR, "", connector);
    shaping::apply(connector, &mut target)?;
    transforms::apply(connector, &mut target)?;
    topics::apply(connector, worker, &mut target)?;
    let urls = ["key", "value"].map(|side| converter(side, connector, worker, &mut target));
    let [key, value] = urls;
    let (key, value) = (key?, value?);
    if key.is_some() && value.is_some() && key != value {
        return Err(Error::new(Kind::Config, "key.converter and value.converter use different registries"));
    }
    let toml = toml::to_string_pretty(&target.table).or_kind(Kind::Bug)?;
    target.notes.sort_by(|a, b| a.property.cmp(&b.property));
    let complete = worker.contains_key("bootstrap.servers");
    Ok(Imported { toml, notes: target.notes, complete })
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

/// As Kafka Connect does: the worker allows it for all connectors, and one connector may insist on it.
fn delivery(connector: &Properties, worker: &Properties, target: &mut Target) -> Result<()> {
    let word = |from: &Properties, name: &str| from.get(name).map(|word| word.trim().to_lowercase());
    let wanted = word(connector, "exactly.once.support");
    if let Some(other) = wanted.as_deref().filter(|word| !["requested", "required"].contains(word)) {
        let what = format!("exactly.once.support = {other:?} is neither requested nor required");
        return Err(Error::new(Kind::Config, what));
    }
    let enabled = word(worker, "exactly.once.source.support").is_some_and(|word| word == "enabled");
    if enabled || wanted.as_deref() == Some("required") {
        target.set("sink.delivery", Value::from("exactly_once"));
    }
    Ok(())
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

/// Takes over one side's converter and returns its registry, if it has one. As in Kafka Connect, the
/// class and its settings come from the same file.
fn converter(
    side: &str,
    connector: &Properties,
    worker: &Properties,
    target: &mut Target,
) -> Result<Option<String>> {
    let name = format!("{side}.converter");
    let from = if connector.contains_key(&name) { connector } else { worker };
    let Some(class) = from.get(&name) else {
        return Err(Error::new(Kind::Config, format!("{name} is not set, neither in the worker's file"))
            .remedy("give the worker's file too: --worker FILE"));
    };
    let front = format!("{name}.");
    let settings: Properties = from
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(&front)?.to_owned(), value.clone())))
        .collect();
    let found = CONVERTERS.iter().find(|(known, _)| known == class);
    let Some((_, format)) = found else {
        let known: Vec<&str> = CONVERTERS.iter().map(|(class, _)| *class).collect();
        return Err(Error::new(Kind::Config, format!("{name} = {class} is not supported"))
            .remedy(format!("supported are: {}", known.join(", "))));
    };
    if *format != "avro" {
        target.set(&format!("encode.{side}.format"), Value::from(*format));
        let table = if side == "key" { table::JSON_KEY } else { table::JSON_VALUE };
        target.apply(table, &front, &settings);
        return Ok(None);
    }
    target.apply(table::CONVERTER, &front, &settings);
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
    let url = settings.get("schema.registry.url").cloned();
    url.map(Some).ok_or_else(|| Error::new(Kind::Config, format!("{front}schema.registry.url is not set")))
}

/// The TOML being built.
#[derive(Default)]
struct Target {
    table: Table,
    notes: Vec<Note>,
}

impl Target {
    /// Applies every property by its rule. `front` stands before the names in messages.
    fn apply(&mut self, table: &[(&str, Rule)], front: &str, properties: &Properties) {
        for (name, value) in properties {
            let fate = match table::rule(table, name) {
                None => Fate::Ignored("it is not a property of Debezium 3.6 or of Kafka Connect"),
                Some(rule) => self.one(rule, value).unwrap_or_else(|error| {
                    Fate::Refused(format!("{error}; {}", error.hint()).trim_end_matches("; ").to_owned())
                }),
            };
            self.notes.push(Note { property: format!("{front}{name}"), fate });
        }
    }

    fn one(&mut self, rule: Rule, value: &str) -> Result<Fate> {
        let refuse = |why: &str| Error::new(Kind::Config, format!("cannot be followed: {why}"));
        Ok(match rule {
            Rule::Set(path, form) => {
                self.set(path, written(&properties::resolve(value)?, form)?);
                Fate::Mapped(path)
            }
            Rule::Word(path, words) => {
                let word = words.iter().find(|word| word.eq_ignore_ascii_case(value.trim()));
                let word = word.ok_or_else(|| {
                    refuse(&format!("{value:?} is not supported"))
                        .remedy(format!("supported are: {}", words.join(", ")))
                })?;
                // Debezium's older word for the same.
                self.set(path, Value::from(if *word == "never" { "no_data" } else { word }));
                Fate::Mapped(path)
            }
            Rule::Only(values, _) | Rule::Unless(values, _)
                if values.iter().any(|one| one.eq_ignore_ascii_case(value.trim())) =>
            {
                Fate::Ignored("it is what this connector does anyway")
            }
            Rule::Only(_, why) | Rule::Refused(why) => {
                return Err(refuse(why).remedy("remove the property, or keep this connector on Debezium"));
            }
            Rule::Unless(_, why) => Fate::NotFollowed(why),
            Rule::Ignored(why) => Fate::Ignored(why),
            Rule::Together(path) => Fate::Mapped(path),
        })
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
        Form::Flag | Form::Negated => {
            let flag = value.trim().to_lowercase().parse::<bool>().map_err(|_| wrong("true or false"))?;
            Value::from(flag != matches!(form, Form::Negated))
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
