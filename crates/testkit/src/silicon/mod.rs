// SPDX-License-Identifier: Apache-2.0

//! Simulated silicon: a whole line of processors, with authorities, a chip, its key and its reports.
//!
//! Everything has AMD's form byte for byte, RSA-4096 signatures with PSS and all, so that the verifier's every check is
//! reached. It proves nothing, and each certificate says so: its subject's organisation is [`ORGANISATION`].

mod chain;
mod report;

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

use crate::pki::enc;

pub use report::Shape;

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
}

impl fmt::Display for SiliconError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crypto => f.write_str("a key of the simulated silicon cannot be made or used"),
            Self::File(error) => write!(
                f,
                "a file of the simulated silicon cannot be read or written: {error}"
            ),
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

/// A simulated SEV-SNP machine.
#[derive(Clone)]
pub struct SimulatedSnp {
    parts: Arc<Parts>,
    shape: Shape,
}

/// What does not change once it is made.
struct Parts {
    vcek_key: EcdsaKeyPair,
    vcek_key_der: Vec<u8>,
    ark: Vec<u8>,
    ask: Vec<u8>,
    vcek: Vec<u8>,
    crl: Vec<u8>,
}

impl fmt::Debug for SimulatedSnp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedSnp")
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl SimulatedSnp {
    /// Makes authorities, a chip and its key. Two RSA-4096 keys take a second or more.
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn generate(now: Timestamp, options: Options) -> Result<Self, SiliconError> {
        let rsa = || RsaKeyPair::generate(KeySize::Rsa4096).map_err(|_| SiliconError::Crypto);
        let (ark_key, ask_key) = (rsa()?, rsa()?);
        let vcek_key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING)
            .map_err(|_| SiliconError::Crypto)?;
        let vcek_key_der = vcek_key
            .to_pkcs8v1()
            .map_err(|_| SiliconError::Crypto)?
            .as_ref()
            .to_vec();
        let from = now.minus(SKEW_SECONDS);
        let until = now.plus(CERTIFICATE_SECONDS);
        let product = &options.shape.product;
        let (ark_name, ask_name) = (
            chain::name(&format!("ARK-{product}")),
            chain::name(&format!("SEV-{product}")),
        );
        let ark_spki = chain::spki_rsa(&ark_key)?;
        let ask_spki = chain::spki_rsa(&ask_key)?;
        let ark = chain::certificate(
            &chain::Tbs {
                serial: &ARK_SERIAL,
                issuer: &ark_name,
                validity: (from, until),
                subject: &ark_name,
                spki: &ark_spki,
                extensions: &chain::authority(None),
            },
            &ark_key,
        )?;
        let ask = chain::certificate(
            &chain::Tbs {
                serial: &ASK_SERIAL,
                issuer: &ark_name,
                validity: (from, until),
                subject: &ask_name,
                spki: &ask_spki,
                extensions: &chain::authority(Some(0)),
            },
            &ark_key,
        )?;
        let vcek = chain::certificate(
            &chain::Tbs {
                serial: &[0],
                issuer: &ask_name,
                validity: (from, options.vcek_until.unwrap_or(until)),
                subject: &chain::name("SEV-VCEK"),
                spki: &chain::spki_p384(&vcek_key)?,
                extensions: &chain::vcek(&options.shape),
            },
            &ask_key,
        )?;
        let crl_until = options.crl_until.unwrap_or(now.plus(CRL_SECONDS));
        let crl = chain::crl(&ark_name, from, crl_until, &options.revoked, &ark_key)?;
        let parts = Parts {
            vcek_key,
            vcek_key_der,
            ark,
            ask,
            vcek,
            crl,
        };
        Ok(Self {
            parts: Arc::new(parts),
            shape: options.shape,
        })
    }

    /// The same chip with other reports. Product, TCB and chip identifier stay: they are in its certificate.
    #[must_use]
    pub fn with_shape(&self, change: impl FnOnce(&mut Shape)) -> Self {
        let mut shape = self.shape.clone();
        change(&mut shape);
        Self {
            parts: Arc::clone(&self.parts),
            shape,
        }
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
        self.shape
            .report(report_data, measurement, &self.parts.vcek_key)
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
        let url = enc::utf8(&format!(
            "https://simulated.invalid/vcek/v1/{}/crl",
            self.shape.product
        ));
        let list = enc::seq(&[&enc::seq(&[&enc::seq(&[&url, &self.parts.crl])])]);
        blob.extend(enc::seq(&[&self.parts.vcek, &list]));
        Ok(blob)
    }

    /// ARK and ASK, PEM, for Steward's `--insecure-simulated-roots`.
    pub fn roots_pem(&self) -> String {
        let pem = |der: &[u8]| {
            der::pem::encode_string("CERTIFICATE", LineEnding::LF, der).unwrap_or_default()
        };
        format!("{}{}", pem(&self.parts.ark), pem(&self.parts.ask))
    }

    /// ARK, DER.
    pub fn ark(&self) -> &[u8] {
        &self.parts.ark
    }

    /// ASK, DER.
    pub fn ask(&self) -> &[u8] {
        &self.parts.ask
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
            vcek_key,
            vcek_key_der,
            ark: read("ark.der")?,
            ask: read("ask.der")?,
            vcek: read("vcek.der")?,
            crl: read("crl.der")?,
        };
        Ok(Self {
            parts: Arc::new(parts),
            shape,
        })
    }
}

/// What simulated silicon measures of a Keep whose program has these bytes: SHA-384 over a label and their SHA-384.
pub fn simulated_measurement(exec: &[u8]) -> [u8; 48] {
    let inner = digest(&SHA384, exec);
    let outer = digest(
        &SHA384,
        &[b"enarx simulated measurement v1\0", inner.as_ref()].concat(),
    );
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
            assert!(
                certificate
                    .tbs_certificate()
                    .subject()
                    .to_string()
                    .contains("SIMULATED")
            );
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
