//! `tidegate-agent`: arguments → run → exit code.

fn main() -> std::process::ExitCode {
    agent::cli::main()
}
