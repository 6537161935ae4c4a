//! The connection to one leader: requests go out as they come, answers come back in their order.

use super::access::Access;
use super::sender::Answer;
use super::wire::{self, Duplex};
use bytes::Bytes;
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use shared::error::{Error, Kind, OrKind, Result};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// Runs until the connection is lost, or nobody sends any more. `serial` tells it from those before it.
pub async fn run(
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
            writing.write_all(&request).await.or_kind(Kind::Unreachable)?;
        }
        Ok(())
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
        done = write => done,
        lost = read => lost,
    }
}
