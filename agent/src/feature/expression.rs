//! A `where` condition: a small part of SQL, compiled once, evaluated over a row with SQL's
//! three-valued logic.
//!
//! | written | meaning |
//! | --- | --- |
//! | `= <> != < <= > >=` | comparison; null on either side gives unknown |
//! | `AND OR NOT ( )` | Kleene's logic |
//! | `IS [NOT] NULL`, `IS [NOT] TRUE`, `IS [NOT] FALSE` | never unknown |
//! | `[NOT] IN (…)`, `[NOT] BETWEEN a AND b` | as SQL expands them |
//! | `'text'`, `12`, `-1.5`, `1e3`, `TRUE`, `FALSE`, `NULL` | literals |
//! | `name`, `"Name"` | a column, written as it is in the record |
//! | `lookup.name` | a column of a looked-up row |
//!
//! Numbers compare by value, text by its bytes. A timestamp column compares with a text such as
//! `'2026-01-31'` or `'2026-01-31T12:00:00Z'`, in UTC where no offset is given. Everything else is
//! refused by name when the definition is loaded — `LIKE` because SQLite and PostgreSQL disagree on
//! letter case, functions and arithmetic until they are needed.

use crate::model::decimal::Decimal;
use crate::model::value::Value;
use sqlparser::ast::{self, BinaryOperator, Expr, UnaryOperator};
use sqlparser::dialect::SQLiteDialect;
use sqlparser::parser::Parser;
use std::cmp::Ordering;

const MAX_LENGTH: usize = 10_000;
/// The parser takes about 50 KiB of stack a level in a debug build.
const MAX_NESTING: usize = 20;

/// A compiled condition.
#[derive(Clone, Debug)]
pub struct Expression {
    root: Node,
    columns: Vec<String>,
}

#[derive(Clone, Debug)]
enum Node {
    Compare(Test, Term, Term),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    In(Term, Vec<Term>),
    IsNull(Term),
    /// `IS TRUE`, `IS FALSE`.
    Is(Box<Node>, bool),
    /// A column or literal standing as a condition.
    Truth(Term),
}

#[derive(Clone, Copy, Debug)]
enum Test {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug)]
enum Term {
    Column(usize),
    /// The value, and what it is as a time if it can be one.
    Literal(Value, Option<i64>),
}

impl Expression {
    /// Compiles; the error says what is not understood.
    pub fn compile(text: &str) -> Result<Expression, String> {
        Self::of(&parse(text)?)
    }

    /// Compiles what is parsed already.
    pub(super) fn of(tree: &Expr) -> Result<Expression, String> {
        let mut columns = Vec::new();
        let root = node(tree, &mut columns)?;
        Ok(Expression { root, columns })
    }

    /// The columns it reads; [`Expression::evaluate`] wants their values in this order.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// `None` is SQL's unknown. Fails on kinds that cannot be compared.
    pub fn evaluate(&self, values: &[&Value]) -> Result<Option<bool>, String> {
        self.root.evaluate(values)
    }
}

/// Text → tree, bounded in length and depth.
pub(super) fn parse(text: &str) -> Result<Expr, String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("expression is longer than {MAX_LENGTH} bytes"));
    }
    let mut parser = Parser::new(&SQLiteDialect {})
        .with_recursion_limit(MAX_NESTING)
        .try_with_sql(text)
        .map_err(|e| e.to_string())?;
    let tree = parser.parse_expr().map_err(|e| e.to_string())?;
    let rest = parser.peek_token().token;
    if rest != sqlparser::tokenizer::Token::EOF {
        return Err(format!("unexpected {rest} after the expression"));
    }
    Ok(tree)
}

fn node(tree: &Expr, columns: &mut Vec<String>) -> Result<Node, String> {
    let boxed = |tree: &Expr, columns: &mut Vec<String>| node(tree, columns).map(Box::new);
    Ok(match tree {
        Expr::Nested(inner) => node(inner, columns)?,
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            Node::And(boxed(left, columns)?, boxed(right, columns)?)
        }
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
            Node::Or(boxed(left, columns)?, boxed(right, columns)?)
        }
        Expr::BinaryOp { left, op, right } => {
            Node::Compare(test(op)?, term(left, columns)?, term(right, columns)?)
        }
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => Node::Not(boxed(expr, columns)?),
        Expr::IsNull(inner) => Node::IsNull(term(inner, columns)?),
        Expr::IsNotNull(inner) => Node::Not(Box::new(Node::IsNull(term(inner, columns)?))),
        Expr::IsTrue(inner) => Node::Is(boxed(inner, columns)?, true),
        Expr::IsFalse(inner) => Node::Is(boxed(inner, columns)?, false),
        Expr::IsNotTrue(inner) => Node::Not(Box::new(Node::Is(boxed(inner, columns)?, true))),
        Expr::IsNotFalse(inner) => Node::Not(Box::new(Node::Is(boxed(inner, columns)?, false))),
        Expr::InList { expr, list, negated } => {
            let items = list.iter().map(|item| term(item, columns)).collect::<Result<_, _>>()?;
            negate(Node::In(term(expr, columns)?, items), *negated)
        }
        Expr::Between { expr, negated, low, high } => {
            let value = term(expr, columns)?;
            let low = Node::Compare(Test::GreaterOrEqual, value.clone(), term(low, columns)?);
            let high = Node::Compare(Test::LessOrEqual, value, term(high, columns)?);
            negate(Node::And(Box::new(low), Box::new(high)), *negated)
        }
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) => {
            Node::Truth(term(tree, columns)?)
        }
        other => return Err(refused(other)),
    })
}

fn negate(node: Node, negated: bool) -> Node {
    if negated { Node::Not(Box::new(node)) } else { node }
}

