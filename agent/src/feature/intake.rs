//! A row of a topic → what a view keeps of it. Pure.

use super::definition::View;
use crate::model::feature::EntityType;
use crate::model::pack;
use crate::model::row::Row;
use crate::model::value::Value;
use crate::model::verdict::Reason;

static ABSENT: Value = Value::Absent;

/// Where a view's columns stand in its topic's rows.
#[derive(Clone, Debug)]
pub struct Places {
    entity: Vec<usize>,
    time: Option<usize>,
    columns: Vec<usize>,
}

/// What a view keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub entity: Vec<u8>,
    pub time_us: i64,
    pub columns: Vec<Value>,
}

impl Places {
    /// Finds the view's columns among the topic's; `None` if the topic's rows lack one.
    pub fn find(view: &View, topic_columns: &[String]) -> Option<Places> {
        let place = |name: &str| topic_columns.iter().position(|column| column == name);
        Some(Places {
            entity: view.entity.iter().map(|(name, _)| place(name)).collect::<Option<_>>()?,
            time: match &view.time {
                Some(name) => Some(place(name)?),
                None => None,
            },
            columns: view.columns.iter().map(|name| place(name)).collect::<Option<_>>()?,
        })
    }
}

/// What `view` keeps of `row`; `None` if the row does not count: the condition does not hold, or its
/// entity or time is null. `stored` gives the columns kept before, for what the source did not send.
pub fn take(
    view: &View,
    places: &Places,
    row: &Row,
    stored: impl FnOnce() -> shared::error::Result<Option<Vec<Value>>>,
) -> shared::error::Result<Result<Option<Kept>, Reason>> {
    let Some(after) = &row.after else { return Ok(Ok(None)) };
    let value = |at: usize| after.get(at).unwrap_or(&ABSENT);
    let mut columns: Vec<Value> = places.columns.iter().map(|at| value(*at).clone()).collect();
    if columns.contains(&Value::Unchanged)
        && let Some(stored) = stored()?
    {
        fill(&mut columns, stored);
    }
    Ok(checked(view, columns, value, places, row.committed_us))
}

fn checked<'r>(
    view: &View,
    columns: Vec<Value>,
    value: impl Fn(usize) -> &'r Value,
    places: &Places,
    committed_us: i64,
) -> Result<Option<Kept>, Reason> {
    for (name, column) in view.columns.iter().zip(&columns) {
        present(name, column)?;
    }
    for feature in view.aggregates.iter().filter(|f| !f.aggregate.takes_lists()) {
        let Some(at) = feature.of else { continue };
        let (name, column) = (view.columns.get(at), columns.get(at).unwrap_or(&Value::Null));
        let wanted = match column {
            Value::List(_) => "a value that is no list",
            _ if feature.aggregate.needs_numbers() && !column.is_number() && !column.is_null() => "numbers",
            _ => continue,
        };
        let name = name.map_or("", String::as_str);
        let what = format!("column {name} is a {}, feature {} needs {wanted}", column.kind(), feature.name);
        return Err(Reason::new("wrong_type", what));
    }
    let entity = entity(view, places, &value)?;
    let time_us = time(view, places, &value, committed_us)?;
    let (Some(entity), Some(time_us)) = (entity, time_us) else { return Ok(None) };
    if !holds(view, &columns)? {
        return Ok(None);
    }
    Ok(Some(Kept { entity, time_us, columns }))
}

/// Takes what the source did not send from what is stored.
pub fn fill(columns: &mut [Value], stored: Vec<Value>) {
    for (column, stored) in columns.iter_mut().zip(stored) {
        if *column == Value::Unchanged {
            *column = stored;
        }
    }
}

/// Whether a column has a value, or null.
pub fn present(name: &str, value: &Value) -> Result<(), Reason> {
    match value {
        Value::Absent => Err(Reason::new("missing_column", format!("the record has no column {name}"))),
        Value::Unchanged => Err(Reason::new(
            "unchanged_value",
            format!("column {name} was not sent because it did not change, and no earlier value is stored"),
        )),
        _ => Ok(()),
    }
}

/// The packed key; `None` if one of its columns is null.
fn entity<'r>(
    view: &View,
    places: &Places,
    value: impl Fn(usize) -> &'r Value,
) -> Result<Option<Vec<u8>>, Reason> {
    use EntityType::{Int64, Natural, Text};
    let mut packed = Vec::with_capacity(16);
    for ((name, kind), at) in view.entity.iter().zip(&places.entity) {
        let value = value(*at);
        present(name, value)?;
        // Most are in that form already.
        if matches!((kind, value), (Natural | Text, Value::Text(_)) | (Natural | Int64, Value::Int(_))) {
            pack::sortable_into(&mut packed, value);
            continue;
        }
        match entity_value(value.clone(), *kind) {
            Ok(Value::Null) => return Ok(None),
            Ok(value) => pack::sortable_into(&mut packed, &value),
            Err(found) => {
                let what = format!("column {name} is a {found} and cannot be an entity");
                return Err(Reason::new("wrong_type", what));
            }
        }
    }
    Ok(Some(packed))
}

/// A value in the form in which it names an entity; `Err` gives the kind that cannot.
pub fn entity_value(value: Value, kind: EntityType) -> Result<Value, &'static str> {
    match (kind, value) {
        (_, Value::Null) => Ok(Value::Null),
        (EntityType::Text, Value::Int(n)) => Ok(Value::Text(n.to_string())),
        (EntityType::Text | EntityType::Natural, Value::Text(text)) => Ok(Value::Text(text)),
        (EntityType::Natural | EntityType::Int64, Value::Int(n)) => Ok(Value::Int(n)),
        (EntityType::Int32, Value::Int(n)) if i32::try_from(n).is_ok() => Ok(Value::Int(n)),
        (EntityType::Natural | EntityType::Int64, Value::Decimal(n)) => {
            n.to_i64().map(Value::Int).ok_or("decimal")
        }
        (EntityType::Natural, Value::Bytes(bytes)) => Ok(Value::Bytes(bytes)),
        (_, other) => Err(other.kind()),
    }
}

fn time<'r>(
    view: &View,
    places: &Places,
    value: impl Fn(usize) -> &'r Value,
    committed_us: i64,
) -> Result<Option<i64>, Reason> {
    let (Some(name), Some(at)) = (&view.time, places.time) else { return Ok(Some(committed_us)) };
    let value = value(at);
    present(name, value)?;
    match value {
        Value::Null => Ok(None),
        Value::Timestamp(micros) => Ok(Some(*micros)),
        other => {
            Err(Reason::new("wrong_type", format!("column {name} is a {}, not a timestamp", other.kind())))
        }
    }
}

fn holds(view: &View, columns: &[Value]) -> Result<bool, Reason> {
    let Some(filter) = &view.filter else { return Ok(true) };
    let values: Vec<&Value> =
        filter.columns.iter().map(|at| columns.get(*at).unwrap_or(&Value::Null)).collect();
    match filter.expression.evaluate(&values) {
        Ok(truth) => Ok(truth == Some(true)),
        Err(why) => Err(Reason::new("wrong_type", format!("where of view {}: {why}", view.name))),
    }
}
