//! Where the reading of central Kafka stands, for the status page.

use std::sync::{Arc, Mutex, PoisonError};

#[derive(Clone, Debug, Default)]
pub struct State {
    pub connected: bool,
    /// Records made durable since the start.
    pub records: u64,
    /// Why nothing is read, if so.
    pub error: Option<String>,
    /// Topics that the brokers do not have.
    pub missing: Vec<String>,
    pub partitions: Vec<Partition>,
}

#[derive(Clone, Debug)]
pub struct Partition {
    pub topic: String,
    pub partition: i32,
    /// `None`: from the beginning.
    pub next_offset: Option<i64>,
    /// Why this one is not read.
    pub error: Option<String>,
}

/// The consumer's hand for others.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Mutex<State>>);

impl Watch {
    pub fn get(&self) -> State {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
