//! Both programs in release, as the packages ship them.
//!
//! Always both: what one of them alone needs of a common crate is less, and cargo would build that crate, and
//! all that stand on it, once more.

use stack::error::Doing;
use stack::{Error, Result};
use std::path::PathBuf;

const PACKAGES: [&str; 4] = ["-p", "tidegate-connector", "-p", "tidegate-agent"];

pub fn build() -> Result<()> {
    let built = crate::cargo().args(["build", "--release"]).args(PACKAGES).status();
    match built.doing(|| "build the programs".to_owned())?.success() {
        true => Ok(()),
        false => Err(Error::new("the programs do not build")),
    }
}

/// Where the connector lies, built.
pub fn connector() -> Result<PathBuf> {
    build().map(|()| crate::target().join("release/tidegate-connector"))
}

/// Where the agent lies, built.
pub fn agent() -> Result<PathBuf> {
    build().map(|()| crate::target().join("release/tidegate-agent"))
}
