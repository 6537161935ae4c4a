//! What a check found: one line of the `check` command's table.

use std::fmt::Write;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Ok,
    /// It works, but not as the operator may think.
    Warn,
    /// Starting would fail, or what starts would fail later.
    Error,
}

impl Severity {
    const fn word(self) -> &'static str {
        match self {
            Severity::Ok => "ok",
            Severity::Warn => "warn",
            Severity::Error => "ERROR",
        }
    }
}

/// One thing looked at: what was found, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// What it belongs to: `server`, `role`, `tables`, `publication`, `slot`, `kafka`, ….
    pub about: &'static str,
    /// One line, naming the thing: `wal_level is replica`.
    pub what: String,
    /// What to do; SQL to copy where there is some.
    pub remedy: Option<String>,
}

impl Finding {
    pub fn ok(about: &'static str, what: impl Into<String>) -> Self {
        Finding { severity: Severity::Ok, about, what: what.into(), remedy: None }
    }

    pub fn warn(about: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { severity: Severity::Warn, about, what: what.into(), remedy: Some(remedy.into()) }
    }

    pub fn error(about: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { severity: Severity::Error, about, what: what.into(), remedy: Some(remedy.into()) }
    }

    /// What starting would have failed with.
    pub fn from_error(about: &'static str, error: &shared::Error) -> Self {
        Finding::error(about, error.to_string(), error.hint())
    }

    /// `what` holds, or it is what starting would have failed with.
    pub fn from_result(about: &'static str, what: &str, result: shared::Result<()>) -> Self {
        result.map_or_else(|error| Finding::from_error(about, &error), |()| Finding::ok(about, what))
    }
}

/// The findings as an aligned table, each remedy under its finding, and how many there are to mend.
pub fn table(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.about.len()).max().unwrap_or_default();
    let mut out = String::new();
    for finding in findings {
        let _ = writeln!(out, "{:<5}  {:<width$}  {}", finding.severity.word(), finding.about, finding.what);
        for line in finding.remedy.iter().flat_map(|remedy| remedy.lines()) {
            let _ = writeln!(out, "{:<5}  {:<width$}    {line}", "", "");
        }
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let _ = writeln!(out, "{} errors, {} warnings", count(Severity::Error), count(Severity::Warn));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_stand_under_what_was_found() {
        let findings = [
            Finding::ok("server", "PostgreSQL 15 answers"),
            Finding::error("tables", "role app may not read public.t", "GRANT SELECT ON public.t TO app"),
        ];
        let want = "ok     server  PostgreSQL 15 answers\n\
                    ERROR  tables  role app may not read public.t\n\
                    \x20                GRANT SELECT ON public.t TO app\n\
                    1 errors, 0 warnings\n";
        assert_eq!(table(&findings), want);
    }
}
