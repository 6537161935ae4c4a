//! Rows → verdicts. Every row gets exactly one; a refused one is kept with its reason.

pub mod quarantine;

use crate::config::gate::{Action, GateConfig, Rule};
use crate::metrics;
use crate::model::row::Row;
use crate::model::value::Value;
use crate::model::verdict::{Reason, Verdict};

/// The rules of one topic, with the places of their columns.
#[derive(Clone, Debug)]
pub struct Rules {
    rules: Vec<Placed>,
}

#[derive(Clone, Debug)]
struct Placed {
    rule: Rule,
    action: Action,
    column: String,
    place: Option<usize>,
}

/// The columns that a topic's rules look at.
pub fn needed<'a>(gates: &'a [GateConfig], topic: &'a str) -> impl Iterator<Item = &'a str> {
    gates.iter().filter(move |gate| gate.topic == topic).map(|gate| gate.column.as_str())
}

impl Rules {
    /// The rules of `topic`, for rows that carry `columns`.
    pub fn compile(gates: &[GateConfig], topic: &str, columns: &[String]) -> Rules {
        let placed = |gate: &GateConfig| Placed {
            rule: gate.rule,
            action: gate.action,
            column: gate.column.clone(),
            place: columns.iter().position(|column| *column == gate.column),
        };
        Rules { rules: gates.iter().filter(|gate| gate.topic == topic).map(placed).collect() }
    }

    /// Judges the row after the change; a delete has none and passes, for it takes something back.
    pub fn judge(&self, row: &Row) -> Verdict {
        let Some(after) = &row.after else { return Verdict::Pass };
        for placed in &self.rules {
            let value = placed.place.and_then(|at| after.get(at)).unwrap_or(&Value::Absent);
            let Some(why) = broken(placed.rule, value) else { continue };
            match placed.action {
                Action::Warn => metrics::GATE_WARNED.with_label_values(&[placed.rule.name()]).inc(),
                Action::Quarantine => {
                    let detail = format!("column {} {why}", placed.column);
                    return Verdict::Quarantine(Reason::new(placed.rule.name(), detail));
                }
            }
        }
        Verdict::Pass
    }
}

/// How the value breaks the rule, if it does. What was not sent because it did not change was judged
/// when it came.
fn broken(rule: Rule, value: &Value) -> Option<&'static str> {
    match (rule, value) {
        (Rule::NotNull, Value::Null) => Some("is null"),
        (Rule::NotNull, Value::Absent) => Some("is missing"),
        (Rule::NotNull, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::row::Op;

    #[test]
    fn one_verdict_per_row() {
        let gate = |column: &str, action| GateConfig {
            topic: "t".to_owned(),
            column: column.to_owned(),
            rule: Rule::NotNull,
            action,
            place: String::new(),
        };
        let gates = [gate("a", Action::Quarantine), gate("b", Action::Warn), gate("gone", Action::Warn)];
        let columns = ["a".to_owned(), "b".to_owned()];
        let rules = Rules::compile(&gates, "t", &columns);
        for (after, want) in [
            (Some(vec![Value::Int(1), Value::Int(1)]), None),
            (Some(vec![Value::Int(1), Value::Null]), None),
            (Some(vec![Value::Unchanged, Value::Null]), None),
            (Some(vec![Value::Null, Value::Null]), Some("column a is null")),
            (Some(vec![Value::Absent, Value::Null]), Some("column a is missing")),
            (None, None),
        ] {
            let row = Row { op: Op::Update, key: None, after, committed_us: 0, offset: 0 };
            let want = want.map_or(Verdict::Pass, |d| Verdict::Quarantine(Reason::new("not_null", d)));
            assert_eq!(rules.judge(&row), want);
        }
        assert_eq!(needed(&gates, "t").collect::<Vec<_>>(), ["a", "b", "gone"]);
        assert_eq!(needed(&gates, "other").count(), 0);
    }
}
