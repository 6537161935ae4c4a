//! Relation messages and the catalogue → [`Table`]s, kept until they change.
//!
//! The server describes a table before its first row and again after a change, but sends names and
//! types only. Nullability, defaults and the key are read from the catalogue *as it is now*, as
//! Debezium does: an old log read after a change shows today's.

use super::catalog::{ColumnFacts, Describes, TableFacts};
use super::column::{TypeInfo, column_type, source_type, unknown_type};
use super::cursor::Malformed;
use super::default;
use super::filter::TableFilter;
use super::pgoutput;
use super::value::Decoder;
use super::wire::protocol;
use crate::model::table::{Column, ColumnType, Table, TableId};
use shared::error::Context;
use shared::{Error, Kind, Result};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A table, and how each column that the server sends is read; `None` is left out.
#[derive(Clone, Debug)]
pub struct Relation {
    pub table: Arc<Table>,
    pub decoders: Vec<Option<Decoder>>,
    /// Names of what the server sends, also of what is left out.
    sent: Arc<[String]>,
    /// Whether its rows are signals.
    pub signals: bool,
}

impl Relation {
    /// Where the server sends the column of that name.
    pub fn sent_at(&self, name: &str) -> Option<usize> {
        self.sent.iter().position(|sent| sent == name)
    }
}

/// Whether a sequence fills the column.
fn is_serial(now: Option<&ColumnFacts>) -> bool {
    now.and_then(|now| now.default.as_deref()).is_some_and(|default| default.starts_with("nextval("))
}

/// A column as it is declared where it is read from.
struct Declared<'a> {
    name: &'a str,
    type_oid: u32,
    modifier: i32,
}

pub struct Relations {
    filter: TableFilter,
    /// Columns of types that nobody knows are kept.
    unknown_types: bool,
    /// By the number in the stream; `None` is not captured.
    by_id: HashMap<u32, Option<Relation>>,
    latest: HashMap<TableId, Arc<Table>>,
    warned: HashSet<String>,
}

impl Relations {
    pub fn new(filter: TableFilter, unknown_types: bool) -> Self {
        Relations {
            filter,
            unknown_types,
            by_id: HashMap::new(),
            latest: HashMap::new(),
            warned: HashSet::new(),
        }
    }

    /// Numbers are only good for one stream.
    pub fn forget_numbers(&mut self) {
        self.by_id.clear();
    }

    /// The relation of that number; `None` if its table is not captured.
    ///
    /// # Errors
    /// When the server never described it.
    #[inline]
    pub fn get(&self, id: u32) -> Result<Option<&Relation>> {
        match self.by_id.get(&id) {
            Some(relation) => Ok(relation.as_ref()),
            None => Err(protocol(Malformed("row of a relation that was never described"))),
        }
    }

    /// Those of the tables that are captured.
    pub fn captured(&self, tables: Vec<TableId>) -> Vec<TableId> {
        self.filter.select(tables)
    }

    /// Whether the table still looks as it did.
    pub fn is_newest(&self, table: &Table) -> bool {
        self.latest.get(&table.id).is_none_or(|latest| latest.version == table.version)
    }

    /// Takes note of a relation message.
    pub fn define(&mut self, message: &pgoutput::Relation<'_>, catalog: &mut dyn Describes) -> Result<()> {
        let id = TableId { schema: message.schema.to_owned(), name: message.name.to_owned() };
        if !self.filter.includes(&id) {
            self.by_id.insert(message.id, None);
            return Ok(());
        }
        let facts = catalog.table(&id)?;
        catalog.forget_enums();
        self.define_from(message, id, &facts, catalog)
    }

    /// [`Relations::define`] of a captured table, of which `facts` is what the catalogue says.
    pub fn define_from(
        &mut self,
        message: &pgoutput::Relation<'_>,
        id: TableId,
        facts: &TableFacts,
        catalog: &mut dyn Describes,
    ) -> Result<()> {
        let columns: Vec<_> = message.columns().map(|c| c.map_err(protocol)).collect::<Result<_>>()?;
        let declared: Vec<Declared<'_>> = columns
            .iter()
            .map(|c| Declared { name: c.name, type_oid: c.type_oid, modifier: c.modifier })
            .collect();
        let relation = self.build(id, &declared, facts, catalog, true)?;
        self.by_id.insert(message.id, Some(relation));
        Ok(())
    }

