//! One error, few kinds, one table.
//!
//! A [`Kind`] says what the operator must do, not where the error came from. Context is added
//! as a verb phrase by whoever knows the noun, and the whole is printed once, on one line:
//! *could not start: create slot "orders": permission denied (grant REPLICATION …)*.

use std::borrow::Cow;
use std::fmt;

pub type Result<T> = std::result::Result<T, Error>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What an error asks of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The configuration or the command line is wrong.
    Config,
    /// A server did not answer; it may answer later.
    Unreachable,
    /// A server said no to our login or to a privilege.
    Denied,
    /// The place to resume from is gone.
    Lost,
    /// A value or record that cannot be converted.
    Data,
    /// A server understood the request and refuses it (a schema, a topic).
    Rejected,
    /// A disk or a stated budget is full.
    Full,
    /// An invariant of ours does not hold.
    Bug,
}

/// What the program does about a [`Kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Trying again without a person may help.
    pub retry: bool,
    /// 0 asked to stop · 1 failed, a restart may help · 2 usage or configuration · 3 a person is needed.
    pub exit: u8,
    /// What to do, when the place that failed gave no better remedy.
    pub hint: &'static str,
}

impl Kind {
    pub const fn policy(self) -> Policy {
        let (retry, exit, hint) = match self {
            Kind::Config => (false, 2, "correct the configuration; `check` shows every finding"),
            Kind::Unreachable => (true, 1, "check that the server runs and that the address is right"),
            Kind::Denied => {
                (false, 3, "check user, password and privileges; `check` prints the SQL to grant them")
            }
            Kind::Lost => (false, 3, "decide whether to take a new snapshot; nothing was skipped"),
            Kind::Data => (false, 3, "look at the value named; nothing after it was confirmed"),
            Kind::Rejected => (false, 3, "read the server's words; nothing after it was confirmed"),
            Kind::Full => (true, 1, "free disk space or raise the budget; nothing was dropped"),
            Kind::Bug => (false, 1, "please report this line"),
        };
        Policy { retry, exit, hint }
    }
}

/// An error with its kind, what went wrong, what was being done, and a remedy.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    what: Cow<'static, str>,
    doing: Vec<Cow<'static, str>>,
    remedy: Option<Cow<'static, str>>,
    source: Option<Source>,
}

impl Error {
    pub fn new(kind: Kind, what: impl Into<Cow<'static, str>>) -> Self {
        Error(Box::new(Inner { kind, what: what.into(), doing: Vec::new(), remedy: None, source: None }))
    }

    /// An error whose words are the source's own.
    pub fn from_source(kind: Kind, source: impl Into<Source>) -> Self {
        let source = source.into();
        let mut error = Error::new(kind, one_line(&*source));
        error.0.source = Some(source);
        error
    }

    /// Adds what was being done, outermost last: `error.doing("create slot \"orders\"")`.
    #[must_use]
    pub fn doing(mut self, phrase: impl Into<Cow<'static, str>>) -> Self {
        self.0.doing.push(phrase.into());
        self
    }

    /// Adds what the operator can do about it; the innermost remedy stays.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.0.remedy.get_or_insert(remedy.into());
        self
    }

    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The remedy given where it failed, or else the kind's general hint.
    pub fn hint(&self) -> &str {
        self.0.remedy.as_deref().unwrap_or(self.0.kind.policy().hint)
    }

    pub fn retryable(&self) -> bool {
        self.0.kind.policy().retry
    }

    pub fn exit_code(&self) -> u8 {
        self.0.kind.policy().exit
    }
}

/// The chain of causes on one line, without saying the same thing twice.
fn one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !line.contains(&words) {
            line.push_str(": ");
            line.push_str(&words);
        }
        next = cause.source();
    }
    line.replace('\n', " ")
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for phrase in self.0.doing.iter().rev() {
            write!(f, "{phrase}: ")?;
        }
        f.write_str(&self.0.what)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self} ({})", self.0.kind, self.hint())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|s| s.as_ref() as _)
    }
}

/// `.doing(…)`, `.kind(…)` on results.
pub trait Context<T> {
    /// Adds what was being done; the phrase is only built on failure.
    fn doing<S: Into<Cow<'static, str>>>(self, phrase: impl FnOnce() -> S) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn doing<S: Into<Cow<'static, str>>>(self, phrase: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|e| e.doing(phrase()))
    }
}

/// Gives a foreign error its kind: `read(path).or(Kind::Config)?`.
pub trait OrKind<T> {
    fn or_kind(self, kind: Kind) -> Result<T>;
}

impl<T, E: Into<Source>> OrKind<T> for std::result::Result<T, E> {
    fn or_kind(self, kind: Kind) -> Result<T> {
        self.map_err(|e| Error::from_source(kind, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_was_done_outermost_first() {
        let error = Error::new(Kind::Denied, "permission denied")
            .doing("create slot \"orders\"")
            .remedy("ALTER ROLE app REPLICATION")
            .doing("could not start");
        assert_eq!(error.to_string(), "could not start: create slot \"orders\": permission denied");
        assert_eq!(error.hint(), "ALTER ROLE app REPLICATION");
        assert_eq!(error.exit_code(), 3);
    }

    #[test]
    fn keeps_the_innermost_remedy() {
        let error = Error::new(Kind::Config, "x").remedy("first").remedy("second");
        assert_eq!(error.hint(), "first");
    }
}
