//! Notices in Debezium's words: records in a topic, lines in the log.

use super::Take;
use super::message::{self, Fixed};
use crate::config::event::{EventConfig, NotificationChannel};
use crate::connect::hash;
use crate::model::notice::{Keys, News, Notice, Outcome, Reading};
use crate::model::table::TableId;
use crate::model::value::Value;
use shared::Result;
use shared::error::Context;

#[derive(Debug)]
pub struct Notices {
    topic: Option<Fixed>,
    log: bool,
    connector: String,
}

impl Notices {
    pub fn new(config: &EventConfig, key: String, value: String) -> Notices {
        let uses = |channel| config.notifications.contains(&channel);
        let topic = config.notification_topic.clone().filter(|_| uses(NotificationChannel::Topic));
        Notices {
            topic: topic.map(|topic| message::notification(topic, key, value)),
            log: uses(NotificationChannel::Log),
            connector: config.topic_prefix.clone(),
        }
    }

    pub fn tell(&self, notice: &Notice, now_ms: i64, take: Take<'_>) -> Result<()> {
        if self.topic.is_none() && !self.log {
            return Ok(());
        }
        let id = notice.id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let aggregate = match notice.of {
            Reading::Initial => "Initial Snapshot",
            Reading::Incremental => "Incremental Snapshot",
        };
        let (kind, mut facts) = facts(notice);
        facts.push(("connector_name", self.connector.clone()));
        if self.log {
            tracing::info!(event = "notification", aggregate, kind, id, facts = ?facts, "notification");
        }
        let Some(topic) = &self.topic else { return Ok(()) };
        let data: Vec<(Value<'_>, Value<'_>)> =
            facts.iter().map(|(name, fact)| (Value::Text(name), Value::Text(fact))).collect();
        let key = [Value::Text(&id)];
        let value = [
            Value::Text(&id),
            Value::Text(kind),
            Value::Text(aggregate),
            Value::Map(&data),
            Value::Int(now_ms),
        ];
        take(&super::fixed(topic, None, &key, &value)).doing(|| "send a notification")
    }
}

/// Debezium's type, and what it says beside it.
fn facts(notice: &Notice) -> (&'static str, Vec<(&'static str, String)>) {
    let listed = |tables: &[TableId]| listed(notice.of, tables);
    match &notice.news {
        News::Started { tables } if notice.of == Reading::Incremental => {
            ("STARTED", vec![("data_collections", listed(tables))])
        }
        News::Started { .. } => ("STARTED", Vec::new()),
        News::Table { table, tables, keys } => {
            let mut facts = vec![("current_collection_in_progress", table.to_string())];
            if let Some(Keys { maximum, last }) = keys {
                facts.extend([("maximum_key", maximum.clone()), ("last_processed_key", last.clone())]);
            }
            facts.push(("data_collections", listed(tables)));
            ("IN_PROGRESS", facts)
        }
        News::Read { table, tables, rows, outcome } => {
            let mut tables: Vec<TableId> = tables.to_vec();
            if notice.of == Reading::Initial {
                tables.sort_by_key(TableId::to_string);
            }
            let names: Vec<String> = tables.iter().map(TableId::to_string).collect();
            let facts = vec![
                ("scanned_collection", table.to_string()),
                ("total_rows_scanned", rows.to_string()),
                ("data_collections", names.join(",")),
                ("status", status(*outcome).to_owned()),
            ];
            ("TABLE_SCAN_COMPLETED", facts)
        }
        News::Paused { tables } => ("PAUSED", vec![("data_collections", listed(tables))]),
        News::Resumed { tables } => ("RESUMED", vec![("data_collections", listed(tables))]),
        News::Completed => ("COMPLETED", Vec::new()),
        News::Aborted => ("ABORTED", Vec::new()),
        News::Skipped => ("SKIPPED", Vec::new()),
    }
}

/// An initial snapshot's tables are a set in Java, and so in its order.
fn listed(of: Reading, tables: &[TableId]) -> String {
    let mut names: Vec<String> = tables.iter().map(TableId::to_string).collect();
    if of == Reading::Initial {
        let count = names.len();
        names.sort_by_key(|name| hash::bucket(name, count));
    }
    names.join(",")
}

fn status(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "SUCCEEDED",
        Outcome::Empty => "EMPTY",
        Outcome::NoKey => "NO_PRIMARY_KEY",
        Outcome::Unknown => "UNKNOWN_SCHEMA",
        Outcome::Failed => "SQL_EXCEPTION",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As recorded from Debezium (`pg-notifications`).
    #[test]
    fn tables_are_a_set_in_java() {
        let table = |name: &&str| TableId { schema: "inventory".to_owned(), name: (*name).to_owned() };
        let tables: Vec<TableId> = ["a", "b", "c_empty", "d_one", "e_nopk"].iter().map(table).collect();
        let want = "inventory.a,inventory.c_empty,inventory.d_one,inventory.e_nopk,inventory.b";
        assert_eq!(listed(Reading::Initial, &tables), want);
    }
}
