// SPDX-License-Identifier: Apache-2.0

//! What is wanted of a Keep's own certificate beyond a valid path: that it is written as Stewards write them (docs/FORMATS.md 4),
//! which is stricter than RFC 5280. Whatever else an authority with a Steward's root issues is no Keep's.

use const_oid::AssociatedOid;
use const_oid::db::rfc5280::{
    ANY_EXTENDED_KEY_USAGE, ID_CE_NAME_CONSTRAINTS, ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH,
};
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, SECP_256_R_1, SECP_384_R_1};
use der::asn1::ObjectIdentifier;
use x509_cert::Certificate;
use x509_cert::ext::pkix::{
    AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage,
    KeyUsage, SubjectAltName,
};

use super::{extension, once_each};
use crate::{Usage, VerifyError};

/// Refuses a leaf that no Steward issues, whatever its path is worth.
///
/// # Errors
/// [`VerifyError::Malformed`] or [`VerifyError::Usage`].
pub(super) fn check(certificate: &Certificate, usage: Usage) -> Result<(), VerifyError> {
    form(certificate).map_err(VerifyError::Malformed)?;
    purpose(certificate, usage)
}

fn form(certificate: &Certificate) -> Result<(), String> {
    once_each(certificate)?;
    let tbs = certificate.tbs_certificate();
    let wrong = |what: &str| Err(what.to_owned());
    if tbs.serial_number().as_bytes().iter().all(|byte| *byte == 0) {
        return wrong("its serial number is zero");
    }
    let identifier: Option<AuthorityKeyIdentifier> = extension(certificate)?;
    if identifier.is_none_or(|identifier| identifier.key_identifier.is_none()) {
        return wrong("it does not identify its issuer's key");
    }
    if marked(certificate, ID_CE_NAME_CONSTRAINTS).is_some() {
        return wrong("it constrains names, as only authorities' certificates may");
    }
    if extension::<AuthorityInfoAccessSyntax>(certificate)?.is_some_and(|all| all.0.is_empty()) {
        return wrong("it says that there is information about its issuer, and not where");
    }
    // RFC 5280 section 4.2.1.6: without a subject the names are the only ones.
    let names = marked(certificate, SubjectAltName::OID);
    if names.is_some_and(|critical| critical != tbs.subject().is_empty()) {
        return wrong(
            "its alternative names are critical beside a subject, or are not without one",
        );
    }
    Ok(())
}

/// Whether the extension is critical, if it is there.
fn marked(certificate: &Certificate, id: ObjectIdentifier) -> Option<bool> {
    let mut all = certificate.tbs_certificate().extensions().into_iter().flatten();
    all.find(|extension| extension.extn_id == id).map(|extension| extension.critical)
}

/// A Keep's certificate says what it is for, and authorities' are for something else.
fn purpose(certificate: &Certificate, usage: Usage) -> Result<(), VerifyError> {
    let wrong = |what| Err(VerifyError::Usage(what));
    let key = &certificate.tbs_certificate().subject_public_key_info().algorithm;
    let curve = key.parameters.as_ref().and_then(|curve| curve.decode_as().ok());
    if key.oid != ID_EC_PUBLIC_KEY
        || curve.is_none_or(|curve| ![SECP_256_R_1, SECP_384_R_1].contains(&curve))
    {
        return wrong("its key is neither of P-256 nor of P-384");
    }
    let constraints: Option<BasicConstraints> = read(certificate)?;
    if constraints.is_some_and(|constraints| constraints.ca) {
        return wrong("it is an authority's");
    }
    let usages = read::<KeyUsage>(certificate)?;
    if usages.is_some_and(|usage| usage.key_cert_sign()) {
        return wrong("its key may sign certificates, as only authorities' may");
    }
    if usages.is_none_or(|usage| !usage.digital_signature()) {
        return wrong("its key usage is not digitalSignature");
    }
    let purposes = read::<ExtendedKeyUsage>(certificate)?.map_or_else(Vec::new, |all| all.0);
    if purposes.contains(&ANY_EXTENDED_KEY_USAGE) {
        return wrong("it is for any purpose whatsoever");
    }
    if marked(certificate, ExtendedKeyUsage::OID) == Some(true) {
        return wrong("its extended key usage is critical");
    }
    match usage {
        Usage::Client if !purposes.contains(&ID_KP_CLIENT_AUTH) => {
            wrong("its extended key usage lacks clientAuth")
        }
        Usage::Server if !purposes.contains(&ID_KP_SERVER_AUTH) => {
            wrong("its extended key usage lacks serverAuth")
        }
        _ => Ok(()),
    }
}

fn read<T: AssociatedOid + for<'a> der::Decode<'a>>(
    certificate: &Certificate,
) -> Result<Option<T>, VerifyError> {
    extension(certificate).map_err(VerifyError::Malformed)
}
