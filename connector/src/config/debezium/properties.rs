//! Java's properties format, as far as workers' files use it, and the `${…}` references of
//! Kafka Connect's configuration providers. Pure but for the files that references name.

use shared::error::{Context, Error, Kind, OrKind, Result};
use std::collections::BTreeMap;

pub type Properties = BTreeMap<String, String>;

/// Reads `name=value`, `name: value` and `name value` lines; a backslash at the end goes on.
pub fn parse(text: &str) -> Properties {
    let mut found = Properties::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut line = line.trim_start().to_owned();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        while ends_in_backslash(&line) {
            line.pop();
            line.push_str(lines.next().unwrap_or_default().trim_start());
        }
        let (name, value) = split(&line);
        found.insert(unescape(name), unescape(value));
    }
    found
}

/// An odd number of backslashes: the last one is not itself escaped.
fn ends_in_backslash(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|c: char| {
        let ends = !escaped && (matches!(c, '=' | ':') || c.is_whitespace());
        escaped = !escaped && c == '\\';
        ends
    });
    let Some((name, rest)) = end.and_then(|end| line.split_at_checked(end)) else { return (line, "") };
    let rest = rest.trim_start();
    (name, rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start())
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some('u') => {
                    let code: String = chars.by_ref().take(4).collect();
                    out.extend(u32::from_str_radix(&code, 16).ok().and_then(char::from_u32));
                }
                Some(other) => out.push(other),
                None => {}
            },
            (c, false) => out.push(c),
        }
    }
    out
}

/// Replaces `${file:/path:key}` (a key of a properties file) and `${env:NAME}`.
pub fn resolve(value: &str) -> Result<String> {
    let Some((before, rest)) = value.split_once("${file:") else {
        return if value.contains("${env:") { shared::config::expand(value) } else { Ok(value.to_owned()) };
    };
    let unclosed = || Error::new(Kind::Config, "a ${file:…} reference has no closing brace");
    let (reference, after) = rest.split_once('}').ok_or_else(unclosed)?;
    let (path, key) = reference.rsplit_once(':').ok_or_else(|| {
        Error::new(Kind::Config, format!("${{file:{reference}}} names no key"))
            .remedy("write ${file:/path:key} as Kafka Connect does")
    })?;
    let text = std::fs::read_to_string(path).or_kind(Kind::Config).doing(|| format!("read {path}"))?;
    let found = parse(&text).remove(key);
    let found = found.ok_or_else(|| Error::new(Kind::Config, format!("{path} has no property {key}")))?;
    Ok(format!("{before}{found}{}", resolve(after)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_java_reads_them() {
        for (line, name, value) in [
            ("a.b=c", "a.b", "c"),
            ("  a : c d ", "a", "c d "),
            ("a c", "a", "c"),
            ("a", "a", ""),
            ("a=b\\\n  c", "a", "bc"),
            ("a=b\\\\", "a", "b\\"),
            ("a\\=b=c", "a=b", "c"),
            ("a=\\u00e9\\t", "a", "é\t"),
            ("a==b", "a", "=b"),
            ("a=\\", "a", ""),
        ] {
            assert_eq!(parse(line), [(name.to_owned(), value.to_owned())].into(), "{line:?}");
        }
        assert!(parse("# a=b\n!c=d\n\n").is_empty());
    }

    #[test]
    fn references_to_files_are_followed() {
        let path = std::env::temp_dir().join(format!("tidegate-properties-{}", std::process::id()));
        std::fs::write(&path, "password=s3cret=\nother=x\n").expect("temporary file");
        let value = format!("<${{file:{}:password}}>", path.display());
        assert_eq!(resolve(&value).expect("resolves"), "<s3cret=>");
        let missing = resolve(&format!("${{file:{}:none}}", path.display())).expect_err("no such key");
        assert!(missing.to_string().contains("none"), "{missing}");
        std::fs::remove_file(&path).expect("clean up");
        assert_eq!(resolve("plain ${other}").expect("left alone"), "plain ${other}");
    }
}
