// SPDX-License-Identifier: Apache-2.0

//! Simulated AWS Nitro: certificates in AWS's form, and attestation documents under them.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
};
use const_oid::ObjectIdentifier;
use der::pem::LineEnding;
use types::time::Timestamp;

use super::SiliconError;
use super::chain::{self, BASIC_CONSTRAINTS, Extensions, KEY_USAGE};
use super::sign1::{Envelope, Value, cbor_map};
use crate::pki::enc;

/// Organisation in the names of all certificates here.
pub const NITRO_ORGANISATION: &str = "SIMULATED silicon, not AWS";

/// ECDSA with SHA-384.
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
/// Key usages, the first byte: digitalSignature and nonRepudiation; keyCertSign and cRLSign beside the first.
const SIGNS: u8 = 0xc0;
const ISSUES: u8 = 0x86;
/// How long a document's certificate lives, and how long the others do, seconds.
const LEAF_SECONDS: u64 = 3 * 3600;
const AUTHORITY_SECONDS: u64 = 7 * 365 * 86_400;
/// How long before the time of making all begin, seconds.
const BEFORE_SECONDS: u64 = 10;

/// A certificate to be.
#[derive(Clone, Debug, PartialEq)]
pub struct NitroCertificate {
    /// Common name of the subject.
    pub name: String,
    /// Common name of the issuer.
    pub issuer: String,
    /// First and last second.
    pub validity: (Timestamp, Timestamp),
    /// Whether it is an authority, and how many may be below; the extension is not there without.
    pub basic: Option<(bool, Option<u8>)>,
    /// First byte of its key usage; the extension is not there without.
    pub usage: Option<u8>,
    /// Further extensions: type, whether critical, value.
    pub extra: Vec<(&'static str, bool, Vec<u8>)>,
    /// Whose key signs it: the place of the certificate.
    pub signer: usize,
    /// Algorithm that it names, the one that it is signed with unless something is to be wrong.
    pub algorithm: ObjectIdentifier,
}

/// What documents say and how they are put together.
#[derive(Clone, Debug)]
pub struct NitroShape {
    /// Root, three authorities below each other, the enclave.
    pub certificates: Vec<NitroCertificate>,
    /// Which of them are in the bundle, in this order.
    pub bundle: Vec<usize>,
    /// Identity of the enclave.
    pub module_id: String,
    /// Milliseconds since 1970.
    pub timestamp_ms: u64,
    /// Registers.
    pub pcrs: BTreeMap<u64, Vec<u8>>,
    /// The enclave's own key.
    pub public_key: Option<Vec<u8>>,
    /// The enclave's own nonce.
    pub nonce: Option<Vec<u8>>,
    /// Around the payload.
    pub envelope: Envelope,
}

/// A simulated instance with an enclave.
#[derive(Clone, Debug)]
pub struct SimulatedNitro {
    /// PKCS#8 of the certificates' keys.
    keys: Arc<Vec<Vec<u8>>>,
    shape: NitroShape,
    /// The shape's certificates, DER. Signatures are random: each is issued once.
    issued: Vec<Vec<u8>>,
}

impl SimulatedNitro {
    /// Makes keys, and the shape of an enclave with nothing wrong.
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn generate(now: Timestamp) -> Result<Self, SiliconError> {
        let names = [
            "aws.nitro-enclaves",
            "simulated.region.aws.nitro-enclaves",
            "simulated.zonal.region.aws.nitro-enclaves",
            "i-simulated.region.aws.nitro-enclaves",
            "i-simulated-enc0.region.aws",
        ];
        let make = || EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING)?.to_pkcs8v1();
        let key = || make().map(|key| key.as_ref().to_vec()).map_err(|_| SiliconError::Crypto);
        let keys = names.iter().map(|_| key()).collect::<Result<_, _>>()?;
        let begin = now.minus(BEFORE_SECONDS);
        let leaf = names.len() - 1;
        let mut issuer = (0, names.first().copied().unwrap_or_default());
        let mut certificates = Vec::new();
        for (at, name) in names.into_iter().enumerate() {
            let below = u8::try_from(leaf - at).ok().and_then(|below| below.checked_sub(1));
            let seconds = if at == leaf { LEAF_SECONDS } else { AUTHORITY_SECONDS };
            certificates.push(NitroCertificate {
                name: name.to_owned(),
                issuer: issuer.1.to_owned(),
                validity: (begin, begin.plus(seconds)),
                basic: Some((at != leaf, below.filter(|_| at > 0))),
                usage: Some(if at == leaf { SIGNS } else { ISSUES }),
                extra: Vec::new(),
                signer: issuer.0,
                algorithm: ECDSA_SHA384,
            });
            issuer = (at, name);
        }
        let mut pcrs: BTreeMap<u64, Vec<u8>> = (0..16).map(|index| (index, vec![0; 48])).collect();
        for (index, byte) in [(0, 0x4d), (1, 0x11), (2, 0x22), (4, 0x44), (8, 0x88)] {
            pcrs.insert(index, vec![byte; 48]);
        }
        let shape = NitroShape {
            certificates,
            bundle: (0..leaf).collect(),
            module_id: "i-simulated-enc0".to_owned(),
            timestamp_ms: now.minus(1).0.saturating_mul(1000),
            pcrs,
            public_key: None,
            nonce: None,
            envelope: Envelope::of(-35, false),
        };
        let mut made = Self { keys: Arc::new(keys), shape, issued: Vec::new() };
        made.issued = (0..=leaf).map(|at| made.issue(at)).collect::<Result<_, _>>()?;
        Ok(made)
    }

