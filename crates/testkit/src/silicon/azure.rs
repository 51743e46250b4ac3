// SPDX-License-Identifier: Apache-2.0

//! A simulated confidential virtual machine in Azure's form: a virtual TPM on top of [`SimulatedSnp`].
//!
//! It writes HCL reports, runtime data and TPM quotes byte for byte as the real ones are, with a knob for each field that
//! a verifier has to look at. Its certificates say that they are simulated.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use const_oid::ObjectIdentifier;
use evidence::vtpm::Bundle;
use types::time::Timestamp;

use super::chain::{BASIC_CONSTRAINTS, Extensions, KEY_USAGE, basic_constraints, name, spki};
use super::{ORGANISATION, SiliconError, SimulatedSnp};
use crate::pki::enc;

const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
/// `tcg-kp-AIKCertificate`.
const AIK: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.8.3");

/// What the machine says. The default has nothing wrong.
#[derive(Clone, Debug)]
pub struct Knobs {
    /// What the guest wrote into the index that the hardware's report covers.
    pub user_data: [u8; 64],
    /// Qualifying data of the quote; SHA-256 of `user_data` if not given.
    pub extra: Option<Vec<u8>>,
    /// Magic number and type of the quote.
    pub kind: (u32, u16),
    /// How many selections the quote says that it has, and of which bank.
    pub banks: (u32, u16),
    /// Which registers the quote selects.
    pub select: Vec<u8>,
    /// The registers that are sent.
    pub pcrs: BTreeMap<u8, [u8; 32]>,
    /// Whether the quote hashes the registers from the last to the first.
    pub reversed: bool,
    /// Bytes after the quote, which the TPM signs too.
    pub trailing: Vec<u8>,
    /// Whether another key than the one in the runtime data signs the quote.
    pub other_ak: bool,
    /// Version, hardware and hash of the runtime data.
    pub runtime: (u32, u32, u32),
    /// Name of the AK in the runtime data.
    pub kid: String,
    /// Whether runtime data are changed after the hardware reported on them.
    pub changed: bool,
    /// Whether the machine boots signed software only.
    pub secure_boot: bool,
    /// Whether the host has a console.
    pub console: bool,
    /// Bytes to overwrite in the HCL report: offset and value.
    pub overwrite: Vec<(usize, u8)>,
    /// Whether the AK's certificates are sent.
    pub certificates: bool,
    /// What the AK's certificate says.
    pub leaf: Leaf,
}

/// What the certificate of the AK says, and the authority's.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Whether it is one of another TPM's key.
    pub other_key: bool,
    /// Whether it is for attestation keys.
    pub purpose: bool,
    /// Whether it is an authority itself.
    pub ca: bool,
    /// First and last second.
    pub validity: (Timestamp, Timestamp),
    /// Whether the authority above it is one.
    pub issuer_ca: bool,
    /// How many authorities that may have below it.
    pub issuer_length: Option<u8>,
    /// Whether it names another issuer.
    pub other_issuer: bool,
    /// Whether another key than the issuer's signs it.
    pub other_signer: bool,
    /// A further critical extension.
    pub strange: bool,
}

/// A simulated machine.
#[derive(Debug)]
pub struct SimulatedAzure {
    snp: SimulatedSnp,
    ak: RsaKeyPair,
    other: RsaKeyPair,
    root: RsaKeyPair,
    issuer: RsaKeyPair,
    validity: (Timestamp, Timestamp),
}

