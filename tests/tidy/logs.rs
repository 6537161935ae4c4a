//! The catalogues of log lines (`connector/LOGS.md`, `agent/LOGS.md`) hold what the code logs, and nothing else.

use crate::assert_clean;
use crate::tree::{File, all, rust};
use std::collections::{BTreeMap, BTreeSet};

const PROGRAMS: [&str; 2] = ["agent", "connector"];
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Events and the levels at which they are logged.
type Events = BTreeMap<String, BTreeSet<String>>;

#[test]
fn each_catalogue_holds_every_event_with_its_levels_and_no_other() {
    let mut found: Vec<String> = Vec::new();
    for program in PROGRAMS {
        let (logged, listed) = (logged(program), listed(program));
        assert!(logged.len() > 30, "the search found too few events to be right: {logged:?}");
        for (event, levels) in &logged {
            match listed.get(event) {
                None => found.push(format!("{event} ({levels:?}) is not in {program}/LOGS.md")),
                Some(known) if known != levels => {
                    found.push(format!("{event}: {levels:?} in the code, {known:?} in {program}/LOGS.md"));
                }
                Some(_) => {}
            }
        }
        let gone = listed.keys().filter(|event| !logged.contains_key(*event));
        found.extend(gone.map(|event| format!("{event} is in {program}/LOGS.md, but nothing logs it")));
    }
    assert_clean("each event stands in the catalogue", &found);
}

#[test]
fn each_line_has_an_event() {
    let silent = PROGRAMS.into_iter().flat_map(sources).flat_map(|file| {
        let calls = calls(&file.text);
        let silent: Vec<String> = calls
            .filter(|(_, event)| event.is_none())
            .map(|(level, _)| format!("{}: {level}", file.path))
            .collect();
        silent
    });
    assert_clean("each log line has an event", &silent.collect::<Vec<_>>());
}

/// What the program's lines come from.
fn sources(program: &str) -> Vec<File> {
    let own = format!("{program}/src/");
    let ours = |file: &File| file.path.starts_with(&own) || file.path.starts_with("shared/src/");
    rust().into_iter().filter(ours).collect()
}

fn logged(program: &str) -> Events {
    let mut events = Events::new();
    for file in sources(program) {
        for (level, event) in calls(&file.text) {
            events.entry(event.unwrap_or_default()).or_default().insert(level.to_owned());
        }
    }
    events.remove("");
    events
}

/// The log calls of a Rust file: level, and event if it names one first.
fn calls(text: &str) -> impl Iterator<Item = (&str, Option<String>)> {
    text.split("tracing::").skip(1).filter_map(|rest| {
        let (level, arguments) = rest.split_once("!(")?;
        let event = arguments.trim_start().strip_prefix("event = \"").and_then(|rest| rest.split_once('"'));
        LEVELS.contains(&level).then(|| (level, event.map(|(event, _)| event.to_owned())))
    })
}

fn listed(program: &str) -> Events {
    let path = format!("{program}/LOGS.md");
    let text = all().into_iter().find(|file| file.path == path).expect("the catalogue is there").text;
    text.lines().filter_map(row).collect()
}

/// `| `event` | level, level | … |`
fn row(line: &str) -> Option<(String, BTreeSet<String>)> {
    let (event, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
    let (levels, _) = rest.split_once(" |")?;
    Some((event.to_owned(), levels.split(", ").map(str::to_owned).collect()))
}

#[test]
fn calls_and_rows_are_read() {
    let text =
        "tracing::warn!(\n    event = \"a_b\",\n \"x\");\ntracing::info!(\"silent\");\ntracing::enabled!(x)";
    let found: Vec<_> = calls(text).collect();
    assert_eq!(found, [("warn", Some("a_b".to_owned())), ("info", None)]);
    let levels = ["info", "warn"].map(str::to_owned).into();
    assert_eq!(row("| `a_b` | warn, info | what | – |"), Some(("a_b".to_owned(), levels)));
    assert_eq!(row("| event | level |"), None);
}
