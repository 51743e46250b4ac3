// SPDX-License-Identifier: Apache-2.0

//! What is wanted of the certificate of an issuer.

use const_oid::db::rfc5280::{
    ID_CE_BASIC_CONSTRAINTS, ID_CE_CERTIFICATE_POLICIES, ID_CE_EXT_KEY_USAGE, ID_CE_KEY_USAGE,
    ID_CE_NAME_CONSTRAINTS, ID_CE_SUBJECT_ALT_NAME,
};
use der::asn1::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use types::time::Timestamp;
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, NameConstraints};

use super::{extension, once_each};

/// An authority, as its certificate has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Issuer {
    /// Whether it bears its own name as issuer.
    pub(crate) self_issued: bool,
    /// Its path length constraint.
    pub(crate) path_length: Option<u8>,
    /// Whether it may sign revocation lists.
    pub(crate) signs_lists: bool,
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
        let usage = extension::<KeyUsage>(&certificate)?;
        if usage.is_some_and(|usage| !usage.key_cert_sign()) {
            return Err("an issuer's key may not sign certificates".to_owned());
        }
        // RFC 5280 sections 4.1.2.6 and 4.2.1.10. Somebody meant to constrain something.
        if tbs.subject().is_empty() {
            return Err("an issuer has no name".to_owned());
        }
        let names: Option<NameConstraints> = extension(&certificate)?;
        if names.is_some_and(|names| {
            let none = |trees: Option<Vec<_>>| trees.is_none_or(|trees| trees.is_empty());
            none(names.permitted_subtrees) && none(names.excluded_subtrees)
        }) {
            return Err("an issuer has name constraints that constrain nothing".to_owned());
        }
        let name = |name: &x509_cert::name::Name| name.to_der().map_err(|error| error.to_string());
        Ok(Self {
            self_issued: name(tbs.subject())? == name(tbs.issuer())?,
            path_length: constraints.path_len_constraint,
            signs_lists: usage.is_none_or(|usage| usage.crl_sign()),
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
