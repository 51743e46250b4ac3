// SPDX-License-Identifier: Apache-2.0

//! Certificate revocation lists (RFC 5280 section 5) that a relying party has at hand.
//!
//! Certificates of Keeps are short-lived and say that nobody revokes them (RFC 9608); lists are for the authorities between them and
//! the root, and for those who want them for Keeps as well. A list speaks about what its issuer issued; about others it says nothing.

use const_oid::db::rfc5280::ID_CE_CRL_NUMBER;
use der::Decode as _;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject as _;
use types::limits;
use types::time::Timestamp;
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, ExpirationPolicy, RevocationCheckDepth,
    RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_cert::crl::CertificateList;

use crate::VerifyError;

/// How DER of most things begins.
const SEQUENCE: u8 = 0x30;

/// Certificate revocation lists, one of an issuer.
///
/// What is on one, or below what is, proves nothing; nor does anything by the issuer of a list that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crls(Vec<Crl>);

/// A certificate revocation list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Crl {
    der: Vec<u8>,
    this_update: Timestamp,
}

fn wrong(why: impl Into<String>) -> VerifyError {
    VerifyError::Revocation(why.into())
}

impl Crls {
    /// Adds lists out of PEM (blocks of another kind are skipped), or one in DER. Whether a list is its issuer's shows when a chain
    /// is judged.
    ///
    /// # Errors
    /// [`VerifyError::Revocation`]: none; one that is not complete, of version 2, numbered, and at most 256 KiB; two of one issuer;
    /// more than 8 in all.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        if bytes.first() == Some(&SEQUENCE) {
            return self.add_der(bytes);
        }
        let mut found = false;
        for list in CertificateRevocationListDer::pem_slice_iter(bytes) {
            self.add_der(&list.map_err(|error| wrong(format!("not PEM: {error}")))?)?;
            found = true;
        }
        if found {
            Ok(())
        } else {
            Err(wrong("there is no revocation list in it, neither as DER nor as PEM"))
        }
    }

    fn add_der(&mut self, der: &[u8]) -> Result<(), VerifyError> {
        let crl = Crl::read(der)?;
        let issuer = crl.parsed()?.issuer().to_vec();
        for other in &self.0 {
            // Path validation would look at the first one only.
            if other.parsed()?.issuer() == issuer {
                return Err(wrong("there are two revocation lists of one issuer"));
            }
        }
        if self.0.len() == limits::CRLS_MAX {
            return Err(wrong(format!(
                "there are more than {} revocation lists",
                limits::CRLS_MAX
            )));
        }
        self.0.push(crl);
        Ok(())
    }

    /// The lists as path validation takes them.
    pub(super) fn current(
        &self,
        now: Timestamp,
    ) -> Result<Vec<CertRevocationList<'_>>, VerifyError> {
        let current = |crl: &Crl| now >= crl.this_update;
        if let Some(early) = self.0.iter().find(|crl| !current(crl)) {
            let from = early.this_update;
            return Err(wrong(format!("a revocation list is of {from}, and it is {now}")));
        }
        self.0.iter().map(Crl::parsed).collect()
    }
}

impl Crl {
    fn read(der: &[u8]) -> Result<Self, VerifyError> {
        if der.len() > limits::CRL_BYTES_MAX {
            return Err(wrong("the revocation list is larger than 256 KiB"));
        }
        let list: CertificateList = CertificateList::from_der(der)
            .map_err(|error| wrong(format!("the revocation list cannot be read: {error}")))?;
        let tbs = list.tbs_cert_list;
        let mut extensions = tbs.crl_extensions.into_iter().flatten();
        // RFC 5280 section 5.2.3: in every list, and never critical.
        if !extensions.any(|e| e.extn_id == ID_CE_CRL_NUMBER && !e.critical) {
            return Err(wrong("the revocation list has no number, or a critical one"));
        }
        let this_update = Timestamp(tbs.this_update.to_unix_duration().as_secs());
        let crl = Self { der: der.to_vec(), this_update };
        crl.parsed()?;
        Ok(crl)
    }

    fn parsed(&self) -> Result<CertRevocationList<'_>, VerifyError> {
        BorrowedCertRevocationList::from_der(&self.der)
            .map(CertRevocationList::from)
            .map_err(|error| wrong(format!("the revocation list cannot be used: {error}")))
    }
}

