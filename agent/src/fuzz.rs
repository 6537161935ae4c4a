//! What holds of whatever bytes the agent's parsers meet: one body per fuzz target, in plain functions.
//!
//! `cargo dev fuzz TARGET` looks for new inputs on a nightly compiler; the tests below replay those that were
//! kept in `tests/fuzz/corpus/TARGET`, and inputs made from them by a seeded hand.

use crate::ingest::avro::{Encoder, derive};
use crate::ingest::door::fuzz as door;
use crate::ingest::file;
use crate::ingest::push::{body, feast, request};
use axum::body::Bytes;
use serde_json::Value as Json;

/// What a target does with an input.
type Body = fn(&[u8]);

const MAX_RECORDS: usize = 1_000;
const UNPACKED_BYTES: usize = 1 << 20;

/// All begin with the program's name: the other targets are the connector's.
pub const TARGETS: [(&str, Body); 7] = [
    ("agent_avro", avro),
    ("agent_batch", door::batch),
    ("agent_csv", csv),
    ("agent_feast", feast_rows),
    ("agent_login", door::login),
    ("agent_push", push),
    ("agent_request", door::request),
];

/// # Panics
/// When something does not hold of the input, and for a target that is not there.
pub fn run(target: &str, input: &[u8]) {
    let (_, body) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target of the list");
    body(input);
}

/// A pushed body: the first byte says how it is packed and what it holds.
fn push(input: &[u8]) {
    use request::Form;
    let Some((first, rest)) = input.split_first() else { return };
    let packing = match (first >> 4) & 3 {
        0 => body::Packing::Gzip,
        1 => body::Packing::Zstd,
        _ => body::Packing::Plain,
    };
    let Ok(plain) = body::unpack(packing, Bytes::copy_from_slice(rest), UNPACKED_BYTES) else { return };
    assert!(packing == body::Packing::Plain || plain.len() <= UNPACKED_BYTES, "it keeps its bound");
    let forms = [Form::Json, Form::Lines, Form::Raw, Form::Records, Form::Binary];
    let Some(form) = forms.get(usize::from(first & 7)) else { return };
    if let Ok(request) = request::read(*form, &plain, MAX_RECORDS, None) {
        assert!((1..=MAX_RECORDS).contains(&request.records.len()), "as many as are allowed");
    }
}

/// Feast's columns: as many rows as each of them has values.
fn feast_rows(input: &[u8]) {
    let _ = feast::target(input, "push_source_name");
    if let Ok(request) = feast::rows(input, MAX_RECORDS) {
        assert!((1..=MAX_RECORDS).contains(&request.records.len()), "as many as are allowed");
    }
}

/// A schema, a line feed, and JSON for it: what is written can be read; what is derived is a schema.
fn avro(input: &[u8]) {
    let Some(at) = input.iter().position(|byte| *byte == b'\n') else { return };
    let (Some(schema), Some(value)) = (input.get(..at), input.get(at + 1..)) else { return };
    let Ok(value) = serde_json::from_slice::<Json>(value) else { return };
    if let Some(object) = value.as_object()
        && let Ok(text) = derive::schema("t", &derive::columns_of(object))
        && let Ok(encoder) = Encoder::new(&text)
    {
        // Two nested objects may ask for one name; such a schema is refused above.
        let _ = encoder.encode(&value, &mut Vec::new());
    }
    let Ok(schema) = std::str::from_utf8(schema) else { return };
    if let Ok(encoder) = Encoder::new(schema) {
        let _ = encoder.encode(&value, &mut Vec::new());
    }
}

/// A line of names and rows: each row has a value for each name.
fn csv(input: &[u8]) {
    file::each_csv_row(input, |names, row| {
        let object = row.as_object().expect("a row is an object");
        assert_eq!(object.len(), names, "a value for each name");
    });
    for line in input.split(|byte| *byte == b'\n') {
        file::json_row(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    /// Inputs made of each kept one, in every test run.
    const MADE: u64 = 200;

    fn corpus(target: &str) -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus").join(target);
        let list = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<PathBuf> = list.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files
    }

    /// A number that looks like chance, the same in every run.
    fn chance(seed: &mut u64) -> usize {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) as usize
    }

    fn changed(input: &[u8], seed: &mut u64) -> Vec<u8> {
        let mut out = input.to_vec();
        for _ in 0..1 + chance(seed) % 4 {
            let at = chance(seed) % (out.len() + 1);
            match chance(seed) % 5 {
                0 => out.truncate(at),
                1 => out.insert(at, chance(seed) as u8),
                2 => out.extend_from_slice(&input[..at.min(input.len())]),
                3 => out.extend(b"{}[]\",:\\\n0e"),
                _ => {
                    if let Some(byte) = out.get_mut(at) {
                        *byte ^= 1 << (chance(seed) % 8);
                    }
                }
            }
        }
        out
    }

    #[test]
    fn each_target_has_its_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/program");
        let list = std::fs::read_dir(folder).expect("a folder");
        let stem = |path: PathBuf| path.file_stem().map(|name| name.to_string_lossy().into_owned());
        let mut names: Vec<String> = list.filter_map(|entry| stem(entry.expect("an entry").path())).collect();
        names.retain(|name| name.starts_with("agent_"));
        names.sort();
        assert_eq!(names, TARGETS.map(|(name, _)| name.to_owned()));
    }

    #[test]
    fn what_was_kept_and_what_is_made_of_it_holds() {
        for (target, body) in TARGETS {
            let files = corpus(target);
            assert!(!files.is_empty(), "{target} has a corpus");
            for file in files {
                let input = std::fs::read(&file).expect("readable");
                body(&input);
                let mut seed = 1;
                for _ in 0..MADE {
                    body(&changed(&input, &mut seed));
                }
            }
        }
    }
}
