//! Transactions at the agent's door, with real clients: all of one is seen or nothing, whoever is killed.

use crate::java;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use support::edge::Agent;
use support::topics;

/// Polled by a thread of its own.
type Sender = ThreadedProducer<DefaultProducerContext>;

const LIMIT: Duration = Duration::from_secs(60);

fn producer(agent: &Agent, id: &str, more: &[(&str, &str)]) -> Sender {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", agent.brokers()).set("transactional.id", id).set("linger.ms", "1");
    config.set("reconnect.backoff.ms", "20").set("reconnect.backoff.max.ms", "200");
    for (name, value) in more {
        config.set(*name, *value);
    }
    let producer: Sender = config.create().expect("a producer");
    producer.init_transactions(LIMIT).expect("transactions begin");
    producer
}

fn send(producer: &Sender, topic: &str, value: &str) {
    let mut record = BaseRecord::<(), str>::to(topic).payload(value);
    while let Err((error, again)) = producer.send(record) {
        let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
        assert_eq!(error, full, "a record is queued");
        std::thread::sleep(Duration::from_millis(1));
        record = again;
    }
}

fn values(agent: &Agent, topic: &str) -> Vec<String> {
    let records = topics::read(&agent.brokers(), topic).remove(topic).unwrap_or_default();
    let text = |record: topics::Record| String::from_utf8(record.value.expect("a value")).expect("text");
    records.into_iter().map(text).collect()
}

#[test]
fn librdkafka_commits_aborts_and_is_fenced() {
    let mut agent = Agent::start(&[]);
    let first = producer(&agent, "shop", &[]);
    first.begin_transaction().expect("begins");
    (0..1_000).for_each(|n| send(&first, "a", &n.to_string()));
    (0..10).for_each(|n| send(&first, "b", &n.to_string()));
    first.flush(LIMIT).expect("all is acknowledged");
    assert_eq!((values(&agent, "a").len(), values(&agent, "b").len()), (0, 0), "nothing is seen yet");
    first.commit_transaction(LIMIT).expect("commits");
    let all: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
    assert_eq!((values(&agent, "a"), values(&agent, "b").len()), (all, 10));

    first.begin_transaction().expect("begins");
    send(&first, "b", "never");
    first.flush(LIMIT).expect("acknowledged");
    first.abort_transaction(LIMIT).expect("aborts");
    first.begin_transaction().expect("begins");
    send(&first, "b", "after");
    first.commit_transaction(LIMIT).expect("commits");
    assert_eq!(values(&agent, "b").split_off(10), ["after"]);

    first.begin_transaction().expect("begins");
    send(&first, "b", "of the first");
    first.flush(LIMIT).expect("acknowledged");
    let second = producer(&agent, "shop", &[]);
    let fenced = first.commit_transaction(LIMIT).expect_err("another has taken over");
    let code = fenced.rdkafka_error_code();
    assert!(matches!(code, Some(RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced)), "{fenced}");
    second.begin_transaction().expect("begins");
    send(&second, "b", "of the second");
    second.commit_transaction(LIMIT).expect("commits");
    assert_eq!(values(&agent, "b").split_off(11), ["of the second"]);
    assert_eq!(agent.program.stop().expect("the agent stops"), 0);
}

/// A transaction that nobody ends is aborted, and takes no room any more.
#[test]
fn what_is_left_open_times_out() {
    let mut agent = Agent::start(&[]);
    agent.launch.allow(&["buffer_transaction_expired"]);
    let settings = [("transaction.timeout.ms", "2000"), ("message.timeout.ms", "2000")];
    let left = producer(&agent, "left", &settings);
    left.begin_transaction().expect("begins");
    send(&left, "t", "never");
    left.flush(LIMIT).expect("acknowledged");
    agent.program.wait_event("buffer_transaction_expired", LIMIT).expect("is aborted");
    left.commit_transaction(LIMIT).expect_err("too late");
    assert_eq!(agent.program.metric("tidegate_agent_buffer_log_bytes").expect("is told"), 0.0);
    let again = producer(&agent, "left", &settings);
    again.begin_transaction().expect("begins");
    send(&again, "t", "in time");
    again.commit_transaction(LIMIT).expect("commits");
    assert_eq!(values(&agent, "t"), ["in time"]);
    assert_eq!(agent.program.stop().expect("the agent stops"), 0);
}

