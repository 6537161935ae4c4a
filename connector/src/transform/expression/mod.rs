//! A small expression language for conditions on records: what people write in Groovy or JavaScript
//! for Debezium's filter and router, without a JVM.
//!
//! ```text
//! value.op == 'u' && value.before.id == 2
//! value.after.status != null || topic.matches('shop\\..*')
//! ['a', 'b'].contains(value.after.kind) ? 'first' : 'other'
//! ```
//!
//! Names: `topic`, `key`, `value`, `header.NAME`, and fields behind dots (`?.` is the same: a field of
//! nothing is null). Values: numbers, texts, `true`, `false`, `null`, lists. Operators, the weakest
//! first: `? :`, `||` `or`, `&&` `and`, `==` `!=` `<` `<=` `>` `>=` `in`, `+ -`, `* / %`, `!` `-`.
//! Methods of texts and lists: `contains`, `startsWith`, `endsWith`, `matches`, `toLowerCase`,
//! `toUpperCase`, `length`, `isEmpty`. Fields have the values that Connect's schemas show.

mod evaluate;
mod parse;
mod token;

#[cfg(any(test, fuzzing))]
pub mod fuzz;

pub use evaluate::Scalar;
pub use parse::parse;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    Literal(Scalar<'static>),
    List(Vec<Expression>),
    /// `value.after.id`: the root, then fields.
    Path(Root, Vec<String>),
    Not(Box<Expression>),
    Negate(Box<Expression>),
    Binary(Operator, Box<Expression>, Box<Expression>),
    Choice(Box<[Expression; 3]>),
    Call(Box<Expression>, Method, Vec<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    Topic,
    Key,
    Value,
    Header,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Contains,
    StartsWith,
    EndsWith,
    Matches,
    ToLowerCase,
    ToUpperCase,
    Length,
    IsEmpty,
}

#[cfg(test)]
mod tests;
