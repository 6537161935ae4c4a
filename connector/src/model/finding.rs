//! What a check found: one line of the `check` command's table.

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Ok,
    /// It works, but not as the operator may think.
    Warn,
    /// Starting would fail.
    Error,
}

/// One thing looked at: what was found, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// One line, naming the thing: `wal_level is replica`.
    pub what: String,
    /// What to do; SQL to copy where there is some.
    pub remedy: Option<String>,
}

impl Finding {
    pub fn ok(what: impl Into<String>) -> Self {
        Finding { severity: Severity::Ok, what: what.into(), remedy: None }
    }

    pub fn warn(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { severity: Severity::Warn, what: what.into(), remedy: Some(remedy.into()) }
    }

    pub fn error(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { severity: Severity::Error, what: what.into(), remedy: Some(remedy.into()) }
    }

    /// What starting would have failed with.
    pub fn from_error(error: &shared::Error) -> Self {
        Finding::error(error.to_string(), error.hint())
    }

    /// `what` holds, or it is what starting would have failed with.
    pub fn from_result(what: &str, result: shared::Result<()>) -> Self {
        result.map_or_else(|error| Finding::from_error(&error), |()| Finding::ok(what))
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mark = match self.severity {
            Severity::Ok => "ok   ",
            Severity::Warn => "warn ",
            Severity::Error => "ERROR",
        };
        write!(f, "{mark} {}", self.what)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n      {remedy}"),
            None => Ok(()),
        }
    }
}
