// SPDX-License-Identifier: Apache-2.0

//! The certificates of the CA file: the issuer's own first, then each one's issuer. A chain that relying parties would
//! refuse is refused here, before anything is issued under it.

use const_oid::db::rfc5280::{ANY_EXTENDED_KEY_USAGE, ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use der::{Decode as _, Encode as _};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use spki::AlgorithmIdentifierOwned;
use types::limits;
use types::time::Timestamp;
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, NameConstraints,
    SubjectKeyIdentifier,
};

use super::AuthorityError;
use crate::x509;

/// Most certificates of a CA file: what a Keep takes, without its own.
pub(super) const CERTIFICATES_MAX: usize = limits::CHAIN_CERTIFICATES_MAX - 1;

/// A chain that was checked.
pub(super) struct Chain {
    /// DER, the issuer first.
    pub(super) der: Vec<Vec<u8>>,
    pub(super) issuer: Certificate,
    /// When all of them are valid.
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

/// Reads and checks a chain (PEM, issuer first) as of `now`.
pub(super) fn read(pem: &[u8], now: Timestamp) -> Result<Chain, AuthorityError> {
    let der = blocks(pem)?;
    let certificates = der
        .iter()
        .map(|der| Certificate::from_der(der).map_err(|_| AuthorityError::Chain))
        .collect::<Result<Vec<_>, _>>()?;
    let (mut not_before, mut not_after) = (Timestamp(0), Timestamp(u64::MAX));
    for (below, certificate) in certificates.iter().enumerate() {
        // Verifiers differ on whether those that name themselves count as CAs below; here they do.
        let place = below + 1;
        may_issue(certificate, below).map_err(|why| AuthorityError::NoIssuer(place, why))?;
        let tbs = certificate.tbs_certificate();
        let validity = tbs.validity();
        let (first, last) =
            (x509::seconds(&validity.not_before), x509::seconds(&validity.not_after));
        if now < first || now >= last {
            return Err(AuthorityError::Expired(place, first, last));
        }
        (not_before, not_after) = (not_before.max(first), not_after.min(last));
    }
    for (place, pair) in (2..).zip(certificates.windows(2)) {
        if let [below, above] = pair {
            issued(below, above).map_err(|why| AuthorityError::Order(place, why))?;
        }
    }
    for (place, pair) in (1..).zip(der.iter().zip(&certificates)) {
        let (signed, certificate) = pair;
        let signer = match certificates.get(place) {
            Some(above) => above,
            // The one above the last is not in the file, unless it is itself.
            None if named_by_itself(certificate) => certificate,
            None => continue,
        };
        if !signature_is_of(signed, signer) {
            return Err(AuthorityError::Signature(place));
        }
    }
    let issuer = certificates.into_iter().next().ok_or(AuthorityError::Chain)?;
    Ok(Chain { der, issuer, not_before, not_after })
}

pub(super) fn blocks(pem: &[u8]) -> Result<Vec<Vec<u8>>, AuthorityError> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .take(CERTIFICATES_MAX + 1)
        .map(|der| match der {
            Ok(der) if der.len() <= limits::CERTIFICATE_BYTES_MAX => Ok(der.to_vec()),
            _ => Err(AuthorityError::Chain),
        })
        .collect::<Result<Vec<_>, _>>()?;
    if chain.is_empty() || chain.len() > CERTIFICATES_MAX {
        return Err(AuthorityError::Chain);
    }
    Ok(chain)
}

/// Whether a certificate says, by name or by key, that it issued itself.
fn named_by_itself(certificate: &Certificate) -> bool {
    let tbs = certificate.tbs_certificate();
    let (Ok(named), Ok(own)) = (
        tbs.get_extension::<AuthorityKeyIdentifier>(),
        tbs.get_extension::<SubjectKeyIdentifier>(),
    ) else {
        return true;
    };
    let named = named.and_then(|(_, id)| id.key_identifier);
    tbs.subject() == tbs.issuer() || named.is_some_and(|id| own.is_some_and(|(_, own)| own.0 == id))
}

