//! What the two databases are told differently before the questions, and how their answers are read.

use crate::cells;
use crate::question::Question;
use agent::model::value::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Postgres,
    /// A subset: what MySQL and MariaDB have too, without look-ups.
    MariaDb,
}

/// Functions of the questions: a time from microseconds, and values as text.
const POSTGRES: &str = "
SET TIME ZONE 'UTC';
SET client_min_messages = warning;
CREATE OR REPLACE FUNCTION t(us bigint) RETURNS timestamptz IMMUTABLE LANGUAGE sql
    RETURN timestamptz 'epoch' + us * interval '1 microsecond';
CREATE OR REPLACE FUNCTION show(x numeric) RETURNS text IMMUTABLE LANGUAGE sql
    RETURN encode(float8send(x::float8), 'hex');
CREATE OR REPLACE FUNCTION show(x float8) RETURNS text IMMUTABLE LANGUAGE sql
    RETURN encode(float8send(x), 'hex');
CREATE OR REPLACE FUNCTION show(x bigint) RETURNS text IMMUTABLE LANGUAGE sql RETURN x::text;
CREATE OR REPLACE FUNCTION show(x int) RETURNS text IMMUTABLE LANGUAGE sql RETURN x::text;
CREATE OR REPLACE FUNCTION show(x text) RETURNS text IMMUTABLE LANGUAGE sql RETURN x;
CREATE OR REPLACE FUNCTION show(x bool) RETURNS text IMMUTABLE LANGUAGE sql RETURN x::text;
CREATE OR REPLACE FUNCTION show(x float8[]) RETURNS text IMMUTABLE LANGUAGE sql
    RETURN array_to_string(ARRAY(SELECT show(u.n) FROM unnest(x) WITH ORDINALITY u (n, at) ORDER BY u.at), ',')
      || CASE WHEN x IS NULL THEN NULL ELSE '' END;
CREATE OR REPLACE FUNCTION show(x timestamptz) RETURNS text IMMUTABLE LANGUAGE sql
    RETURN (extract(epoch FROM x) * 1000000)::bigint::text;
DROP TABLE IF EXISTS facts, goods CASCADE;
";
const MARIADB: &str = "
DROP FUNCTION IF EXISTS t;
CREATE FUNCTION t(us bigint) RETURNS datetime(6) DETERMINISTIC
    RETURN timestampadd(MICROSECOND, us, '1970-01-01 00:00:00.000000');
DROP TABLE IF EXISTS facts;
";

impl Dialect {
    /// Functions, and the question's tables without rows.
    pub fn begin(self, question: &Question) -> String {
        let (own, goods) = (question.columns.len(), question.goods.as_ref());
        let (functions, time) = match self {
            Dialect::Postgres => (POSTGRES, "timestamptz"),
            Dialect::MariaDb => (MARIADB, "datetime(6)"),
        };
        let columns: String = (0..)
            .zip(&question.columns)
            .map(|(at, kind): (usize, _)| match self {
                Dialect::Postgres => format!(", c{at} {}", kind.sql()),
                Dialect::MariaDb => format!(", c{at} {}", kind.mariadb()),
            })
            .collect();
        let kept = goods.filter(|_| question.changes).map(|goods| goods.kept_columns(own));
        let facts = format!(
            "CREATE TABLE facts (user_id int, shop text, created_at {time}, status text, grade int,
                good_id int, region text, spare_id int{columns},
                id bigint, seq bigint{}, PRIMARY KEY (id, seq));\n",
            kept.unwrap_or_default()
        );
        let joined = match goods {
            Some(goods) => [goods.table(), goods.view(own, question.changes)].concat(),
            None if self == Dialect::Postgres => "CREATE VIEW joined AS SELECT * FROM facts;\n".to_owned(),
            None => String::new(),
        };
        [functions, &facts, &joined].concat()
    }

    /// An answer as [`cells::shown`] writes it: MariaDB prints doubles by as many digits as tell them apart.
    pub fn read(self, answer: &str, like: Option<&Value>) -> String {
        let double = |text: &str| match text.parse() {
            Ok(number) => cells::shown(&Value::Float(number)),
            Err(_) => text.to_owned(),
        };
        match (self, like) {
            (Dialect::MariaDb, Some(Value::Float(_))) => double(answer),
            (Dialect::MariaDb, Some(Value::List(_))) => {
                answer.split(',').map(double).collect::<Vec<_>>().join(",")
            }
            _ => answer.to_owned(),
        }
    }
}
