// SPDX-License-Identifier: Apache-2.0

//! As much of certificates and revocation lists as telling, dating and authenticating them takes. Who relies on collateral
//! (Steward) reads it again, strictly.

use der::asn1::{AnyRef, BitStringRef};
use der::oid::ObjectIdentifier;
use der::pem::LineEnding;
use der::{Decode as _, Encode as _, Reader as _, SliceReader};
use evidence::crypto::{AwsLc, Scheme, Verifier as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use types::limits;
use types::time::Timestamp;
use x509_cert::crl::CertificateList;
use x509_cert::name::Name;
use x509_cert::time::Time;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// Intel's extension of PCK certificates.
const SGX: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1");

/// A certificate.
#[derive(Clone, Debug)]
pub(super) struct Cert {
    /// All of it.
    pub(super) der: Vec<u8>,
    /// Common name of the subject.
    pub(super) subject: String,
    /// Common name of the issuer.
    pub(super) issuer: String,
    /// Contents of the serial number.
    pub(super) serial: Vec<u8>,
    /// First second.
    pub(super) from: Timestamp,
    /// Last second.
    pub(super) until: Timestamp,
    /// SubjectPublicKeyInfo.
    pub(super) spki: Vec<u8>,
    scheme: Option<Scheme>,
    key: Vec<u8>,
    sgx: Option<Vec<u8>>,
}

/// A revocation list.
#[derive(Clone, Debug)]
pub(super) struct List {
    /// Common name of the issuer.
    pub(super) issuer: String,
    /// When it was made.
    pub(super) from: Timestamp,
    /// When the next one comes.
    pub(super) until: Timestamp,
    /// Contents of the serial numbers that it lists.
    pub(super) revoked: Vec<Vec<u8>>,
}

/// What Intel says in a PCK certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SgxFacts {
    pub(super) ppid: [u8; 16],
    pub(super) fmspc: [u8; 6],
    /// CPUSVN and PCESVN, little endian.
    pub(super) tcb: [u8; 18],
}

fn seconds(time: &Time) -> Timestamp {
    Timestamp(time.to_unix_duration().as_secs())
}

fn common_name(name: &Name) -> String {
    name.common_name().ok().flatten().map(|name| name.value().into_owned()).unwrap_or_default()
}

impl Cert {
    pub(super) fn read(der: &[u8]) -> Result<Self, String> {
        if der.len() > limits::CERTIFICATE_BYTES_MAX {
            return Err("a certificate is larger than any".to_owned());
        }
        let parsed = x509_cert::Certificate::from_der(der)
            .map_err(|error| format!("no X.509 certificate: {error}"))?;
        let tbs = parsed.tbs_certificate();
        let spki = tbs.subject_public_key_info();
        let scheme = match spki.algorithm.oid {
            RSA => Some(Scheme::RsaPssSha384),
            EC => Some(Scheme::EcdsaP256Sha256Der),
            _ => None,
        };
        let sgx = tbs
            .extensions()
            .and_then(|all| all.iter().find(|extension| extension.extn_id == SGX))
            .map(|extension| extension.extn_value.as_bytes().to_vec());
        Ok(Self {
            der: der.to_vec(),
            serial: tbs.serial_number().as_bytes().to_vec(),
            subject: common_name(tbs.subject()),
            issuer: common_name(tbs.issuer()),
            from: seconds(&tbs.validity().not_before),
            until: seconds(&tbs.validity().not_after),
            key: spki.subject_public_key.raw_bytes().to_vec(),
            spki: spki.to_der().map_err(|error| error.to_string())?,
            scheme,
            sgx,
        })
    }

    /// Whether the key of this certificate signed that certificate or revocation list (DER).
    pub(super) fn signed(&self, der: &[u8]) -> bool {
        let (Some(scheme), Some((tbs, signature))) = (self.scheme, split(der)) else {
            return false;
        };
        AwsLc.verify(scheme, &self.key, tbs, signature).is_ok()
    }

    /// Whether the key of this certificate (P-256) made this signature, `r ‖ s`.
    pub(super) fn signed_fixed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.scheme == Some(Scheme::EcdsaP256Sha256Der)
            && AwsLc.verify(Scheme::EcdsaP256Sha256Fixed, &self.key, message, signature).is_ok()
    }

    /// Intel's extension, if this is a PCK certificate.
    pub(super) fn sgx(&self) -> Option<Result<SgxFacts, String>> {
        let der = self.sgx.as_deref()?;
        Some(
            sgx(der)
                .ok_or_else(|| "Intel's extension of the PCK certificate is malformed".to_owned()),
        )
    }
}