    /// The same with other documents and certificates.
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn with_shape(&self, change: impl FnOnce(&mut NitroShape)) -> Result<Self, SiliconError> {
        let mut other = self.clone();
        change(&mut other.shape);
        let certificates = other.shape.certificates.iter().zip(&self.shape.certificates);
        let changed: Vec<bool> = certificates.map(|(new, old)| new != old).collect();
        for (at, _) in changed.iter().enumerate().filter(|(_, changed)| **changed) {
            let der = other.issue(at)?;
            if let Some(old) = other.issued.get_mut(at) {
                *old = der;
            }
        }
        Ok(other)
    }

    /// The same with an enclave that is started for debugging.
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn debuggable(&self) -> Result<Self, SiliconError> {
        self.with_shape(|shape| shape.pcrs.extend((0..3).map(|index| (index, vec![0; 48]))))
    }

    fn key(&self, at: usize) -> Result<&[u8], SiliconError> {
        self.keys.get(at).map(Vec::as_slice).ok_or(SiliconError::Crypto)
    }

    /// The certificate at this place, DER: the root is 0, the enclave's 4.
    pub fn certificate(&self, at: usize) -> &[u8] {
        self.issued.get(at).map(Vec::as_slice).unwrap_or_default()
    }

    fn issue(&self, at: usize) -> Result<Vec<u8>, SiliconError> {
        let spec = self.shape.certificates.get(at).ok_or(SiliconError::Crypto)?;
        let pair = |at| {
            let key = self.key(at)?;
            EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, key)
                .map_err(|_| SiliconError::Crypto)
        };
        let mut extensions = Extensions::default();
        if let Some((ca, below)) = spec.basic {
            extensions.add(BASIC_CONSTRAINTS, true, &chain::basic_constraints(ca, below));
        }
        if let Some(usage) = spec.usage {
            let unused = u8::try_from(usage.trailing_zeros()).unwrap_or(0);
            extensions.add(KEY_USAGE, true, &enc::tlv(3, &[unused, usage]));
        }
        for (oid, critical, value) in &spec.extra {
            extensions.add(ObjectIdentifier::new_unwrap(oid), *critical, value);
        }
        let algorithm = enc::seq(&[&enc::oid(spec.algorithm)]);
        let serial = [0x7f, u8::try_from(at).unwrap_or(0)];
        let tbs = enc::seq(&[
            // Version 3.
            &enc::tlv(0xa0, &[2, 1, 2]),
            &enc::tlv(2, &serial),
            &algorithm,
            &chain::name(&spec.issuer, NITRO_ORGANISATION),
            &enc::seq(&[&enc::time(spec.validity.0), &enc::time(spec.validity.1)]),
            &chain::name(&spec.name, NITRO_ORGANISATION),
            &chain::spki(&pair(at)?)?,
            &enc::tlv(0xa3, &extensions.sequence()),
        ]);
        let signature = pair(spec.signer)?
            .sign(&SystemRandom::new(), &tbs)
            .map_err(|_| SiliconError::Crypto)?;
        Ok(enc::seq(&[&tbs, &algorithm, &enc::bits(signature.as_ref())]))
    }

    /// The entries of a payload.
    pub fn payload(&self, user_data: Option<&[u8]>) -> Vec<(Value, Value)> {
        let shape = &self.shape;
        let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
        let optional = |field: Option<&[u8]>| field.map_or(Value::Null, bytes);
        let pcrs = shape.pcrs.iter().map(|(index, value)| (Value::from(*index), bytes(value)));
        let certificate = |at: usize| bytes(self.certificate(at));
        let bundle = shape.bundle.iter().map(|at| certificate(*at)).collect();
        let leaf = shape.certificates.len().saturating_sub(1);
        let entries = [
            ("module_id", Value::from(shape.module_id.as_str())),
            ("digest", Value::from("SHA384")),
            ("timestamp", Value::from(shape.timestamp_ms)),
            ("pcrs", Value::Map(pcrs.collect())),
            ("certificate", certificate(leaf)),
            ("cabundle", Value::Array(bundle)),
            ("public_key", optional(shape.public_key.as_deref())),
            ("user_data", optional(user_data)),
            ("nonce", optional(shape.nonce.as_deref())),
        ];
        entries.map(|(name, value)| (Value::from(name), value)).to_vec()
    }

    /// A document of this payload (CBOR), signed with the enclave's key.
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SiliconError> {
        let key = self.key(self.shape.certificates.len().saturating_sub(1))?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, key)
            .map_err(|_| SiliconError::Crypto)?;
        self.shape.envelope.sign(payload, &key)
    }

    /// A document over these user data.
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn document(&self, user_data: &[u8]) -> Result<Vec<u8>, SiliconError> {
        self.sign(&cbor_map(&self.payload(Some(user_data))))
    }

    /// The root, PEM, for Steward's `--insecure-simulated-roots`.
    pub fn root_pem(&self) -> String {
        let der = self.certificate(0);
        der::pem::encode_string("CERTIFICATE", LineEnding::LF, der).unwrap_or_default()
    }
}
