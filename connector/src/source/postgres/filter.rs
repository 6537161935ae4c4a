//! Which tables, columns and messages are captured, and which keys tables are given. Pure.

use crate::config::source::SourceConfig;
use crate::model::table::TableId;
use regex::{Regex, RegexBuilder};
use shared::config::nearest;
use shared::{Error, Kind, Result};

/// Schemas that belong to the server.
const SYSTEM_SCHEMAS: [&str; 2] = ["pg_catalog", "information_schema"];

/// `[source]`'s `tables` and `exclude_tables`, on the whole of `schema.table`, letter case ignored.
#[derive(Clone, Debug)]
pub struct TableFilter {
    include: Vec<(String, Regex)>,
    exclude: Vec<Regex>,
    schemas: Names,
    columns: Names,
    /// Table → its key's columns.
    keys: Vec<(Regex, Vec<String>)>,
    /// The table that signals come in, which is captured whatever the lists say.
    signal: Option<TableId>,
}

/// Names that pass: some of all, or all but some.
#[derive(Clone, Debug)]
pub struct Names {
    include: Vec<Regex>,
    exclude: Vec<Regex>,
}

impl Names {
    pub fn new(key: &str, include: &[String], exclude: &[String]) -> Result<Names> {
        let all = |key: &str, patterns: &[String]| {
            patterns.iter().map(|p| compile(&format!("source.{key}"), p)).collect::<Result<Vec<_>>>()
        };
        Ok(Names { include: all(key, include)?, exclude: all(&format!("exclude_{key}"), exclude)? })
    }

    /// Names that match one of the patterns, all if there is none; `setting` names them in full.
    pub fn of(setting: &str, patterns: &[String]) -> Result<Names> {
        let include = patterns.iter().map(|pattern| compile(setting, pattern)).collect::<Result<_>>()?;
        Ok(Names { include, exclude: Vec::new() })
    }

    pub fn pass(&self, name: &str) -> bool {
        (self.include.is_empty() || self.include.iter().any(|pattern| pattern.is_match(name)))
            && !self.exclude.iter().any(|pattern| pattern.is_match(name))
    }

    fn all(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }
}

/// `schema.table:column,column`, the table by regular expression.
fn key(text: &str) -> Result<(Regex, Vec<String>)> {
    let wrong = || {
        Error::new(Kind::Config, format!("source.keys: {text:?} names no columns"))
            .remedy("write schema.table:column,column; the table may be a regular expression")
    };
    let (table, columns) = text.rsplit_once(':').ok_or_else(wrong)?;
    let columns: Vec<String> =
        columns.split(',').map(|c| c.trim().to_owned()).filter(|c| !c.is_empty()).collect();
    if columns.is_empty() { Err(wrong()) } else { Ok((compile("source.keys", table)?, columns)) }
}

impl TableFilter {
    pub fn new(config: &SourceConfig) -> Result<Self> {
        let include = config.tables.iter().map(|p| Ok((p.trim().to_owned(), compile("source.tables", p)?)));
        let exclude = config.exclude_tables.iter().map(|p| compile("source.exclude_tables", p));
        Ok(TableFilter {
            include: include.collect::<Result<_>>()?,
            exclude: exclude.collect::<Result<_>>()?,
            schemas: Names::new("schemas", &config.schemas, &config.exclude_schemas)?,
            columns: Names::new("columns", &config.columns, &config.exclude_columns)?,
            keys: config.keys.iter().map(|text| key(text)).collect::<Result<_>>()?,
            signal: None,
        })
    }

    /// Captures the table of signals too.
    pub fn with_signals(mut self, table: Option<&str>) -> Self {
        self.signal = table.and_then(table_id);
        self
    }

    pub fn includes(&self, table: &TableId) -> bool {
        self.is_signal(table) || self.names(table)
    }

    /// Whether signals come in the table: its content is nothing to read first.
    pub fn is_signal(&self, table: &TableId) -> bool {
        self.signal.as_ref() == Some(table)
    }

