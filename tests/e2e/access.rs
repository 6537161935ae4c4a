//! Who may come in at the agent's door: passwords by each mechanism, TLS, client certificates; and what
//! those are told who may not.

use crate::java;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use stack::folder::Folder;
use std::time::{Duration, Instant};
use support::certificate::{Authority, Signed};
use support::edge::Agent;

type Settings<'a> = &'a [(&'a str, &'a str)];

const LIMIT: Duration = Duration::from_secs(20);
/// Of "pencil", as PostgreSQL keeps it.
const KEYS: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// Whether a client with these settings hears what topics there are; else the errors that it was told.
fn ask(agent: &Agent, settings: Settings<'_>, limit: Duration) -> Result<(), String> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", agent.brokers()).set("log_level", "0");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    let consumer: BaseConsumer = config.create().expect("a client");
    match consumer.fetch_metadata(None, limit) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn login<'a>(mechanism: &'a str, user: &'a str, password: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", mechanism),
        ("sasl.username", user),
        ("sasl.password", password),
    ]
}

fn users(more: &[(&str, &str)]) -> Agent {
    let list = format!(
        "[{{ name = \"shop\", password = \"hunter2, secret\" }}, {{ name = \"user\", scram = [\"{KEYS}\"] }}]"
    );
    let settings: Vec<(&str, &str)> = [("door.user", list.as_str())].iter().chain(more).copied().collect();
    let mut agent = Agent::start(&settings);
    agent.launch.allow(&["door_login_denied", "door_refused", "door_tls_failed"]);
    agent
}

#[test]
fn librdkafka_logs_in_by_each_mechanism() {
    let mut agent = users(&[]);
    for mechanism in MECHANISMS {
        assert_eq!(ask(&agent, &login(mechanism, "shop", "hunter2, secret"), LIMIT), Ok(()), "{mechanism}");
    }
    assert_eq!(ask(&agent, &login("SCRAM-SHA-256", "user", "pencil"), LIMIT), Ok(()), "by stored keys");
    assert_eq!(ask(&agent, &login("PLAIN", "user", "pencil"), LIMIT), Ok(()), "by stored keys");
    let brief = Duration::from_secs(4);
    for (mechanism, user, password) in [
        ("PLAIN", "shop", "letmein42"),
        ("PLAIN", "user", "letmein42"),
        ("PLAIN", "nobody", "letmein42"),
        ("SCRAM-SHA-256", "shop", "letmein42"),
        ("SCRAM-SHA-512", "nobody", "hunter2, secret"),
        ("SCRAM-SHA-512", "user", "pencil"),
    ] {
        let refused = ask(&agent, &login(mechanism, user, password), brief);
        assert!(refused.is_err(), "{mechanism} {user} {password}");
    }
    assert!(ask(&agent, &[], brief).is_err(), "without a login nothing is told");
    let denied = agent.program.metric("tidegate_agent_ingest_door_denied_logins_total").expect("is told");
    assert!((6.0..60.0).contains(&denied), "{denied} attempts: each is slowed");
    let log = std::fs::read_to_string(agent.launch.log()).expect("the log");
    assert_eq!(log.matches("door_login_denied").count(), 3, "once for each user:\n{log}");
    for secret in ["hunter2", "pencil", "letmein42"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    assert_eq!(agent.program.stop().expect("the agent stops"), 0);
}

struct World {
    _folder: Folder,
    ca: Authority,
    stranger: Authority,
    server: Signed,
    client: Signed,
    expired: Signed,
    strange: Signed,
}

fn world() -> World {
    let folder = Folder::new("certificates").expect("a folder");
    let (ca, stranger) = (Authority::new(folder.path(), "ca"), Authority::new(folder.path(), "stranger"));
    let (server, client) = (ca.sign("server", false), ca.sign("client", false));
    let (expired, strange) = (ca.sign("expired", true), stranger.sign("strange", false));
    World { _folder: folder, ca, stranger, server, client, expired, strange }
}

#[test]
fn librdkafka_through_tls() {
    let world = world();
    let tls = format!("{{ cert_file = \"{}\", key_file = \"{}\" }}", world.server.cert, world.server.key);
    let mut agent = users(&[("door.tls", &tls)]);
    let (ours, strange) = (world.ca.file(), world.stranger.file());
    let with = |ca: &'_ str, login: [(&'static str, &'static str); 4]| -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = login.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        all[0].1 = "sasl_ssl".to_owned();
        all.push(("ssl.ca.location".to_owned(), ca.to_owned()));
        all
    };
    let try_it = |settings: Vec<(String, String)>, limit| {
        let settings: Vec<(&str, &str)> = settings.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        ask(&agent, &settings, limit)
    };
    for mechanism in MECHANISMS {
        let settings = with(&ours, login(mechanism, "shop", "hunter2, secret"));
        assert_eq!(try_it(settings, LIMIT), Ok(()), "{mechanism}");
    }
    let brief = Duration::from_secs(3);
    assert!(try_it(with(&strange, login("PLAIN", "shop", "hunter2, secret")), brief).is_err());
    assert!(
        ask(&agent, &login("PLAIN", "shop", "hunter2, secret"), brief).is_err(),
        "plaintext to a TLS port"
    );
    let line = agent.program.wait_event("door_tls_failed", LIMIT).expect("is told");
    assert!(line.text().contains("remedy"), "{}", line.text());
    let log = std::fs::read_to_string(agent.launch.log()).expect("the log");
    assert!(log.contains("set its security.protocol to SSL or SASL_SSL"), "{log}");
    assert_eq!(agent.program.stop().expect("the agent stops"), 0);
}

