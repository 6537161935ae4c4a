//! SaslHandshake and SaslAuthenticate: how a client says who it is.
//!
//! ```text
//! ApiVersions ─> SaslHandshake(mechanism) ─> SaslAuthenticate … ─> everything else
//! ```
//! Before that nothing else is answered. After a version-0 handshake the messages come without
//! Kafka's heads, as bare bytes. A refusal comes late, so that guessing takes long, and ends the
//! connection; what was wrong is not said.

use super::super::answer::{Answer, Asked, Pending, code, text};
use super::super::door::Door;
use super::super::wire::{Fields, Read};
use super::scram::{self, Challenge};
use crate::config::door::Hash;
use crate::metrics;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{SaslAuthenticateResponse, SaslHandshakeResponse};
use kafka_protocol::protocol::StrBytes;
use std::net::IpAddr;
use std::time::Duration;
use uuid::Uuid;

/// A wrong password is answered after this time, on a connection that then ends.
const REFUSED_AFTER: Duration = Duration::from_secs(1);

/// Where a client stands.
#[derive(Default)]
pub(in super::super) enum Login {
    /// Has said nothing yet.
    #[default]
    Unknown,
    /// Has chosen a mechanism.
    Chosen {
        mechanism: Mechanism,
        bare: bool,
    },
    /// Has sent its first message.
    Challenged {
        challenge: Box<Challenge>,
        bare: bool,
    },
    In(String),
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Mechanism {
    Plain,
    Scram(Hash),
}

impl Mechanism {
    fn named(door: &Door, name: &str) -> Option<Mechanism> {
        door.config.sasl_mechanisms.iter().find(|offered| *offered == name)?;
        match name {
            "PLAIN" => Some(Mechanism::Plain),
            name => Hash::of_mechanism(name).map(Mechanism::Scram),
        }
    }
}

/// What is said back to a message.
enum Said {
    More(String),
    In(String),
    No { user: String },
}

impl Login {
    /// Whether the next frame is a message without Kafka's head.
    pub fn is_bare(&self) -> bool {
        matches!(self, Login::Chosen { bare: true, .. } | Login::Challenged { bare: true, .. })
    }

    pub fn is_in(&self) -> bool {
        matches!(self, Login::In(_))
    }

    pub fn is_refused(&self) -> bool {
        matches!(self, Login::Refused)
    }

    pub fn user(&self) -> Option<&str> {
        match self {
            Login::In(user) => Some(user),
            _ => None,
        }
    }

    pub fn handshake(&mut self, door: &Door, mechanism: &str, asked: Asked) -> Pending {
        let names = door.config.sasl_mechanisms.iter().map(|name| text(name)).collect();
        let body = SaslHandshakeResponse::default();
        if door.users.is_empty() || self.is_in() {
            return asked.ready(&body.with_error_code(code(ResponseError::IllegalSaslState)));
        }
        let body = body.with_mechanisms(names);
        match Mechanism::named(door, mechanism) {
            Some(mechanism) => {
                *self = Login::Chosen { mechanism, bare: asked.version == 0 };
                asked.ready(&body)
            }
            None => asked.ready(&body.with_error_code(code(ResponseError::UnsupportedSaslMechanism))),
        }
    }

    pub fn authenticate(&mut self, door: &Door, peer: IpAddr, message: &[u8], asked: Asked) -> Pending {
        let body = SaslAuthenticateResponse::default();
        match self.step(door, message) {
            Some(Said::More(answer)) => asked.ready(&body.with_auth_bytes(Bytes::from(answer))),
            Some(Said::In(answer)) => asked.ready(&body.with_auth_bytes(Bytes::from(answer))),
            Some(Said::No { user }) => {
                note(door, peer, &user);
                let words = StrBytes::from_static_str("user or password is wrong");
                let error = code(ResponseError::SaslAuthenticationFailed);
                late(asked.ready(&body.with_error_code(error).with_error_message(Some(words))))
            }
            None => {
                *self = Login::Refused;
                asked.ready(&body.with_error_code(code(ResponseError::IllegalSaslState)))
            }
        }
    }

