// SPDX-License-Identifier: Apache-2.0

//! Certificates and CRLs other than the right ones: for each check of a verifier, something that must fail it.

use aws_lc_rs::signature::RsaKeyPair;
use types::time::Timestamp;

use super::chain::{self, Extensions};
use super::{Shape, SiliconError, SimulatedSnp, Tcb};

/// Which of the two authorities' keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The root's.
    Ark,
    /// That of the authority for chips (and, here, for providers).
    Ask,
}

/// What a VCEK or VLEK certificate says.
#[derive(Clone, Debug)]
pub struct VekSpec {
    /// Common name of the issuer.
    pub issuer: String,
    /// Common name of the subject.
    pub subject: String,
    /// Organisation of the subject.
    pub organisation: String,
    /// Who signs.
    pub signer: Key,
    /// First and last second.
    pub validity: (Timestamp, Timestamp),
    /// Product and stepping, as `Milan-B1`.
    pub product_name: String,
    /// Part of the TCB that only Turin has.
    pub fmc: Option<u8>,
    /// The rest of the TCB.
    pub tcb: Tcb,
    /// Hardware identity, raw bytes of the extension.
    pub hwid: Option<Vec<u8>>,
    /// Cloud provider.
    pub csp: Option<String>,
    /// Further extensions: type, whether critical, DER value.
    pub extra: Vec<(String, bool, Vec<u8>)>,
    /// SubjectPublicKeyInfo in place of the chip's.
    pub spki: Option<Vec<u8>>,
    /// Whether the default trailer field is written out, as AMD does in most certificates.
    pub trailer: bool,
}

impl VekSpec {
    pub(super) fn of(shape: &Shape, validity: (Timestamp, Timestamp)) -> Self {
        Self {
            issuer: format!("SEV-{}", shape.product),
            subject: "SEV-VCEK".to_owned(),
            organisation: super::ORGANISATION.to_owned(),
            signer: Key::Ask,
            validity,
            product_name: shape.product_name(),
            fmc: shape.fmc,
            tcb: shape.tcb,
            hwid: Some(shape.hwid()),
            csp: None,
            extra: Vec::new(),
            spki: None,
            trailer: true,
        }
    }

    /// Makes it the certificate of a cloud provider's key.
    pub fn make_vlek(&mut self, provider: &str) {
        self.issuer = self.issuer.replace("SEV-", "SEV-VLEK-");
        self.subject = "SEV-VLEK".to_owned();
        self.hwid = None;
        self.csp = Some(provider.to_owned());
    }
}

/// What a CRL says.
#[derive(Clone, Debug)]
pub struct CrlSpec {
    /// Common name of the issuer.
    pub issuer: String,
    /// Who signs.
    pub signer: Key,
    /// When it was made.
    pub this_update: Timestamp,
    /// When the next one comes.
    pub next_update: Option<Timestamp>,
    /// Contents of the serial numbers that it lists.
    pub revoked: Vec<Vec<u8>>,
    /// Further extensions: type, whether critical, DER value.
    pub extra: Vec<(String, bool, Vec<u8>)>,
    /// Whether the default trailer field is written out; AMD does not in CRLs.
    pub trailer: bool,
}

impl CrlSpec {
    pub(super) fn of(product: &str, this_update: Timestamp, next_update: Timestamp) -> Self {
        Self {
            issuer: format!("ARK-{product}"),
            signer: Key::Ark,
            this_update,
            next_update: Some(next_update),
            revoked: Vec::new(),
            extra: Vec::new(),
            trailer: false,
        }
    }
}

/// What the certificate of an authority says.
#[derive(Clone, Debug)]
pub struct AuthoritySpec {
    /// Common name of the issuer.
    pub issuer: String,
    /// Common name of the subject.
    pub subject: String,
    /// Organisation of the subject.
    pub organisation: String,
    /// Contents of the serial number.
    pub serial: Vec<u8>,
    /// Whose key it certifies.
    pub key: Key,
    /// Who signs.
    pub signer: Key,
    /// First and last second.
    pub validity: (Timestamp, Timestamp),
    /// Whether it is an authority at all.
    pub ca: bool,
    /// How many authorities there may be below.
    pub path_length: Option<u8>,
    /// Contents of the BIT STRING of the key usage: unused bits and bits.
    pub key_usage: [u8; 2],
    /// Whether these two extensions are critical.
    pub critical: bool,
}

impl AuthoritySpec {
    pub(super) fn ark(product: &str, validity: (Timestamp, Timestamp)) -> Self {
        Self {
            issuer: format!("ARK-{product}"),
            subject: format!("ARK-{product}"),
            organisation: super::ORGANISATION.to_owned(),
            serial: super::ARK_SERIAL.to_vec(),
            key: Key::Ark,
            signer: Key::Ark,
            validity,
            ca: true,
            path_length: None,
            // keyCertSign and cRLSign.
            key_usage: [1, 6],
            critical: true,
        }
    }

