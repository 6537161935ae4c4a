//! Kafka's RegexRouter: a topic's name by a regular expression.

use super::properties::{Settings, replacement, whole};
use super::{Next, Transform};
use crate::model::record::Record;
use regex::Regex;
use shared::Result;

struct RegexRouter {
    pattern: Regex,
    replacement: String,
}

pub fn make(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    let pattern = whole("regex", settings.required("regex")?)?;
    Ok(Box::new(RegexRouter { pattern, replacement: replacement(settings.required("replacement")?) }))
}

impl Transform for RegexRouter {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let topic = self.pattern.replace(record.topic, &self.replacement);
        next(&Record { topic: &topic, ..*record })
    }
}
