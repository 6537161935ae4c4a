//! `[[feature_view.lookup]]` as written → checked, with the columns that the view reads of each.

use crate::config::feature::{LookupConfig, ViewConfig};
use crate::feature::definition::{name, wrong};
use shared::config::nearest;
use shared::error::{Context, Error, Result};

/// A row of the view asks for each of them.
const MAX_LOOKUPS: usize = 8;
/// As many columns as an entity may have.
const MAX_KEY_COLUMNS: usize = 8;

/// Another table whose latest row is looked up by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    pub name: String,
    pub topic: String,
    /// The columns of its key, each with the view's own column that it equals.
    pub on: Vec<(String, String)>,
    /// Those of its columns that the view reads.
    pub columns: Vec<String>,
}

impl Lookup {
    /// Which of its columns a view's column is; `None` if it is not of this look-up.
    pub fn column_of<'n>(&self, name: &'n str) -> Option<&'n str> {
        name.split_once('.').filter(|(lookup, _)| *lookup == self.name).map(|(_, column)| column)
    }

    /// What the view calls its columns.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.columns.iter().map(|column| format!("{}.{column}", self.name))
    }

    /// The view's own columns that refer to it.
    pub fn ours(&self) -> impl Iterator<Item = &str> {
        self.on.iter().map(|(_, ours)| ours.as_str())
    }

    /// Every column of its topic that is read.
    pub fn needed(&self) -> impl Iterator<Item = &str> {
        self.on.iter().map(|(theirs, _)| theirs).chain(&self.columns).map(String::as_str)
    }
}

/// A view's columns, found as its definition is read.
#[derive(Debug)]
pub struct Columns {
    names: Vec<String>,
    lookups: Vec<Lookup>,
}

impl Columns {
    /// With the view's look-ups and no column yet.
    ///
    /// # Errors
    /// `Config`, with the place: a look-up without what it needs, or whose name is taken; an entity or time
    /// that is looked up.
    pub fn compile(view: &ViewConfig) -> Result<Columns> {
        if view.lookup.len() > MAX_LOOKUPS {
            return Err(wrong(format!("a feature view has at most {MAX_LOOKUPS} look-ups")));
        }
        if let Some(name) = view.entity.iter().chain(&view.time).find(|name| name.contains('.')) {
            return Err(wrong(format!("`{name}`: entity and time are columns of the view's own topic")));
        }
        let mut lookups: Vec<Lookup> = Vec::with_capacity(view.lookup.len());
        for config in &view.lookup {
            let made = match lookups.iter().any(|other| other.name == config.name) {
                true => Err(wrong("the name is taken by another look-up of this view")),
                false => lookup(config),
            };
            lookups.push(made.doing(|| described(config))?);
        }
        Ok(Columns { names: Vec::new(), lookups })
    }

    /// The place of a column, added if it is new.
    ///
    /// # Errors
    /// `Config` for a column of a look-up that there is not.
    pub fn place(&mut self, name: &str) -> Result<usize> {
        if let Some(at) = self.names.iter().position(|known| known == name) {
            return Ok(at);
        }
        if let Some((prefix, column)) = name.split_once('.') {
            let known = self.lookups.iter_mut().find(|lookup| lookup.name == prefix);
            match known.map(|lookup| &mut lookup.columns) {
                Some(columns) => columns.push(column.to_owned()),
                None => return Err(self.unknown(name, prefix)),
            }
        }
        self.names.push(name.to_owned());
        Ok(self.names.len() - 1)
    }

    fn unknown(&self, name: &str, prefix: &str) -> Error {
        let error = wrong(format!("`{name}`: unknown look-up `{prefix}`"));
        match nearest(prefix, self.lookups.iter().map(|lookup| lookup.name.as_str())) {
            Some(near) => error.remedy(format!("did you mean `{near}`?")),
            None => error.remedy("[[feature_view.lookup]] in the view gives a name to another topic"),
        }
    }

    /// The columns and the look-ups, once all is read.
    ///
    /// # Errors
    /// `Config` for a look-up of which nothing is read.
    pub fn finish(self, view: &ViewConfig) -> Result<(Vec<String>, Vec<Lookup>)> {
        let unused = |(lookup, _): &(&Lookup, _)| lookup.columns.is_empty();
        if let Some((lookup, config)) = self.lookups.iter().zip(&view.lookup).find(unused) {
            let what =
                format!("nothing reads it: `of` and `where` name its columns `{}.COLUMN`", lookup.name);
            return Err(wrong(what)).doing(|| described(config));
        }
        Ok((self.names, self.lookups))
    }
}

fn described(config: &LookupConfig) -> String {
    match config.place.as_str() {
        "" => format!("look-up {:?}", config.name),
        place => format!("look-up {:?} ({place})", config.name),
    }
}

fn lookup(config: &LookupConfig) -> Result<Lookup> {
    name(&config.name)?;
    if config.name.contains('.') {
        return Err(wrong("a look-up's name has no dot: its columns are named NAME.COLUMN"));
    }
    if config.topic.is_empty() {
        return Err(wrong("a look-up needs a topic"));
    }
    if config.on.is_empty() || config.on.len() > MAX_KEY_COLUMNS {
        return Err(wrong(format!(
            "a look-up needs on = {{ KEY = \"COLUMN\" }}: 1 to {MAX_KEY_COLUMNS} columns"
        ))
        .remedy("name each column of its key, and the column of the view's topic that it equals"));
    }
    if let Some(ours) = config.on.values().find(|ours| ours.contains('.')) {
        return Err(wrong(format!("on: `{ours}` must be a column of the view's own topic")));
    }
    let on = config.on.iter().map(|(theirs, ours)| (theirs.clone(), ours.clone())).collect();
    Ok(Lookup { name: config.name.clone(), topic: config.topic.clone(), on, columns: Vec::new() })
}
