//! tidegate-connector: arguments → run → exit code.

use std::process::ExitCode;

/// librdkafka allocates several times a record and frees on another thread: with the C library's
/// allocator that was a fifth of the connector's CPU. The override serves its C code as well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(connector::cli::main())
}
