//! What is stored, and what Feast's clients are answered.

use super::answer::{Refusal, Request};
use super::*;
use crate::model::feature::{EntityType, Served, ViewShape};
use serde_json::{Value as Json, json};

fn connection() -> Connection {
    let connection = Connection::open_in_memory().expect("in memory");
    connection.execute_batch(include_str!("../db/migrations/0012_store.sql")).expect("the layout");
    connection
}

fn row(user: i64, values: Vec<Value>) -> FeatureRow {
    FeatureRow { view: ViewId(1), entity: pack::sortable([&Value::Int(user)]), values }
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
