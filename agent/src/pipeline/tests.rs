//! A changed view: what readers get while its new version is built, and after.

use super::*;
use crate::model::feature::FeatureRow;
use crate::model::pack;
use crate::model::value::Value;
use std::path::Path;
use tokio::runtime::Runtime;

const VIEW: &str = "[[feature_view]]\nname = 'v'\ntopic = 't'\nentity = ['id']\n";

fn open(folder: &Path, features: &str, runtime: &Runtime) -> Agent {
    let file = folder.join("agent.toml");
    let path = folder.join("agent.db");
    let db = format!("[db]\npath = '{}'\n[buffer]\nreserve_free_bytes = 0\n", path.display());
    std::fs::write(&file, format!("{db}{VIEW}feature = [{features}]\n")).expect("written");
    let config = crate::config::load(&file).expect("a configuration");
    runtime.block_on(Agent::open(config)).expect("it opens")
}

#[test]
fn a_former_version_is_read_until_the_new_one_is_complete() {
    let runtime = Runtime::new().expect("starts");
    let folder = std::env::temp_dir().join(format!("tidegate-version-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("made");
    let entity = pack::sortable([&Value::Int(7)]);
    let read = |agent_db: &Db, served: &Served| {
        let shape = served.get()[0].clone();
        let reader = agent_db.reader().expect("opens");
        let found = store::read(&reader, shape.id, &pack::sortable([&Value::Int(7)])).expect("reads");
        (shape.version, shape.features, found.map(|latest| latest.values))
    };
    let count = |name: &str| format!("{{ name = '{name}', aggregate = 'count' }}");
    let agent = open(&folder, &count("n"), &runtime);
    let (db, id, served) = (agent.db(), agent.views[0].id, agent.known.views.clone());
    let mut processor = agent.processor(None, Shutdown::default()).expect("a processor");
    processor.build().expect("built");
    let row = FeatureRow { view: id, entity, values: vec![Value::Int(3)], differs: false };
    db.write(move |tx| store::write(tx, vec![row], 5).map(drop)).expect("stored");
    let was = read(&db, &served);
    assert_eq!(was, (1, vec!["n".to_owned()], Some(vec![Value::Int(3)])));
    drop((processor, db));

    let agent = open(&folder, &count("m"), &runtime);
    let (db, served, progress) = (agent.db(), agent.known.views.clone(), agent.progress());
    let mut processor = agent.processor(None, Shutdown::default()).expect("a processor");
    assert_eq!(read(&db, &served), was, "not built yet");
    let state = progress.get();
    assert!(state.hydrating.is_empty() && state.former.get("v") == Some(&1), "readers have what they had");
    processor.build().expect("built");
    assert_eq!(read(&db, &served), (2, vec!["m".to_owned()], None));
    assert!(progress.get().former.is_empty());
    let old = store::size(&db.reader().expect("opens"), id).expect("reads");
    assert_eq!(old, 0, "the former values are gone");
    drop((processor, db));
    let _ = std::fs::remove_dir_all(&folder);
}
