//! Real servers as child processes, for development and for tests.
//!
//! Each server starts on a free port of 127.0.0.1 with its data in a temporary folder, is a child of
//! the process that asked for it, and ends with it, however that process ends. What is missing on the
//! machine is installed by its ordinary package client, once, into the user's cache folder.
//!
//! ```no_run
//! let database = stack::Postgres::start(stack::postgres::Options::default())?;
//! database.psql("postgres", "CREATE TABLE t (id int PRIMARY KEY)")?;
//! let kafka = stack::Kafka::start(stack::kafka::Options::default())?;
//! let registry = stack::Registry::start()?;
//! let connect = stack::Connect::start(&kafka, &registry)?;
//! # Ok::<(), stack::Error>(())
//! ```
//!
//! A server's log is a file in its folder; its last lines are part of every error about it, and are
//! printed when a test panics while it holds the server.

pub mod error;
pub mod folder;
pub mod http;
pub mod port;
pub mod process;

pub mod install;

pub mod clients;
pub mod connect;
pub mod feast;
pub mod kafka;
pub mod mariadb;
pub mod postgres;
pub mod proxy;
pub mod redis;
pub mod registry;
pub mod server;

pub use connect::Connect;
pub use error::{Error, Result};
pub use feast::Feast;
pub use kafka::Kafka;
pub use mariadb::MariaDb;
pub use postgres::Postgres;
pub use redis::Redis;
pub use registry::Registry;
pub use server::Name;

/// All servers listen here and nowhere else.
pub const HOST: &str = "127.0.0.1";
