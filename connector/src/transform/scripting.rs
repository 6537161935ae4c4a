//! Debezium's Filter and ContentBasedRouter, with our own small expression language in place of the
//! JVM's scripting: see [`super::expression`].

use super::expression::{self, Expression, Scalar};
use super::properties::{Settings, whole};
use super::{Next, Transform};
use crate::model::record::Record;
use regex::Regex;
use shared::Result;
use shared::error::{Context, Error, Kind};

/// What is done with tombstones, which an expression cannot look into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nulls {
    Keep,
    Drop,
    Evaluate,
}

struct Scripted {
    expression: Expression,
    topics: Option<Regex>,
    nulls: Nulls,
    /// The expression gives the topic; else whether the record stays.
    routes: bool,
}

pub fn make_filter(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    scripted(settings, "condition", false)
}

pub fn make_router(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    scripted(settings, "topic.expression", true)
}

fn scripted(settings: &mut Settings<'_>, property: &str, routes: bool) -> Result<Box<dyn Transform>> {
    const LANGUAGES: [&str; 5] =
        ["jsr223.groovy", "jsr223.js", "jsr223.graal.js", "jsr223.javascript", "tidegate"];
    let language = settings.text_or("language", "tidegate");
    if !LANGUAGES.contains(&language.as_str()) {
        return Err(Error::new(Kind::Config, format!("language = {language} is not supported"))
            .remedy("there is no JVM here: conditions that the language of our own understands are taken from Groovy and JavaScript alike"));
    }
    let expression = expression::parse(settings.required(property)?).doing(|| format!("read {property}"))?;
    let topics = settings.text("topic.regex").map(|pattern| whole("topic.regex", pattern)).transpose()?;
    let nulls = match settings.word("null.handling.mode", &["keep", "drop", "evaluate"], "keep")? {
        "drop" => Nulls::Drop,
        "evaluate" => Nulls::Evaluate,
        _ => Nulls::Keep,
    };
    Ok(Box::new(Scripted { expression, topics, nulls, routes }))
}

impl Transform for Scripted {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        if self.topics.as_ref().is_some_and(|topics| !topics.is_match(record.topic)) {
            return next(record);
        }
        match (record.value, self.nulls) {
            (None, Nulls::Keep) => return next(record),
            (None, Nulls::Drop) => return Ok(()),
            _ => {}
        }
        let result =
            self.expression.evaluate(record).doing(|| format!("evaluate for topic {}", record.topic))?;
        match (self.routes, result) {
            (true, Scalar::Null) => next(record),
            (true, Scalar::Text(topic)) => next(&Record { topic: &topic, ..*record }),
            (false, Scalar::Bool(true)) => next(record),
            (false, Scalar::Bool(false)) => Ok(()),
            (true, _) => Err(Error::new(Kind::Data, "topic.expression gives no text")),
            (false, _) => Err(Error::new(Kind::Data, "condition gives neither true nor false")),
        }
    }
}
