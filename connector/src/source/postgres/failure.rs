//! What the server refused → an [`Error`] with the kind that tells the operator what to do.

use super::cursor::{Cursor, Malformed};
use shared::{Error, Kind};

/// The fields of a server's error that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    pub code: String,
    pub message: String,
    pub detail: Option<String>,
}

impl ServerError {
    /// The body of an ErrorResponse or NoticeResponse.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor(body);
        let mut error = ServerError::default();
        loop {
            let field = cursor.u8("error response")?;
            if field == 0 {
                return Ok(error);
            }
            let text = cursor.text("error response")?.to_owned();
            match field {
                b'C' => error.code = text,
                b'M' => error.message = text,
                b'D' => error.detail = Some(text),
                _ => {}
            }
        }
    }

    pub fn into_error(self) -> Error {
        let ServerError { code, message, detail } = self;
        let (kind, remedy) = classify(&code, &message);
        let mut what = format!("{message} (SQLSTATE {code})");
        // A detail of class 22 or 23 may quote a row's values.
        if let Some(detail) = detail.filter(|_| !code.starts_with("22") && !code.starts_with("23")) {
            what.push_str(": ");
            what.push_str(&detail);
        }
        let error = Error::new(kind, what.replace('\n', " "));
        match remedy {
            Some(remedy) => error.remedy(remedy),
            None => error,
        }
    }
}

/// A failure of tokio-postgres: the server's words, or a broken connection.
pub fn of_sql(error: &tokio_postgres::Error) -> Error {
    if let Some(server) = error.as_db_error() {
        return ServerError {
            code: server.code().code().to_owned(),
            message: server.message().to_owned(),
            detail: server.detail().map(str::to_owned),
        }
        .into_error();
    }
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        words.push_str(": ");
        words.push_str(&inner.to_string());
        cause = inner.source();
    }
    Error::new(Kind::Unreachable, words.replace('\n', " "))
}

/// SQLSTATE and, where one code says several things, words → what to do.
fn classify(code: &str, message: &str) -> (Kind, Option<&'static str>) {
    const TAKE_ANEW: &str = "the changes since the stored position are gone from the server: drop the slot and the stored \
                             offset, then start again with snapshot.mode = \"initial\"";
    const SET_WAL_LEVEL: &str = "ALTER SYSTEM SET wal_level = 'logical'; then restart the server (on RDS: rds.logical_replication = 1)";
    match code {
        "28P01" | "28000" => {
            (Kind::Denied, Some("check source.user and source.password, and the server's pg_hba.conf"))
        }
        "42501" => (Kind::Denied, None),
        "3D000" => (Kind::Config, Some("check source.database")),
        "42704" if message.contains("publication") => {
            (Kind::Config, Some("create the publication, or set source.publication_autocreate"))
        }
        "42704" if message.contains("replication slot") => (Kind::Lost, Some(TAKE_ANEW)),
        "55006" => (
            Kind::Unreachable,
            Some("stop the other reader of the slot, or set source.slot to another name for this connector"),
        ),
        "55000" if message.contains("wal_level") => (Kind::Rejected, Some(SET_WAL_LEVEL)),
        "55000" if message.contains("replication slot") => (Kind::Lost, Some(TAKE_ANEW)),
        "58P01" if message.contains("WAL segment") => (Kind::Lost, Some(TAKE_ANEW)),
        "53400" => (
            Kind::Config,
            Some("raise max_replication_slots and restart the server, or drop slots that are no longer used"),
        ),
        "53300" => {
            (Kind::Unreachable, Some("raise max_connections or max_wal_senders, or close other sessions"))
        }
        "55P03" => (Kind::Unreachable, None),
        _ => match code.get(..2) {
            Some("08" | "40" | "53" | "57" | "58") => (Kind::Unreachable, None),
            _ => (Kind::Rejected, None),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        for (code, message, kind) in [
            ("28P01", "password authentication failed for user \"app\"", Kind::Denied),
            ("42501", "permission denied for table orders", Kind::Denied),
            ("55006", "replication slot \"s\" is active for PID 12", Kind::Unreachable),
            ("55000", "logical decoding requires wal_level >= logical", Kind::Rejected),
            ("55000", "can no longer get changes from replication slot \"s\"", Kind::Lost),
            ("42704", "replication slot \"s\" does not exist", Kind::Lost),
            ("42704", "publication \"p\" does not exist", Kind::Config),
            ("58P01", "requested WAL segment 0001 has already been removed", Kind::Lost),
            ("58P01", "could not access file \"pgoutput\": No such file or directory", Kind::Unreachable),
            ("57P01", "terminating connection due to administrator command", Kind::Unreachable),
            ("53300", "sorry, too many clients already", Kind::Unreachable),
            ("42601", "syntax error", Kind::Rejected),
            ("", "", Kind::Rejected),
        ] {
            assert_eq!(classify(code, message).0, kind, "{code} {message}");
        }
    }

    #[test]
    fn reads_the_fields() {
        let error = ServerError::parse(b"SERROR\0C55006\0Min use\0Dby me\0\0").expect("well formed");
        assert_eq!(error.into_error().to_string(), "in use (SQLSTATE 55006): by me");
        assert!(ServerError::parse(b"SERROR").is_err());
    }
}
