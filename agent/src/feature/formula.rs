//! A `derived` feature: arithmetic over the other features of its view, with SQLite's rules.
//!
//! `+ - * /`, parentheses, numbers, `COALESCE`, `NULLIF`, `ABS`, `CASE WHEN condition THEN … ELSE … END`;
//! conditions as in `where`. Null in, null out; what is divided by zero is null; integers divide as
//! integers and become doubles when they overflow.

use super::expression::Expression;
use crate::model::value::Value;
use sqlparser::ast::{self, BinaryOperator, Expr, UnaryOperator};
use std::cmp::Ordering;

/// A compiled formula.
#[derive(Clone, Debug)]
pub struct Formula {
    root: Node,
    names: Vec<String>,
}

#[derive(Clone, Debug)]
enum Node {
    Feature(usize),
    Literal(Value),
    Negative(Box<Node>),
    Arithmetic(Operator, Box<Node>, Box<Node>),
    Coalesce(Vec<Node>),
    NullIf(Box<Node>, Box<Node>),
    Absolute(Box<Node>),
    Case(Vec<(Expression, Vec<usize>, Node)>, Option<Box<Node>>),
}

#[derive(Clone, Copy, Debug)]
enum Operator {
    Plus,
    Minus,
    Times,
    Over,
}

impl Formula {
    /// Compiles; the error says what is not understood.
    pub fn compile(text: &str) -> Result<Formula, String> {
        let tree = super::expression::parse(text)?;
        let mut names = Vec::new();
        let root = node(&tree, &mut names)?;
        Ok(Formula { root, names })
    }

    /// The features it reads; [`Formula::evaluate`] wants their values in this order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Null where a value is of a kind that cannot be computed with.
    pub fn evaluate(&self, values: &[&Value]) -> Value {
        self.root.evaluate(values)
    }
}

fn node(tree: &Expr, names: &mut Vec<String>) -> Result<Node, String> {
    Ok(match tree {
        Expr::Nested(inner) => node(inner, names)?,
        Expr::Identifier(name) => Node::Feature(place(names, &name.value)),
        Expr::Value(value) => Node::Literal(literal(&value.value)?),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => Node::Negative(Box::new(node(expr, names)?)),
        Expr::BinaryOp { left, op, right } => {
            let operator = match op {
                BinaryOperator::Plus => Operator::Plus,
                BinaryOperator::Minus => Operator::Minus,
                BinaryOperator::Multiply => Operator::Times,
                BinaryOperator::Divide => Operator::Over,
                other => return Err(format!("operator {other} is not supported in a derived feature")),
            };
            Node::Arithmetic(operator, Box::new(node(left, names)?), Box::new(node(right, names)?))
        }
        Expr::Function(call) => function(call, names)?,
        Expr::Case { operand: None, conditions, else_result, .. } => {
            let mut arms = Vec::new();
            for arm in conditions {
                let condition = Expression::of(&arm.condition)?;
                let places = condition.columns().iter().map(|name| place(names, name)).collect();
                arms.push((condition, places, node(&arm.result, names)?));
            }
            let otherwise = else_result.as_ref().map(|tree| node(tree, names).map(Box::new)).transpose()?;
            Node::Case(arms, otherwise)
        }
        other => return Err(refused(other)),
    })
}

fn refused(tree: &dyn std::fmt::Display) -> String {
    format!(
        "`{tree}` is not supported in a derived feature (supported: + - * /, numbers, feature names, COALESCE, NULLIF, ABS, CASE WHEN)"
    )
}

fn place(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}

fn literal(value: &ast::Value) -> Result<Value, String> {
    match value {
        ast::Value::Number(text, _) => match (text.parse(), text.parse()) {
            (Ok(whole), _) => Ok(Value::Int(whole)),
            (_, Ok(float)) => Ok(Value::Float(float)),
            _ => Err(format!("{text} is no number")),
        },
        ast::Value::Null => Ok(Value::Null),
        other => Err(refused(other)),
    }
}

fn function(call: &ast::Function, names: &mut Vec<String>) -> Result<Node, String> {
    let ast::FunctionArguments::List(list) = &call.args else { return Err(refused(call)) };
    let mut given = Vec::new();
    for one in &list.args {
        let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(tree)) = one else {
            return Err(refused(call));
        };
        given.push(node(tree, names)?);
    }
    let name = call.name.to_string().to_ascii_lowercase();
    let mut given = given.into_iter();
    match (name.as_str(), given.next(), given.next(), given.len()) {
        ("coalesce", Some(first), Some(second), _) => {
            Ok(Node::Coalesce([first, second].into_iter().chain(given).collect()))
        }
        ("nullif", Some(first), Some(second), 0) => Ok(Node::NullIf(Box::new(first), Box::new(second))),
        ("abs", Some(one), None, 0) => Ok(Node::Absolute(Box::new(one))),
        _ => Err(refused(call)),
    }
}

