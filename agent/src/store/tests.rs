//! What is stored, and what Feast's clients are answered.

use super::answer::{Refusal, Request};
use super::*;
use crate::model::feature::{EntityType, Served, ViewShape};
use serde_json::{Value as Json, json};

fn connection() -> Connection {
    let connection = Connection::open_in_memory().expect("in memory");
    connection.execute_batch(include_str!("../db/migrations/0012_store.sql")).expect("the layout");
    connection.execute_batch(include_str!("../db/migrations/0041_store_block.sql")).expect("the layout");
    connection
}

fn row(user: i64, values: Vec<Value>) -> FeatureRow {
    FeatureRow { view: ViewId(1), entity: pack::sortable([&Value::Int(user)]), values, differs: false }
}

#[test]
fn only_changes_are_written_and_time_only_grows() {
    let mut connection = connection();
    let tx = connection.transaction().expect("begins");
    let first = write(&tx, vec![row(1, vec![Value::Float(0.0)])], 50).expect("stored");
    assert_eq!(first.first().map(|s| s.as_of), Some(AsOf(50_000)));
    assert!(write(&tx, vec![row(1, vec![Value::Float(0.0)])], 60).expect("stored").is_empty());
    let sign = write(&tx, vec![row(1, vec![Value::Float(-0.0)])], 50).expect("stored");
    assert_eq!(sign.first().map(|s| s.as_of), Some(AsOf(50_001)), "another bit, and a tie");
    let back = write(&tx, vec![row(1, vec![Value::Null])], 10).expect("stored");
    assert_eq!(back.first().map(|s| s.as_of), Some(AsOf(50_002)), "the clock went back");
    assert_eq!(all(&tx, ViewId(1)).expect("reads"), back);
    assert_eq!(size(&tx, ViewId(1)).expect("reads"), 1);
}

/// Runs that fill, stand still and are brought to the rest, while the clock also goes back.
#[test]
fn many_entities_as_a_map_has_them() {
    let (mut connection, mut random) = (connection(), fastrand::Rng::with_seed(4));
    let mut model: std::collections::BTreeMap<Vec<u8>, (AsOf, Vec<Value>)> =
        std::collections::BTreeMap::new();
    let (mut now_us, mut rests) = (1_000, 0);
    for round in 0..90 {
        let tx = connection.transaction().expect("begins");
        now_us += if random.u8(0..9) == 0 { -3 } else { 2 };
        let users = if round < 60 { 60_000 } else { 4_000 };
        let mut rows: Vec<FeatureRow> = (0..random.usize(1..500))
            .map(|_| row(random.i64(0..users), vec![Value::Bytes(vec![random.u8(0..3); 500])]))
            .collect();
        for row in &mut rows {
            let last = model.get(&row.entity).map(|(_, values)| values);
            row.differs = random.bool() && last != Some(&row.values);
        }
        let mut wanted: std::collections::BTreeMap<Vec<u8>, (AsOf, Vec<Value>)> =
            std::collections::BTreeMap::new();
        for row in &rows {
            let previous = model.get(&row.entity);
            wanted.remove(&row.entity);
            if previous.is_none_or(|(_, values)| *values != row.values) {
                let as_of = AsOf::after(previous.map(|(as_of, _)| *as_of), now_us);
                wanted.insert(row.entity.clone(), (as_of, row.values.clone()));
            }
        }
        let stored = write(&tx, rows, now_us).expect("stored");
        let stored: Vec<_> = stored.into_iter().map(|s| (s.row.entity, (s.as_of, s.row.values))).collect();
        assert!(stored.iter().map(|(entity, new)| (entity, new)).eq(&wanted), "round {round}");
        model.extend(stored);
        for _ in 0..20 {
            let entity = pack::sortable([&Value::Int(random.i64(0..users))]);
            let found = read(&tx, ViewId(1), &entity).expect("reads").map(|l| (l.as_of, l.values));
            assert_eq!(found.as_ref(), model.get(&entity));
        }
        rests += i32::from(Standing::read(&tx, ViewId(1)).expect("reads").has_rest());
        tx.commit().expect("commits");
    }
    let tx = connection.transaction().expect("begins");
    let all = all(&tx, ViewId(1)).expect("reads");
    let all: Vec<_> = all.into_iter().map(|s| (s.row.entity, (s.as_of, s.row.values))).collect();
    assert!(all.iter().map(|(entity, new)| (entity, new)).eq(&model) && (1..89).contains(&rests));
    assert_eq!(size(&tx, ViewId(1)).expect("reads") as usize, model.len());
    clear(&tx, ViewId(1)).expect("cleared");
    assert_eq!((size(&tx, ViewId(1)).expect("reads"), tx.changes() > 0), (0, true));
}

