//! What a comparison with SQL cannot show: what was not sent, what is refused, what is kept how long. That the
//! values are those of the `LEFT JOIN` is `agent/tests/oracle`.

use crate::config::feature::ViewConfig;
use crate::feature::{Effect, Engine, Limits, definition};
use crate::model::pack;
use crate::model::row::{Op, Row};
use crate::model::value::Value;
use rusqlite::Connection;

const NOW: i64 = 1_800_000_000_000_000;
const MINUTE: i64 = 60_000_000;
const LIMITS: Limits = Limits { cache_bytes: 1 << 20, unplaced_rows: 1_000 };
const PAYMENTS: [&str; 4] = ["amount", "at", "merchant_id", "user_id"];
const MERCHANTS: [&str; 3] = ["category", "id", "risk"];
const VIEW: &str = r#"
name = "spend"
entity = ["user_id"]
time = "at"
feature = [
    { name = "n", aggregate = "count", of = "amount", window = "10m" },
    { name = "risk", aggregate = "sum", of = "merchant.risk", window = "10m" },
]
"#;
const BY_ID: &str = "lookup = [{ name = 'merchant', topic = 'merchants', on = { id = 'merchant_id' } }]\n";

struct World {
    connection: Connection,
    engine: Engine,
    offset: i64,
}

impl World {
    /// `more` stands in front of the view's own settings.
    fn new(more: &str) -> World {
        let mut connection = Connection::open_in_memory().expect("in memory");
        crate::db::migrate(&mut connection).expect("the layout");
        let topic = if more.contains("'people'") { "people" } else { "payments" };
        let text = format!("topic = '{topic}'\n{more}{VIEW}");
        let config: ViewConfig = toml::from_str(&text).expect("TOML");
        let views = definition::compile(&[config]).expect("valid");
        let of = |columns: &[&str]| columns.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (payments, merchants) = (of(&PAYMENTS), of(&MERCHANTS));
        let people = of(&["amount", "at", "id", "merchant_id", "risk", "user_id"]);
        let columns = |topic: &str| match topic {
            "payments" => payments.as_slice(),
            "people" => people.as_slice(),
            _ => merchants.as_slice(),
        };
        let tx = connection.transaction().expect("begins");
        let (engine, _) = Engine::open(&tx, views, columns, NOW, LIMITS).expect("opens");
        tx.commit().expect("commits");
        World { connection, engine, offset: 0 }
    }

    fn row(&mut self, op: Op, key: i64, after: Option<Vec<Value>>) -> Row {
        self.offset += 1;
        let key = Some(pack::sortable([&Value::Int(key)]));
        Row { op, key, after, committed_us: NOW + self.offset, offset: self.offset }
    }

    fn payment(&mut self, key: i64, user: i64, merchant: Value, amount: Value) -> Row {
        let after = vec![amount, Value::Timestamp(NOW), merchant, Value::Int(user)];
        self.row(Op::Create, key, Some(after))
    }

    fn merchant(&mut self, id: i64, category: Value, risk: Value) -> Row {
        self.row(Op::Update, id, Some(vec![category, Value::Int(id), risk]))
    }

    fn all(&mut self, batches: &[(&str, &[Row])], now_us: i64) -> Vec<Effect> {
        let tx = self.connection.transaction().expect("begins");
        let effects = self.engine.apply_all(&tx, batches, now_us, None).expect("applies");
        tx.commit().expect("commits");
        effects
    }

    fn at(&mut self, topic: &str, rows: &[Row]) -> Effect {
        self.all(&[(topic, rows)], NOW).remove(0)
    }

    fn kept(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        self.connection.query_row(&sql, [], |row| row.get(0)).expect("reads")
    }
}

fn values(effect: &Effect) -> Vec<(i64, i64, Option<i64>)> {
    let int = |value: Option<&Value>| value.and_then(Value::to_f64).map(|n| n as i64);
    let one = |row: &crate::model::feature::FeatureRow| {
        let entity = pack::from_sortable(&row.entity).expect("an entity");
        (int(entity.first()).unwrap_or(0), int(row.values.first()).unwrap_or(0), int(row.values.get(1)))
    };
    let mut all: Vec<_> = effect.values.iter().map(one).collect();
    all.sort_unstable();
    all
}

