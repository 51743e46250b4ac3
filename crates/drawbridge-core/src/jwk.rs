// SPDX-License-Identifier: Apache-2.0

//! Public keys as JOSE writes them (RFC 7517, 7518, 8037), and what each can check. Asymmetric ones only: there are no others
//! here, so that nobody's public key is ever taken for a secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use types::digest::Sha256;

/// The asymmetric algorithms of RFC 7518 section 3.1 and RFC 8037.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names are the standard's")]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

impl Algorithm {
    /// The algorithm of this name; RFC 9864's name counts as well.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            // RFC 9864 calls the one curve that is taken by its own name.
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }

    /// The name of RFC 7518 and RFC 8037.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Whether RSA keys do it.
    pub const fn is_rsa(self) -> bool {
        !matches!(self, Self::Es256 | Self::Es384 | Self::Es512 | Self::EdDsa)
    }
}

/// A curve with the one algorithm that it is used with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names are the standard's")]
pub enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    fn named(name: &str) -> Option<Self> {
        match name {
            "P-256" => Some(Self::P256),
            "P-384" => Some(Self::P384),
            "P-521" => Some(Self::P521),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// What it is used with.
    pub const fn algorithm(self) -> Algorithm {
        match self {
            Self::P256 => Algorithm::Es256,
            Self::P384 => Algorithm::Es384,
            Self::P521 => Algorithm::Es512,
        }
    }

    /// Length of a coordinate in bytes.
    const fn coordinate_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// Modulus and exponent, as unsigned numbers, most significant byte first.
    Rsa {
        /// Modulus.
        n: Vec<u8>,
        /// Exponent.
        e: Vec<u8>,
    },
    /// A curve, and the point: a byte 4, x and y.
    Ec(Curve, Vec<u8>),
    /// Of 32 bytes.
    Ed25519(Vec<u8>),
}

/// The members of a JWK that make the key (RFC 7518 section 6, RFC 8037 section 2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// Kind of key.
    pub kty: String,
    /// Curve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// Coordinate, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// Coordinate, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// Modulus, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// Exponent, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
}

