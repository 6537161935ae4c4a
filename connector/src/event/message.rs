//! Schemas of records that are no row's: logical messages and heartbeats.

use super::shape::transaction_block;
use super::source_info;
use crate::config::values::BinaryMode;
use crate::model::schema::{Field, Form, Kind, Schema};
use std::sync::Arc;

/// Key and value of one kind of record, and where it goes.
#[derive(Debug)]
pub struct Fixed {
    pub topic: String,
    pub key: Arc<Schema>,
    pub value: Arc<Schema>,
}

pub fn message(topic: String, key: String, value: String, message: String, binary: BinaryMode) -> Fixed {
    let content = match binary {
        BinaryMode::Bytes => Schema::new(Kind::Bytes),
        BinaryMode::Base64 => Schema::string().form(Form::Base64),
        BinaryMode::Base64UrlSafe => Schema::string().form(Form::Base64Url),
        BinaryMode::Hex => Schema::string().form(Form::HexText),
    };
    let prefix = || Field::new("prefix", Schema::string().optional());
    let block = Schema::structure(message, vec![prefix(), Field::new("content", content.optional())]);
    let fields = vec![
        Field::new("op", Schema::string()),
        Field::new("ts_ms", Schema::int64().optional()),
        Field::new("source", source_info::postgres_schema()),
        Field::new("transaction", transaction_block()),
        Field::new("message", block.version(1)),
    ];
    Fixed {
        topic,
        key: Arc::new(Schema::structure(key, vec![prefix()]).version(1)),
        value: Arc::new(Schema::structure(value, fields).version(1)),
    }
}

pub fn heartbeat(topic: String, key: String, value: String) -> Fixed {
    let key = Schema::structure(key, vec![Field::new("serverName", Schema::string())]);
    let value = Schema::structure(value, vec![Field::new("ts_ms", Schema::int64())]);
    Fixed { topic, key: Arc::new(key.version(1)), value: Arc::new(value.version(1)) }
}

pub fn notification(topic: String, key: String, value: String) -> Fixed {
    let text = |name: &str| Field::new(name, Schema::string());
    let data = Schema::new(Kind::Map(Arc::new(Schema::string()), Arc::new(Schema::string())));
    let fields = vec![
        text("id"),
        text("type"),
        text("aggregate_type"),
        Field::new("additional_data", data.optional()),
        Field::new("timestamp", Schema::int64()),
    ];
    let key = Schema::structure(key, vec![text("id")]);
    Fixed {
        topic,
        key: Arc::new(key.version(1)),
        value: Arc::new(Schema::structure(value, fields).version(1)),
    }
}
