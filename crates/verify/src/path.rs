// SPDX-License-Identifier: Apache-2.0

//! Path validation (RFC 5280 section 6): the `webpki` crate's, and the checks that it leaves out.
//!
//! Those are: everything about the anchor itself (its dates, that it is an authority, its path length, its critical extensions,
//! whether it may sign revocation lists), extensions that are there twice, issuers without a name, and all of [`leaf`].

mod issuer;
mod leaf;
mod revocation;

use std::collections::BTreeSet;
use std::time::Duration;

use const_oid::AssociatedOid;
use der::Decode;
use der::asn1::ObjectIdentifier;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use types::limits;
use types::time::Timestamp;
use x509_cert::Certificate;

pub(crate) use issuer::Issuer;
pub use revocation::Crls;

use crate::anchors::Usable;
use crate::{Anchors, Usage, VerifyError};

/// Refuses a certificate in which an extension is there twice (RFC 5280 section 4.2).
fn once_each(certificate: &Certificate) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for extension in certificate.tbs_certificate().extensions().into_iter().flatten() {
        if !seen.insert(extension.extn_id) {
            return Err(format!("extension {} is there twice", extension.extn_id));
        }
    }
    Ok(())
}

/// The extension of this type, if it is there.
pub(crate) fn extension<T: AssociatedOid + for<'a> Decode<'a>>(
    certificate: &Certificate,
) -> Result<Option<T>, String> {
    let of_type = |oid: ObjectIdentifier| {
        certificate
            .tbs_certificate()
            .extensions()
            .into_iter()
            .flatten()
            .find(move |e| e.extn_id == oid)
    };
    of_type(T::OID)
        .map(|found| {
            T::from_der(found.extn_value.as_bytes())
                .map_err(|_| format!("extension {} cannot be read", T::OID))
        })
        .transpose()
}

/// Validates the path from the leaf (first in `chain`) to one of the anchors, for this usage, at `now`. How many authorities stand
/// between leaf and anchor, those not counted that certify themselves anew (RFC 5280 section 4.2.1.9).
///
/// # Errors
/// [`VerifyError::Chain`], [`VerifyError::NoAnchor`], [`VerifyError::Path`], [`VerifyError::Revocation`],
/// [`VerifyError::Malformed`] or [`VerifyError::Usage`].
pub(crate) fn validate(
    chain: &[CertificateDer<'_>],
    anchors: &Anchors,
    now: Timestamp,
    usage: Usage,
) -> Result<usize, VerifyError> {
    let (true, Some((leaf_der, issuers))) = (sensible(chain), chain.split_first()) else {
        return Err(VerifyError::Chain);
    };
    let usable = anchors.for_chain(chain, now)?;
    let purpose = match usage {
        Usage::Client => webpki::KeyUsage::client_auth(),
        Usage::Server => webpki::KeyUsage::server_auth(),
    };
    let end = webpki::EndEntityCert::try_from(leaf_der).map_err(|error| explain(&error))?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(now.0));
    let roots: Vec<_> = usable.iter().map(|u| u.anchor.clone()).collect();
    let lists = anchors.crls.current(now)?;
    let lists: Vec<_> = lists.iter().collect();
    let revoked = revocation::options(&lists);
    let verified = end
        .verify_for_usage(algorithms().all, &roots, issuers, time, purpose, revoked, None)
        .map_err(|error| explain(&error))?;
    let anchor = || usable.iter().filter(|u| u.anchor == *verified.anchor());
    // The key usage of those in between is looked at by `webpki`, the anchor's by nobody.
    let its = |u: &Usable<'_>| lists.iter().any(|list| list.issuer() == u.anchor.subject.as_ref());
    if anchor().any(|u| !u.signs_lists && its(u)) {
        let why = "the root that signed the revocation list may not sign any";
        return Err(VerifyError::Revocation(why.to_owned()));
    }
    let parsed = Certificate::from_der(leaf_der)
        .map_err(|error| VerifyError::Malformed(error.to_string()))?;
    leaf::check(&parsed, usage)?;
    let mut between = 0;
    for issuer in verified.intermediate_certificates() {
        let issuer = Issuer::read(&issuer.der()).map_err(VerifyError::Path)?;
        between += usize::from(!issuer.self_issued);
    }
    if anchor().any(|u| u.path_length.is_some_and(|most| between > usize::from(most))) {
        return Err(VerifyError::Path("the path is longer than its root allows".to_owned()));
    }
    Ok(between)
}

/// Whether a chain is no longer, and no certificate in it larger, than anybody needs.
pub(crate) fn sensible<'a>(chain: impl IntoIterator<Item = &'a CertificateDer<'a>>) -> bool {
    let mut count = 0;
    chain.into_iter().all(|certificate| {
        count += 1;
        count <= limits::CHAIN_CERTIFICATES_MAX
            && certificate.len() <= limits::CERTIFICATE_BYTES_MAX
    })
}

/// The signature algorithms of our provider.
pub(crate) fn algorithms() -> WebPkiSupportedAlgorithms {
    rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms
}

/// What path validation says, in words.
fn explain(error: &webpki::Error) -> VerifyError {
    use webpki::Error;
    let at = |time: &UnixTime| Timestamp(time.as_secs());
    let why = match error {
        Error::CertRevoked => {
            return VerifyError::Revocation("a certificate in the path is revoked".to_owned());
        }
        Error::CrlExpired { next_update, .. } => {
            let next = at(next_update);
            return VerifyError::Revocation(format!("the revocation list ended at {next}"));
        }
        Error::IssuerNotCrlSigner | Error::InvalidCrlSignatureForPublicKey => {
            let why =
                "the revocation list is not signed by its issuer, or that one may not sign any";
            return VerifyError::Revocation(why.to_owned());
        }
        Error::UnknownIssuer => "its issuer is not trusted".to_owned(),
        Error::CertExpired { time, not_after } => {
            format!("it expired at {}, and it is {}", at(not_after), at(time))
        }
        Error::CertNotValidYet { time, not_before } => {
            format!("it is valid from {} on, and it is {}", at(not_before), at(time))
        }
        Error::InvalidSignatureForPublicKey => {
            "a signature in it is not that of the issuer that it names".to_owned()
        }
        Error::CaUsedAsEndEntity => {
            "it is the certificate of an authority, not of a Keep".to_owned()
        }
        Error::EndEntityUsedAsCa => "an issuer is no certificate authority".to_owned(),
        Error::RequiredEkuNotFoundContext(_) => {
            "it is not made for this side of a TLS connection".to_owned()
        }
        Error::UnsupportedCriticalExtension => {
            "it has a critical extension that is not known here".to_owned()
        }
        other => other.to_string(),
    };
    VerifyError::Path(why)
}

#[cfg(test)]
mod limbo;
#[cfg(test)]
mod tests;
