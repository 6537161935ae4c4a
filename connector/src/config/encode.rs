//! `[encode.key]` and `[encode.value]`: which of Kafka Connect's converters the bytes are those of.

use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncodeConfig {
    pub key: SideConfig,
    pub value: SideConfig,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SideConfig {
    pub format: Format,
    /// JSON: the schema in each message.
    pub schemas: bool,
    /// JSON: how decimals are written.
    pub decimals: Decimals,
    /// JSON: NULL stays NULL in a column with a default.
    pub keep_nulls: bool,
}

impl Default for SideConfig {
    fn default() -> Self {
        SideConfig {
            format: Format::default(),
            schemas: true,
            decimals: Decimals::default(),
            keep_nulls: false,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// AvroConverter, with a schema registry.
    #[default]
    Avro,
    /// JsonConverter.
    Json,
    /// StringConverter.
    Text,
    /// ByteArrayConverter.
    Bytes,
}

/// JsonConverter's `decimal.format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decimals {
    #[default]
    Base64,
    Numeric,
}

impl EncodeConfig {
    /// Whether a schema registry is needed.
    pub fn uses_avro(&self) -> bool {
        [self.key, self.value].iter().any(|side| side.format == Format::Avro)
    }
}