    fn names(&self, table: &TableId) -> bool {
        let name = table.to_string();
        !is_system(table)
            && self.schemas.pass(&table.schema)
            && (self.include.is_empty() || self.include.iter().any(|(_, pattern)| pattern.is_match(&name)))
            && !self.exclude.iter().any(|pattern| pattern.is_match(&name))
    }

    /// Whether a column stands in the value.
    pub fn includes_column(&self, table: &TableId, column: &str) -> bool {
        self.columns.all() || self.columns.pass(&format!("{table}.{column}"))
    }

    /// The key's columns that the operator gave a table.
    pub fn key_of(&self, table: &TableId) -> Option<&[String]> {
        let name = table.to_string();
        self.keys.iter().find(|(tables, _)| tables.is_match(&name)).map(|(_, columns)| columns.as_slice())
    }

    /// The captured tables in Debezium's order: by the pattern that names them, then by full name.
    pub fn select(&self, tables: Vec<TableId>) -> Vec<TableId> {
        let mut chosen: Vec<(usize, Vec<u16>, TableId)> = tables
            .into_iter()
            .filter(|table| self.includes(table))
            .map(|table| {
                let name = table.to_string();
                let rank = self.include.iter().position(|(_, pattern)| pattern.is_match(&name));
                // Java compares strings by their UTF-16 units.
                (rank.unwrap_or_default(), name.encode_utf16().collect(), table)
            })
            .collect();
        chosen.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        chosen.into_iter().map(|(_, _, table)| table).collect()
    }

    /// Patterns of `tables` that name no table at all.
    pub fn without_match<'a>(&'a self, tables: &'a [TableId]) -> impl Iterator<Item = &'a str> {
        self.include
            .iter()
            .filter(|(_, pattern)| !tables.iter().any(|t| pattern.is_match(&t.to_string())))
            .map(|(text, _)| text.as_str())
    }

    /// # Errors
    /// When `tables` names one table by its plain name, and there is none of that name.
    pub fn check_literals(&self, tables: &[TableId]) -> Result<()> {
        for text in self.without_match(tables) {
            let Some(name) = plain_name(text) else { continue };
            let names: Vec<String> = tables.iter().map(TableId::to_string).collect();
            let error = Error::new(Kind::Config, format!("source.tables names {name}, which does not exist"));
            return Err(match nearest(&name, names.iter().map(String::as_str)) {
                Some(near) => error.remedy(format!("did you mean {near}?")),
                None => error.remedy("create the table, or correct source.tables (it holds schema.table)"),
            });
        }
        Ok(())
    }
}

/// The table that `schema.table` names.
pub fn table_id(name: &str) -> Option<TableId> {
    let (schema, name) = name.split_once('.')?;
    Some(TableId { schema: schema.to_owned(), name: name.to_owned() })
}

/// Whether a request's pattern names the table; one that is no regular expression names what it spells.
pub fn fits(pattern: &str, table: &str) -> bool {
    compile("data-collections", pattern).map_or(pattern == table, |pattern| pattern.is_match(table))
}

/// The tables that a request's patterns name, in their order; a plain name stands for itself even if there is
/// no such table, so that whoever asked is told.
pub fn expand(patterns: &[String], captured: &[TableId]) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for pattern in patterns {
        let compiled = compile("data-collections", pattern)?;
        let mut known = false;
        for name in captured.iter().map(TableId::to_string).filter(|name| compiled.is_match(name)) {
            known = true;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if !known {
            names.extend(plain_name(pattern));
        }
    }
    Ok(names)
}

/// The server's own tables, and PostGIS's, which is the same everywhere.
pub fn is_system(table: &TableId) -> bool {
    let schema = table.schema.as_str();
    SYSTEM_SCHEMAS.contains(&schema)
        || schema.starts_with("pg_toast")
        || schema.starts_with("pg_temp_")
        || table.name.eq_ignore_ascii_case("spatial_ref_sys")
}

