//! Positions as Kafka Connect and Debezium store them: the key `["name",{"server":"prefix"}]`, the
//! value a JSON object. Pure.
//!
//! What we write is always a boundary between transactions (`lsn`, `lsn_proc` and `lsn_commit` are
//! the same), which Debezium finds again without a search. What we read may be anything that any
//! version of Debezium wrote.

use super::incremental;
use super::java_map::Entry;
use super::progress;
use crate::model::position::{Lsn, Position, PostgresPosition, SnapshotState};
use serde_json::{Map, Value, json};
use shared::error::{Error, Kind, OrKind, Result};
use std::sync::Arc;

/// The bytes under which a connector's progress is stored: Connect's, without spaces, because the
/// partition follows from them.
pub fn key(connector: &str, server: &str) -> String {
    json!([connector, { "server": server }]).to_string()
}

/// Whether stored bytes are this key, however they are spaced.
pub fn is_key(stored: &[u8], key: &str) -> bool {
    stored == key.as_bytes() || parts(stored).is_some_and(|stored| parts(key.as_bytes()) == Some(stored))
}

/// Where our entry stands among those of a file: the one under our key, or else the only one of our
/// server (Debezium Server gives connectors names of its own).
pub fn ours(entries: &[Entry], key: &str) -> Option<usize> {
    let exact = entries.iter().position(|(stored, _)| is_key(stored, key));
    let (_, server) = parts(key.as_bytes())?;
    let mut same = entries
        .iter()
        .enumerate()
        .filter(|(_, (stored, _))| parts(stored).is_some_and(|(_, other)| other == server));
    exact.or_else(|| same.next().filter(|_| same.next().is_none()).map(|(at, _)| at))
}

/// The connector's name and whose progress it is. Old workers wrote a schema beside it.
fn parts(stored: &[u8]) -> Option<(Value, Value)> {
    let mut stored: Value = serde_json::from_slice(stored).ok()?;
    let payload = stored.get_mut("payload").map(Value::take).unwrap_or(stored);
    match payload {
        Value::Array(parts) => <[Value; 2]>::try_from(parts).ok().map(|[name, server]| (name, server)),
        _ => None,
    }
}

/// A position as Debezium would store it.
pub fn value(position: &Position) -> Value {
    let Position::Postgres(position) = position;
    let mut out = Map::new();
    // Java has no unsigned 64-bit number: the bits stay the same.
    let lsn = |lsn: Lsn| Value::from(lsn.0.cast_signed());
    if let Some(state) = position.snapshot {
        let completed = state == SnapshotState::Completed;
        out.insert("snapshot".to_owned(), json!("INITIAL"));
        out.insert("snapshot_completed".to_owned(), json!(completed));
        out.insert("last_snapshot_record".to_owned(), json!(completed));
    }
    let streams = position.snapshot.is_none();
    if streams {
        out.insert("lsn_proc".to_owned(), lsn(position.lsn));
    }
    if let Some(commit) = position.commit_lsn.filter(|_| streams) {
        out.insert("messageType".to_owned(), json!("COMMIT"));
        out.insert("lsn_commit".to_owned(), lsn(commit));
    }
    out.insert("lsn".to_owned(), lsn(position.lsn));
    if let Some(id) = position.transaction_id {
        out.insert("txId".to_owned(), json!(id));
    }
    out.insert("ts_usec".to_owned(), json!(position.commit_time_us));
    if let Some(read) = &position.progress {
        out.insert(progress::NAME.to_owned(), progress::value(read));
    }
    if let Some(state) = &position.incremental {
        incremental::write(state, &mut out);
    }
    Value::Object(out)
}

/// Reads a stored value; keys that are not known are left alone.
///
/// # Errors
/// `Lost` when it is no such object or names no position.
pub fn position(stored: &[u8]) -> Result<Position> {
    let mut stored: Map<String, Value> = serde_json::from_slice(stored).or_kind(Kind::Lost)?;
    if let Some(Value::Object(payload)) = stored.get_mut("payload").map(Value::take) {
        stored = payload;
    }
    let number = |name: &str| stored.get(name).and_then(Value::as_i64);
    let lsn = |name: &str| number(name).map(|n| Lsn(n.cast_unsigned()));
    let (commit_lsn, processed) = (lsn("lsn_commit"), lsn("lsn_proc").or(lsn("lsn")));
    // Between transactions all up to the last place is done. Within one Debezium stores the last row's
    // place; the commit before it is then the last place of which all is done.
    let between = stored.get("messageType").and_then(Value::as_str) == Some("COMMIT");
    let resume = if between { commit_lsn.max(processed) } else { commit_lsn.or(processed) };
    let Some(resume) = resume else {
        return Err(Error::new(Kind::Lost, "the stored offset has neither lsn_commit, lsn_proc nor lsn"));
    };
    Ok(Position::Postgres(PostgresPosition {
        lsn: resume,
        commit_lsn,
        transaction_id: number("txId").and_then(|id| u32::try_from(id).ok()),
        commit_time_us: number("ts_usec").unwrap_or(0),
        snapshot: snapshot(&stored),
        progress: stored.get(progress::NAME).and_then(progress::read).map(Arc::new),
        incremental: incremental::read(&stored).map(Arc::new),
    }))
}