impl PublicKey {
    /// The key that a JWK says; `None` if it is of no kind that is taken, or has not what that kind needs.
    pub fn from_jwk(jwk: &Jwk) -> Option<Self> {
        let bytes = |part: &Option<String>| URL_SAFE_NO_PAD.decode(part.as_ref()?).ok();
        let exactly = |part, length| bytes(part).filter(|b| b.len() == length);
        Some(match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", None) => Self::Rsa { n: bytes(&jwk.n)?, e: bytes(&jwk.e)? },
            ("EC", Some(curve)) => {
                let curve = Curve::named(curve)?;
                let length = curve.coordinate_bytes();
                let (x, y) = (exactly(&jwk.x, length)?, exactly(&jwk.y, length)?);
                Self::Ec(curve, [vec![4], x, y].concat())
            }
            ("OKP", Some("Ed25519")) => Self::Ed25519(exactly(&jwk.x, 32)?),
            _ => return None,
        })
    }

    /// The point of a curve, uncompressed: a byte 4, x and y. `None` if it is of none.
    pub fn from_point(point: &[u8]) -> Option<Self> {
        let curves = [Curve::P256, Curve::P384, Curve::P521];
        let curve =
            curves.into_iter().find(|curve| point.len() == 1 + 2 * curve.coordinate_bytes())?;
        (point.first() == Some(&4)).then(|| Self::Ec(curve, point.to_vec()))
    }

    /// An RSA key by the DER of its `RSAPublicKey` (RFC 8017 appendix A.1.1); `None` if it is not that.
    pub fn from_rsa_der(der: &[u8]) -> Option<Self> {
        let (body, rest) = der_value(der, 0x30)?;
        let (n, after) = der_value(body, 0x02)?;
        let (e, end) = der_value(after, 0x02)?;
        // Positive numbers; a zero in front says just that.
        let number = |bytes: &[u8]| match bytes {
            [0, high, ..] if *high >= 0x80 => bytes.get(1..).map(<[u8]>::to_vec),
            [high, ..] if (1..0x80).contains(high) => Some(bytes.to_vec()),
            _ => None,
        };
        (rest.is_empty() && end.is_empty()).then_some(())?;
        Some(Self::Rsa { n: number(n)?, e: number(e)? })
    }

    /// A key by the DER of its `SubjectPublicKeyInfo` (RFC 5280, 5480, 8410, 3279); `None` if it is of no kind that is taken.
    pub fn from_spki(der: &[u8]) -> Option<Self> {
        const EC: [u8; 9] = [6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
        const ED25519: [u8; 5] = [6, 3, 0x2b, 0x65, 0x70];
        const RSA: [u8; 13] = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
        let (body, rest) = der_value(der, 0x30)?;
        let (kind, after) = der_value(body, 0x30)?;
        let (bits, end) = der_value(after, 0x03)?;
        let [0, key @ ..] = bits else { return None };
        (rest.is_empty() && end.is_empty()).then_some(())?;
        match kind {
            _ if kind == ED25519 => (key.len() == 32).then(|| Self::Ed25519(key.to_vec())),
            _ if kind == RSA => Self::from_rsa_der(key),
            _ => {
                let curve = match kind.strip_prefix(&EC)? {
                    [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7] => Curve::P256,
                    [6, 5, 0x2b, 0x81, 4, 0, 0x22] => Curve::P384,
                    [6, 5, 0x2b, 0x81, 4, 0, 0x23] => Curve::P521,
                    _ => return None,
                };
                Self::from_point(key).filter(|key| matches!(key, Self::Ec(of, _) if *of == curve))
            }
        }
    }

    /// As JWK, with nothing but the key.
    pub fn to_jwk(&self) -> Jwk {
        let text = |bytes: &[u8]| Some(URL_SAFE_NO_PAD.encode(bytes));
        match self {
            Self::Rsa { n, e } => {
                Jwk { kty: "RSA".to_owned(), n: text(n), e: text(e), ..Jwk::default() }
            }
            Self::Ec(curve, point) => {
                let (x, y) =
                    point.split_at_checked(1 + curve.coordinate_bytes()).unwrap_or_default();
                Jwk {
                    kty: "EC".to_owned(),
                    crv: Some(curve.name().to_owned()),
                    x: text(x.get(1..).unwrap_or_default()),
                    y: text(y),
                    ..Jwk::default()
                }
            }
            Self::Ed25519(point) => Jwk {
                kty: "OKP".to_owned(),
                crv: Some("Ed25519".to_owned()),
                x: text(point),
                ..Jwk::default()
            },
        }
    }

    /// Whether this key checks signatures by that algorithm.
    pub fn takes(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa { .. } => algorithm.is_rsa(),
            Self::Ec(curve, _) => curve.algorithm() == algorithm,
            Self::Ed25519(_) => algorithm == Algorithm::EdDsa,
        }
    }

    /// The algorithm that one signs with by this key, where nothing else is asked for.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Ps256,
            Self::Ec(curve, _) => curve.algorithm(),
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// The key's thumbprint (RFC 7638, SHA-256, base64url).
    pub fn thumbprint(&self) -> String {
        let jwk = self.to_jwk();
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        // Base64url and the names of curves need no escapes.
        let json = match self {
            Self::Rsa { .. } => {
                format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, part(&jwk.e), part(&jwk.n))
            }
            Self::Ec(curve, _) => format!(
                r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#,
                curve.name(),
                part(&jwk.x),
                part(&jwk.y)
            ),
            Self::Ed25519(_) => {
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, part(&jwk.x))
            }
        };
        URL_SAFE_NO_PAD.encode(Sha256::of(json.as_bytes()).0)
    }
}

