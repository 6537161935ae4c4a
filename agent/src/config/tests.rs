//! Files as operators write them, and what they are told when something is wrong.

use super::*;

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tidegate-config-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Folder(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a temporary file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const VIEW: &str = r#"
[[feature_view]]
name = "user_spend"
topic = "shop.public.payments"
entity = ["user_id"]

[[feature_view.feature]]
name = "spend"
aggregate = "sum"
of = "amount"
window = "10m"
"#;

#[test]
fn included_files_add_views_and_know_their_place() {
    let folder = Folder::new("include");
    folder.write("features.toml", VIEW);
    let main = folder.write("agent.toml", "include = [\"features.toml\"]\n[features]\ntick = \"50ms\"\n");
    let config = load(&main).expect("valid");
    assert_eq!(config.features.tick.as_millis(), 50);
    let view = config.feature_view.first().expect("one view");
    assert!(view.place.ends_with("features.toml, line 2"), "{}", view.place);
}

#[test]
fn mistakes_are_named() {
    let folder = Folder::new("mistakes");
    for (main, included, says, remedy) in [
        ("[features]\ntik = \"1s\"", "", "unknown key `tik`", "did you mean `tick`?"),
        ("[features]\ntick = \"1\"", "", "is no duration", ""),
        ("[features]\ntick = \"1ms\"", "", "features.tick must be between", ""),
        ("", "[[gate]]\ntopic = \"a\"\ncolum = \"b\"\nrule = \"not_null\"", "unknown key `colum`", "column"),
        ("", "[[gate]]\ntopic = \"a\"\ncolumn = \"b\"\nrule = \"not_nul\"", "unknown variant `not_nul`", ""),
        (
            "[consume]\ntopics = []\nkafka.brokers = \"h:1\"\nregistry.url = [\"http://r\"]",
            "",
            "consume.topics must",
            "",
        ),
        (
            "[consume]\ntopics = [\"t\"]\nkafka.brokers = \"\"\nregistry.url = [\"http://r\"]",
            "",
            "consume.kafka.brokers",
            "",
        ),
        ("[push]\nunpacked_bytes = 1", "", "push.unpacked_bytes must", ""),
        ("[push]\nauth.username = \"u\"", "", "push.auth.password belong together", ""),
        ("[push.tls]\ncert_file = \"c\"", "", "push.tls.key_file belong together", ""),
        ("[[push.topic]]\nname = \"t\"\nschema = \"any\"", "", "unknown variant `any`", ""),
        ("[[files]]\npath = \"/a/*/b.csv\"\ntopic = \"t\"", "", "only the file's name may have a *", ""),
        ("[[files]]\npath = \"/a/*.csv\"\ntopic = \"\"", "", "files.topic must name", ""),
        (
            "[consume]\ntopics = [\"t\"]\nstart = \"soon\"\nkafka.brokers = \"h:1\"\nregistry.url = [\"http://r\"]",
            "",
            "start must be earliest, latest, or a time",
            "",
        ),
    ] {
        refused(&folder, main, included, says, remedy);
    }
    let path = folder.write("agent.toml", "include = [\"missing.toml\"]");
    assert!(load(&path).expect_err("missing").to_string().contains("missing.toml"));
}

#[test]
fn mistakes_in_sync_are_named() {
    let folder = Folder::new("sync");
    for (main, included, says, remedy) in [
        (
            "[sync]\nurl = \"redis://h\"\nproject = \"p\"",
            "",
            "each target is a table of its own now, [sync.NAME]",
            "",
        ),
        ("[sync.a]\nkind = \"redish\"", "", "sync.a: unknown kind `redish`, expected one of redis", ""),
        (
            "[sync.a]\nkind = \"redis\"\nurl = \"redis://h\"\nproject = \"p\"\nbatch_row = 1",
            "",
            "unknown key `batch_row`",
            "did you mean `batch_rows`?",
        ),
        (
            "[sync.a]\nkind = \"redis\"\nurl = \"redis://h\"\nprojekt = \"p\"",
            "",
            "unknown key `projekt`",
            "did you mean `project`?",
        ),
        (
            "[sync.a]\nkind = \"redis\"\nurl = \"redis://u:p@h\"\nproject = \"p\"",
            "",
            "[sync.a]: url must not hold a user or password",
            "set user and password",
        ),
        (
            "[sync.a]\nkind = \"redis\"\nurl = \"redis://h\"\nproject = \"p\"\nkey_ttl = \"10ms\"",
            "",
            "[sync.a]: key_ttl",
            "",
        ),
        (
            "[sync.a]\nkind = \"redis\"\nurl = [\"redis://h\", \"redis://i\"]\nproject = \"p\"",
            "",
            "cluster = true",
            "",
        ),
        (
            "[sync.a]\nkind = \"postgres\"\nurl = \"postgres://h/d\"\nuser = \"u\"\nproject = \"p\"\ntls.ca_file = \"c\"",
            "",
            "does not ask for TLS",
            "sslmode=require",
        ),
        (
            "[sync.a]\nkind = \"kafka\"\ntopic = \"t\"\nkafka.brokers = \"b:1\"\nregistry.url = [\"http://r\"]",
            "",
            "topic must contain {view}",
            "",
        ),
        ("[sync.a]\nkind = \"feast_push\"\nurl = \"http://h\"\nto = \"x\"", "", "to = \"x\"", ""),
        ("[sync.a]\nkind = \"vector\"\nurl = \"h\"\napi_key = \"k\"", "", "url must begin with http://", ""),
    ] {
        refused(&folder, main, included, says, remedy);
    }
}

fn refused(folder: &Folder, main: &str, included: &str, says: &str, remedy: &str) {
    folder.write("more.toml", included);
    let path = folder.write("agent.toml", &format!("include = [\"more.toml\"]\n{main}\n"));
    let error = load(&path).expect_err(says);
    assert!(error.to_string().contains(says), "{error}");
    assert!(error.hint().contains(remedy), "{error:?}");
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn set_reaches_the_main_file() {
    let folder = Folder::new("set");
    let path = folder.write("agent.toml", "[admin]\nlisten = \"127.0.0.1:1\"\n");
    let config = load_with(&path, &["admin.listen=127.0.0.1:2".to_owned()]).expect("valid");
    assert_eq!(config.admin.listen.port(), 2);
}

/// What each kind of `[sync.NAME]` cannot do without, as the sample shows it.
const SYNC_LEAST: [(&str, &str); 6] = [
    (
        "central",
        "kind = \"redis\"\nurl = \"redis://127.0.0.1:6379/0\"\nproject = \"edge\"\nuser = \"tidegate\"\nkey_ttl = \"7d\"\ntls.ca_file = \"/etc/tidegate/ca.pem\"\ntls.cert_file = \"/etc/tidegate/agent.pem\"\ntls.key_file = \"/etc/tidegate/agent.key\"",
    ),
    (
        "warehouse",
        "kind = \"postgres\"\nurl = \"postgres://db:5432/feast?sslmode=require\"\nuser = \"tidegate\"\nproject = \"edge\"\ntls.ca_file = \"/etc/tidegate/ca.pem\"",
    ),
    (
        "search",
        "kind = \"pgvector\"\nurl = \"postgres://db:5432/feast\"\nuser = \"tidegate\"\nproject = \"edge\"",
    ),
    ("server", "kind = \"feast_push\"\nurl = \"http://feast:6566\"\nsource.user_spend = \"spend_push\""),
    (
        "topics",
        "kind = \"kafka\"\nkafka.brokers = \"kafka-1:9092\"\nregistry.url = [\"https://registry:8081\"]",
    ),
    ("index", "kind = \"vector\"\nurl = \"https://name-1234.svc.region.pinecone.io\"\napi_key = \"x\""),
];

/// The samples are the reference: they load, their definitions compile, and every value is the default.
#[test]
fn the_samples_load_and_say_the_defaults() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let sample = load(&samples.join("agent.toml")).expect("the sample is valid");
    assert!(!sample.feature_view.is_empty() && !sample.gate.is_empty());
    let defaults = Config::default();
    let tables = |config: &Config| {
        let Config { log, admin, db, buffer, door, registry, features, quarantine, .. } = config;
        format!("{log:?} {admin:?} {db:?} {buffer:?} {door:?} {registry:?} {features:?} {quarantine:?}")
    };
    assert_eq!(tables(&sample), tables(&defaults));
    let text = std::fs::read_to_string(samples.join("agent.toml")).expect("it was read before");
    let uncommented: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest.starts_with('[') || rest.split_once(" = ").is_some_and(|(k, _)| !k.contains(' ')) =>
            {
                rest
            }
            _ => line,
        })
        .map(|line| if line.starts_with("api_key") { "api_key = \"x\"" } else { line })
        .filter(|line| !["password", "include", "token", "username"].iter().any(|key| line.starts_with(key)))
        .flat_map(|line| [line, "\n"])
        .collect();
    let overrides = Overrides { env_prefix: "NO_SUCH_PREFIX", set: &[] };
    let whole: Config = shared::config::parse(&uncommented, &overrides).expect("also what is commented out");
    whole.check().expect("valid");
    sync_shows_its_defaults(&whole.sync, &overrides);
    let consume = whole.consume.expect("the consume table is shown");
    assert_eq!((consume.batch_bytes, consume.queue_bytes), (1 << 20, 8 << 20));
    assert_eq!((consume.lost, consume.retry_ceiling.as_secs()), (crate::config::consume::Lost::Stop, 10));
    let forward = whole.forward.expect("the forward table is shown");
    let least: crate::config::forward::ForwardConfig =
        shared::config::parse("kafka.brokers = \"b:1\"\nregistry.url = [\"http://r\"]", &overrides)
            .expect("all others have defaults");
    let shown = |config: &crate::config::forward::ForwardConfig| crate::config::forward::ForwardConfig {
        kafka: least.kafka.clone(),
        registry: least.registry.clone(),
        bandwidth: None,
        topic: Vec::new(),
        ..config.clone()
    };
    assert_eq!(format!("{:?}", shown(&forward)), format!("{:?}", shown(&least)));
    assert_eq!(consume.start, crate::config::consume::Start::Earliest);
    let mut push = whole.push.expect("the push table is shown");
    (push.auth, push.tls, push.topic, push.feast) = Default::default();
    assert_eq!(format!("{push:?}"), format!("{:?}", crate::config::push::PushConfig::default()));
    let files = whole.files.first().expect("the files table is shown");
    let shown = format!("{:?} {} {:?} {}", files.bad_rows, files.delimiter, files.settle, files.batch_bytes);
    let files = crate::config::file::FilesConfig::for_topic("t");
    let wanted = format!("{:?} {} {:?} {}", files.bad_rows, files.delimiter, files.settle, files.batch_bytes);
    assert_eq!(shown, wanted);
}

fn sync_shows_its_defaults(shown: &crate::config::sync::Targets, overrides: &Overrides<'_>) {
    for (name, least) in SYNC_LEAST {
        let least: Config = shared::config::parse(&format!("[sync.{name}]\n{least}"), overrides).expect(name);
        let text = |targets: &crate::config::sync::Targets| format!("{:?}", targets.get(name).expect(name));
        assert_eq!(text(shown), text(&least.sync), "{name} is shown with other values than the defaults");
    }
    assert_eq!(shown.len(), SYNC_LEAST.len());
}