impl SimulatedAzure {
    /// A machine on this processor, whose certificates are valid for a day before and after `now`.
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn generate(snp: SimulatedSnp, now: Timestamp) -> Result<Self, SiliconError> {
        let key = || RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| SiliconError::Crypto);
        let validity = (now.minus(86_400), now.plus(86_400));
        Ok(Self { snp, ak: key()?, other: key()?, root: key()?, issuer: key()?, validity })
    }

    /// Everything right.
    pub fn knobs(&self) -> Knobs {
        Knobs {
            user_data: [7; 64],
            extra: None,
            kind: (0xff54_4347, 0x8018),
            banks: (1, 0x000b),
            select: (0..24).collect(),
            pcrs: (0..24).map(|index| (index, [index; 32])).collect(),
            reversed: false,
            trailing: Vec::new(),
            other_ak: false,
            runtime: (1, 2, 1),
            kid: "HCLAkPub".to_owned(),
            changed: false,
            secure_boot: true,
            console: false,
            overwrite: Vec::new(),
            certificates: true,
            leaf: Leaf {
                other_key: false,
                purpose: true,
                ca: false,
                validity: self.validity,
                issuer_ca: true,
                issuer_length: Some(0),
                other_issuer: false,
                other_signer: false,
                strange: false,
            },
        }
    }

    /// The root of the AK's certificate, DER.
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn root(&self) -> Result<Vec<u8>, SiliconError> {
        let extensions = authority(true, None);
        self.certificate(
            ("vTPM root", "vTPM root"),
            &self.root,
            &self.root,
            self.validity,
            extensions,
        )
    }

    /// Evidence of a machine with this measurement, and the endorsements of its hardware (DER).
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn evidence(
        &self,
        measurement: &[u8; 48],
        knobs: &Knobs,
    ) -> Result<(Bundle, Vec<u8>), SiliconError> {
        let variable = self.variable(knobs);
        let mut report_data = [0; 64];
        for (to, from) in report_data.iter_mut().zip(digest(&SHA256, variable.as_bytes()).as_ref())
        {
            *to = *from;
        }
        let blob = self.snp.attestation(&report_data, measurement)?;
        let (report, endorsements) = blob.split_at(1184);
        let variable = if knobs.changed { variable.replace("true", "TRUE") } else { variable };
        let length = u32::try_from(variable.len()).unwrap_or(u32::MAX);
        let (version, hardware, hash) = knobs.runtime;
        let mut hcl = b"HCLA".to_vec();
        for word in [2, length + 20 + 1184 + 32, 2, 0, 0, 0, 0_u32] {
            hcl.extend(word.to_le_bytes());
        }
        hcl.extend(report);
        for word in [length + 20, version, hardware, hash, length] {
            hcl.extend(word.to_le_bytes());
        }
        hcl.extend(variable.as_bytes());
        hcl.resize(2600.max(hcl.len()), 0);
        for (at, value) in &knobs.overwrite {
            if let Some(byte) = hcl.get_mut(*at) {
                *byte = *value;
            }
        }
        let message = quote(knobs);
        let key = if knobs.other_ak { &self.other } else { &self.ak };
        let signature = sign(key, &message)?;
        let certificates = if knobs.certificates { self.chain(&knobs.leaf)? } else { Vec::new() };
        let pcrs = knobs.pcrs.clone();
        let bundle = Bundle { certificates, hcl, message, pcrs, quote: Vec::new(), signature };
        Ok((bundle, endorsements.to_vec()))
    }

    /// The runtime data.
    fn variable(&self, knobs: &Knobs) -> String {
        // RSAPublicKey of 2048 bits: two headers and a zero, then the modulus.
        let modulus = self.ak.public_key().as_ref().get(9..9 + 256).unwrap_or_default();
        let modulus = URL_SAFE_NO_PAD.encode(modulus);
        let user_data: String = knobs.user_data.iter().map(|b| format!("{b:02X}")).collect();
        format!(
            r#"{{"keys":[{{"kid":"{}","key_ops":["sign"],"kty":"RSA","e":"AQAB","n":"{modulus}"}}],"vm-configuration":{{"console-enabled":{},"secure-boot":{},"tpm-enabled":true}},"user-data":"{user_data}"}}"#,
            knobs.kid, knobs.console, knobs.secure_boot
        )
    }

    fn chain(&self, leaf: &Leaf) -> Result<Vec<Vec<u8>>, SiliconError> {
        let mut extensions = Extensions::default();
        extensions.add(BASIC_CONSTRAINTS, true, &basic_constraints(leaf.ca, None));
        // digitalSignature.
        extensions.add(KEY_USAGE, true, &[3, 2, 7, 0x80]);
        if leaf.purpose {
            extensions.add(EXTENDED_KEY_USAGE, false, &enc::seq(&[&enc::oid(AIK)]));
        }
        if leaf.strange {
            extensions.add(ObjectIdentifier::new_unwrap("1.2.3.4"), true, &[5, 0]);
        }
        let key = if leaf.other_key { &self.other } else { &self.ak };
        let signer = if leaf.other_signer { &self.other } else { &self.issuer };
        let above = if leaf.other_issuer { "another CA" } else { "vTPM CA" };
        let certificate =
            self.certificate(("a machine", above), key, signer, leaf.validity, extensions)?;
        let extensions = authority(leaf.issuer_ca, leaf.issuer_length);
        let issuer = self.certificate(
            ("vTPM CA", "vTPM root"),
            &self.issuer,
            &self.root,
            self.validity,
            extensions,
        )?;
        Ok(vec![certificate, issuer, self.root()?])
    }

    fn certificate(
        &self,
        (subject, issuer): (&str, &str),
        key: &RsaKeyPair,
        signer: &RsaKeyPair,
        validity: (Timestamp, Timestamp),
        extensions: Extensions,
    ) -> Result<Vec<u8>, SiliconError> {
        let algorithm = enc::seq(&[&enc::oid(SHA256_WITH_RSA), &[5, 0]]);
        let tbs = enc::seq(&[
            &enc::tlv(0xa0, &[2, 1, 2]),
            &enc::positive(&[1]),
            &algorithm,
            &name(issuer, ORGANISATION),
            &enc::seq(&[&enc::time(validity.0), &enc::time(validity.1)]),
            &name(subject, ORGANISATION),
            &spki(key)?,
            &enc::tlv(0xa3, &extensions.sequence()),
        ]);
        Ok(enc::seq(&[&tbs, &algorithm, &enc::bits(&sign(signer, &tbs)?)]))
    }
}