    pub(super) fn ask(product: &str, validity: (Timestamp, Timestamp)) -> Self {
        Self {
            subject: format!("SEV-{product}"),
            serial: super::ASK_SERIAL.to_vec(),
            key: Key::Ask,
            path_length: Some(0),
            // keyCertSign.
            key_usage: [2, 4],
            ..Self::ark(product, validity)
        }
    }

    pub(super) fn asvk(product: &str, validity: (Timestamp, Timestamp)) -> Self {
        Self {
            subject: format!("SEV-VLEK-{product}"),
            serial: super::ASVK_SERIAL.to_vec(),
            ..Self::ask(product, validity)
        }
    }
}

/// The keys of the authorities.
pub(super) struct Authorities {
    pub(super) ark: RsaKeyPair,
    pub(super) ask: RsaKeyPair,
}

impl Authorities {
    const fn key(&self, key: Key) -> &RsaKeyPair {
        match key {
            Key::Ark => &self.ark,
            Key::Ask => &self.ask,
        }
    }

    pub(super) fn authority(&self, spec: &AuthoritySpec) -> Result<Vec<u8>, SiliconError> {
        let mut extensions = Extensions::default();
        let [unused, bits] = spec.key_usage;
        extensions.add(chain::KEY_USAGE, spec.critical, &[3, 2, unused, bits]);
        let constraints = chain::basic_constraints(spec.ca, spec.path_length);
        extensions.add(chain::BASIC_CONSTRAINTS, spec.critical, &constraints);
        let tbs = chain::Tbs {
            serial: &spec.serial,
            issuer: &chain::name(&spec.issuer, super::ORGANISATION),
            validity: spec.validity,
            subject: &chain::name(&spec.subject, &spec.organisation),
            spki: &chain::spki(self.key(spec.key))?,
            extensions,
            trailer: true,
        };
        chain::certificate(&tbs, self.key(spec.signer))
    }

    pub(super) fn vek(&self, spec: &VekSpec, spki: &[u8]) -> Result<Vec<u8>, SiliconError> {
        let tbs = chain::Tbs {
            // All have this one.
            serial: &[0],
            issuer: &chain::name(&spec.issuer, super::ORGANISATION),
            validity: spec.validity,
            subject: &chain::name(&spec.subject, &spec.organisation),
            spki: spec.spki.as_deref().unwrap_or(spki),
            extensions: chain::vek(spec),
            trailer: spec.trailer,
        };
        chain::certificate(&tbs, self.key(spec.signer))
    }

    pub(super) fn crl(&self, spec: &CrlSpec) -> Result<Vec<u8>, SiliconError> {
        chain::crl(spec, self.key(spec.signer))
    }
}

impl SimulatedSnp {
    fn authorities(&self) -> Result<&Authorities, SiliconError> {
        self.parts.authorities.as_deref().ok_or(SiliconError::Loaded)
    }

    /// The same chip's key with another certificate.
    ///
    /// # Errors
    /// [`SiliconError::Loaded`]: the authorities' keys are not stored.
    pub fn with_vek(&self, change: impl FnOnce(&mut VekSpec)) -> Result<Self, SiliconError> {
        let mut spec = VekSpec::of(&self.shape, self.parts.validity);
        change(&mut spec);
        let spki = chain::spki(&*self.parts.vcek_key)?;
        let vcek = self.authorities()?.vek(&spec, &spki)?;
        Ok(self.with_parts(|parts| parts.vcek = vcek))
    }

    /// The same chip with another CRL.
    ///
    /// # Errors
    /// [`SiliconError::Loaded`]: the authorities' keys are not stored.
    pub fn with_crl(&self, change: impl FnOnce(&mut CrlSpec)) -> Result<Self, SiliconError> {
        let (from, _) = self.parts.validity;
        let mut spec = CrlSpec::of(&self.shape.product, from, from.plus(super::CRL_SECONDS));
        change(&mut spec);
        let crl = self.authorities()?.crl(&spec)?;
        Ok(self.with_parts(|parts| parts.crl = crl))
    }

    /// Another certificate (DER) for one of its authorities' keys, starting from the right one.
    ///
    /// # Errors
    /// [`SiliconError::Loaded`]: the authorities' keys are not stored.
    pub fn authority(
        &self,
        key: Key,
        change: impl FnOnce(&mut AuthoritySpec),
    ) -> Result<Vec<u8>, SiliconError> {
        let (product, validity) = (&self.shape.product, self.parts.validity);
        let mut spec = match key {
            Key::Ark => AuthoritySpec::ark(product, validity),
            Key::Ask => AuthoritySpec::ask(product, validity),
        };
        change(&mut spec);
        self.authorities()?.authority(&spec)
    }
}
