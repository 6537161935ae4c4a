//! The keys of a stored offset that tell how far an incremental snapshot has come. Pure.

use super::key;
use crate::model::position::{Collection, Incremental};
use serde_json::{Map, Value, json};

const COLLECTIONS: &str = "incremental_snapshot_collections";
const LAST_KEY: &str = "incremental_snapshot_primary_key";
const MAXIMUM_KEY: &str = "incremental_snapshot_maximum_key";
const CORRELATION_ID: &str = "incremental_snapshot_correlation_id";

/// Of each collection.
const ID: &str = "incremental_snapshot_collections_id";
const CONDITION: &str = "incremental_snapshot_collections_additional_condition";
const SURROGATE: &str = "incremental_snapshot_collections_surrogate_key";

/// Adds the keys; nothing if no collection is left.
pub fn write(state: &Incremental, out: &mut Map<String, Value>) {
    if state.collections.is_empty() {
        return;
    }
    let collections: Vec<Value> = state.collections.iter().map(collection_value).collect();
    out.insert(LAST_KEY.to_owned(), key::stored(state.last_key.as_deref()).into());
    out.insert(MAXIMUM_KEY.to_owned(), key::stored(state.maximum_key.as_deref()).into());
    out.insert(COLLECTIONS.to_owned(), Value::Array(collections).to_string().into());
    out.insert(CORRELATION_ID.to_owned(), json!(state.correlation_id));
}

fn collection_value(collection: &Collection) -> Value {
    json!({
        ID: collection.id,
        CONDITION: collection.additional_condition,
        SURROGATE: collection.surrogate_key,
    })
}

/// The state, if a snapshot was running. A key that cannot be read makes the first collection begin anew:
/// its rows come again, none is left out.
pub fn read(stored: &Map<String, Value>) -> Option<Incremental> {
    let text = |name: &str| stored.get(name).and_then(Value::as_str);
    let collections = collections(text(COLLECTIONS)?);
    if collections.is_empty() {
        return None;
    }
    let cells = |name: &str| text(name).map_or(Ok(None), key::cells);
    let keys = cells(LAST_KEY).and_then(|last| Ok((last, cells(MAXIMUM_KEY)?)));
    let (last_key, maximum_key) = keys.unwrap_or_else(|error| {
        tracing::warn!(event = "incremental_key_unreadable", %error, "the table's incremental snapshot begins anew");
        (None, None)
    });
    let correlation_id = text(CORRELATION_ID).map(str::to_owned);
    Some(Incremental { collections, last_key, maximum_key, correlation_id })
}

fn collections(text: &str) -> Vec<Collection> {
    let list: Vec<Map<String, Value>> = serde_json::from_str(text).unwrap_or_default();
    let one = |entry: &Map<String, Value>| {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        Some(Collection {
            id: text(ID)?.to_owned(),
            additional_condition: text(CONDITION).map(str::to_owned),
            surrogate_key: text(SURROGATE).map(str::to_owned),
        })
    };
    list.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key_cell::KeyCell;

    #[test]
    fn what_is_written_is_read_again() {
        let state = Incremental {
            collections: vec![
                Collection {
                    id: "public.orders".to_owned(),
                    additional_condition: Some("kind = 'a'".to_owned()),
                    surrogate_key: Some("code".to_owned()),
                },
                Collection { id: "public.items".to_owned(), ..Collection::default() },
            ],
            last_key: Some(vec![KeyCell::Integer(7), KeyCell::Text("x".to_owned())]),
            maximum_key: None,
            correlation_id: Some("ad-hoc".to_owned()),
        };
        let mut out = Map::new();
        write(&state, &mut out);
        assert_eq!(out.len(), 4);
        assert_eq!(read(&out), Some(state));
        let mut none = Map::new();
        write(&Incremental::default(), &mut none);
        assert!(none.is_empty());
        assert_eq!(read(&none), None);
    }

    #[test]
    fn a_key_that_cannot_be_read_begins_the_table_anew() {
        let mut stored = Map::new();
        stored
            .insert(COLLECTIONS.to_owned(), format!(r#"[{{"{ID}":"public.t","{CONDITION}":null}}]"#).into());
        stored.insert(LAST_KEY.to_owned(), key::stored(Some(&[KeyCell::Integer(1)])).into());
        stored.insert(MAXIMUM_KEY.to_owned(), "aced0005".into());
        let state = read(&stored).expect("a snapshot was running");
        assert_eq!((state.last_key, state.maximum_key, state.correlation_id), (None, None, None));
        assert_eq!(state.collections, [Collection { id: "public.t".to_owned(), ..Collection::default() }]);
    }
}
