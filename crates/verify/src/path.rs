// SPDX-License-Identifier: Apache-2.0

//! Path validation (RFC 5280 section 6): the `webpki` crate's, and the checks that it leaves out.
//!
//! Those are: key usage, everything about the anchor itself (its dates, that it is an authority, its path length, its critical
//! extensions), and extensions that are there twice.

use std::collections::BTreeSet;
use std::time::Duration;

use const_oid::AssociatedOid;
use const_oid::db::rfc5280::{
    ID_CE_BASIC_CONSTRAINTS, ID_CE_CERTIFICATE_POLICIES, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE,
    ID_CE_NAME_CONSTRAINTS, ID_CE_SUBJECT_ALT_NAME,
};
use der::asn1::ObjectIdentifier;
use der::{Decode, Encode as _};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use types::limits;
use types::time::Timestamp;
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};

use crate::{Anchors, Usage, VerifyError};

/// What is wanted of the certificate of an issuer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Issuer {
    /// Whether it bears its own name as issuer.
    pub(crate) self_issued: bool,
    /// Its path length constraint.
    pub(crate) path_length: Option<u8>,
    not_before: u64,
    not_after: u64,
}

impl Issuer {
    /// Reads the certificate (DER) of an authority.
    ///
    /// # Errors
    /// In words, if it is no certificate, or not of an authority that may sign certificates.
    pub(crate) fn read(der: &[u8]) -> Result<Self, String> {
        let certificate = Certificate::from_der(der).map_err(|error| error.to_string())?;
        once_each(&certificate)?;
        let tbs = certificate.tbs_certificate();
        // For those in between `webpki` has checked this already, for anchors nobody has.
        let mut critical = tbs.extensions().into_iter().flatten().filter(|e| e.critical);
        if let Some(unknown) = critical.find(|e| !UNDERSTOOD.contains(&e.extn_id)) {
            return Err(format!(
                "an issuer has the unknown critical extension {}",
                unknown.extn_id
            ));
        }
        let constraints: Option<BasicConstraints> = extension(&certificate)?;
        let constraints =
            constraints.filter(|c| c.ca).ok_or("an issuer is no certificate authority")?;
        if extension::<KeyUsage>(&certificate)?.is_some_and(|usage| !usage.key_cert_sign()) {
            return Err("an issuer's key may not sign certificates".to_owned());
        }
        let name = |name: &x509_cert::name::Name| name.to_der().map_err(|error| error.to_string());
        Ok(Self {
            self_issued: name(tbs.subject())? == name(tbs.issuer())?,
            path_length: constraints.path_len_constraint,
            not_before: tbs.validity().not_before.to_unix_duration().as_secs(),
            not_after: tbs.validity().not_after.to_unix_duration().as_secs(),
        })
    }

    /// Whether its dates hold at `now`.
    pub(crate) fn valid_at(&self, now: Timestamp) -> bool {
        (self.not_before..=self.not_after).contains(&now.0)
    }
}

/// Critical extensions of an anchor that may be there: those that are heeded here or by `webpki`, and policies, which bind nobody
/// who asks for none.
const UNDERSTOOD: [ObjectIdentifier; 6] = [
    ID_CE_BASIC_CONSTRAINTS,
    ID_CE_KEY_USAGE,
    ID_CE_EXT_KEY_USAGE,
    ID_CE_NAME_CONSTRAINTS,
    ID_CE_SUBJECT_ALT_NAME,
    ID_CE_CERTIFICATE_POLICIES,
];

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

/// Validates the path from the leaf (first in `chain`) to one of the anchors, for this usage, at `now`.
///
/// # Errors
/// [`VerifyError::Chain`], [`VerifyError::NoAnchor`], [`VerifyError::Path`] or [`VerifyError::Malformed`].
pub(crate) fn validate(
    chain: &[CertificateDer<'_>],
    anchors: &Anchors,
    now: Timestamp,
    usage: Usage,
) -> Result<(), VerifyError> {
    let (true, Some((leaf_der, issuers))) = (sensible(chain), chain.split_first()) else {
        return Err(VerifyError::Chain);
    };
    let usable = anchors.for_chain(chain, now)?;
    let path = |error: webpki::Error| VerifyError::Path(explain(&error));
    let usage = match usage {
        Usage::Client => webpki::KeyUsage::client_auth(),
        Usage::Server => webpki::KeyUsage::server_auth(),
    };
    let leaf = webpki::EndEntityCert::try_from(leaf_der).map_err(path)?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(now.0));
    let roots: Vec<_> = usable.iter().map(|u| u.anchor.clone()).collect();
    let verified = leaf
        .verify_for_usage(algorithms().all, &roots, issuers, time, usage, None, None)
        .map_err(path)?;

    let parsed = Certificate::from_der(leaf_der)
        .map_err(|error| VerifyError::Malformed(error.to_string()))?;
    once_each(&parsed).map_err(VerifyError::Malformed)?;
    let usage: Option<KeyUsage> = extension(&parsed).map_err(VerifyError::Malformed)?;
    if usage.is_some_and(|usage| usage.key_cert_sign()) {
        return Err(VerifyError::Path(
            "its key may sign certificates, as only authorities' may".to_owned(),
        ));
    }
    let mut between = 0;
    for issuer in verified.intermediate_certificates() {
        let issuer = Issuer::read(&issuer.der()).map_err(VerifyError::Path)?;
        // Authorities that certify themselves anew do not count (RFC 5280 section 4.2.1.9).
        between += usize::from(!issuer.self_issued);
    }
    let anchor = verified.anchor();
    let too_long = |u: &crate::anchors::Usable<'_>| {
        u.anchor == *anchor && u.path_length.is_some_and(|most| between > usize::from(most))
    };
    if usable.iter().any(too_long) {
        return Err(VerifyError::Path("the path is longer than its root allows".to_owned()));
    }
    Ok(())
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

fn explain(error: &webpki::Error) -> String {
    use webpki::Error;
    let at = |time: &UnixTime| Timestamp(time.as_secs());
    match error {
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
    }
}

#[cfg(test)]
mod limbo;
#[cfg(test)]
mod tests;
