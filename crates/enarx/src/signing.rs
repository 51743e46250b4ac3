// SPDX-License-Identifier: Apache-2.0

//! Keys that sign versions: private ones in files of their owner, public ones in files of whoever checks.

use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PSS_SHA256,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drawbridge_core::jwk::{Jwk, PublicKey};
use drawbridge_core::signature::{assemble, signing_input};
use drawbridge_core::statement::Statement;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use types::digest::Sha256;
use types::limits;
use types::slug::Slug;

use crate::failure::Failure;
use crate::{files, reach};

enum Pair {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// A private key that signs versions.
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

fn pair(der: &[u8]) -> Option<(Pair, PublicKey)> {
    let curves = [
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        &ECDSA_P384_SHA384_FIXED_SIGNING,
        &ECDSA_P521_SHA512_FIXED_SIGNING,
    ];
    if let Some(pair) = curves.into_iter().find_map(|c| EcdsaKeyPair::from_pkcs8(c, der).ok()) {
        let public = PublicKey::from_point(pair.public_key().as_ref())?;
        return Some((Pair::Ec(pair), public));
    }
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
        let public = PublicKey::Ed25519(pair.public_key().as_ref().to_vec());
        return Some((Pair::Ed(pair), public));
    }
    let pair = RsaKeyPair::from_pkcs8(der).ok()?;
    let public = PublicKey::from_rsa_der(pair.public_key().as_ref())?;
    Some((Pair::Rsa(pair), public))
}

impl SigningKey {
    /// The key in a file: PKCS#8 in PEM, which nobody else may read.
    ///
    /// # Errors
    /// If it cannot be read, others can read it, or it is no such key.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let pem = files::read_private(path, limits::CERTIFICATE_BYTES_MAX)?;
        let found = PrivatePkcs8KeyDer::from_pem_slice(&pem).ok();
        let found = found.and_then(|der| pair(der.secret_pkcs8_der()));
        let (pair, public) = found.ok_or_else(|| {
            Failure::new(format!("cannot sign with the key in {}", path.display()))
                .why("it is no PRIVATE KEY in PEM (PKCS#8) on P-256, P-384, P-521, Ed25519 or RSA")
                .next("make one with `enarx package keygen FILE`")
        })?;
        Ok(Self { pair, public })
    }

    /// Makes a key on P-256 in a new file that only this user may read.
    ///
    /// # Errors
    /// If there is such a file, or it cannot be written.
    pub fn generate(path: &Path) -> Result<Self, Failure> {
        let what = || format!("cannot make a key in {}", path.display());
        if path.symlink_metadata().is_ok() {
            return Err(Failure::new(what())
                .why("it is there already, and is not overwritten")
                .next("name a new file"));
        }
        let failed = || Failure::new(what()).why("the system's cryptography failed");
        let new = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        let der = new.map_err(|_| failed())?.to_pkcs8v1().map_err(|_| failed())?;
        let (pair, public) = pair(der.as_ref()).ok_or_else(failed)?;
        files::write_private(path, pem("PRIVATE KEY", der.as_ref()).as_bytes())?;
        Ok(Self { pair, public })
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs that a version stands for this, now.
    ///
    /// # Errors
    /// If the system's cryptography fails.
    pub fn sign(&self, slug: &Slug, digest: Sha256) -> Result<String, Failure> {
        let statement = Statement {
            digest,
            host: slug.host.clone(),
            iat: reach::now().0,
            repo: slug.repo.clone(),
            tag: slug.tag.to_string(),
            user: slug.user.clone(),
        };
        let input = signing_input(&statement, &self.public.thumbprint(), self.public.algorithm());
        let (message, random) = (input.as_bytes(), SystemRandom::new());
        let signature = match &self.pair {
            Pair::Ec(pair) => pair.sign(&random, message).map(|s| s.as_ref().to_vec()),
            Pair::Ed(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature).map(|()| signature)
            }
        };
        let signature = signature
            .map_err(|_| Failure::new("cannot sign").why("the system's cryptography failed"))?;
        Ok(assemble(&input, &signature))
    }
}

