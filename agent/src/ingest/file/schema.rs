//! The schema of a file's rows: given, registered for the topic, or derived from the first of them.

use super::csv::Texts;
use super::{Rows, open, parquet};
use crate::config::file::{FilesConfig, Format};
use crate::ingest::avro::derive::{self, Kind as Column};
use crate::registry::{Problem, Registry};
use shared::avro::wire::SchemaId;
use shared::error::{Context, Error, Kind, OrKind, Result};
use std::path::Path;
use std::sync::Arc;

/// Rows that are looked at; a later one that shows another type is a bad row.
const SAMPLE_ROWS: usize = 10_000;
/// Rows of hundreds of kilobytes must not be gathered by the thousand.
const SAMPLE_BYTES: u64 = 16 << 20;

pub struct Schemas(pub Arc<Registry>);

impl Schemas {
    pub fn value(
        &self,
        config: &FilesConfig,
        sample: impl FnOnce() -> Result<Vec<(String, Column)>>,
    ) -> Result<(SchemaId, Arc<str>)> {
        let subject = format!("{}-value", config.topic);
        if let Some(path) = &config.schema {
            let text = std::fs::read_to_string(path).or_kind(Kind::Config);
            let text = text.doing(|| format!("read {}", path.display()))?;
            return self.register(&subject, text.trim());
        }
        if let Some(version) = self.0.latest(&subject)? {
            let text = self.0.whole_schema(version.id)?;
            let gone = || Error::new(Kind::Bug, format!("schema {} has no text", version.id));
            return Ok((version.id, text.ok_or_else(gone)?));
        }
        let wrong = |why| Error::new(Kind::Data, why).remedy("rename the column, or give a schema");
        let text = derive::schema(&config.topic, &sample()?).map_err(wrong)?;
        tracing::info!(
            event = "file_schema_derived",
            subject,
            schema = text,
            "a schema was derived from the file"
        );
        self.register(&subject, &text)
    }

    pub fn key(&self, topic: &str, text: &str) -> Result<SchemaId> {
        Ok(self.register(&format!("{topic}-key"), text)?.0)
    }

    fn register(&self, subject: &str, text: &str) -> Result<(SchemaId, Arc<str>)> {
        let id = self.0.register(subject, text).map_err(|problem| match problem {
            Problem::Failed(error) => error,
            Problem::InvalidSchema(why) => {
                Error::new(Kind::Rejected, format!("the schema is invalid: {why}"))
            }
            Problem::Incompatible { reasons, .. } => {
                let what = format!("the schema does not go with those of {subject}: {}", reasons.join("; "));
                Error::new(Kind::Rejected, what).remedy("use another topic, or change the subject's level")
            }
            other => Error::new(Kind::Rejected, format!("register a schema under {subject}: {other:?}")),
        })?;
        Ok((id, Arc::from(text)))
    }
}

/// The columns of a file: as it states them, or as its first rows show them.
pub fn sample(path: &Path, format: Format, config: &FilesConfig) -> Result<Vec<(String, Column)>> {
    if format == Format::Parquet {
        return parquet::columns(path);
    }
    let mut rows: Box<dyn Rows> = open(path, format, config, (0, 0), Texts::new())?;
    let mut columns = Vec::new();
    for _ in 0..SAMPLE_ROWS {
        match rows.next()? {
            None => break,
            Some(Ok(row)) => {
                let found = row.as_object().map(derive::columns_of).unwrap_or_default();
                columns = derive::merge(columns, found);
            }
            Some(Err(_)) => {}
        }
        if rows.place() > SAMPLE_BYTES {
            break;
        }
    }
    if columns.is_empty() {
        return Err(Error::new(Kind::Data, "the file has no row from which a schema could be derived"));
    }
    Ok(columns)
}
