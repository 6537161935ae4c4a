//! A bench's own options: `--name value`.

use super::meter::number;
use stack::{Error, Result};
use std::collections::BTreeMap;

pub struct Flags(BTreeMap<String, String>);

impl Flags {
    /// Refuses what is not `known`.
    pub fn parse(words: &[&str], known: &[&str]) -> Result<Flags> {
        let mut found = BTreeMap::new();
        for pair in words.chunks(2) {
            match pair {
                [name, value] if known.contains(name) => {
                    found.insert((*name).to_owned(), (*value).to_owned());
                }
                _ => {
                    return Err(Error::new(format!("{} is not known", pair.join(" "))).remedy(super::USAGE));
                }
            }
        }
        Ok(Flags(found))
    }

    pub fn number(&self, name: &str, default: u64) -> Result<u64> {
        self.0.get(name).map_or(Ok(default), |text| number(name, text).map(i64::unsigned_abs))
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Numbers separated by commas.
    pub fn numbers(&self, name: &str, default: &str) -> Result<Vec<u64>> {
        let text = self.0.get(name).map_or(default, String::as_str);
        text.split(',').map(|text| number(name, text).map(i64::unsigned_abs)).collect()
    }
}