    /// As [`Login::authenticate`], for bytes without a head: a refusal is the connection's end.
    pub fn bare_message(&mut self, door: &Door, peer: IpAddr, message: &[u8]) -> Pending {
        let answer = match self.step(door, message) {
            Some(Said::More(answer) | Said::In(answer)) => {
                let mut frame = BytesMut::with_capacity(4 + answer.len());
                frame.put_u32(u32::try_from(answer.len()).unwrap_or_default());
                frame.put_slice(answer.as_bytes());
                Some(Answer { bytes: frame.freeze(), memory: None })
            }
            Some(Said::No { user }) => {
                note(door, peer, &user);
                return late(Box::pin(std::future::ready(Ok(None))));
            }
            None => None,
        };
        Box::pin(std::future::ready(Ok(answer)))
    }

    /// `None`: this was not the moment for a message.
    fn step(&mut self, door: &Door, message: &[u8]) -> Option<Said> {
        let message = std::str::from_utf8(message).unwrap_or_default();
        let (said, next) = match std::mem::take(self) {
            Login::Chosen { mechanism: Mechanism::Plain, .. } => (plain(door, message), None),
            Login::Chosen { mechanism: Mechanism::Scram(hash), bare } => {
                let server_nonce = Uuid::new_v4().simple().to_string();
                match scram::first(&door.users, hash, message, &server_nonce) {
                    Some((challenge, answer)) => {
                        let challenge = Box::new(challenge);
                        (Said::More(answer), Some(Login::Challenged { challenge, bare }))
                    }
                    None => (Said::No { user: String::new() }, None),
                }
            }
            Login::Challenged { challenge, .. } => match challenge.last(message) {
                Some(answer) => {
                    *self = Login::In(challenge.user);
                    return Some(Said::In(answer));
                }
                None => (Said::No { user: challenge.user }, None),
            },
            other => {
                *self = other;
                return None;
            }
        };
        *self = match (&said, next) {
            (_, Some(next)) => next,
            (Said::In(user), None) => Login::In(user.clone()),
            _ => Login::Refused,
        };
        Some(match said {
            Said::In(_) => Said::In(String::new()),
            other => other,
        })
    }
}

/// `[as whom] NUL user NUL password`; the user, who is in, or not.
fn plain(door: &Door, message: &str) -> Said {
    let mut parts = message.split('\0');
    let (Some(_), Some(user), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Said::No { user: String::new() };
    };
    match door.users.has_password(user, password) {
        true => Said::In(user.to_owned()),
        false => Said::No { user: user.to_owned() },
    }
}

/// Told once per address and user, with no secret.
fn note(door: &Door, peer: IpAddr, user: &str) {
    metrics::DOOR_DENIED_LOGINS.inc();
    let user: String = user.chars().take(64).collect();
    if door.is_new(format!("login {peer} {user}")) {
        tracing::warn!(
            event = "door_login_denied", %peer, user = format!("{user:?}"),
            remedy = "set the client's sasl.username, sasl.password and mechanism as [[door.user]] has them",
            "a client's user or password is wrong"
        );
    }
}

fn late(answer: Pending) -> Pending {
    Box::pin(async move {
        tokio::time::sleep(REFUSED_AFTER).await;
        answer.await
    })
}

#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Handshake<'a> {
    pub mechanism: &'a str,
}

pub(in super::super) fn decode_handshake<'a>(fields: &mut Fields<'a>) -> Read<Handshake<'a>> {
    Ok(Handshake { mechanism: fields.string()? })
}

/// Where the message stands in the frame.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Authenticate {
    pub message: std::ops::Range<usize>,
}

pub(in super::super) fn decode_authenticate(fields: &mut Fields<'_>) -> Read<Authenticate> {
    let message = fields.nullable_bytes()?.unwrap_or_default();
    fields.tags()?;
    Ok(Authenticate { message })
}
