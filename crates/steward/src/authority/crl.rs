// SPDX-License-Identifier: Apache-2.0

//! Certificate revocation lists (RFC 5280 section 5): for certificates that live longer than the time in which somebody
//! wants to be rid of them. A list speaks for one issuer, about everything that it issued, and has an end.

use std::fmt;

use der::asn1::{OctetString, Uint};
use der::{Decode as _, Encode as _};
use types::limits;
use types::time::Timestamp;
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::ext::pkix::crl::{CrlNumber, IssuingDistributionPoint};
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, KeyUsage};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;

use super::{Authority, AuthorityError, chain, internal};
use crate::certificate::LIFETIME_SECONDS_MAX;
use crate::x509;

/// How long a list is valid unless told otherwise, in hours.
pub const HOURS: u32 = 72;
/// Longest serial number, in bytes (RFC 5280 section 4.1.2.2).
const SERIAL_BYTES_MAX: usize = 20;

/// Why there is no list.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CrlError {
    /// It does not decode, is larger than 256 KiB, or has no number or no end.
    Malformed,
    /// Another issuer signed it, or nobody.
    OtherIssuer,
    /// The issuer's certificate does not let it sign lists.
    NotAllowed,
    /// It is not valid at this time; its first and last second.
    Expired(Timestamp, Timestamp),
    /// It is not about all that its issuer issued.
    Partial,
    /// This is no serial number.
    Serial(String),
    /// There is no room for so many.
    TooLong,
    /// The issuer does not sign.
    Authority(AuthorityError),
}

impl fmt::Display for CrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => {
                f.write_str("it is no revocation list, DER, of version 2, with number and end")
            }
            Self::OtherIssuer => f.write_str("it is not signed by this issuer"),
            Self::NotAllowed => f.write_str("the issuer's key usage lacks cRLSign"),
            Self::Expired(first, last) => write!(
                f,
                "it is valid from {first} to {last} only; `steward ca crl` makes the next one"
            ),
            Self::Partial => f.write_str("it speaks about some of the certificates only"),
            Self::Serial(text) => write!(f, "`{text}` is no serial number: 1 to 20 bytes in hex"),
            Self::TooLong => write!(f, "it would be larger than {} bytes", limits::CRL_BYTES_MAX),
            Self::Authority(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CrlError {}

/// A list that was checked.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Its number.
    pub number: u64,
    /// Its last second.
    pub next_update: Timestamp,
    /// What it revokes.
    revoked: Vec<RevokedCert>,
}

impl Checked {
    /// How many certificates it revokes.
    pub fn revoked(&self) -> usize {
        self.revoked.len()
    }
}

/// Checks that `der` is the list of the issuer with this certificate (DER), whenever it was or will be valid.
fn check(der: &[u8], issuer: &[u8]) -> Result<(Checked, Timestamp), CrlError> {
    if der.len() > limits::CRL_BYTES_MAX {
        return Err(CrlError::Malformed);
    }
    let list = CertificateList::<x509_cert::certificate::Rfc5280>::from_der(der)
        .map_err(|_| CrlError::Malformed)?;
    let issuer = Certificate::from_der(issuer).map_err(|_| CrlError::OtherIssuer)?;
    let tbs = &list.tbs_cert_list;
    if tbs.version != Version::V2 || list.signature_algorithm != tbs.signature {
        return Err(CrlError::Malformed);
    }
    let named = &tbs.issuer == issuer.tbs_certificate().subject();
    if !named || !chain::signature_is_of(der, &issuer) {
        return Err(CrlError::OtherIssuer);
    }
    may_sign(&issuer)?;
    let extensions = tbs.crl_extensions.as_deref().unwrap_or_default();
    let with = |oid| extensions.iter().find(|extension| extension.extn_id == oid);
    if with(<IssuingDistributionPoint as const_oid::AssociatedOid>::OID).is_some()
        || extensions.iter().any(|extension| extension.critical)
    {
        return Err(CrlError::Partial);
    }
    let number = with(<CrlNumber as const_oid::AssociatedOid>::OID)
        .and_then(|extension| u64::from_der(extension.extn_value.as_bytes()).ok())
        .ok_or(CrlError::Malformed)?;
    let next_update = tbs.next_update.as_ref().map(x509::seconds).ok_or(CrlError::Malformed)?;
    let revoked = tbs.revoked_certificates.clone().unwrap_or_default();
    Ok((Checked { number, next_update, revoked }, x509::seconds(&tbs.this_update)))
}

