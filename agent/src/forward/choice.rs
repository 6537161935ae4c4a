//! Which topics are sent, and which first. Pure.

use crate::config::consume::means;
use crate::config::forward::ForwardConfig;
use regex::RegexSet;
use shared::error::{Context, Kind, OrKind, Result};

/// Names of topics that a broker keeps for itself begin so.
const INTERNAL: &str = "__";

#[derive(Clone, Debug)]
pub struct Choice {
    topics: RegexSet,
    exclude: RegexSet,
    priority: RegexSet,
    plain: RegexSet,
    plain_keys: RegexSet,
    /// What came from the centre does not go back there.
    consumed: Vec<String>,
}

impl Choice {
    /// # Errors
    /// `Config`: an expression that is none.
    pub fn new(config: &ForwardConfig, consumed: &[String]) -> Result<Choice> {
        Ok(Choice {
            topics: whole("topics", &config.topics)?,
            exclude: whole("exclude", &config.exclude)?,
            priority: whole("priority", &config.priority)?,
            plain: whole("plain", &config.plain)?,
            plain_keys: whole("plain_keys", &config.plain_keys)?,
            consumed: consumed.to_vec(),
        })
    }

    pub fn takes(&self, topic: &str) -> bool {
        !topic.starts_with(INTERNAL)
            && !self.consumed.iter().any(|entry| means(entry, topic))
            && self.topics.is_match(topic)
            && !self.exclude.is_match(topic)
    }

    /// The lower, the earlier.
    pub fn rank(&self, topic: &str) -> usize {
        self.priority.matches(topic).iter().next().unwrap_or(self.priority.len())
    }

    /// Whether keys, and whether values, of a topic have no schema id in front.
    pub fn plain(&self, topic: &str) -> (bool, bool) {
        let both = self.plain.is_match(topic);
        (both || self.plain_keys.is_match(topic), both)
    }
}

/// Expressions that must fit a whole name.
pub fn whole(name: &str, patterns: &[String]) -> Result<RegexSet> {
    let patterns = patterns.iter().map(|pattern| format!("^(?:{pattern})$"));
    RegexSet::new(patterns).or_kind(Kind::Config).doing(|| format!("read forward.{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(more: &str) -> Result<Choice> {
        let text = format!("kafka.brokers = 'b:1'\nregistry.url = ['http://r']\n{more}");
        let overrides = shared::config::Overrides { env_prefix: "NONE", set: &[] };
        Choice::new(
            &shared::config::parse(&text, &overrides)?,
            &["brought".to_owned(), "central.*".to_owned()],
        )
    }

    #[test]
    fn topics_and_their_order() {
        let some = "topics = ['shop\\..*', 'brought']\nexclude = ['.*secret']\n\
                    priority = ['shop\\.pay', 'shop\\..*']";
        for (config, topic, want) in [
            ("", "any", Some(0)),
            ("", "__transaction_state", None),
            ("", "brought", None),
            ("", "central.a", None),
            (some, "shop.pay", Some(0)),
            (some, "shop.payments", Some(1)),
            (some, "shop.secret", None),
            (some, "xshop.pay", None),
            (some, "brought", None),
            ("priority = ['a']", "b", Some(1)),
        ] {
            let choice = choice(config).expect("valid");
            let got = choice.takes(topic).then(|| choice.rank(topic));
            assert_eq!(got, want, "{config:?} {topic}");
        }
        assert!(choice("topics = ['(']").expect_err("no expression").to_string().contains("forward.topics"));
    }

    #[test]
    fn plain_topics() {
        let choice = choice("plain = ['p']\nplain_keys = ['k']").expect("valid");
        assert_eq!(
            ["p", "k", "x"].map(|topic| choice.plain(topic)),
            [(true, true), (true, false), (false, false)]
        );
    }
}
