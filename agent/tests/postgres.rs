//! The features' oracle: PostgreSQL 15 answers the equivalent SQL, and every value must be equal, doubles
//! bit for bit. A seeded generator inserts, updates, moves, deletes and truncates, with late rows, rows
//! of the future, nulls, and a clock that moves windows past rows.
//!
//! Without PostgreSQL on the machine the test is skipped, and says so; with `TIDEGATE_REQUIRE_SERVERS`
//! set, as in CI, that is a failure.

use agent::config::feature::ViewConfig;
use agent::feature::{Engine, definition};
use agent::model::decimal::Decimal;
use agent::model::feature::FeatureRow;
use agent::model::pack;
use agent::model::row::{Op, Row};
use agent::model::value::Value;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const BIN: &str = "/usr/lib/postgresql/15/bin";
const USERS: i64 = 6;
const MINUTE: i64 = 60_000_000;
const START: i64 = 1_800_000_000_000_000;
const SEEDS: u64 = 12;
const ROUNDS: usize = 40;

const DEFINITION: &str = r#"
[[feature_view]]
name = "spend"
topic = "payments"
entity = ["user_id"]
time = "created_at"
where = "status = 'settled' OR (status IS NULL AND n > 0)"
feature = [
    { name = "rows", aggregate = "count", window = "10m" },
    { name = "ever", aggregate = "count" },
    { name = "notes", aggregate = "count", of = "note", window = "30m" },
    { name = "sum_amount", aggregate = "sum", of = "amount", window = "10m" },
    { name = "avg_amount", aggregate = "avg", of = "amount", window = "10m" },
    { name = "avg_amount_30m", aggregate = "avg", of = "amount", window = "30m" },
    { name = "sum_n", aggregate = "sum", of = "n", window = "30m", type = "int64" },
    { name = "avg_n", aggregate = "avg", of = "n", window = "30m" },
    { name = "sum_big", aggregate = "sum", of = "big", window = "30m" },
    { name = "avg_big", aggregate = "avg", of = "big", window = "10m" },
    { name = "sum_loose", aggregate = "sum", of = "loose", window = "10m" },
    { name = "avg_loose", aggregate = "avg", of = "loose", window = "30m" },
    { name = "sum_f", aggregate = "sum", of = "f", window = "30m" },
    { name = "avg_f", aggregate = "avg", of = "f", window = "10m" },
    { name = "min_amount", aggregate = "min", of = "amount", window = "10m" },
    { name = "max_f", aggregate = "max", of = "f", window = "30m" },
    { name = "min_note", aggregate = "min", of = "note", window = "30m" },
    { name = "max_n", aggregate = "max", of = "n", window = "10m" },
    { name = "last_amount", aggregate = "last", of = "amount", window = "30m" },
    { name = "last_note", aggregate = "last", of = "note", window = "10m" },
]
"#;

/// The same in SQL; `{10}` and `{30}` stand for the start of a window.
const SQL: &[&str] = &[
    "count(*) FILTER (WHERE {10})",
    "count(*)",
    "count(note) FILTER (WHERE {30})",
    "d(sum(amount) FILTER (WHERE {10}))",
    "d(avg(amount) FILTER (WHERE {10}))",
    "d(avg(amount) FILTER (WHERE {30}))",
    "sum(n) FILTER (WHERE {30})",
    "d(avg(n) FILTER (WHERE {30}))",
    "d(sum(big) FILTER (WHERE {30}))",
    "d(avg(big) FILTER (WHERE {10}))",
    "d(sum(loose) FILTER (WHERE {10}))",
    "d(avg(loose) FILTER (WHERE {30}))",
    "d(sum(f ORDER BY created_at, id) FILTER (WHERE {30}))",
    "d(avg(f ORDER BY created_at, id) FILTER (WHERE {10}))",
    "d(min(amount) FILTER (WHERE {10}))",
    "d(max(f) FILTER (WHERE {30}))",
    "min(note COLLATE \"C\") FILTER (WHERE {30})",
    "max(n) FILTER (WHERE {10})",
    "d((array_agg(amount ORDER BY created_at DESC, id DESC) FILTER (WHERE {30}))[1])",
    "(array_agg(note ORDER BY created_at DESC, id DESC) FILTER (WHERE {10}))[1]",
];

