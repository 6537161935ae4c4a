//! Signals as lines of a file, each `{"id": …, "type": …, "data": …}`. The file is taken away once it is read.

use super::parse;
use crate::model::request::Request;
use serde_json::Value;
use shared::error::Context;
use shared::{Error, Kind, Result};
use std::io::ErrorKind;
use std::path::PathBuf;

/// More is no file of signals.
const LARGEST: u64 = 1024 * 1024;

pub struct FileChannel {
    path: PathBuf,
}

impl FileChannel {
    pub fn new(path: PathBuf) -> Self {
        FileChannel { path }
    }

    pub fn poll(&mut self) -> Vec<Request> {
        let doing = || format!("read signals from {}", self.path.display());
        let text = match self.take().doing(doing) {
            Ok(Some(text)) => text,
            Ok(None) => return Vec::new(),
            Err(error) => {
                tracing::warn!(event = "signal_file_unreadable", %error, remedy = error.hint(), "signals are not read");
                return Vec::new();
            }
        };
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let requests = lines.filter_map(|text| {
            let read = line(text);
            if let Err(error) = &read {
                tracing::warn!(event = "signal_refused", %error, remedy = error.hint(), "a signal is passed over");
            }
            read.ok()
        });
        requests.collect()
    }

    /// Taken away first: what is written from then on is another file. One that a crash left there is read
    /// before.
    fn take(&self) -> Result<Option<String>> {
        let taken = self.path.with_extension("taken");
        let from = if taken.exists() { &taken } else { &self.path };
        let size = match std::fs::metadata(from) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::from_source(Kind::Config, error)),
        };
        if size > LARGEST {
            return Err(Error::new(Kind::Config, format!("it has {size} bytes"))
                .remedy("signals are a few lines; look at what signal.file names"));
        }
        let read = || {
            std::fs::rename(from, &taken)?;
            let bytes = std::fs::read(&taken)?;
            std::fs::remove_file(&taken).map(|()| String::from_utf8_lossy(&bytes).into_owned())
        };
        read().map(Some).map_err(|error| Error::from_source(Kind::Config, error))
    }
}

/// One line.
pub fn line(text: &str) -> Result<Request> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| Error::new(Kind::Config, format!("a line is no JSON: {error}")))?;
    object(&value)
}

/// `data` may be a text that holds JSON, or the JSON itself.
pub fn object(value: &Value) -> Result<Request> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let kind = text("type").ok_or_else(|| Error::new(Kind::Config, "a signal has no type"))?;
    let data = match value.get("data") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    parse(text("id").unwrap_or_default(), kind, &data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::request::Action;

    #[test]
    fn a_file_is_read_once() {
        let folder = std::env::temp_dir().join(format!("tidegate-signals-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("temporary folder");
        let path = folder.join("signals.txt");
        let mut channel = FileChannel::new(path.clone());
        assert!(channel.poll().is_empty());
        let lines = "{\"id\": \"1\", \"type\": \"pause-snapshot\"}\nnonsense\n\n\
                     {\"id\": \"2\", \"type\": \"log\", \"data\": {\"message\": \"x\"}}\n\
                     {\"id\": \"3\", \"type\": \"log\", \"data\": \"{\\\"message\\\": \\\"x\\\"}\"}";
        std::fs::write(&path, lines).expect("written");
        let actions: Vec<Action> = channel.poll().into_iter().map(|request| request.action).collect();
        let log = Action::Log("x".to_owned());
        assert_eq!(actions, [Action::Pause, log.clone(), log]);
        assert!(channel.poll().is_empty() && !path.exists());
        // A crash left this one.
        std::fs::write(path.with_extension("taken"), "{\"type\": \"pause-snapshot\"}").expect("written");
        std::fs::write(&path, "{\"type\": \"resume-snapshot\"}").expect("written");
        let polls: Vec<Request> = (0..3).flat_map(|_| channel.poll()).collect();
        assert_eq!(
            polls.iter().map(|request| &request.action).collect::<Vec<_>>(),
            [&Action::Pause, &Action::Resume]
        );
        std::fs::remove_dir_all(&folder).expect("clean up");
    }
}
