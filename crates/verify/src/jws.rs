// SPDX-License-Identifier: Apache-2.0

//! Signatures by JOSE's algorithms (RFC 7518 section 3, RFC 8037 section 3.1).

use aws_lc_rs::signature::{
    self, ED25519, EcdsaVerificationAlgorithm, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use drawbridge_core::jwk::{Algorithm, Curve, PublicKey};

const fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 | Algorithm::EdDsa => return None,
    })
}

const fn ecdsa(curve: Curve) -> &'static EcdsaVerificationAlgorithm {
    match curve {
        Curve::P256 => &signature::ECDSA_P256_SHA256_FIXED,
        Curve::P384 => &signature::ECDSA_P384_SHA384_FIXED,
        Curve::P521 => &signature::ECDSA_P521_SHA512_FIXED,
    }
}

/// Whether a signature is by this key and this algorithm, which must be one of the key's kind.
pub fn is_good(key: &PublicKey, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    if !key.takes(algorithm) {
        return false;
    }
    let good = match (key, rsa(algorithm)) {
        (PublicKey::Rsa { n, e }, Some(parameters)) => {
            RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
        }
        (PublicKey::Ec(curve, point), None) => {
            UnparsedPublicKey::new(ecdsa(*curve), point).verify(message, signature)
        }
        (PublicKey::Ed25519(point), None) => {
            UnparsedPublicKey::new(&ED25519, point).verify(message, signature)
        }
        _ => return false,
    };
    good.is_ok()
}
