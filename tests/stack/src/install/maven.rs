//! Java archives by Maven, which keeps its downloads and checks their checksums.

use super::{apt, java};
use crate::error::{Doing, Error, Result};
use crate::process::run;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Copies artifacts (`group:artifact:version`) with all that they need at run time into `folder`.
pub fn libraries(folder: &Path, artifacts: &[&str]) -> Result<()> {
    let pom = folder.join("pom.xml");
    std::fs::write(&pom, pom_text(artifacts)?).doing(|| format!("write {}", pom.display()))?;
    let mut command = maven()?;
    command.current_dir(folder).args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
    command.arg(format!("-DoutputDirectory={}", folder.join("libs").display()));
    run("fetch Java libraries by Maven", &mut command).map(drop)
}

/// Copies one file, `group:artifact:version[:type[:classifier]]`, into `folder` and gives its path.
pub fn file(folder: &Path, artifact: &str) -> Result<PathBuf> {
    let mut command = maven()?;
    command.arg("dependency:copy").arg(format!("-Dartifact={artifact}"));
    command.arg(format!("-DoutputDirectory={}", folder.display()));
    run(&format!("fetch {artifact} by Maven"), &mut command)?;
    let mut parts = artifact.split(':').skip(1);
    let (name, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let kind = parts.next().unwrap_or("jar");
    let classifier = parts.next().map(|c| format!("-{c}")).unwrap_or_default();
    Ok(folder.join(format!("{name}-{version}{classifier}.{kind}")))
}

/// Unpacks one `tar.gz` artifact into `folder`.
pub fn archive(folder: &Path, artifact: &str) -> Result<()> {
    let packed = file(folder, artifact)?;
    let mut command = Command::new("tar");
    command.arg("xzf").arg(&packed).arg("-C").arg(folder);
    run(&format!("unpack {artifact}"), &mut command)?;
    std::fs::remove_file(&packed).doing(|| format!("remove {}", packed.display()))
}

/// Quiet, never asking, failing on a wrong checksum.
fn maven() -> Result<Command> {
    java::at_least(java::KAFKA)?;
    let mut command = Command::new(apt::program("mvn", "maven")?);
    command.args(["-B", "-q", "-C"]);
    Ok(command)
}

fn pom_text(artifacts: &[&str]) -> Result<String> {
    let mut dependencies = String::new();
    for artifact in artifacts {
        let parts: Vec<&str> = artifact.split(':').collect();
        let [group, name, version] = parts.as_slice() else {
            return Err(Error::new(format!("{artifact}: expected group:artifact:version")));
        };
        dependencies.push_str(&format!(
            "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>\n"
        ));
    }
    Ok(format!(
        "<project><modelVersion>4.0.0</modelVersion>\n\
         <groupId>tidegate</groupId><artifactId>stack</artifactId><version>1</version><packaging>pom</packaging>\n\
         <dependencies>\n{dependencies}</dependencies></project>\n"
    ))
}