/// Whether the P-256 key with this point signed that certificate or revocation list (DER).
pub(super) fn signed_by_point(point: &[u8], der: &[u8]) -> bool {
    split(der).is_some_and(|(tbs, signature)| {
        AwsLc.verify(Scheme::EcdsaP256Sha256Der, point, tbs, signature).is_ok()
    })
}

/// What was signed, and the signature, of a certificate or revocation list.
fn split(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = SliceReader::new(der).ok()?;
    let parts = reader
        .sequence(|reader| {
            let tbs = reader.tlv_bytes()?;
            reader.tlv_bytes()?;
            let signature = BitStringRef::decode(reader)?;
            Ok::<_, der::Error>((tbs, signature.raw_bytes()))
        })
        .ok()?;
    reader.finish().ok().map(|()| parts)
}

fn read_seq<'a>(
    der: &'a [u8],
    mut each: impl FnMut(ObjectIdentifier, AnyRef<'a>) -> Option<()>,
) -> Option<()> {
    let outer = AnyRef::from_der(der).ok()?;
    let mut reader = SliceReader::new(outer.value()).ok()?;
    while !reader.is_finished() {
        let (oid, value) = reader
            .sequence(|entry| {
                Ok::<_, der::Error>((ObjectIdentifier::decode(entry)?, AnyRef::decode(entry)?))
            })
            .ok()?;
        each(oid, value)?;
    }
    Some(())
}

/// Intel SGX PCK certificate and CRL profile specification, section 1.3.5.
fn sgx(der: &[u8]) -> Option<SgxFacts> {
    let (mut ppid, mut fmspc, mut tcb) = (None, None, [0; 18]);
    let mut levels = 0_u32;
    read_seq(der, |oid, value| {
        let arcs: Vec<u32> = oid.arcs().skip(6).collect();
        match arcs.as_slice() {
            [1, 1] => ppid = Some(value.value().try_into().ok()?),
            [1, 4] => fmspc = Some(value.value().try_into().ok()?),
            [1, 2] => {
                let whole = value.to_der().ok()?;
                read_seq(&whole, |oid, value| {
                    let component = oid.arcs().last()?;
                    let number = || value.decode_as::<u16>().ok();
                    match component {
                        1..=16 => {
                            let at = usize::try_from(component).ok()?.checked_sub(1)?;
                            *tcb.get_mut(at)? = u8::try_from(number()?).ok()?;
                        }
                        17 => {
                            let bytes = number()?.to_le_bytes();
                            tcb.get_mut(16..)?.copy_from_slice(&bytes);
                        }
                        _ => return Some(()),
                    }
                    levels |= 1 << component;
                    Some(())
                })?;
            }
            _ => {}
        }
        Some(())
    })?;
    // All of 1 to 17.
    (levels == 0x3_fffe).then_some(())?;
    Some(SgxFacts { ppid: ppid?, fmspc: fmspc?, tcb })
}

impl List {
    pub(super) fn read(der: &[u8]) -> Result<Self, String> {
        if der.len() > limits::CRL_BYTES_MAX {
            return Err("a revocation list is larger than any".to_owned());
        }
        let parsed = CertificateList::<x509_cert::certificate::Rfc5280>::from_der(der)
            .map_err(|error| format!("no revocation list: {error}"))?;
        let tbs = &parsed.tbs_cert_list;
        let until = tbs
            .next_update
            .as_ref()
            .ok_or("the revocation list does not say when the next one comes")?;
        Ok(Self {
            issuer: common_name(&tbs.issuer),
            from: seconds(&tbs.this_update),
            until: seconds(until),
            revoked: tbs
                .revoked_certificates
                .iter()
                .flatten()
                .map(|entry| entry.serial_number.as_bytes().to_vec())
                .collect(),
        })
    }
}

/// The certificates in this PEM text, in order. Other blocks and text are skipped.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<Cert>, String> {
    let mut found = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem) {
        if found.len() == limits::CHAIN_CERTIFICATES_MAX {
            return Err("there are more certificates than any chain has".to_owned());
        }
        found.push(Cert::read(&der.map_err(|error| format!("broken PEM: {error}"))?)?);
    }
    Ok(found)
}

/// The first revocation list in this PEM text.
pub(super) fn list(pem: &[u8]) -> Option<Vec<u8>> {
    CertificateRevocationListDer::from_pem_slice(pem).ok().map(|der| der.to_vec())
}

/// PEM text of these certificates.
pub(super) fn to_pem(certificates: &[Cert]) -> Result<String, String> {
    let mut text = String::new();
    for certificate in certificates {
        let pem = der::pem::encode_string("CERTIFICATE", LineEnding::LF, &certificate.der);
        text.push_str(&pem.map_err(|error| error.to_string())?);
    }
    Ok(text)
}
