//! Where the reading of central Kafka stands, for the status page.

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
pub type Watch = crate::model::watch::Watch<State>;