/// Checks that `der` is the list of the issuer with this certificate (DER), and valid at `now`.
///
/// # Errors
/// See [`CrlError`].
pub fn read(der: &[u8], issuer: &[u8], now: Timestamp) -> Result<Checked, CrlError> {
    let (checked, first) = check(der, issuer)?;
    if now < first || now >= checked.next_update {
        return Err(CrlError::Expired(first, checked.next_update));
    }
    Ok(checked)
}

fn may_sign(issuer: &Certificate) -> Result<(), CrlError> {
    match issuer.tbs_certificate().get_extension::<KeyUsage>() {
        Ok(None) => Ok(()),
        Ok(Some((_, usage))) if usage.crl_sign() => Ok(()),
        _ => Err(CrlError::NotAllowed),
    }
}

/// Reads a serial number in hex.
///
/// # Errors
/// [`CrlError::Serial`]
pub fn serial(text: &str) -> Result<Vec<u8>, CrlError> {
    let bytes = hex::decode(text).ok();
    let fits = |bytes: &Vec<u8>| (1..=SERIAL_BYTES_MAX).contains(&bytes.len());
    bytes.filter(fits).ok_or_else(|| CrlError::Serial(text.chars().take(64).collect()))
}

/// Makes the next list of `authority`: what `before` (DER, if there is one) revokes, and `serials`, from `now` on and for
/// `hours`. What was revoked so long ago that it has expired since is left out.
///
/// # Errors
/// See [`CrlError`]; `before` may have ended, but must be the issuer's own.
pub fn next(
    authority: &Authority,
    before: Option<&[u8]>,
    serials: &[Vec<u8>],
    now: Timestamp,
    hours: u32,
) -> Result<Vec<u8>, CrlError> {
    let issuer = authority.chain().first().ok_or(CrlError::OtherIssuer)?;
    may_sign(&Certificate::from_der(issuer).map_err(|_| CrlError::OtherIssuer)?)?;
    let (mut revoked, number) = match before {
        Some(der) => {
            let (before, _) = check(der, issuer)?;
            (before.revoked, before.number.saturating_add(1))
        }
        None => (Vec::new(), 0),
    };
    if authority.issues_for_keeps() {
        // Nothing that it issues lives longer.
        let gone = now.minus(LIFETIME_SECONDS_MAX + 86_400);
        revoked.retain(|entry| x509::seconds(&entry.revocation_date) >= gone);
    }
    let failed = |error: der::Error| CrlError::Authority(internal(error));
    for serial in serials {
        let serial_number = SerialNumber::new(serial).map_err(failed)?;
        if revoked.iter().all(|entry| entry.serial_number != serial_number) {
            let revocation_date = x509::time(now).map_err(failed)?;
            revoked.push(RevokedCert {
                serial_number,
                revocation_date,
                crl_entry_extensions: None,
            });
        }
    }
    let last = now.plus(u64::from(hours.max(1)) * 3_600).min(authority.not_after());
    let build = || -> der::Result<Vec<u8>> {
        let key_id = AuthorityKeyIdentifier {
            key_identifier: Some(OctetString::new(authority.key_id())?),
            ..AuthorityKeyIdentifier::default()
        };
        // Never smaller than before, not even if the one before was lost.
        let number = Uint::new(&number.max(now.0).to_be_bytes())?;
        TbsCertList::<x509_cert::certificate::Rfc5280> {
            version: Version::V2,
            signature: authority.algorithm(),
            issuer: Name::from_der(&authority.subject().to_der()?)?,
            this_update: x509::time(now)?,
            next_update: Some(x509::time(last)?),
            revoked_certificates: (!revoked.is_empty()).then_some(revoked),
            crl_extensions: Some(vec![
                x509::extension(false, &key_id)?,
                x509::extension(false, &CrlNumber(number))?,
            ]),
        }
        .to_der()
    };
    let tbs = build().map_err(failed)?;
    let signature = authority.sign(&tbs).map_err(CrlError::Authority)?;
    let der = x509::assemble(&tbs, authority.algorithm(), &signature).map_err(failed)?;
    if der.len() > limits::CRL_BYTES_MAX {
        return Err(CrlError::TooLong);
    }
    // What cannot be used is not given out.
    read(&der, issuer, now)?;
    Ok(der)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::generate;

    const NOW: Timestamp = Timestamp(1_700_000_000);

    fn authority() -> Authority {
        let new = generate("Test CA", NOW).unwrap();
        Authority::from_pem(new.certificate_pem.as_bytes(), new.key_pem.as_bytes(), NOW).unwrap()
    }

    fn issuer(authority: &Authority) -> &[u8] {
        &authority.chain()[0]
    }

    #[test]
    fn lists_carry_on_and_are_numbered() {
        let ca = authority();
        let empty = next(&ca, None, &[], NOW, HOURS).unwrap();
        let first = read(&empty, issuer(&ca), NOW).unwrap();
        assert_eq!((first.revoked(), first.next_update), (0, NOW.plus(72 * 3600)));
        let serials = [vec![0x41; 16], vec![0x42; 16], vec![0x41; 16]];
        let list = next(&ca, Some(&empty), &serials, NOW, HOURS).unwrap();
        let second = read(&list, issuer(&ca), NOW).unwrap();
        assert_eq!(second.revoked(), 2);
        assert!(second.number > first.number);
        // Also when the one before has ended.
        let later = NOW.plus(100 * 86_400);
        let list = next(&ca, Some(&list), &[vec![0x43; 16]], later, 1).unwrap();
        let third = read(&list, issuer(&ca), later).unwrap();
        assert_eq!(third.revoked(), 3, "a root's intermediates live long");
        assert!(third.number > second.number);
        // And when it was lost.
        let list = next(&ca, None, &[], later.plus(1), 1).unwrap();
        assert!(read(&list, issuer(&ca), later.plus(1)).unwrap().number > third.number);
    }

    #[test]
    fn what_is_not_the_issuers_list_is_refused() {
        let (ca, other) = (authority(), authority());
        let list = next(&ca, None, &[vec![1]], NOW, 1).unwrap();
        let refused = |der: &[u8], now| read(der, issuer(&ca), now).unwrap_err();
        for at in 0..list.len() {
            let mut changed = list.clone();
            changed[at] ^= 1;
            assert!(read(&changed, issuer(&ca), NOW).is_err(), "byte {at}");
        }
        assert_eq!(read(&list, issuer(&other), NOW).unwrap_err(), CrlError::OtherIssuer);
        let end = NOW.plus(3_600);
        assert_eq!(refused(&list, NOW.minus(1)), CrlError::Expired(NOW, end));
        assert_eq!(refused(&list, end), CrlError::Expired(NOW, end));
        assert_eq!(refused(b"", NOW), CrlError::Malformed);
        assert_eq!(refused(&vec![0; limits::CRL_BYTES_MAX + 1], NOW), CrlError::Malformed);
        let error = next(&other, Some(&list), &[], NOW, 1).unwrap_err();
        assert_eq!(error, CrlError::OtherIssuer);
    }

    #[test]
    fn serial_numbers_are_hex() {
        assert_eq!(serial("0aFF"), Ok(vec![10, 255]));
        for text in ["", "0", "xx", &"00".repeat(21)] {
            assert!(matches!(serial(text), Err(CrlError::Serial(_))), "{text}");
        }
    }

    #[test]
    fn lists_are_bounded() {
        let serials: Vec<Vec<u8>> =
            (0..8_000_u32).map(|n| [&[1; 12][..], &n.to_be_bytes()].concat()).collect();
        assert_eq!(next(&authority(), None, &serials, NOW, 1), Err(CrlError::TooLong));
    }
}