#[test]
fn clients_with_and_without_certificates() {
    let world = world();
    let tls = format!(
        "{{ cert_file = \"{}\", key_file = \"{}\", client_ca_file = \"{}\" }}",
        world.server.cert,
        world.server.key,
        world.ca.file()
    );
    let mut agent = Agent::start(&[("door.tls", &tls)]);
    agent.launch.allow(&["door_tls_failed"]);
    let ca = world.ca.file();
    let base = [("security.protocol", "ssl"), ("ssl.ca.location", ca.as_str())];
    let with = |signed: &Signed| -> Result<(), String> {
        let own =
            [("ssl.certificate.location", signed.cert.as_str()), ("ssl.key.location", signed.key.as_str())];
        ask(&agent, &[base, own].concat(), Duration::from_secs(4))
    };
    assert_eq!(with(&world.client), Ok(()));
    assert!(with(&world.expired).is_err() && with(&world.strange).is_err());
    assert!(ask(&agent, &base, Duration::from_secs(3)).is_err(), "without a certificate");
    let log = std::fs::read_to_string(agent.launch.log()).expect("the log");
    for why in ["certificate expired", "no certificates"] {
        assert_eq!(log.matches(why).count(), 1, "{why}:\n{log}");
    }
    assert_eq!(agent.program.stop().expect("the agent stops"), 0);
}

#[test]
fn java_logs_in_through_tls() {
    let world = world();
    let tls = format!("{{ cert_file = \"{}\", key_file = \"{}\" }}", world.server.cert, world.server.key);
    let mut agent = users(&[("door.tls", &tls)]);
    let ca = format!("ssl.truststore.location={}", world.ca.file());
    for (number, mechanism) in MECHANISMS.iter().enumerate() {
        let module = if *mechanism == "PLAIN" { "plain.Plain" } else { "scram.Scram" };
        let entry = |password: &str| {
            format!(
                "sasl.jaas.config=org.apache.kafka.common.security.{module}LoginModule required \
                 username=\"shop\" password=\"{password}\";"
            )
        };
        let mechanism = format!("sasl.mechanism={mechanism}");
        let settings =
            ["security.protocol=SASL_SSL", "ssl.truststore.type=PEM", ca.as_str(), mechanism.as_str()];
        let right = entry("hunter2, secret");
        let all = [&settings[..], &[right.as_str()]].concat();
        let Some(said) = java::door(&agent.brokers(), "produce", "java", &all) else { return };
        assert!(said.is_empty(), "{mechanism}: {said:?}");
        let read = java::door(&agent.brokers(), "read", "java", &all).expect("Java");
        assert_eq!(read.len(), 2 * (number + 1), "{mechanism}: {read:?}");
        let wrong = entry("letmein42");
        let all = [&settings[..], &[wrong.as_str()]].concat();
        let start = Instant::now();
        let said = java::door(&agent.brokers(), "produce", "java", &all).expect("Java");
        assert!(said.concat().contains("SaslAuthenticationException"), "{mechanism}: {said:?}");
        assert!(start.elapsed() < LIMIT, "{mechanism}: refused at once, not left to time out");
    }
    assert_eq!(agent.program.stop().expect("the agent stops"), 0);
}
