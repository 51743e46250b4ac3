// SPDX-License-Identifier: Apache-2.0

//! The public keys that an owner signs versions with (docs/FORMATS.md 2.14).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use types::limits;

use crate::jwk::{Algorithm, Jwk, PublicKey};
use crate::rights::Flaw;

/// Shortest and longest modulus of an RSA key, in bytes.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=512;
/// The one exponent that is taken: 65537.
const RSA_EXPONENT: [u8; 3] = [1, 0, 1];

/// One key: a JWK (RFC 7517) with some more members, and none that is private.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerKey {
    /// Kind of key: `EC`, `OKP` or `RSA`.
    pub kty: String,
    /// Curve: `P-256`, `P-384`, `P-521` or `Ed25519`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// Coordinate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// Coordinate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// Modulus, of 2048 to 4096 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// Exponent, 65537.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
    /// The key's thumbprint (RFC 7638, SHA-256, base64url).
    pub kid: String,
    /// The one algorithm that it is used with, if it is to be only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// `sig`, if anything.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
    /// Whose it is, or where it lies, in words of its owner.
    pub name: String,
    /// After this second since 1970 nothing counts that it signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<u64>,
    /// Whether nothing counts any more that it signed, whenever.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub revoked: bool,
}

impl OwnerKey {
    /// A key with its thumbprint.
    pub fn new(key: &PublicKey, name: &str, not_after: Option<u64>) -> Self {
        let Jwk { kty, crv, x, y, n, e } = key.to_jwk();
        let (kid, name) = (key.thumbprint(), name.to_owned());
        Self { kty, crv, x, y, n, e, kid, alg: None, usage: None, name, not_after, revoked: false }
    }

    /// The key itself.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn public(&self) -> Result<PublicKey, Flaw> {
        let of = |what: &str| format!("the key {:?}: {what}", cut(&self.kid));
        let jwk = Jwk {
            kty: self.kty.clone(),
            crv: self.crv.clone(),
            x: self.x.clone(),
            y: self.y.clone(),
            n: self.n.clone(),
            e: self.e.clone(),
        };
        let key = PublicKey::from_jwk(&jwk).ok_or_else(|| {
            of("wanted is an EC key on P-256, P-384 or P-521, an OKP key on Ed25519, or an RSA key")
        })?;
        // One key has one spelling, hence one thumbprint.
        if key.to_jwk() != jwk {
            return Err(of("it has members of another kind of key, or is not in its one spelling"));
        }
        if let PublicKey::Rsa { n, e } = &key
            && (!RSA_BYTES.contains(&n.len()) || n.first() < Some(&0x80) || *e != RSA_EXPONENT)
        {
            return Err(of(
                "RSA keys have 2048 to 4096 bits, a multiple of 8, and the exponent 65537",
            ));
        }
        if key.thumbprint() != self.kid {
            return Err(of(&format!("`kid` must be its thumbprint, {}", key.thumbprint())));
        }
        Ok(key)
    }

    /// Whether it may be used with this algorithm.
    pub fn takes(&self, key: &PublicKey, algorithm: Algorithm) -> bool {
        key.takes(algorithm) && self.alg.as_ref().is_none_or(|only| only == algorithm.name())
    }

    fn check(&self) -> Result<(), Flaw> {
        let key = self.public()?;
        let of = |what: &str| Err(format!("the key {:?}: {what}", cut(&self.kid)));
        let known = |name: &String| {
            Algorithm::named(name).is_some_and(|alg| key.takes(alg) && alg.name() == name)
        };
        if !self.alg.as_ref().is_none_or(known) {
            return of("`alg` is no algorithm of this kind of key");
        }
        if self.usage.as_ref().is_some_and(|usage| usage != "sig") {
            return of("`use` is another one than sig");
        }
        let printable = self.name.chars().all(|c| matches!(c, ' '..='~'));
        if !(1..=limits::NAME_BYTES_MAX).contains(&self.name.len()) || !printable {
            return of("`name` must have 1 to 64 printable characters of ASCII");
        }
        Ok(())
    }
}

/// All keys of an owner: a JWK set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysDocument {
    /// The keys, each once.
    pub keys: Vec<OwnerKey>,
}

