//! CSV with a line of names → rows. What is empty is null; what looks like a number, a truth or a time
//! is one, unless the column's schema says otherwise.

use super::json::MAX_LINE_BYTES;
use super::{Bad, Rows};
use crate::ingest::avro::derive;
use ::csv::{ByteRecord, Reader, ReaderBuilder};
use serde_json::{Map, Number, Value as Json};
use shared::error::{Error, Kind, OrKind, Result};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::Path;

pub struct Csv {
    reader: Reader<BufReader<File>>,
    names: Vec<String>,
    /// Where the reader began.
    start: u64,
    row: u64,
    record: ByteRecord,
    texts: Texts,
}

/// Columns that are texts whatever they look like, and whether each may be null.
pub type Texts = HashMap<String, bool>;

fn reader(file: File, delimiter: u8) -> Reader<BufReader<File>> {
    ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(BufReader::new(file))
}

impl Csv {
    /// `place` is where a row begins (0: the names), and `row` rows stand before it.
    pub fn open(path: &Path, delimiter: u8, place: u64, row: u64, texts: Texts) -> Result<Csv> {
        let mut first = reader(File::open(path).or_kind(Kind::Config)?, delimiter);
        let mut record = ByteRecord::new();
        first.read_byte_record(&mut record).or_kind(Kind::Data)?;
        let names = names(&record).map_err(|why| Error::new(Kind::Data, why))?;
        let start = place.max(first.position().byte());
        let mut file = File::open(path).or_kind(Kind::Config)?;
        file.seek(SeekFrom::Start(start)).or_kind(Kind::Config)?;
        Ok(Csv { reader: reader(file, delimiter), names, start, row, record, texts })
    }
}

impl Rows for Csv {
    fn next(&mut self) -> Result<Option<std::result::Result<Json, Bad>>> {
        if !self.reader.read_byte_record(&mut self.record).or_kind(Kind::Unreachable)? {
            return Ok(None);
        }
        self.row += 1;
        Ok(Some(row(&self.names, &self.record, &self.texts)))
    }

    fn place(&self) -> u64 {
        self.start + self.reader.position().byte()
    }

    fn line(&self) -> String {
        format!("row {}", self.row)
    }
}

/// The columns' names, as Avro takes them.
fn names(record: &ByteRecord) -> std::result::Result<Vec<String>, String> {
    let mut names: Vec<String> = Vec::with_capacity(record.len());
    for (at, cell) in record.iter().enumerate() {
        let text =
            std::str::from_utf8(cell).map_err(|_| format!("the name of column {} is no text", at + 1))?;
        let name = derive::field_name(text.trim_start_matches('\u{feff}'));
        if names.contains(&name) {
            return Err(format!("two columns are called {name}"));
        }
        names.push(name);
    }
    if names.is_empty() { Err("the file has no line of names".to_owned()) } else { Ok(names) }
}

/// One row; pure, fuzzed.
pub(crate) fn row(names: &[String], record: &ByteRecord, texts: &Texts) -> std::result::Result<Json, Bad> {
    if record.len() != names.len() {
        return Err(format!("expected {} columns, found {}", names.len(), record.len()));
    }
    if record.as_slice().len() > MAX_LINE_BYTES {
        return Err(format!("the row is longer than {MAX_LINE_BYTES} bytes"));
    }
    let mut row = Map::new();
    for (name, cell) in names.iter().zip(record) {
        let text = std::str::from_utf8(cell).map_err(|_| format!("{name}: is no text in UTF-8"))?;
        let value = match texts.get(name) {
            Some(true) if text.is_empty() => Json::Null,
            Some(_) => text.into(),
            None => value(text),
        };
        row.insert(name.clone(), value);
    }
    Ok(Json::Object(row))
}

/// What a cell shows. A number with zeros in front (a postcode, a telephone) is a text.
fn value(text: &str) -> Json {
    match text {
        "" => return Json::Null,
        "true" | "TRUE" | "True" => return true.into(),
        "false" | "FALSE" | "False" => return false.into(),
        _ => {}
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain = digits.starts_with(|c: char| c.is_ascii_digit())
        && !(digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0."));
    if is_plain {
        if let Ok(number) = text.parse::<i64>() {
            return number.into();
        }
        let is_fraction =
            digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
        if let (true, Some(number)) = (is_fraction, text.parse().ok().and_then(Number::from_f64)) {
            return Json::Number(number);
        }
    }
    text.into()
}

/// Every sound row of a text, with how many names there are.
#[cfg(any(test, fuzzing))]
pub(super) fn each_row(input: &[u8], mut each: impl FnMut(usize, Json)) {
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input);
    let mut record = ByteRecord::new();
    if !reader.read_byte_record(&mut record).unwrap_or(false) {
        return;
    }
    let Ok(names) = names(&record) else { return };
    while reader.read_byte_record(&mut record).unwrap_or(false) {
        if let Ok(row) = row(&names, &record, &Texts::new()) {
            each(names.len(), row);
        }
    }
}
