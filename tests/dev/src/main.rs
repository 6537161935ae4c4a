//! `cargo dev`: everything a developer does beside writing code. Small, so that it builds in seconds
//! and can install what the rest needs.

mod bench;
mod demo;
mod fuzz;
mod package;
mod release;
mod stack;
mod test;

use ::stack::Error;
use ::stack::install::toolchain;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "\
cargo dev demo [--seconds N] [--kafka]      a payments shop, live, each feature beside PostgreSQL's answer
cargo dev bench NAME                        measures, with ratios: backlog snapshot latency large start once row append
                                            forward features serve
cargo dev test [SUITE [NAME]]               all suites, or one: lint unit tidy servers parity e2e …
cargo dev fuzz TARGET [--seconds N] [--keep]  inputs that break a parser of the connector, by cargo-fuzz
cargo dev package                           a .deb of each program
cargo dev stack up [--label LABEL] NAME…    start real servers, and print how to reach them
cargo dev stack down|status [--label LABEL]
";

/// What variables of cargo's are called that speak of one package.
const OUR_OWN: &[&str] = &["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["demo", rest @ ..] => toolchain().and_then(|()| demo::run(rest)),
        ["bench", rest @ ..] => toolchain().and_then(|()| bench::run(rest)),
        ["fuzz", rest @ ..] => toolchain().and_then(|()| fuzz::run(rest)),
        ["package", rest @ ..] => toolchain().and_then(|()| package::run(rest)),
        ["test", rest @ ..] => toolchain().and_then(|()| test::run(rest)),
        ["stack", rest @ ..] => stack::run(rest),
        ["help" | "--help" | "-h"] => {
            say(USAGE);
            Ok(())
        }
        _ => Err(Error::new("this command is not known").remedy(format!("use one of\n{USAGE}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// One line (or several) for the person or the script that asked.
#[expect(clippy::print_stdout, reason = "a command's answer goes to standard output")]
fn say(text: &str) {
    println!("{}", text.trim_end());
}

/// The repository's root. Where this program was built is where it is used.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where cargo builds: the folder above the profile that this program lies in.
fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().nth(2).map_or_else(|| root().join("target"), Path::to_owned)
}

/// The cargo that runs us, at the workspace's root.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // Set by the `cargo run` around us, about the package `dev`. Build scripts look at them (ring's does), and
    // would be run again, with all that depends on them, each time a build is started from elsewhere.
    for (name, _) in std::env::vars_os() {
        let about_dev =
            name.to_str().is_some_and(|name| OUR_OWN.iter().any(|prefix| name.starts_with(prefix)));
        if about_dev {
            command.env_remove(name);
        }
    }
    command
}
