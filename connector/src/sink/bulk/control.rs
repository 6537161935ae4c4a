//! What is asked of the cluster as a whole: our number as a producer, and who leads a topic's partitions.

use super::access::Access;
use super::outcome;
use super::sender::Answer;
use super::wire::{self, Connection};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{InitProducerIdRequest, MetadataRequest, TopicName};
use kafka_protocol::protocol::{Request, StrBytes};
use shared::error::{Error, Kind, Result};
use shared::retry::Backoff;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_CEILING: Duration = Duration::from_secs(5);
/// What a coordinator says that is loading, or is not there yet.
const COMES: [i16; 2] = [14, 15];

/// Who leads these topics' partitions?
pub struct Question {
    pub names: Vec<Arc<str>>,
    /// One that nobody made is the brokers' to make, as it is for librdkafka.
    pub make: bool,
}

/// A connection to any broker, made anew when it is lost.
struct Cluster {
    access: Access,
    brokers: Vec<String>,
    turn: usize,
    connection: Option<Connection>,
    backoff: Backoff,
}

/// Answers questions about topics until nobody asks any more.
pub async fn run(
    access: Access,
    brokers: &str,
    mut questions: UnboundedReceiver<Question>,
    answers: UnboundedSender<Answer>,
) {
    let brokers = brokers.split(',').map(|broker| address(broker.trim())).collect();
    let backoff = Backoff::new(RETRY_FIRST, RETRY_CEILING);
    let mut cluster = Cluster { access, brokers, turn: 0, connection: None, backoff };
    match cluster.producer().await {
        Ok((producer, epoch)) => {
            let _ = answers.send(Answer::Producer(producer, epoch));
        }
        Err(error) => {
            let _ = answers.send(Answer::Unfit(error.to_string()));
            return;
        }
    }
    while let Some(question) = questions.recv().await {
        let metadata = match cluster.ask(&question.request(), wire::METADATA).await {
            Ok(metadata) => metadata,
            Err(error) => {
                let _ = answers.send(Answer::Unfit(error.to_string()));
                return;
            }
        };
        if answers.send(Answer::Metadata(Box::new(metadata))).is_err() {
            return;
        }
    }
}

/// Kafka's port is 9092.
fn address(broker: &str) -> String {
    let name = broker.rsplit_once("://").map_or(broker, |(_, name)| name);
    let has_port = name.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { name.to_owned() } else { format!("{name}:9092") }
}

/// As it can be connected to.
pub fn join(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl Cluster {
    async fn producer(&mut self) -> Result<(i64, i16)> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(i32::MAX);
        loop {
            let given = self.ask(&request, wire::PRODUCER_ID).await?;
            match given.error_code {
                outcome::NONE => return Ok((given.producer_id.0, given.producer_epoch)),
                code if COMES.contains(&code) => tokio::time::sleep(self.backoff.delay()).await,
                code => {
                    return Err(Error::new(Kind::Rejected, format!("no producer's number: error {code}")));
                }
            }
        }
    }

    /// Asks one broker after the other for as long as none can be reached.
    async fn ask<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response> {
        loop {
            let answer = match self.connect().await {
                Ok(connection) => connection.ask(request, version).await,
                Err(error) => Err(error),
            };
            match answer {
                Err(error) if error.kind() == Kind::Unreachable => {
                    tracing::debug!(event = "bulk_asks_again", %error, "a broker is asked again");
                    self.connection = None;
                    self.turn = self.turn.wrapping_add(1);
                    tokio::time::sleep(self.backoff.delay()).await;
                }
                answer => {
                    self.backoff.reset();
                    return answer;
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<&mut Connection> {
        let place = self.turn % self.brokers.len().max(1);
        let address = self.brokers.get(place).map_or("", String::as_str);
        match &mut self.connection {
            Some(connection) => Ok(connection),
            none => Ok(none.insert(self.access.open(address).await?)),
        }
    }
}

impl Question {
    fn request(&self) -> MetadataRequest {
        let topic = |name: &Arc<str>| {
            let name = TopicName(StrBytes::from_string(name.to_string()));
            MetadataRequestTopic::default().with_name(Some(name))
        };
        MetadataRequest::default()
            .with_topics(Some(self.names.iter().map(topic).collect()))
            .with_allow_auto_topic_creation(self.make)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (given, want) in [
            ("a:1", "a:1"),
            ("a", "a:9092"),
            ("PLAINTEXT://a:1", "a:1"),
            ("[::1]:1", "[::1]:1"),
            ("[::1]", "[::1]:9092"),
        ] {
            assert_eq!(address(given), want);
        }
        assert_eq!([join("a.b", 1), join("::1", 1)], ["a.b:1", "[::1]:1"]);
    }
}
