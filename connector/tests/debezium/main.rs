//! Records, bytes and schemas against what real Debezium 3.6.3 with Confluent's AvroConverter wrote.
//!
//! `golden/*.jsonl` are excerpts of recordings: schemas as registered, records as they stood in
//! Kafka. `columns.jsonl` has single columns of tables that hold types not supported yet. Nothing
//! here can rewrite them.

mod columns;
mod golden;
mod records;
mod registry;
