//! What the backlog is made of.

use stack::{Error, Result};

/// Committed together.
const ROWS_PER_TRANSACTION: u64 = 100;
const MANY_TABLES: u64 = 2_000;
const WIDE_COLUMNS: u64 = 200;
/// With its row under what brokers take by default.
const LARGE_BYTES: u64 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Twelve columns, `217` bytes of pgoutput text a row: what the bars are about.
    Rows,
    /// 200 columns.
    Wide,
    /// One text of a megabyte a row.
    Large,
    /// The twelve columns in 2,000 tables.
    Many,
}

impl Shape {
    pub fn parse(word: &str) -> Result<Shape> {
        let named =
            [Shape::Rows, Shape::Wide, Shape::Large, Shape::Many].into_iter().find(|s| s.name() == word);
        named.ok_or_else(|| Error::new(format!("{word} is no shape")).remedy("rows, wide, large or many"))
    }

    pub fn name(self) -> &'static str {
        match self {
            Shape::Rows => "rows",
            Shape::Wide => "wide",
            Shape::Large => "large",
            Shape::Many => "many",
        }
    }

    pub fn rows(self) -> u64 {
        match self {
            Shape::Rows => 500_000,
            Shape::Wide => 40_000,
            Shape::Large => 600,
            Shape::Many => 200_000,
        }
    }

    /// All that is published, and what else loading needs.
    pub fn create(self) -> String {
        let tables = match self {
            Shape::Rows => create_orders("orders"),
            Shape::Wide => {
                let columns = (1..WIDE_COLUMNS).map(|at| match at % 4 {
                    0 => format!("c{at} int"),
                    1 => format!("c{at} text"),
                    2 => format!("c{at} numeric(12,2)"),
                    _ => format!("c{at} timestamp"),
                });
                let columns: Vec<String> = columns.collect();
                format!("CREATE TABLE wide (id bigint PRIMARY KEY, {});", columns.join(", "))
            }
            // No two alike, and nothing that compresses to nothing.
            Shape::Large => format!(
                "CREATE TABLE large (id bigint PRIMARY KEY, body text NOT NULL);
                 ALTER TABLE large ALTER body SET STORAGE external;
                 CREATE TABLE filler AS SELECT string_agg(md5(i::text), '') AS text FROM generate_series(1, {}) i;",
                LARGE_BYTES / 16
            ),
            Shape::Many => (0..MANY_TABLES).map(|at| create_orders(&format!("orders_{at}"))).collect(),
        };
        let published = self.tables().join(", ");
        format!("{tables}\nCREATE PUBLICATION bench FOR TABLE {published};")
    }

    /// Fills the tables with at least so many rows, in many transactions.
    pub fn load(self, rows: u64) -> String {
        let (each, rows_of) = match self {
            Shape::Rows => (ROWS_PER_TRANSACTION, insert_orders("'orders'")),
            Shape::Many => (ROWS_PER_TRANSACTION, insert_orders(&format!("'orders_' || t % {MANY_TABLES}"))),
            Shape::Wide => {
                let values = (1..WIDE_COLUMNS).map(|at| match at % 4 {
                    0 => "i",
                    1 => "'text ' || i",
                    2 => "(i % 100000)::numeric / 100",
                    _ => "'2026-01-01'::timestamp + i * interval '1 second'",
                });
                let values: Vec<&str> = values.collect();
                (20, insert("'wide'", &format!("SELECT i, {} FROM", values.join(", "))))
            }
            Shape::Large => {
                let body =
                    format!("SELECT i, substr(text, (i % 1000)::int * 997, {LARGE_BYTES}) FROM filler,");
                (4, insert("'large'", &body))
            }
        };
        format!(
            "DO $load$ BEGIN FOR t IN 0..{last} LOOP {rows_of} USING t * {each} + 1, (t + 1) * {each}; COMMIT; END LOOP; END $load$",
            last = (rows / each).saturating_sub(1)
        )
    }

    fn tables(self) -> Vec<String> {
        match self {
            Shape::Rows => vec!["orders".to_owned()],
            Shape::Wide => vec!["wide".to_owned()],
            Shape::Large => vec!["large".to_owned()],
            Shape::Many => (0..MANY_TABLES).map(|at| format!("orders_{at}")).collect(),
        }
    }

    pub fn topics(self, prefix: &str) -> Vec<String> {
        self.tables().iter().map(|table| format!("{prefix}.public.{table}")).collect()
    }
}

fn create_orders(table: &str) -> String {
    format!(
        "CREATE TABLE {table} (
           id bigint PRIMARY KEY, customer_id bigint NOT NULL, reference text NOT NULL, amount numeric(12,2) NOT NULL,
           quantity int NOT NULL, weight double precision, created_at timestamp NOT NULL, note text, channel text,
           paid boolean NOT NULL, extra json, shipped_at timestamp);\n"
    )
}

fn insert_orders(table: &str) -> String {
    insert(
        table,
        "SELECT i, i % 5000, 'order-' || i, (i % 100000)::numeric / 100, i % 50, i * 0.25,
           '2026-01-01'::timestamp + i * interval '1 second', CASE WHEN i % 3 = 0 THEN NULL ELSE 'note ' || i END,
           'web', i % 2 = 0, '{\"source\": \"app\", \"version\": 3}', CASE WHEN i % 4 = 0 THEN '2026-02-01'::timestamp END
         FROM",
    )
}

/// `table` is an expression over the transaction's number `t`; the statement takes the first and the last `i`.
fn insert(table: &str, select: &str) -> String {
    format!("EXECUTE 'INSERT INTO ' || {table} || $rows$ {select} generate_series($1, $2) i $rows$")
}
