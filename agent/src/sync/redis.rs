//! Redis as the central store: a pipeline of compare-and-set scripts over one connection.

use super::feast::{self, JoinValue};
use super::outbox::Waiting;
use crate::config::sync::SyncConfig;
use crate::model::feature::{EntityType, ViewShape};
use crate::model::pack;
use crate::model::value::Value;
use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ErrorKind, IntoConnectionInfo, Pipeline, RedisError,
    RedisResult, Script, ServerErrorKind, TlsCertificates,
};
use shared::error::{Context, Error, Kind, OrKind, Result};
use std::path::Path;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// What Redis did with each row of a round.
#[derive(Debug, Default)]
pub struct Sent {
    /// Sequences written, or found to be newer there already.
    pub confirmed: Vec<i64>,
    /// How many of those were newer there.
    pub stale: usize,
    /// Rows that Redis refused, with its words.
    pub refused: Vec<(Waiting, String)>,
}

/// The client; connects when it first sends and after each failure.
pub struct Redis {
    client: Client,
    address: String,
    project: String,
    key_ttl_seconds: u64,
    script: Script,
    connection: Option<MultiplexedConnection>,
}

impl Redis {
    pub fn new(config: &SyncConfig) -> Result<Redis> {
        let client = client(config).doing(|| format!("set up sync to {}", config.address()))?;
        Ok(Redis {
            client,
            address: config.address().to_owned(),
            project: config.project.clone(),
            key_ttl_seconds: config.key_ttl_seconds()?,
            script: Script::new(include_str!("newer.lua")),
            connection: None,
        })
    }

    /// Connects and asks for an answer: what `check` does.
    pub async fn ping(&mut self) -> Result<()> {
        let mut connection = self.connected().await?;
        ::redis::cmd("PING").query_async::<()>(&mut connection).await.map_err(|e| self.failed(e))
    }

    /// Sends the rows in order. An error means that none is known to have arrived.
    pub async fn send(&mut self, waiting: Vec<Waiting>, views: &[ViewShape]) -> Result<Sent> {
        let mut sent = Sent::default();
        let mut pipeline = ::redis::pipe();
        pipeline.ignore_errors();
        let mut rows = Vec::with_capacity(waiting.len());
        for row in waiting {
            match self.add(&mut pipeline, &row, views) {
                Ok(()) => rows.push(row),
                Err(why) => sent.refused.push((row, why.to_owned())),
            }
        }
        if rows.is_empty() {
            return Ok(sent);
        }
        let mut answers = self.run(&pipeline).await?;
        if answers.iter().any(is_unknown_script) {
            self.load().await?;
            answers = self.run(&pipeline).await?;
        }
        for (row, answer) in rows.into_iter().zip(answers) {
            match answer {
                Ok(written) => {
                    sent.confirmed.push(row.sequence);
                    sent.stale += usize::from(written == 0);
                }
                // A server that is loading or read-only refuses everything: that is the server's state.
                Err(error) if is_state(&error) => return Err(self.failed(error)),
                Err(error) => sent.refused.push((row, error.to_string())),
            }
        }
        Ok(sent)
    }

