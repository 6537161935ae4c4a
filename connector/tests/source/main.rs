//! The PostgreSQL source against a real server.

mod reader;
mod throwaway;

mod check;
mod positions;
mod refusal;
mod request;
mod snapshot;
mod stream;
mod tls;
mod value;

use std::sync::LazyLock;
use throwaway::Server;

/// One server for all tests that need nothing special of it; it dies with the test program.
static SERVER: LazyLock<Option<Server>> = LazyLock::new(|| Server::start(&[]));

fn server() -> Option<&'static Server> {
    SERVER.as_ref()
}
