//! A signal's type and data → what it asks for. Pure.

use crate::model::request::{Action, Request, Tables};
use serde_json::Value;
use shared::{Error, Kind, Result};

/// `type` and `data` as they stand in the columns of the table of that name.
///
/// # Errors
/// `Config`, for a signal that is not known or whose data are not understood.
pub fn parse(id: &str, kind: &str, data: &str) -> Result<Request> {
    let data: Value = match data.trim() {
        "" => Value::Null,
        text => serde_json::from_str(text)
            .map_err(|error| wrong(kind, &format!("its data are no JSON: {error}")))?,
    };
    let action = match kind {
        "execute-snapshot" => execute(&data)?,
        "stop-snapshot" => of_incremental(kind, &data, Action::Stop(texts(&data, "data-collections")?))?,
        "pause-snapshot" => of_incremental(kind, &data, Action::Pause)?,
        "resume-snapshot" => of_incremental(kind, &data, Action::Resume)?,
        "log" => Action::Log(data.get("message").and_then(Value::as_str).unwrap_or_default().to_owned()),
        _ => {
            return Err(wrong(kind, "it is not known").remedy(
                "known are execute-snapshot, stop-snapshot, pause-snapshot, resume-snapshot and log",
            ));
        }
    };
    Ok(Request { id: id.to_owned(), action, at: None })
}

/// Whether a row of the signal table is a mark that we write there ourselves.
pub fn is_mark(kind: &str) -> bool {
    matches!(kind, "snapshot-window-open" | "snapshot-window-close")
}

fn execute(data: &Value) -> Result<Action> {
    let kind = "execute-snapshot";
    let patterns = texts(data, "data-collections")?;
    if patterns.is_empty() {
        return Err(wrong(kind, "data-collections names no table").remedy(EXAMPLE));
    }
    let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut filters = Vec::new();
    for item in data.get("additional-conditions").and_then(Value::as_array).into_iter().flatten() {
        match (text(item, "data-collection"), text(item, "filter")) {
            (Some(collection), Some(filter)) => filters.push((collection, filter)),
            _ => return Err(wrong(kind, "additional-conditions: each has data-collection and filter")),
        }
    }
    // The older form: one condition for all.
    if let Some(condition) =
        text(data, "additional-condition").filter(|condition| !condition.trim().is_empty())
    {
        filters.extend(patterns.iter().map(|pattern| (pattern.clone(), condition.clone())));
    }
    let surrogate_key = text(data, "surrogate-key").filter(|key| !key.trim().is_empty());
    let tables = Tables { patterns, filters, surrogate_key };
    match text(data, "type").unwrap_or_else(|| "incremental".to_owned()).to_lowercase().as_str() {
        "incremental" => Ok(Action::Incremental(tables)),
        "blocking" => Ok(Action::Blocking(tables)),
        other => Err(wrong(kind, &format!("type {other:?} is neither incremental nor blocking"))),
    }
}

const EXAMPLE: &str = "for example {\"type\": \"incremental\", \"data-collections\": [\"public.orders\"]}";

/// Only incremental snapshots can be stopped and paused.
fn of_incremental(kind: &str, data: &Value, action: Action) -> Result<Action> {
    match data.get("type").and_then(Value::as_str) {
        None => Ok(action),
        Some(word) if word.eq_ignore_ascii_case("incremental") => Ok(action),
        Some(other) => Err(wrong(kind, &format!("type {other:?} is not incremental"))),
    }
}

fn texts(data: &Value, name: &str) -> Result<Vec<String>> {
    let list = match data.get(name) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(wrong(name, "it is no list")),
    };
    let text = |item: &Value| item.as_str().map(|text| text.trim().to_owned());
    list.iter()
        .map(|item| text(item).ok_or_else(|| wrong(name, "it holds something that is no text")))
        .collect()
}

fn wrong(what: &str, why: &str) -> Error {
    Error::new(Kind::Config, format!("signal {what}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_understood() {
        let owned = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        let tables = |patterns: &[&str]| Tables { patterns: owned(patterns), ..Tables::default() };
        let one = ("a.b".to_owned(), "id > 5".to_owned());
        for (kind, data, want) in [
            (
                "execute-snapshot",
                r#"{"data-collections": ["a.b", "a.c.*"]}"#,
                Action::Incremental(tables(&["a.b", "a.c.*"])),
            ),
            (
                "execute-snapshot",
                r#"{"type": "BLOCKING", "data-collections": ["a.b"]}"#,
                Action::Blocking(tables(&["a.b"])),
            ),
            (
                "execute-snapshot",
                r#"{"data-collections": ["a.b"], "additional-conditions": [{"data-collection": "a.b", "filter": "id > 5"}], "surrogate-key": "k"}"#,
                Action::Incremental(Tables {
                    filters: vec![one.clone()],
                    surrogate_key: Some("k".to_owned()),
                    ..tables(&["a.b"])
                }),
            ),
            (
                "execute-snapshot",
                r#"{"data-collections": ["a.b"], "additional-condition": "id > 5", "surrogate-key": ""}"#,
                Action::Incremental(Tables { filters: vec![one], ..tables(&["a.b"]) }),
            ),
            ("stop-snapshot", "", Action::Stop(Vec::new())),
            (
                "stop-snapshot",
                r#"{"type": "incremental", "data-collections": ["a.b"]}"#,
                Action::Stop(owned(&["a.b"])),
            ),
            ("pause-snapshot", r#"{"type": "incremental"}"#, Action::Pause),
            ("resume-snapshot", "{}", Action::Resume),
            ("log", r#"{"message": "at {}"}"#, Action::Log("at {}".to_owned())),
        ] {
            assert_eq!(parse("1", kind, data).expect(data).action, want, "{kind} {data}");
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (kind, data) in [
            ("execute-snapshot", "{}"),
            ("execute-snapshot", ""),
            ("execute-snapshot", "{"),
            ("execute-snapshot", r#"{"data-collections": "a.b"}"#),
            ("execute-snapshot", r#"{"data-collections": [1]}"#),
            ("execute-snapshot", r#"{"data-collections": ["a.b"], "type": "slow"}"#),
            (
                "execute-snapshot",
                r#"{"data-collections": ["a.b"], "additional-conditions": [{"filter": "x"}]}"#,
            ),
            ("pause-snapshot", r#"{"type": "blocking"}"#),
            ("set-binlog-position", "{}"),
        ] {
            let error = parse("1", kind, data).expect_err(data);
            assert_eq!(error.kind(), Kind::Config, "{error}");
        }
    }
}
