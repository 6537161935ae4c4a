//! The sample file is the reference: its defaults are the defaults, and no option is missing.

use super::*;
use shared::error::Kind;

const SAMPLE: &str = include_str!("../../../config/connector-postgres.toml");

/// Only what has to be set, as the sample sets it.
const LEAST: &str = r#"
    [source]
    database = "shop"
    user = "tidegate"
    [event]
    topic_prefix = "shop"
    [avro.registry]
    url = ["http://127.0.0.1:8181"]
    [sink.kafka]
    brokers = "127.0.0.1:9192"
"#;

/// The sample with its commented options in force; examples of options without a default left out.
fn uncommented(keep_examples: bool) -> String {
    let mut example = false;
    let mut out = String::new();
    for line in SAMPLE.lines() {
        match line.strip_prefix('#').filter(|rest| !rest.starts_with(' ') && !rest.is_empty()) {
            Some(option) if keep_examples || !example => out.push_str(option),
            Some(_) => {}
            None if line.starts_with('#') => {
                example = line.contains("No default") || line.contains("librdkafka");
            }
            None => {
                example = false;
                out.push_str(line);
            }
        }
        out.push('\n');
    }
    out
}

#[test]
fn the_sample_shows_the_defaults() {
    let least = format!("{:?}", parse(LEAST, &[]).expect("enough"));
    assert_eq!(format!("{:?}", parse(SAMPLE, &[]).expect("valid")), least);
    assert_eq!(format!("{:?}", parse(&uncommented(false), &[]).expect("valid")), least);
}

#[test]
fn the_sample_has_every_option_and_no_other() {
    let all: toml::Table = uncommented(true).parse().expect("TOML");
    let no_files = |text: &str| text.replace("${file:", "${none:");
    parse(&no_files(&uncommented(true)), &[]).expect("no unknown option");
    let mut known = Vec::new();
    names(&all, &mut known);
    let printed = format!("{:?}", parse(LEAST, &[]).expect("enough"));
    // Rust prints fields as `name: value`; values of ours hold no such thing but `tls_mode: x`.
    for field in printed.split([' ', '{']).filter_map(|word| word.strip_suffix(':')) {
        let field = field.trim_start_matches(['(', '[']);
        let shown = known.iter().any(|name| name == field) || field == "notes";
        assert!(shown, "option {field} is not in the sample");
    }
}

fn names(table: &toml::Table, out: &mut Vec<String>) {
    for (name, value) in table {
        out.push(name.clone());
        if let toml::Value::Table(inner) = value {
            names(inner, out);
        }
    }
}

/// Debezium's users raise `max.request.size` and nothing else.
#[test]
fn the_largest_message_fits_into_the_queue() {
    let bytes = |sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        parse(LEAST, &sets).expect("valid").sink.queue_bytes()
    };
    assert_eq!(bytes(&["sink.message_max_bytes=20971520"]), 20 << 20);
    assert_eq!(bytes(&["sink.message_max_bytes=20971520", "sink.queue_bytes=31457280"]), 30 << 20);
}

#[test]
fn what_cannot_be_is_refused() {
    for (set, words) in [
        ("event.topic_prefix=\"a b\"", "topic_prefix"),
        ("event.topic_prefix=\"\"", "topic_prefix"),
        ("avro.registry.url=[]", "avro.registry.url"),
        ("avro.registry.url=[\"localhost:8081\"]", "avro.registry.url"),
        ("sink.kafka.brokers=\" \"", "sink.kafka.brokers"),
        ("sink.queue_bytes=1000", "sink.queue_bytes"),
        ("sink.message_max_bytes=2000000000", "sink.message_max_bytes is above"),
        ("sink.kafka.properties.acks=\"1\"", "sink.kafka.properties.acks"),
        ("sink.compression=\"lzma\"", "lzma"),
        ("offset.kind=\"redis\"", "redis"),
        ("offset.connector=\"\"", "offset.connector"),
        ("offset.topic_partitions=0", "offset.topic_partitions"),
        ("admin.listen=\"0.0.0.0:9470\"", "admin.listen"),
        ("sink.dead_letter_topic=\"a b\"", "sink.dead_letter_topic"),
        ("source.wal_guard.act=\"drop_slot\"", "wal_guard.act"),
        ("sink.linger=5", "linger"),
        ("sinks.linger_ms=5", "sinks"),
    ] {
        let error = parse(LEAST, &[set.to_owned()]).expect_err(set);
        assert_eq!(error.kind(), Kind::Config, "{set}");
        assert!(error.to_string().contains(words), "{set}: {error}");
    }
    let remote = ["admin.listen=\"0.0.0.0:9470\"", "admin.allow_remote=true"].map(str::to_owned);
    parse(LEAST, &remote).expect("allowed");
}

#[test]
fn secrets_print_as_stars() {
    let sets = [
        "source.password=\"s3cret\"",
        "avro.registry.password=\"s3cret\"",
        "sink.kafka.security.password=\"s3cret\"",
    ];
    let config = parse(LEAST, &sets.map(str::to_owned)).expect("valid");
    assert!(!format!("{config:?}").contains("s3cret"));
}
