//! What both programs need of Avro: the Confluent wire format.

pub mod wire;
