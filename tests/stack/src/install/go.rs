//! A Go that is new enough, and programs built by it.

use super::{apt, step};
use crate::error::{Doing, Error, Result};
use crate::process::run;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What today's Kafka clients for Go ask for.
const VERSION: (u32, u32) = (1, 26);

/// Builds the module in `source`, with its modules by their checksums, and gives the program.
pub fn program(name: &str, source: &Path) -> Result<PathBuf> {
    let read = |file: &str| {
        let path = source.join(file);
        std::fs::read_to_string(&path).doing(|| format!("read {}", path.display()))
    };
    let recipe = [read("go.mod")?, read("go.sum")?, read("main.go")?].concat();
    let folder = step(&format!("go-{name}"), &recipe, |folder| {
        let mut command = Command::new(compiler()?);
        command
            .current_dir(source)
            .args(["build", "-mod=readonly", "-trimpath", "-o"])
            .arg(folder.join(name));
        command.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local").env("GOFLAGS", "");
        run(&format!("build {} by Go", source.display()), &mut command).map(drop)
    })?;
    Ok(folder.join(name))
}

/// From the machine, else from apt.
fn compiler() -> Result<PathBuf> {
    if let Some(go) = find() {
        return Ok(go);
    }
    let (major, minor) = VERSION;
    apt::need(&["golang-go"], find).map_err(|error| {
        Error::new(format!("no Go of version {major}.{minor} or newer: {error}"))
            .remedy(format!("install Go {major}.{minor} and have it on PATH"))
    })
}

fn find() -> Option<PathBuf> {
    apt::find("go")
        .into_iter()
        .chain(["/usr/local/go/bin/go".into()])
        .find(|go| version(go).is_some_and(|found| found >= VERSION))
}

/// From a line such as `go version go1.26.8 linux/amd64`.
fn version(go: &Path) -> Option<(u32, u32)> {
    let output = Command::new(go).arg("version").env("GOTOOLCHAIN", "local").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.split_whitespace().nth(2)?.strip_prefix("go")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}
