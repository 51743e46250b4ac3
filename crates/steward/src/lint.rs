// SPDX-License-Identifier: Apache-2.0

//! A certificate is read again, as a relying party would, before it leaves: what was meant must be what was written.

use std::fmt;

use const_oid::AssociatedOid as _;
use der::{Decode as _, Encode as _};
use evidence::result::{AttestationResult, EXTENSION};
use x509_cert::Certificate;
use x509_cert::certificate::Version;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};

use crate::authority::Authority;
use crate::certificate::{LIFETIME_SECONDS_MAX, Order};
use crate::x509;

/// What is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw(pub &'static str);

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate just made is not as ordered: {}", self.0)
    }
}

impl std::error::Error for Flaw {}

fn demand(holds: bool, what: &'static str) -> Result<(), Flaw> {
    if holds { Ok(()) } else { Err(Flaw(what)) }
}

/// Checks that `der` is the certificate that `order` describes, signed by `authority`.
///
/// # Errors
/// The first [`Flaw`].
pub fn check(der: &[u8], order: &Order, authority: &Authority) -> Result<(), Flaw> {
    let certificate = Certificate::from_der(der).map_err(|_| Flaw("encoding"))?;
    demand(certificate.to_der().is_ok_and(|again| again == der), "encoding")?;
    signature(der, &certificate, authority)?;
    let tbs = certificate.tbs_certificate();
    demand(tbs.version() == Version::V3, "version")?;
    let serial = tbs.serial_number().as_bytes();
    demand(
        serial.len() == x509::SERIAL_BYTES && serial.first().is_some_and(|b| *b < 0x80),
        "serial number",
    )?;
    let same =
        |encoded: der::Result<Vec<u8>>, expected: der::Result<Vec<u8>>| match (encoded, expected) {
            (Ok(encoded), Ok(expected)) => encoded == expected,
            _ => false,
        };
    demand(same(tbs.issuer().to_der(), authority.subject().to_der()), "issuer")?;
    demand(
        same(tbs.subject().to_der(), order.subject().and_then(|subject| subject.to_der())),
        "subject",
    )?;
    demand(same(tbs.subject_public_key_info().to_der(), Ok(order.spki_der.clone())), "public key")?;
    validity(&certificate, order, authority)?;
    extensions(&certificate, order, authority)
}

fn signature(der: &[u8], certificate: &Certificate, authority: &Authority) -> Result<(), Flaw> {
    let expected = authority.algorithm();
    demand(
        *certificate.signature_algorithm() == expected
            && *certificate.tbs_certificate().signature() == expected,
        "signature algorithm",
    )?;
    let parts = x509::split(der).map_err(|_| Flaw("encoding"))?;
    let bits = parts.signature.as_bytes();
    let signed = bits.is_some_and(|signature| authority.verify(&parts.tbs, signature));
    demand(signed, "signature")
}

fn validity(certificate: &Certificate, order: &Order, authority: &Authority) -> Result<(), Flaw> {
    let validity = certificate.tbs_certificate().validity();
    let (first, last) = (x509::seconds(&validity.not_before), x509::seconds(&validity.not_after));
    demand((first, last) == (order.not_before, order.not_after) && first < last, "validity")?;
    demand(
        first >= authority.not_before() && last <= authority.not_after(),
        "validity beyond the issuer's",
    )?;
    demand(last.0.saturating_sub(first.0) <= LIFETIME_SECONDS_MAX, "validity longer than 28 days")
}