    fn add(
        &self,
        pipeline: &mut Pipeline,
        row: &Waiting,
        views: &[ViewShape],
    ) -> std::result::Result<(), &'static str> {
        let feature = &row.stored.row;
        let view = views.iter().find(|view| view.id == feature.view).ok_or("its view is not defined")?;
        let key = redis_key(view, &feature.entity, &self.project)?;
        let command = pipeline.cmd("EVALSHA").arg(self.script.get_hash()).arg(1).arg(key);
        command.arg(feast::time_field(&view.name)).arg(feast::timestamp(row.stored.as_of.0));
        command.arg(self.key_ttl_seconds);
        for (name, value) in view.features.iter().zip(&feature.values) {
            command.arg(&feast::field(&view.name, name)[..]).arg(feast::value(value));
        }
        Ok(())
    }

    async fn run(&mut self, pipeline: &Pipeline) -> Result<Vec<RedisResult<i64>>> {
        let mut connection = self.connected().await?;
        pipeline.query_async(&mut connection).await.map_err(|e| self.failed(e))
    }

    async fn load(&mut self) -> Result<()> {
        let mut connection = self.connected().await?;
        let loaded = self.script.prepare_invoke().load_async(&mut connection).await;
        loaded.map(drop).map_err(|e| self.failed(e))
    }

    async fn connected(&mut self) -> Result<MultiplexedConnection> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let connected = self.client.get_multiplexed_async_connection_with_config(&config).await;
        let connection = connected.map_err(|e| self.failed(e))?;
        self.connection = Some(connection.clone());
        Ok(connection)
    }

    /// Names the server and forgets the connection.
    fn failed(&mut self, error: RedisError) -> Error {
        self.connection = None;
        let kind = match error.kind() {
            ErrorKind::AuthenticationFailed => Kind::Denied,
            ErrorKind::Server(ServerErrorKind::NoPerm) => Kind::Denied,
            _ if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) => Kind::Denied,
            _ => Kind::Unreachable,
        };
        Error::from_source(kind, error).doing(format!("sync to {}", self.address))
    }
}

fn is_unknown_script(answer: &RedisResult<i64>) -> bool {
    answer.as_ref().is_err_and(|e| e.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}

fn is_state(error: &RedisError) -> bool {
    matches!(
        error.code(),
        Some(
            "LOADING"
                | "READONLY"
                | "OOM"
                | "MASTERDOWN"
                | "NOAUTH"
                | "NOPERM"
                | "BUSY"
                | "MISCONF"
                | "NOSCRIPT"
                | "CLUSTERDOWN"
                | "TRYAGAIN"
        )
    )
}

/// The key of an entity; the error says why it has none.
fn redis_key(view: &ViewShape, entity: &[u8], project: &str) -> std::result::Result<Vec<u8>, &'static str> {
    let values = pack::from_sortable(entity).ok_or("its entity is damaged")?;
    if values.len() != view.entity.len() {
        return Err("its entity has another number of keys than the view");
    }
    let mut keys = Vec::with_capacity(values.len());
    for ((name, kind), value) in view.entity.iter().zip(values) {
        let value = match (value, kind) {
            (Value::Int(n), EntityType::Int32) => {
                JoinValue::Int32(i32::try_from(n).map_err(|_| "its entity exceeds 32 bits")?)
            }
            (Value::Int(n), _) => JoinValue::Int64(n),
            (Value::Text(text), _) => JoinValue::Text(text),
            (Value::Bytes(bytes), _) => JoinValue::Bytes(bytes),
            _ => return Err("its entity is of a kind that Feast has no key for"),
        };
        keys.push((name.as_str(), value));
    }
    Ok(feast::redis_key(&keys, project))
}

fn client(config: &SyncConfig) -> Result<Client> {
    let mut info = config.url.as_str().into_connection_info().or_kind(Kind::Config)?;
    let mut settings = info.redis_settings().clone();
    if let Some(user) = &config.user {
        settings = settings.set_username(user);
    }
    if !config.password.is_empty() {
        settings = settings.set_password(config.password.expose());
    }
    info = info.set_redis_settings(settings);
    if !config.url.starts_with("rediss://") {
        return Client::open(info).or_kind(Kind::Config);
    }
    shared::tls::install_provider();
    let read =
        |path: &Path| std::fs::read(path).or_kind(Kind::Config).doing(|| format!("read {}", path.display()));
    let client_tls = match (&config.tls.cert_file, &config.tls.key_file) {
        (Some(cert), Some(key)) => Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? }),
        (None, None) => None,
        _ => return Err(Error::new(Kind::Config, "sync.tls: cert_file and key_file belong together")),
    };
    let root_cert = config.tls.ca_file.as_deref().map(read).transpose()?;
    Client::build_with_tls(info, TlsCertificates { client_tls, root_cert }).or_kind(Kind::Config)
}
