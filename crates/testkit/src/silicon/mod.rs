// SPDX-License-Identifier: Apache-2.0

//! Simulated silicon: a whole line of processors, with authorities, a chip, its key and its reports.
//!
//! Everything has AMD's form byte for byte, RSA-4096 signatures with PSS and all, so that the verifier's every check is
//! reached. It proves nothing, and each certificate says so: its subject's organisation is [`ORGANISATION`].

pub mod azure;
mod cca;
mod chain;
pub mod intel;
mod issue;
mod nitro;
mod report;
mod sign1;

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA384, digest};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, RsaKeyPair};
use der::pem::LineEnding;
use types::time::Timestamp;

use self::issue::Authorities;
use crate::pki::enc;

pub use cca::{CcaShape, Curve, SimulatedCca};
pub use issue::{AuthoritySpec, CrlSpec, Key, VekSpec};
pub use nitro::{NITRO_ORGANISATION, NitroCertificate, NitroShape, SimulatedNitro};
pub use report::{Shape, Tcb};
pub use sign1::{Envelope, Value, cbor, cbor_map, set};

/// Organisation in the names of all certificates here.
pub const ORGANISATION: &str = "SIMULATED silicon, not AMD";

/// How long CRLs hold, and how long certificates are valid, seconds.
const CRL_SECONDS: u64 = 365 * 86_400;
const CERTIFICATE_SECONDS: u64 = 7 * 365 * 86_400;
/// How far before the time of making they begin.
const SKEW_SECONDS: u64 = 86_400;

/// What kind of silicon to make.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What its reports say.
    pub shape: Shape,
    /// Serial numbers that its CRL revokes.
    pub revoked: Vec<Vec<u8>>,
    /// When its CRL ends; a year after the making by default.
    pub crl_until: Option<Timestamp>,
    /// When its VCEK ends; seven years after the making by default.
    pub vcek_until: Option<Timestamp>,
}

/// Why there is no silicon.
#[derive(Debug)]
pub enum SiliconError {
    /// The cryptographic library failed, or a stored key is none.
    Crypto,
    /// A file cannot be read or written.
    File(io::Error),
    /// The silicon was loaded, and its authorities' keys are not stored.
    Loaded,
}

impl fmt::Display for SiliconError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crypto => f.write_str("a key of the simulated silicon cannot be made or used"),
            Self::File(error) => {
                write!(f, "a file of the simulated silicon cannot be read or written: {error}")
            }
            Self::Loaded => {
                f.write_str("stored silicon issues no certificates: its authorities' keys are gone")
            }
        }
    }
}

impl std::error::Error for SiliconError {}

impl From<io::Error> for SiliconError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

/// Serial numbers of the authorities, as INTEGER contents.
pub const ARK_SERIAL: [u8; 3] = [0x7f, 0, 0];
/// Serial number of the authority that signs for chips.
pub const ASK_SERIAL: [u8; 3] = [0x7f, 0, 1];
/// Serial number of the authority that signs for cloud providers. It has the key of the one for chips.
pub const ASVK_SERIAL: [u8; 3] = [0x7f, 1, 1];

/// A simulated SEV-SNP machine.
#[derive(Clone)]
pub struct SimulatedSnp {
    parts: Arc<Parts>,
    shape: Shape,
}

/// What does not change with the shape.
#[derive(Clone)]
struct Parts {
    vcek_key: Arc<EcdsaKeyPair>,
    vcek_key_der: Vec<u8>,
    /// Not stored.
    authorities: Option<Arc<Authorities>>,
    /// Of all certificates.
    validity: (Timestamp, Timestamp),
    ark: Vec<u8>,
    ask: Vec<u8>,
    asvk: Vec<u8>,
    vcek: Vec<u8>,
    crl: Vec<u8>,
}