#[test]
fn values_of_an_earlier_layout_are_brought_over() {
    let mut connection = connection();
    let tx = connection.transaction().expect("begins");
    for user in 0..700i64 {
        let (entity, values) = (pack::sortable([&Value::Int(user)]), pack::pack([&Value::Int(user * 2)]));
        let sql = "INSERT INTO store_value (view, entity, as_of_ns, vals) VALUES (?1, ?2, ?3, ?4)";
        tx.execute(sql, rusqlite::params![user % 2, entity, user, values]).expect("stored");
    }
    while adopt(&tx, 100).expect("brought over") {}
    for user in 0..700i64 {
        let found = read(&tx, ViewId(user % 2), &pack::sortable([&Value::Int(user)])).expect("reads");
        assert_eq!(found, Some(Latest { values: vec![Value::Int(user * 2)], as_of: AsOf(user) }));
    }
    let again = FeatureRow { view: ViewId(0), differs: true, ..row(8, vec![Value::Int(5)]) };
    assert_eq!(write(&tx, vec![again], 0).expect("stored").first().map(|s| s.as_of), Some(AsOf(9)));
    assert_eq!(size(&tx, ViewId(0)).expect("reads"), 350);
}

fn view(ttl_us: Option<i64>) -> ViewShape {
    ViewShape {
        id: ViewId(1),
        name: "spend".to_owned(),
        version: 3,
        entity: vec![("user_id".to_owned(), EntityType::Natural)],
        features: vec!["n".to_owned(), "avg".to_owned()],
        ttl_us,
    }
}

fn ask(body: Json, ttl_us: Option<i64>, now_us: i64) -> std::result::Result<Json, Refusal> {
    let mut connection = connection();
    let tx = connection.transaction().expect("begins");
    let rows = vec![row(7, vec![Value::Int(3), Value::Float(2.5)]), row(8, vec![Value::Int(0), Value::Null])];
    write(&tx, rows, 1_767_323_045_678_902).expect("stored");
    tx.commit().expect("commits");
    let request: Request = serde_json::from_value(body).expect("a request");
    let known = Known {
        views: Served::new(vec![view(ttl_us)]),
        services: vec![("both".to_owned(), ["spend:avg", "spend:n"].map(str::to_owned).into())],
    };
    let answer = super::serve::answer_one(&connection, &known, &request, now_us).expect("reads");
    answer.map(|text| serde_json::from_slice(&text).expect("JSON"))
}

#[test]
fn answers_by_column_with_honest_statuses() {
    let body = json!({"features": ["spend:avg", "spend:n"], "entities": {"user_id": [7, 8, 9]}});
    let at = "2026-01-02T03:04:05.678902Z";
    let epoch = "1970-01-01T00:00:00Z";
    let got = ask(body.clone(), None, 1_767_323_045_678_902).expect("answered");
    assert_eq!(
        got,
        json!({"results": [
            {"values": [7, 8, 9], "statuses": ["PRESENT", "PRESENT", "PRESENT"], "event_timestamps": [epoch, epoch, epoch]},
            {"values": [2.5, null, null], "statuses": ["PRESENT", "NULL_VALUE", "NOT_FOUND"], "event_timestamps": [at, at, epoch]},
            {"values": [3, 0, null], "statuses": ["PRESENT", "PRESENT", "NOT_FOUND"], "event_timestamps": [at, at, epoch]},
        ], "metadata": {"feature_names": ["user_id", "avg", "n"], "tidegate": {"served_at": at, "views": [
            {"name": "spend", "version": 3, "ages_ms": [0, 0, null]}]}}})
    );
    let service = json!({"feature_service": "both", "entities": {"user_id": [7, 8, 9]}});
    assert_eq!(ask(service, None, 1_767_323_045_678_902).expect("answered"), got);
    let old = ask(body, Some(1_000), 1_767_323_046_678_902).expect("answered");
    assert_eq!(old["results"][2]["statuses"], json!(["OUTSIDE_MAX_AGE", "OUTSIDE_MAX_AGE", "NOT_FOUND"]));
    assert_eq!(old["metadata"]["tidegate"]["views"][0]["ages_ms"], json!([1_000, 1_000, null]));
    let full = json!({"features": ["spend:n"], "entities": {"user_id": [{"int64_val": 7}]}, "full_feature_names": true,
        "include_feature_view_version_metadata": true});
    let got = ask(full, None, 0).expect("answered");
    assert_eq!(got["metadata"]["feature_names"], json!(["user_id", "spend__n"]));
    assert_eq!(got["results"][1]["values"], json!([3]));
    assert_eq!(got["metadata"]["feature_view_metadata"], json!([{"name": "spend", "version": 0}]));
}

#[test]
fn refuses_as_feast_does() {
    for (body, status, says) in [
        (json!({"features": ["other:n"], "entities": {"user_id": [7]}}), 404, "FeatureViewNotFoundException"),
        (json!({"feature_service": "s", "entities": {"user_id": [7]}}), 404, "FeatureServiceNotFound"),
        (json!({"features": ["spend:x"], "entities": {"user_id": [7]}}), 500, "Feature x does not exist"),
        (json!({"features": ["spend:n"], "entities": {"id": [7]}}), 500, "user_id"),
        (json!({"features": ["spend"], "entities": {"user_id": [7]}}), 422, "view:feature"),
        (json!({"features": ["spend:n"], "entities": {"user_id": 7}}), 422, "no list"),
        (json!({"features": ["spend:n"], "entities": {"user_id": [7], "b": []}}), 500, "same columns"),
    ] {
        let refusal = ask(body, None, 0).expect_err(says);
        let (got, text) = refusal.answer();
        assert_eq!(got, status, "{says}");
        assert!(text.to_string().contains(says), "{text}");
    }
    assert!(serde_json::from_str::<Request>(r#"{"features": []}"#).is_err(), "entities are needed");
}
