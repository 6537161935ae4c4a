//! Transactions over a socket, as librdkafka and the Java client ask for them.

use super::socket::{Client, Served, fetch_from, produce_to, produced};
use super::*;
use crate::config::door::DoorConfig;
use crate::model::batch::tests::{sample as batch, staged};
use shared::kafka::batch::{self as model, Turn};

/// A producer with a transactional id, as it stands after InitProducerId.
struct Producer<'a> {
    served: &'a Served,
    client: Client,
    who: Incarnation,
    sequence: i32,
}

impl<'a> Producer<'a> {
    fn begin(served: &'a Served) -> Producer<'a> {
        let mut client = served.client();
        let answer = init(&mut client, None);
        assert_eq!(answer.error_code, 0);
        let who = Incarnation { producer: answer.producer_id.0, epoch: answer.producer_epoch };
        Producer { served, client, who, sequence: 0 }
    }

    fn open(&mut self, topic: &'static str) -> i16 {
        use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
        let topic =
            AddPartitionsToTxnTopic::default().with_name(TopicName(text(topic))).with_partitions(vec![0]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text("shop")))
            .with_v3_and_below_producer_id(ProducerId(self.who.producer))
            .with_v3_and_below_producer_epoch(self.who.epoch)
            .with_v3_and_below_topics(vec![topic]);
        let answer: AddPartitionsToTxnResponse = self.client.ask(ApiKey::AddPartitionsToTxn, 3, &request);
        answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
    }

    /// A batch of two records.
    fn send(&mut self) -> (i16, i64) {
        let Incarnation { producer, epoch } = self.who;
        let turn = Turn { producer, epoch, first_sequence: self.sequence };
        let bytes = staged(turn, 2, 30);
        let request = produce_to(self.served, 11, TOPICS[0], 0, Some(bytes));
        let request = request.with_transactional_id(Some(TransactionalId(text("shop"))));
        let answer: ProduceResponse = self.client.ask(ApiKey::Produce, 11, &request);
        let outcome = produced(&answer);
        if outcome.0 == 0 {
            self.sequence += 2;
        }
        outcome
    }

    fn end(&mut self, commit: bool) -> i16 {
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text("shop")))
            .with_producer_id(ProducerId(self.who.producer))
            .with_producer_epoch(self.who.epoch)
            .with_committed(commit);
        let answer: EndTxnResponse = self.client.ask(ApiKey::EndTxn, 4, &request);
        answer.error_code
    }
}

fn init(client: &mut Client, had: Option<Incarnation>) -> InitProducerIdResponse {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text("shop"))))
        .with_transaction_timeout_ms(60_000);
    let had = had.unwrap_or(Incarnation { producer: -1, epoch: -1 });
    let request = request.with_producer_id(ProducerId(had.producer)).with_producer_epoch(had.epoch);
    client.ask(ApiKey::InitProducerId, 5, &request)
}

/// What a reader gets: high watermark, last stable offset, and the batches' base offsets.
fn read(served: &Served) -> (i64, i64, Vec<i64>) {
    let request = fetch_from(served, 12, 0, 0).with_isolation_level(1);
    let answer: FetchResponse = served.client().ask(ApiKey::Fetch, 12, &request);
    let data = &answer.responses[0].partitions[0];
    assert!(data.aborted_transactions.as_ref().is_none_or(Vec::is_empty));
    let (mut rest, mut offsets) = (data.records.clone().unwrap_or_default(), Vec::new());
    while !rest.is_empty() {
        let length = 12
            + usize::try_from(i32::from_be_bytes(rest[8..12].try_into().expect("four"))).expect("a length");
        let one = rest.split_to(length);
        let head = model::Head::read(&one).expect("sound, with its checksum");
        assert!(!head.transactional, "once committed it is a batch like any other");
        offsets.push(i64::from_be_bytes(one[..8].try_into().expect("eight")));
    }
    (data.high_watermark, data.last_stable_offset, offsets)
}

#[test]
fn find_coordinator_names_this_node() {
    let served = Served::new("coordinator", DoorConfig::default());
    let mut client = served.client();
    for version in 1..=6 {
        let request = FindCoordinatorRequest::default().with_key_type(1);
        let request = match version {
            4.. => request.with_coordinator_keys(vec![text("shop")]),
            _ => request.with_key(text("shop")),
        };
        let answer: FindCoordinatorResponse = client.ask(ApiKey::FindCoordinator, version, &request);
        let port = answer.coordinators.first().map_or(answer.port, |one| one.port);
        assert_eq!((answer.error_code, port), (0, i32::from(served.address.port())), "version {version}");
    }
}