/// What lists decide about the certificates of a path: each has to be current, and to name none of them.
pub(super) fn options<'a>(
    lists: &'a [&'a CertRevocationList<'a>],
) -> Option<RevocationOptions<'a>> {
    let builder = RevocationOptionsBuilder::new(lists).ok()?;
    let options = builder
        .with_depth(RevocationCheckDepth::Chain)
        .with_status_policy(UnknownStatusPolicy::Allow)
        .with_expiration_policy(ExpirationPolicy::Enforce);
    Some(options.build())
}

#[cfg(test)]
mod tests {
    use super::super::validate;
    use super::*;
    use crate::testing::{NOW, anchors, chain, keep, result, steward};
    use crate::{Anchors, Usage};

    const END: Timestamp = Timestamp(NOW.0 + 86_400);

    fn check(
        anchors: &Anchors,
        chain: &[rustls::pki_types::CertificateDer<'_>],
        now: Timestamp,
    ) -> String {
        match validate(chain, anchors, now, Usage::Client) {
            Ok(_) => String::new(),
            Err(error) => format!("{}: {error}", error.check()),
        }
    }

    #[test]
    fn what_is_revoked_proves_nothing_nor_what_is_below_it() {
        let ca = steward();
        let (middle, other) =
            (ca.subordinate("one", NOW).unwrap(), ca.subordinate("two", NOW).unwrap());
        let (one, two) = (keep(&middle, &result()), keep(&other, &result()));
        let with = |list: Vec<u8>| {
            let mut anchors = anchors(&ca);
            anchors.crls.add(&list).unwrap();
            [&one, &two].map(|keep| check(&anchors, &chain(keep), NOW))
        };
        let none = [String::new(), String::new()];
        let revoked = "chain.revocation: a certificate in the path is revoked".to_owned();
        assert_eq!(with(ca.revoke(&[], NOW, END).unwrap()), none);
        let list = ca.revoke(&[middle.certificate_der()], NOW, END).unwrap();
        assert_eq!(with(list), [revoked.clone(), String::new()]);
        let list = middle.revoke(&[&one.chain_der[0], &two.chain_der[0]], NOW, END).unwrap();
        // About what others issued it says nothing.
        assert_eq!(with(list), [revoked, String::new()]);
    }

    #[test]
    fn a_list_has_to_be_current_and_its_issuers() {
        let (ca, namesake) = (steward(), steward());
        let keep = chain(&keep(&ca, &result()));
        let with = |list: Vec<u8>, now| {
            let mut anchors = anchors(&ca);
            anchors.crls.add(&list).unwrap();
            check(&anchors, &keep, now)
        };
        let list = || ca.revoke(&[], NOW, END).unwrap();
        assert_eq!(with(list(), NOW), "");
        assert!(
            with(list(), NOW.minus(1)).starts_with("chain.revocation: a revocation list is of ")
        );
        assert_eq!(with(list(), END.minus(1)), "");
        assert!(
            with(list(), END.plus(1))
                .starts_with("chain.revocation: the revocation list ended at ")
        );
        let forged = namesake.revoke(&[], NOW, END).unwrap();
        assert!(with(forged, NOW).contains("not signed by its issuer"));
    }

    #[test]
    fn what_is_no_list_is_not_taken() {
        let ca = steward();
        let list = ca.revoke(&[], NOW, END).unwrap();
        let add =
            |crls: &mut Crls, bytes: &[u8]| crls.add(bytes).map_err(|error| error.to_string());
        let mut crls = Crls::default();
        for (bytes, says) in [
            (&b""[..], "no revocation list in it"),
            (ca.certificate_pem().as_bytes(), "no revocation list in it"),
            (ca.certificate_der(), "cannot be read"),
            (&list[..list.len() - 1], "cannot be read"),
            (&vec![SEQUENCE; limits::CRL_BYTES_MAX + 1], "larger than 256 KiB"),
        ] {
            let said = add(&mut crls, bytes).unwrap_err();
            assert!(said.contains(says), "{said}");
        }
        assert_eq!(crls, Crls::default());
        assert_eq!(add(&mut crls, &list), Ok(()));
        let again = ca.revoke_pem(&[], NOW, END).unwrap();
        assert!(
            add(&mut crls, again.as_bytes()).unwrap_err().contains("two revocation lists of one")
        );
        for number in 1..=limits::CRLS_MAX {
            let other = testkit::pki::DevCa::generate(&number.to_string(), NOW).unwrap();
            let list = other.revoke_pem(&[], NOW, END).unwrap();
            assert_eq!(add(&mut crls, list.as_bytes()).is_ok(), number < limits::CRLS_MAX);
        }
    }
}
