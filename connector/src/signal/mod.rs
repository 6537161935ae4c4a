//! Requests from outside, in Debezium's words: read tables again, stop, pause, resume.
//!
//! They come as rows of a table in the source database, as records of a Kafka topic, as lines of a file, or
//! by the admin server's `/signal`.

mod file;
mod kafka;
mod parse;

#[cfg(any(test, fuzzing))]
pub mod fuzz;

pub use file::object;
pub use parse::{is_mark, parse};

use crate::config::Config;
use crate::config::signal::Channel;
use crate::model::request::Request;
use file::FileChannel;
use kafka::KafkaChannel;
use shared::Result;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Requests that wait to be taken; who sends faster is told to wait.
const WAITING: usize = 256;

/// The channels that have to be asked, and those who push.
pub struct Signals {
    file: Option<FileChannel>,
    kafka: Option<KafkaChannel>,
    inbox: Inbox,
    interval: Duration,
    asked: Option<Instant>,
}

/// Where other threads put requests.
#[derive(Clone, Default)]
pub struct Inbox(Arc<Mutex<Vec<Request>>>);

impl Inbox {
    /// `false` if too many wait already.
    pub fn put(&self, request: Request) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = waiting.len() < WAITING;
        if room {
            waiting.push(request);
        }
        room
    }

    fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Signals {
    /// # Errors
    /// `Config` for properties that librdkafka refuses.
    pub fn new(config: &Config, inbox: Inbox) -> Result<Signals> {
        let given = &config.signal;
        let kafka = given
            .uses(Channel::Kafka)
            .then(|| KafkaChannel::new(given, &config.sink.kafka, &config.event.topic_prefix));
        Ok(Signals {
            file: given.uses(Channel::File).then(|| FileChannel::new(given.file.clone())),
            kafka: kafka.transpose()?,
            inbox,
            interval: Duration::from_millis(given.poll_interval_ms),
            asked: None,
        })
    }

    /// What was asked since the last call. What cannot be understood is told in the log and passed over, as
    /// with Debezium.
    pub fn poll(&mut self) -> Vec<Request> {
        let mut requests = self.inbox.take();
        if self.asked.is_some_and(|asked| asked.elapsed() < self.interval) {
            return requests;
        }
        self.asked = Some(Instant::now());
        if let Some(file) = &mut self.file {
            requests.extend(file.poll());
        }
        if let Some(kafka) = &mut self.kafka {
            requests.extend(kafka.poll());
        }
        requests
    }

    /// All that was polled so far is done: the topic need not give it again.
    pub fn done(&mut self) {
        if let Some(kafka) = &mut self.kafka {
            kafka.commit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::signal::SignalConfig;
    use crate::model::request::Action;
    use shared::kafka::{KafkaConfig, Security};
    use std::collections::BTreeMap;

    fn no_broker() -> KafkaChannel {
        let (security, properties) = (Security::default(), BTreeMap::new());
        let kafka = KafkaConfig { brokers: "127.0.0.1:1".to_owned(), security, properties };
        KafkaChannel::new(&SignalConfig::default(), &kafka, "shop").expect("properties")
    }

    #[test]
    fn what_came_another_way_is_not_lost_when_the_topic_cannot_be_read() {
        let inbox = Inbox::default();
        let pause = parse("1", "pause-snapshot", "").expect("a signal");
        assert!(inbox.put(pause));
        let (interval, asked) = (Duration::ZERO, None);
        let mut signals = Signals { file: None, kafka: Some(no_broker()), inbox, interval, asked };
        let actions: Vec<Action> = signals.poll().into_iter().map(|request| request.action).collect();
        assert_eq!(actions, [Action::Pause]);
    }
}
