//! What the server's catalogue says: which tables there are, their columns, keys and types.

use super::column::{TypeInfo, built_in};
use super::filter;
use super::sql::Sql;
use crate::model::table::TableId;
use shared::Result;
use shared::error::Context;
use std::collections::HashMap;

const TABLES: &str = "
    SELECT n.nspname::text, c.relname::text
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'";

/// How many rows the server believes each table to have.
const ESTIMATES: &str = "
    SELECT n.nspname::text, c.relname::text, c.reltuples::float8
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p')";

/// A column of a domain that is NOT NULL is not null either.
const COLUMNS: &str = "
    SELECT a.attname::text, a.atttypid, a.atttypmod,
           a.attnotnull OR (t.typtype = 'd' AND t.typnotnull),
           pg_catalog.pg_get_expr(d.adbin, d.adrelid), pg_catalog.col_description(a.attrelid, a.attnum)
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum";

/// The primary key's columns, or else those of the first unique index without expressions, in the
/// order in which Debezium's driver lists indexes (clustered first, then by name). Columns that
/// may be null do not disqualify an index there, and columns that a unique index only includes count.
const KEY: &str = "
    SELECT (SELECT array_agg(a.attname::text ORDER BY k.at)
            FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, at)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
            WHERE k.at <= i.indnkeyatts OR NOT i.indisprimary)
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
    WHERE n.nspname = $1 AND c.relname = $2 AND i.indisunique AND i.indexprs IS NULL
    ORDER BY i.indisprimary DESC, i.indisclustered DESC, x.relname
    LIMIT 1";

/// A type and, for a domain, the chain down to its base.
const TYPE: &str = "
    WITH RECURSIVE chain AS (
        SELECT t.oid, t.typname, t.typtype, t.typbasetype, t.typtypmod, t.typcategory, t.typelem, 0 AS depth
        FROM pg_catalog.pg_type t WHERE t.oid = $1
        UNION ALL
        SELECT b.oid, b.typname, b.typtype, b.typbasetype,
               CASE WHEN chain.typtypmod >= 0 THEN chain.typtypmod ELSE b.typtypmod END,
               b.typcategory, b.typelem, chain.depth + 1
        FROM chain JOIN pg_catalog.pg_type b ON b.oid = chain.typbasetype
        WHERE chain.typtype = 'd')
    SELECT (SELECT typname::text FROM chain WHERE depth = 0), typname::text, typtypmod,
           CASE WHEN typcategory = 'A' THEN typelem ELSE 0 END,
           (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
            FROM pg_catalog.pg_enum e WHERE e.enumtypid = chain.oid),
           (SELECT n.nspname::text FROM pg_catalog.pg_type d JOIN pg_catalog.pg_namespace n ON n.oid = d.typnamespace
            WHERE d.oid = $1 AND NOT pg_catalog.pg_type_is_visible(d.oid)),
           (SELECT nullif(d.typdelim, ',')::text FROM pg_catalog.pg_type d WHERE d.oid = $1)
    FROM chain ORDER BY depth DESC LIMIT 1";

/// Types kept.
const TYPES: usize = 4_096;

/// A column as the catalogue has it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnFacts {
    pub name: String,
    pub type_oid: u32,
    pub modifier: i32,
    pub not_null: bool,
    /// The default's expression, as the server prints it.
    pub default: Option<String>,
    pub comment: Option<String>,
}

/// A table as the catalogue has it now; nothing if it is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFacts {
    pub columns: Vec<ColumnFacts>,
    pub key: Vec<String>,
}

impl TableFacts {
    pub fn column(&self, name: &str) -> Option<&ColumnFacts> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// What a table's description is made of. A server's catalogue stands behind it, or a test's memory.
///
/// All of it fails with `Unreachable` when the connection broke.
pub trait Describes {
    /// All tables but the server's own.
    fn tables(&mut self) -> Result<Vec<TableId>>;

