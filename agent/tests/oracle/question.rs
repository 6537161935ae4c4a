//! A random view, and the SQL that must give the same. The SQL is written from the documentation, not
//! from the engine: window bounds are computed here once more.

use crate::cells::{Kind, MINUTE};
use crate::dialect::Dialect;
use crate::goods::Goods;
use fastrand::Rng;
use std::fmt::Write as _;

const WHERE: [Option<&str>; 4] = [
    None,
    Some("status = 'settled'"),
    Some("status = 'settled' OR (status IS NULL AND grade > 0)"),
    Some("grade IN (1, 2, 3) OR status <> 'open'"),
];

/// The same over looked-up columns; they are `good_grade` in SQL.
const WHERE_JOINED: [&str; 3] = [
    "good.grade = 'fine'",
    "good.grade <> 'fine' OR good.grade IS NULL",
    "status = 'settled' AND (good.grade = 'poor' OR grade > 1)",
];

/// A window as written, in minutes.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    length: Option<i64>,
    step: Option<i64>,
    offset: i64,
}

impl Window {
    fn random(random: &mut Rng, lifetime: bool) -> Window {
        let length = Some([3, 10, 30][random.usize(0..3)]);
        match random.u8(0..8) {
            0 | 1 if lifetime => Window::default(),
            2 if lifetime => Window { offset: 7, ..Window::default() },
            3 => Window { length, step: Some(2), offset: 0 },
            4 => Window { length: Some(5), step: Some(5), offset: 0 },
            5 => Window { length, step: None, offset: 4 },
            6 => Window { length: Some(6), step: Some(3), offset: 5 },
            _ => Window { length, step: None, offset: 0 },
        }
    }

    fn toml(&self) -> String {
        let mut out = String::new();
        for (key, minutes) in [("window", self.length), ("step", self.step)] {
            if let Some(minutes) = minutes {
                let _ = write!(out, ", {key} = \"{minutes}m\"");
            }
        }
        if self.offset > 0 {
            let _ = write!(out, ", offset = \"{}m\"", self.offset);
        }
        out
    }

    fn sql(&self, now_us: i64) -> String {
        let seen = now_us - self.offset * MINUTE;
        let (mut conditions, length) = (vec!["true".to_owned()], self.length.map(|m| m * MINUTE));
        if let Some(step) = self.step.map(|m| m * MINUTE) {
            let end = seen.div_euclid(step) * step;
            conditions.push(format!("created_at < t({end})"));
            conditions.extend(length.map(|length| format!("created_at >= t({})", end - length)));
        } else {
            conditions.extend(length.map(|length| format!("created_at > t({})", seen - length)));
            if self.offset > 0 {
                conditions.push(format!("created_at <= t({seen})"));
            }
        }
        conditions.join(" AND ")
    }
}

#[derive(Clone, Debug)]
struct Feature {
    aggregate: &'static str,
    column: usize,
    n: usize,
    p: f64,
    window: Window,
}

/// The view.
#[derive(Clone, Debug)]
pub struct Question {
    /// Of the view's own topic.
    pub columns: Vec<Kind>,
    /// What it looks up, if it does.
    pub goods: Option<Goods>,
    /// Two columns name an entity, or one.
    pub composite: bool,
    pub changes: bool,
    condition: Option<&'static str>,
    features: Vec<Feature>,
}

const AGGREGATES: &[&str] = &[
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "first",
    "last",
    "first_n",
    "last_n",
    "last_distinct_n",
    "count_distinct",
    "approx_count_distinct",
    "var_pop",
    "var_samp",
    "stddev_pop",
    "stddev_samp",
    "percentile",
    "latest",
];

/// Those that are the same in both, and that MariaDB does not round.
const MARIADB_AGGREGATES: &[&str] =
    &["count", "sum", "min", "max", "first", "last", "count_distinct", "approx_count_distinct", "latest"];

