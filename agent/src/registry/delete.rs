//! Deleting: first softly (hidden, the number kept, the id still known), then permanently.

use super::subject::{self, Which};
use super::{Answer, Mode, Problem, Registry, setting, version_number};
use rusqlite::{Connection, Transaction};
use shared::Result;

impl Registry {
    /// Deletes a subject; gives the versions that it had.
    pub fn delete_subject(&self, subject: &str, permanent: bool) -> Answer<Vec<u32>> {
        let subject = subject.to_owned();
        self.db.write(move |transaction| whole(transaction, &subject, permanent))?
    }

    /// Deletes a version; gives its number.
    pub fn delete_version(&self, subject: &str, version: &str, permanent: bool) -> Answer<u32> {
        let number = version_number(version)?;
        let (subject, version) = (subject.to_owned(), version.to_owned());
        self.db.write(move |transaction| {
            if let Err(problem) = permitted(transaction, &subject)? {
                return Ok(Err(problem));
            }
            if subject::versions(transaction, &subject, Which::All)?.is_empty() {
                return Ok(Err(Problem::SubjectNotFound(subject)));
            }
            let which = if number.is_some() || permanent { Which::All } else { Which::Live };
            let Some(found) = subject::version(transaction, &subject, number, which)? else {
                return Ok(Err(Problem::VersionNotFound(version)));
            };
            one(transaction, &subject, found.version, permanent)
        })?
    }
}

fn one(transaction: &Transaction<'_>, subject: &str, number: u32, permanent: bool) -> Result<Answer<u32>> {
    let live = subject::versions(transaction, subject, Which::Live)?.contains(&number);
    match (live, permanent) {
        (true, true) => return Ok(Err(Problem::VersionNotSoftDeleted(subject.to_owned(), number))),
        (false, false) => return Ok(Err(Problem::VersionSoftDeleted(subject.to_owned(), number))),
        _ => {}
    }
    if !subject::referrers(transaction, subject, number)?.is_empty() {
        return Ok(Err(Problem::Referenced(subject.to_owned(), number)));
    }
    match permanent {
        true => subject::remove(transaction, subject, Some(number))?,
        false => subject::hide(transaction, subject, Some(number))?,
    }
    Ok(Ok(number))
}

fn whole(transaction: &Transaction<'_>, subject: &str, permanent: bool) -> Result<Answer<Vec<u32>>> {
    if let Err(problem) = permitted(transaction, subject)? {
        return Ok(Err(problem));
    }
    let all = subject::versions(transaction, subject, Which::All)?;
    let live = subject::versions(transaction, subject, Which::Live)?;
    match (all.is_empty(), live.is_empty(), permanent) {
        (true, _, _) => return Ok(Err(Problem::SubjectNotFound(subject.to_owned()))),
        (_, true, false) => return Ok(Err(Problem::SubjectSoftDeleted(subject.to_owned()))),
        (_, false, true) => return Ok(Err(Problem::SubjectNotSoftDeleted(subject.to_owned()))),
        _ => {}
    }
    let gone = if permanent { all } else { live };
    for version in &gone {
        if !subject::referrers(transaction, subject, *version)?.is_empty() {
            return Ok(Err(Problem::Referenced(subject.to_owned(), *version)));
        }
    }
    match permanent {
        true => subject::remove(transaction, subject, None)?,
        false => {
            subject::hide(transaction, subject, None)?;
            setting::clear(transaction, subject)?;
            setting::clear_mode(transaction, subject)?;
        }
    }
    Ok(Ok(gone))
}

fn permitted(reader: &Connection, subject: &str) -> Result<Answer<()>> {
    Ok(match setting::mode(reader, subject)? {
        Mode::ReadWrite => Ok(()),
        _ => Err(Problem::NotPermitted(format!("Subject {subject} is in read-only mode"))),
    })
}
