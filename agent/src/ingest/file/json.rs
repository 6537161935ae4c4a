//! JSON lines → rows.

use super::{Bad, Rows};
use serde_json::Value as Json;
use shared::error::{Kind, OrKind, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// A longer line is no row.
pub(super) const MAX_LINE_BYTES: usize = 16 << 20;

pub struct Lines {
    reader: BufReader<File>,
    place: u64,
    line: u64,
    buffer: Vec<u8>,
}

impl Lines {
    /// `place` is where a line begins, and `row` lines stand before it.
    pub fn open(path: &Path, place: u64, row: u64) -> Result<Lines> {
        let mut file = File::open(path).or_kind(Kind::Config)?;
        file.seek(SeekFrom::Start(place)).or_kind(Kind::Config)?;
        Ok(Lines { reader: BufReader::new(file), place, line: row, buffer: Vec::new() })
    }

    /// Reads a line, or as much of it as may be kept; gives its whole length.
    fn read_line(&mut self) -> std::io::Result<u64> {
        self.buffer.clear();
        let limit = MAX_LINE_BYTES as u64 + 1;
        let mut length = self.reader.by_ref().take(limit).read_until(b'\n', &mut self.buffer)? as u64;
        while length > 0 && self.buffer.last() != Some(&b'\n') {
            let rest = self.reader.fill_buf()?;
            if rest.is_empty() {
                break;
            }
            let (skipped, ended) = match rest.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (rest.len(), false),
            };
            self.reader.consume(skipped);
            length += skipped as u64;
            if ended {
                break;
            }
        }
        Ok(length)
    }
}

impl Rows for Lines {
    fn next(&mut self) -> Result<Option<std::result::Result<Json, Bad>>> {
        let length = self.read_line().or_kind(Kind::Unreachable)?;
        if length == 0 {
            return Ok(None);
        }
        self.place += length;
        self.line += 1;
        Ok(Some(row(&self.buffer)))
    }

    fn place(&self) -> u64 {
        self.place
    }

    fn line(&self) -> String {
        format!("line {}", self.line)
    }
}

/// One line; pure, fuzzed.
pub(crate) fn row(line: &[u8]) -> std::result::Result<Json, Bad> {
    if line.len() > MAX_LINE_BYTES {
        return Err(format!("the line is longer than {MAX_LINE_BYTES} bytes"));
    }
    // What serde_json says names kinds and columns, never a value.
    match serde_json::from_slice(line) {
        Ok(Json::Object(object)) => Ok(Json::Object(object)),
        Ok(_) => Err("the line is no JSON object".to_owned()),
        Err(error) => Err(format!("no JSON: {error}")),
    }
}
