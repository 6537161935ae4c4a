//! The engine over its state, row by row; the oracle for values is in `agent/tests/oracle`.

use super::*;
use crate::config::feature::ViewConfig;
use crate::model::pack;
use crate::model::row::Op;
use crate::model::value::Value;

const NOW: i64 = 1_800_000_000_000_000;
const MINUTE: i64 = 60_000_000;
const DEFINITION: &str = r#"
[[feature_view]]
name = "spend"
topic = "payments"
entity = ["user_id"]
time = "created_at"
where = "status = 'settled'"

[[feature_view.feature]]
name = "n"
aggregate = "count"
window = "10m"

[[feature_view.feature]]
name = "sum"
aggregate = "sum"
of = "amount"
window = "20m"

[[feature_view.feature]]
name = "last"
aggregate = "last"
of = "amount"
"#;
const LIMITS: Limits = Limits { cache_bytes: 1 << 20, unplaced_rows: 1_000 };
const COLUMNS: [&str; 4] = ["user_id", "created_at", "status", "amount"];

fn views(text: &str) -> Vec<View> {
    #[derive(serde::Deserialize)]
    struct File {
        feature_view: Vec<ViewConfig>,
    }
    definition::compile(&toml::from_str::<File>(text).expect("TOML").feature_view).expect("valid")
}

struct World {
    connection: Connection,
    engine: Engine,
}

impl World {
    fn new() -> Self {
        let mut connection = Connection::open_in_memory().expect("in memory");
        for layout in [
            include_str!("../db/migrations/0010_feature.sql"),
            include_str!("../db/migrations/0030_feature_engine.sql"),
            include_str!("../db/migrations/0035_feature_keys.sql"),
            include_str!("../db/migrations/0036_feature_version.sql"),
            include_str!("../db/migrations/0042_feature_lookup.sql"),
        ] {
            connection.execute_batch(layout).expect("the layout");
        }
        let engine = open(&mut connection, DEFINITION).0;
        World { connection, engine }
    }

    fn at(&mut self, now_us: i64, rows: &[Row]) -> Effect {
        let tx = self.connection.transaction().expect("begins");
        let effect = self.engine.apply(&tx, "payments", rows, now_us, None).expect("applies");
        tx.commit().expect("commits");
        effect
    }

    fn expire(&mut self, now_us: i64, limit: usize) -> (Vec<FeatureRow>, bool) {
        let tx = self.connection.transaction().expect("begins");
        let done = self.engine.expire(&tx, now_us, limit).expect("expires");
        tx.commit().expect("commits");
        done
    }
}

fn open(connection: &mut Connection, definition: &str) -> (Engine, Opened) {
    let columns: Vec<String> = COLUMNS.map(str::to_owned).to_vec();
    let tx = connection.transaction().expect("begins");
    let opened = Engine::open(&tx, views(definition), |_| columns.as_slice(), NOW, LIMITS).expect("opens");
    tx.commit().expect("commits");
    opened
}

