// SPDX-License-Identifier: Apache-2.0

//! Rules for the certificates of a path (RFC 5280 section 6.1), one by one: time, names, algorithms, rights.
//!
//! Vendors fix their paths, so nothing is searched for here; each TEE goes along its own, asks for these, and names the check
//! that failed.

use std::fmt;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::{ID_CE_BASIC_CONSTRAINTS, ID_CE_KEY_USAGE};
use der::Decode;
use types::time::Timestamp;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};

use super::Certificate;

/// What is wrong with a certificate, as what is said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The time is not between its first and its last second.
    Time { from: Timestamp, to: Timestamp, now: Timestamp },
    /// It names another issuer than the one above it.
    Issuer,
    /// It names another algorithm than those that are used there, or two.
    Algorithm,
    /// Its signature is not of the one above it.
    Signature,
    /// An extension is malformed, or there twice.
    Extension,
    /// A critical extension is unknown.
    Critical,
    /// It stands above another one, and is no authority.
    NoAuthority,
    /// There are more authorities below it than it allows.
    Length,
    /// It is an authority, and stands below all.
    Authority,
    /// Its key usage does not allow what it is used for.
    Usage,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Time { from, to, now } => {
                return write!(f, "is valid from {from} to {to}, and it is {now}");
            }
            Self::Issuer => "does not name the one above it as its issuer",
            Self::Algorithm => "is not signed by an algorithm that is used there",
            Self::Signature => "is not signed by the one above it",
            Self::Extension => "has an extension that is malformed, or there twice",
            Self::Critical => "has a critical extension that is unknown",
            Self::NoAuthority => "may not issue the one below it: it is no authority",
            Self::Length => "may not have so many authorities below it",
            Self::Authority => "is an authority, where none may be",
            Self::Usage => "has a key that is not for this use",
        })
    }
}

fn ensure(holds: bool, fault: Fault) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(fault) }
}

/// It is valid at this time, its first and last second included.
pub(crate) fn current(certificate: &Certificate<'_>, now: Timestamp) -> Result<(), Fault> {
    let Certificate { not_before: from, not_after: to, .. } = *certificate;
    ensure((from..=to).contains(&now), Fault::Time { from, to, now })
}

/// It names `issuer` as its issuer, byte for byte.
pub(crate) fn named(certificate: &Certificate<'_>, issuer: &Certificate<'_>) -> Result<(), Fault> {
    ensure(certificate.issuer == issuer.subject, Fault::Issuer)
}

/// Which of these algorithms (DER of the identifiers) signed it; inside and outside it names the same.
pub(crate) fn algorithm<A: AsRef<[u8]>, S: Copy>(
    certificate: &Certificate<'_>,
    allowed: &[(A, S)],
) -> Result<S, Fault> {
    let (inner, outer) = (certificate.algorithm, certificate.signed.algorithm);
    let found = allowed.iter().find(|(known, _)| known.as_ref() == inner && inner == outer);
    found.map(|(_, scheme)| *scheme).ok_or(Fault::Algorithm)
}

/// Its signature verifies; `verifies` is asked with what was signed and the signature.
pub(crate) fn signed(
    certificate: &Certificate<'_>,
    verifies: impl FnOnce(&[u8], &[u8]) -> bool,
) -> Result<(), Fault> {
    let signed = &certificate.signed;
    ensure(verifies(signed.tbs, signed.signature), Fault::Signature)
}

/// The one extension of this type, decoded.
pub(crate) fn extension<'a, T: Decode<'a>>(
    certificate: &'a Certificate<'_>,
    oid: ObjectIdentifier,
) -> Result<Option<T>, Fault> {
    let found = certificate.extension(oid).map_err(|()| Fault::Extension)?;
    let decode = |bytes| T::from_der(bytes).map_err(|_| Fault::Extension);
    found.map(|extension| decode(extension.extn_value.as_bytes())).transpose()
}

/// No critical extension is unknown: beside basic constraints and key usage, only those that the caller looks at.
fn known(certificate: &Certificate<'_>, also: &[ObjectIdentifier]) -> Result<(), Fault> {
    let known =
        |oid| [ID_CE_BASIC_CONSTRAINTS, ID_CE_KEY_USAGE].contains(oid) || also.contains(oid);
    let strange = certificate.extensions.iter().any(|e| e.critical && !known(&e.extn_id));
    ensure(!strange, Fault::Critical)
}

