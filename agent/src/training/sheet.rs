//! The training set's file: rows are gathered into row groups of bounded size, and the file takes its name
//! when it is whole.

use super::column::Column;
use crate::model::value::Value;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use shared::error::{Context, Kind, OrKind, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const GROUP_ROWS: usize = 65_536;
/// About how many bytes of values a row group holds in memory.
const GROUP_BYTES: usize = 32 << 20;

pub struct Sheet {
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
    bytes: usize,
    writer: SerializedFileWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
}

impl Sheet {
    pub fn create(path: &Path, columns: Vec<Column>) -> Result<Sheet> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let temporary = path.with_file_name(name);
        let open = || -> Result<SerializedFileWriter<File>> {
            let file = File::create(&temporary).or_kind(Kind::Config)?;
            let fields: parquet::errors::Result<Vec<_>> =
                columns.iter().map(|column| column.parquet().map(Arc::new)).collect();
            let schema = Type::group_type_builder("schema").with_fields(fields.or_kind(Kind::Bug)?).build();
            let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
            SerializedFileWriter::new(file, Arc::new(schema.or_kind(Kind::Bug)?), Arc::new(properties))
                .or_kind(Kind::Unreachable)
        };
        let writer = open().doing(|| format!("write {}", path.display()))?;
        let rows = Vec::new();
        Ok(Sheet { columns, rows, bytes: 0, writer, temporary, path: path.to_owned() })
    }

    pub fn push(&mut self, row: Vec<Value>) -> Result<()> {
        self.bytes += row.iter().map(weight).sum::<usize>();
        self.rows.push(row);
        if self.rows.len() >= GROUP_ROWS || self.bytes >= GROUP_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        if rows.is_empty() {
            return Ok(());
        }
        let write = || -> parquet::errors::Result<()> {
            let mut group = self.writer.next_row_group()?;
            for (at, column) in self.columns.iter().enumerate() {
                let Some(mut writer) = group.next_column()? else { break };
                column.write(rows.iter().map(|row| row.get(at).unwrap_or(&Value::Null)), &mut writer)?;
                writer.close()?;
            }
            group.close().map(drop)
        };
        let mut write = write;
        write().or_kind(Kind::Unreachable).doing(|| format!("write {}", self.path.display()))
    }

    /// Makes the file whole, durable, and visible under its name.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        let Sheet { writer, temporary, path, .. } = self;
        let end = || -> Result<()> {
            let file = writer.into_inner().or_kind(Kind::Unreachable)?;
            file.sync_all().or_kind(Kind::Unreachable)?;
            std::fs::rename(&temporary, &path).or_kind(Kind::Unreachable)
        };
        end().doing(|| format!("write {}", path.display()))
    }
}

fn weight(value: &Value) -> usize {
    32 + match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(values) => values.iter().map(weight).sum(),
        _ => 0,
    }
}
