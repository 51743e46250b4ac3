// SPDX-License-Identifier: Apache-2.0

//! Public keys on elliptic curves, in PEM or as a JWK.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::asn1;

/// Curves of JWKs (RFC 7518 section 6.2.1.1), and bytes of a coordinate.
const CURVES: [(&str, usize); 3] = [("P-256", 32), ("P-384", 48), ("P-521", 66)];

/// As much of a JWK (RFC 7517, RFC 7518 section 6.2) as a public key on a curve has.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
    y: String,
    /// The private key, which has no place here.
    d: Option<String>,
}

/// The uncompressed point (SEC 1) of a key on P-256, P-384 or P-521.
pub(super) fn ec_point(text: &str) -> Result<Vec<u8>, &'static str> {
    let text = text.trim();
    if !text.starts_with('{') {
        return match der::pem::decode_vec(text.as_bytes()) {
            Ok(("PUBLIC KEY", der)) => asn1::ec_point(&der)
                .map(<[u8]>::to_vec)
                .ok_or("the key is not on one of the curves P-256, P-384 and P-521"),
            _ => Err("the key is neither PEM (PUBLIC KEY) nor a JWK"),
        };
    }
    let jwk: Jwk = serde_json::from_str(text).map_err(|_| "the key is no JWK of an EC key")?;
    if jwk.d.is_some() {
        return Err("this JWK holds the private key, which is its owner's alone");
    }
    let curve = CURVES.iter().find(|(name, _)| *name == jwk.crv).filter(|_| jwk.kty == "EC");
    let Some((_, bytes)) = curve else {
        return Err("the JWK is not on one of the curves P-256, P-384 and P-521");
    };
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).ok().filter(|part| part.len() == *bytes);
    match (part(&jwk.x), part(&jwk.y)) {
        (Some(x), Some(y)) => Ok([&[4][..], &x, &y].concat()),
        _ => Err("the JWK's coordinates are not as long as its curve's"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_on_three_curves_are_read() {
        for (name, bytes) in CURVES {
            let (x, y) = (vec![1; bytes], vec![2; bytes]);
            let jwk = |crv: &str, x: &[u8]| {
                let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
                format!(r#"{{"kty":"EC","crv":"{crv}","x":"{}","y":"{}"}}"#, part(x), part(&y))
            };
            let point = ec_point(&jwk(name, &x)).unwrap();
            assert_eq!(point, [&[4][..], &x, &y].concat());
            assert!(ec_point(&jwk(name, &[1; 31])).is_err());
            assert!(ec_point(&jwk("secp256k1", &x)).is_err());
        }
    }
}
