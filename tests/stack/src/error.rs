//! One error: what was being done, what went wrong, and what to do about it.

use std::fmt;

/// A failure to install, start, or talk to a server.
pub struct Error {
    message: String,
    remedy: Option<String>,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(message: impl Into<String>) -> Error {
        Error { message: message.into(), remedy: None }
    }

    /// What the reader can do about it; printed on a line of its own.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Error {
        self.remedy.get_or_insert(remedy.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        match &self.remedy {
            Some(remedy) => write!(out, "\n  what to do: {remedy}"),
            None => Ok(()),
        }
    }
}

/// As [`fmt::Display`], because tests print errors by `expect`.
impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl std::error::Error for Error {}

/// Adds what was being done, a verb phrase, in front of a failure.
pub trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::new(format!("{}: {error}", what())))
    }
}

impl<T> Doing<T> for Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error { message: format!("{}: {}", what(), error.message), ..error })
    }
}