    /// A table as it is now, for reading it whole.
    pub fn present(&mut self, id: &TableId, catalog: &mut dyn Describes) -> Result<Relation> {
        let facts = catalog.table(id)?;
        if facts.columns.is_empty() {
            return Err(Error::new(Kind::Config, format!("table {id} does not exist any more")));
        }
        let declared: Vec<Declared<'_>> = facts
            .columns
            .iter()
            .map(|c| Declared { name: &c.name, type_oid: c.type_oid, modifier: c.modifier })
            .collect();
        self.build(id.clone(), &declared, &facts, catalog, false)
    }

    fn build(
        &mut self,
        id: TableId,
        declared: &[Declared<'_>],
        facts: &TableFacts,
        catalog: &mut dyn Describes,
        streamed: bool,
    ) -> Result<Relation> {
        let given = self.filter.key_of(&id).map(<[String]>::to_vec);
        self.warn_unknown_key(&id, given.as_deref(), declared);
        let key_names = given.as_ref().unwrap_or(&facts.key);
        let mut columns = Vec::with_capacity(declared.len());
        let mut decoders = Vec::with_capacity(declared.len());
        for column in declared {
            let shown = self.filter.includes_column(&id, column.name);
            if !shown && !key_names.iter().any(|name| name == column.name) {
                decoders.push(None);
                continue;
            }
            let info = catalog.type_info(column.type_oid).doing(|| format!("describe {id}"))?;
            let known = info.and_then(|info| {
                let known = column_type(&info, column.modifier);
                Some((known.or_else(|| self.unknown_types.then(|| unknown_type(&info)).flatten())?, info))
            });
            decoders.push(known.as_ref().map(|((_, decoder), _)| *decoder));
            let Some(((kind, _), info)) = known else {
                self.warn_left_out(&id, column.name, column.type_oid);
                continue;
            };
            // Debezium's tables do not have the columns that are left out: in keys they are optional.
            let now = facts.column(column.name).filter(|_| shown || !streamed);
            columns.push(Column { key_only: !shown, ..described(column, kind, &info, now, streamed) });
        }
        let place = |name: &String| columns.iter().position(|column| column.name == *name);
        let key = key_names.iter().filter_map(place).collect();
        let sent = declared.iter().map(|column| column.name.to_owned()).collect();
        let signals = self.filter.is_signal(&id);
        Ok(Relation { table: self.newest(Table::new(id, columns, key)), decoders, sent, signals })
    }

    fn warn_unknown_key(&mut self, table: &TableId, given: Option<&[String]>, declared: &[Declared<'_>]) {
        for name in given.unwrap_or_default() {
            let there = declared.iter().any(|column| column.name == name);
            if !there && self.warned.insert(format!("{table}:{name}")) {
                tracing::warn!(event = "key_column_missing", %table, column = name, "source.keys names a column that the table does not have");
            }
        }
    }

    /// The version known already if the new one looks the same: what is cached by it stays good.
    fn newest(&mut self, table: Table) -> Arc<Table> {
        if let Some(known) = self.latest.get(&table.id).filter(|known| known.same_shape(&table)) {
            return known.clone();
        }
        let table = Arc::new(table);
        tracing::info!(
            event = "table_described",
            table = %table.id,
            version = table.version,
            columns = table.columns.len(),
            key_columns = table.key.len(),
            "table described"
        );
        self.latest.insert(table.id.clone(), table.clone());
        table
    }

    fn warn_left_out(&mut self, table: &TableId, column: &str, type_oid: u32) {
        if self.warned.insert(format!("{table}.{column}")) {
            tracing::warn!(
                event = "column_left_out",
                %table,
                column,
                type_oid,
                "column left out of records: its type is not supported (source.unknown_types = true sends its text)"
            );
        }
    }
}

/// A column that the catalogue has no longer is taken to be optional.
fn described(
    declared: &Declared<'_>,
    kind: ColumnType,
    info: &TypeInfo,
    now: Option<&ColumnFacts>,
    streamed: bool,
) -> Column {
    Column {
        default: now.and_then(|now| default::parse(info, declared.modifier, now.default.as_deref()?)),
        source_type: source_type(info, declared.modifier, streamed, is_serial(now)),
        characters: info.is_characters(),
        comment: now.and_then(|now| now.comment.clone()),
        ..Column::new(declared.name, kind, now.is_none_or(|now| !now.not_null))
    }
}
