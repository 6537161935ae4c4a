//! `[event.values]`: how the database's types stand in records. Debezium's handling modes.

use serde::Deserialize;
use shared::error::{Error, Kind, Result};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ValuesConfig {
    pub decimal: DecimalMode,
    pub time: TimeMode,
    pub binary: BinaryMode,
    pub interval: IntervalMode,
    pub hstore: HstoreMode,
    /// Fraction digits of `money`.
    pub money_digits: u32,
    /// What stands for a value that the database did not send; `hex:…` gives its bytes.
    pub unavailable: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecimalMode {
    #[default]
    Precise,
    Double,
    String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeMode {
    /// The unit follows from the column's precision.
    #[default]
    Adaptive,
    AdaptiveTimeMicroseconds,
    /// Kafka Connect's own logical types.
    Connect,
    Isostring,
    Microseconds,
    Nanoseconds,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BinaryMode {
    #[default]
    Bytes,
    Base64,
    Base64UrlSafe,
    Hex,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalMode {
    #[default]
    Numeric,
    String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HstoreMode {
    #[default]
    Json,
    Map,
}

impl Default for ValuesConfig {
    fn default() -> Self {
        ValuesConfig {
            decimal: DecimalMode::default(),
            time: TimeMode::default(),
            binary: BinaryMode::default(),
            interval: IntervalMode::default(),
            hstore: HstoreMode::default(),
            money_digits: 2,
            unavailable: "__debezium_unavailable_value".to_owned(),
        }
    }
}

impl ValuesConfig {
    pub fn check(&self) -> Result<()> {
        if self.money_digits > 20 {
            let what = format!("event.values.money_digits = {} is too large", self.money_digits);
            return Err(Error::new(Kind::Config, what).remedy("currencies have 0 to 4; 2 is usual"));
        }
        Ok(())
    }
}