fn write(connection: &mut Connection, what: impl FnOnce(&Transaction<'_>) -> Result<()>) {
    let tx = connection.transaction().expect("begins");
    what(&tx).expect("written");
    tx.commit().expect("commits");
}

fn row(op: Op, key: i64, after: Option<(i64, i64, &str, i64)>) -> Row {
    let after = after.map(|(user, time, status, amount)| {
        vec![Value::Int(user), Value::Timestamp(time), Value::Text(status.into()), Value::Int(amount)]
    });
    Row { op, key: Some(pack::sortable([&Value::Int(key)])), after, committed_us: NOW, offset: key }
}

/// `(user, count, sum, last)` of each value row.
fn shown(values: &[FeatureRow]) -> Vec<(i64, Vec<Value>)> {
    values
        .iter()
        .map(|row| match pack::from_sortable(&row.entity).as_deref() {
            Some([Value::Int(user)]) => (*user, row.values.clone()),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn values(n: i64, sum: Option<f64>, last: Option<i64>) -> Vec<Value> {
    vec![Value::Int(n), sum.map_or(Value::Null, Value::Float), last.map_or(Value::Null, Value::Int)]
}

#[test]
fn inserts_updates_moves_and_deletes() {
    let mut world = World::new();
    let t = NOW - MINUTE;
    let got = world.at(
        NOW,
        &[
            row(Op::Create, 1, Some((7, t, "settled", 5))),
            row(Op::Read, 2, Some((7, t + 1, "settled", 6))),
            row(Op::Create, 3, Some((8, t, "open", 9))),
        ],
    );
    assert_eq!(shown(&got.values), [(7, values(2, Some(11.0), Some(6)))]);
    let again = world.at(NOW, &[row(Op::Create, 1, Some((7, t, "settled", 5)))]);
    assert_eq!(shown(&again.values), [(7, values(2, Some(11.0), Some(6)))], "a repeat changes nothing");
    let moved = world.at(NOW, &[row(Op::Update, 1, Some((8, t + 2, "settled", 5)))]);
    assert_eq!(
        shown(&moved.values),
        [(7, values(1, Some(6.0), Some(6))), (8, values(1, Some(5.0), Some(5)))]
    );
    let unsettled = world.at(NOW, &[row(Op::Update, 2, Some((7, t + 1, "open", 6)))]);
    assert_eq!(shown(&unsettled.values), [(7, values(0, None, None))]);
    let deleted = world.at(NOW, &[row(Op::Delete, 1, None), row(Op::Delete, 99, None)]);
    assert_eq!(shown(&deleted.values), [(8, values(0, None, None))]);
}

#[test]
fn windows_begin_after_now_minus_window_and_have_no_end() {
    let mut world = World::new();
    let edge = NOW - 10 * MINUTE;
    let got = world.at(
        NOW,
        &[
            row(Op::Create, 1, Some((7, edge, "settled", 1))),
            row(Op::Create, 2, Some((7, edge + 1, "settled", 2))),
            row(Op::Create, 3, Some((7, NOW + MINUTE, "settled", 4))),
        ],
    );
    assert_eq!(shown(&got.values), [(7, values(2, Some(7.0), Some(4)))]);
}

#[test]
fn rows_leave_windows_though_nothing_happens_also_in_small_steps_and_when_the_clock_goes_back() {
    let mut world = World::new();
    let rows: Vec<Row> = (0..6).map(|n| row(Op::Create, n, Some((n, NOW + n, "settled", 1)))).collect();
    world.at(NOW, &rows);
    assert!(!world.engine.due(&world.connection, NOW + 9 * MINUTE).expect("reads"));
    let later = NOW + 10 * MINUTE + 2;
    assert!(world.engine.due(&world.connection, later).expect("reads"));
    let (got, more) = world.expire(later, 100);
    assert_eq!(
        shown(&got).iter().map(|(user, v)| (*user, v[0].clone())).collect::<Vec<_>>(),
        [(0, Value::Int(0)), (1, Value::Int(0)), (2, Value::Int(0))]
    );
    assert!(!more && !world.engine.due(&world.connection, later).expect("reads"));
    let many: Vec<Row> =
        (100..3_100).map(|n| row(Op::Create, n, Some((n % 50, NOW + n * 100_000, "settled", 1)))).collect();
    world.at(later, &many);
    let (mut steps, mut last) = (0, std::collections::BTreeMap::new());
    while {
        let (values, more) = world.expire(NOW + 40 * MINUTE, 600);
        last.extend(shown(&values));
        more
    } {
        steps += 1;
        assert!(steps < 60, "small steps come to an end");
    }
    assert!(steps > 3 && last.values().all(|v| v[0] == Value::Int(0)) && last.len() == 50, "{steps}");
    let back = NOW + 10 * MINUTE - 1;
    let (got, _) = world.expire(back, 100);
    assert!(
        shown(&got).iter().all(|(_, v)| v[0] != Value::Int(0)) && got.len() == 50,
        "rows are in the window again"
    );
}

#[test]
fn what_was_not_sent_comes_from_the_stored_row_or_is_refused() {
    let mut world = World::new();
    world.at(NOW, &[row(Op::Create, 1, Some((7, NOW, "settled", 5)))]);
    let mut update = row(Op::Update, 1, Some((7, NOW + 1, "settled", 0)));
    update.after.as_mut().expect("there")[3] = Value::Unchanged;
    let got = world.at(NOW, &[update.clone()]);
    assert_eq!(shown(&got.values), [(7, values(1, Some(5.0), Some(5)))]);
    update.key = Some(pack::sortable([&Value::Int(2)]));
    let got = world.at(NOW, &[update]);
    assert_eq!(got.refused.first().map(|(_, r)| r.label), Some("unchanged_value"));
    for (place, value, label) in [
        (3, Value::Absent, "missing_column"),
        (3, Value::Text("x".into()), "wrong_type"),
        (1, Value::Int(5), "wrong_type"),
        (0, Value::Opaque, "wrong_type"),
    ] {
        let mut bad = row(Op::Create, 3, Some((7, NOW, "settled", 5)));
        bad.after.as_mut().expect("there")[place] = value;
        assert_eq!(world.at(NOW, &[bad]).refused.first().map(|(_, r)| r.label), Some(label), "{place}");
    }
    let mut list = row(Op::Create, 3, Some((7, NOW, "settled", 5)));
    list.after.as_mut().expect("there")[3] = Value::List(vec![Value::Float(1.0)]);
    let effect = world.at(NOW, &[list]);
    assert_eq!(
        effect.refused.first().map(|(_, r)| r.label),
        Some("wrong_type"),
        "nothing is summed over lists"
    );
    let mut keyless = row(Op::Create, 4, Some((7, NOW, "settled", 5)));
    keyless.key = None;
    assert_eq!(world.at(NOW, &[keyless]).refused.first().map(|(_, r)| r.label), Some("no_key"));
    let mut nowhere = row(Op::Create, 5, Some((7, NOW, "settled", 5)));
    nowhere.after.as_mut().expect("there")[0] = Value::Null;
    let effect = world.at(NOW, &[nowhere]);
    assert!(effect.refused.is_empty() && effect.values.is_empty(), "no entity, no feature");
}

#[test]
fn truncate_empties_the_view() {
    let mut world = World::new();
    world.at(NOW, &[row(Op::Create, 1, Some((7, NOW, "settled", 5)))]);
    let truncate = Row { op: Op::Truncate, key: None, after: None, committed_us: NOW, offset: 9 };
    let got = world.at(NOW, &[truncate, row(Op::Create, 2, Some((8, NOW, "settled", 1)))]);
    assert_eq!(shown(&got.values), [(7, values(0, None, None)), (8, values(1, Some(1.0), Some(1)))]);
}

#[test]
fn a_changed_definition_is_built_beside_the_former_one_and_a_removed_view_goes() {
    let mut world = World::new();
    let (engine, opened) = open(&mut world.connection, DEFINITION);
    assert_eq!(opened.stale, engine.shapes().iter().map(|s| s.id).collect::<Vec<_>>(), "never built");
    world.at(NOW, &[row(Op::Create, 1, Some((7, NOW, "settled", 5)))]);
    write(&mut world.connection, |tx| engine.built(tx, opened.stale[0]));
    let first = engine.shapes().remove(0);
    let (same, again) = open(&mut world.connection, DEFINITION);
    assert!(again.stale.is_empty() && again.former.is_empty() && first.version == 1);
    assert_eq!(same.sizes(&world.connection).expect("reads"), [("spend".to_owned(), 1)]);
    let other = DEFINITION.replace("\"sum\"\naggregate", "\"total\"\naggregate");
    let (engine, changed) = open(&mut world.connection, &other);
    let second = engine.shapes().remove(0);
    assert_eq!((&changed.stale, &changed.former), (&vec![second.id], &vec![first.clone()]));
    assert!(second.id != first.id && second.version == 2 && second.features[1] == "total");
    assert_eq!(engine.sizes(&world.connection).expect("reads"), [("spend".to_owned(), 0)]);
    // Stopped in between, the building begins again; a third definition takes its place.
    let third = DEFINITION.replace("20m", "30m");
    for definition in [&other, &third] {
        let (engine, opened) = open(&mut world.connection, definition);
        assert_eq!((&opened.stale, &opened.former), (&vec![second.id], &vec![first.clone()]));
        assert_eq!(engine.shapes()[0].version, 2);
    }
    let (engine, opened) = open(&mut world.connection, &third);
    write(&mut world.connection, |tx| engine.built(tx, opened.stale[0]));
    // Complete, but its readers have not been told: the former one is there until they are.
    let (engine, opened) = open(&mut world.connection, &third);
    assert_eq!((opened.stale.len(), &opened.former), (0, &vec![first.clone()]));
    write(&mut world.connection, |tx| engine.forget(tx, first.id));
    assert!(open(&mut world.connection, &third).1.former.is_empty());
    let back = open(&mut world.connection, DEFINITION);
    assert_eq!((back.0.shapes()[0].version, back.1.former[0].version), (3, 2), "back is a change as well");
    let renamed = DEFINITION.replace("\"spend\"", "\"other\"");
    let (_, opened) = open(&mut world.connection, &renamed);
    assert_eq!((opened.stale.len(), opened.gone.len()), (1, 2));
}
