//! Requests and answers on a connection to a broker.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::api_versions_request::ApiVersionsRequest;
use kafka_protocol::messages::{ApiKey, RequestHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use shared::error::{Error, Kind, OrKind, Result};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

const CLIENT: &str = "tidegate-connector";
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// An answer is far smaller; more is no answer.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// Before the frame itself: its length.
const LENGTH_BYTES: usize = 4;

/// The versions that are spoken: all that brokers from 2.1 to 4 have in common.
pub const PRODUCE: i16 = 7;
pub const METADATA: i16 = 7;
pub const PRODUCER_ID: i16 = 1;
pub const HANDSHAKE: i16 = 1;
pub const AUTHENTICATE: i16 = 1;
const NEEDED: [(ApiKey, i16); 3] =
    [(ApiKey::Produce, PRODUCE), (ApiKey::Metadata, METADATA), (ApiKey::InitProducerId, PRODUCER_ID)];

/// What carries bytes both ways, encrypted or not.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection that asks one thing at a time.
pub struct Connection {
    pub stream: Box<dyn Duplex>,
    correlation: i32,
}

impl Connection {
    pub fn over(stream: Box<dyn Duplex>) -> Connection {
        Connection { stream, correlation: 0 }
    }

    /// # Errors
    /// `Rejected` if the broker does not speak what is needed; `Unreachable`.
    pub async fn compare_versions(&mut self) -> Result<()> {
        let offered = self.ask(&ApiVersionsRequest::default(), 0).await?.api_keys;
        for (key, version) in NEEDED {
            let offer = offered.iter().find(|offer| offer.api_key == key as i16);
            if !offer.is_some_and(|offer| (offer.min_version..=offer.max_version).contains(&version)) {
                return Err(Error::new(Kind::Rejected, format!("a broker has no {key:?} {version}")));
            }
        }
        Ok(())
    }

    /// # Errors
    /// `Unreachable`, also for an answer that is none.
    pub async fn ask<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response> {
        self.correlation = self.correlation.wrapping_add(1);
        let frame = frame(request, version, self.correlation)?;
        let answer = async {
            self.stream.write_all(&frame).await.or_kind(Kind::Unreachable)?;
            read_frame(&mut self.stream).await
        };
        let (correlation, body) = timeout(ANSWER_LIMIT, answer).await.or_kind(Kind::Unreachable)??;
        if correlation != self.correlation {
            return Err(Error::new(Kind::Unreachable, "a broker answered another question"));
        }
        decode::<R>(body, version)
    }
}

/// The whole request, its length in front.
pub fn frame<R: Request>(request: &R, version: i16, correlation: i32) -> Result<Bytes> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(StrBytes::from_static_str(CLIENT)));
    let size = request.compute_size(version).map_err(unwritable)?;
    let mut out = BytesMut::with_capacity(LENGTH_BYTES + size + 64);
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    header.encode(&mut out, R::header_version(version)).map_err(unwritable)?;
    request.encode(&mut out, version).map_err(unwritable)?;
    let length = i32::try_from(out.len() - LENGTH_BYTES).or_kind(Kind::Bug)?;
    if let Some(place) = out.get_mut(..LENGTH_BYTES) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Ok(out.freeze())
}

fn unwritable(error: impl std::fmt::Display) -> Error {
    Error::new(Kind::Bug, format!("a request cannot be written: {error}"))
}

/// The answer's number, and the answer.
pub async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> Result<(i32, Bytes)> {
    let length = stream.read_i32().await.or_kind(Kind::Unreachable)?;
    let length = usize::try_from(length).ok().filter(|length| (4..=MAX_ANSWER_BYTES).contains(length));
    let length = length.ok_or_else(|| Error::new(Kind::Unreachable, "what answers is no broker"))?;
    let correlation = stream.read_i32().await.or_kind(Kind::Unreachable)?;
    // Grows as it comes: the length is only what the other side says.
    let mut body = Vec::new();
    let read = stream.take(length as u64 - 4).read_to_end(&mut body).await.or_kind(Kind::Unreachable)?;
    if read < length - 4 {
        return Err(Error::new(Kind::Unreachable, "the connection was closed"));
    }
    Ok((correlation, body.into()))
}

/// # Errors
/// `Unreachable`: the bytes are no answer to this request.
pub fn decode<R: Request>(mut body: Bytes, version: i16) -> Result<R::Response> {
    let newer = R::Response::header_version(version) > 0;
    debug_assert!(!newer, "none of the versions spoken has fields in its answer's header");
    R::Response::decode(&mut body, version)
        .map_err(|error| Error::new(Kind::Unreachable, format!("a broker's answer cannot be read: {error}")))
}
