//! A transform's properties: read by name, with Kafka Connect's defaults and checks.

use crate::config::transform::Properties;
use regex::Regex;
use shared::error::{Context, Error, Kind, OrKind, Result};
use std::collections::BTreeSet;

/// Properties, and which of them were asked for.
pub struct Settings<'p> {
    properties: &'p Properties,
    used: BTreeSet<String>,
}

impl<'p> Settings<'p> {
    pub fn new(properties: &'p Properties) -> Self {
        Settings { properties, used: BTreeSet::new() }
    }

    pub fn text(&mut self, name: &str) -> Option<&'p str> {
        self.used.insert(name.to_owned());
        self.properties.get(name).map(String::as_str)
    }

    pub fn text_or(&mut self, name: &str, default: &str) -> String {
        self.text(name).unwrap_or(default).to_owned()
    }

    /// # Errors
    /// `Config`, if it is not set.
    pub fn required(&mut self, name: &str) -> Result<&'p str> {
        self.text(name).ok_or_else(|| {
            Error::new(Kind::Config, format!("{name} is not set"))
                .remedy(format!("set {name} among its properties"))
        })
    }

    /// # Errors
    /// `Config`, if it is neither true nor false.
    pub fn flag(&mut self, name: &str, default: bool) -> Result<bool> {
        match self.text(name).map(str::trim) {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => {
                Err(Error::new(Kind::Config, format!("{name} = {other:?} is neither true nor false")))
            }
        }
    }

    /// Names separated by commas.
    pub fn list(&mut self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// # Errors
    /// `Config`, if it is none of the words.
    pub fn word(
        &mut self,
        name: &str,
        words: &[&'static str],
        default: &'static str,
    ) -> Result<&'static str> {
        let given = self.text(name).unwrap_or(default).trim();
        words.iter().find(|word| word.eq_ignore_ascii_case(given)).copied().ok_or_else(|| {
            Error::new(Kind::Config, format!("{name} = {given:?} is not supported"))
                .remedy(format!("supported are: {}", words.join(", ")))
        })
    }

    /// Properties that nobody reads: Kafka Connect only warns, too.
    pub fn warn_unused(&self, transform: &str) {
        for property in self.properties.keys().filter(|name| !self.used.contains(*name)) {
            tracing::warn!(
                event = "property_not_followed",
                transform,
                property,
                "a transform's property is not followed"
            );
        }
    }
}

/// A regular expression on a whole text, as Java's `matches`.
///
/// # Errors
/// `Config`.
pub fn whole(name: &str, pattern: &str) -> Result<Regex> {
    Regex::new(&format!("^(?:{pattern})$")).or_kind(Kind::Config).doing(|| format!("read {name}"))
}

/// Java writes a group as `$1` or `${name}`; here a letter behind a number would belong to the name.
pub fn replacement(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = after.split_at_checked(digits).unwrap_or((after, ""));
        out.push_str(before);
        out.push_str(&if number.is_empty() { "$".to_owned() } else { format!("${{{number}}}") });
        rest = tail;
    }
    out + rest
}