impl Question {
    pub fn random(dialect: Dialect, random: &mut Rng) -> Question {
        let (all, aggregates) = match dialect {
            Dialect::Postgres => (&Kind::ALL[..], AGGREGATES),
            Dialect::MariaDb => (&Kind::MARIADB[..], MARIADB_AGGREGATES),
        };
        let columns: Vec<Kind> = (0..random.usize(3..7)).map(|_| all[random.usize(0..all.len())]).collect();
        let goods = (random.bool() && dialect == Dialect::Postgres).then(|| Goods::random(random));
        let kinds = [&columns[..], &goods.as_ref().map_or_else(Vec::new, Goods::kinds)].concat();
        let lifetime = random.bool();
        let wanted = random.usize(6..14);
        let mut features = Vec::new();
        // Each look-up must be read.
        for at in goods.iter().flat_map(|goods| (0..goods.kinds().len()).step_by(goods.columns.len())) {
            let (column, window) = (columns.len() + at, Window::random(random, lifetime));
            features.push(Feature { aggregate: "count", column, n: 0, p: 0.0, window });
        }
        while features.len() < wanted {
            let column = random.usize(0..kinds.len());
            let (kind, aggregate) = (kinds[column], aggregates[random.usize(0..aggregates.len())]);
            let numbers = ["sum", "avg", "var_pop", "var_samp", "stddev_pop", "stddev_samp", "percentile"];
            let possible = match aggregate {
                "count" | "first" | "last" if kind == Kind::Vector => true,
                "latest" if kind == Kind::Vector => lifetime,
                _ if kind == Kind::Vector => false,
                "min" | "max" => kind != Kind::Bool,
                "latest" => lifetime,
                // Doubles are added in the order of time, which MariaDB cannot be told.
                "sum" if dialect == Dialect::MariaDb && kind == Kind::Float => false,
                name => kind.is_number() || !numbers.contains(&name),
            };
            if possible {
                let window = match aggregate {
                    "latest" => Window::default(),
                    _ => Window::random(random, lifetime),
                };
                let (n, p) = (random.usize(1..5), f64::from(random.u32(0..=8)) / 8.0);
                features.push(Feature { aggregate, column, n, p, window });
            }
        }
        let condition = match random.bool() && goods.is_some() {
            true => Some(WHERE_JOINED[random.usize(0..WHERE_JOINED.len())]),
            false => WHERE[random.usize(0..WHERE.len())],
        };
        let (composite, changes) = (random.bool(), random.u8(0..4) == 0);
        Question { columns, goods, composite, changes, condition, features }
    }

    /// A column as the definition names it, and its kind.
    fn column(&self, at: usize) -> (String, Kind) {
        match (at.checked_sub(self.columns.len()), &self.goods) {
            (Some(at), Some(goods)) => (goods.name(at), goods.kinds()[at]),
            _ => (format!("c{at}"), self.columns[at]),
        }
    }

    /// The definition; `rows` and `ratio` always stand at its ends.
    pub fn toml(&self) -> String {
        let entity = if self.composite { "\"user_id\", \"shop\"" } else { "\"user_id\"" };
        let meaning = if self.changes { "changes" } else { "rows" };
        let mut out = format!(
            "[[feature_view]]\nname = \"v\"\ntopic = \"t\"\nentity = [{entity}]\ntime = \"created_at\"\nmeaning = \"{meaning}\"\n"
        );
        if let Some(condition) = self.condition {
            let _ = writeln!(out, "where = \"{condition}\"");
        }
        out.extend(self.goods.as_ref().map(Goods::toml));
        out.push_str("feature = [\n    { name = \"rows\", aggregate = \"count\", window = \"10m\" },\n");
        for (at, f) in self.features.iter().enumerate() {
            let n = if f.aggregate.ends_with("_n") { format!(", n = {}", f.n) } else { String::new() };
            let p = if f.aggregate == "percentile" { format!(", p = {:?}", f.p) } else { String::new() };
            let aggregate = match f.aggregate {
                "latest" => String::new(),
                name => format!(", aggregate = \"{name}\""),
            };
            let _ = writeln!(
                out,
                "    {{ name = \"f{at}\"{aggregate}, of = \"{}\"{n}{p}{} }},",
                self.column(f.column).0,
                f.window.toml()
            );
        }
        out.push_str("    { name = \"other\", aggregate = \"count\", window = \"30m\" },\n");
        out.push_str(
            "    { name = \"ratio\", derived = \"coalesce(other / nullif(rows, 0), 0) * 2 - rows\" },\n",
        );
        out.push_str("    { name = \"both\", vector = [\"rows\", \"other\"] },\n]\n");
        out
    }

    /// One row per entity, in the order of user and shop: every feature at that moment.
    pub fn sql(&self, dialect: Dialect, now_us: i64, users: i64) -> String {
        match dialect {
            Dialect::Postgres => self.postgres(now_us, users),
            Dialect::MariaDb => self.mariadb(now_us, users),
        }
    }

    /// MariaDB has neither `FILTER` nor `LATERAL`.
    fn mariadb(&self, now_us: i64, users: i64) -> String {
        let entity = if self.composite { "user_id = u AND shop = s" } else { "user_id = u" };
        let shops = if self.composite { "SELECT 'a' s UNION SELECT 'b'" } else { "SELECT '' s" };
        let users: Vec<String> = (0..users).map(|user| format!("SELECT {user} u")).collect();
        let of = format!("{entity} AND ({}) AND created_at IS NOT NULL", self.condition.unwrap_or("true"));
        let count = |length| {
            let window = Window { length: Some(length), ..Window::default() }.sql(now_us);
            format!("(SELECT count(*) FROM facts WHERE {of} AND {window})")
        };
        let (rows, other) = (count(10), count(30));
        let mut all = vec![rows.clone()];
        all.extend(self.features.iter().map(|f| f.mariadb(self.column(f.column).1, now_us, &of)));
        all.extend([
            other.clone(),
            format!("coalesce({other} DIV nullif({rows}, 0), 0) * 2 - {rows}"),
            format!("concat({rows}, ',', {other})"),
        ]);
        let (all, users) = (all.join(",\n    "), users.join(" UNION "));
        format!("SELECT {all}\nFROM ({users}) users, ({shops}) shops ORDER BY u, s;\n")
    }

