//! `[[topic]]`: what is kept of some topics, where it differs from `[buffer]`.

use super::buffer::WhenFull;
use serde::{Deserialize, Deserializer};
use shared::{Error, Kind, Result};
use std::time::Duration;

/// The first entry whose name fits a topic counts for it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicConfig {
    /// A topic's name; `*` stands for any letters.
    pub name: String,
    /// In place of `buffer.keep`.
    #[serde(default, deserialize_with = "some_duration")]
    pub keep: Option<Duration>,
    /// Bytes of batches in each partition; what is beyond goes early, oldest first, but nothing that is
    /// not processed. Absent: no bound but the log's.
    #[serde(default)]
    pub max_bytes: Option<u64>,
    /// In place of `buffer.when_full`.
    #[serde(default)]
    pub when_full: Option<WhenFull>,
}

fn some_duration<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<Option<Duration>, D::Error> {
    shared::time::duration::deserialize(d).map(Some)
}

impl TopicConfig {
    pub fn check(&self) -> Result<()> {
        if self.name.is_empty() {
            return Err(Error::new(Kind::Config, "a [[topic]] has no name"));
        }
        if self.keep.is_none() && self.max_bytes.is_none() && self.when_full.is_none() {
            let what = format!("[[topic]] {:?} says nothing", self.name);
            return Err(Error::new(Kind::Config, what).remedy("give it keep, max_bytes or when_full"));
        }
        Ok(())
    }

    pub fn fits(&self, topic: &str) -> bool {
        fits(&self.name, topic)
    }
}

fn fits(pattern: &str, topic: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == topic };
    let Some(left) = topic.strip_prefix(head) else { return false };
    let starts = left.char_indices().map(|(at, _)| at).chain([left.len()]);
    // Each star tries every place; names have at most 249 letters.
    starts.filter_map(|at| left.get(at..)).any(|tail| fits(rest, tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, topic, want) in [
            ("a.b", "a.b", true),
            ("a.b", "a.bc", false),
            ("*", "anything", true),
            ("shop.*", "shop.public.orders", true),
            ("shop.*", "shopping", false),
            ("*.orders", "shop.public.orders", true),
            ("shop.*.orders", "shop.public.orders", true),
            ("shop.*.orders", "shop.public.items", false),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, topic), want, "{pattern} {topic}");
        }
    }
}
