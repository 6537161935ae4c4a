//! Tokens → expression, by the binding power of operators. Pure; bounded in depth.

use super::token::{Token, tokens, wrong};
use super::{Expression, Method, Operator, Root, Scalar};
use shared::error::Result;

/// Brackets in brackets; more is no condition that a person wrote.
const DEPTH: usize = 64;
/// Operators and methods in all: `1 + 1 + 1 …` nests without brackets, and whatever walks the tree
/// calls itself as often.
const LINKS: usize = 500;

/// # Errors
/// `Config`, with what is wrong and its place.
pub fn parse(text: &str) -> Result<Expression> {
    let mut parser = Parser { text, tokens: tokens(text)?, at: 0, depth: 0, links: 0 };
    let expression = parser.choice()?;
    parser.accept(";");
    match parser.peek() {
        Token::End => Ok(expression),
        _ => Err(parser.wrong("something that is not expected")),
    }
}

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<(usize, Token)>,
    at: usize,
    depth: usize,
    links: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(_, token)| token)
    }

    fn wrong(&self, what: &str) -> shared::Error {
        wrong(self.text, self.tokens.get(self.at).map_or(self.text.len(), |(at, _)| *at), what)
    }

    fn accept(&mut self, mark: &str) -> bool {
        let found = matches!(self.peek(), Token::Mark(m) if *m == mark);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, mark: &str) -> Result<()> {
        if self.accept(mark) {
            Ok(())
        } else {
            Err(self.wrong(&format!("no {mark:?} where one is expected")))
        }
    }

    fn link(&mut self) -> Result<()> {
        self.links += 1;
        if self.links > LINKS { Err(self.wrong("more operators and methods than are read")) } else { Ok(()) }
    }

    fn choice(&mut self) -> Result<Expression> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.wrong("more brackets in brackets than are read"));
        }
        let condition = self.binary(0)?;
        let whole = if self.accept("?") {
            let yes = self.choice()?;
            self.expect(":")?;
            Expression::Choice(Box::new([condition, yes, self.choice()?]))
        } else {
            condition
        };
        self.depth -= 1;
        Ok(whole)
    }

    fn binary(&mut self, least: u8) -> Result<Expression> {
        let mut left = self.unary()?;
        while let Some((operator, power)) = operator(self.peek()).filter(|(_, power)| *power >= least) {
            self.link()?;
            self.at += 1;
            let right = self.binary(power + 1)?;
            left = Expression::Binary(operator, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expression> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.wrong("more operators in a row than are read"));
        }
        let expression = if self.accept("!") {
            Expression::Not(Box::new(self.unary()?))
        } else if self.accept("-") {
            Expression::Negate(Box::new(self.unary()?))
        } else {
            let primary = self.primary()?;
            self.behind(primary)?
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn primary(&mut self) -> Result<Expression> {
        let token = self.peek().clone();
        match token {
            Token::Number(number) => self.literal(Scalar::Number(number)),
            Token::Whole(number) => self.literal(Scalar::Whole(number)),
            Token::Text(text) => self.literal(Scalar::Text(text.into())),
            Token::Name(name) => self.name(&name),
            Token::Mark("(") => {
                self.at += 1;
                let inner = self.choice()?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Mark("[") => {
                self.at += 1;
                Ok(Expression::List(self.arguments("]")?))
            }
            _ => Err(self.wrong("no value where one is expected")),
        }
    }

    fn literal(&mut self, scalar: Scalar<'static>) -> Result<Expression> {
        self.at += 1;
        Ok(Expression::Literal(scalar))
    }

    fn name(&mut self, name: &str) -> Result<Expression> {
        let root = match name {
            "true" => return self.literal(Scalar::Bool(true)),
            "false" => return self.literal(Scalar::Bool(false)),
            "null" => return self.literal(Scalar::Null),
            "topic" => Root::Topic,
            "key" => Root::Key,
            "value" => Root::Value,
            "header" | "headers" => Root::Header,
            _ => return Err(self.wrong("a name that is none of topic, key, value, header")),
        };
        self.at += 1;
        Ok(Expression::Path(root, Vec::new()))
    }

    /// Fields and methods behind a value.
    fn behind(&mut self, mut whole: Expression) -> Result<Expression> {
        loop {
            let quoted_field = match (self.peek(), self.tokens.get(self.at + 1)) {
                (Token::Mark("["), Some((_, Token::Text(field))))
                    if matches!(whole, Expression::Path(..)) =>
                {
                    Some(field.clone())
                }
                _ => None,
            };
            let name = if let Some(field) = quoted_field {
                self.at += 2;
                self.expect("]")?;
                field
            } else if self.accept(".") || self.accept("?.") {
                let Token::Name(name) = self.peek().clone() else {
                    return Err(self.wrong("no field's name where one is expected"));
                };
                self.at += 1;
                if self.accept("(") {
                    self.link()?;
                    whole = self.call(whole, &name)?;
                    continue;
                }
                name
            } else {
                return Ok(whole);
            };
            match &mut whole {
                Expression::Path(_, fields) => fields.push(name),
                _ => return Err(self.wrong("a field of something that has none")),
            }
        }
    }

    fn call(&mut self, of: Expression, name: &str) -> Result<Expression> {
        let (method, count) = match name {
            "contains" | "includes" => (Method::Contains, 1),
            "startsWith" => (Method::StartsWith, 1),
            "endsWith" => (Method::EndsWith, 1),
            "matches" => (Method::Matches, 1),
            "toLowerCase" => (Method::ToLowerCase, 0),
            "toUpperCase" => (Method::ToUpperCase, 0),
            "length" | "size" => (Method::Length, 0),
            "isEmpty" => (Method::IsEmpty, 0),
            "equals" => {
                let mut arguments = self.arguments(")")?;
                let right = arguments.pop().ok_or_else(|| self.wrong("equals of nothing"))?;
                return Ok(Expression::Binary(Operator::Equal, Box::new(of), Box::new(right)));
            }
            _ => return Err(self.wrong(&format!("a method {name} that is not known"))),
        };
        let arguments = self.arguments(")")?;
        if arguments.len() != count {
            return Err(self.wrong(&format!("{name} with another number of arguments than {count}")));
        }
        Ok(Expression::Call(Box::new(of), method, arguments))
    }

    fn arguments(&mut self, end: &'static str) -> Result<Vec<Expression>> {
        let mut arguments = Vec::new();
        while !self.accept(end) {
            if !arguments.is_empty() {
                self.expect(",")?;
            }
            arguments.push(self.choice()?);
        }
        Ok(arguments)
    }
}

fn operator(token: &Token) -> Option<(Operator, u8)> {
    let word = match token {
        Token::Mark(mark) => *mark,
        Token::Name(name) => name.as_str(),
        _ => return None,
    };
    Some(match word {
        "||" | "or" => (Operator::Or, 1),
        "&&" | "and" => (Operator::And, 2),
        "==" => (Operator::Equal, 3),
        "!=" => (Operator::NotEqual, 3),
        "<" => (Operator::Less, 4),
        "<=" => (Operator::LessOrEqual, 4),
        ">" => (Operator::Greater, 4),
        ">=" => (Operator::GreaterOrEqual, 4),
        "in" => (Operator::In, 4),
        "+" => (Operator::Add, 5),
        "-" => (Operator::Subtract, 5),
        "*" => (Operator::Multiply, 6),
        "/" => (Operator::Divide, 6),
        "%" => (Operator::Remainder, 6),
        _ => return None,
    })
}