const COLUMNS: [&str; 9] = ["user_id", "created_at", "status", "n", "big", "amount", "loose", "f", "note"];

/// A throw-away PostgreSQL on a socket in a temporary folder.
struct Postgres(PathBuf);

impl Postgres {
    fn start() -> Option<Postgres> {
        if !Path::new(BIN).join("initdb").exists() {
            let required = std::env::var_os("TIDEGATE_REQUIRE_SERVERS").is_some();
            assert!(!required, "PostgreSQL 15 is required and is not at {BIN}");
            eprintln!("SKIPPED: no PostgreSQL 15 at {BIN}; the features were not held against it");
            return None;
        }
        let folder = std::env::temp_dir().join(format!("tidegate-oracle-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let postgres = Postgres(folder);
        let path = postgres.0.display().to_string();
        if is_root() {
            run("chown", &["postgres", &path]);
        }
        let data = format!("{path}/data");
        postgres.server("initdb", &["-D", &data, "-A", "trust", "-U", "postgres", "--no-sync"]);
        let options = format!("-c listen_addresses='' -c fsync=off -k {path}");
        postgres
            .server("pg_ctl", &["-w", "-D", &data, "-o", &options, "-l", &format!("{path}/log"), "start"]);
        Some(postgres)
    }

    /// PostgreSQL refuses to run as root.
    fn server(&self, program: &str, arguments: &[&str]) {
        let program = format!("{BIN}/{program}");
        if is_root() {
            let user = ["--reuid=postgres", "--regid=postgres", "--clear-groups", &program];
            run("setpriv", &[&user[..], arguments].concat());
        } else {
            run(&program, arguments);
        }
    }

    /// Runs a script; the rows of its queries, in order.
    fn psql(&self, script: &str) -> Vec<String> {
        let host = self.0.display().to_string();
        let mut child = Command::new("psql")
            .args([
                "-h",
                &host,
                "-U",
                "postgres",
                "-qAtX",
                "-v",
                "ON_ERROR_STOP=1",
                "-P",
                "null=NULL",
                "-f",
                "-",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("psql starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let script = script.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(script.as_bytes()));
        let output = child.wait_with_output().expect("psql ends");
        writer.join().expect("no panic").expect("psql reads its script");
        assert!(output.status.success(), "psql failed");
        String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = format!("{}/data", self.0.display());
        self.server("pg_ctl", &["-m", "immediate", "-D", &data, "stop"]);
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).stdout(Stdio::null()).status();
    assert!(output.is_ok_and(|status| status.success()), "{program} {arguments:?}");
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A row in both worlds: our values and SQL literals.
struct Cells {
    ours: Vec<Value>,
    sql: Vec<String>,
}

impl Cells {
    fn random(random: &mut Random, now_us: i64) -> Cells {
        let mut cells = Cells { ours: Vec::new(), sql: Vec::new() };
        let user = random.below(USERS as u64) as i64;
        cells.push(random, 20, Value::Int(user), user.to_string());
        let time = match random.below(5) {
            // The edges of the windows, so that > and >= are told apart.
            0 => now_us - 10 * MINUTE * [1, 3][random.below(2) as usize] + random.below(3) as i64 - 1,
            1 => now_us + random.below(5 * MINUTE as u64) as i64,
            _ => now_us - random.below(40 * MINUTE as u64) as i64,
        };
        cells.push(random, 20, Value::Timestamp(time), format!("t({time})"));
        let status = ["settled", "settled", "open"][random.below(3) as usize];
        cells.push(random, 5, Value::Text(status.into()), format!("'{status}'"));
        let n = random.below(2_000_000_000) as i64 - 1_000_000_000;
        cells.push(random, 6, Value::Int(n), n.to_string());
        let big = (random.below(1 << 31) as i64) << 32 | random.below(1 << 31) as i64;
        let big = if random.one_in(2) { -big } else { big };
        cells.push(random, 6, Value::Int(big), big.to_string());
        let most = [100, 100_000, 1_000_000_000][random.below(3) as usize];
        let amount = Decimal::new(i128::from(random.below(most)) - 50, 2);
        cells.push(random, 6, Value::Decimal(amount.clone()), amount.to_string());
        let loose = Decimal::new(random.below(1 << 31) as i128 * 10 + 1, random.below(30) as u32);
        cells.push(random, 6, Value::Decimal(loose.clone()), loose.to_string());
        let f = (random.below(2_000_001) as f64 - 1e6) * 10f64.powi(random.below(20) as i32 - 10);
        cells.push(random, 6, Value::Float(f), format!("'{f:e}'"));
        let note = ["", "a", "B", "ü", "zz"][random.below(5) as usize];
        cells.push(random, 6, Value::Text(note.into()), format!("'{note}'"));
        cells
    }

    fn push(&mut self, random: &mut Random, null_one_in: u64, ours: Value, sql: String) {
        let null = random.one_in(null_one_in);
        self.ours.push(if null { Value::Null } else { ours });
        self.sql.push(if null { "NULL".to_owned() } else { sql });
    }
}

/// Both worlds side by side: what the engine said last, and the script for PostgreSQL.
struct World {
    connection: Connection,
    engine: Engine,
    script: String,
    said: BTreeMap<i64, Vec<Value>>,
    /// What the engine had said at each question in the script.
    asked: Vec<(i64, Option<Vec<Value>>)>,
    keys: Vec<i64>,
    next_key: i64,
}

impl World {
    fn new() -> World {
        let mut connection = Connection::open_in_memory().expect("in memory");
        connection.execute_batch(include_str!("../src/db/migrations/0010_feature.sql")).expect("the layout");
        #[derive(serde::Deserialize)]
        struct File {
            feature_view: Vec<ViewConfig>,
        }
        let file: File = toml::from_str(DEFINITION).expect("TOML");
        let views = definition::compile(&file.feature_view).expect("valid");
        let columns = COLUMNS.map(str::to_owned).to_vec();
        let tx = connection.transaction().expect("begins");
        let (engine, _) = Engine::open(&tx, views, |_| columns.as_slice(), START).expect("opens");
        tx.commit().expect("commits");
        let script = "DROP TABLE IF EXISTS payments;
            CREATE TABLE payments (user_id int, created_at timestamptz, status text, n int, big bigint,
                amount numeric(12, 2), loose numeric, f float8, note text, id bigint PRIMARY KEY);
            CREATE OR REPLACE FUNCTION t(us bigint) RETURNS timestamptz IMMUTABLE LANGUAGE sql
                RETURN timestamptz 'epoch' + us * interval '1 microsecond';
            CREATE OR REPLACE FUNCTION d(x numeric) RETURNS text IMMUTABLE LANGUAGE sql
                RETURN encode(float8send(x::float8), 'hex');
            CREATE OR REPLACE FUNCTION d(x float8) RETURNS text IMMUTABLE LANGUAGE sql
                RETURN encode(float8send(x), 'hex');
            SET TIME ZONE 'UTC';\n";
        World {
            connection,
            engine,
            script: script.to_owned(),
            said: BTreeMap::new(),
            asked: Vec::new(),
            keys: Vec::new(),
            next_key: 1,
        }
    }

    fn change(&mut self, random: &mut Random, now_us: i64) -> Row {
        let existing = (!self.keys.is_empty()).then(|| random.below(self.keys.len().max(1) as u64) as usize);
        match (random.below(40), existing) {
            (0, Some(_)) if random.one_in(3) => {
                self.keys.clear();
                self.script.push_str("TRUNCATE payments;\n");
                row(Op::Truncate, None, None)
            }
            (0..8, Some(at)) => {
                let key = self.keys.swap_remove(at);
                self.script.push_str(&format!("DELETE FROM payments WHERE id = {key};\n"));
                row(Op::Delete, Some(key), None)
            }
            (8..22, Some(at)) => {
                let key = self.keys[at];
                let cells = Cells::random(random, now_us);
                let names = COLUMNS.join(", ");
                let values = cells.sql.join(", ");
                self.script
                    .push_str(&format!("UPDATE payments SET ({names}) = ({values}) WHERE id = {key};\n"));
                row(Op::Update, Some(key), Some(cells.ours))
            }
            _ => {
                // Not in order of the key, and not all positive.
                let key = self.next_key * if random.one_in(3) { -1 } else { 1 };
                self.next_key += 1;
                self.keys.push(key);
                let cells = Cells::random(random, now_us);
                self.script
                    .push_str(&format!("INSERT INTO payments VALUES ({}, {key});\n", cells.sql.join(", ")));
                row(Op::Create, Some(key), Some(cells.ours))
            }
        }
    }

    fn hear(&mut self, values: Vec<FeatureRow>) {
        for row in values {
            let Some(entity) = pack::from_sortable(&row.entity) else { panic!("a damaged entity") };
            let [Value::Int(user)] = entity.as_slice() else { panic!("{entity:?}") };
            self.said.insert(*user, row.values);
        }
    }

    fn apply(&mut self, rows: &[Row], now_us: i64) {
        let tx = self.connection.transaction().expect("begins");
        let effect = self.engine.apply(&tx, "payments", rows, now_us, None).expect("applies");
        assert!(effect.refused.is_empty(), "{:?}", effect.refused);
        tx.commit().expect("commits");
        self.hear(effect.values);
    }

    fn expire(&mut self, now_us: i64) {
        while self.engine.due(&self.connection, now_us).expect("reads") {
            let tx = self.connection.transaction().expect("begins");
            let (values, more) = self.engine.expire(&tx, now_us, 3).expect("expires");
            tx.commit().expect("commits");
            self.hear(values);
            if !more {
                break;
            }
        }
    }

    /// Puts the question into the script, and what the engine says now beside it.
    fn ask(&mut self, now_us: i64) {
        let window = |minutes: i64| format!("created_at > t({})", now_us - minutes * MINUTE);
        let aggregates: Vec<String> =
            SQL.iter().map(|sql| sql.replace("{10}", &window(10)).replace("{30}", &window(30))).collect();
        // A row without time is in no window; ours keeps none, so the lifetime count leaves it out too.
        self.script.push_str(&format!(
            "SELECT a.* FROM generate_series(0, {}) u LEFT JOIN LATERAL (SELECT {} FROM payments
             WHERE user_id = u AND (status = 'settled' OR (status IS NULL AND n > 0))
               AND created_at IS NOT NULL) a ON true ORDER BY u;\n",
            USERS - 1,
            aggregates.join(", ")
        ));
        for user in 0..USERS {
            self.asked.push((now_us, self.said.get(&user).cloned()));
        }
    }
}

fn row(op: Op, key: Option<i64>, after: Option<Vec<Value>>) -> Row {
    let key = key.map(|key| pack::sortable([&Value::Int(key)]));
    Row { op, key, after, committed_us: START, offset: 0 }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Int(n) => n.to_string(),
        Value::Float(n) => n.to_be_bytes().iter().map(|b| format!("{b:02x}")).collect(),
        Value::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_feature_equals_the_sql() {
    let Some(postgres) = Postgres::start() else { return };
    let mut compared = 0;
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let mut world = World::new();
        let mut now_us = START;
        for _ in 0..ROUNDS {
            now_us += random.below(4 * MINUTE as u64) as i64;
            let count = random.below(12);
            let rows: Vec<Row> = (0..count).map(|_| world.change(&mut random, now_us)).collect();
            world.apply(&rows, now_us);
            world.expire(now_us);
            world.ask(now_us);
        }
        let answers = postgres.psql(&world.script);
        assert_eq!(answers.len(), world.asked.len(), "seed {seed}");
        for (at, ((now_us, ours), theirs)) in world.asked.iter().zip(&answers).enumerate() {
            let user = at as i64 % USERS;
            let Some(ours) = ours else {
                assert!(theirs.starts_with("0|0|0|NULL"), "seed {seed}, {now_us}, user {user}: {theirs}");
                continue;
            };
            let ours: Vec<String> = ours.iter().map(shown).collect();
            let theirs: Vec<&str> = theirs.split('|').collect();
            for ((feature, ours), theirs) in SQL.iter().zip(&ours).zip(&theirs) {
                assert_eq!(ours, theirs, "seed {seed}, now {now_us}, user {user}: {feature}");
                compared += 1;
            }
        }
    }
    eprintln!("{compared} values equal PostgreSQL's");
    assert!(compared > 20_000, "only {compared} values compared");
}
