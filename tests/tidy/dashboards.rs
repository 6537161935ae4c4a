//! Dashboards and alerts name metrics that exist.

use crate::assert_clean;
use crate::tree::{File, all};
use std::collections::BTreeSet;

/// What a name of ours begins with, and those that we show under Debezium's and Connect's names.
const PREFIXES: [&str; 4] = ["tidegate_connector_", "tidegate_agent_", "debezium_metrics_", "kafka_connect_"];

#[test]
fn dashboards_and_alerts_name_metrics_that_exist() {
    let mut known: BTreeSet<String> =
        connector::metrics::NAMES.iter().map(|name| (*name).to_owned()).collect();
    known.extend(connector::metrics::debezium::names());
    // The agent's names stand in its list and nowhere else.
    let agent =
        all().into_iter().find(|file| file.path == "agent/src/metrics.rs").expect("the agent's metrics");
    known.extend(metrics(&agent.text));
    let files: Vec<File> =
        all().into_iter().filter(|file| file.path.starts_with("packaging/grafana/")).collect();
    assert!(files.len() >= 2, "the dashboard and the alerts are there");
    let mut found = Vec::new();
    for file in files {
        let named = metrics(&file.text);
        assert!(!named.is_empty(), "{} names no metric", file.path);
        let unknown = named.into_iter().filter(|name| !known.contains(name));
        found.extend(unknown.map(|name| format!("{}: {name}", file.path)));
    }
    assert_clean("dashboards and alerts name metrics that exist", &found);
}

/// Every word that begins as a metric of ours does.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix)));
    ours.map(str::to_owned).collect()
}

#[test]
fn a_metric_is_found_in_an_expression() {
    let text = r#"rate(tidegate_connector_a_total{x="y"}[5m]) > debezium_metrics_B and z"#;
    let expected = ["debezium_metrics_B", "tidegate_connector_a_total"].map(str::to_owned);
    assert_eq!(metrics(text), BTreeSet::from(expected));
}
