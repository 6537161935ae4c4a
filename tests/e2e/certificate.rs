//! Certificates of the doors are renewed while the agent runs.

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use stack::folder::Folder;
use stack::process::Signal;
use std::process::Command;
use std::time::Duration;
use support::certificate::{Authority, Signed};
use support::edge::Agent;
use support::eventually;

const LIMIT: Duration = Duration::from_secs(30);

/// The name in the certificate that a new connection is shown.
fn shown(port: u16) -> String {
    let mut command = Command::new("sh");
    let text = format!(
        "openssl s_client -connect 127.0.0.1:{port} </dev/null 2>/dev/null | openssl x509 -noout -subject"
    );
    let output = command.args(["-c", &text]).output().expect("openssl");
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    text.rsplit('=').next().unwrap_or_default().trim().to_owned()
}

fn replace(from: &Signed, to: &Signed) {
    // As those who renew do it: beside it, then in its place.
    for (from, to) in [(&from.cert, &to.cert), (&from.key, &to.key)] {
        let fresh = format!("{to}.new");
        std::fs::copy(from, &fresh).expect("copied");
        std::fs::rename(&fresh, to).expect("renamed");
    }
}

#[test]
fn new_connections_get_the_new_certificate_and_a_broken_one_changes_nothing() {
    let folder = Folder::new("certificate").expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let served = authority.sign("first", false);
    let (second, third) = (authority.sign("second", false), authority.sign("third", false));
    let free = stack::port::free().expect("a free port");
    let listen = format!("127.0.0.1:{free}");
    let mut settings = vec![("push.listen", listen.as_str())];
    for door in ["door", "registry", "push"] {
        let key = |name: &str| &*format!("{door}.tls.{name}").leak();
        settings.extend([(key("cert_file"), &*served.cert), (key("key_file"), &*served.key)]);
    }
    let mut agent = Agent::start(&settings);
    agent.launch.allow(&["web_certificate_unfit", "door_tls_failed"]);
    let ports = [agent.door, agent.registry, free];
    assert_eq!(ports.map(shown), ["first"; 3]);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", agent.brokers())
        .set("security.protocol", "ssl")
        .set("ssl.ca.location", authority.file())
        .create()
        .expect("a producer");
    let produce = || {
        producer.send(BaseRecord::<str, str>::to("t").payload("x")).map_err(|(e, _)| e).expect("room");
        producer.flush(LIMIT).expect("acknowledged");
    };
    produce();

    std::fs::write(&served.cert, "broken").expect("written");
    agent.program.signal(Signal::Hup).expect("a signal");
    let line = agent.program.wait_event("web_certificate_unfit", LIMIT).expect("it says so");
    assert!(line.field("error").contains("first.pem"), "{line:?}");
    assert_eq!(ports.map(shown), ["first"; 3], "the old one stays");

    replace(&second, &served);
    agent.program.signal(Signal::Hup).expect("a signal");
    eventually(Duration::from_secs(4), "all doors show it at once", || {
        (ports.map(shown) == ["second"; 3]).then_some(())
    });
    produce();

    // Without a word, by looking at the files.
    replace(&third, &served);
    eventually(LIMIT, "all doors show it", || (ports.map(shown) == ["third"; 3]).then_some(()));
    produce();
    assert_eq!(agent.program.stop().expect("it stops"), 0);
}
