//! `cargo dev`: everything a developer does beside writing code. Small, so that it builds in seconds
//! and can install what the rest needs.

mod stack;
mod test;

use ::stack::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
cargo dev test [SUITE [NAME]]               all suites, or one: lint unit tidy stack parity e2e …
cargo dev stack up [--label LABEL] NAME…    start real servers, and print how to reach them
cargo dev stack down|status [--label LABEL]
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["test", rest @ ..] => test::run(rest),
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
fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
