//! The servers by name, for whoever asks for several of them.

use crate::error::{Error, Result};
use crate::{Connect, Feast, HOST, Kafka, MariaDb, Postgres, Redis, Registry};
use crate::{connect, kafka, mariadb, postgres, redis, registry};

/// A server that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    Postgres,
    MariaDb,
    Redis,
    Kafka,
    Registry,
    Connect,
    Feast,
}

impl Name {
    pub const ALL: [Name; 7] =
        [Name::Postgres, Name::MariaDb, Name::Redis, Name::Kafka, Name::Registry, Name::Connect, Name::Feast];

    pub fn text(self) -> &'static str {
        match self {
            Name::Postgres => "postgres",
            Name::MariaDb => "mariadb",
            Name::Redis => "redis",
            Name::Kafka => "kafka",
            Name::Registry => "registry",
            Name::Connect => "connect",
            Name::Feast => "feast",
        }
    }

    /// The server of that name; the error lists all.
    pub fn parse(text: &str) -> Result<Name> {
        Name::ALL.into_iter().find(|name| name.text() == text).ok_or_else(|| {
            let known: Vec<&str> = Name::ALL.into_iter().map(Name::text).collect();
            Error::new(format!("no server is called {text}")).remedy(format!("one of: {}", known.join(" ")))
        })
    }

    /// Fetches what it needs, if that is not there yet.
    pub fn install(self) -> Result<()> {
        match self {
            Name::Postgres => postgres::install().map(drop),
            Name::MariaDb => mariadb::install().map(drop),
            Name::Redis => redis::install().map(drop),
            Name::Kafka => kafka::install().map(drop),
            Name::Registry => registry::install().map(drop),
            Name::Connect => connect::install().map(drop),
            Name::Feast => Feast::install().map(drop),
        }
    }
}

/// Several servers with their default options, ended together.
#[derive(Debug, Default)]
pub struct Servers {
    // Connect first: it is dropped, and so ended, before what it uses.
    pub connect: Option<Connect>,
    pub registry: Option<Registry>,
    pub kafka: Option<Kafka>,
    pub redis: Option<Redis>,
    pub mariadb: Option<MariaDb>,
    pub postgres: Option<Postgres>,
    pub feast: Option<Feast>,
}

impl Servers {
    /// Starts them; `connect` brings `kafka` and `registry` along.
    pub fn start(names: &[Name]) -> Result<Servers> {
        let wanted = |name| names.contains(&name);
        let connected = wanted(Name::Connect);
        let mut servers = Servers::default();
        if wanted(Name::Postgres) {
            servers.postgres = Some(Postgres::start(postgres::Options::default())?);
        }
        if wanted(Name::MariaDb) {
            servers.mariadb = Some(MariaDb::start()?);
        }
        if wanted(Name::Redis) {
            servers.redis = Some(Redis::start()?);
        }
        if wanted(Name::Kafka) || connected {
            servers.kafka = Some(Kafka::start(kafka::Options::default())?);
        }
        if wanted(Name::Registry) || connected {
            servers.registry = Some(Registry::start()?);
        }
        if let (true, Some(kafka), Some(registry)) = (connected, &servers.kafka, &servers.registry) {
            servers.connect = Some(Connect::start(kafka, registry)?);
        }
        if wanted(Name::Feast) {
            servers.feast = Some(Feast::install()?);
        }
        Ok(servers)
    }

    /// How to reach them, as shell variables.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = Vec::new();
        if let Some(postgres) = &self.postgres {
            settings.extend([
                ("PGHOST", HOST.to_owned()),
                ("PGPORT", postgres.port().to_string()),
                ("PGUSER", postgres::USER.to_owned()),
                ("PGPASSWORD", postgres::PASSWORD.to_owned()),
                ("PG_SOCKET_DIR", postgres.socket_dir().display().to_string()),
                ("PG_URL", postgres.url("postgres")),
            ]);
        }
        if let Some(mariadb) = &self.mariadb {
            settings.extend([
                ("MARIADB_HOST", HOST.to_owned()),
                ("MARIADB_PORT", mariadb.port().to_string()),
                ("MARIADB_USER", mariadb::USER.to_owned()),
                ("MARIADB_PASSWORD", mariadb::PASSWORD.to_owned()),
            ]);
        }
        settings.extend(self.redis.as_ref().map(|redis| ("REDIS_URL", redis.url())));
        settings.extend(self.kafka.as_ref().map(|kafka| ("KAFKA_BOOTSTRAP", kafka.bootstrap())));
        settings.extend(self.registry.as_ref().map(|registry| ("SCHEMA_REGISTRY_URL", registry.url())));
        if let Some(connect) = &self.connect {
            settings.push(("CONNECT_URL", connect.url()));
            settings.push(("CONNECT_WORKER_PROPERTIES", connect.worker_properties().display().to_string()));
        }
        settings
            .extend(self.feast.as_ref().map(|feast| ("FEAST_PYTHON", feast.python().display().to_string())));
        settings
    }
}