fn authority(ca: bool, length: Option<u8>) -> Extensions {
    let mut extensions = Extensions::default();
    extensions.add(BASIC_CONSTRAINTS, true, &basic_constraints(ca, length));
    // keyCertSign and cRLSign.
    extensions.add(KEY_USAGE, true, &[3, 2, 1, 6]);
    extensions
}

fn sign(key: &RsaKeyPair, message: &[u8]) -> Result<Vec<u8>, SiliconError> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
        .map_err(|_| SiliconError::Crypto)?;
    Ok(signature)
}

/// TPMS_ATTEST.
fn quote(knobs: &Knobs) -> Vec<u8> {
    let sized = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        [&length.to_be_bytes()[..], bytes].concat()
    };
    let extra =
        knobs.extra.clone().unwrap_or_else(|| digest(&SHA256, &knobs.user_data).as_ref().to_vec());
    let mut bitmap = [0_u8; 3];
    for index in &knobs.select {
        if let Some(byte) = bitmap.get_mut(usize::from(index / 8)) {
            *byte |= 1 << (index % 8);
        }
    }
    let mut values: Vec<_> = knobs.select.iter().map(|index| [*index; 32]).collect();
    if knobs.reversed {
        values.reverse();
    }
    let (magic, kind) = knobs.kind;
    let (count, bank) = knobs.banks;
    [
        &magic.to_be_bytes()[..],
        &kind.to_be_bytes(),
        &sized(&[0xaa; 34]),
        &sized(&extra),
        // Clock, resets, restarts, safe; version of the firmware.
        &[0; 16],
        &[1],
        &[0; 8],
        &count.to_be_bytes(),
        &bank.to_be_bytes(),
        &[3],
        &bitmap,
        &sized(digest(&SHA256, &values.concat()).as_ref()),
        &knobs.trailing,
    ]
    .concat()
}
