//! PostgreSQL as the central store, in the layout of Feast's online store: a table per view with a row per
//! entity and feature. With pgvector lists of numbers can be searched.
//!
//! One statement per view and batch. It lets in what is as new as what is there, or newer: PostgreSQL keeps
//! microseconds, and of one agent's values within a microsecond the later comes later. Rows are written in
//! the order of their keys, so that two agents do not wait for each other crosswise.

mod sql;

use super::halves::{Failure, Halves};
use super::{Answer, Answering, Row, Target, feast};
use crate::config::sync::PostgresConfig;
use crate::model::feature::FeatureType;
use shared::error::{Error, Kind, OrKind, Result};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

const APPLICATION_NAME: &str = "tidegate-agent";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// The client; connects when it first sends and after each failure.
pub struct Postgres {
    config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
    address: String,
    project: String,
    schema: String,
    create_tables: bool,
    vector: bool,
    connection: Option<Connection>,
}

struct Connection {
    client: Client,
    /// By view.
    prepared: HashMap<String, Statement>,
}

/// A batch of one view as arrays, one element per entity and feature.
#[derive(Default)]
struct Columns {
    keys: Vec<Vec<u8>>,
    features: Vec<String>,
    values: Vec<Vec<u8>>,
    texts: Vec<Option<String>>,
    vectors: Vec<Option<String>>,
    times_us: Vec<i64>,
}

impl Target for Postgres {
    fn ping(&mut self) -> Answering<'_, ()> {
        Box::pin(async {
            let asked = self.connected().await?.client.simple_query("SELECT 1").await;
            asked.map(drop).map_err(|error| self.failed(error))
        })
    }

    fn send<'a>(&'a mut self, rows: &'a [Row]) -> Answering<'a, Vec<Answer>> {
        Box::pin(self.bring(rows))
    }
}

impl Postgres {
    pub fn new(settings: &PostgresConfig) -> Result<Postgres> {
        let mut config: tokio_postgres::Config = settings.url.parse().or_kind(Kind::Config)?;
        config.user(&settings.user).application_name(APPLICATION_NAME).connect_timeout(CONNECT_TIMEOUT);
        if !settings.password.is_empty() {
            config.password(settings.password.expose());
        }
        let tls = if settings.is_tls() { Some(settings.tls.client()?) } else { None };
        Ok(Postgres {
            config,
            tls: tls.map(|tls| MakeRustlsConnect::new((*tls).clone())),
            address: settings.url.clone(),
            project: settings.project.clone(),
            schema: settings.schema.clone(),
            create_tables: settings.create_tables,
            vector: settings.vector,
            connection: None,
        })
    }

    async fn bring(&mut self, rows: &[Row]) -> Result<Vec<Answer>> {
        let mut answers = vec![Answer::Again("not sent yet".to_owned()); rows.len()];
        for (view, places) in by_view(rows) {
            let rows: Vec<&Row> = places.iter().filter_map(|at| rows.get(*at)).collect();
            for (place, answer) in places.iter().zip(self.bring_view(view, &rows).await?) {
                if let Some(slot) = answers.get_mut(*place) {
                    *slot = answer;
                }
            }
        }
        Ok(answers)
    }

    async fn bring_view(&mut self, view: &str, rows: &[&Row]) -> Result<Vec<Answer>> {
        let mut halves = Halves::of(rows.len());
        while let Some(part) = halves.next_part() {
            let outcome = match rows.get(part.clone()) {
                Some(rows) => self.bring_part(view, rows).await,
                None => Ok(Vec::new()),
            };
            halves.note(part, outcome)?;
        }
        halves.finish()
    }

    async fn bring_part(&mut self, view: &str, rows: &[&Row]) -> std::result::Result<Vec<Answer>, Failure> {
        let mut columns = Columns::default();
        for row in rows {
            columns.add(row, self.vector).map_err(|why| Failure::Rows(why.to_owned()))?;
        }
        let statement = self.prepared(view).await.map_err(Failure::State)?;
        let connection = self.connected().await.map_err(Failure::State)?;
        let Columns { keys, features, values, texts, vectors, times_us } = &columns;
        let arrays: [&(dyn ToSql + Sync); 6] = [keys, features, values, texts, vectors, times_us];
        let written = connection.client.query(&statement, &arrays);
        let written = match timeout(STATEMENT_TIMEOUT, written).await {
            Ok(Ok(written)) => written,
            Ok(Err(error)) if is_of_a_row(&error) => {
                return Err(Failure::Rows(words(&error)));
            }
            Ok(Err(error)) => return Err(Failure::State(self.failed(error))),
            Err(_) => return Err(Failure::State(self.silent())),
        };
        let written: HashSet<Vec<u8>> = written.iter().map(|row| row.get(0)).collect();
        let first_keys = rows.iter().map(|row| feast::join_keys(row).map(|keys| feast::entity_key(&keys)));
        let answer = |key: std::result::Result<Vec<u8>, _>| match key {
            Ok(key) if written.contains(&key) => Answer::Stored,
            _ => Answer::Older,
        };
        Ok(first_keys.map(answer).collect())
    }

