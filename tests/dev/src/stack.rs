//! `cargo dev stack`: real servers that stay up until they are taken down.
//!
//! Servers are children of the process that started them, so `up` leaves a keeper behind that holds them.
//! The state file is the keeper's lease: it says how to reach the servers, and when it is gone the keeper
//! ends them and itself.

use crate::say;
use serde_json::{Value, json};
use stack::error::Doing;
use stack::process::{Signal, last_lines, send};
use stack::server::Servers;
use stack::{Error, Name, Result};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Servers are installed before; this is for starting them on a busy machine.
const UP_LIMIT: Duration = Duration::from_secs(300);
const DOWN_LIMIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(100);

const USAGE: &str = "cargo dev stack up|down|status [--label LABEL] [NAME…]";

/// Runs `up`, `down`, `status`, or the hidden `keep`.
pub fn run(words: &[&str]) -> Result<()> {
    let (label, words) = label(words)?;
    let place = Place::new(label)?;
    match words.as_slice() {
        ["up", names @ ..] => up(&place, names),
        ["down"] => down(&place),
        ["status"] => status(&place),
        ["keep", names @ ..] => keep(&place, names),
        _ => Err(Error::new("which?").remedy(USAGE)),
    }
}

/// Takes `--label LABEL` out of the words, so that several stacks can be up side by side.
fn label<'a>(words: &[&'a str]) -> Result<(&'a str, Vec<&'a str>)> {
    let mut rest = Vec::new();
    let mut label = "default";
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if *word == "--label" {
            label = words.next().ok_or_else(|| Error::new("--label needs a name").remedy(USAGE))?;
        } else {
            rest.push(*word);
        }
    }
    Ok((label, rest))
}

/// The files of one stack.
struct Place {
    label: String,
    state: PathBuf,
    log: PathBuf,
}

impl Place {
    fn new(label: &str) -> Result<Place> {
        let folder = stack::install::cache()?.join("stack");
        std::fs::create_dir_all(&folder).doing(|| format!("make {}", folder.display()))?;
        let file = |ending: &str| folder.join(format!("{label}.{ending}"));
        Ok(Place { label: label.to_owned(), state: file("json"), log: file("log") })
    }

    /// What the keeper wrote, if it still lives.
    fn read(&self) -> Option<State> {
        let text = std::fs::read_to_string(&self.state).ok()?;
        let value: Value = serde_json::from_str(&text).ok()?;
        let state = State { process: u32::try_from(value.get("process")?.as_u64()?).ok()?, value };
        lives(state.process).then_some(state)
    }
}

struct State {
    process: u32,
    value: Value,
}

impl State {
    fn names(&self) -> Vec<&str> {
        let names = self.value.get("names").and_then(Value::as_array);
        names.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    fn print(&self) {
        for (name, value) in self.value.get("settings").and_then(Value::as_object).into_iter().flatten() {
            say(&format!("{name}='{}'", value.as_str().unwrap_or_default()));
        }
    }
}

fn up(place: &Place, words: &[&str]) -> Result<()> {
    let names = names(words)?;
    if let Some(state) = place.read() {
        if names.iter().all(|name| state.names().contains(&name.text())) {
            state.print();
            return Ok(());
        }
        return Err(Error::new(format!("a stack is up with {}", state.names().join(" ")))
            .remedy("cargo dev stack down, or another --label"));
    }
    for name in &names {
        name.install()?;
    }
    let _ = std::fs::remove_file(&place.state);
    let mut keeper = start_keeper(place, &names)?;
    let start = Instant::now();
    loop {
        if let Some(state) = place.read() {
            state.print();
            return Ok(());
        }
        let ended = keeper.try_wait().doing(|| "look at the servers' keeper".to_owned())?;
        if ended.is_some() || start.elapsed() > UP_LIMIT {
            let _ = keeper.kill();
            return Err(Error::new(format!("the servers did not start:\n{}", last_lines(&place.log))));
        }
        sleep(PAUSE);
    }
}

/// This program again, out of reach of the terminal's signals.
fn start_keeper(place: &Place, names: &[Name]) -> Result<std::process::Child> {
    let what = || "start the servers' keeper".to_owned();
    let log = File::create(&place.log).doing(what)?;
    let errors = log.try_clone().doing(what)?;
    let mut command = Command::new(std::env::current_exe().doing(what)?);
    command.args(["stack", "keep", "--label", &place.label]).args(names.iter().map(|name| name.text()));
    command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0).current_dir("/");
    command.spawn().doing(what)
}

fn keep(place: &Place, words: &[&str]) -> Result<()> {
    let names = names(words)?;
    let servers = Servers::start(&names)?;
    let settings: serde_json::Map<String, Value> =
        servers.settings().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let names: Vec<&str> = names.iter().map(|name| name.text()).collect();
    let state = json!({ "process": std::process::id(), "names": names, "settings": settings });
    write(&place.state, &state.to_string())?;
    while place.state.exists() {
        sleep(PAUSE);
    }
    Ok(())
}

/// By rename, so that nobody reads a half.
fn write(path: &Path, text: &str) -> Result<()> {
    let fresh = path.with_extension("new");
    let what = || format!("write {}", path.display());
    std::fs::write(&fresh, text).doing(what)?;
    std::fs::rename(&fresh, path).doing(what)
}

fn down(place: &Place) -> Result<()> {
    let Some(state) = place.read() else {
        say("no stack is up");
        return Ok(());
    };
    std::fs::remove_file(&place.state).doing(|| format!("remove {}", place.state.display()))?;
    let start = Instant::now();
    while lives(state.process) {
        if start.elapsed() > DOWN_LIMIT {
            send(state.process, Signal::Kill)?;
        }
        sleep(PAUSE);
    }
    say(&format!("stopped {}", state.names().join(" ")));
    Ok(())
}

fn status(place: &Place) -> Result<()> {
    match place.read() {
        Some(state) => {
            say(&format!("# up: {}, kept by process {}", state.names().join(" "), state.process));
            state.print();
        }
        None => say("# down"),
    }
    Ok(())
}

/// Without names: all that run as servers.
fn names(words: &[&str]) -> Result<Vec<Name>> {
    if words.is_empty() {
        return Ok(Name::ALL.to_vec());
    }
    words.iter().map(|word| Name::parse(word)).collect()
}

/// A process that ended but was not waited for does not count.
fn lives(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}
