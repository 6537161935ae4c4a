//! `[event]`: which records there are, and their names. Debezium's words where it has one.

use super::column::{Hash, Mask, Truncation};
use super::values::ValuesConfig;
use serde::Deserialize;
use shared::error::{Error, Kind, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotificationChannel {
    Topic,
    Log,
}

/// What `source.version` says by default: ours, since a consumer may ask who wrote a record.
const DEFAULT_SOURCE_VERSION: &str = concat!("tidegate ", env!("CARGO_PKG_VERSION"));

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventConfig {
    /// First part of every topic's name; also `source.name`.
    pub topic_prefix: String,
    #[serde(default)]
    pub topic_naming: TopicNaming,
    /// Between the parts of a topic's name.
    #[serde(default = "default_delimiter")]
    pub topic_delimiter: String,
    /// With `topic_naming = "regex"`: what of a topic's name is replaced, and by what.
    #[serde(default)]
    pub topic_regex: String,
    #[serde(default)]
    pub topic_replacement: String,
    /// With `topic_naming = "regex"`: tables that share a topic get a further field in their key.
    #[serde(default = "default_true")]
    pub topic_key_unique: bool,
    #[serde(default = "default_table_field")]
    pub topic_key_field: String,
    #[serde(default)]
    pub topic_key_regex: String,
    #[serde(default)]
    pub topic_key_replacement: String,
    /// A record without a value after each delete, so that compaction drops the key.
    #[serde(default = "default_true")]
    pub tombstones: bool,
    /// `source.version`; set it to Debezium's if a consumer looks at it.
    #[serde(default = "default_source_version")]
    pub source_version: String,
    /// The headers `__debezium.context.*` on every record.
    #[serde(default = "default_true")]
    pub headers: bool,
    /// Operations that make no record.
    #[serde(default = "default_skipped")]
    pub skip: Vec<Operation>,
    /// Leave out updates that change no captured column (needs the whole row before).
    #[serde(default)]
    pub skip_unchanged: bool,
    /// Names of schemas and of fields that Avro does not take.
    #[serde(default)]
    pub schema_names: Adjustment,
    #[serde(default)]
    pub field_names: Adjustment,
    /// Comments on columns become documentation in schemas.
    #[serde(default)]
    pub comments: bool,
    /// Columns whose declared type stands in their schemas: regular expressions on
    /// `schema.table.column`; and on `schema.table.type` or the type's name.
    #[serde(default)]
    pub source_type_columns: Vec<String>,
    #[serde(default)]
    pub source_type_types: Vec<String>,
    /// BEGIN and END records, and a block in each record, that say what belongs together.
    #[serde(default)]
    pub transactions: bool,
    /// Last part of the topic of BEGIN and END.
    #[serde(default = "default_transaction_topic")]
    pub transaction_topic: String,
    /// A record in a topic of its own this often; 0 sends none.
    #[serde(default)]
    pub heartbeat_interval_ms: u64,
    #[serde(default = "default_heartbeat_prefix")]
    pub heartbeat_prefix: String,
    /// The heartbeats' topic in full, instead of prefix and topic prefix.
    #[serde(default)]
    pub heartbeat_topic: Option<String>,
    /// How snapshots come on is told there.
    #[serde(default)]
    pub notifications: Vec<NotificationChannel>,
    /// `topic`: where to.
    #[serde(default)]
    pub notification_topic: Option<String>,
    #[serde(default)]
    pub values: ValuesConfig,
    /// What is done to texts of some columns.
    #[serde(default)]
    pub mask: Vec<Mask>,
    #[serde(default)]
    pub hash: Vec<Hash>,
    #[serde(default)]
    pub truncate: Vec<Truncation>,
}

/// Debezium's `topic.naming.strategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopicNaming {
    /// `prefix.schema.table`.
    #[default]
    Schema,
    /// The same; what Kafka does not take becomes `_uXXXX`.
    SchemaUnicode,
    /// `prefix.schema.table`, then a regular expression.
    Regex,
    /// `prefix.table`, and likewise.
    Default,
    DefaultUnicode,
    DefaultRegex,
}

impl TopicNaming {
    pub fn unicode(self) -> bool {
        matches!(self, TopicNaming::SchemaUnicode | TopicNaming::DefaultUnicode)
    }

    pub fn regex(self) -> bool {
        matches!(self, TopicNaming::Regex | TopicNaming::DefaultRegex)
    }

    /// Whether the table's schema is part of the name.
    pub fn with_schema(self) -> bool {
        matches!(self, TopicNaming::Schema | TopicNaming::SchemaUnicode | TopicNaming::Regex)
    }
}

/// Debezium's `schema.name.adjustment.mode` and `field.name.adjustment.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adjustment {
    #[default]
    None,
    /// What Avro does not take becomes `_`.
    Avro,
    /// It becomes `_uXXXX`.
    AvroUnicode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    Create,
    Update,
    Delete,
    Truncate,
}

impl EventConfig {
    pub fn check(&self) -> Result<()> {
        self.values.check()?;
        if self.notifications.contains(&NotificationChannel::Topic) && self.notification_topic.is_none() {
            return Err(Error::new(Kind::Config, "event.notifications has topic, but no topic is named")
                .remedy("set event.notification_topic"));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let named = |name: &str| !name.is_empty() && name.chars().all(allowed);
        for (key, value) in [
            ("topic_prefix", &self.topic_prefix),
            ("topic_delimiter", &self.topic_delimiter),
            ("transaction_topic", &self.transaction_topic),
            ("heartbeat_prefix", &self.heartbeat_prefix),
        ] {
            if !named(value) {
                let what = format!("event.{key} = {value:?} is no part of a topic's name");
                return Err(Error::new(Kind::Config, what)
                    .remedy("use letters, digits, dots, dashes and underscores; at least one"));
            }
        }
        Ok(())
    }

    pub fn skips(&self, operation: Operation) -> bool {
        self.skip.contains(&operation)
    }
}

fn default_true() -> bool {
    true
}
fn default_source_version() -> String {
    DEFAULT_SOURCE_VERSION.to_owned()
}
fn default_delimiter() -> String {
    ".".to_owned()
}
fn default_table_field() -> String {
    "__dbz__physicalTableIdentifier".to_owned()
}
/// Debezium's: consumers seldom know what to do with a truncate.
fn default_skipped() -> Vec<Operation> {
    vec![Operation::Truncate]
}
fn default_transaction_topic() -> String {
    "transaction".to_owned()
}
fn default_heartbeat_prefix() -> String {
    "__debezium-heartbeat".to_owned()
}
