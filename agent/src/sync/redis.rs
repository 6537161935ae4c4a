//! Redis as the central store, alone or as a cluster: compare-and-set scripts in Feast's layout.
//!
//! One server gets all rows of a batch as one pipeline. In a cluster each row goes to its own node, many at
//! a time; a node that is away holds up the rows behind the first of its own, not those of other stores.

use super::feast;
use super::{Answer, Answering, Row, Target};
use crate::config::sync::RedisConfig;
use ::redis::aio::MultiplexedConnection;
use ::redis::cluster::ClusterClient;
use ::redis::cluster_async::ClusterConnection;
use ::redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ErrorKind, IntoConnectionInfo, RedisError,
    RedisResult, Script, ServerErrorKind, TlsCertificates, TlsMode,
};
use shared::error::{Context, Error, Kind, OrKind, Result};
use std::path::Path;
use std::time::Duration;
use tokio::task::JoinSet;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// Rows under way at once to a cluster's nodes.
const CLUSTER_ROWS: usize = 256;
/// Of one row to a cluster, moved slots and nodes that are away included.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(10);
/// A cluster's client follows moved slots by itself; more often than this something is wrong.
const CLUSTER_RETRIES: u32 = 6;

/// The client; connects when it first sends and after each failure.
pub struct Redis {
    servers: Servers,
    address: String,
    project: String,
    key_ttl_seconds: u64,
    script: Script,
    connection: Option<Connection>,
}

enum Servers {
    One(Box<Client>),
    Cluster(Box<ClusterClient>),
}

#[derive(Clone)]
enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Target for Redis {
    fn ping(&mut self) -> Answering<'_, ()> {
        Box::pin(async {
            let answered = match self.connected().await? {
                Connection::One(mut one) => ::redis::cmd("PING").query_async::<()>(&mut one).await,
                Connection::Cluster(mut all) => ::redis::cmd("PING").query_async::<()>(&mut all).await,
            };
            answered.map_err(|error| self.failed(error))
        })
    }

    fn send<'a>(&'a mut self, rows: &'a [Row]) -> Answering<'a, Vec<Answer>> {
        Box::pin(self.bring(rows))
    }
}

impl Redis {
    pub fn new(config: &RedisConfig) -> Result<Redis> {
        let address = config.url.all().join(",");
        let servers = servers(config).doing(|| format!("set up sync to {address}"))?;
        Ok(Redis {
            servers,
            address,
            project: config.project.clone(),
            key_ttl_seconds: config.key_ttl_seconds()?,
            script: Script::new(include_str!("newer.lua")),
            connection: None,
        })
    }

    async fn bring(&mut self, rows: &[Row]) -> Result<Vec<Answer>> {
        let commands: Vec<_> = rows.iter().map(|row| self.command(row)).collect();
        let good: Vec<Cmd> = commands.iter().filter_map(|command| command.as_ref().ok()).cloned().collect();
        let mut answers = self.run(good.clone()).await?;
        if answers.iter().any(is_unknown_script) {
            self.load().await?;
            answers = self.run(good).await?;
        }
        let mut answers = answers.into_iter();
        let mut out = Vec::with_capacity(rows.len());
        for command in commands {
            out.push(match command {
                Err(why) => Answer::Refused(why.to_owned()),
                Ok(_) => match answers.next() {
                    Some(answer) => self.judge(answer)?,
                    None => return Err(Error::new(Kind::Bug, "Redis gave fewer answers than rows")),
                },
            });
        }
        Ok(out)
    }

    fn judge(&mut self, answer: RedisResult<i64>) -> Result<Answer> {
        match answer {
            Ok(0) => Ok(Answer::Older),
            Ok(_) => Ok(Answer::Stored),
            // A server that is loading or read-only refuses everything: that is the server's state.
            Err(error) if is_state(&error) => match self.servers {
                Servers::One(_) => Err(self.failed(error)),
                // Of a cluster it may be one node's.
                Servers::Cluster(_) => Ok(Answer::Again(self.failed(error).to_string())),
            },
            Err(error) => Ok(Answer::Refused(error.to_string())),
        }
    }

