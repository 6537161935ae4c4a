//! The process's metric registry and its text exposition. Names and help belong to each program.

use prometheus::core::Collector;
use prometheus::{Encoder, Registry, TextEncoder};
use std::sync::LazyLock;

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);

/// Adds a metric to the exposition and hands it back. Meant for `LazyLock` statics in a
/// program's one `metrics.rs`.
///
/// # Panics
/// When two metrics share a name: a mistake in the source, found by the first test that runs.
pub fn register<C: Collector + Clone + 'static>(metric: Result<C, prometheus::Error>) -> C {
    let metric = metric.expect("a metric's name and labels are constants and valid");
    REGISTRY.register(Box::new(metric.clone())).expect("each metric is registered once");
    metric
}

/// Adds metrics that are made when they are asked for.
///
/// # Panics
/// As [`register`].
pub fn register_collector(collector: Box<dyn Collector>) {
    REGISTRY.register(collector).expect("each metric is registered once");
}

/// Prometheus' text format.
pub fn exposition() -> String {
    let mut out = Vec::new();
    let encoded = TextEncoder::new().encode(&REGISTRY.gather(), &mut out);
    debug_assert!(encoded.is_ok(), "{encoded:?}");
    String::from_utf8(out).unwrap_or_default()
}