/// It is an authority that may sign certificates, and have `below` authorities below it.
pub(crate) fn authority(
    certificate: &Certificate<'_>,
    below: usize,
    also: &[ObjectIdentifier],
) -> Result<(), Fault> {
    known(certificate, also)?;
    let basic: Option<BasicConstraints> = extension(certificate, ID_CE_BASIC_CONSTRAINTS)?;
    let usage: Option<KeyUsage> = extension(certificate, ID_CE_KEY_USAGE)?;
    let basic = basic.filter(|basic| basic.ca).ok_or(Fault::NoAuthority)?;
    let enough = basic.path_len_constraint.is_none_or(|length| usize::from(length) >= below);
    ensure(enough, Fault::Length)?;
    ensure(usage.is_some_and(|usage| usage.key_cert_sign()), Fault::Usage)
}

/// It is no authority, and its key may sign.
pub(crate) fn end_entity(
    certificate: &Certificate<'_>,
    also: &[ObjectIdentifier],
) -> Result<(), Fault> {
    known(certificate, also)?;
    let basic: Option<BasicConstraints> = extension(certificate, ID_CE_BASIC_CONSTRAINTS)?;
    let usage: Option<KeyUsage> = extension(certificate, ID_CE_KEY_USAGE)?;
    ensure(!basic.is_some_and(|basic| basic.ca), Fault::Authority)?;
    ensure(usage.is_some_and(|usage| usage.digital_signature()), Fault::Usage)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use const_oid::db::rfc5280::ID_CE_EXT_KEY_USAGE;
    use testkit::silicon::{NitroCertificate, SimulatedNitro};

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);
    const ECDSA_SHA384: [u8; 12] =
        [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];

    static NITRO: LazyLock<SimulatedNitro> =
        LazyLock::new(|| SimulatedNitro::generate(NOW).unwrap());

    /// The second authority of three, with a change; two may be below it.
    fn changed(change: impl FnOnce(&mut NitroCertificate)) -> Vec<u8> {
        let nitro = NITRO.with_shape(|shape| change(&mut shape.certificates[1])).unwrap();
        nitro.certificate(1).to_vec()
    }

    fn rights(below: usize, change: impl FnOnce(&mut NitroCertificate)) -> Result<(), Fault> {
        authority(&Certificate::parse(&changed(change)).unwrap(), below, &[])
    }

    fn leaf(change: impl FnOnce(&mut NitroCertificate)) -> Result<(), Fault> {
        let der = changed(|certificate| {
            (certificate.basic, certificate.usage) = (None, Some(0x80));
            change(certificate);
        });
        end_entity(&Certificate::parse(&der).unwrap(), &[])
    }

    #[test]
    fn validity_has_both_ends() {
        let (from, to) = (NOW.minus(5), NOW.plus(5));
        let der = changed(|certificate| certificate.validity = (from, to));
        let certificate = Certificate::parse(&der).unwrap();
        for now in [from, NOW, to] {
            assert_eq!(current(&certificate, now), Ok(()));
        }
        for now in [from.minus(1), to.plus(1)] {
            assert_eq!(current(&certificate, now), Err(Fault::Time { from, to, now }));
        }
    }

    #[test]
    fn names_chain() {
        let [root, second] = [0, 1].map(|at| Certificate::parse(NITRO.certificate(at)).unwrap());
        assert_eq!(named(&second, &root), Ok(()));
        assert_eq!(named(&root, &root), Ok(()));
        assert_eq!(named(&root, &second), Err(Fault::Issuer));
        let der = changed(|certificate| certificate.issuer.push('x'));
        assert_eq!(named(&Certificate::parse(&der).unwrap(), &root), Err(Fault::Issuer));
    }

    #[test]
    fn algorithms_are_of_the_list_and_the_same_twice() {
        let der = NITRO.certificate(1).to_vec();
        let certificate = Certificate::parse(&der).unwrap();
        assert_eq!(algorithm(&certificate, &[(ECDSA_SHA384, 7)]), Ok(7));
        let none: [([u8; 12], u8); 0] = [];
        assert_eq!(algorithm(&certificate, &none), Err(Fault::Algorithm));
        // SHA-256 in one of the two places.
        let places: Vec<_> =
            (0..der.len()).filter(|at| der[*at..].starts_with(&ECDSA_SHA384)).collect();
        assert_eq!(places.len(), 2);
        for place in places {
            let mut other = der.clone();
            other[place + 11] = 2;
            let certificate = Certificate::parse(&other).unwrap();
            let found = algorithm(&certificate, &[(ECDSA_SHA384, 7)]);
            assert_eq!(found, Err(Fault::Algorithm), "{place}");
        }
    }

    #[test]
    fn signatures_are_over_what_was_signed() {
        let certificate = Certificate::parse(NITRO.certificate(1)).unwrap();
        let right = certificate.signed;
        let both = |tbs: &[u8], signature: &[u8]| tbs == right.tbs && signature == right.signature;
        assert_eq!(signed(&certificate, both), Ok(()));
        assert_eq!(signed(&certificate, |_, _| false), Err(Fault::Signature));
    }

    #[test]
    fn authorities_have_their_rights() {
        assert_eq!(rights(2, |_| ()), Ok(()));
        assert_eq!(rights(2, |c| c.basic = Some((true, None))), Ok(()));
        assert_eq!(rights(usize::MAX, |c| c.basic = Some((true, None))), Ok(()));
        assert_eq!(rights(0, |c| c.basic = None), Err(Fault::NoAuthority));
        assert_eq!(rights(0, |c| c.basic = Some((false, None))), Err(Fault::NoAuthority));
        for (length, below, wanted) in
            [(0, 0, Ok(())), (0, 1, Err(Fault::Length)), (2, 2, Ok(())), (2, 3, Err(Fault::Length))]
        {
            assert_eq!(rights(below, |c| c.basic = Some((true, Some(length)))), wanted);
        }
        assert_eq!(rights(0, |c| c.usage = None), Err(Fault::Usage));
        // All bits of the first byte but keyCertSign.
        assert_eq!(rights(0, |c| c.usage = Some(!0x04)), Err(Fault::Usage));
        assert_eq!(rights(0, |c| c.usage = Some(0x04)), Ok(()));
    }

    #[test]
    fn leaves_have_theirs() {
        assert_eq!(leaf(|_| ()), Ok(()));
        assert_eq!(leaf(|c| c.basic = Some((false, None))), Ok(()));
        assert_eq!(leaf(|c| c.basic = Some((true, None))), Err(Fault::Authority));
        assert_eq!(leaf(|c| c.usage = None), Err(Fault::Usage));
        assert_eq!(leaf(|c| c.usage = Some(!0x80)), Err(Fault::Usage));
    }

    #[test]
    fn extensions_are_known_or_not_critical() {
        let extra = |critical| {
            move |c: &mut NitroCertificate| {
                c.extra.push(("2.5.29.37", critical, vec![0x30, 0]));
            }
        };
        assert_eq!(rights(0, extra(false)), Ok(()));
        assert_eq!(leaf(extra(false)), Ok(()));
        assert_eq!(rights(0, extra(true)), Err(Fault::Critical));
        assert_eq!(leaf(extra(true)), Err(Fault::Critical));
        // One that the caller looks at.
        let der = changed(extra(true));
        let certificate = Certificate::parse(&der).unwrap();
        assert_eq!(authority(&certificate, 0, &[ID_CE_EXT_KEY_USAGE]), Ok(()));
    }

    #[test]
    fn extensions_are_there_once_and_well_formed() {
        for oid in ["2.5.29.19", "2.5.29.15"] {
            let twice = |c: &mut NitroCertificate| c.extra.push((oid, true, vec![0x30, 0]));
            assert_eq!(rights(0, twice), Err(Fault::Extension), "{oid}");
            assert_eq!(leaf(|c| (c.basic, c.usage) = (Some((false, None)), Some(0x80))), Ok(()));
        }
        let malformed = |c: &mut NitroCertificate| {
            c.usage = None;
            c.extra.push(("2.5.29.15", true, vec![0x30, 0]));
        };
        assert_eq!(rights(0, malformed), Err(Fault::Extension));
        assert_eq!(leaf(malformed), Err(Fault::Extension));
    }

    #[test]
    fn faults_are_told() {
        let faults = [
            Fault::Issuer,
            Fault::Algorithm,
            Fault::Signature,
            Fault::Extension,
            Fault::Critical,
            Fault::NoAuthority,
            Fault::Length,
            Fault::Authority,
            Fault::Usage,
        ];
        let told: std::collections::BTreeSet<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), faults.len());
        let time = Fault::Time { from: NOW, to: NOW, now: NOW.plus(1) };
        assert!(time.to_string().contains("2027-01-15T08:00:01Z"));
    }
}