    fn command(&self, row: &Row) -> std::result::Result<Cmd, &'static str> {
        let view = &row.view.shape.name;
        let key = feast::redis_key(&feast::join_keys(row)?, &self.project);
        let mut command = ::redis::cmd("EVALSHA");
        command.arg(self.script.get_hash()).arg(1).arg(key);
        command.arg(feast::time_field(view)).arg(feast::timestamp(row.as_of.0)).arg(self.key_ttl_seconds);
        for (name, value) in row.named_values() {
            command.arg(&feast::field(view, name)[..]).arg(feast::value(value));
        }
        Ok(command)
    }

    async fn run(&mut self, commands: Vec<Cmd>) -> Result<Vec<RedisResult<i64>>> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        match self.connected().await? {
            Connection::One(mut one) => {
                let mut pipeline = ::redis::pipe();
                pipeline.ignore_errors();
                for command in commands {
                    pipeline.add_command(command);
                }
                pipeline.query_async(&mut one).await.map_err(|error| self.failed(error))
            }
            Connection::Cluster(all) => scattered(&all, commands).await,
        }
    }

    async fn load(&mut self) -> Result<()> {
        let loaded = match self.connected().await? {
            Connection::One(mut one) => self.script.prepare_invoke().load_async(&mut one).await,
            Connection::Cluster(mut all) => self.script.prepare_invoke().load_async(&mut all).await,
        };
        loaded.map(drop).map_err(|error| self.failed(error))
    }

    async fn connected(&mut self) -> Result<Connection> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let connected = match &self.servers {
            Servers::One(client) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECT_TIMEOUT))
                    .set_response_timeout(Some(RESPONSE_TIMEOUT));
                let connected = client.get_multiplexed_async_connection_with_config(&config).await;
                connected.map(Connection::One)
            }
            Servers::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
        };
        let connection = connected.map_err(|error| self.failed(error))?;
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

/// Sends each command to its own node; the answers in the commands' order.
async fn scattered(connection: &ClusterConnection, commands: Vec<Cmd>) -> Result<Vec<RedisResult<i64>>> {
    let mut answers: Vec<Option<RedisResult<i64>>> = commands.iter().map(|_| None).collect();
    let mut under_way = JoinSet::new();
    let mut waiting = commands.into_iter().enumerate();
    loop {
        while under_way.len() < CLUSTER_ROWS
            && let Some((at, command)) = waiting.next()
        {
            let mut connection = connection.clone();
            under_way.spawn(async move { (at, command.query_async::<i64>(&mut connection).await) });
        }
        let Some(ended) = under_way.join_next().await else { break };
        let (at, answer) = ended.or_kind(Kind::Bug)?;
        if let Some(place) = answers.get_mut(at) {
            *place = Some(answer);
        }
    }
    let lost = || Error::new(Kind::Bug, "a row for Redis got lost");
    answers.into_iter().map(|answer| answer.ok_or_else(lost)).collect()
}

fn is_unknown_script(answer: &RedisResult<i64>) -> bool {
    answer.as_ref().is_err_and(|e| e.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}

fn is_state(error: &RedisError) -> bool {
    const STATES: [&str; 13] = [
        "LOADING",
        "READONLY",
        "OOM",
        "MASTERDOWN",
        "NOAUTH",
        "NOPERM",
        "BUSY",
        "MISCONF",
        "NOSCRIPT",
        "CLUSTERDOWN",
        "TRYAGAIN",
        "MOVED",
        "ASK",
    ];
    // Without a code it is no answer of a server: a lost connection, a time that ran out.
    error.code().is_none_or(|code| STATES.contains(&code))
}

fn servers(config: &RedisConfig) -> Result<Servers> {
    let urls = config.url.all();
    let tls = if config.is_tls() { Some(certificates(config)?) } else { None };
    if config.cluster {
        let mut builder = ClusterClient::builder(urls)
            .connection_timeout(CONNECT_TIMEOUT)
            .response_timeout(CLUSTER_TIMEOUT)
            .retries(CLUSTER_RETRIES);
        if let Some(user) = &config.user {
            builder = builder.username(user);
        }
        if !config.password.is_empty() {
            builder = builder.password(config.password.expose());
        }
        if let Some(tls) = tls {
            builder = builder.tls(TlsMode::Secure).certs(tls);
        }
        return builder.build().or_kind(Kind::Config).map(Box::new).map(Servers::Cluster);
    }
    let url = urls.first().copied().unwrap_or_default();
    let mut info = url.into_connection_info().or_kind(Kind::Config)?;
    let mut settings = info.redis_settings().clone();
    if let Some(user) = &config.user {
        settings = settings.set_username(user);
    }
    if !config.password.is_empty() {
        settings = settings.set_password(config.password.expose());
    }
    info = info.set_redis_settings(settings);
    let client = match tls {
        Some(tls) => Client::build_with_tls(info, tls),
        None => Client::open(info),
    };
    client.or_kind(Kind::Config).map(Box::new).map(Servers::One)
}

fn certificates(config: &RedisConfig) -> Result<TlsCertificates> {
    shared::tls::install_provider();
    let read =
        |path: &Path| std::fs::read(path).or_kind(Kind::Config).doing(|| format!("read {}", path.display()));
    let client_tls = match (&config.tls.cert_file, &config.tls.key_file) {
        (Some(cert), Some(key)) => Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? }),
        (None, None) => None,
        _ => return Err(Error::new(Kind::Config, "tls.cert_file and tls.key_file belong together")),
    };
    let root_cert = config.tls.ca_file.as_deref().map(read).transpose()?;
    Ok(TlsCertificates { client_tls, root_cert })
}
