//! Kafka as the central store: a topic per view, a record per change of an entity, in Avro, its schemas at
//! the registry. The key is the entity, so that a compacted topic keeps each entity's newest.
//!
//! A log has no way to refuse an older value. One agent's values come in order and with their time
//! (`event_timestamp`, and the record's own); readers of topics that several agents write for the same
//! entities compare it.

mod avro;

use super::{Answer, Answering, Row, Target, View};
use crate::config::sync::KafkaTopicConfig;
use avro::Plan;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};
use shared::avro::wire::{SchemaId, prefix};
use shared::error::{Context, Error, Kind, OrKind, Result};
use shared::registry::Registry;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A broker that takes longer is away.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Of records and their keys on their way; a batch is smaller.
const QUEUE_KBYTES: &str = "65536";

pub struct Kafka {
    config: KafkaTopicConfig,
    registry: Registry,
    producer: Option<FutureProducer<Quiet>>,
    plans: HashMap<String, Planned>,
}

struct Planned {
    topic: String,
    plan: Plan,
    /// Of key and value, once they are registered.
    ids: Option<(SchemaId, SchemaId)>,
}

/// librdkafka's words are details of what we say ourselves.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, text: &str) {
        tracing::debug!(event = "librdkafka", facility, text, "librdkafka says");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(event = "librdkafka", %error, reason, "librdkafka reports an error");
    }
}

impl Target for Kafka {
    fn ping(&mut self) -> Answering<'_, ()> {
        Box::pin(async {
            self.registry.ping().await?;
            let producer = self.producer()?;
            let asked = move || producer.client().fetch_metadata(None, ANSWER_LIMIT).map(drop);
            let asked = tokio::task::spawn_blocking(asked).await.or_kind(Kind::Bug)?;
            asked.or_kind(Kind::Unreachable).doing(|| format!("reach {}", self.config.kafka.brokers))
        })
    }

    fn send<'a>(&'a mut self, rows: &'a [Row]) -> Answering<'a, Vec<Answer>> {
        Box::pin(self.bring(rows))
    }
}

impl Kafka {
    pub fn new(config: &KafkaTopicConfig, views: &[Arc<View>]) -> Result<Kafka> {
        let mut plans = HashMap::new();
        for view in views {
            let name = &view.shape.name;
            let plan = Plan::of(view).doing(|| format!("make an Avro schema of feature view {name:?}"))?;
            let topic = config.topic.replace("{view}", name);
            plans.insert(name.clone(), Planned { topic, plan, ids: None });
        }
        let registry = Registry::new(config.registry.clone())?;
        Ok(Kafka { config: config.clone(), registry, producer: None, plans })
    }

    async fn bring(&mut self, rows: &[Row]) -> Result<Vec<Answer>> {
        let producer = self.producer()?;
        let mut under_way: Vec<std::result::Result<DeliveryFuture, Answer>> = Vec::with_capacity(rows.len());
        let mut full = false;
        for row in rows {
            // Order per key: what lies behind a record that found no room waits too.
            let sent = if full {
                Err(Answer::Again("the queue is full".to_owned()))
            } else {
                self.queue(&producer, row).await?
            };
            full |= matches!(sent, Err(Answer::Again(_)));
            under_way.push(sent);
        }
        let mut answers = Vec::with_capacity(rows.len());
        for sent in under_way {
            answers.push(match sent {
                Err(answer) => answer,
                Ok(delivery) => match delivery.await {
                    Ok(Ok(_)) => Answer::Stored,
                    Ok(Err((error, _))) => self.judge(&error),
                    Err(_) => Answer::Again("the producer ended".to_owned()),
                },
            });
        }
        if producer.client().fatal_error().is_some() {
            self.producer = None;
        }
        Ok(answers)
    }

    async fn queue(
        &mut self,
        producer: &FutureProducer<Quiet>,
        row: &Row,
    ) -> Result<std::result::Result<DeliveryFuture, Answer>> {
        let name = &row.view.shape.name;
        let planned = self.plans.get_mut(name).ok_or_else(|| {
            Error::new(Kind::Bug, format!("a row of feature view {name:?}, which has no plan"))
        })?;
        let (key_id, value_id) = match planned.ids {
            Some(ids) => ids,
            None => *planned.ids.insert(planned.register(&self.registry).await?),
        };
        let (mut key, mut value) = (prefix(key_id).to_vec(), prefix(value_id).to_vec());
        let written = planned.plan.key(row, &mut key).and_then(|()| planned.plan.value(row, &mut value));
        if let Err(why) = written {
            return Ok(Err(Answer::Refused(why)));
        }
        let record = FutureRecord::to(&planned.topic)
            .key(&key)
            .payload(&value)
            .timestamp(row.as_of.0.div_euclid(1_000_000));
        Ok(match producer.send_result(record) {
            Ok(delivery) => Ok(delivery),
            Err((error, _)) => Err(self.judge(&error)),
        })
    }

    fn judge(&mut self, error: &KafkaError) -> Answer {
        match error.rdkafka_error_code() {
            Some(
                Code::MessageSizeTooLarge
                | Code::InvalidMessage
                | Code::InvalidMessageSize
                | Code::InvalidRecord
                | Code::InvalidTimestamp,
            ) => Answer::Refused(error.to_string()),
            Some(Code::QueueFull) => Answer::Again(error.to_string()),
            _ => {
                // What it still holds is sent again by another one; readers see it twice at most.
                self.producer = None;
                let brokers = &self.config.kafka.brokers;
                Answer::Again(format!("sync to {brokers}: {error}"))
            }
        }
    }

    fn producer(&mut self) -> Result<FutureProducer<Quiet>> {
        if let Some(producer) = &self.producer {
            return Ok(producer.clone());
        }
        let made: FutureProducer<Quiet> =
            settings(&self.config).create_with_context(Quiet).or_kind(Kind::Config)?;
        self.producer = Some(made.clone());
        Ok(made)
    }
}

impl Planned {
    async fn register(&self, registry: &Registry) -> Result<(SchemaId, SchemaId)> {
        let subject = |part: &str| format!("{}-{part}", self.topic);
        let key = registry.register(&subject("key"), self.plan.key_schema(), false).await?;
        let value = registry.register(&subject("value"), self.plan.value_schema(), false).await?;
        Ok((key, value))
    }
}

/// Ours, then what the operator set for librdkafka.
fn settings(config: &KafkaTopicConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set_log_level(RDKafkaLogLevel::Info);
    for (name, value) in [
        ("client.id", "tidegate-agent"),
        ("enable.idempotence", "true"),
        ("acks", "all"),
        // As the Java client puts keys.
        ("partitioner", "murmur2_random"),
        ("compression.type", config.compression.text()),
        ("linger.ms", "5"),
        ("queue.buffering.max.kbytes", QUEUE_KBYTES),
        ("message.timeout.ms", &config.delivery_timeout.as_millis().to_string()),
        ("socket.keepalive.enable", "true"),
        ("log.connection.close", "false"),
    ] {
        client.set(name, value);
    }
    for (name, value) in config.kafka.client_properties() {
        client.set(name, value);
    }
    client
}
