//! `[[door.user]]`: a name with a password, or with the keys that SCRAM derives from one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use shared::secret::Secret;
use shared::{Error, Kind, Result};

/// Fewer can be tried by whoever steals the keys, see RFC 7677; more cost time at each login.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4_096..=1_000_000;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UserConfig {
    pub name: String,
    /// For every mechanism.
    pub password: Option<Secret>,
    /// Instead of the password: `SCRAM-SHA-256$ITERATIONS:SALT$STORED_KEY:SERVER_KEY`, in base64, as
    /// PostgreSQL keeps them; one for each mechanism that this user may take (PLAIN takes any).
    pub scram: Vec<Secret>,
    /// What this user may send and fetch, instead of `door.bytes_per_second`.
    pub bytes_per_second: Option<u64>,
}

/// The hash of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    Sha256,
    Sha512,
}

/// What a server keeps instead of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Scram {
    pub hash: Hash,
    pub iterations: u32,
    pub salt: Vec<u8>,
    pub stored_key: Vec<u8>,
    pub server_key: Vec<u8>,
}

impl Hash {
    pub const fn bytes(self) -> usize {
        match self {
            Hash::Sha256 => 32,
            Hash::Sha512 => 64,
        }
    }

    pub fn of_mechanism(name: &str) -> Option<Hash> {
        match name {
            "SCRAM-SHA-256" => Some(Hash::Sha256),
            "SCRAM-SHA-512" => Some(Hash::Sha512),
            _ => None,
        }
    }
}

impl UserConfig {
    pub(super) fn check(&self) -> Result<()> {
        let wrong =
            |what: &str| Err(Error::new(Kind::Config, format!("[[door.user]] {:?} {what}", self.name)));
        if self.name.is_empty() || self.name.len() > 256 {
            return wrong("needs a name of at most 256 bytes");
        }
        match &self.password {
            Some(password) if password.is_empty() => return wrong("has an empty password"),
            Some(_) if !self.scram.is_empty() => {
                return wrong("has a password and scram keys: give one of them");
            }
            None if self.scram.is_empty() => return wrong("needs a password or scram keys"),
            _ => {}
        }
        if self.bytes_per_second.is_some_and(|limit| limit != 0 && limit < 1_024) {
            return wrong("may have bytes_per_second 0 (no limit) or at least 1024");
        }
        if self.keys().is_none() {
            return wrong(
                "has scram keys that are not SCRAM-SHA-256$ITERATIONS:SALT$STORED_KEY:SERVER_KEY \
                          (or SCRAM-SHA-512$…) in base64, with 4096 to 1000000 iterations",
            );
        }
        Ok(())
    }

    /// The keys given; `None` if they are malformed.
    pub fn keys(&self) -> Option<Vec<Scram>> {
        self.scram.iter().map(|text| parse(text.expose())).collect()
    }
}

fn parse(text: &str) -> Option<Scram> {
    let mut parts = text.split('$');
    let hash = Hash::of_mechanism(parts.next()?)?;
    let (iterations, salt) = parts.next()?.split_once(':')?;
    let (stored_key, server_key) = parts.next()?.split_once(':')?;
    let decode = |text: &str| BASE64.decode(text).ok();
    let scram = Scram {
        hash,
        iterations: iterations.parse().ok()?,
        salt: decode(salt)?,
        stored_key: decode(stored_key)?,
        server_key: decode(server_key)?,
    };
    let right_size = [&scram.stored_key, &scram.server_key].iter().all(|key| key.len() == hash.bytes());
    let sound = right_size && !scram.salt.is_empty() && ITERATIONS.contains(&scram.iterations);
    (sound && parts.next().is_none()).then_some(scram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_checked() {
        let key = BASE64.encode([7; 32]);
        let long = BASE64.encode([7; 64]);
        for (text, sound) in [
            (format!("SCRAM-SHA-256$4096:c2FsdA==${key}:{key}"), true),
            (format!("SCRAM-SHA-512$8192:c2FsdA==${long}:{long}"), true),
            (format!("SCRAM-SHA-512$8192:c2FsdA==${key}:{key}"), false),
            (format!("SCRAM-SHA-256$4095:c2FsdA==${key}:{key}"), false),
            (format!("SCRAM-SHA-256$4096:${key}:{key}"), false),
            (format!("SCRAM-SHA-1$4096:c2FsdA==${key}:{key}"), false),
            (format!("SCRAM-SHA-256$4096:c2FsdA==${key}:{key}$"), false),
            ("hunter2".to_owned(), false),
        ] {
            let user = UserConfig {
                name: "u".to_owned(),
                scram: vec![Secret::new(text.clone())],
                ..Default::default()
            };
            assert_eq!(user.check().is_ok(), sound, "{text}");
        }
    }

    #[test]
    fn a_user_has_a_name_and_one_secret() {
        let user = |name: &str, password: Option<&str>| UserConfig {
            name: name.to_owned(),
            password: password.map(Secret::new),
            ..Default::default()
        };
        assert!(user("edge", Some("p")).check().is_ok());
        for wrong in [user("", Some("p")), user("edge", None), user("edge", Some(""))] {
            let error = wrong.check().expect_err("is refused").to_string();
            assert!(error.contains("[[door.user]]"), "{error}");
        }
    }
}
