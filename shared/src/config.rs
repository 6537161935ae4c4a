//! TOML → typed configuration, the same way for every program.
//!
//! Order of precedence, lowest first: the file, the environment (`PREFIX__TABLE__KEY`),
//! `--set table.key=value`. Inside any text value `${env:NAME}` and `${file:/path}` are replaced,
//! so that secrets need not stand in the file. An unknown key is an error that names the
//! nearest known one.

use crate::error::{Context, Error, Kind, OrKind, Result};
use serde::de::DeserializeOwned;
use std::path::Path;
use toml::{Table, Value};

/// Where overrides come from, beside the file.
pub struct Overrides<'a> {
    /// Environment variables with this prefix, e.g. `TIDEGATE_CONNECTOR`.
    pub env_prefix: &'a str,
    /// `table.key=value`, as given by `--set`.
    pub set: &'a [String],
}

/// Reads a configuration file and applies the overrides.
pub fn load<T: DeserializeOwned>(path: &Path, overrides: &Overrides<'_>) -> Result<T> {
    let text =
        std::fs::read_to_string(path).or_kind(Kind::Config).doing(|| format!("read {}", path.display()))?;
    parse(&text, overrides).doing(|| format!("read {}", path.display()))
}

/// [`load`] for a text already read.
pub fn parse<T: DeserializeOwned>(text: &str, overrides: &Overrides<'_>) -> Result<T> {
    let mut table: Table = text
        .parse()
        .map_err(|e: toml::de::Error| Error::new(Kind::Config, e.to_string().trim().replace('\n', " ")))?;
    apply_environment(&mut table, overrides.env_prefix, std::env::vars());
    for item in overrides.set {
        let given = item.split_once('=').and_then(|(path, value)| Some((names(path)?, value)));
        let (path, value) = given.ok_or_else(|| {
            let remedy = "a name with dots goes in quotes: table.\"a.b\"=value";
            Error::new(Kind::Config, format!("--set {item}: expected table.key=value")).remedy(remedy)
        })?;
        set(&mut table, path.iter().map(String::as_str), scalar(value.trim()));
    }
    let mut root = Value::Table(table);
    interpolate(&mut root)?;
    root.try_into().map_err(|e: toml::de::Error| explain(&e, text))
}

fn apply_environment(table: &mut Table, prefix: &str, vars: impl Iterator<Item = (String, String)>) {
    let prefix = format!("{prefix}__");
    for (name, value) in vars {
        if let Some(path) = name.strip_prefix(&prefix) {
            let path = path.to_lowercase();
            set(table, path.split("__"), scalar(&value));
        }
    }
}

/// The names of a dotted path as TOML reads it: those with dots of their own are quoted.
fn names(path: &str) -> Option<Vec<String>> {
    let mut value = Value::Table(format!("{path} = 0").parse().ok()?);
    let mut names = Vec::new();
    while let Value::Table(table) = value {
        let (name, inner) = table.into_iter().next()?;
        names.push(name);
        value = inner;
    }
    Some(names)
}

/// Puts a value at a dotted path, making tables on the way.
fn set<'a>(table: &mut Table, path: impl IntoIterator<Item = &'a str>, value: Value) {
    let mut parts = path.into_iter().peekable();
    let mut table = table;
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            table.insert(part.to_owned(), value);
            return;
        }
        let entry = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
        if !entry.is_table() {
            *entry = Value::Table(Table::new());
        }
        match entry {
            Value::Table(inner) => table = inner,
            _ => return,
        }
    }
}

