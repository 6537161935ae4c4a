//! A feature view's values for one entity, as features hand them to store and sync.

use super::value::Value;
use std::sync::{Arc, PoisonError, RwLock};

/// The number that a feature view has in the agent's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ViewId(pub i64);

/// When a set of values was true: nanoseconds since 1970. Microseconds are the clock's; the last three
/// digits break ties, so that two changes of one entity never share a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AsOf(pub i64);

impl AsOf {
    /// The first moment at or after `now_us` that is later than `previous`.
    pub fn after(previous: Option<AsOf>, now_us: i64) -> AsOf {
        let now = now_us.saturating_mul(1_000);
        AsOf(previous.map_or(now, |p| now.max(p.0.saturating_add(1))))
    }
}

/// All features of one view for one entity.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureRow {
    pub view: ViewId,
    /// The entity's key values in [`super::pack::sortable`] form.
    pub entity: Vec<u8>,
    /// In the order of the view's definition.
    pub values: Vec<Value>,
    /// Known to be other values than the entity's last ones; if false, nobody looked.
    pub differs: bool,
}

/// A [`FeatureRow`] that was stored, with the time it got.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRow {
    pub row: FeatureRow,
    pub as_of: AsOf,
}

/// Which kind a feature's values have towards the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureType {
    Int64,
    Double,
    Text,
    Bool,
    /// Whole seconds towards Feast.
    Timestamp,
    /// A list of doubles, made of other features.
    Vector,
    /// As the value comes: integers stay integers, decimals become doubles.
    Natural,
}

/// Which kind an entity's key has towards the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntityType {
    Int32,
    Int64,
    Text,
    /// As the column comes: integers as 64 bits, text as text.
    Natural,
}

/// What store and sync need to know of a view to speak of it to others.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewShape {
    pub id: ViewId,
    pub name: String,
    /// Counts the view's definitions.
    pub version: i64,
    pub entity: Vec<(String, EntityType)>,
    pub features: Vec<String>,
    /// How old a value may be before readers are told so; microseconds.
    pub ttl_us: Option<i64>,
}

/// The shapes that readers see, which change when a view's new version is complete.
#[derive(Clone, Debug)]
pub struct Served(Arc<RwLock<Arc<[ViewShape]>>>);

impl Served {
    pub fn new(shapes: Vec<ViewShape>) -> Served {
        Served(Arc::new(RwLock::new(shapes.into())))
    }

    pub fn get(&self) -> Arc<[ViewShape]> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn set(&self, shapes: Vec<ViewShape>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = shapes.into();
    }
}
