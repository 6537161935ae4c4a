//! What could not be converted → a JSON record that says what, where and why.
//!
//! ```json
//! {"table":"public.t","operation":"c","topic":"shop.public.t","position":"0/16B3748","transaction":731,
//!  "ts_ms":1732550400000,"error":{"kind":"data","words":"…"},"key":{"id":1},"value":{"after":{"id":1}}}
//! ```
//! A row that could not even be read has `before` and `after` in place of `key` and `value`: each cell
//! as the database's text. The headers are those of Kafka Connect's dead letters.

use super::json::{self, Writer};
use crate::model::change::Origin;
use crate::model::encoded::{Encoded, Headers};
use crate::model::record::{Datum, Header, HeaderValue};
use crate::model::refusal::{Content, RawCell, RawContent, Refusal};
use crate::model::value::Value;
use shared::error::Result;

/// Room in a message beside the content: error, headers, and what Kafka adds.
const RESERVE_BYTES: usize = 16 * 1024;

/// Makes dead letters for one topic.
#[derive(Debug)]
pub struct DeadLetters {
    topic: String,
    connector: String,
    /// What a message may take; larger content is left out, and that is said.
    max_bytes: usize,
    buffer: String,
}

impl DeadLetters {
    /// `connector` is the name that the records tell; `max_bytes` the largest message.
    pub fn new(topic: String, connector: String, max_bytes: usize) -> DeadLetters {
        DeadLetters { topic, connector, max_bytes, buffer: String::new() }
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Hands the record to `take`.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn write(
        &mut self,
        refusal: &Refusal<'_>,
        take: &mut dyn FnMut(&Encoded<'_>) -> Result<()>,
    ) -> Result<()> {
        let words = refusal.error.to_string();
        let table = refusal.table.map(ToString::to_string);
        let (topic, stage) = match refusal.content {
            Content::Row { .. } => ("", "READ"),
            Content::Record(record) => (record.topic, "CONVERT"),
        };
        self.buffer.clear();
        document(&mut self.buffer, refusal, table.as_deref(), topic, &words);
        let content_at = self.buffer.len();
        content(&mut self.buffer, &refusal.content);
        if self.buffer.len() + RESERVE_BYTES > self.max_bytes {
            let bytes = self.buffer.len() - content_at;
            self.buffer.truncate(content_at);
            self.buffer.push_str(&format!(",\"left_out_bytes\":{bytes}"));
        }
        self.buffer.push('}');
        let headers = [
            ("__connect.errors.topic", topic),
            ("__connect.errors.connector.name", self.connector.as_str()),
            ("__connect.errors.task.id", "0"),
            ("__connect.errors.stage", stage),
            ("__connect.errors.exception.message", &words),
        ];
        let headers = headers.map(|(name, text)| Header { name, value: HeaderValue::Text(text) });
        take(&Encoded {
            topic: &self.topic,
            partition: None,
            // One table's letters stay in order.
            key: table.as_deref().map(str::as_bytes),
            value: Some(self.buffer.as_bytes()),
            headers: Headers::new(&headers, &[], &[]),
            timestamp_ms: None,
        })
    }
}

/// Everything but the content and the last brace.
fn document(out: &mut String, refusal: &Refusal<'_>, table: Option<&str>, topic: &str, words: &str) {
    let mut field = |name: &str, value: Option<&str>| {
        out.push(if out.is_empty() { '{' } else { ',' });
        json::text(out, name);
        out.push(':');
        match value {
            Some(value) => json::text(out, value),
            None => out.push_str("null"),
        }
    };
    field("table", table);
    field("operation", refusal.op);
    field("topic", Some(topic).filter(|topic| !topic.is_empty()));
    let origin = refusal.origin.map(|Origin::Postgres(origin)| origin);
    field("position", origin.map(|origin| origin.lsn.to_string()).as_deref());
    let number = |number: Option<i64>| number.map_or("null".to_owned(), |number| number.to_string());
    let transaction = origin.and_then(|origin| origin.transaction_id).map(i64::from);
    let time_ms = origin.map(|origin| origin.time_us.div_euclid(1_000));
    out.push_str(&format!(",\"transaction\":{},\"ts_ms\":{}", number(transaction), number(time_ms)));
    out.push_str(",\"error\":{\"kind\":\"data\",\"words\":");
    json::text(out, words);
    out.push('}');
}

fn content(out: &mut String, content: &Content<'_>) {
    match content {
        Content::Row { before, after } => {
            row(out, "before", *before);
            row(out, "after", *after);
        }
        Content::Record(record) => {
            datum(out, "key", record.key);
            datum(out, "value", record.value);
        }
    }
}

fn row(out: &mut String, name: &str, cells: Option<&[RawCell<'_>]>) {
    out.push_str(&format!(",\"{name}\":"));
    let Some(cells) = cells else { return out.push_str("null") };
    out.push('{');
    // What was not sent is not shown.
    let sent = cells.iter().filter(|cell| cell.content != RawContent::Unavailable);
    for (at, cell) in sent.enumerate() {
        out.push_str(if at > 0 { "," } else { "" });
        json::text(out, cell.column);
        out.push(':');
        match cell.content {
            RawContent::Text(text) => json::text(out, &String::from_utf8_lossy(text)),
            RawContent::Null | RawContent::Unavailable => out.push_str("null"),
        }
    }
    out.push('}');
}

fn datum(out: &mut String, name: &str, datum: Option<Datum<'_>>) {
    out.push_str(&format!(",\"{name}\":"));
    match datum {
        Some(Datum { schema, value }) if value != Value::Null => Writer::lenient(out, schema, &value),
        _ => out.push_str("null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::error::{Error, Kind};

    fn written(text: &[u8], max_bytes: usize) -> serde_json::Value {
        let cells = [
            RawCell { column: "a \"b\"", content: RawContent::Text(text) },
            RawCell { column: "n", content: RawContent::Null },
            RawCell { column: "u", content: RawContent::Unavailable },
        ];
        let error = Error::new(Kind::Data, "malformed \"date\"");
        let content = Content::Row { before: None, after: Some(&cells) };
        let refusal = Refusal { error: &error, table: None, op: Some("c"), origin: None, content };
        let mut letters = DeadLetters::new("letters".to_owned(), "c".to_owned(), max_bytes);
        let mut found = serde_json::Value::Null;
        letters
            .write(&refusal, &mut |encoded| {
                found = serde_json::from_slice(encoded.value.expect("a value")).expect("JSON");
                Ok(())
            })
            .expect("nothing fails");
        found
    }

    #[test]
    fn a_letter_is_json_whatever_the_cells_hold() {
        let letter = written(b"\xff\n\"", 1_000_000);
        assert_eq!(letter["after"], serde_json::json!({ "a \"b\"": "\u{fffd}\n\"", "n": null }));
        assert_eq!(letter["error"]["words"], "malformed \"date\"");
        assert_eq!(
            (&letter["position"], &letter["transaction"]),
            (&serde_json::Value::Null, &serde_json::Value::Null)
        );
    }

    #[test]
    fn content_that_no_message_holds_is_left_out_and_counted() {
        let letter = written(&[b'x'; 100_000], 100_000);
        assert!(letter["left_out_bytes"].as_u64().is_some_and(|bytes| bytes > 100_000), "{letter}");
        assert_eq!(letter["after"], serde_json::Value::Null);
    }
}
