//! Answers on their way out: encoded by the protocol crate, framed, in the requests' order.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiKey, ResponseHeader};
use kafka_protocol::protocol::{Encodable, StrBytes};
use shared::{Error, Kind, Result};
use std::pin::Pin;
use tokio::sync::OwnedSemaphorePermit;

/// Bytes to be written, and the memory they hold until then. `None`: nothing is to be written.
pub(super) struct Answer {
    pub bytes: Bytes,
    pub memory: Option<OwnedSemaphorePermit>,
}

/// An answer that may still be waiting for a commit or for news.
pub(super) type Pending = Pin<Box<dyn Future<Output = Result<Option<Answer>>> + Send>>;

/// Which request an answer belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub key: ApiKey,
    pub version: i16,
    pub correlation: i32,
}

impl Asked {
    /// The whole frame of an answer.
    pub fn frame(self, body: &impl Encodable) -> Result<Bytes> {
        let encoded = self.encode(body).map_err(|error| {
            let what = format!("{error:#}");
            Error::new(Kind::Bug, what).doing(format!("encode {:?} version {}", self.key, self.version))
        });
        encoded.map(BytesMut::freeze)
    }

    fn encode(self, body: &impl Encodable) -> std::result::Result<BytesMut, Box<dyn std::error::Error>> {
        const LENGTH: usize = 4;
        let mut frame = BytesMut::with_capacity(64 + body.compute_size(self.version)?);
        frame.put_i32(0);
        let header = ResponseHeader::default().with_correlation_id(self.correlation);
        header.encode(&mut frame, self.key.response_header_version(self.version))?;
        body.encode(&mut frame, self.version)?;
        let length = i32::try_from(frame.len() - LENGTH)?;
        if let Some(place) = frame.get_mut(..LENGTH) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        Ok(frame)
    }

    /// An answer that is ready and small.
    pub fn ready(self, body: &impl Encodable) -> Pending {
        let answer = self.frame(body).map(|bytes| Some(Answer { bytes, memory: None }));
        Box::pin(std::future::ready(answer))
    }
}

/// Kafka's number for an error.
pub(super) fn code(error: ResponseError) -> i16 {
    error.code()
}

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
