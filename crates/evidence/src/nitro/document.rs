// SPDX-License-Identifier: Apache-2.0

//! What an attestation document says (AWS Nitro Enclaves, "Verifying the root of trust").

use std::collections::BTreeMap;

use minicbor::Decoder;
use minicbor::data::Type;
use types::limits::{
    NITRO_BUNDLE_MAX, NITRO_CERTIFICATE_BYTES_MAX, NITRO_FIELD_BYTES_MAX, NITRO_PCRS_MAX,
};

use crate::cose::{self, Malformed, malformed};

/// The only hash of documents.
const DIGEST: &str = "SHA384";
/// Longest name of a module, bytes.
const MODULE_BYTES_MAX: usize = 128;
/// Registers that every enclave has: image, kernel, application.
const REQUIRED: [u8; 3] = [0, 1, 2];

/// The payload of an attestation document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// Identity of the enclave: instance and enclave.
    pub module_id: &'a str,
    /// When it was made, milliseconds since 1970.
    pub timestamp_ms: u64,
    /// Registers by index, 0 to 31.
    pub pcrs: BTreeMap<u8, [u8; 48]>,
    /// Certificate of the key that signed, DER.
    pub certificate: &'a [u8],
    /// Certificates above it, DER, the root first.
    pub cabundle: Vec<&'a [u8]>,
    /// A public key of the enclave's; the enclave chose it.
    pub public_key: Option<&'a [u8]>,
    /// Bytes of the enclave's choice.
    pub user_data: Option<&'a [u8]>,
    /// Likewise.
    pub nonce: Option<&'a [u8]>,
}

/// A field, as far as it was there.
#[derive(Default)]
struct Fields<'a> {
    module_id: Option<&'a str>,
    digest: Option<&'a str>,
    timestamp_ms: Option<u64>,
    pcrs: Option<BTreeMap<u8, [u8; 48]>>,
    certificate: Option<&'a [u8]>,
    cabundle: Option<Vec<&'a [u8]>>,
    public_key: Option<&'a [u8]>,
    user_data: Option<&'a [u8]>,
    nonce: Option<&'a [u8]>,
}

impl<'a> Document<'a> {
    /// Reads a payload: exactly the fields that AWS documents, each once and within AWS's limits.
    ///
    /// The map itself may be of indefinite length, as AWS has written it since 2025; nothing in it may.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut d = Decoder::new(payload);
        let mut fields = Fields::default();
        cose::map(&mut d, 9, true, |d| fields.entry(d))?;
        cose::finish(&d)?;
        let Fields { module_id, digest, timestamp_ms, pcrs, certificate, cabundle, .. } = fields;
        let missing = |name: &str| Malformed(format!("it has no {name}"));
        if digest.ok_or_else(|| missing("digest"))? != DIGEST {
            return malformed("its registers are not of SHA-384");
        }
        let module_id = module_id.ok_or_else(|| missing("module_id"))?;
        let readable = module_id.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !(1..=MODULE_BYTES_MAX).contains(&module_id.len()) || !readable {
            return malformed("its module_id is no name");
        }
        let timestamp_ms = timestamp_ms.ok_or_else(|| missing("timestamp"))?;
        if timestamp_ms == 0 {
            return malformed("its timestamp is zero");
        }
        let pcrs = pcrs.ok_or_else(|| missing("pcrs"))?;
        if !REQUIRED.iter().all(|index| pcrs.contains_key(index)) {
            return malformed("one of its registers 0, 1 and 2 is missing");
        }
        Ok(Self {
            module_id,
            timestamp_ms,
            pcrs,
            certificate: certificate.ok_or_else(|| missing("certificate"))?,
            cabundle: cabundle.ok_or_else(|| missing("cabundle"))?,
            public_key: fields.public_key,
            user_data: fields.user_data,
            nonce: fields.nonce,
        })
    }

    /// A register; zero if it is not there.
    pub fn pcr(&self, index: u8) -> [u8; 48] {
        self.pcrs.get(&index).copied().unwrap_or([0; 48])
    }
}

impl<'a> Fields<'a> {
    /// Reads one entry; its key.
    fn entry(&mut self, d: &mut Decoder<'a>) -> Result<&'a str, Malformed> {
        let key = d.str()?;
        match key {
            "module_id" => self.module_id = Some(d.str()?),
            "digest" => self.digest = Some(d.str()?),
            "timestamp" => self.timestamp_ms = Some(d.u64()?),
            "pcrs" => self.pcrs = Some(pcrs(d)?),
            "certificate" => self.certificate = Some(certificate(d)?),
            "cabundle" => self.cabundle = Some(cose::array(d, 1..=NITRO_BUNDLE_MAX, certificate)?),
            "public_key" => self.public_key = optional(d, 1)?,
            "user_data" => self.user_data = optional(d, 0)?,
            "nonce" => self.nonce = optional(d, 0)?,
            other => {
                let other = other.escape_debug();
                return malformed(format!("a field is unknown: \"{other}\""));
            }
        }
        Ok(key)
    }
}

fn certificate<'a>(d: &mut Decoder<'a>) -> Result<&'a [u8], Malformed> {
    cose::bytes(d, 1..=NITRO_CERTIFICATE_BYTES_MAX)
}

fn optional<'a>(d: &mut Decoder<'a>, least: usize) -> Result<Option<&'a [u8]>, Malformed> {
    if d.datatype()? == Type::Null {
        d.null()?;
        return Ok(None);
    }
    cose::bytes(d, least..=NITRO_FIELD_BYTES_MAX).map(Some)
}

fn pcrs(d: &mut Decoder<'_>) -> Result<BTreeMap<u8, [u8; 48]>, Malformed> {
    let mut pcrs = BTreeMap::new();
    cose::map(d, NITRO_PCRS_MAX, false, |d| {
        let index = d.u8()?;
        if usize::from(index) >= NITRO_PCRS_MAX {
            return malformed(format!("there is no register {index}"));
        }
        let Ok(value) = d.bytes()?.try_into() else {
            return malformed(format!("register {index} has not 48 bytes"));
        };
        pcrs.insert(index, value);
        Ok(index)
    })?;
    Ok(pcrs)
}