/// With a message's type the stream has begun, whatever else is said: without an initial snapshot
/// (`no_data`) Debezium goes on calling it unfinished. Older versions wrote `true`, newer ones a word; some a word for the last record. A snapshot that was
/// asked for while streaming is not the initial one: the stream goes on where it stood.
fn snapshot(stored: &Map<String, Value>) -> Option<SnapshotState> {
    let flag = |name: &str| match stored.get(name) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(word)) => word.eq_ignore_ascii_case("true"),
        _ => false,
    };
    if stored.get("messageType").is_some_and(Value::is_string) {
        return None;
    }
    let running = match stored.get("snapshot") {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(word)) => {
            !["false", "blocking", "incremental"].contains(&word.to_ascii_lowercase().as_str())
        }
        _ => false,
    };
    let completed = flag("snapshot_completed") || flag("last_snapshot_record");
    running.then_some(if completed { SnapshotState::Completed } else { SnapshotState::Running })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres(lsn: u64, commit: Option<u64>, snapshot: Option<SnapshotState>) -> Position {
        Position::Postgres(PostgresPosition {
            lsn: Lsn(lsn),
            commit_lsn: commit.map(Lsn),
            transaction_id: Some(792),
            commit_time_us: 1_700_000_000_000_000,
            snapshot,
            progress: None,
            incremental: None,
        })
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (position, text) in [
            (
                postgres(37_125_760, Some(37_125_760), None),
                concat!(
                    r#"{"lsn_proc":37125760,"messageType":"COMMIT","lsn_commit":37125760,"#,
                    r#""lsn":37125760,"txId":792,"ts_usec":1700000000000000}"#
                ),
            ),
            // An idle database moved on after its last commit.
            (
                postgres(40, Some(30), None),
                concat!(
                    r#"{"lsn_proc":40,"messageType":"COMMIT","lsn_commit":30,"#,
                    r#""lsn":40,"txId":792,"ts_usec":1700000000000000}"#
                ),
            ),
            (
                postgres(7, None, Some(SnapshotState::Completed)),
                concat!(
                    r#"{"snapshot":"INITIAL","snapshot_completed":true,"last_snapshot_record":true,"#,
                    r#""lsn":7,"txId":792,"ts_usec":1700000000000000}"#
                ),
            ),
            (
                postgres(7, None, Some(SnapshotState::Running)),
                concat!(
                    r#"{"snapshot":"INITIAL","snapshot_completed":false,"last_snapshot_record":false,"#,
                    r#""lsn":7,"txId":792,"ts_usec":1700000000000000}"#
                ),
            ),
        ] {
            let stored = value(&position).to_string();
            assert_eq!(stored, text);
            assert_eq!(super::position(stored.as_bytes()).expect("readable"), position);
        }
        let high = postgres(u64::MAX, Some(u64::MAX), None);
        assert_eq!(super::position(value(&high).to_string().as_bytes()).expect("readable"), high);
    }

    #[test]
    fn what_debezium_writes_is_read() {
        for (text, lsn, commit, snapshot) in [
            (
                r#"{"transaction_id":null,"lsn_proc":20,"messageType":"INSERT","lsn_commit":10,"lsn":21,"txId":1,"ts_usec":2}"#,
                10,
                Some(10),
                None,
            ),
            (r#"{"lsn":21,"ts_usec":2,"lsn_proc":20,"xmin":null,"unheard_of":[1]}"#, 20, None, None),
            (
                r#"{"last_snapshot_record":true,"lsn":5,"txId":1,"ts_usec":2,"snapshot":true}"#,
                5,
                None,
                Some(SnapshotState::Completed),
            ),
            (
                r#"{"last_snapshot_record":false,"lsn":5,"snapshot":true}"#,
                5,
                None,
                Some(SnapshotState::Running),
            ),
            (
                r#"{"snapshot":"INITIAL","snapshot_completed":true,"lsn":5,"lsn_commit":null}"#,
                5,
                None,
                Some(SnapshotState::Completed),
            ),
            (r#"{"snapshot":false,"lsn":5}"#, 5, None, None),
            (
                r#"{"snapshot":"BLOCKING","snapshot_completed":false,"lsn":5,"lsn_commit":4}"#,
                4,
                Some(4),
                None,
            ),
        ] {
            let Position::Postgres(got) = position(text.as_bytes()).expect("readable");
            assert_eq!(
                (got.lsn, got.commit_lsn, got.snapshot),
                (Lsn(lsn), commit.map(Lsn), snapshot),
                "{text}"
            );
        }
        for text in ["", "null", "[]", "{}", r#"{"lsn":"x"}"#, "{"] {
            assert_eq!(position(text.as_bytes()).expect_err("no position").kind(), Kind::Lost, "{text}");
        }
    }

    #[test]
    fn keys_are_connect_s() {
        assert_eq!(key("a", "b"), r#"["a",{"server":"b"}]"#);
        assert!(is_key(br#"[ "a", {"server": "b"} ]"#, &key("a", "b")));
        assert!(!is_key(br#"["a",{"server":"c"}]"#, &key("a", "b")));
        assert!(!is_key(b"\xff", &key("a", "b")));
        assert!(is_key(br#"{"schema":null,"payload":["a",{"server":"b"}]}"#, &key("a", "b")));
    }

    #[test]
    fn a_file_s_entry_is_found_by_its_key_or_else_by_its_server() {
        let entries: Vec<Entry> = [key("kafka", "shop"), key("x", "plant"), key("y", "plant")]
            .map(|key| (key.into_bytes(), None))
            .into();
        for (connector, server, at) in [
            ("kafka", "shop", Some(0)),
            ("orders", "shop", Some(0)),
            ("y", "plant", Some(2)),
            ("orders", "plant", None),
            ("kafka", "other", None),
        ] {
            assert_eq!(ours(&entries, &key(connector, server)), at, "{connector} {server}");
        }
    }
}
