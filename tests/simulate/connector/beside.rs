//! What incremental snapshots ask of the database: its catalogue, and rows by key. Writers go on between any two
//! questions, and each may be the last.

use super::asked::fits;
use super::database::Version;
use super::message::{INT8, TEXT};
use super::world::{Shared, World, unreachable};
use connector::model::key_cell::KeyCell;
use connector::model::position::Lsn;
use connector::model::progress::View;
use connector::model::table::TableId;
use connector::source::postgres::offline::{
    ColumnFacts, Database, Describes, KeyTexts, Keyed, Range, TableFacts,
};
use shared::{Error, Kind, Result};
use std::cell::RefMut;

/// A connection.
pub struct Link {
    pub world: Shared,
    /// The point in time that was begun.
    pub point: Option<View>,
}

pub struct Catalogue(pub Shared);

impl Link {
    /// Writers go on; the connection may break, the statement may fail, the process may end.
    fn ask(&self, what: &str) -> Result<RefMut<'_, World>> {
        let mut world = self.world.call(what);
        world.go_on();
        let once_in = world.odds.lost_connection;
        if world.happens(once_in) {
            return unreachable("the connection of a chunk broke");
        }
        Ok(world)
    }

    /// What a statement sees that is run now.
    fn view(&self, world: &World) -> View {
        self.point.clone().unwrap_or_else(|| world.database.view())
    }

    fn keyed(&self, world: &World, of: &Keyed<'_>) -> Vec<Version> {
        let at = |table: &_| *table == of.table.id;
        let table =
            world.database.tables.iter().position(|table| at(&table.id)).expect("a table that is captured");
        let mut rows = world.database.rows(table, &self.view(world), |_| true);
        rows.retain(|row| fits(of.condition, row.value));
        rows.sort_by_key(|row| key(of, row));
        rows
    }
}

/// Of tables with two columns, read by one of them.
fn key(of: &Keyed<'_>, row: &Version) -> i64 {
    match of.key {
        [0] => row.key,
        [1] => row.value,
        other => panic!("no such key: {other:?}"),
    }
}

fn number(cells: &[KeyCell]) -> i64 {
    let [KeyCell::Long(number)] = cells else { panic!("no such key: {cells:?}") };
    *number
}

impl Database for Link {
    fn begin(&mut self) -> Result<Lsn> {
        let point = self.ask("begin a chunk")?.database.view();
        let end = point.end;
        self.point = Some(point);
        Ok(end)
    }

    fn end(&mut self) -> Result<()> {
        self.point = None;
        self.ask("end a chunk").map(drop)
    }

    fn maximum(&mut self, of: &Keyed<'_>) -> Result<Option<KeyTexts>> {
        let world = self.ask("find the last key")?;
        Ok(self.keyed(&world, of).last().map(|row| vec![Some(key(of, row).to_string())]))
    }

    fn rows(
        &mut self,
        of: &Keyed<'_>,
        range: &Range<'_>,
        line: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut world = self.ask("read a chunk")?;
        if world.statement_fails() {
            return Err(Error::new(Kind::Data, "the table cannot be read"));
        }
        let rows = self.keyed(&world, of);
        let (last, maximum) = (range.last.map(number), number(range.maximum));
        let within = |row: &&Version| last.is_none_or(|last| key(of, row) > last) && key(of, row) <= maximum;
        for row in rows.iter().filter(within).take(range.limit) {
            line(format!("{}\t{}\n", row.key, row.value).as_bytes())?;
        }
        drop(world);
        drop(self.world.call("a chunk was read"));
        Ok(())
    }

    fn mark(&mut self, table: &TableId, id: &str, kind: &str, data: &str) -> Result<()> {
        let mut world = self.ask("write a mark")?;
        assert_eq!(*table, world.database.signals);
        world.write_mark([id, kind, data].map(str::to_owned));
        drop(world);
        drop(self.world.call("a mark is written"));
        Ok(())
    }

    fn unmark(&mut self, table: &TableId, id: &str) -> Result<()> {
        let mut world = self.ask("take a mark out")?;
        assert_eq!(*table, world.database.signals);
        world.remove_mark(id);
        drop(world);
        drop(self.world.call("a mark is out"));
        Ok(())
    }

    fn nudge(&mut self) -> Result<()> {
        self.ask("move the log on")?.move_on();
        Ok(())
    }

    fn close(&mut self) {
        self.point = None;
    }
}

impl Describes for Catalogue {
    fn tables(&mut self) -> Result<Vec<TableId>> {
        let world = self.0.call("list tables");
        let tables = world.database.tables.iter().map(|table| table.id.clone());
        Ok(tables.chain([world.database.signals.clone()]).collect())
    }

    fn table(&mut self, id: &TableId) -> Result<TableFacts> {
        let world = self.0.call("describe a table");
        let table = world.database.tables.iter().position(|table| table.id == *id);
        let comment = table.map(|table| world.database.shape(table).to_string());
        let columns: &[(&str, u32)] = match table {
            Some(_) => &[("id", INT8), ("v", INT8)],
            None => &[("id", TEXT), ("type", TEXT), ("data", TEXT)],
        };
        let column = |(name, type_oid): &(&str, u32)| ColumnFacts {
            name: (*name).to_owned(),
            type_oid: *type_oid,
            modifier: -1,
            not_null: *name == "id",
            default: None,
            comment: comment.clone(),
        };
        Ok(TableFacts { columns: columns.iter().map(column).collect(), key: vec!["id".to_owned()] })
    }
}
