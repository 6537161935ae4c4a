//! The server's side of SCRAM (RFC 5802): two messages in, two out; pure, and bounded by what a
//! request may hold.
//!
//! ```text
//! n,,n=user,r=CLIENT ─>  r=CLIENT SERVER,s=salt,i=iterations
//! c=biws,r=…,p=proof ─>  v=signature
//! ```

use super::users::{Users, digest, mac};
use crate::config::door::{Hash, Scram};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use subtle::ConstantTimeEq;

/// What lies between the two messages.
pub(in super::super) struct Challenge {
    pub user: String,
    keys: Scram,
    /// `n,,` or `y,,` in base64, which the client repeats.
    header: String,
    nonce: String,
    /// Both first messages, which the proof covers.
    so_far: String,
}

/// The answer to a client's first message; `None` if it is none.
pub(in super::super) fn first(
    users: &Users,
    hash: Hash,
    message: &str,
    server_nonce: &str,
) -> Option<(Challenge, String)> {
    let (flag, rest) = message.split_once(',')?;
    // `p=` asks for a binding to the TLS channel, which no mechanism here has.
    if !matches!(flag, "n" | "y") {
        return None;
    }
    let (identity, bare) = rest.split_once(',')?;
    if !identity.is_empty() && !identity.starts_with("a=") {
        return None;
    }
    let mut attributes = bare.split(',');
    let user = name(attributes.next()?.strip_prefix("n=")?)?;
    let client_nonce = attributes.next()?.strip_prefix("r=").filter(|nonce| !nonce.is_empty())?;
    let keys = users.keys(&user, hash);
    let nonce = format!("{client_nonce}{server_nonce}");
    let answer = format!("r={nonce},s={},i={}", BASE64.encode(&keys.salt), keys.iterations);
    let header = BASE64.encode(format!("{flag},{identity},"));
    let so_far = format!("{bare},{answer}");
    Some((Challenge { user, keys, header, nonce, so_far }, answer))
}

/// `=2C` is a comma and `=3D` an equals sign.
fn name(text: &str) -> Option<String> {
    let plain = text.replace("=2C", ",").replace("=3D", "=");
    let sound = text.matches('=').count() == text.matches("=2C").count() + text.matches("=3D").count();
    (sound && !plain.is_empty()).then_some(plain)
}

impl Challenge {
    /// The answer to the client's second message if the proof is right.
    pub fn last(&self, message: &str) -> Option<String> {
        let (without_proof, proof) = message.rsplit_once(",p=")?;
        let mut attributes = without_proof.split(',');
        if attributes.next()?.strip_prefix("c=")? != self.header {
            return None;
        }
        if attributes.next()?.strip_prefix("r=")? != self.nonce {
            return None;
        }
        let proof = BASE64.decode(proof).ok()?;
        let Scram { hash, stored_key, server_key, .. } = &self.keys;
        let covered = [self.so_far.as_bytes(), b",", without_proof.as_bytes()];
        let signature = mac(*hash, stored_key, &covered);
        if proof.len() != signature.len() {
            return None;
        }
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(one, other)| one ^ other).collect();
        let right = bool::from(digest(*hash, &client_key).ct_eq(stored_key));
        right.then(|| format!("v={}", BASE64.encode(mac(*hash, server_key, &covered))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::door::{DoorConfig, UserConfig};
    use crate::ingest::door::access::users::derive;
    use shared::secret::Secret;

    /// The exchange that RFC 7677 prints for SHA-256.
    #[test]
    fn the_example_of_the_rfc() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
        let keys = derive(Hash::Sha256, "pencil", &salt, 4_096);
        let text = |bytes: &[u8]| BASE64.encode(bytes);
        let stored = format!(
            "SCRAM-SHA-256$4096:{}${}:{}",
            text(&salt),
            text(&keys.stored_key),
            text(&keys.server_key)
        );
        let user = UserConfig { name: "user".into(), scram: vec![Secret::new(stored)], ..Default::default() };
        let users = Users::new(&DoorConfig { user: vec![user], ..DoorConfig::default() });
        let (challenge, answer) =
            first(&users, Hash::Sha256, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
                .expect("a first message");
        assert_eq!(
            answer,
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let signature = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(challenge.last(last).as_deref(), Some(signature));
        for wrong in [
            last.replace("biws", "eSws"),
            last.replace("%hv", "%hw"),
            last.replace("dHzb", "dHzc"),
            last.replace(",p=", ",q="),
            String::new(),
        ] {
            assert_eq!(challenge.last(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn first_messages() {
        let users = Users::new(&DoorConfig::default());
        for (message, user) in [
            ("n,,n=a,r=x", Some("a")),
            ("y,,n=a,r=x", Some("a")),
            ("n,a=other,n=a,r=x", Some("a")),
            ("n,,n=a=2Cb=3Dc,r=x", Some("a,b=c")),
            ("n,,n=a,r=x,tokenauth=true", Some("a")),
            ("p=tls-unique,,n=a,r=x", None),
            ("n,,n=a=b,r=x", None),
            ("n,,n=,r=x", None),
            ("n,,n=a,r=", None),
            ("n,,r=x,n=a", None),
            ("n,,n=a", None),
            ("", None),
        ] {
            let got = first(&users, Hash::Sha512, message, "y").map(|(challenge, _)| challenge.user);
            assert_eq!(got.as_deref(), user, "{message}");
        }
    }

    /// A stranger's salt stays the same, as a user's does.
    #[test]
    fn strangers_look_like_users() {
        let users = Users::new(&DoorConfig::default());
        let ask =
            |name: &str| first(&users, Hash::Sha256, &format!("n,,n={name},r=x"), "y").expect("is one").1;
        assert_eq!(ask("a"), ask("a"));
        assert_ne!(ask("a"), ask("b"));
        assert!(!users.has_password("a", ""));
    }
}
