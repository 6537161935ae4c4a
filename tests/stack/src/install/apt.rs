//! Programs from Debian's packages. What is found on the machine already is used, whoever put it there.

use super::lock;
use crate::error::{Error, Result};
use crate::process::run;
use std::path::PathBuf;
use std::process::Command;

/// The full path of a program, from `PATH` or the folders that Debian keeps for administrators.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The full path of a program, after installing `package` if there is none.
pub fn program(program: &str, package: &str) -> Result<PathBuf> {
    need(&[package], || find(program))
}

/// What `look` finds; if nothing, installs the packages and looks again.
pub fn need<T>(packages: &[&str], look: impl Fn() -> Option<T>) -> Result<T> {
    if let Some(found) = look() {
        return Ok(found);
    }
    let _lock = lock("apt")?;
    if let Some(found) = look() {
        return Ok(found);
    }
    install(packages)?;
    look().ok_or_else(|| Error::new(format!("installed {}, and still cannot find it", packages.join(" "))))
}

fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    let by_hand = format!("as root: apt-get update && apt-get install {list}");
    if find("apt-get").is_none() {
        return Err(Error::new(format!("missing: {list} (Debian's names)"))
            .remedy("install them by this system's package manager, and have them on PATH"));
    }
    let Some(prefix) = administrator() else {
        return Err(Error::new(format!("missing packages: {list}")).remedy(by_hand));
    };
    eprintln!("installing {list} by apt-get");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("env");
        if prefix.is_empty() {
            command.arg("DEBIAN_FRONTEND=noninteractive");
        } else {
            command.args(prefix).arg("env").arg("DEBIAN_FRONTEND=noninteractive");
        }
        command.args(["apt-get", "-q", "-o", "DPkg::Lock::Timeout=600"]).args(arguments);
        command
    };
    // An old list is often good enough, so a failing update alone stops nothing.
    let update = run("apt-get update", &mut apt(&["update"]));
    let mut install = apt(&["install", "-y", "--no-install-recommends"]);
    install.args(packages);
    match run(&format!("apt-get install {list}"), &mut install) {
        Ok(_) => Ok(()),
        Err(error) => {
            let update = update.err().map(|e| format!("\n{e}")).unwrap_or_default();
            Err(Error::new(format!("{error}{update}")).remedy(by_hand))
        }
    }
}

/// What to put before a command to run it as root: nothing, `sudo -n`, or `None` if neither works.
fn administrator() -> Option<&'static [&'static str]> {
    if is_root() {
        return Some(&[]);
    }
    let sudo = Command::new("sudo").args(["-n", "true"]).output().is_ok_and(|o| o.status.success());
    sudo.then_some(&["sudo", "-n"])
}

/// Does this process run as root?
pub fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .and_then(|ids| ids.split_whitespace().nth(1))
        .is_some_and(|effective| effective == "0")
}
