//! `tidegate-agent`: arguments → run → exit code.

/// Rows come by the thousand on one thread and go on another, which the system's allocator pays for with
/// a sixth of the time that features take.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    agent::cli::main()
}