/// A value as TOML would read it, or else a text.
fn scalar(text: &str) -> Value {
    format!("v = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut t| t.remove("v"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

fn interpolate(value: &mut Value) -> Result<()> {
    match value {
        Value::String(text) if text.contains("${") => *text = expand(text)?,
        Value::Array(items) => items.iter_mut().try_for_each(interpolate)?,
        Value::Table(table) => {
            for (key, value) in table.iter_mut() {
                interpolate(value).doing(|| key.clone())?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Replaces `${env:NAME}` and `${file:/path}`; other `${…}` stay as they are.
pub fn expand(text: &str) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, after) = rest.split_at(start);
        out.push_str(before);
        let Some(end) = after.find('}') else { break };
        let (reference, tail) = (&after[2..end], &after[end + 1..]);
        match reference.split_once(':') {
            Some(("env", name)) => {
                out.push_str(&std::env::var(name).map_err(|_| {
                    Error::new(Kind::Config, format!("environment variable {name} is not set"))
                })?)
            }
            Some(("file", path)) => {
                let content = std::fs::read_to_string(path)
                    .or_kind(Kind::Config)
                    .doing(|| format!("read secret file {path}"))?;
                out.push_str(content.trim_end_matches(['\n', '\r']));
            }
            _ => out.push_str(&after[..=end]),
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

/// Turns serde's words into ours: the key, its line, and the nearest known name.
fn explain(error: &toml::de::Error, text: &str) -> Error {
    let message = error.message().to_owned();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let place = error
        .to_string()
        .lines()
        .find_map(|l| l.trim().strip_prefix("in `"))
        .map(|l| l.trim_end_matches('`').to_owned());
    match quoted.split_first() {
        Some((unknown, known)) if message.starts_with("unknown field") => {
            let mut what = format!("unknown key `{unknown}`");
            if let Some(table) = place.filter(|p| !p.is_empty()) {
                what.push_str(&format!(" in [{table}]"));
            }
            if let Some(line) = line_of(text, unknown) {
                what.push_str(&format!(" (line {line})"));
            }
            let remedy = match nearest(unknown, known.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("known keys: {}", known.join(", ")),
            };
            Error::new(Kind::Config, what).remedy(remedy)
        }
        _ => Error::new(Kind::Config, error.to_string().trim().replace('\n', " ")),
    }
}

fn line_of(text: &str, key: &str) -> Option<usize> {
    text.lines()
        .position(|line| {
            let line = line.trim_start().trim_start_matches('[');
            line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(['=', ']', '.']))
        })
        .map(|n| n + 1)
}

/// The known name closest to what was written, if it is close at all.
pub fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().max(written.len()) / 4)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        sink: Sink,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sink {
        brokers: String,
        #[serde(default)]
        linger_ms: u32,
    }

    fn read(text: &str, set: &[&str]) -> Result<Sample> {
        let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
        parse(text, &Overrides { env_prefix: "NO_SUCH_PREFIX", set: &set })
    }

    #[test]
    fn names_the_nearest_known_key() {
        let error = read("[sink]\nbrokers = \"a\"\nlinger_sm = 3\n", &[]).expect_err("unknown key");
        assert_eq!(error.to_string(), "unknown key `linger_sm` in [sink] (line 3)");
        assert_eq!(error.hint(), "did you mean `linger_ms`?");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn set_wins_over_the_file() {
        let sample =
            read("[sink]\nbrokers = \"a\"\n", &["sink.linger_ms=7", "sink.brokers=b:1"]).expect("valid");
        assert_eq!((sample.sink.linger_ms, sample.sink.brokers.as_str()), (7, "b:1"));
    }

    #[test]
    fn a_name_with_dots_is_set_in_quotes() {
        assert_eq!(names("sink.properties.\"a.b\" ").expect("a path"), ["sink", "properties", "a.b"]);
        for wrong in ["sink.", "sink properties", "", "sink.\"a"] {
            let error = read("", &[&format!("{wrong}=1")]).expect_err("no path");
            assert!(error.to_string().contains("expected table.key=value"), "{error}");
            assert!(error.hint().contains("quotes"), "{}", error.hint());
        }
    }

    #[test]
    fn environment_reaches_nested_tables() {
        let mut table = Table::new();
        let vars = [("P__SINK__LINGER_MS".to_owned(), "5".to_owned()), ("OTHER".to_owned(), "x".to_owned())];
        apply_environment(&mut table, "P", vars.into_iter());
        assert_eq!(table["sink"]["linger_ms"].as_integer(), Some(5));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn missing_environment_variable_is_named() {
        let error = read("[sink]\nbrokers = \"${env:TIDEGATE_NO_SUCH}\"\n", &[]).expect_err("not set");
        assert!(error.to_string().contains("TIDEGATE_NO_SUCH"), "{error}");
    }
}
