// SPDX-License-Identifier: Apache-2.0

//! Keys of platforms and realms.

use coset::iana::{Ec2KeyParameter, EllipticCurve, EnumI64 as _, KeyOperation};
use coset::{CborSerializable as _, CoseKey, Label, RegisteredLabel, RegisteredLabelWithPrivate};
use types::digest::Sha256;

use crate::asn1;
use crate::cose::Algorithm;

/// SHA-256 of the points of platform keys that anybody can sign with: the one of Arm's reference firmware and models, and
/// one of Veraison's test suites. What they sign is simulated, whoever trusts them.
const PUBLISHED: [&str; 2] = [
    "9bdb470456c7c1348349e88f38540f43e7a7993ac32e9c9a0b3c8d8733cc63f0",
    "90c71e80304f98d6556a402c0593b33a80acbd08e4aff9c4029f6e17e1039951",
];

/// A platform's public key (CPAK), on P-256, P-384 or P-521.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformKey {
    point: Vec<u8>,
}

impl PlatformKey {
    /// Takes the uncompressed point (SEC 1).
    pub fn from_point(point: &[u8]) -> Option<Self> {
        Algorithm::of_point(point)?;
        Some(Self { point: point.to_vec() })
    }

    /// Those in PEM blocks of public keys.
    pub(crate) fn among_pem(text: &str) -> Result<Vec<Self>, String> {
        let keys = asn1::pem(text, "PUBLIC KEY", 16)?;
        keys.iter()
            .map(|spki| {
                let point = asn1::ec_point(spki).and_then(Self::from_point);
                point.ok_or_else(|| "a public key is on none of P-256, P-384 and P-521".to_owned())
            })
            .collect()
    }

    /// The uncompressed point.
    pub fn point(&self) -> &[u8] {
        &self.point
    }

    /// Whether anybody can sign with it, as its private half is published.
    pub fn published(&self) -> bool {
        PUBLISHED.contains(&Sha256::of(&self.point).to_hex().as_str())
    }
}

/// A realm's key as tokens without profile have it: the point.
pub(super) fn of_point(bytes: &[u8]) -> Option<Vec<u8>> {
    (Algorithm::of_point(bytes) == Some(Algorithm::Es384)).then(|| bytes.to_vec())
}

/// A realm's key as tokens with a profile have it: a COSE_Key (RFC 9052 section 7) that may verify, and is not private.
pub(super) fn of_cose_key(bytes: &[u8]) -> Option<Vec<u8>> {
    let key = CoseKey::from_slice(bytes).ok()?;
    let parameter = |parameter: Ec2KeyParameter| {
        let label = Label::Int(parameter.to_i64());
        key.params.iter().find(|(found, _)| *found == label).map(|(_, value)| value)
    };
    if parameter(Ec2KeyParameter::D).is_some() {
        return None;
    }
    let verify = RegisteredLabel::Assigned(KeyOperation::Verify);
    if !key.key_ops.is_empty() && !key.key_ops.contains(&verify) {
        return None;
    }
    let point = key.to_sec1_octet_string().ok()?;
    let algorithm = Algorithm::of_point(&point)?;
    let (curve, name) = match algorithm {
        Algorithm::Es256 => (EllipticCurve::P_256, coset::iana::Algorithm::ES256),
        Algorithm::Es384 => (EllipticCurve::P_384, coset::iana::Algorithm::ES384),
        Algorithm::Es512 => (EllipticCurve::P_521, coset::iana::Algorithm::ES512),
    };
    let curve = coset::cbor::value::Value::from(curve.to_i64());
    let named = RegisteredLabelWithPrivate::Assigned(name);
    let fits = parameter(Ec2KeyParameter::Crv) == Some(&curve)
        && key.alg.as_ref().is_none_or(|algorithm| *algorithm == named);
    fits.then_some(point)
}
