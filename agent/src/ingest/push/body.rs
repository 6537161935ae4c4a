//! Packed bodies, unpacked to a limit: a few hostile bytes must not become gigabytes. Pure.

use super::answer::No;
use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use std::io::Read;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    pub fn of(headers: &HeaderMap) -> Result<Packing, No> {
        let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?"));
        match encoding.map(|text| text.trim().to_ascii_lowercase()).as_deref() {
            None | Some("" | "identity") => Ok(Packing::Plain),
            Some("gzip" | "x-gzip") => Ok(Packing::Gzip),
            Some("zstd") => Ok(Packing::Zstd),
            Some(_) => Err(No::Media("Content-Encoding may be gzip or zstd".to_owned())),
        }
    }
}

/// How many bytes the client says it sends; `None` if it does not say.
pub fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The plain bytes, at most `limit`.
pub fn unpack(packing: Packing, body: Bytes, limit: usize) -> Result<Bytes, No> {
    match packing {
        Packing::Plain => Ok(body),
        Packing::Gzip => read_all(flate2::read::MultiGzDecoder::new(body.as_ref()), limit),
        Packing::Zstd => {
            let decoder = zstd::stream::read::Decoder::new(body.as_ref());
            read_all(decoder.map_err(|_| damaged())?, limit)
        }
    }
}

fn damaged() -> No {
    No::Malformed("the packed body is damaged".to_owned())
}

fn read_all(reader: impl Read, limit: usize) -> Result<Bytes, No> {
    let mut out = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut out).map_err(|_| damaged())?;
    match out.len() > limit {
        true => {
            Err(No::TooLarge(format!("the body unpacks to more than {limit} bytes (push.unpacked_bytes)")))
        }
        false => Ok(out.into()),
    }
}