/// One producer goes on while the agent is killed again and again: each transaction's records are there
/// whole, once and in order, or not at all if it was aborted.
#[test]
fn the_agent_is_killed_in_the_middle() {
    /// At least as many of both: how many fit between two kills is the machine's.
    const TRANSACTIONS: usize = 150;
    const KILLS: u32 = 3;
    const RECORDS: u32 = 40;
    let mut agent = Agent::start(&[]);
    let committing =
        producer(&agent, "killed", &[("transaction.timeout.ms", "60000"), ("batch.num.messages", "7")]);
    let kills = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&kills);
    let work = std::thread::spawn(move || {
        let mut committed: Vec<bool> = Vec::new();
        while committed.len() < TRANSACTIONS || counted.load(Ordering::Relaxed) < KILLS {
            let transaction = committed.len();
            let end = Instant::now() + LIMIT;
            committing.begin_transaction().expect("begins");
            for record in 0..RECORDS {
                send(&committing, "killed", &format!("{transaction} {record}"));
            }
            committed.push(transaction % 5 != 4);
            if transaction % 5 == 4 {
                committing.abort_transaction(LIMIT).expect("aborts");
                continue;
            }
            // Retriable: the broker is away; the same end is asked for again.
            while let Err(error) = committing.commit_transaction(Duration::from_secs(10)) {
                let retriable = matches!(&error, KafkaError::Transaction(error) if error.is_retriable());
                assert!(retriable && Instant::now() < end, "transaction {transaction}: {error}");
            }
        }
        committed
    });
    while !work.is_finished() {
        std::thread::sleep(Duration::from_millis(fastrand::u64(100..700)));
        agent.program.kill().expect("kill -9");
        kills.fetch_add(1, Ordering::Relaxed);
        agent.program = agent.launch.start().expect("it starts again");
        agent.program.wait_ready(LIMIT).expect("ready");
    }
    let committed = work.join().expect("the producer's thread");
    let kills = kills.load(Ordering::Relaxed);
    let mut seen: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    let mut order = Vec::new();
    for value in values(&agent, "killed") {
        let (transaction, record) = value.split_once(' ').expect("two numbers");
        let transaction = transaction.parse().expect("a number");
        seen.entry(transaction).or_default().push(record.parse().expect("a number"));
        order.push(transaction);
    }
    assert!(order.is_sorted(), "transactions come one after the other");
    let whole: Vec<u32> = (0..RECORDS).collect();
    for (transaction, committed) in committed.iter().enumerate() {
        let want = committed.then(|| whole.clone());
        assert_eq!(seen.remove(&transaction), want, "transaction {transaction} after {kills} kills");
    }
    let aborted = committed.iter().filter(|committed| !**committed).count();
    println!("{} transactions, {aborted} of them aborted, {kills} kills", committed.len());
    assert_eq!(agent.program.stop().expect("the agent stops"), 0);
}

#[test]
fn java_commits_aborts_and_is_fenced() {
    let mut agent = Agent::start(&[]);
    let Some(sent) = java::door(&agent.brokers(), "transactions", "java", &[]) else { return };
    let offsets: Vec<&str> = sent.iter().filter_map(|line| line.rsplit_once(' ')).map(|(_, o)| o).collect();
    assert_eq!(offsets, ["0", "1", "2", "3", "4", "5", "3", "4", "5"], "{sent:?}");
    let want = ["0 first 0", "1 first 1", "2 first 2", "3 last 0", "4 last 1", "5 last 2"];
    assert_eq!(java::door(&agent.brokers(), "read", "java", &[]).expect("Java"), want);
    let fenced = java::door(&agent.brokers(), "fence", "fence", &[]).expect("Java");
    assert!(matches!(&fenced[..], [line] if line.starts_with("fenced ")), "{fenced:?}");
    assert_eq!(java::door(&agent.brokers(), "read", "fence", &[]).expect("Java"), ["0 of the later"]);
    assert_eq!(agent.program.stop().expect("the agent stops"), 0);
}

/// Consume, process, produce: records and the group's offsets go together.
#[test]
fn java_copies_with_its_offsets() {
    let mut agent = Agent::start(&[]);
    if java::door(&agent.brokers(), "produce", "from", &[]).is_none() {
        return;
    }
    let copied = java::door(&agent.brokers(), "copy", "from", &[]).expect("Java");
    assert_eq!(copied, ["committed nothing", "committed 2"]);
    let read = java::door(&agent.brokers(), "read", "from.copy", &[]).expect("Java");
    assert_eq!(read, ["0 one", "1 two"], "what was aborted is not there");
    assert_eq!(java::door(&agent.brokers(), "group", "from", &[]).expect("Java"), ["0 one", "1 two"]);
    assert_eq!(java::door(&agent.brokers(), "group", "from", &[]).expect("Java"), Vec::<String>::new());
    assert_eq!(agent.program.stop().expect("the agent stops"), 0);
}
