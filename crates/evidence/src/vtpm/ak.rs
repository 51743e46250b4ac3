// SPDX-License-Identifier: Apache-2.0

//! The certificate of the virtual TPM's key: an RSA chain up to Microsoft's root for virtual TPMs.
//!
//! The root travels with the chain and is believed by its fingerprint.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::ID_CE_EXT_KEY_USAGE;
use const_oid::db::rfc5912::{
    RSA_ENCRYPTION, SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION,
    SHA_512_WITH_RSA_ENCRYPTION,
};
use der::Decode as _;
use der::asn1::BitStringRef;
use types::digest::Sha256;
use types::time::Timestamp;
use x509_cert::ext::pkix::ExtendedKeyUsage;

use crate::asn1::path::{self, Fault};
use crate::asn1::{self, Certificate};
use crate::check::{Check, Refusal, ensure};
use crate::crypto::{Scheme, Verifier};

/// SHA-256 of "Azure Virtual TPM Root Certificate Authority 2023", DER. Any other root is simulated.
pub(crate) const ROOT_FINGERPRINT: &str =
    "e6c596b17f8ffefba5c300f714cfb1260c6028704ecf7becc4ab5018efb00e95";
/// `tcg-kp-AIKCertificate`.
const AIK: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.8.3");
/// NULL of DER: the parameters of RSA's algorithm identifiers.
const NULL: [u8; 2] = [5, 0];

fn wrong(what: impl Into<String>) -> Refusal {
    Refusal::new(Check::AkCertificate, what)
}

fn fault(fault: Fault) -> Refusal {
    let expired = matches!(fault, Fault::Time { .. });
    let check = if expired { Check::CertificateExpired } else { Check::AkCertificate };
    Refusal::new(check, format!("a certificate of the AK's chain {fault}"))
}

/// Checks a chain (leaf first, root last, DER) for the key `ak` (PKCS#1). `simulated` are roots that are believed as
/// simulated ones. Returns whether the root is one of those.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn verify(
    chain: &[Vec<u8>],
    ak: &[u8],
    simulated: &[Vec<u8>],
    now: Timestamp,
    verifier: &dyn Verifier,
) -> Result<bool, Refusal> {
    let parsed =
        chain.iter().map(|der| Certificate::parse(der)).collect::<der::Result<Vec<_>>>().map_err(
            |error| wrong(format!("a certificate of the AK's chain is malformed: {error}")),
        )?;
    let (Some(leaf), Some(root), Some(root_der)) = (parsed.first(), parsed.last(), chain.last())
    else {
        return Err(wrong("the chain of the AK's certificate is empty"));
    };
    let genuine = Sha256::of(root_der).to_hex() == ROOT_FINGERPRINT;
    ensure(genuine || simulated.contains(root_der), Check::UntrustedRoot, || {
        "the AK's certificate does not lead to Microsoft's root for virtual TPMs".into()
    })?;
    ensure(parsed.len() > 1, Check::AkCertificate, || "the AK's certificate is a root".into())?;
    ensure(rsa_key(leaf.spki) == Some(ak), Check::AkCertificate, || {
        "the certificate is one of another TPM's key".into()
    })?;
    purpose(leaf)?;
    for certificate in &parsed {
        path::current(certificate, now).map_err(fault)?;
    }
    let issuers = parsed.iter().skip(1).chain([root]);
    for ((below, child), issuer) in parsed.iter().enumerate().zip(issuers) {
        issued(child, issuer, below, verifier).map_err(fault)?;
    }
    Ok(!genuine)
}

/// The PKCS#1 key in an SPKI of RSA.
fn rsa_key(spki: &[u8]) -> Option<&[u8]> {
    asn1::sequence(spki, |reader| {
        let algorithm = asn1::element(reader, der::Tag::Sequence)?;
        let key = BitStringRef::decode(reader)?;
        let rsa = algorithm == identifier(RSA_ENCRYPTION);
        key.as_bytes().filter(|_| rsa).ok_or_else(|| asn1::wrong(reader))
    })
    .ok()
}

/// AlgorithmIdentifier with NULL parameters.
fn identifier(oid: ObjectIdentifier) -> Vec<u8> {
    asn1::tlv(asn1::SEQUENCE, &[&asn1::tlv(asn1::OID, oid.as_bytes())[..], &NULL].concat())
}

/// `child` names `issuer`, is signed with its key, and `issuer` may have it with `below` authorities in between.
fn issued(
    child: &Certificate<'_>,
    issuer: &Certificate<'_>,
    below: usize,
    verifier: &dyn Verifier,
) -> Result<(), Fault> {
    path::named(child, issuer)?;
    path::authority(issuer, below, &[ID_CE_EXT_KEY_USAGE])?;
    let schemes = [
        (identifier(SHA_256_WITH_RSA_ENCRYPTION), Scheme::RsaPkcs1Sha256),
        (identifier(SHA_384_WITH_RSA_ENCRYPTION), Scheme::RsaPkcs1Sha384),
        (identifier(SHA_512_WITH_RSA_ENCRYPTION), Scheme::RsaPkcs1Sha512),
    ];
    let scheme = path::algorithm(child, &schemes)?;
    let key = rsa_key(issuer.spki).ok_or(Fault::Signature)?;
    path::signed(child, |tbs, signature| {
        verifier.verify_endorsement(scheme, key, tbs, signature).is_ok()
    })
}

/// A certificate of a TPM's attestation key, and no authority.
fn purpose(leaf: &Certificate<'_>) -> Result<(), Refusal> {
    path::end_entity(leaf, &[ID_CE_EXT_KEY_USAGE]).map_err(fault)?;
    let purposes: Option<ExtendedKeyUsage> =
        path::extension(leaf, ID_CE_EXT_KEY_USAGE).map_err(fault)?;
    let aik = purposes.is_some_and(|purposes| purposes.0.contains(&AIK));
    ensure(aik, Check::AkCertificate, || {
        "the certificate is not one of a TPM's attestation key".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::AwsLc;
    use testkit::silicon::azure::SimulatedAzure;
    use testkit::silicon::{Options, SimulatedSnp};

    const NOW: Timestamp = Timestamp(1_800_000_000);

    #[test]
    fn a_root_of_somebody_elses_is_simulated() {
        let snp = SimulatedSnp::generate(NOW, Options::default()).unwrap();
        let azure = SimulatedAzure::generate(snp, NOW).unwrap();
        let (bundle, _) = azure.evidence(&[1; 48], &azure.knobs()).unwrap();
        let leaf = Certificate::parse(&bundle.certificates[0]).unwrap();
        let ak = rsa_key(leaf.spki).unwrap();
        let roots = [azure.root().unwrap()];
        let judge = |chain: &[Vec<u8>], roots: &[Vec<u8>]| verify(chain, ak, roots, NOW, &AwsLc);
        assert_eq!(judge(&bundle.certificates, &roots), Ok(true));
        assert_eq!(judge(&bundle.certificates, &[]).unwrap_err().check, "untrusted-root");
        assert_eq!(judge(&[], &roots).unwrap_err().check, "ak-certificate");
    }
}
