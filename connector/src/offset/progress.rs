//! What a snapshot has read, beside what Debezium stores: under a name of our own, which it ignores. Pure.
//!
//! ```text
//! {"view": {"seen": "10:12:10", "end": "0/16B3748"},
//!  "tables": [{"schema": "public", "name": "orders", "file": 16385, "pages": [[0, 8192]]}],
//!  "request": [{"schema": "public", "name": "orders", "select": null}]}
//! ```
//! `pages` is `true` for a table that is read to its end.

use crate::model::position::Lsn;
use crate::model::progress::{Pages, SnapshotProgress, TableProgress, View};
use crate::model::table::TableId;
use serde_json::{Value, json};

pub const NAME: &str = "tidegate_snapshot";

pub fn value(progress: &SnapshotProgress) -> Value {
    let view = progress.view.as_ref();
    let view = view.map(|view| json!({ "seen": view.seen, "end": view.end.to_string() }));
    let tables = progress.tables.iter().map(|(id, table)| {
        let pages = match &table.pages {
            Pages::All => Value::Bool(true),
            Pages::Some(ranges) => json!(ranges),
        };
        let TableId { schema, name } = id;
        json!({ "schema": schema, "name": name, "file": table.file, "pages": pages })
    });
    let mut out = json!({ "view": view, "tables": tables.collect::<Vec<_>>() });
    if let (Some(request), Some(out)) = (&progress.request, out.as_object_mut()) {
        let tables = request.iter().map(
            |(TableId { schema, name }, select)| json!({ "schema": schema, "name": name, "select": select }),
        );
        out.insert("request".to_owned(), tables.collect());
    }
    out
}

/// `None` if it has another form: then the snapshot begins anew.
pub fn read(stored: &Value) -> Option<SnapshotProgress> {
    let list = |name: &str| stored.get(name).and_then(Value::as_array);
    let view = match stored.get("view")? {
        Value::Null => None,
        view => {
            let text = |name: &str| view.get(name).and_then(Value::as_str);
            Some(View { seen: text("seen")?.to_owned(), end: text("end")?.parse::<Lsn>().ok()? })
        }
    };
    let tables = list("tables")?.iter().map(|table| {
        let file = u32::try_from(table.get("file").and_then(Value::as_u64)?).ok()?;
        Some((id(table)?, TableProgress { file, pages: pages(table.get("pages")?)? }))
    });
    let request = list("request").map(|tables| {
        let select = |table: &Value| table.get("select").and_then(Value::as_str).map(str::to_owned);
        tables.iter().map(|table| Some((id(table)?, select(table)))).collect::<Option<_>>()
    });
    Some(SnapshotProgress {
        view,
        tables: tables.collect::<Option<_>>()?,
        request: request.map_or(Some(None), |list: Option<_>| list.map(Some))?,
    })
}

fn id(table: &Value) -> Option<TableId> {
    let text = |name: &str| table.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(TableId { schema: text("schema")?, name: text("name")? })
}

/// Ascending and apart from each other, or it is none of ours.
fn pages(stored: &Value) -> Option<Pages> {
    if stored == &Value::Bool(true) {
        return Some(Pages::All);
    }
    let ranges: Vec<(u32, u32)> = serde_json::from_value(stored.clone()).ok()?;
    let whole = ranges.iter().all(|(from, to)| from < to);
    let apart = ranges.windows(2).all(|pair| matches!(pair, [(_, end), (begin, _)] if end < begin));
    (whole && apart).then_some(Pages::Some(ranges))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let id = |name: &str| TableId { schema: "a.b".to_owned(), name: name.to_owned() };
        let table = |pages| TableProgress { file: 7, pages };
        for request in [None, Some(vec![(id("x"), None), (id("y"), Some("SELECT 1".to_owned()))])] {
            let progress = SnapshotProgress {
                view: Some(View { seen: "3:9:4,5".to_owned(), end: Lsn(u64::MAX) }),
                tables: [
                    (id("x"), table(Pages::All)),
                    (id("y"), table(Pages::Some(vec![(0, 10), (20, u32::MAX)]))),
                    (id("z"), table(Pages::default())),
                ]
                .into(),
                request,
            };
            assert_eq!(read(&value(&progress)), Some(progress));
        }
    }

    #[test]
    fn another_form_is_none() {
        let whole = json!({ "view": { "seen": "1:1:", "end": "0/1" },
            "tables": [{ "schema": "s", "name": "t", "file": 1, "pages": [[0, 5]] }] });
        assert!(read(&whole).is_some());
        for (pointer, other) in [
            ("/view", json!([])),
            ("/view/end", json!("x")),
            ("/tables/0/file", json!(-1)),
            ("/tables/0/pages", json!([[5, 5]])),
            ("/tables/0/pages", json!([[0, 5], [5, 6]])),
            ("/tables/0/pages", json!(false)),
            ("/tables/0/name", json!(null)),
        ] {
            let mut damaged = whole.clone();
            *damaged.pointer_mut(pointer).expect("there") = other;
            assert_eq!(read(&damaged), None, "{pointer}");
        }
    }
}
