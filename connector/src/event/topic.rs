//! The name of a table's topic: `prefix.schema.table`, as Debezium's SchemaTopicNamingStrategy
//! makes it. Pure.

use crate::model::table::{Table, TableId};

/// Kafka's limit.
const MAX_LEN: usize = 249;

/// Names of tables' topics, kept for the tables seen last so that no row makes one.
#[derive(Debug)]
pub struct Topics {
    prefix: String,
    /// Table version → name. Few tables are active at a time; a long list would only cost.
    recent: Vec<(u64, String)>,
}

/// Enough for the tables that one transaction usually touches.
const RECENT: usize = 64;

impl Topics {
    pub fn new(prefix: &str) -> Self {
        Topics { prefix: prefix.to_owned(), recent: Vec::with_capacity(RECENT) }
    }

    pub fn of(&mut self, table: &Table) -> &str {
        let found = self.recent.iter().position(|(version, _)| *version == table.version);
        let at = found.unwrap_or_else(|| {
            if self.recent.len() == RECENT {
                self.recent.clear();
            }
            self.recent.push((table.version, name(&self.prefix, &table.id)));
            self.recent.len() - 1
        });
        self.recent.get(at).map_or("", |(_, name)| name)
    }
}

/// Blank parts are left out; what Kafka does not allow in a name becomes `_`.
pub fn name(prefix: &str, table: &TableId) -> String {
    let parts = [prefix, &table.schema, &table.name];
    let joined = parts.into_iter().filter(|part| !part.trim().is_empty()).collect::<Vec<_>>().join(".");
    sanitize(&joined)
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

#[cfg(test)]
mod tests {
    use super::*;

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
            let id = TableId { schema: schema.to_owned(), name: table.to_owned() };
            assert_eq!(name("shop", &id), topic);
        }
        assert_eq!(sanitize(".."), "__");
        assert_eq!(sanitize(&"x".repeat(300)).len(), MAX_LEN);
    }
}
