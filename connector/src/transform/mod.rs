//! Record → record: Kafka Connect's single-message transforms, in the order of the configuration.
//!
//! A transform that changes a schema derives it once per schema it meets and keeps it by the
//! schema's id; per record it only places values. Values it makes up live in its own buffers, which
//! is why it hands its record on instead of returning it.

mod cast;
mod changed;
mod derived;
mod drop_fields;
mod expression;
mod flatten;
mod header_fields;
mod headers;
mod insert_field;
mod json;
mod logical_message;
mod logical_router;
mod mask_field;
mod outbox;
mod partition_routing;
mod predicate;
mod properties;
mod regex_router;
mod replace_field;
mod reshape;
mod scripting;
mod side;
mod timestamp;
mod timezone;
mod unwrap;
mod vector;

#[cfg(any(test, fuzzing))]
pub use expression::fuzz;

use crate::config::Config;
use crate::config::transform::TransformConfig;
use crate::model::record::Record;
use predicate::Predicate;
use properties::Settings;
use shared::error::{Context, Error, Kind};
use shared::{Result, config::nearest};

/// Takes a record further: the next transform, or the encoder.
pub type Next<'n> = &'n mut dyn FnMut(&Record<'_>) -> Result<()>;

/// One step. Dropping a record is not to call `next`.
pub trait Transform: Send {
    /// # Errors
    /// `Data` when the record cannot be transformed, naming the transform; those of `next`.
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()>;
}

/// Makes a transform from its properties.
type Make = fn(&mut Settings<'_>) -> Result<Box<dyn Transform>>;

/// Class → transform. Debezium's and Kafka Connect's own names; their packages may be left out.
const CLASSES: &[(&str, Make)] = &[
    ("io.debezium.transforms.ExtractNewRecordState", unwrap::make),
    ("io.debezium.transforms.ExtractChangedRecordState", changed::make),
    ("io.debezium.transforms.ByLogicalTableRouter", logical_router::make),
    ("io.debezium.transforms.TimezoneConverter", timezone::make),
    ("io.debezium.transforms.outbox.EventRouter", outbox::make),
    ("io.debezium.transforms.partitions.PartitionRouting", partition_routing::make),
    ("io.debezium.transforms.HeaderToValue", header_fields::make_to_value),
    ("io.debezium.transforms.VectorToJsonConverter", vector::make),
    (
        "io.debezium.connector.postgresql.transforms.DecodeLogicalDecodingMessageContent",
        logical_message::make,
    ),
    ("io.debezium.transforms.Filter", scripting::make_filter),
    ("io.debezium.transforms.ContentBasedRouter", scripting::make_router),
    ("org.apache.kafka.connect.transforms.RegexRouter", regex_router::make),
    ("org.apache.kafka.connect.transforms.TimestampRouter", timestamp::make_router),
    ("org.apache.kafka.connect.transforms.Filter", headers::make_drop),
    ("org.apache.kafka.connect.transforms.InsertHeader", headers::make_insert),
    ("org.apache.kafka.connect.transforms.DropHeaders", headers::make_remove),
    ("org.apache.kafka.connect.transforms.ValueToKey", reshape::make_value_to_key),
    ("org.apache.kafka.connect.transforms.ReplaceField$Key", replace_field::make_key),
    ("org.apache.kafka.connect.transforms.ReplaceField$Value", replace_field::make_value),
    ("org.apache.kafka.connect.transforms.ExtractField$Key", replace_field::make_extract_key),
    ("org.apache.kafka.connect.transforms.ExtractField$Value", replace_field::make_extract_value),
    ("org.apache.kafka.connect.transforms.InsertField$Key", insert_field::make_key),
    ("org.apache.kafka.connect.transforms.InsertField$Value", insert_field::make_value),
    ("org.apache.kafka.connect.transforms.MaskField$Key", mask_field::make_key),
    ("org.apache.kafka.connect.transforms.MaskField$Value", mask_field::make_value),
    ("org.apache.kafka.connect.transforms.Cast$Key", cast::make_key),
    ("org.apache.kafka.connect.transforms.Cast$Value", cast::make_value),
    ("org.apache.kafka.connect.transforms.Flatten$Key", flatten::make_key),
    ("org.apache.kafka.connect.transforms.Flatten$Value", flatten::make_value),
    ("org.apache.kafka.connect.transforms.HoistField$Key", reshape::make_hoist_key),
    ("org.apache.kafka.connect.transforms.HoistField$Value", reshape::make_hoist_value),
    ("org.apache.kafka.connect.transforms.SetSchemaMetadata$Key", reshape::make_metadata_key),
    ("org.apache.kafka.connect.transforms.SetSchemaMetadata$Value", reshape::make_metadata_value),
    ("org.apache.kafka.connect.transforms.TimestampConverter$Key", timestamp::make_key),
    ("org.apache.kafka.connect.transforms.TimestampConverter$Value", timestamp::make_value),
    ("org.apache.kafka.connect.transforms.HeaderFrom$Key", header_fields::make_from_key),
    ("org.apache.kafka.connect.transforms.HeaderFrom$Value", header_fields::make_from_value),
];

/// All of them.
pub struct Transforms {
    steps: Vec<Step>,
}

/// A transform, and the records it is for.
struct Step {
    transform: Box<dyn Transform>,
    predicate: Option<Predicate>,
    negate: bool,
}

impl Transforms {
    /// # Errors
    /// `Config` for a class that is not known, or a property that it does not take.
    pub fn new(config: &Config) -> Result<Transforms> {
        let one = |given: &TransformConfig| {
            step(config, given).doing(|| format!("prepare transform {}", given.name))
        };
        Ok(Transforms { steps: config.transform.iter().map(one).collect::<Result<_>>()? })
    }

    #[inline]
    pub fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        pass(&mut self.steps, record, next)
    }
}

fn pass(steps: &mut [Step], record: &Record<'_>, next: Next<'_>) -> Result<()> {
    match steps.split_first_mut() {
        None => next(record),
        Some((first, rest)) if first.is_for(record) => {
            first.transform.apply(record, &mut |record| pass(rest, record, next))
        }
        Some((_, rest)) => pass(rest, record, next),
    }
}

impl Step {
    fn is_for(&self, record: &Record<'_>) -> bool {
        self.predicate.as_ref().is_none_or(|predicate| predicate.holds(record) != self.negate)
    }
}

fn step(config: &Config, given: &TransformConfig) -> Result<Step> {
    let make = class(&given.class)?;
    let mut settings = Settings::new(&given.properties);
    let transform = make(&mut settings)?;
    settings.warn_unused(&given.name);
    let predicate = given.predicate.as_ref().map(|name| {
        let found = config.predicate.get(name).ok_or_else(|| {
            Error::new(Kind::Config, format!("predicate {name} is not defined"))
                .remedy(format!("add [predicate.{name}] with its type"))
        })?;
        Predicate::new(found).doing(|| format!("prepare predicate {name}"))
    });
    Ok(Step { transform, predicate: predicate.transpose()?, negate: given.negate })
}

fn class(name: &str) -> Result<Make> {
    let short = |class: &str| class.rsplit('.').next().unwrap_or_default().to_owned();
    // Kafka has a filter of its own: without a package Debezium's is meant.
    let found = CLASSES.iter().find(|(class, _)| *class == name);
    let found =
        found.or_else(|| CLASSES.iter().find(|(class, _)| !name.contains('.') && short(class) == name));
    found.map(|(_, make)| *make).ok_or_else(|| {
        let known: Vec<String> = CLASSES.iter().map(|(class, _)| short(class)).collect();
        let error = Error::new(Kind::Config, format!("transform class {name} is not supported"));
        match nearest(name, CLASSES.iter().map(|(class, _)| *class)) {
            Some(near) => error.remedy(format!("did you mean {near}?")),
            None => error.remedy(format!(
                "there is no JVM here to load a class into; supported are: {}",
                known.join(", ")
            )),
        }
    })
}

#[cfg(test)]
mod tests;
