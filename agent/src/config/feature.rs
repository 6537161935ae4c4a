//! `[features]`: the engine and its HTTP door; `[[feature_view]]`: the definitions as written.

use super::wrong;
use serde::{Deserialize, Serialize};
use shared::error::Result;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Values leave a window at most this late, though nothing else happens.
const DEFAULT_TICK: Duration = Duration::from_millis(200);
/// Work of one transaction: large enough to share the cost of its commit, small enough to stay fresh.
const DEFAULT_BATCH_BYTES: usize = 1 << 20;
/// A record batch may unpack to at most this; a larger one is put aside.
const DEFAULT_UNPACKED_BYTES: usize = 64 << 20;
/// Entities whose windows stay at hand; the others are read from the file when they are touched. Some
/// 10,000 users with five features take 20 MiB.
const DEFAULT_CACHE_BYTES: usize = 48 << 20;

/// `[features]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeaturesConfig {
    /// Address of `/get-online-features`; Feast's own default port.
    pub listen: SocketAddr,
    /// How often windows are looked at for rows that left them.
    #[serde(with = "shared::time::duration")]
    pub tick: Duration,
    /// Bytes of the log that one transaction takes.
    pub batch_bytes: usize,
    /// Bytes that one record batch may unpack to.
    pub unpacked_bytes: usize,
    /// Memory for the windows of entities, shared equally by the views.
    pub cache_bytes: usize,
}

impl Default for FeaturesConfig {
    fn default() -> Self {
        FeaturesConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 6566)),
            tick: DEFAULT_TICK,
            batch_bytes: DEFAULT_BATCH_BYTES,
            unpacked_bytes: DEFAULT_UNPACKED_BYTES,
            cache_bytes: DEFAULT_CACHE_BYTES,
        }
    }
}

impl FeaturesConfig {
    pub fn check(&self) -> Result<()> {
        if self.tick < Duration::from_millis(10) || self.tick > Duration::from_secs(60) {
            return Err(wrong("features.tick must be between 10ms and 60s"));
        }
        if self.batch_bytes < 4096 || self.unpacked_bytes < 1 << 20 {
            return Err(wrong("features.batch_bytes must be at least 4096, features.unpacked_bytes 1 MiB"));
        }
        if self.cache_bytes < 1 << 20 {
            return Err(wrong("features.cache_bytes must be at least 1 MiB"));
        }
        Ok(())
    }
}

/// What a view is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Meaning {
    /// The table's rows: updates and deletes take back what was there before.
    #[default]
    Rows,
    /// The changes themselves: each insert and each update counts, and nothing is taken back.
    Changes,
}

/// `[[feature_view]]`, as written; `feature::definition` checks and compiles it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ViewConfig {
    pub name: String,
    pub topic: String,
    /// Columns that name the entity; they are the join keys.
    pub entity: Vec<String>,
    /// Kind of each join key: `int32`, `int64` or `string`; by default as the column is.
    #[serde(default)]
    pub entity_type: Vec<String>,
    /// Column of the event time; the commit's time when absent.
    #[serde(default)]
    pub time: Option<String>,
    #[serde(default)]
    pub meaning: Meaning,
    /// A row counts only where this SQL condition is true.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
    /// How old a value may be before readers are told.
    #[serde(default)]
    pub ttl: Option<String>,
    /// Other tables whose rows each row is joined with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lookup: Vec<LookupConfig>,
    pub feature: Vec<FeatureConfig>,
    /// File and line, for messages.
    #[serde(skip)]
    pub place: String,
}

/// `[[feature_view.lookup]]`, as written: another table's latest row, found by its key. `where` and `of` name
/// its columns `NAME.COLUMN`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LookupConfig {
    pub name: String,
    pub topic: String,
    /// Each column of that table's key, and the column of the view's own topic that it equals.
    #[serde(default)]
    pub on: BTreeMap<String, String>,
    /// File and line, for messages.
    #[serde(skip)]
    pub place: String,
}

/// `[[feature_service]]`: features that a model takes, under one name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceConfig {
    pub name: String,
    /// `view:feature`; `view:*` for all of a view.
    pub features: Vec<String>,
}

/// `[[feature_view.feature]]`, as written: an aggregate over a window, the latest value of a column
/// (`of` alone), or something over other features (`derived`, `vector`).
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeatureConfig {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<String>,
    /// The column; only `count` goes without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// How many values `first_n`, `last_n` and `last_distinct_n` give.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<usize>,
    /// Which percentile, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
    /// Length of the window; all rows when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// The window moves by this; as long as the window itself, it is a tumbling one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The window ends this long ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
    /// An expression over features of this view that stand above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub derived: Option<String>,
    /// Features of this view that stand above, as one list of doubles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vector: Vec<String>,
    /// `int64`, `double`, `string`, `bool`, `timestamp`, of a list its elements; by default what the
    /// aggregate gives.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// File and line, for messages.
    #[serde(skip)]
    pub place: String,
}