impl Node {
    fn evaluate(&self, values: &[&Value]) -> Value {
        match self {
            Node::Feature(at) => values.get(*at).map_or(Value::Null, |value| (*value).clone()),
            Node::Literal(value) => value.clone(),
            Node::Negative(inner) => match inner.evaluate(values) {
                Value::Int(n) => n.checked_neg().map_or(Value::Float(-(n as f64)), Value::Int),
                other => other.to_f64().map_or(Value::Null, |n| Value::Float(-n)),
            },
            Node::Arithmetic(operator, a, b) => operator.of(&a.evaluate(values), &b.evaluate(values)),
            Node::Coalesce(nodes) => {
                let mut found = nodes.iter().map(|node| node.evaluate(values));
                found.find(|value| !value.is_null()).unwrap_or(Value::Null)
            }
            Node::NullIf(a, b) => {
                let (a, b) = (a.evaluate(values), b.evaluate(values));
                if a.order(&b) == Some(Ordering::Equal) { Value::Null } else { a }
            }
            Node::Absolute(inner) => match inner.evaluate(values) {
                Value::Int(n) => n.checked_abs().map_or(Value::Null, Value::Int),
                other => other.to_f64().map_or(Value::Null, |n| Value::Float(n.abs())),
            },
            Node::Case(arms, otherwise) => {
                for (condition, places, result) in arms {
                    let of: Vec<&Value> = places.iter().filter_map(|at| values.get(*at).copied()).collect();
                    if condition.evaluate(&of) == Ok(Some(true)) {
                        return result.evaluate(values);
                    }
                }
                otherwise.as_ref().map_or(Value::Null, |node| node.evaluate(values))
            }
        }
    }
}

impl Operator {
    fn of(self, a: &Value, b: &Value) -> Value {
        if let (Value::Int(a), Value::Int(b)) = (a, b) {
            let whole = match self {
                Operator::Plus => a.checked_add(*b),
                Operator::Minus => a.checked_sub(*b),
                Operator::Times => a.checked_mul(*b),
                Operator::Over if *b == 0 => return Value::Null,
                Operator::Over => a.checked_div(*b),
            };
            if let Some(whole) = whole {
                return Value::Int(whole);
            }
        }
        let (Some(a), Some(b)) = (a.to_f64(), b.to_f64()) else { return Value::Null };
        let result = match self {
            Operator::Plus => a + b,
            Operator::Minus => a - b,
            Operator::Times => a * b,
            Operator::Over if b == 0.0 => return Value::Null,
            Operator::Over => a / b,
        };
        if result.is_nan() { Value::Null } else { Value::Float(result) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::types::Value as Cell;

    const FORMULAS: [&str; 11] = [
        "a + b * 2",
        "a / b",
        "(a - b) / (a + b)",
        "-a * 1.5",
        "coalesce(a, b, 7)",
        "a / nullif(b, 0)",
        "abs(a - b)",
        "CASE WHEN a > b THEN a WHEN a = b THEN 0 ELSE -b END",
        "CASE WHEN a IS NULL THEN 1 END",
        "9223372036854775807 + a",
        "a * 0.1 + b * 0.2",
    ];

    /// SQLite is the oracle.
    #[test]
    fn equals_sqlite() {
        let connection = rusqlite::Connection::open_in_memory().expect("in memory");
        let all = [
            Value::Null,
            Value::Int(3),
            Value::Int(-7),
            Value::Int(0),
            Value::Float(2.5),
            Value::Float(-0.5),
        ];
        let cell = |value: &Value| match value {
            Value::Int(n) => Cell::Integer(*n),
            Value::Float(n) => Cell::Real(*n),
            _ => Cell::Null,
        };
        for text in FORMULAS {
            let formula = Formula::compile(text).expect(text);
            for (a, b) in all.iter().flat_map(|a| all.iter().map(move |b| (a, b))) {
                let values: Vec<&Value> =
                    formula.names().iter().map(|name| if name == "a" { a } else { b }).collect();
                let sql = format!("SELECT {text} FROM (SELECT ?1 AS a, ?2 AS b)");
                let want: Cell =
                    connection.query_row(&sql, [cell(a), cell(b)], |row| row.get(0)).expect("evaluates");
                assert_eq!(cell(&formula.evaluate(&values)), want, "{text} with {a:?}, {b:?}");
            }
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, says) in
            [("a || b", "operator ||"), ("random()", "`random()`"), ("a +", "Expected"), ("'x'", "'x'")]
        {
            let error = Formula::compile(text).expect_err(text);
            assert!(error.contains(says), "{error}");
        }
    }
}
