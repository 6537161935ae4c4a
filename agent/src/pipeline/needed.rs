//! What of the log is still needed, by whom: asked before something is trimmed, or a topic deleted.

use super::progress::{Progress, State};
use crate::buffer::{Need, Needs};
use crate::forward::progress::Kept;
use crate::model::batch::PartitionId;

/// Below it everything is processed and at the centre, as far as either is to be; `None` if neither is.
pub fn from(
    processed: &[String],
    forwarded: Option<&Kept>,
    state: &State,
    topic: &str,
    partition: PartitionId,
) -> Option<i64> {
    let processed = processed.iter().any(|name| name == topic);
    let processed = processed.then(|| processed_below(state, partition));
    let forwarded = forwarded.and_then(|kept| kept.below(topic, partition));
    processed.into_iter().chain(forwarded).min()
}

/// Everything below is processed, durably, and no view that is being built reads it any more.
fn processed_below(state: &State, partition: PartitionId) -> i64 {
    match state.hydrating.is_empty() {
        true => state.cursors.get(&partition).copied().unwrap_or(0),
        false => 0,
    }
}

/// For who deletes topics. `consumed`: names, or beginnings of names with a `*`, of those from the centre.
pub fn before_deleting(
    processed: Vec<String>,
    forwarded: Option<Kept>,
    consumed: Vec<String>,
    progress: Progress,
) -> Box<Needs> {
    let brought = move |topic: &str| {
        consumed.iter().any(|name| match name.strip_suffix('*') {
            Some(beginning) => topic.starts_with(beginning),
            None => name == topic,
        })
    };
    Box::new(move |topic, partition| match brought(topic) {
        true => Need::Source,
        false => match from(&processed, forwarded.as_ref(), &progress.get(), topic, partition) {
            Some(offset) => Need::From(offset),
            None => Need::None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_needs_what() {
        let progress = Progress::default();
        progress.update(|state| {
            state.cursors.insert(PartitionId(3), 40);
        });
        let consumed = vec!["central.one".to_owned(), "shop.*".to_owned()];
        let needs = before_deleting(vec!["paid".to_owned()], None, consumed, progress.clone());
        for (topic, partition, want) in [
            ("paid", 3, Need::From(40)),
            ("paid", 4, Need::From(0)),
            ("other", 3, Need::None),
            ("central.one", 5, Need::Source),
            ("central.one.more", 5, Need::None),
            ("shop.orders", 5, Need::Source),
        ] {
            assert_eq!(needs(topic, PartitionId(partition)), want, "{topic}");
        }
        progress.update(|state| state.hydrating.push("view".to_owned()));
        assert_eq!(needs("paid", PartitionId(3)), Need::From(0), "a view is being built");
    }
}
