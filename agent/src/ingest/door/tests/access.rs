//! Logins and limits over a socket, against clients that do not keep to the rules.

use super::socket::{Served, batch_of, produce_to, produced};
use super::*;
use crate::config::door::{DoorConfig, UserConfig};
use shared::secret::Secret;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

fn users() -> DoorConfig {
    let user = UserConfig {
        name: "shop".to_owned(),
        password: Some(Secret::new("hunter2")),
        ..UserConfig::default()
    };
    DoorConfig { user: vec![user], frame_timeout: Duration::from_secs(2), ..DoorConfig::default() }
}

fn handshake(mechanism: &'static str) -> SaslHandshakeRequest {
    SaslHandshakeRequest::default().with_mechanism(text(mechanism))
}

fn message(bytes: &'static [u8]) -> SaslAuthenticateRequest {
    SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from_static(bytes))
}

#[test]
fn nothing_is_answered_before_a_login() {
    let served = Served::new("login", users());
    for (api, version) in every_version() {
        if matches!(api.key, ApiKey::ApiVersions | ApiKey::SaslHandshake | ApiKey::SaslAuthenticate) {
            continue;
        }
        if version == *api.served.start() {
            let mut client = served.client();
            client.send(&sample(api, version));
            assert!(client.is_closed(), "{:?}", api.key);
        }
    }
    let mut client = served.client();
    let unknown: SaslHandshakeResponse = client.ask(ApiKey::SaslHandshake, 1, &handshake("GSSAPI"));
    assert_eq!((unknown.error_code, unknown.mechanisms.len()), (33, 3));
    let known: SaslHandshakeResponse = client.ask(ApiKey::SaslHandshake, 1, &handshake("PLAIN"));
    assert_eq!(known.error_code, 0);
    let welcome: SaslAuthenticateResponse =
        client.ask(ApiKey::SaslAuthenticate, 2, &message(b"\0shop\0hunter2"));
    assert_eq!(welcome.error_code, 0);
    let _: MetadataResponse = client.ask(ApiKey::Metadata, 13, &MetadataRequest::default());
}

/// A stranger may not even begin to send much.
#[test]
fn a_large_frame_before_a_login_is_refused_at_its_length() {
    let served = Served::new("stranger", users());
    let mut client = served.client();
    client.0.write_all(&(64 * 1024 + 1i32).to_be_bytes()).expect("sends");
    assert!(client.is_closed());
}

#[test]
fn a_wrong_password_comes_late_and_ends_the_connection() {
    let served = Served::new("denied", users());
    for wrong in [&b"\0shop\0hunter3"[..], b"\0nobody\0hunter2", b"shop", b"", b"\xff\xff"] {
        let mut client = served.client();
        let _: SaslHandshakeResponse = client.ask(ApiKey::SaslHandshake, 1, &handshake("PLAIN"));
        let start = Instant::now();
        let denied: SaslAuthenticateResponse = client.ask(ApiKey::SaslAuthenticate, 2, &message(wrong));
        assert_eq!(denied.error_code, 58, "{wrong:?}");
        assert!(start.elapsed() >= Duration::from_millis(900), "{wrong:?}");
        assert!(client.is_closed(), "{wrong:?}");
    }
}

/// The oldest way: after the handshake, messages without Kafka's heads.
#[test]
fn a_login_without_heads() {
    let served = Served::new("bare", users());
    for (password, is_in) in [(&b"\0shop\0hunter2"[..], true), (b"\0shop\0wrong", false)] {
        let mut client = served.client();
        let _: SaslHandshakeResponse = client.ask(ApiKey::SaslHandshake, 0, &handshake("PLAIN"));
        client.send(password);
        if is_in {
            assert!(client.receive().is_empty());
            let _: MetadataResponse = client.ask(ApiKey::Metadata, 13, &MetadataRequest::default());
        } else {
            assert!(client.is_closed());
        }
    }
}

/// Who has to log in and does not is gone soon, and so is who only begins.
#[test]
fn who_does_not_log_in_is_sent_away() {
    let served = Served::new("idle", users());
    let (mut silent, mut begins) = (served.client(), served.client());
    let _: SaslHandshakeResponse = begins.ask(ApiKey::SaslHandshake, 1, &handshake("SCRAM-SHA-256"));
    let start = Instant::now();
    assert!(silent.is_closed() && begins.is_closed());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[test]
fn one_address_has_so_many_connections_and_no_more() {
    let served =
        Served::new("address", DoorConfig { max_connections_per_address: 2, ..DoorConfig::default() });
    let (mut one, mut two) = (served.client(), served.client());
    for client in [&mut one, &mut two] {
        let _: MetadataResponse = client.ask(ApiKey::Metadata, 13, &MetadataRequest::default());
    }
    assert!(served.client().is_closed());
    let _: MetadataResponse = one.ask(ApiKey::Metadata, 13, &MetadataRequest::default());
}

/// 300 kB at 100 kB/s, of which the first second is free.
#[test]
fn who_sends_more_than_it_may_is_read_from_later() {
    let served = Served::new("quota", DoorConfig { bytes_per_second: 100_000, ..DoorConfig::default() });
    let mut client = served.client();
    let request = produce_to(&served, 9, TOPICS[0], 0, Some(batch_of(60_000)));
    let start = Instant::now();
    for _ in 0..5 {
        let answer: ProduceResponse = client.ask(ApiKey::Produce, 9, &request);
        assert_eq!(produced(&answer).0, 0);
    }
    let took = start.elapsed();
    assert!((Duration::from_millis(1_200)..Duration::from_secs(10)).contains(&took), "took {took:?}");
}

/// Fifty that begin a frame and never end it: the others are served, and they are gone soon.
#[test]
fn half_a_frame_is_not_waited_for() {
    let served = Served::new(
        "half",
        DoorConfig { frame_timeout: Duration::from_millis(300), ..DoorConfig::default() },
    );
    let mut clients: Vec<_> = (0..50).map(|_| served.client()).collect();
    for client in &mut clients {
        client.0.write_all(&[0, 0, 4, 0, 0]).expect("sends");
    }
    let mut other = served.client();
    let _: MetadataResponse = other.ask(ApiKey::Metadata, 13, &MetadataRequest::default());
    for client in &mut clients {
        assert!(matches!(client.0.read(&mut [0; 1]), Ok(0) | Err(_)));
    }
}
