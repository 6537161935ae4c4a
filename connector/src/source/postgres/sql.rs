//! All SQL beside the streams: one tokio-postgres connection, opened when needed and again when it broke.

use super::connect::{APPLICATION_NAME, CONNECT_TIMEOUT, SESSION, address};
use super::{failure, tls};
use crate::config::source::{SourceConfig, TlsMode};
use shared::error::Context;
use shared::{Error, Kind, Result};
use std::collections::HashMap;
use tokio::runtime::Handle;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Statements kept; more kinds than this are not asked.
const PREPARED: usize = 64;

/// What one statement gave, or what was wrong with it or the connection.
type Answer = std::result::Result<Vec<Row>, tokio_postgres::Error>;

pub struct Sql {
    config: Config,
    address: String,
    tls: Option<MakeRustlsConnect>,
    runtime: Handle,
    client: Option<Client>,
    /// Statements of the open connection, by text: the catalogue is asked the same for every table.
    prepared: HashMap<String, Statement>,
    initial: Vec<String>,
}

impl Sql {
    pub fn new(source: &SourceConfig, runtime: Handle) -> Result<Self> {
        let mut config = Config::new();
        match &source.socket_dir {
            Some(folder) => config.host_path(folder),
            None => config.host(&source.host),
        };
        let options: Vec<String> = SESSION.iter().map(|(name, value)| format!("-c {name}={value}")).collect();
        config
            .port(source.port)
            .user(&source.user)
            .dbname(&source.database)
            .application_name(APPLICATION_NAME)
            .connect_timeout(CONNECT_TIMEOUT)
            .options(options.join(" "))
            .ssl_mode(match source.tls_mode {
                TlsMode::Disable => SslMode::Disable,
                TlsMode::Prefer => SslMode::Prefer,
                TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
            });
        if !source.password.is_empty() {
            config.password(source.password.expose());
        }
        // A Unix socket has no TLS, whatever the mode says.
        let client = if source.socket_dir.is_some() { None } else { tls::client(source)? };
        if client.is_none() {
            config.ssl_mode(SslMode::Disable);
        }
        let tls = client.map(|client| MakeRustlsConnect::new((*client).clone()));
        Ok(Sql {
            config,
            address: address(source),
            tls,
            runtime,
            client: None,
            prepared: HashMap::new(),
            initial: source.initial_statements.clone(),
        })
    }

    /// Runs one statement. A connection that broke since the last one is opened again; one that
    /// breaks now is opened once more, so the statement should bear being run twice.
    pub fn query(&mut self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        let reused = self.client.is_some();
        match self.run(statement, parameters)? {
            Err(error) if reused && error.as_db_error().is_none() && self.broken() => {
                tracing::debug!(event = "source_sql_reconnected", %error, "connection broke, trying another one");
                self.run(statement, parameters)?
            }
            other => other,
        }
        .map_err(|e| failure::of_sql(&e))
    }

    fn run(&mut self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Answer> {
        let runtime = self.runtime.clone();
        self.client()?;
        let Sql { client, prepared, .. } = self;
        let client = client.as_ref().ok_or_else(|| Error::new(Kind::Bug, "the connection vanished"))?;
        let known = match prepared.get(statement) {
            Some(known) => known.clone(),
            None => match runtime.block_on(client.prepare(statement)) {
                Ok(made) => made,
                Err(error) => return Ok(Err(error)),
            },
        };
        let answer = runtime.block_on(client.query(&known, parameters));
        if prepared.len() < PREPARED {
            prepared.insert(statement.to_owned(), known);
        }
        Ok(answer)
    }

    fn broken(&self) -> bool {
        self.client.as_ref().is_none_or(Client::is_closed)
    }

    /// Runs statements that take no parameters and give no rows.
    pub fn execute(&mut self, statements: &str) -> Result<()> {
        let runtime = self.runtime.clone();
        let client = self.client()?;
        runtime.block_on(client.batch_execute(statements)).map_err(|e| failure::of_sql(&e))
    }

    fn client(&mut self) -> Result<&Client> {
        if self.broken() {
            let client = self.runtime.block_on(self.open())?;
            self.prepared.clear();
            self.client = Some(client);
        }
        self.client.as_ref().ok_or_else(|| Error::new(Kind::Bug, "the connection vanished"))
    }

    /// A connection ready for statements, apart from this one's own.
    pub async fn open(&self) -> Result<Client> {
        let client = self.connect().await.map_err(|e| failure::of_sql(&e));
        let client = client.doing(|| format!("connect to PostgreSQL at {}", self.address))?;
        for (at, statement) in self.initial.iter().enumerate() {
            let done = client.batch_execute(statement).await;
            done.map_err(|e| failure::of_sql(&e)).doing(|| format!("run source.initial_statements[{at}]"))?;
        }
        Ok(client)
    }

    /// Each connection's task ends when its client is dropped or it breaks; the next statement sees which.
    async fn connect(&self) -> std::result::Result<Client, tokio_postgres::Error> {
        match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                self.runtime.spawn(connection);
                Ok(client)
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                self.runtime.spawn(connection);
                Ok(client)
            }
        }
    }
}

/// A name as an SQL identifier.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as an SQL literal.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!(" E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes() {
        assert_eq!(identifier("My \"Table\""), "\"My \"\"Table\"\"\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'"), " E'a\\\\'''");
    }
}