    /// A table as it is now; without columns if there is none of that name.
    fn table(&mut self, id: &TableId) -> Result<TableFacts>;

    /// The type of that number; `None` if there is none any more.
    fn type_info(&mut self, oid: u32) -> Result<Option<TypeInfo>> {
        Ok(built_in(oid))
    }

    /// Types that `ALTER TYPE` may have changed are read anew when they are next asked for.
    fn forget_enums(&mut self) {}
}

pub struct Catalog {
    pub sql: Sql,
    types: HashMap<u32, Option<TypeInfo>>,
}

impl Catalog {
    pub fn new(sql: Sql) -> Self {
        Catalog { sql, types: HashMap::new() }
    }

    /// Rows of each table as the server estimates them; below zero where it never looked.
    pub fn row_estimates(&mut self) -> Result<HashMap<TableId, f64>> {
        let rows = self.sql.query(ESTIMATES, &[]).doing(|| "estimate the tables' rows")?;
        let one = |row: &tokio_postgres::Row| (TableId { schema: row.get(0), name: row.get(1) }, row.get(2));
        Ok(rows.iter().map(one).collect())
    }

    /// A type that need not be asked for.
    #[cfg(any(test, fuzzing))]
    pub fn know(&mut self, oid: u32, info: TypeInfo) {
        self.types.insert(oid, Some(info));
    }

    fn read_type(&mut self, oid: u32) -> Result<Option<TypeInfo>> {
        let rows = self.sql.query(TYPE, &[&oid]).doing(|| format!("read type {oid}"))?;
        let Some(row) = rows.first() else { return Ok(None) };
        let element: u32 = row.get(3);
        let element = if element == 0 { None } else { self.type_info(element)?.map(Box::new) };
        Ok(Some(TypeInfo {
            name: row.get(0),
            base: row.get(1),
            modifier: row.get(2),
            labels: row.get(4),
            element,
            schema: row.get(5),
            delimiter: row.get::<_, Option<String>>(6).and_then(|text| text.bytes().next()),
        }))
    }
}

impl Describes for Catalog {
    fn tables(&mut self) -> Result<Vec<TableId>> {
        let rows = self.sql.query(TABLES, &[]).doing(|| "list tables")?;
        let tables = rows.iter().map(|row| TableId { schema: row.get(0), name: row.get(1) });
        Ok(tables.filter(|table| !filter::is_system(table)).collect())
    }

    fn table(&mut self, id: &TableId) -> Result<TableFacts> {
        let columns =
            self.sql.query(COLUMNS, &[&id.schema, &id.name]).doing(|| format!("read {id}'s columns"))?;
        let key = self.sql.query(KEY, &[&id.schema, &id.name]).doing(|| format!("read {id}'s key"))?;
        Ok(TableFacts {
            columns: columns
                .iter()
                .map(|row| ColumnFacts {
                    name: row.get(0),
                    type_oid: row.get(1),
                    modifier: row.get(2),
                    not_null: row.get(3),
                    default: row.get(4),
                    comment: row.get(5),
                })
                .collect(),
            key: key.first().and_then(|row| row.get::<_, Option<Vec<String>>>(0)).unwrap_or_default(),
        })
    }

    fn type_info(&mut self, oid: u32) -> Result<Option<TypeInfo>> {
        if let Some(info) = built_in(oid) {
            return Ok(Some(info));
        }
        if let Some(known) = self.types.get(&oid) {
            return Ok(known.clone());
        }
        let info = self.read_type(oid)?;
        if self.types.len() >= TYPES {
            self.types.clear();
        }
        self.types.insert(oid, info.clone());
        Ok(info)
    }

    fn forget_enums(&mut self) {
        self.types.retain(|_, info| {
            let labels = |info: &TypeInfo| info.labels.is_some();
            !info.as_ref().is_some_and(|info| labels(info) || info.element.as_deref().is_some_and(labels))
        });
    }
}
