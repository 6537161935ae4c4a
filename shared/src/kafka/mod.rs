//! What both programs need of Kafka: brokers and security settings as pairs of strings for a client library, record
//! batches as bytes, and which partition a key belongs to.
//!
//! This module knows no client: `rdkafka` is the programs' affair.

pub mod batch;
pub mod partitioner;
pub mod records;

use crate::secret::Secret;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How to reach a Kafka cluster (or whatever speaks its protocol).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    #[serde(default)]
    pub security: Security,
    /// Further properties for the client library, as librdkafka names them; they win over ours.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Security {
    /// `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`.
    pub protocol: Option<String>,
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub sasl_mechanism: Option<String>,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
}

/// How a producer packs its batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    #[default]
    Lz4,
    Zstd,
}

impl Compression {
    /// Kafka's word.
    pub const fn text(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}

impl KafkaConfig {
    /// librdkafka's names and values, secrets included: never print them.
    pub fn client_properties(&self) -> BTreeMap<String, String> {
        let security = &self.security;
        let path = |p: &Option<PathBuf>| p.as_ref().map(|p| p.display().to_string());
        let known = [
            ("bootstrap.servers", Some(self.brokers.clone())),
            // What it gathers for the brokers to ask for (KIP-714) takes memory and a request at each start; our
            // metrics are our own.
            ("enable.metrics.push", Some("false".to_owned())),
            ("security.protocol", security.protocol.clone()),
            ("sasl.mechanism", security.sasl_mechanism.clone()),
            ("sasl.username", security.username.clone()),
            ("sasl.password", security.password.as_ref().map(|s| s.expose().to_owned())),
            ("ssl.ca.location", path(&security.ca_file)),
            ("ssl.certificate.location", path(&security.cert_file)),
            ("ssl.key.location", path(&security.key_file)),
        ];
        let ours = known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        ours.chain(self.properties.clone()).collect()
    }
}