/// The public key in a file: of a private key, a public one in PEM, or a JWK.
///
/// # Errors
/// If it cannot be read, or is none of these.
pub fn public_key(path: &Path) -> Result<PublicKey, Failure> {
    let text = files::read_text(path, limits::CERTIFICATE_BYTES_MAX)?;
    if text.contains("PRIVATE KEY-----") {
        return Ok(SigningKey::read(path)?.public);
    }
    let found = if text.trim_start().starts_with('{') {
        serde_json::from_str::<Jwk>(&text).ok().and_then(|jwk| PublicKey::from_jwk(&jwk))
    } else {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).ok();
        der.and_then(|der| PublicKey::from_spki(der.as_ref()))
    };
    found.ok_or_else(|| {
        Failure::new(format!("cannot use the key in {}", path.display()))
            .why("it is no key in PEM (PKCS#8, or PUBLIC KEY) and no JWK, on P-256, P-384, P-521, Ed25519 or RSA")
    })
}

/// RFC 7468: lines of 64 characters.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .filter_map(|at| text.get(at..text.len().min(at + 64)))
        .collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
    use aws_lc_rs::signature::EcdsaSigningAlgorithm;
    use drawbridge_core::keys::OwnerKey;
    use drawbridge_core::signature::About;

    use super::*;

    fn spki(key: &impl AsDer<PublicKeyX509Der<'static>>) -> Vec<u8> {
        key.as_der().unwrap().as_ref().to_vec()
    }

    /// Private and public key in DER, of every kind that is taken.
    fn keys() -> Vec<(Vec<u8>, Vec<u8>)> {
        let ec = |algorithm: &'static EcdsaSigningAlgorithm| {
            let pair = EcdsaKeyPair::generate(algorithm).unwrap();
            (pair.to_pkcs8v1().unwrap().as_ref().to_vec(), spki(pair.public_key()))
        };
        let ed = Ed25519KeyPair::generate().unwrap();
        let rsa = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let rsa: aws_lc_rs::encoding::Pkcs8V1Der<'_> = rsa.as_der().unwrap();
        let public = RsaKeyPair::from_pkcs8(rsa.as_ref()).unwrap();
        vec![
            ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
            ec(&ECDSA_P521_SHA512_FIXED_SIGNING),
            (ed.to_pkcs8v1().unwrap().as_ref().to_vec(), spki(ed.public_key())),
            (ed.to_pkcs8().unwrap().as_ref().to_vec(), spki(ed.public_key())),
            (rsa.as_ref().to_vec(), spki(public.public_key())),
        ]
    }

    #[test]
    fn keys_of_every_kind_are_read_and_sign() {
        let dir = tempfile::tempdir().unwrap();
        let slug: Slug = "store.example.com/team/app:1.0.0".parse().unwrap();
        let about = About {
            host: "store.example.com",
            user: "team",
            repo: "app",
            tag: "1.0.0",
            digest: Sha256([7; 32]),
        };
        for (n, (private, public)) in keys().into_iter().enumerate() {
            let path = dir.path().join(format!("{n}.key"));
            files::write_private(&path, pem("PRIVATE KEY", &private).as_bytes()).unwrap();
            let key = SigningKey::read(&path).unwrap();
            let other = dir.path().join(format!("{n}.pem"));
            files::write_shared(&other, pem("PUBLIC KEY", &public).as_bytes()).unwrap();
            assert_eq!(public_key(&other).unwrap(), *key.public(), "{n}");
            assert_eq!(public_key(&path).unwrap(), *key.public(), "{n}");
            let owner = [OwnerKey::new(key.public(), "x", None)];
            let jws = key.sign(&slug, Sha256([7; 32])).unwrap();
            verify::signature::judge(&jws, &about, &owner, reach::now()).unwrap();
            // What is cut short or longer is none.
            for bad in [&public[..public.len() - 1], &[&public[..], &[0]].concat()] {
                assert_eq!(PublicKey::from_spki(bad), None, "{n}");
            }
        }
        let path = dir.path().join("bad");
        files::write_private(&path, pem("PRIVATE KEY", &[1, 2, 3]).as_bytes()).unwrap();
        assert!(SigningKey::read(&path).is_err() && public_key(&path).is_err());
    }
}
