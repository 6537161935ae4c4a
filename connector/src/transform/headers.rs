//! Kafka's small transforms: Filter (drops every record that its predicate holds for), InsertHeader,
//! DropHeaders.

use super::properties::Settings;
use super::{Next, Transform};
use crate::model::record::{Header, HeaderValue, Record};
use shared::Result;

struct Drop;

pub fn make_drop(_: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    Ok(Box::new(Drop))
}

impl Transform for Drop {
    fn apply(&mut self, _: &Record<'_>, _: Next<'_>) -> Result<()> {
        Ok(())
    }
}

struct Insert {
    name: String,
    text: String,
}

pub fn make_insert(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    let (name, text) =
        (settings.required("header")?.to_owned(), settings.required("value.literal")?.to_owned());
    Ok(Box::new(Insert { name, text }))
}

impl Transform for Insert {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let mut headers = record.headers.to_vec();
        headers.push(Header { name: &self.name, value: HeaderValue::Text(&self.text) });
        next(&Record { headers: &headers, ..*record })
    }
}

struct Remove(Vec<String>);

pub fn make_remove(settings: &mut Settings<'_>) -> Result<Box<dyn Transform>> {
    settings.required("headers")?;
    Ok(Box::new(Remove(settings.list("headers"))))
}

impl Transform for Remove {
    fn apply(&mut self, record: &Record<'_>, next: Next<'_>) -> Result<()> {
        let kept = |header: &&Header<'_>| !self.0.iter().any(|name| name == header.name);
        let headers: Vec<Header<'_>> = record.headers.iter().filter(kept).copied().collect();
        next(&Record { headers: &headers, ..*record })
    }
}
