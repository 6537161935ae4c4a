//! Arrows between modules point one way: up the list in `lib.rs`, and never from room to room.

use crate::assert_clean;
use crate::tree::{File, rust};
use std::collections::BTreeSet;

const CRATES: &[&str] = &["connector", "agent", "shared"];

/// What every room of a program may use beside itself.
const GROUND: &[&str] = &["model", "config", "metrics", "connect", "db", "web"];

/// Those that may know all rooms.
const ABOVE: &[&str] = &["pipeline", "training", "admin", "terminal", "cli", "fuzz", "cost"];

/// An arrow between two rooms that is right all the same: crate, from, to, why.
const GRANTED: &[(&str, &str, &str, &str)] = &[
    (
        "connector",
        "source",
        "snapshot",
        "snapshot is pure decisions (what to read, how rows are marked), which the source that reads asks for",
    ),
    (
        "agent",
        "ingest",
        "buffer",
        "the Kafka door is the log's face: a sender is told yes by the log's commit, a consumer reads the log",
    ),
    (
        "agent",
        "forward",
        "buffer",
        "forward reads the log on the log's terms: partitions, ends, batches from an offset on",
    ),
    (
        "agent",
        "ingest",
        "registry",
        "what comes without a schema id (JSON, files) gets one here, as a producer gets it over REST",
    ),
];

#[test]
fn a_module_uses_only_modules_listed_above_it() {
    let mut found = Vec::new();
    for name in CRATES {
        let files = files_of(name);
        let order = module_order(&files);
        for (file, module) in files.iter().filter_map(|file| Some((file, module_of(&file.path)?))) {
            let place = |m: &str| order.iter().position(|o| o == m);
            for used in used_modules(&file.text).into_iter().filter(|used| *used != module) {
                if place(&used).is_some_and(|used| place(module).is_some_and(|own| used > own)) {
                    found.push(format!("{}: uses {used}, which lib.rs lists below {module}", file.path));
                }
            }
        }
    }
    assert_clean("a module uses only modules that lib.rs lists above it", &found);
}

#[test]
fn rooms_do_not_know_each_other() {
    let mut found = Vec::new();
    for name in ["connector", "agent"] {
        let files = files_of(name);
        let order = module_order(&files);
        for (file, module) in files.iter().filter_map(|file| Some((file, module_of(&file.path)?))) {
            if ABOVE.contains(&module) {
                continue;
            }
            let used = used_modules(&file.text);
            let strange = used.iter().filter(|used| order.contains(used) && !may_use(name, module, used));
            found.extend(strange.map(|used| format!("{}: {module} uses {used}", file.path)));
        }
    }
    assert_clean("a room uses model, config, metrics, connect, db and web, but no other room", &found);
}

fn may_use(program: &str, module: &str, used: &str) -> bool {
    used == module
        || GROUND.contains(&used)
        || GRANTED.iter().any(|(p, from, to, _)| *p == program && *from == module && *to == used)
}

fn files_of(name: &str) -> Vec<File> {
    let prefix = format!("{name}/src/");
    rust().into_iter().filter(|file| file.path.starts_with(&prefix)).collect()
}

/// The modules in the order of `lib.rs`.
fn module_order(files: &[File]) -> Vec<String> {
    let library =
        files.iter().find(|file| file.path.ends_with("/src/lib.rs")).expect("each crate has a lib.rs");
    let lines = library.text.lines().filter_map(|line| {
        let rest = line.strip_prefix("pub(crate) ").or_else(|| line.strip_prefix("pub ")).unwrap_or(line);
        rest.strip_prefix("mod ")?.strip_suffix(';')
    });
    lines.map(str::to_owned).collect()
}

/// `connector/src/sink/kafka.rs` and `connector/src/sink.rs` are of module `sink`.
fn module_of(path: &str) -> Option<&str> {
    let (_, inner) = path.split_once("/src/")?;
    let first = inner.split('/').next()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(module, "lib" | "main")).then_some(module)
}

/// What follows `crate::` in code: a name, or the names at the top of a braced list.
fn used_modules(text: &str) -> BTreeSet<String> {
    let code: String = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let mut used = BTreeSet::new();
    for (at, word) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '$')) {
            continue;
        }
        let rest = &code[at + word.len()..];
        match rest.strip_prefix('{') {
            Some(list) => used.extend(top_names(list)),
            None => used.extend(first_name(rest)),
        }
    }
    used
}

fn first_name(text: &str) -> Option<String> {
    let name: String = text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// `a, b::{c, d}, e}` gives a, b, e.
fn top_names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.extend(first_name(&list[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.extend(first_name(&list[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    names
}

#[test]
fn uses_are_found_in_all_spellings() {
    let text = "use crate::a::B;\nuse crate::{b, c::{d, e}, f};\n// crate::comment\nlet x = crate::g::h();\nfoo_crate::no();";
    assert_eq!(used_modules(text).into_iter().collect::<Vec<_>>(), ["a", "b", "c", "f", "g"]);
}

#[test]
fn an_arrow_between_rooms_is_refused() {
    assert!(may_use("agent", "gate", "model") && may_use("agent", "gate", "gate"));
    assert!(!may_use("agent", "gate", "feature"));
}