/// The table a pattern names if it is no pattern; `\.` and `.` are both a point.
fn plain_name(pattern: &str) -> Option<String> {
    let name = pattern.replace("\\.", ".");
    (!name.contains(['\\', '*', '+', '?', '[', ']', '(', ')', '{', '}', '|', '^', '$'])).then_some(name)
}

/// A pattern on a whole name, letter case ignored; `setting` is where it stands.
pub fn compile(setting: &str, pattern: &str) -> Result<Regex> {
    RegexBuilder::new(&format!("^(?:{})$", pattern.trim()))
        .case_insensitive(true)
        .build()
        .map_err(|e| Error::new(Kind::Config, format!("{setting}: {pattern:?}: {e}").replace('\n', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> Result<TableFilter> {
        let list = |items: &[&str]| items.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let mut config: SourceConfig = shared::config::parse(
            "database = 'd'\nuser = 'u'",
            &shared::config::Overrides { env_prefix: "NO_SUCH_PREFIX", set: &[] },
        )?;
        config.tables = list(include);
        config.exclude_tables = list(exclude);
        TableFilter::new(&config)
    }

    fn table(name: &str) -> TableId {
        let (schema, name) = name.split_once('.').expect("schema.table");
        TableId { schema: schema.into(), name: name.into() }
    }

    #[test]
    fn selects_and_orders_as_debezium_does() {
        let all = ["public.b", "public.a", "Shop.Orders", "shop.order_items", "pg_catalog.pg_class"];
        for (include, exclude, want) in [
            (&[][..], &[][..], vec!["Shop.Orders", "public.a", "public.b", "shop.order_items"]),
            (&["shop\\..*", "public.a"], &[], vec!["Shop.Orders", "shop.order_items", "public.a"]),
            (&["SHOP.orders"], &[], vec!["Shop.Orders"]),
            (&["order"], &[], vec![]),
            (&[], &["public\\..*"], vec!["Shop.Orders", "shop.order_items"]),
            (&["pg_catalog.*"], &[], vec![]),
        ] {
            let filter = filter(include, exclude).expect("valid patterns");
            let chosen = filter.select(all.iter().map(|name| table(name)).collect());
            assert_eq!(chosen.iter().map(TableId::to_string).collect::<Vec<_>>(), want, "{include:?}");
        }
    }

    #[test]
    fn columns_keys_and_schemas() {
        let text = "database = 'd'\nuser = 'u'\nschemas = ['public']\ncolumns = ['public.t.(id|v.*)']\n\
                    keys = ['public\\.t:b, a', 'public.*:c']";
        let overrides = shared::config::Overrides { env_prefix: "NO_SUCH_PREFIX", set: &[] };
        let config: SourceConfig = shared::config::parse(text, &overrides).expect("valid");
        let filter = TableFilter::new(&config).expect("valid patterns");
        assert!(filter.includes(&table("public.t")) && !filter.includes(&table("other.t")));
        for (column, want) in [("id", true), ("ID", true), ("v2", true), ("x", false)] {
            assert_eq!(filter.includes_column(&table("public.t"), column), want, "{column}");
        }
        assert_eq!(filter.key_of(&table("public.t")), Some(&["b".to_owned(), "a".to_owned()][..]));
        assert_eq!(filter.key_of(&table("public.u")), Some(&["c".to_owned()][..]));
        assert_eq!(filter.key_of(&table("s.t")), None);
        assert!(key("public.t").is_err() && key("public.t:").is_err() && key("(:a").is_err());
    }

    #[test]
    fn a_plain_name_must_exist() {
        let tables = [table("public.orders"), table("public.users")];
        let error = filter(&["public.oders"], &[]).expect("valid").check_literals(&tables).expect_err("typo");
        assert_eq!(error.hint(), "did you mean public.orders?");
        assert_eq!(error.exit_code(), 2);
        for fine in ["public\\.users", "public.none_.*"] {
            filter(&[fine], &[]).expect("valid").check_literals(&tables).expect(fine);
        }
        assert!(filter(&["("], &[]).is_err());
    }
}