/// Whether a CA with this certificate may issue, `below` other CAs being between it and the end entity.
fn may_issue(certificate: &Certificate, below: usize) -> Result<(), &'static str> {
    let tbs = certificate.tbs_certificate();
    if tbs.version() != Version::V3 {
        return Err("it is not of version 3");
    }
    if tbs.subject().is_empty() {
        return Err("its subject is empty");
    }
    if certificate.signature_algorithm() != tbs.signature() {
        return Err("it names two signature algorithms");
    }
    match tbs.get_extension::<BasicConstraints>() {
        Ok(Some((_, BasicConstraints { ca: true, path_len_constraint })))
            if path_len_constraint.is_none_or(|most| below <= usize::from(most)) => {}
        Ok(Some((_, BasicConstraints { ca: true, .. }))) => {
            return Err("its path length allows fewer CAs below it");
        }
        _ => return Err("its basic constraints are not cA"),
    }
    match tbs.get_extension::<KeyUsage>() {
        Ok(None) => {}
        Ok(Some((_, usage))) if usage.key_cert_sign() => {}
        _ => return Err("its key usage lacks keyCertSign"),
    }
    match tbs.get_extension::<NameConstraints>() {
        Ok(None) => {}
        Ok(Some((_, names)))
            if [&names.permitted_subtrees, &names.excluded_subtrees]
                .into_iter()
                .flatten()
                .any(|trees| !trees.is_empty()) => {}
        _ => return Err("its name constraints constrain nothing"),
    }
    match tbs.get_extension::<ExtendedKeyUsage>() {
        Ok(None) => Ok(()),
        Ok(Some((_, ExtendedKeyUsage(purposes))))
            if purposes.contains(&ANY_EXTENDED_KEY_USAGE)
                || [ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH].iter().all(|p| purposes.contains(p)) =>
        {
            Ok(())
        }
        _ => Err("its extended key usage lacks serverAuth or clientAuth"),
    }
}

/// Whether `above` says that it issued `below`.
fn issued(below: &Certificate, above: &Certificate) -> Result<(), &'static str> {
    let (below, above) = (below.tbs_certificate(), above.tbs_certificate());
    if below.issuer() != above.subject() {
        return Err("its subject is not the issuer there");
    }
    let malformed = "a key identifier does not decode";
    let named = below.get_extension::<AuthorityKeyIdentifier>().map_err(|_| malformed)?;
    let own = above.get_extension::<SubjectKeyIdentifier>().map_err(|_| malformed)?;
    match (named.and_then(|(_, id)| id.key_identifier), own) {
        (Some(named), Some((_, own))) if named != own.0 => {
            Err("its key identifier is not the one there")
        }
        _ => Ok(()),
    }
}

/// Whether the signature of a certificate or list (DER) is by the key of `signer`.
pub(super) fn signature_is_of(certificate: &[u8], signer: &Certificate) -> bool {
    let check = || {
        let signed = x509::split(certificate).ok()?;
        let spki = signer.tbs_certificate().subject_public_key_info();
        let (key, signature) = (contents(&spki.algorithm)?, contents(&signed.algorithm)?);
        let (point, bits) = (spki.subject_public_key.as_bytes()?, signed.signature.as_bytes()?);
        let known = aws_lc_rs::default_provider().signature_verification_algorithms.all;
        Some(known.iter().any(|algorithm| {
            algorithm.public_key_alg_id().as_ref() == key
                && algorithm.signature_alg_id().as_ref() == signature
                && algorithm.verify_signature(point, &signed.tbs, bits).is_ok()
        }))
    };
    check() == Some(true)
}

/// An AlgorithmIdentifier without its tag and length.
fn contents(algorithm: &AlgorithmIdentifierOwned) -> Option<Vec<u8>> {
    let mut contents = algorithm.oid.to_der().ok()?;
    if let Some(parameters) = &algorithm.parameters {
        contents.extend(parameters.to_der().ok()?);
    }
    Some(contents)
}