impl KeysDocument {
    /// Whether there can be such a set.
    ///
    /// # Errors
    /// The first flaw.
    pub fn check(&self) -> Result<(), Flaw> {
        if self.keys.len() > limits::OWNER_KEYS_MAX {
            let count = self.keys.len();
            return Err(format!(
                "there are {count} keys; at most {} are taken",
                limits::OWNER_KEYS_MAX
            ));
        }
        let mut seen = BTreeSet::new();
        for key in &self.keys {
            key.check()?;
            if !seen.insert(&key.kid) {
                return Err(format!("the key {:?} is there twice", cut(&key.kid)));
            }
        }
        Ok(())
    }
}

/// What an error shows of a name.
fn cut(name: &str) -> &str {
    name.get(..name.floor_char_boundary(64)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn good() -> Value {
        json!({"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
            "kid": "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s", "name": "laptop"})
    }

    fn check(keys: &[Value]) -> Result<(), String> {
        let document: Result<KeysDocument, _> = serde_json::from_value(json!({ "keys": keys }));
        document.map_err(|error| error.to_string())?.check()
    }

    #[test]
    fn keys_are_public_asymmetric_strong_and_named_by_their_thumbprint() {
        assert_eq!(check(&[good()]), Ok(()));
        assert_eq!(check(&[]), Ok(()));
        assert!(check(&[good(), good()]).unwrap_err().contains("twice"));
        let change = |pairs: &[(&str, Value)]| {
            let mut key = good();
            for (name, value) in pairs {
                key[*name] = value.clone();
            }
            check(&[key])
        };
        let fine: [&[(&str, Value)]; 3] = [
            &[("alg", json!("ES256")), ("use", json!("sig"))],
            &[("not_after", json!(7))],
            &[("revoked", json!(true))],
        ];
        for pairs in fine {
            assert_eq!(change(pairs), Ok(()), "{pairs:?}");
        }
        let n = |bytes: usize, first: u8| {
            use base64::Engine as _;
            let mut n = vec![first; 1];
            n.resize(bytes, 1);
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(n)
        };
        let bad: [(&[(&str, Value)], &str); 16] = [
            (&[("d", json!("AA"))], "unknown field `d`"),
            (&[("k", json!("AA"))], "unknown field `k`"),
            (&[("kty", json!("oct"))], "wanted is"),
            (&[("kty", json!("RSA"))], "wanted is"),
            (&[("crv", json!("P-384"))], "wanted is"),
            (&[("crv", json!("secp256k1"))], "wanted is"),
            (&[("e", json!("AQAB"))], "another kind"),
            (&[("y", json!("AAAA"))], "wanted is"),
            (&[("kid", json!("laptop"))], "thumbprint, cn-I_"),
            (&[("alg", json!("HS256"))], "`alg`"),
            (&[("alg", json!("none"))], "`alg`"),
            (&[("alg", json!("ES384"))], "`alg`"),
            (&[("use", json!("enc"))], "`use`"),
            (&[("name", json!(""))], "`name`"),
            (&[("name", json!("a\nb"))], "`name`"),
            (&[("name", json!("x".repeat(65)))], "`name`"),
        ];
        for (pairs, why) in bad {
            let error = change(pairs).unwrap_err();
            assert!(error.contains(why), "{pairs:?}: {error}");
        }
        let rsa = |n: String, e: &str| {
            check(&[json!({"kty": "RSA", "n": n, "e": e, "kid": "x", "name": "x"})]).unwrap_err()
        };
        assert!(rsa(n(256, 0x80), "AQAB").contains("thumbprint"));
        assert!(rsa(n(512, 0x80), "AQAB").contains("thumbprint"));
        for weak in [
            rsa(n(128, 0x80), "AQAB"),
            rsa(n(513, 0x80), "AQAB"),
            rsa(n(256, 0x7f), "AQAB"),
            rsa(n(257, 0), "AQAB"),
            rsa(n(256, 0x80), "Aw"),
        ] {
            assert!(weak.contains("2048 to 4096"), "{weak}");
        }
        assert!(check(&vec![good(); limits::OWNER_KEYS_MAX + 1]).unwrap_err().contains("at most"));
    }

    #[test]
    fn a_key_is_written_as_it_was_read() {
        let document: KeysDocument = serde_json::from_value(json!({"keys": [good()]})).unwrap();
        assert_eq!(serde_json::to_value(&document).unwrap(), json!({"keys": [good()]}));
        let key = document.keys[0].public().unwrap();
        assert_eq!(OwnerKey::new(&key, "laptop", None), document.keys[0]);
    }
}