impl fmt::Debug for SimulatedSnp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedSnp").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl SimulatedSnp {
    /// Makes authorities, a chip and its key. Two RSA-4096 keys take a second or more.
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn generate(now: Timestamp, options: Options) -> Result<Self, SiliconError> {
        let rsa = || RsaKeyPair::generate(KeySize::Rsa4096).map_err(|_| SiliconError::Crypto);
        let authorities = Authorities { ark: rsa()?, ask: rsa()? };
        let vcek_key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING)
            .map_err(|_| SiliconError::Crypto)?;
        let vcek_key_der =
            vcek_key.to_pkcs8v1().map_err(|_| SiliconError::Crypto)?.as_ref().to_vec();
        let validity = (now.minus(SKEW_SECONDS), now.plus(CERTIFICATE_SECONDS));
        let shape = &options.shape;
        let product = &shape.product;
        let ark = authorities.authority(&AuthoritySpec::ark(product, validity))?;
        let ask = authorities.authority(&AuthoritySpec::ask(product, validity))?;
        let asvk = authorities.authority(&AuthoritySpec::asvk(product, validity))?;
        let mut vek = VekSpec::of(shape, validity);
        if let Some(until) = options.vcek_until {
            vek.validity.1 = until;
        }
        let vcek = authorities.vek(&vek, &chain::spki(&vcek_key)?)?;
        let crl_until = options.crl_until.unwrap_or(now.plus(CRL_SECONDS));
        let mut crl = CrlSpec::of(product, validity.0, crl_until);
        crl.revoked.clone_from(&options.revoked);
        let crl = authorities.crl(&crl)?;
        let parts = Parts {
            vcek_key: Arc::new(vcek_key),
            vcek_key_der,
            authorities: Some(Arc::new(authorities)),
            validity,
            ark,
            ask,
            asvk,
            vcek,
            crl,
        };
        Ok(Self { parts: Arc::new(parts), shape: options.shape })
    }

    /// The same chip with other reports. Product, TCB and chip identifier stay: they are in its certificate.
    #[must_use]
    pub fn with_shape(&self, change: impl FnOnce(&mut Shape)) -> Self {
        let mut shape = self.shape.clone();
        change(&mut shape);
        Self { parts: Arc::clone(&self.parts), shape }
    }

    /// The same chip with other certificates.
    fn with_parts(&self, change: impl FnOnce(&mut Parts)) -> Self {
        let mut parts = Parts::clone(&self.parts);
        change(&mut parts);
        Self { parts: Arc::new(parts), shape: self.shape.clone() }
    }

    /// The same chip with a guest that its host may debug.
    #[must_use]
    pub fn debuggable(&self) -> Self {
        self.with_shape(|shape| shape.policy |= 1 << 19)
    }

    /// A report (1184 bytes) over this report data and measurement.
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn report(
        &self,
        report_data: &[u8; 64],
        measurement: &[u8; 48],
    ) -> Result<Vec<u8>, SiliconError> {
        self.shape.report(report_data, measurement, &self.parts.vcek_key)
    }

    /// What `get_attestation` gives (docs/FORMATS.md 3.4): the report, and the DER of certificate and CRL.
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn attestation(
        &self,
        report_data: &[u8; 64],
        measurement: &[u8; 48],
    ) -> Result<Vec<u8>, SiliconError> {
        let mut blob = self.report(report_data, measurement)?;
        let url =
            enc::utf8(&format!("https://simulated.invalid/vcek/v1/{}/crl", self.shape.product));
        let list = enc::seq(&[&enc::seq(&[&enc::seq(&[&url, &self.parts.crl])])]);
        blob.extend(enc::seq(&[&self.parts.vcek, &list]));
        Ok(blob)
    }

    /// ARK, ASK and ASVK, PEM, for Steward's `--insecure-simulated-roots`.
    pub fn roots_pem(&self) -> String {
        let pem = |der: &[u8]| {
            der::pem::encode_string("CERTIFICATE", LineEnding::LF, der).unwrap_or_default()
        };
        let Parts { ark, ask, asvk, .. } = &*self.parts;
        format!("{}{}{}", pem(ark), pem(ask), pem(asvk))
    }

    /// What its reports say.
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// ARK, DER.
    pub fn ark(&self) -> &[u8] {
        &self.parts.ark
    }

    /// ASK, DER.
    pub fn ask(&self) -> &[u8] {
        &self.parts.ask
    }

    /// ASVK, DER.
    pub fn asvk(&self) -> &[u8] {
        &self.parts.asvk
    }

    /// VCEK certificate, DER.
    pub fn vcek(&self) -> &[u8] {
        &self.parts.vcek
    }

    /// CRL of the ARK, DER.
    pub fn crl(&self) -> &[u8] {
        &self.parts.crl
    }

    /// Stores the chip in a directory that exists. The authorities' keys are not kept: nothing more is issued.
    ///
    /// # Errors
    /// [`SiliconError::File`].
    pub fn save(&self, directory: &Path) -> Result<(), SiliconError> {
        let parts = &self.parts;
        let shape = serde_json::to_vec(&self.shape).map_err(io::Error::other)?;
        for (name, bytes) in [
            ("ark.der", &parts.ark),
            ("ask.der", &parts.ask),
            ("asvk.der", &parts.asvk),
            ("vcek.der", &parts.vcek),
            ("crl.der", &parts.crl),
            ("shape.json", &shape),
            ("vcek.key", &parts.vcek_key_der),
        ] {
            let path = directory.join(name);
            let temporary = directory.join(format!(".{name}.tmp"));
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
        }
        Ok(())
    }

    /// Loads what [`Self::save`] stored.
    ///
    /// # Errors
    /// [`SiliconError`].
    pub fn load(directory: &Path) -> Result<Self, SiliconError> {
        let read = |name: &str| fs::read(directory.join(name));
        let vcek_key_der = read("vcek.key")?;
        let vcek_key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &vcek_key_der)
            .map_err(|_| SiliconError::Crypto)?;
        let shape = serde_json::from_slice(&read("shape.json")?).map_err(io::Error::other)?;
        let parts = Parts {
            vcek_key: Arc::new(vcek_key),
            vcek_key_der,
            authorities: None,
            validity: (Timestamp(0), Timestamp(0)),
            ark: read("ark.der")?,
            ask: read("ask.der")?,
            asvk: read("asvk.der")?,
            vcek: read("vcek.der")?,
            crl: read("crl.der")?,
        };
        Ok(Self { parts: Arc::new(parts), shape })
    }
}

