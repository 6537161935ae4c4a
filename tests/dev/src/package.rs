//! `cargo dev package`: a Debian package of each program, by cargo-deb. What goes in stands in the programs'
//! manifests (`[package.metadata.deb]`) and in `packaging/`.

use crate::say;
use stack::error::Doing;
use stack::install::step;
use stack::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Built from source, with its own lock file, once.
const TOOL: &str = "cargo-deb";
const TOOL_VERSION: &str = "3.8.0";

pub fn run(words: &[&str]) -> Result<()> {
    if let Some(word) = words.first() {
        return Err(Error::new(format!("{word} is not known")).remedy("cargo dev package"));
    }
    let tool = tool()?;
    crate::release::build()?;
    let folder = crate::target().join("debian");
    std::fs::create_dir_all(&folder).doing(|| format!("make {}", folder.display()))?;
    for package in ["tidegate-connector", "tidegate-agent"] {
        package_one(&tool, package, &folder)?;
    }
    Ok(())
}

/// Packages what was built; prints where the package lies.
fn package_one(tool: &Path, package: &str, folder: &Path) -> Result<()> {
    let mut command = Command::new(tool);
    command.current_dir(crate::root()).args(["--package", package, "--no-build", "--quiet", "--output"]);
    command.arg(folder);
    call(&mut command)?;
    let newest = std::fs::read_dir(folder)
        .doing(|| format!("read {}", folder.display()))?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&format!("{package}_")))
        .max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok());
    let entry = newest.ok_or_else(|| Error::new(format!("cargo-deb made no package of {package}")))?;
    say(&entry.path().display().to_string());
    Ok(())
}

/// cargo-deb, in the cache.
fn tool() -> Result<PathBuf> {
    let folder = step(&format!("{TOOL}-{TOOL_VERSION}"), TOOL_VERSION, |folder| {
        let mut install = crate::cargo();
        install.args(["install", TOOL, "--version", TOOL_VERSION, "--locked", "--root"]).arg(folder);
        // Not into the workspace's own build folder.
        call(install.env("CARGO_TARGET_DIR", folder.join("build")))?;
        let build = folder.join("build");
        std::fs::remove_dir_all(&build).doing(|| format!("remove {}", build.display()))
    })?;
    Ok(folder.join("bin").join(TOOL))
}

fn call(command: &mut Command) -> Result<()> {
    let what = format!("{command:?}");
    let status = command.status().doing(|| what.clone())?;
    if status.success() { Ok(()) } else { Err(Error::new(format!("{what}: {status}"))) }
}