fn test(op: &BinaryOperator) -> Result<Test, String> {
    Ok(match op {
        BinaryOperator::Eq => Test::Equal,
        BinaryOperator::NotEq => Test::NotEqual,
        BinaryOperator::Lt => Test::Less,
        BinaryOperator::LtEq => Test::LessOrEqual,
        BinaryOperator::Gt => Test::Greater,
        BinaryOperator::GtEq => Test::GreaterOrEqual,
        other => return Err(format!("operator {other} is not supported in a condition")),
    })
}

fn term(tree: &Expr, columns: &mut Vec<String>) -> Result<Term, String> {
    match tree {
        Expr::Nested(inner) => term(inner, columns),
        Expr::Identifier(name) => Ok(column(&name.value, columns)),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [lookup, name] => Ok(column(&format!("{}.{}", lookup.value, name.value), columns)),
            _ => Err(refused(tree)),
        },
        Expr::Value(value) => literal(&value.value, false),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match &**expr {
            Expr::Value(value) => literal(&value.value, true),
            other => Err(refused(other)),
        },
        other => Err(refused(other)),
    }
}

fn column(name: &str, columns: &mut Vec<String>) -> Term {
    let known = columns.iter().position(|column| column == name);
    Term::Column(known.unwrap_or_else(|| {
        columns.push(name.to_owned());
        columns.len() - 1
    }))
}

fn refused(tree: &Expr) -> String {
    format!(
        "`{tree}` is not supported in a condition (supported: comparisons, AND, OR, NOT, IS, IN, BETWEEN, literals, column names)"
    )
}

fn literal(value: &ast::Value, negative: bool) -> Result<Term, String> {
    let value = match value {
        ast::Value::Number(text, _) => number(text, negative).ok_or(format!("{text} is no number"))?,
        other if negative => return Err(format!("-{other} is no number")),
        ast::Value::SingleQuotedString(text) => Value::Text(text.clone()),
        ast::Value::Boolean(truth) => Value::Bool(*truth),
        ast::Value::Null => Value::Null,
        other => return Err(format!("literal {other} is not supported in a condition")),
    };
    let time = match &value {
        Value::Text(text) => time(text),
        _ => None,
    };
    Ok(Term::Literal(value, time))
}

fn number(text: &str, negative: bool) -> Option<Value> {
    let text = if negative { format!("-{text}") } else { text.to_owned() };
    if let Ok(whole) = text.parse() {
        return Some(Value::Int(whole));
    }
    match Decimal::parse(&text) {
        Some(decimal) => Some(Value::Decimal(decimal)),
        None => text.parse().ok().map(Value::Float),
    }
}

/// Microseconds since 1970, in UTC where the text gives no offset.
fn time(text: &str) -> Option<i64> {
    let instant = match text.parse::<jiff::Timestamp>() {
        Ok(instant) => instant,
        Err(_) => {
            let local: jiff::civil::DateTime = text.parse().ok()?;
            local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp()
        }
    };
    Some(instant.as_microsecond())
}

impl Node {
    fn evaluate(&self, values: &[&Value]) -> Result<Option<bool>, String> {
        Ok(match self {
            Node::Compare(test, a, b) => compare(a, b, values)?.map(|order| test.holds(order)),
            Node::And(a, b) => match (a.evaluate(values)?, b.evaluate(values)?) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Node::Or(a, b) => match (a.evaluate(values)?, b.evaluate(values)?) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Node::Not(inner) => inner.evaluate(values)?.map(|truth| !truth),
            Node::In(value, items) => {
                let mut unknown = false;
                for item in items {
                    match compare(value, item, values)? {
                        Some(Ordering::Equal) => return Ok(Some(true)),
                        Some(_) => {}
                        None => unknown = true,
                    }
                }
                if unknown { None } else { Some(false) }
            }
            Node::IsNull(term) => Some(term.value(values).is_null()),
            Node::Is(inner, wanted) => Some(inner.evaluate(values)? == Some(*wanted)),
            Node::Truth(term) => match term.value(values) {
                Value::Null => None,
                Value::Bool(truth) => Some(*truth),
                Value::Int(n) => Some(*n != 0),
                other => return Err(format!("a {} is no condition", other.kind())),
            },
        })
    }
}

impl Term {
    fn value<'a>(&'a self, values: &[&'a Value]) -> &'a Value {
        match self {
            Term::Column(at) => values.get(*at).copied().unwrap_or(&Value::Null),
            Term::Literal(value, _) => value,
        }
    }
}

impl Test {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Test::Equal => order.is_eq(),
            Test::NotEqual => order.is_ne(),
            Test::Less => order.is_lt(),
            Test::LessOrEqual => order.is_le(),
            Test::Greater => order.is_gt(),
            Test::GreaterOrEqual => order.is_ge(),
        }
    }
}

fn compare(a: &Term, b: &Term, values: &[&Value]) -> Result<Option<Ordering>, String> {
    let (left, right) = (a.value(values), b.value(values));
    if left.is_null() || right.is_null() {
        return Ok(None);
    }
    let found = match (left, right, a, b) {
        (Value::Timestamp(x), Value::Text(_), _, Term::Literal(_, Some(y))) => Some(x.cmp(y)),
        (Value::Text(_), Value::Timestamp(y), Term::Literal(_, Some(x)), _) => Some(x.cmp(y)),
        (Value::Bool(x), Value::Int(y), ..) => Some(i64::from(*x).cmp(y)),
        (Value::Int(x), Value::Bool(y), ..) => Some(x.cmp(&i64::from(*y))),
        _ => left.order(right),
    };
    match found {
        Some(order) => Ok(Some(order)),
        None => Err(format!("a {} cannot be compared with a {}", left.kind(), right.kind())),
    }
}

#[cfg(test)]
#[path = "expression_tests.rs"]
mod tests;
