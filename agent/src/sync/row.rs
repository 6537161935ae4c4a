//! A row as targets get it: unpacked, with its view.

use super::outbox::Waiting;
use crate::model::feature::{AsOf, EntityType, FeatureType, ViewId, ViewShape};
use crate::model::pack;
use crate::model::value::Value;
use std::sync::Arc;

/// A view as targets see it.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub shape: ViewShape,
    /// Of each feature.
    pub types: Vec<FeatureType>,
}

/// All views, also those that a target does not want.
pub type Views = Arc<[Arc<View>]>;

/// One entity's features of one view.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub view: Arc<View>,
    /// In the order of the view's entity columns.
    pub keys: Vec<Value>,
    pub as_of: AsOf,
    /// In the order of the view's features.
    pub values: Vec<Value>,
}

impl View {
    pub fn id(&self) -> ViewId {
        self.shape.id
    }

    /// Names and types of the entity's columns.
    pub fn entity(&self) -> &[(String, EntityType)] {
        &self.shape.entity
    }
}

impl Row {
    /// # Errors
    /// Why the row cannot go anywhere.
    pub fn of(view: &Arc<View>, waiting: &Waiting) -> Result<Row, &'static str> {
        let keys = pack::from_sortable(&waiting.entity).ok_or("its entity is damaged")?;
        if keys.len() != view.entity().len() {
            return Err("its entity has another number of keys than the view");
        }
        let values = pack::unpack(&waiting.packed).ok_or("its values are damaged")?;
        if values.len() != view.shape.features.len() {
            return Err("it has another number of values than the view has features");
        }
        Ok(Row { view: Arc::clone(view), keys, as_of: waiting.as_of, values })
    }

    /// Names and values of the entity's columns.
    pub fn named_keys(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.view.shape.entity.iter().map(|(name, _)| name.as_str()).zip(&self.keys)
    }

    /// Names and values of the features.
    pub fn named_values(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.view.shape.features.iter().map(String::as_str).zip(&self.values)
    }
}
