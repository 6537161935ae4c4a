//! A stream of messages, from the bytes of the replication protocol to events.

use super::typed::type_info;
use crate::config::source::SourceConfig;
use crate::model::change::Event;
use crate::model::position::Lsn;
use crate::model::position::PostgresPosition;
use crate::model::table::TableId;
use crate::source::postgres::catalog::{Catalog, ColumnFacts, TableFacts};
use crate::source::postgres::filter::{Names, TableFilter};
use crate::source::postgres::pgoutput::{Message, Relation};
use crate::source::postgres::reader::{Reader, Start};
use crate::source::postgres::relation::Relations;
use crate::source::postgres::sql::Sql;
use shared::{Error, Kind, Result};

/// Takes an event, and may end the stream.
pub type Streamed<'t> = &'t mut dyn FnMut(Event<'_>) -> Result<()>;

/// The input is messages, each behind its length in two bytes: those of `pgoutput`, beside them `k`, a
/// keepalive with its end of log, and `d`, the default of each column of the next relation.
///
/// # Errors
/// What ended the stream, as in life.
pub fn stream(source: &SourceConfig, input: &[u8], take: Streamed<'_>) -> Result<()> {
    let mut replay = Replay::new(source)?;
    let mut default = None;
    let mut rest = input;
    while let [high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
        let (message, tail) = tail.split_at(length);
        rest = tail;
        match (message, Message::parse(message)) {
            ([b'd', text @ ..], _) => default = std::str::from_utf8(text).ok(),
            ([b'k', end @ ..], _) => {
                let frame = [b"k", end, &[0; 17]].concat();
                replay.frame(&frame, take)?;
            }
            (_, Ok(Message::Relation(relation))) => {
                replay.define(&relation, default.take())?;
            }
            (message, _) => {
                let at = u64::try_from(input.len() - rest.len()).unwrap_or_default();
                let frame = [b"w", &at.to_be_bytes()[..], &[0; 16], message].concat();
                replay.frame(&frame, take)?;
            }
        }
    }
    Ok(())
}

/// A stream without a server.
pub struct Replay {
    reader: Reader,
    relations: Relations,
    catalog: Catalog,
}

impl Replay {
    /// # Errors
    /// `Config`, for a list of names that is none.
    pub fn new(source: &SourceConfig) -> Result<Replay> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let catalog = Catalog::new(Sql::new(source, runtime.handle().clone())?);
        let relations = Relations::new(TableFilter::new(source)?, source.unknown_types);
        let messages = Names::new("message_prefixes", &[], &[])?;
        let start = Start {
            position: PostgresPosition::default(),
            slot_confirmed: Lsn(0),
            messages,
            flushes: true,
            beside: None,
        };
        Ok(Replay { reader: Reader::new("d".to_owned(), start), relations, catalog })
    }

    /// One message of the replication protocol.
    ///
    /// # Errors
    /// As in life.
    pub fn frame(&mut self, body: &[u8], take: Streamed<'_>) -> Result<bool> {
        self.reader.copy_data(body, &mut self.relations, &mut self.catalog, take)
    }

    /// A relation's message.
    ///
    /// # Errors
    /// As in life.
    pub fn describe(&mut self, message: &[u8]) -> Result<()> {
        match Message::parse(message) {
            Ok(Message::Relation(relation)) => self.define(&relation, None),
            other => Err(Error::new(Kind::Data, format!("{other:?} is no relation"))),
        }
    }

    /// What a relation's message says is what the catalogue says, or nearly: names of keys begin with
    /// `k`, of other columns that are never NULL with `n`.
    ///
    /// # Errors
    /// As in life.
    pub fn define(&mut self, message: &Relation<'_>, default: Option<&str>) -> Result<()> {
        let mut facts = TableFacts::default();
        for column in message.columns() {
            let Ok(column) = column else { break };
            self.catalog.know(column.type_oid, type_info(column.type_oid));
            let key = column.name.starts_with('k');
            if key {
                facts.key.push(column.name.to_owned());
            }
            facts.columns.push(ColumnFacts {
                name: column.name.to_owned(),
                type_oid: column.type_oid,
                modifier: column.modifier,
                not_null: column.name.starts_with('n'),
                default: default.map(str::to_owned),
                comment: None,
            });
        }
        let id = TableId { schema: message.schema.to_owned(), name: message.name.to_owned() };
        self.relations.define_from(message, id, &facts, &mut self.catalog)
    }
}
