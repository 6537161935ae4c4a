//! tidegate-connector: arguments → run → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(connector::cli::main())
}