#[test]
fn nothing_is_seen_before_the_commit_and_all_after_it() {
    let served = Served::new("commit", DoorConfig::default());
    let mut producer = Producer::begin(&served);
    assert_eq!(producer.send(), (48, -1), "no transaction is open");
    assert_eq!(producer.open("nowhere"), 3);
    assert_eq!(producer.send(), (48, -1), "and the wish for an unknown topic opens none");
    assert_eq!(producer.open(TOPICS[0]), 0);
    assert_eq!([producer.send(), producer.send()], [(0, 0), (0, 2)]);
    let mut other = served.client();
    let plain = produce_to(&served, 9, TOPICS[0], 0, Some(batch(None, 1, 5)));
    let answer: ProduceResponse = other.ask(ApiKey::Produce, 9, &plain);
    assert_eq!(produced(&answer), (0, 0), "what is open takes no offsets");
    assert_eq!(read(&served), (1, 1, vec![0]));
    assert_eq!(producer.end(true), 0);
    assert_eq!(read(&served), (5, 5, vec![0, 1, 3]));
    assert_eq!(producer.end(true), 0, "asked again because the answer was lost");
    assert_eq!(producer.end(false), 48, "it was committed");

    assert_eq!(producer.open(TOPICS[0]), 0);
    assert_eq!(producer.send(), (0, 5));
    assert_eq!((producer.end(false), producer.end(false)), (0, 0));
    assert_eq!(producer.end(true), 48, "it was aborted");
    assert_eq!(producer.open(TOPICS[0]), 0);
    assert_eq!(producer.send(), (0, 5), "sequences go on, offsets are given anew");
    assert_eq!(producer.end(true), 0);
    assert_eq!(read(&served), (7, 7, vec![0, 1, 3, 5]));
}

#[test]
fn the_newer_incarnation_fences_the_older() {
    let served = Served::new("fence", DoorConfig::default());
    let mut older = Producer::begin(&served);
    assert_eq!(older.open(TOPICS[0]), 0);
    assert_eq!(older.send(), (0, 0));
    let mut newer = Producer::begin(&served);
    assert_eq!(newer.who, Incarnation { epoch: older.who.epoch + 1, ..older.who });
    assert_eq!((older.send(), older.end(true), older.open(TOPICS[0])), ((47, -1), 90, 90));
    assert_eq!(init(&mut older.client, Some(older.who)).error_code, 90, "there is no way back");
    assert_eq!((newer.open(TOPICS[0]), newer.send(), newer.end(true)), (0, (0, 0), 0));
    assert_eq!(read(&served), (2, 2, vec![0]), "what the older one left open is gone");

    // After an error of its own a producer goes on with the next epoch, also if it has to ask twice.
    let (first, second) =
        (init(&mut newer.client, Some(newer.who)), init(&mut newer.client, Some(newer.who)));
    assert_eq!((first.error_code, second.error_code), (0, 0));
    assert_eq!((first.producer_epoch, second.producer_epoch), (newer.who.epoch + 1, newer.who.epoch + 1));
    assert_eq!(newer.end(true), 90, "its former epoch has ended");
}

#[test]
fn a_time_limit_out_of_range_is_refused() {
    let served = Served::new("limit", DoorConfig::default());
    let mut client = served.client();
    for (timeout_ms, want) in [(0, 50), (-1, 50), (900_001, 50), (900_000, 0)] {
        let request = InitProducerIdRequest::default().with_transaction_timeout_ms(timeout_ms);
        let request = request.with_transactional_id(Some(TransactionalId(text("limit"))));
        let answer: InitProducerIdResponse = client.ask(ApiKey::InitProducerId, 2, &request);
        assert_eq!(answer.error_code, want, "{timeout_ms}");
    }
    for (name, want) in [(String::new(), 42), ("n".repeat(1_025), 42), ("n".repeat(1_024), 0)] {
        let request = InitProducerIdRequest::default().with_transaction_timeout_ms(1_000);
        let request = request.with_transactional_id(Some(TransactionalId(StrBytes::from_string(name))));
        let answer: InitProducerIdResponse = client.ask(ApiKey::InitProducerId, 2, &request);
        assert_eq!(answer.error_code, want);
    }
}