    fn postgres(&self, now_us: i64, users: i64) -> String {
        let entity = if self.composite { "user_id = u AND shop = s" } else { "user_id = u" };
        let shops = if self.composite { "(VALUES ('a'), ('b'))" } else { "(VALUES (''))" };
        let condition = self.condition.unwrap_or("true").replace("good.grade", "good_grade");
        let of = format!("{entity} AND ({condition}) AND created_at IS NOT NULL");
        let window = |length| Window { length: Some(length), ..Window::default() }.sql(now_us);
        let (rows, other) = (window(10), window(30));
        let mut all = vec![format!("count(*) FILTER (WHERE {rows})")];
        all.extend(self.features.iter().map(|f| f.sql(self.column(f.column).1, now_us, &of)));
        all.push(format!("count(*) FILTER (WHERE {other})"));
        format!(
            "SELECT b.*, coalesce(b.other / nullif(b.rows, 0), 0) * 2 - b.rows,
             show(b.rows::float8) || ',' || show(b.other::float8)
             FROM generate_series(0, {}) u CROSS JOIN {shops} shops (s) LEFT JOIN LATERAL
               (SELECT {} FROM joined WHERE {of}) b ({}) ON true ORDER BY u, s;\n",
            users - 1,
            all.join(",\n    "),
            self.names().join(", "),
        )
    }

    fn names(&self) -> Vec<String> {
        let features = (0..self.features.len()).map(|at| format!("f{at}"));
        ["rows".to_owned()].into_iter().chain(features).chain(["other".to_owned()]).collect()
    }

    /// What stands at a place, for messages.
    pub fn describe(&self, at: usize) -> String {
        match at.checked_sub(1).and_then(|at| self.features.get(at)) {
            Some(feature) => format!("{feature:?}"),
            None => format!("feature {at}"),
        }
    }
}

impl Feature {
    fn mariadb(&self, kind: Kind, now_us: i64, of: &str) -> String {
        let (c, window) = (format!("c{}", self.column), self.window.sql(now_us));
        let shown = |value: &str| kind.mariadb_shown(value);
        let one = |order: &str| {
            let order = format!("created_at {order}, id {order}, seq {order}");
            format!("(SELECT {} FROM facts WHERE {of} AND {window} ORDER BY {order} LIMIT 1)", shown(&c))
        };
        let all = match self.aggregate {
            "first" => return one("ASC"),
            "last" | "latest" => return one("DESC"),
            "sum" => format!("CAST(sum({c}) AS DOUBLE)"),
            "min" | "max" => shown(&format!("{}({c})", self.aggregate)),
            "count" => format!("count({c})"),
            _ => format!("count(DISTINCT {c})"),
        };
        format!("(SELECT {all} FROM facts WHERE {of} AND {window})")
    }

    fn sql(&self, kind: Kind, now_us: i64, of: &str) -> String {
        let (c, window, n) = (format!("c{}", self.column), self.window.sql(now_us), self.n);
        // An array of arrays would be one with two dimensions.
        let (text, back) = if kind == Kind::Vector { ("::text", "::float8[]") } else { ("", "") };
        let (up, down) = ("created_at, id, seq", "created_at DESC, id DESC, seq DESC");
        let ordered = |name: &str| format!("show({name}({c} ORDER BY {up}) FILTER (WHERE {window}))");
        // A number comes out as a double, integers only where nothing is computed.
        let list = |order: &str| {
            format!(
                "array_to_string((array_agg(show({c}) ORDER BY {order}) FILTER (WHERE {window} AND {c} IS NOT NULL))[1:{n}], ',')"
            )
        };
        match self.aggregate {
            "count" => format!("count({c}) FILTER (WHERE {window})"),
            "sum" | "avg" => {
                let sum = format!("{}({c} ORDER BY {up}) FILTER (WHERE {window})", self.aggregate);
                format!("show(({sum})::float8)")
            }
            "min" | "max" => format!("show({}({c}) FILTER (WHERE {window}))", self.aggregate),
            "first" => format!("show((array_agg({c}{text} ORDER BY {up}) FILTER (WHERE {window}))[1]{back})"),
            "last" | "latest" => {
                format!("show((array_agg({c}{text} ORDER BY {down}) FILTER (WHERE {window}))[1]{back})")
            }
            "first_n" => list(up),
            "last_n" => list(down),
            "last_distinct_n" => format!(
                "(SELECT string_agg(v, ',' ORDER BY created_at DESC, id DESC, seq DESC) FROM
                   (SELECT v, created_at, id, seq FROM (SELECT DISTINCT ON ({c}) show({c}) v, created_at, id, seq
                      FROM joined WHERE {of} AND {window} AND {c} IS NOT NULL ORDER BY {c}, {down}) x
                    ORDER BY {down} LIMIT {n}) y)"
            ),
            "count_distinct" | "approx_count_distinct" => {
                format!("count(DISTINCT {c}) FILTER (WHERE {window})")
            }
            "percentile" => format!(
                "show(percentile_cont({:?}) WITHIN GROUP (ORDER BY {c}::float8) FILTER (WHERE {window}))",
                self.p
            ),
            name => ordered(name),
        }
    }
}