/// The content of a DER value with this tag, and what follows it.
fn der_value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match *der {
        [t, length, ref rest @ ..] if t == tag && length < 0x80 => (usize::from(length), rest),
        [t, 0x81, length, ref rest @ ..] if t == tag && length >= 0x80 => {
            (usize::from(length), rest)
        }
        [t, 0x82, high, low, ref rest @ ..] if t == tag && high > 0 => {
            (usize::from(high) << 8 | usize::from(low), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwk(text: &str) -> Option<PublicKey> {
        PublicKey::from_jwk(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn thumbprints_are_those_of_the_standards() {
        // RFC 7638 section 3.1, RFC 8037 appendix A.3, and RFC 7517 appendix A.1 with Python's hashlib.
        let rsa = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB"}"#;
        let ed =
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let ec = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}"#;
        for (text, expected) in [
            (rsa, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
            (ed, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
            (ec, "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"),
        ] {
            let key = jwk(text).unwrap();
            assert_eq!(key.thumbprint(), expected);
            assert_eq!(PublicKey::from_jwk(&key.to_jwk()), Some(key.clone()));
            assert!(key.takes(key.algorithm()));
        }
    }

    #[test]
    fn other_keys_are_none() {
        let x = URL_SAFE_NO_PAD.encode([1; 32]);
        for text in [
            r#"{"kty":"oct","x":"X"}"#,
            r#"{"kty":"EC","crv":"P-256","x":"X","y":"AA"}"#,
            r#"{"kty":"EC","crv":"P-384","x":"X","y":"X"}"#,
            r#"{"kty":"EC","crv":"secp256k1","x":"X","y":"X"}"#,
            r#"{"kty":"EC","x":"X","y":"X"}"#,
            r#"{"kty":"OKP","crv":"X25519","x":"X"}"#,
            r#"{"kty":"RSA","crv":"P-256","n":"X","e":"AQAB"}"#,
            r#"{"kty":"RSA","n":"X"}"#,
        ] {
            assert_eq!(jwk(&text.replace("\"X\"", &format!("\"{x}\""))), None, "{text}");
        }
        assert!(jwk(&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#)).is_some());
        let point = [&[4][..], &[1; 64]].concat();
        assert_eq!(PublicKey::from_point(&point), Some(PublicKey::Ec(Curve::P256, point.clone())));
        assert_eq!(PublicKey::from_point(&point[1..]), None);
        assert_eq!(PublicKey::from_point(&[&[2][..], &[1; 64]].concat()), None);
    }

    #[test]
    fn rsa_keys_are_read_from_der() {
        let number = |bytes: &[u8]| [&[2, u8::try_from(bytes.len()).unwrap()], bytes].concat();
        let key = |parts: &[&[u8]]| {
            let body = parts.concat();
            PublicKey::from_rsa_der(
                &[&[0x30, u8::try_from(body.len()).unwrap()], &body[..]].concat(),
            )
        };
        let (n, e) = (number(&[0, 0x80, 7]), number(&[1, 0, 1]));
        let expected = PublicKey::Rsa { n: vec![0x80, 7], e: vec![1, 0, 1] };
        assert_eq!(key(&[&n, &e]), Some(expected));
        for bad in [
            &[&n[..]][..],
            &[&n, &e, &e],
            &[&number(&[0x80, 7]), &e],
            &[&number(&[0, 1]), &e],
            &[&number(&[]), &e],
            &[&[3, 1, 1], &e],
        ] {
            assert_eq!(key(bad), None, "{bad:?}");
        }
        assert_eq!(PublicKey::from_rsa_der(&[0x30, 0x81, 5, 2, 1, 1, 2, 1]), None);
        assert_eq!(PublicKey::from_rsa_der(&[0x30, 0x82, 1]), None);
        assert_eq!(PublicKey::from_rsa_der(&[]), None);
    }

    #[test]
    fn each_key_has_its_algorithms() {
        let names = [
            "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
            "EdDSA",
        ];
        let keys = [
            (PublicKey::Rsa { n: vec![1], e: vec![1] }, &names[..6]),
            (PublicKey::Ec(Curve::P256, Vec::new()), &["ES256"]),
            (PublicKey::Ec(Curve::P384, Vec::new()), &["ES384"]),
            (PublicKey::Ec(Curve::P521, Vec::new()), &["ES512"]),
            (PublicKey::Ed25519(Vec::new()), &["EdDSA"]),
        ];
        for (key, expected) in keys {
            let takes = |name: &&&str| key.takes(Algorithm::named(name).unwrap());
            let taken: Vec<_> = names.iter().filter(takes).copied().collect();
            assert_eq!(taken, expected);
        }
        for name in names {
            assert_eq!(Algorithm::named(name).unwrap().name(), name);
        }
        for other in ["none", "None", "HS256", "es256", "ES256K", "A128KW", ""] {
            assert_eq!(Algorithm::named(other), None);
        }
    }
}
