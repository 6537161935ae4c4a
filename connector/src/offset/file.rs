//! Progress in a local file, replaced as a whole so that a power cut leaves the old or the new.

use super::{OffsetStore, format};
use crate::metrics;
use crate::model::position::Position;
use serde_json::{Value, json};
use shared::error::{Context, Error, Kind, Result};
use std::path::{Path, PathBuf};

/// What a file begins with that Java wrote (Kafka Connect's standalone worker).
const JAVA: &[u8] = &[0xac, 0xed, 0x00, 0x05];

/// `{"key": ["name", {"server": "prefix"}], "value": {…}}`.
#[derive(Debug)]
pub struct FileOffsets {
    path: PathBuf,
    key: String,
}

impl FileOffsets {
    /// `connector` and `server` (the topic prefix) name whose progress it is.
    pub fn new(path: &Path, connector: &str, server: &str) -> Self {
        FileOffsets { path: path.to_owned(), key: format::key(connector, server) }
    }

    pub(super) fn parse(&self, content: &[u8]) -> Result<Position> {
        if content.starts_with(JAVA) {
            return Err(Error::new(Kind::Config, "it is a Kafka Connect worker's file, written by Java")
                .remedy("give another path: --set offset.path=/var/lib/tidegate/connector-offsets.json"));
        }
        let lost = || Error::new(Kind::Lost, "it does not hold a position");
        let document: Value = serde_json::from_slice(content).map_err(|_| lost())?;
        let key = document.get("key").ok_or_else(lost)?.to_string();
        if !format::is_key(key.as_bytes(), &self.key) {
            return Err(Error::new(Kind::Config, format!("it belongs to {key}, not to {}", self.key))
                .remedy("give each connector its own offset.path, or set offset.connector and event.topic_prefix back"));
        }
        format::position(document.get("value").ok_or_else(lost)?.to_string().as_bytes())
    }
}

impl OffsetStore for FileOffsets {
    fn load(&mut self) -> Result<Option<Position>> {
        let doing = || format!("read {}", self.path.display());
        match std::fs::read(&self.path) {
            Ok(content) => self.parse(&content).map(Some).doing(doing),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::from_source(Kind::Config, error)).doing(doing),
        }
    }

    fn save(&mut self, position: &Position) -> Result<()> {
        let key: Value = serde_json::from_str(&self.key).unwrap_or_default();
        let document = json!({ "key": key, "value": format::value(position) });
        shared::durable::write(&self.path, format!("{document}\n").as_bytes())?;
        metrics::OFFSET_SAVES.inc();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::position::{Lsn, PostgresPosition};

    #[test]
    fn a_file_gives_back_what_was_saved_and_knows_whose_it_is() {
        let folder = std::env::temp_dir().join(format!("tidegate-offsets-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("temporary folder");
        let path = folder.join("offsets.json");
        let mut store = FileOffsets::new(&path, "orders", "shop");
        assert_eq!(store.load().expect("no file yet"), None);
        let position = Position::Postgres(PostgresPosition {
            lsn: Lsn(5),
            commit_lsn: Some(Lsn(5)),
            transaction_id: Some(1),
            commit_time_us: 2,
            snapshot: None,
            progress: None,
            incremental: None,
        });
        store.save(&position).expect("saved");
        assert_eq!(store.load().expect("readable"), Some(position.clone()));

        let error = FileOffsets::new(&path, "other", "shop").load().expect_err("another's file");
        assert_eq!(error.kind(), Kind::Config, "{error}");
        for (content, kind) in
            [(JAVA, Kind::Config), (b"{}", Kind::Lost), (b"", Kind::Lost), (b"\0\0", Kind::Lost)]
        {
            std::fs::write(&path, content).expect("written");
            assert_eq!(store.load().expect_err("damaged").kind(), kind, "{content:?}");
        }
        let mut nowhere = FileOffsets::new(&folder.join("no/such"), "orders", "shop");
        assert!(nowhere.save(&position).expect_err("no folder").to_string().contains("no/such"));
        std::fs::remove_dir_all(&folder).expect("clean up");
    }
}
