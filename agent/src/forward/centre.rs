//! Central Kafka as this room needs it: librdkafka in life, in a test a world in memory that misbehaves.

use super::client::Client;
use super::flight::Mark;
use crate::config::forward::ForwardConfig;
use rdkafka::message::OwnedHeaders;
use shared::error::{Error, Result};
use shared::time::Clock;
use std::collections::BTreeMap;
use std::time::Duration;

/// One record on its way.
pub struct Outgoing<'a> {
    pub topic: &'a str,
    /// `None`: by its key as the Java client does, or any.
    pub partition: Option<i32>,
    /// Milliseconds since 1970. (librdkafka takes 0 for "now".)
    pub time_ms: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Option<OwnedHeaders>,
    /// Comes back with the acknowledgement.
    pub number: u64,
}

/// How far we are, as one central partition keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub topic: String,
    pub partition: i32,
    pub next_offset: i64,
    /// By local partition.
    pub marks: Vec<(i32, Mark)>,
}

/// One client's life at the centre: it begins, sends and commits; after a failure it is dropped, and nothing
/// of it is mended.
pub trait Centre: Send {
    /// The cluster's name, which our positions in it belong to.
    fn cluster(&self) -> Result<String>;

    /// With transactions: ends an earlier process of this name, and what it left open.
    fn start(&mut self) -> Result<()>;

    /// How many partitions a topic has; 0 if there is no such topic yet: asking lets the brokers make it.
    fn partitions(&self, topic: &str) -> Result<u32>;

    /// How far a topic's local partitions are by what was committed, as the last to begin finds it.
    fn committed(&self, topic: &str, partitions: u32) -> Result<BTreeMap<i32, Mark>>;

    /// Begins a transaction if there are some and none is open.
    fn begin(&mut self) -> Result<()>;

    /// `false` if the queue is full: poll, then send it again.
    ///
    /// # Errors
    /// What no retry can help, of this record alone (`Data`) or of the whole client.
    fn send(&self, outgoing: Outgoing<'_>) -> Result<bool>;

    /// Serves acknowledgements, for at most `wait`.
    ///
    /// # Errors
    /// The first delivery that failed for good, and its topic if only that is to blame.
    fn poll(&self, wait: Duration) -> std::result::Result<(), (Error, Option<String>)>;

    /// Moves the acknowledgements so far to the end of `out`: a number, and how many records with it.
    fn take(&self, out: &mut Vec<(u64, u64)>);

    /// Why no broker can be reached; forgotten with the next acknowledgement.
    fn lost(&self) -> Option<String>;

    /// Bytes sent since the client was made, if they were counted anew.
    fn take_sent_bytes(&self) -> Option<u64>;

    /// Since when a transaction is open.
    fn transaction_age(&self) -> Option<Duration>;

    /// Shows what was sent since the last time, and how far we are with it, at once. All of it must be
    /// acknowledged.
    ///
    /// # Errors
    /// Whether it took place is not known then: the next client finds out.
    fn commit(&mut self, positions: &[Position], limit: Duration) -> Result<()>;

    /// Takes back what is open, so that nobody waits for it; the next client would do it too.
    fn abort(&mut self, limit: Duration);
}

/// Makes a client of this name; it reaches no broker yet. Whoever begins with the name ends those before.
pub type Make = Box<dyn Fn(&ForwardConfig, &str, &Clock) -> Result<Box<dyn Centre>> + Send>;

/// Clients of real Kafka.
pub fn kafka() -> Make {
    Box::new(|config, name, clock| Ok(Box::new(Client::new(config, name, clock)?)))
}
