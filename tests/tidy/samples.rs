//! The files in `config/` are the reference: each loads as its program loads it.

use crate::assert_clean;
use crate::tree::{paths, root};

#[test]
fn samples_load() {
    let samples: Vec<String> = paths().into_iter().filter(|path| path.starts_with("config/")).collect();
    let refused: Vec<String> = samples.iter().filter_map(|path| refused(path)).collect();
    assert_clean("each sample loads", &refused);
    assert!(samples.iter().any(|path| path.contains("connector-postgres")), "too few samples: {samples:?}");
}

/// Why a sample does not load; `None` also for what is no configuration of ours.
fn refused(path: &str) -> Option<String> {
    let name = path.trim_start_matches("config/").strip_suffix(".toml")?;
    let file = root().join(path);
    let error = if name.starts_with("connector") {
        connector::config::load(&file).err()?.to_string()
    } else if name == "agent" {
        agent::config::load(&file).err()?.to_string()
    } else if included_by_agent(name) {
        return None;
    } else {
        "no program reads it".to_owned()
    };
    Some(format!("{path}: {error}"))
}

/// Loading `agent.toml` loads what it includes.
fn included_by_agent(name: &str) -> bool {
    let agent = agent::config::load(&root().join("config/agent.toml"));
    agent.is_ok_and(|config| {
        config.include.iter().any(|file| file.file_stem().is_some_and(|stem| stem == name))
    })
}