fn extensions(certificate: &Certificate, order: &Order, authority: &Authority) -> Result<(), Flaw> {
    let tbs = certificate.tbs_certificate();
    let mut results =
        tbs.extensions().into_iter().flatten().filter(|extension| extension.extn_id == EXTENSION);
    let (Some(result), None) = (results.next(), results.next()) else {
        return Err(Flaw("attestation result"));
    };
    // There is one way to write a result, and reading takes no other: these bytes need not be written again to compare.
    let value = result.extn_value.as_bytes();
    let read = AttestationResult::from_extension(value);
    demand(read.is_ok_and(|read| read == order.result), "attestation result")?;
    let expected = order.extensions(authority, value.to_vec()).map_err(|_| Flaw("extensions"))?;
    demand(tbs.extensions().map(Vec::as_slice) == Some(expected.as_slice()), "extensions")?;
    // What the most consequential of them say to somebody who parses them.
    let Ok(Some((true, constraints))) = tbs.get_extension::<BasicConstraints>() else {
        return Err(Flaw("basic constraints"));
    };
    demand(!constraints.ca, "basic constraints")?;
    let Ok(Some((true, usage))) = tbs.get_extension::<KeyUsage>() else {
        return Err(Flaw("key usage"));
    };
    demand(usage.digital_signature() && !usage.key_cert_sign() && !usage.crl_sign(), "key usage")?;
    let Ok(Some((false, purposes))) = tbs.get_extension::<ExtendedKeyUsage>() else {
        return Err(Flaw("extended key usage"));
    };
    demand(purposes.0.len() == 2, "extended key usage")?;
    let names = match tbs.get_extension::<SubjectAltName>() {
        Ok(Some((false, names))) => names.0,
        Ok(None) => Vec::new(),
        _ => return Err(Flaw("alternative names")),
    };
    demand(order.names() == Ok(names), "alternative names")?;
    let policy = format!("/policy/{}", order.result.policy.to_hex());
    demand(order.policy_uri.ends_with(&policy), "policy")?;
    demand(
        tbs.extensions()
            .into_iter()
            .flatten()
            .filter(|e| e.critical)
            .all(|e| [BasicConstraints::OID, KeyUsage::OID].contains(&e.extn_id)),
        "a critical extension too many",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::generate;
    use crate::certificate::{Issued, make, window};
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
    use evidence::result::Facts;
    use testkit::pki::sample_result;
    use types::digest::Sha256;
    use types::time::Timestamp;

    const NOW: Timestamp = Timestamp(1_700_000_000);

    fn authority() -> Authority {
        let new = generate("Test CA", NOW).unwrap();
        Authority::from_pem(new.certificate_pem.as_bytes(), new.key_pem.as_bytes(), NOW).unwrap()
    }

    fn order(authority: &Authority) -> Order {
        let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
        let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).unwrap();
        let (not_before, not_after) = window(NOW, 86_400, authority);
        let policy = Sha256::of(b"policy");
        Order {
            spki_der: spki.as_ref().to_vec(),
            dns: vec!["app.example.com".to_owned()],
            ip: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            not_before,
            not_after,
            policy_uri: format!("https://steward.example.com/policy/{}", policy.to_hex()),
            issuer_uri: "https://steward.example.com/ca.cer".to_owned(),
            list_uri: None,
            evidence: None,
            result: AttestationResult {
                build: "steward test".to_owned(),
                issued_at: NOW,
                policy,
                facts: Facts {
                    simulated: true,
                    ..sample_result(
                        Sha256::of(b"workload"),
                        Some("store.example.com/team/app:1.2.0".parse().unwrap()),
                        NOW,
                    )
                    .facts
                },
            },
        }
    }

    #[test]
    fn a_certificate_as_ordered_passes() {
        let authority = authority();
        let mut order = order(&authority);
        let Issued { der, serial } = make(&order, &authority).unwrap();
        assert_eq!(check(&der, &order, &authority), Ok(()));
        assert_eq!(serial.len(), 32);
        let parsed = Certificate::from_der(&der).unwrap();
        let tbs = parsed.tbs_certificate();
        assert_eq!(tbs.subject().to_string(), "CN=app:1.2.0,OU=simulated TEE");
        assert_eq!(tbs.extensions().unwrap().len(), 10);

        let workload = order.result.facts.workload.as_mut().unwrap();
        workload.slug = None;
        let der = make(&order, &authority).unwrap().der;
        let parsed = Certificate::from_der(&der).unwrap();
        let name = parsed.tbs_certificate().subject().to_string();
        assert!(name.starts_with("CN=sha256:"), "{name}");

        order.result.facts.workload = None;
        order.result.facts.simulated = false;
        (order.dns, order.ip) = (Vec::new(), Vec::new());
        let der = make(&order, &authority).unwrap().der;
        assert_eq!(check(&der, &order, &authority), Ok(()));
        let parsed = Certificate::from_der(&der).unwrap();
        let tbs = parsed.tbs_certificate();
        assert_eq!(tbs.subject().to_string(), "CN=Enarx Keep");
        assert_eq!(tbs.extensions().unwrap().len(), 9, "no empty SAN");
    }

    #[test]
    fn every_difference_from_the_order_is_found() {
        let authority = authority();
        let order = order(&authority);
        let der = make(&order, &authority).unwrap().der;
        let differs = |change: &dyn Fn(&mut Order), flaw: &'static str| {
            let mut other = order.clone();
            change(&mut other);
            assert_eq!(check(&der, &other, &authority), Err(Flaw(flaw)));
        };
        differs(&|o| o.result.facts.simulated = false, "subject");
        differs(&|o| o.result.facts.workload = None, "subject");
        differs(&|o| o.not_before = o.not_before.plus(1), "validity");
        differs(&|o| o.not_after = o.not_after.plus(1), "validity");
        differs(&|o| o.dns.clear(), "extensions");
        differs(&|o| o.ip.clear(), "extensions");
        let other = Sha256::of(b"other");
        let result = "attestation result";
        differs(&|o| o.result.facts.workload.as_mut().unwrap().digest = other, result);
        differs(&|o| o.policy_uri.push('1'), "extensions");
        differs(
            &|o| o.list_uri = Some("https://steward.example.com/x.crl".to_owned()),
            "extensions",
        );
        differs(&|o| o.issuer_uri.push('1'), "extensions");
        differs(&|o| o.evidence = Some(vec![0xf6]), "extensions");
        differs(&|o| o.result.issued_at = NOW.plus(1), result);
        let key = self::order(&authority).spki_der;
        differs(&|o| o.spki_der = key.clone(), "public key");

        assert_eq!(check(&der, &order, &self::authority()), Err(Flaw("signature")));
        assert_eq!(check(der.split_last().unwrap().1, &order, &authority), Err(Flaw("encoding")));
    }

    #[test]
    fn no_flipped_byte_goes_unnoticed() {
        let authority = authority();
        let order = order(&authority);
        let der = make(&order, &authority).unwrap().der;
        for at in 0..der.len() {
            let mut changed = der.clone();
            changed[at] ^= 0x01;
            assert!(check(&changed, &order, &authority).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_result_that_nobody_could_read_is_not_issued() {
        let authority = authority();
        let mut order = order(&authority);
        order.result.facts.pinned = false;
        let der = make(&order, &authority).unwrap().der;
        assert_eq!(check(&der, &order, &authority), Err(Flaw("attestation result")));
        order.result.facts.pinned = true;
        order.policy_uri.push('x');
        let der = make(&order, &authority).unwrap().der;
        assert_eq!(check(&der, &order, &authority), Err(Flaw("policy")));
    }

    #[test]
    fn validity_stays_within_the_issuer_and_28_days() {
        let authority = authority();
        let (first, last) = window(NOW, u64::MAX, &authority);
        assert_eq!(last.0 - first.0, LIFETIME_SECONDS_MAX);
        let (_, last) = window(authority.not_after().minus(60), 86_400, &authority);
        assert_eq!(last, authority.not_after());
        let (first, _) = window(authority.not_before(), 86_400, &authority);
        assert_eq!(first, authority.not_before());

        let mut order = order(&authority);
        order.not_after = authority.not_after().plus(1);
        let der = make(&order, &authority).unwrap().der;
        assert_eq!(check(&der, &order, &authority), Err(Flaw("validity beyond the issuer's")));
        order.not_after = order.not_before.plus(LIFETIME_SECONDS_MAX + 1);
        let der = make(&order, &authority).unwrap().der;
        assert_eq!(check(&der, &order, &authority), Err(Flaw("validity longer than 28 days")));
    }
}
