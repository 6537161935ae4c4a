//! Single records at an even pace, each sent alone and waited for: from the first byte of the request to
//! the answer, which comes after the commit is synced. Written by hand, so that no client's own waiting
//! is measured.

use super::agent::Agent;
use crate::say;
use stack::error::Doing;
use stack::{HOST, Result};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

const VALUE_BYTES: usize = 300;
/// Produce, version 3.
const PRODUCE: [u8; 4] = [0, 0, 0, 3];
const METADATA: [u8; 4] = [0, 3, 0, 4];
const TOPIC: &[u8] = b"single";

/// The 99th percentile in milliseconds.
pub fn run(program: &Path, rate: u64, seconds: u64) -> Result<f64> {
    let agent = Agent::start(program)?;
    let mut stream = TcpStream::connect((HOST, agent.door)).doing(|| "connect to the door".to_owned())?;
    let _ = stream.set_nodelay(true);
    exchange(&mut stream, &metadata())?;
    let mut latencies = Vec::new();
    let began = Instant::now();
    for number in 0..rate * seconds {
        let due = Duration::from_secs_f64(number as f64 / rate as f64);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let request = produce(number);
        let sent = Instant::now();
        exchange(&mut stream, &request)?;
        latencies.push(sent.elapsed().as_secs_f64() * 1e3);
    }
    agent.stop()?;
    latencies.sort_by(f64::total_cmp);
    let at = |share: usize| latencies.get(latencies.len() * share / 100).copied().unwrap_or(f64::NAN);
    say(&format!(
        "single sends at {rate}/s: p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms of {}",
        at(50),
        at(90),
        at(99),
        latencies.len()
    ));
    Ok(at(99))
}

fn exchange(stream: &mut TcpStream, request: &[u8]) -> Result<()> {
    let mut talk = || -> std::io::Result<()> {
        stream.write_all(request)?;
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut answer)
    };
    talk().doing(|| "talk to the door".to_owned())
}

/// Asks for the topic, which makes it.
fn metadata() -> Vec<u8> {
    let mut body = vec![0, 0, 0, 1];
    put_text(&mut body, TOPIC);
    body.push(1);
    frame(METADATA, &body)
}

fn produce(number: u64) -> Vec<u8> {
    // No transaction; all acknowledge; a limit of time; one topic, one partition.
    let mut body = vec![0xff, 0xff, 0xff, 0xff, 0, 0, 0x75, 0x30, 0, 0, 0, 1];
    put_text(&mut body, TOPIC);
    body.extend([0, 0, 0, 1, 0, 0, 0, 0]);
    let batch = batch(number);
    put_length(&mut body, batch.len());
    body.extend(batch);
    frame(PRODUCE, &body)
}

/// One record without key in a batch of format 2.
fn batch(number: u64) -> Vec<u8> {
    let mut record = vec![0, 0, 0, 1];
    put_varint(&mut record, VALUE_BYTES);
    let mut value = number.to_be_bytes().to_vec();
    value.resize(VALUE_BYTES, b'v');
    record.extend(value);
    record.push(0);
    let mut checked = vec![0; 6];
    checked.extend([0; 16]);
    checked.extend([0xff; 14]);
    checked.extend([0, 0, 0, 1]);
    put_varint(&mut checked, record.len());
    checked.extend(record);
    let mut out = vec![0; 8];
    put_length(&mut out, checked.len() + 9);
    out.extend([0, 0, 0, 0, 2]);
    out.extend(checksum(&checked).to_be_bytes());
    out.extend(checked);
    out
}

fn frame(head: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_length(&mut out, 4 + 4 + 2 + body.len());
    out.extend(head);
    // A number for the answer, and no client's name.
    out.extend([0, 0, 0, 1, 0xff, 0xff]);
    out.extend(body);
    out
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend(u16::try_from(text.len()).unwrap_or_default().to_be_bytes());
    out.extend(text);
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend(u32::try_from(length).unwrap_or_default().to_be_bytes());
}

fn put_varint(out: &mut Vec<u8>, value: usize) {
    let mut left = value << 1;
    while left >= 0x80 {
        out.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

/// CRC-32C, a bit at a time: a record a millisecond needs no more.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn checksum_of_the_usual_digits() {
        assert_eq!(super::checksum(b"123456789"), 0xe306_9283);
    }
}
