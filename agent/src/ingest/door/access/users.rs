//! The users as the door keeps them: for each SCRAM mechanism the keys, for PLAIN the password.
//!
//! Who is not known is answered like everybody else, up to the refusal: from a secret of this
//! process the same salt is made for the same name each time, and keys that nobody can have.

use crate::config::door::{DoorConfig, Hash, Scram};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};
use shared::secret::Secret;
use std::collections::HashMap;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// As PostgreSQL and Kafka; RFC 7677 asks for no fewer.
const ITERATIONS: u32 = 4_096;
const SALT_BYTES: usize = 16;

pub(in super::super) struct Users {
    by_name: HashMap<String, User>,
    /// Of this process: for those who are not known.
    secret: [u8; 32],
}

struct User {
    password: Option<Secret>,
    keys: Vec<Scram>,
    bytes_per_second: Option<u64>,
}

impl Users {
    /// Derives the keys of those who are given by their password: some milliseconds each.
    pub fn new(config: &DoorConfig) -> Users {
        let by_name = config.user.iter().map(|user| {
            let keys = match &user.password {
                Some(password) => {
                    let salt = Uuid::new_v4().into_bytes();
                    [Hash::Sha256, Hash::Sha512]
                        .map(|hash| derive(hash, password.expose(), &salt, ITERATIONS))
                        .into()
                }
                None => user.keys().unwrap_or_default(),
            };
            let password = user.password.clone();
            (user.name.clone(), User { password, keys, bytes_per_second: user.bytes_per_second })
        });
        let mut secret = [0; 32];
        secret[..16].copy_from_slice(Uuid::new_v4().as_bytes());
        secret[16..].copy_from_slice(Uuid::new_v4().as_bytes());
        Users { by_name: by_name.collect(), secret }
    }

    /// Whether everybody may come in.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// A user's own limit, if there is one.
    pub fn bytes_per_second(&self, name: &str) -> Option<u64> {
        self.by_name.get(name).and_then(|user| user.bytes_per_second)
    }

    /// The keys for a name; made up if it is not known or may not take this mechanism.
    pub fn keys(&self, name: &str, hash: Hash) -> Scram {
        let known = self.by_name.get(name).and_then(|user| user.keys.iter().find(|keys| keys.hash == hash));
        known.cloned().unwrap_or_else(|| self.made_up(name, hash))
    }

    fn made_up(&self, name: &str, hash: Hash) -> Scram {
        let from = |what: &str| mac(hash, &self.secret, &[what.as_bytes(), name.as_bytes()]);
        let mut salt = from("salt");
        salt.truncate(SALT_BYTES);
        Scram { hash, iterations: ITERATIONS, salt, stored_key: from("stored"), server_key: from("server") }
    }

    /// Whether this is the user's password. Takes as long for a user who is not known.
    pub fn has_password(&self, name: &str, password: &str) -> bool {
        let user = self.by_name.get(name);
        if let Some(known) = user.and_then(|user| user.password.as_ref()) {
            // Of equal length, whatever the passwords are.
            let digest = |text: &str| Sha256::digest(text.as_bytes());
            return bool::from(digest(known.expose()).ct_eq(&digest(password)));
        }
        let keys = user.and_then(|user| user.keys.first()).cloned();
        let keys = keys.unwrap_or_else(|| self.made_up(name, Hash::Sha256));
        let tried = derive(keys.hash, password, &keys.salt, keys.iterations);
        bool::from(tried.stored_key.ct_eq(&keys.stored_key))
    }
}

/// A server's keys for a password, see RFC 5802.
pub(super) fn derive(hash: Hash, password: &str, salt: &[u8], iterations: u32) -> Scram {
    let mut salted = vec![0; hash.bytes()];
    match hash {
        Hash::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut salted),
        Hash::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password.as_bytes(), salt, iterations, &mut salted),
    }
    let client_key = mac(hash, &salted, &[b"Client Key"]);
    Scram {
        hash,
        iterations,
        salt: salt.to_vec(),
        stored_key: digest(hash, &client_key),
        server_key: mac(hash, &salted, &[b"Server Key"]),
    }
}

pub(super) fn digest(hash: Hash, bytes: &[u8]) -> Vec<u8> {
    match hash {
        Hash::Sha256 => Sha256::digest(bytes).to_vec(),
        Hash::Sha512 => Sha512::digest(bytes).to_vec(),
    }
}

pub(super) fn mac(hash: Hash, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    fn with<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().to_vec()
    }
    match hash {
        Hash::Sha256 => with::<Hmac<Sha256>>(key, parts),
        Hash::Sha512 => with::<Hmac<Sha512>>(key, parts),
    }
}
