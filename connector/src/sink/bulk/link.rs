//! The connection to one leader: requests go out as they come, answers come back in their order.

use super::access::Access;
use super::sender::Answer;
use super::wire::{self, Duplex};
use bytes::Bytes;
use kafka_protocol::messages::produce_request::TopicProduceData;
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use shared::error::{Error, Kind, Result};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// Requests without an answer yet.
const REQUESTS: usize = 5;
/// How long the leader may wait for its replicas.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// A connection on which an answer takes longer is given up.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// A batch: topic, partition, and the batch's number.
pub type BatchId = (usize, usize, i32);

/// The sender's side of it.
pub struct Link {
    pub serial: u64,
    pub up: bool,
    /// Partitions with something to send.
    pub ready: VecDeque<(usize, usize)>,
    requests: UnboundedSender<Bytes>,
    correlation: i32,
    under_way: VecDeque<Request>,
}

struct Request {
    correlation: i32,
    since: Instant,
    batches: Vec<BatchId>,
}

impl Link {
    /// Begins to connect. `serial` tells it from those before it.
    pub fn start(serial: u64, access: Access, address: String, answers: UnboundedSender<Answer>) -> Link {
        let (requests, taken) = mpsc::unbounded_channel();
        tokio::spawn(run(serial, access, address, taken, answers));
        Link {
            serial,
            up: false,
            ready: VecDeque::new(),
            requests,
            correlation: 0,
            under_way: VecDeque::new(),
        }
    }

    pub fn has_room(&self) -> bool {
        self.up && self.under_way.len() < REQUESTS
    }

    pub fn is_late(&self) -> bool {
        self.under_way.front().is_some_and(|request| request.since.elapsed() >= ANSWER_LIMIT)
    }

    /// # Errors
    /// `Bug`: such a request cannot be written.
    pub fn send(&mut self, data: Vec<TopicProduceData>, batches: Vec<BatchId>) -> Result<()> {
        self.correlation = self.correlation.wrapping_add(1);
        let timeout = i32::try_from(WRITE_LIMIT.as_millis()).unwrap_or(i32::MAX);
        let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(timeout).with_topic_data(data);
        let frame = wire::frame(&request, wire::PRODUCE, self.correlation)?;
        // What cannot be handed over is under way all the same: the connection is about to be lost.
        let _ = self.requests.send(frame);
        self.under_way.push_back(Request { correlation: self.correlation, since: Instant::now(), batches });
        Ok(())
    }

    /// The batches that an answer is about, if it is to the oldest request.
    pub fn answered(&mut self, correlation: i32) -> Option<Vec<BatchId>> {
        let request = self.under_way.pop_front_if(|request| request.correlation == correlation)?;
        Some(request.batches)
    }

    /// What it leaves when it is lost: those that wait, and those under way.
    pub fn left(self) -> (VecDeque<(usize, usize)>, impl Iterator<Item = BatchId>) {
        (self.ready, self.under_way.into_iter().flat_map(|request| request.batches))
    }
}

/// Runs until the connection is lost, or nobody sends any more.
async fn run(
    serial: u64,
    access: Access,
    address: String,
    requests: UnboundedReceiver<Bytes>,
    answers: UnboundedSender<Answer>,
) {
    let ended = async {
        let stream = access.open(&address).await?.stream;
        // Whoever is told may be gone.
        let _ = answers.send(Answer::Up(serial));
        carry(serial, stream, requests, &answers).await
    };
    if let Err(error) = ended.await {
        let _ = answers.send(Answer::Lost(serial, error));
    }
}

async fn carry(
    serial: u64,
    stream: Box<dyn Duplex>,
    mut requests: UnboundedReceiver<Bytes>,
    answers: &UnboundedSender<Answer>,
) -> Result<()> {
    let (mut reading, mut writing) = tokio::io::split(stream);
    let write = async {
        while let Some(request) = requests.recv().await {
            if writing.write_all(&request).await.is_err() {
                break;
            }
        }
        // A broken connection still holds answers, and tells the reader its end behind them: what is sent again
        // without need may be refused, or be there twice, when the broker has restarted.
        while requests.recv().await.is_some() {}
    };
    let read = async {
        loop {
            let (correlation, body) = wire::read_frame(&mut reading).await?;
            let response: ProduceResponse = wire::decode::<ProduceRequest>(body, wire::PRODUCE)?;
            if answers.send(Answer::Produced(serial, correlation, response)).is_err() {
                return Err(Error::new(Kind::Unreachable, "nobody waits for answers"));
            }
        }
    };
    tokio::select! {
        () = write => Ok(()),
        lost = read => lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use kafka_protocol::protocol::Encodable;

    /// What is sent again without need is refused by a broker that has restarted meanwhile.
    #[tokio::test(flavor = "current_thread")]
    async fn answers_on_a_connection_that_broke_are_heard() {
        const ANSWERS: i32 = 4;
        let mut answer = BytesMut::new();
        ProduceResponse::default().encode(&mut answer, wire::PRODUCE).expect("encoded");
        // Which half of a connection is looked at first is left to chance.
        for _ in 0..50 {
            let (near, mut far) = tokio::io::duplex(4096);
            for correlation in 0..ANSWERS {
                far.write_i32(i32::try_from(answer.len() + 4).expect("small")).await.expect("room");
                far.write_i32(correlation).await.expect("room");
                far.write_all(&answer).await.expect("room");
            }
            drop(far);
            let (requests, taken) = mpsc::unbounded_channel();
            requests.send(Bytes::from_static(b"a request")).expect("taken");
            let (answers, mut heard) = mpsc::unbounded_channel();
            let lost = carry(7, Box::new(near), taken, &answers).await.expect_err("its end is told");
            assert_eq!(lost.kind(), Kind::Unreachable);
            for correlation in 0..ANSWERS {
                let Ok(Answer::Produced(7, number, _)) = heard.try_recv() else { panic!("{correlation}") };
                assert_eq!(number, correlation);
            }
        }
    }
}
