//! What our tests share beside real servers: our own two programs as child processes, their logs held to
//! account, and waiting with a limit.
//!
//! ```no_run
//! use std::time::Duration;
//! use support::{Binary, Launch, eventually};
//!
//! let mut launch = Launch::new(Binary::Agent, "[buffer]\npath = \"agent.db\"\n")?;
//! launch.set("sync.redis.address", "127.0.0.1:6379");
//! launch.allow(&["sync_unreachable"]);            // the only WARN or ERROR that this test expects
//! let mut agent = launch.start()?;
//! agent.wait_ready(Duration::from_secs(10))?;
//! agent.kill()?;                                   // SIGKILL; `launch.start()` starts it again
//! # Ok::<(), stack::Error>(())
//! ```

pub mod certificate;
pub mod avro;
pub mod binary;
pub mod edge;
pub mod eventually;
pub mod launch;
pub mod log;
pub mod program;
pub mod small_disk;
pub mod topics;

pub use binary::Binary;
pub use eventually::{eventually, until};
pub use launch::Launch;
pub use log::Line;
pub use program::Program;
pub use stack::{Error, Result};
