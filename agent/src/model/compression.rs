//! The five codecs of a record batch, each bounded: a few hostile bytes must not become gigabytes.

use std::borrow::Cow;
use std::io::Read;

/// Java's snappy stream: magic, version and compatible version, then blocks with their length.
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_HEADER_LEN: usize = 16;

/// Why bytes could not be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpack {
    UnknownCodec,
    Damaged,
    TooLarge,
}

/// The records of a batch, by the codec number of its attributes; at most `limit` bytes.
pub fn unpack(codec: u8, bytes: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, Unpack> {
    match codec {
        0 => Ok(Cow::Borrowed(bytes)),
        1 => read_all(flate2::read::MultiGzDecoder::new(bytes), limit),
        2 => snappy(bytes, limit).map(Cow::Owned),
        3 => read_all(lz4_flex::frame::FrameDecoder::new(bytes), limit),
        4 => read_all(zstd::stream::read::Decoder::new(bytes).map_err(|_| Unpack::Damaged)?, limit),
        _ => Err(Unpack::UnknownCodec),
    }
}

fn read_all(reader: impl Read, limit: usize) -> Result<Cow<'static, [u8]>, Unpack> {
    let mut out = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut out).map_err(|_| Unpack::Damaged)?;
    if out.len() > limit { Err(Unpack::TooLarge) } else { Ok(Cow::Owned(out)) }
}

fn snappy(bytes: &[u8], limit: usize) -> Result<Vec<u8>, Unpack> {
    let mut out = Vec::new();
    if !bytes.starts_with(&XERIAL_MAGIC) {
        snappy_block(bytes, limit, &mut out)?;
        return Ok(out);
    }
    let mut rest = bytes.get(XERIAL_HEADER_LEN..).ok_or(Unpack::Damaged)?;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().ok_or(Unpack::Damaged)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Unpack::Damaged)?;
        let (block, after) = after.split_at_checked(length).ok_or(Unpack::Damaged)?;
        snappy_block(block, limit, &mut out)?;
        rest = after;
    }
    Ok(out)
}

fn snappy_block(block: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Unpack> {
    let length = snap::raw::decompress_len(block).map_err(|_| Unpack::Damaged)?;
    let start = out.len();
    if length > limit.saturating_sub(start) {
        return Err(Unpack::TooLarge);
    }
    out.resize(start + length, 0);
    let target = out.get_mut(start..).ok_or(Unpack::Damaged)?;
    snap::raw::Decoder::new().decompress(block, target).map_err(|_| Unpack::Damaged)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn packed(codec: u8, plain: &[u8]) -> Vec<u8> {
        match codec {
            1 => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(plain).expect("in memory");
                encoder.finish().expect("in memory")
            }
            2 => snap::raw::Encoder::new().compress_vec(plain).expect("in memory"),
            3 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(plain).expect("in memory");
                encoder.finish().expect("in memory")
            }
            4 => zstd::stream::encode_all(plain, 1).expect("in memory"),
            _ => plain.to_vec(),
        }
    }

    fn xerial(plain: &[u8]) -> Vec<u8> {
        let mut out = XERIAL_MAGIC.to_vec();
        out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
        for part in plain.chunks(100) {
            let block = packed(2, part);
            out.extend_from_slice(&(block.len() as u32).to_be_bytes());
            out.extend_from_slice(&block);
        }
        out
    }

    #[test]
    fn every_codec_comes_back_and_keeps_its_bound() {
        let plain: Vec<u8> = (0..1000u32).map(|n| (n % 7) as u8).collect();
        let mut cases: Vec<(u8, Vec<u8>)> = (0..=4).map(|codec| (codec, packed(codec, &plain))).collect();
        cases.push((2, xerial(&plain)));
        for (codec, bytes) in cases {
            assert_eq!(unpack(codec, &bytes, 1000).expect("whole"), plain, "codec {codec}");
            if codec != 0 {
                assert_eq!(unpack(codec, &bytes, 999), Err(Unpack::TooLarge), "codec {codec}");
                let cut = bytes.get(..bytes.len() / 2).expect("half");
                assert!(unpack(codec, cut, 1000).is_err(), "codec {codec}");
            }
        }
        assert_eq!(unpack(5, &plain, 1000), Err(Unpack::UnknownCodec));
    }
}