    /// The statement of a view's table, which is made if there is none.
    async fn prepared(&mut self, view: &str) -> Result<Statement> {
        if let Some(statement) = self.connected().await?.prepared.get(view) {
            return Ok(statement.clone());
        }
        let table = sql::Table { schema: &self.schema, project: &self.project, view };
        let (write, create) = (sql::write(&table, self.vector), sql::create(&table, self.vector));
        let may_create = self.create_tables;
        let connection = self.connected().await?;
        let mut made = connection.client.prepare(&write).await;
        if may_create
            && let Err(error) = &made
            && error.code() == Some(&SqlState::UNDEFINED_TABLE)
        {
            made = match connection.client.batch_execute(&create).await {
                Ok(()) => connection.client.prepare(&write).await,
                // Two agents at once: one of them finds it made.
                Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                    connection.client.prepare(&write).await
                }
                Err(error) => Err(error),
            };
        }
        match made {
            Ok(statement) => {
                connection.prepared.insert(view.to_owned(), statement.clone());
                Ok(statement)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn connected(&mut self) -> Result<&mut Connection> {
        if self.connection.as_ref().is_none_or(|connection| connection.client.is_closed()) {
            self.connection = Some(self.connect().await?);
        }
        self.connection.as_mut().ok_or_else(|| Error::new(Kind::Bug, "the connection vanished"))
    }

    async fn connect(&mut self) -> Result<Connection> {
        let connecting = async {
            Ok(match &self.tls {
                Some(tls) => {
                    let (client, connection) = self.config.connect(tls.clone()).await?;
                    tokio::spawn(connection);
                    client
                }
                None => {
                    let (client, connection) = self.config.connect(NoTls).await?;
                    tokio::spawn(connection);
                    client
                }
            })
        };
        let client = match timeout(CONNECT_TIMEOUT * 2, connecting).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(self.failed(error)),
            Err(_) => return Err(self.silent()),
        };
        Ok(Connection { client, prepared: HashMap::new() })
    }

    fn silent(&mut self) -> Error {
        self.connection = None;
        Error::new(Kind::Unreachable, "no answer in time").doing(format!("sync to {}", self.address))
    }

    /// Names the server and forgets the connection.
    fn failed(&mut self, error: tokio_postgres::Error) -> Error {
        self.connection = None;
        self.named(error)
    }

    fn named(&self, error: tokio_postgres::Error) -> Error {
        let (kind, remedy) = match error.code().map(SqlState::code) {
            Some("42501") => (Kind::Denied, Some("grant INSERT, SELECT and UPDATE on the table, or make it")),
            Some(code) if code.starts_with("28") => (Kind::Denied, Some("check user and password")),
            Some("42P01") => (Kind::Rejected, Some("run `feast apply`, or set create_tables = true")),
            Some("42704" | "42883") if self.vector => {
                (Kind::Rejected, Some("CREATE EXTENSION vector in the database, or take kind = \"postgres\""))
            }
            Some("42804") => {
                (Kind::Rejected, Some("the table is of the other kind: \"postgres\" or \"pgvector\""))
            }
            _ => (Kind::Unreachable, None),
        };
        let named = match error.as_db_error() {
            Some(_) => Error::new(kind, words(&error)),
            None => Error::from_source(kind, error),
        };
        let named = named.doing(format!("sync to {}", self.address));
        match remedy {
            Some(remedy) => named.remedy(remedy),
            None => named,
        }
    }
}

impl Columns {
    fn add(&mut self, row: &Row, vector: bool) -> std::result::Result<(), &'static str> {
        let key = feast::entity_key(&feast::join_keys(row)?);
        for ((name, value), kind) in row.named_values().zip(&row.view.types) {
            // Feast's search compares all vectors of a table, so a list of another length breaks it:
            // Feast itself writes every list of numbers there, we what is made to be a vector.
            let searched = vector && *kind == FeatureType::Vector;
            self.keys.push(key.clone());
            self.features.push(name.to_owned());
            self.values.push(feast::value(value));
            self.texts.push(feast::value_text(value));
            self.vectors.push(if searched { feast::vector_text(value) } else { None });
            self.times_us.push(row.as_of.0.div_euclid(1_000));
        }
        Ok(())
    }
}

/// The rows' places, by view; the order of views is that of their first rows.
fn by_view(rows: &[Row]) -> Vec<(&str, Vec<usize>)> {
    let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let name = row.view.shape.name.as_str();
        match groups.iter_mut().find(|(view, _)| *view == name) {
            Some((_, places)) => places.push(at),
            None => groups.push((name, vec![at])),
        }
    }
    groups
}

/// The server's message without its details, which quote the row.
fn words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} ({})", said.message(), said.code().code()),
        None => error.to_string(),
    }
}

/// Whether a value is to blame: data exceptions, violated constraints, what is too large.
fn is_of_a_row(error: &tokio_postgres::Error) -> bool {
    let code = error.code().map(SqlState::code).unwrap_or_default();
    ["22", "23", "54"].iter().any(|class| code.starts_with(class))
}
