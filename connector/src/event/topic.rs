//! The name of a table's topic: `prefix.schema.table`, as Debezium's naming strategies make it. Pure.

use super::name;
use crate::config::event::{EventConfig, TopicNaming};
use crate::model::table::TableId;
use regex::Regex;
use shared::error::{Context, Kind, OrKind, Result};

/// Kafka's limit.
const MAX_LEN: usize = 249;

/// How tables' topics are named.
#[derive(Debug)]
pub struct Topics {
    prefix: String,
    delimiter: String,
    naming: TopicNaming,
    routing: Option<Routing>,
}

/// Names that a regular expression changes, so that tables may share a topic.
#[derive(Debug)]
struct Routing {
    topic: Regex,
    replacement: String,
    key_unique: bool,
    key_field: String,
    key: Option<(Regex, String)>,
}

impl Topics {
    /// # Errors
    /// `Config` for an expression that is none.
    pub fn new(config: &EventConfig) -> Result<Topics> {
        let naming = config.topic_naming;
        let routing = naming.regex().then(|| Routing::new(config)).transpose()?;
        Ok(Topics {
            prefix: config.topic_prefix.clone(),
            delimiter: config.topic_delimiter.clone(),
            naming,
            routing,
        })
    }

    /// The topic's name; and, if tables may share topics, what tells the table's keys from theirs.
    pub fn of(&self, table: &TableId) -> (String, Option<String>) {
        let schema = if self.naming.with_schema() { table.schema.as_str() } else { "" };
        let parts = [&self.prefix, schema, &table.name].into_iter().filter(|part| !part.trim().is_empty());
        let plain = parts.collect::<Vec<_>>().join(&self.delimiter);
        let plain = if self.naming.unicode() { sanitize_unicode(&plain) } else { sanitize(&plain) };
        match &self.routing {
            Some(routing) => routing.route(&plain),
            None => (plain, None),
        }
    }

    /// Name of the further field in keys.
    pub fn key_field(&self) -> &str {
        self.routing.as_ref().map_or("", |routing| &routing.key_field)
    }

    /// A topic beside the tables': its parts behind the prefix.
    pub fn beside(&self, part: &str) -> String {
        format!("{}{}{part}", self.prefix, self.delimiter)
    }
}

impl Routing {
    fn new(config: &EventConfig) -> Result<Routing> {
        let regex = |text: &str| {
            Regex::new(&format!("^(?:{text})$")).or_kind(Kind::Config).doing(|| "read event.topic_regex")
        };
        let key = (!config.topic_key_regex.is_empty())
            .then(|| Ok((regex(&config.topic_key_regex)?, rust_groups(&config.topic_key_replacement))));
        Ok(Routing {
            topic: regex(&config.topic_regex)?,
            replacement: rust_groups(&config.topic_replacement),
            key_unique: config.topic_key_unique,
            key_field: config.topic_key_field.clone(),
            key: key.transpose()?,
        })
    }

    fn route(&self, plain: &str) -> (String, Option<String>) {
        let routed = match self.topic.captures(plain) {
            Some(_) => sanitize(&self.topic.replace(plain, &self.replacement)),
            None => plain.to_owned(),
        };
        let identifier = match &self.key {
            Some((regex, replacement)) => regex.replace(plain, replacement).into_owned(),
            None => plain.to_owned(),
        };
        (routed, self.key_unique.then_some(identifier))
    }
}

/// Java writes a group as `$1`; here a letter behind it would count as part of its name.
fn rust_groups(replacement: &str) -> String {
    let mut out = String::new();
    let mut rest = replacement;
    while let Some((before, after)) = rest.split_once('$') {
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = after.split_at_checked(digits).unwrap_or((after, ""));
        out.push_str(before);
        out.push_str(&if number.is_empty() { "$".to_owned() } else { format!("${{{number}}}") });
        rest = tail;
    }
    out + rest
}

fn sanitize(name: &str) -> String {
    match name {
        "." => return "_".to_owned(),
        ".." => return "__".to_owned(),
        _ => {}
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        // Debezium goes by UTF-16 units: a character outside the first plane is two of them.
        let units = if allowed(c) { 1 } else { c.len_utf16() };
        for _ in 0..units {
            out.push(if allowed(c) { c } else { '_' });
        }
    }
    out.truncate(MAX_LEN);
    out
}

/// What Kafka does not take, and the underscore, becomes `_uXXXX`.
fn sanitize_unicode(plain: &str) -> String {
    let mut out = String::with_capacity(plain.len());
    for unit in plain.encode_utf16() {
        match u8::try_from(unit).map(char::from) {
            Ok(c) if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') => out.push(c),
            _ => name::escape(&mut out, unit),
        }
    }
    out.truncate(MAX_LEN);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(settings: &str) -> Topics {
        let text = format!("topic_prefix = \"shop\"\n{settings}");
        let overrides = shared::config::Overrides { env_prefix: "NO_SUCH_PREFIX", set: &[] };
        Topics::new(&shared::config::parse(&text, &overrides).expect("valid")).expect("valid")
    }

    fn id(schema: &str, table: &str) -> TableId {
        TableId { schema: schema.to_owned(), name: table.to_owned() }
    }

    #[test]
    fn names_follow_debezium() {
        for (schema, table, topic) in [
            ("public", "orders", "shop.public.orders"),
            ("", "orders", "shop.orders"),
            ("public", "Order Items", "shop.public.Order_Items"),
            ("public", "é", "shop.public._"),
            ("public", "🎉x", "shop.public.__x"),
            ("a-b", "c.d", "shop.a-b.c.d"),
        ] {
            assert_eq!(topics("").of(&id(schema, table)), (topic.to_owned(), None));
        }
        assert_eq!(topics("topic_delimiter = \"-\"").of(&id("a", "b")).0, "shop-a-b");
        assert_eq!(topics("topic_naming = \"schema_unicode\"").of(&id("a_b", "é")).0, "shop.a_u005fb._u00e9");
        assert_eq!(topics("topic_naming = \"default\"").of(&id("a", "b")).0, "shop.b");
        assert_eq!(sanitize(".."), "__");
        assert_eq!(sanitize(&"x".repeat(300)).len(), MAX_LEN);
    }

    #[test]
    fn tables_may_share_a_topic() {
        let topics = topics(
            "topic_naming = \"regex\"\ntopic_regex = '(.*)shard_(.*)'\ntopic_replacement = '$1all'\n\
             topic_key_regex = '(.*)\\.(.*)'\ntopic_key_replacement = '$2x'",
        );
        assert_eq!(topics.of(&id("p", "shard_1")), ("shop.p.all".to_owned(), Some("shard_1x".to_owned())));
        assert_eq!(topics.of(&id("p", "other")), ("shop.p.other".to_owned(), Some("otherx".to_owned())));
    }
}
