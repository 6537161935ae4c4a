//! The same windows by Flink's SQL: one task over a file, nothing durable.

use stack::error::Doing;
use stack::folder::Folder;
use stack::install::{apt, java, python};
use stack::{Error, Result};
use std::path::Path;
use std::process::Command;

const LIBRARIES: &str = "apache-flink-libraries==2.3.0";
const HEAP: &str = "-Xmx4g";
/// What Flink's own scripts open to it.
const OPENED: [&str; 4] = ["java.util", "java.lang", "java.time", "java.nio"];

/// What Flink did.
pub struct Found {
    pub rows: u64,
    /// Rows whose features are others than ours.
    pub differ: u64,
    /// Of the job, without what the JVM and planning took before.
    pub cpu_seconds: f64,
    pub cpu_seconds_before: f64,
}

/// Computes the features of the CSV's rows and holds them against those that stand in it.
pub fn run(csv: &Path) -> Result<Found> {
    let folder = Folder::new("bench-flink")?;
    let out = folder.path().join("found");
    let sql = include_str!("flink.sql")
        .replace("${csv}", &csv.display().to_string())
        .replace("${out}", &out.display().to_string());
    let (job, program) =
        (folder.write("job.sql", &sql)?, folder.write("Flink.java", include_str!("Flink.java"))?);
    let environment = python::environment("flink", &[LIBRARIES])?;
    let mut ask = environment.command();
    ask.args([
        "-c",
        "import importlib.util as u; print(u.find_spec('pyflink').submodule_search_locations[0])",
    ]);
    let home = stack::process::run("ask where Flink is", &mut ask)?;
    // A program in one file needs the compiler beside the virtual machine.
    apt::program("javac", "openjdk-17-jdk-headless")?;
    let mut command = Command::new(java::at_least(java::KAFKA)?);
    command.arg(HEAP).args(["-cp", &format!("{}/lib/*", home.trim())]);
    command.args(OPENED.map(|package| format!("--add-opens=java.base/{package}=ALL-UNNAMED")));
    command.args(["--add-exports=java.base/sun.net.util=ALL-UNNAMED"]).arg(program).arg(job);
    let text = stack::process::run("compute the features by Flink", &mut command)?;
    let said = super::answer(&text, true)?;
    let seconds = |name: &str| said.get(name).and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN);
    let (mut rows, mut differ) = (0, 0);
    for line in lines(&out)? {
        rows += 1;
        differ += u64::from(line != "true");
    }
    Ok(Found { rows, differ, cpu_seconds: seconds("job"), cpu_seconds_before: seconds("before") })
}

/// Of all files that Flink made.
fn lines(folder: &Path) -> Result<Vec<String>> {
    let reading = || format!("read {}", folder.display());
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder).doing(reading)? {
        let text = std::fs::read_to_string(entry.doing(reading)?.path()).doing(reading)?;
        lines.extend(text.lines().map(str::to_owned));
    }
    match lines.is_empty() {
        true => Err(Error::new("Flink gave no rows")),
        false => Ok(lines),
    }
}