/// What simulated silicon measures of a Keep whose program has these bytes: SHA-384 over a label and their SHA-384.
pub fn simulated_measurement(exec: &[u8]) -> [u8; 48] {
    let inner = digest(&SHA384, exec);
    let outer = digest(&SHA384, &[b"enarx simulated measurement v1\0", inner.as_ref()].concat());
    let mut measurement = [0; 48];
    for (to, from) in measurement.iter_mut().zip(outer.as_ref()) {
        *to = *from;
    }
    measurement
}

#[cfg(test)]
mod tests {
    use super::*;
    use der::Decode as _;
    use std::sync::LazyLock;

    static SILICON: LazyLock<SimulatedSnp> = LazyLock::new(|| {
        SimulatedSnp::generate(Timestamp(1_800_000_000), Options::default()).unwrap()
    });

    #[test]
    fn certificates_say_that_they_are_simulated() {
        for der in [SILICON.ark(), SILICON.ask(), SILICON.vcek()] {
            let certificate = x509_cert::Certificate::from_der(der).unwrap();
            assert!(certificate.tbs_certificate().subject().to_string().contains("SIMULATED"));
        }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        SILICON.save(directory.path()).unwrap();
        let loaded = SimulatedSnp::load(directory.path()).unwrap();
        assert_eq!(loaded.roots_pem(), SILICON.roots_pem());
        assert_eq!(loaded.shape, SILICON.shape);
        let blob = loaded.attestation(&[1; 64], &[2; 48]).unwrap();
        assert_eq!(blob[80..144], [1; 64]);
        assert_eq!(blob[144..192], [2; 48]);
    }

    #[test]
    fn measurement_depends_on_the_program() {
        assert_ne!(simulated_measurement(b"a"), simulated_measurement(b"b"));
    }
}
