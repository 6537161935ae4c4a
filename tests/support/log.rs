//! The log of one of our programs, line by line, and the rule that no warning goes unnoticed.

use serde_json::Value;
use std::path::Path;

/// One line: our JSON, or what something else (a panic, a C library) wrote.
#[derive(Clone, Debug)]
pub struct Line {
    text: String,
    json: Option<Value>,
}

impl Line {
    fn new(text: &str) -> Line {
        let json = text.starts_with('{').then(|| serde_json::from_str(text).ok()).flatten();
        Line { text: text.to_owned(), json }
    }

    /// A field as text; empty if there is none.
    pub fn field(&self, name: &str) -> &str {
        self.json.as_ref().and_then(|json| json.get(name)).and_then(Value::as_str).unwrap_or_default()
    }

    /// The line's stable `event` name.
    pub fn event(&self) -> &str {
        self.field("event")
    }

    pub fn level(&self) -> &str {
        self.field("level")
    }

    /// The line as it stands in the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Somebody should look at it: our WARN and ERROR, and any panic.
    fn is_alarming(&self) -> bool {
        matches!(self.level(), "WARN" | "ERROR") || (self.json.is_none() && self.text.contains("panicked at"))
    }
}

/// All lines so far; none if there is no log yet.
pub fn read(path: &Path) -> Vec<Line> {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().map(Line::new).collect()
}

/// The alarming lines whose event is not among the allowed ones.
pub fn unlisted(path: &Path, allowed: &[String]) -> Vec<Line> {
    let listed = |line: &Line| allowed.iter().any(|event| event == line.event());
    read(path).into_iter().filter(|line| line.is_alarming() && !listed(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Story: a test was green while the program under it warned on every record.
    #[test]
    fn an_unlisted_warning_is_found() {
        let cases = [
            (r#"{"level":"INFO","event":"started"}"#, false),
            (r#"{"level":"WARN","event":"expected"}"#, false),
            (r#"{"level":"WARN","event":"slow"}"#, true),
            (r#"{"level":"ERROR"}"#, true),
            ("thread 'main' panicked at src/main.rs:1", true),
            ("%4|1700000000|MAXPOLL|rdkafka", false),
        ];
        let folder = stack::folder::Folder::new("log").expect("temporary folder");
        for (text, found) in cases {
            let path = folder.write("log", text).expect("write");
            assert_eq!(unlisted(&path, &["expected".to_owned()]).len(), usize::from(found), "{text}");
        }
    }
}