fn labels(effect: &Effect) -> Vec<(i64, &'static str)> {
    effect.refused.iter().map(|(offset, reason)| (*offset, reason.label)).collect()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[test]
fn rows_that_refer_follow_page_by_page_and_only_if_they_must() {
    let mut world = World::new(BY_ID);
    let rows: Vec<Row> =
        (0..600).map(|n| world.payment(n, n % 3, Value::Int(n % 2), Value::Int(1))).collect();
    assert_eq!(values(&world.at("payments", &rows)), [(0, 200, None), (1, 200, None), (2, 200, None)]);
    let merchant = world.merchant(0, text("food"), Value::Int(5));
    assert_eq!(
        values(&world.at("merchants", &[merchant])),
        [(0, 200, Some(500)), (1, 200, Some(500)), (2, 200, Some(500))]
    );
    // Another category is nothing to this view; no user is touched.
    let merchant = world.merchant(0, text("fuel"), Value::Int(5));
    assert_eq!(values(&world.at("merchants", &[merchant])), []);
    // Only the last of several changes counts, and a value that is back is no change of the users.
    let changes =
        [world.merchant(0, text("fuel"), Value::Int(6)), world.merchant(1, text("a"), Value::Int(1))];
    assert_eq!(
        values(&world.at("merchants", &changes)),
        [(0, 200, Some(700)), (1, 200, Some(700)), (2, 200, Some(700))]
    );
    let gone = [world.row(Op::Delete, 0, None)];
    assert_eq!(values(&world.at("merchants", &gone))[0], (0, 200, Some(100)));
    let mut emptied = world.row(Op::Truncate, 0, None);
    emptied.key = None;
    assert_eq!(values(&world.at("merchants", &[emptied]))[0], (0, 200, None));
    assert_eq!((world.kept("feature_lookup"), world.kept("feature_reference")), (0, 600));
}

#[test]
fn what_was_not_sent_comes_from_what_is_kept() {
    let mut world = World::new(&format!("where = \"merchant.category = 'food'\"\n{BY_ID}"));
    // The condition does not hold yet: the row is in no window, but kept.
    let first = world.payment(1, 7, Value::Int(3), Value::Int(10));
    assert_eq!(values(&world.at("payments", &[first])), []);
    let merchant = world.merchant(3, text("food"), Value::Int(2));
    assert_eq!(values(&world.at("merchants", &[merchant])), [(7, 1, Some(2))]);
    let merchant = world.merchant(3, Value::Unchanged, Value::Int(4));
    assert_eq!(values(&world.at("merchants", &[merchant])), [(7, 1, Some(4))]);
    let same = world.payment(1, 7, Value::Unchanged, Value::Unchanged);
    assert_eq!(values(&world.at("payments", &[same])), [(7, 1, Some(4))]);
    let other = world.payment(1, 8, Value::Int(9), Value::Unchanged);
    assert_eq!(values(&world.at("payments", &[other])), [(7, 0, None)]);
    assert_eq!(world.kept("feature_reference"), 1);
    for (topic, row) in [
        ("payments", world.payment(2, 7, Value::Int(3), Value::Unchanged)),
        ("payments", world.payment(2, 7, Value::Unchanged, Value::Int(1))),
        ("merchants", world.merchant(4, Value::Unchanged, Value::Int(1))),
    ] {
        assert_eq!(labels(&world.at(topic, std::slice::from_ref(&row))), [(row.offset, "unchanged_value")]);
    }
}

#[test]
fn what_cannot_be_joined_is_refused_with_its_reason() {
    let mut world = World::new(BY_ID);
    let good = world.payment(1, 7, Value::Int(3), Value::Int(10));
    let opaque = world.payment(2, 7, Value::Opaque, Value::Int(10));
    let absent = world.payment(3, 7, Value::Absent, Value::Int(10));
    let offsets = [opaque.offset, absent.offset];
    let effect = world.at("payments", &[good, opaque, absent]);
    assert_eq!(labels(&effect), [(offsets[0], "wrong_type"), (offsets[1], "missing_column")]);
    let mut other_key = world.merchant(3, text("food"), Value::Int(2));
    other_key.key = Some(pack::sortable([&Value::Int(4)]));
    let mut longer_key = world.merchant(3, text("food"), Value::Int(2));
    longer_key.key = Some(pack::sortable([&Value::Int(3), &Value::Int(1)]));
    let mut keyless = world.merchant(3, text("food"), Value::Int(2));
    keyless.key = None;
    let effect = world.at("merchants", &[other_key, longer_key, keyless]);
    let got: Vec<_> = labels(&effect).into_iter().map(|(_, label)| label).collect();
    assert_eq!(got, ["not_the_key", "not_the_key", "no_key"]);
    assert!(effect.refused[0].1.detail.contains("look-up merchant of view spend: id is not"), "{effect:?}");
    // What the windows cannot take of a looked-up row is said once, of that row.
    let more: Vec<Row> = (5..8).map(|n| world.payment(n, 7, Value::Int(3), Value::Int(1))).collect();
    world.at("payments", &more);
    let merchant = world.merchant(3, text("food"), text("high"));
    let offset = merchant.offset;
    assert_eq!(labels(&world.at("merchants", &[merchant])), [(offset, "wrong_type")]);
}

#[test]
fn own_rows_go_when_they_have_left_the_windows() {
    let mut world = World::new(&format!("where = \"merchant.category = 'never'\"\n{BY_ID}"));
    let rows: Vec<Row> = (0..3_000).map(|n| world.payment(n, 1, Value::Int(n), Value::Int(1))).collect();
    world.at("payments", &rows);
    assert_eq!((world.kept("feature_joined"), world.kept("feature_reference")), (3_000, 3_000));
    // Nothing ever left a window, so nothing else would tell.
    let later = NOW + 12 * MINUTE;
    for _ in 0..3 {
        let row = world.payment(9_000, 1, Value::Null, Value::Int(1));
        world.all(&[("payments", &[row])], later);
    }
    assert_eq!((world.kept("feature_joined"), world.kept("feature_reference")), (0, 0));
    let moved = world.payment(1, 1, Value::Int(1), Value::Int(1));
    world.all(&[("payments", &[moved])], later);
    assert_eq!(world.kept("feature_joined"), 0, "too old when it came");
}

#[test]
fn a_change_is_joined_once_with_what_its_time_had() {
    let mut world = World::new(&format!("meaning = 'changes'\n{BY_ID}"));
    let merchant = world.merchant(3, text("food"), Value::Int(2));
    let first = world.payment(1, 7, Value::Int(3), Value::Int(10));
    let later = world.merchant(3, text("food"), Value::Int(100));
    let mut second = world.payment(2, 7, Value::Int(3), Value::Int(10));
    // Written in one transaction: the payment finds it.
    second.committed_us = later.committed_us;
    let effects = world.all(&[("payments", &[first, second]), ("merchants", &[merchant, later])], NOW);
    assert_eq!(values(&effects[0]), [(7, 2, Some(102))]);
    let gone = world.row(Op::Delete, 3, None);
    assert_eq!(values(&world.at("merchants", &[gone])), []);
    assert_eq!((world.kept("feature_joined"), world.kept("feature_reference")), (0, 0));
}

#[test]
fn a_table_may_look_itself_up() {
    let on = "{ name = 'merchant', topic = 'people', on = { id = 'merchant_id' } }";
    let mut world = World::new(&format!("lookup = [{on}]\n"));
    let person = |world: &mut World, id: i64, chief: i64, risk: i64| {
        let after = [
            Value::Int(1),
            Value::Timestamp(NOW),
            Value::Int(id),
            Value::Int(chief),
            Value::Int(risk),
            Value::Int(id),
        ];
        world.row(Op::Create, id, Some(after.to_vec()))
    };
    let (one, two) = (person(&mut world, 1, 2, 10), person(&mut world, 2, 2, 20));
    assert_eq!(values(&world.at("people", &[one, two])), [(1, 1, Some(20)), (2, 1, Some(20))]);
    let gone = world.row(Op::Delete, 2, None);
    assert_eq!(values(&world.at("people", &[gone])), [(1, 1, None), (2, 0, None)]);
}
