// SPDX-License-Identifier: Apache-2.0

//! A TPM's quote (TPM 2.0 Library Part 2, TPMS_ATTEST with TPMS_QUOTE_INFO), big endian.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

/// TPM_GENERATED_VALUE: it says that the TPM made the structure.
const GENERATED: u32 = 0xff54_4347;
/// TPM_ST_ATTEST_QUOTE.
const QUOTE: u16 = 0x8018;
/// TPM_ALG_SHA256.
const SHA256: u16 = 0x000b;
/// Clock, reset count, restart count, safe; then the firmware's version.
const CLOCK_AND_FIRMWARE_BYTES: usize = 17 + 8;
/// Bytes of the bitmap of a bank with 24 registers.
const SELECT_BYTES: u8 = 3;

/// A quote, read but not verified.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Quote<'a> {
    /// What the asker gave (qualifying data).
    pub(super) extra: &'a [u8],
    /// Indexes of the SHA-256 registers that it covers.
    pub(super) selected: Vec<u8>,
    /// Their digest.
    digest: &'a [u8],
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("it is cut off")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        self.take(N)?.try_into().map_err(|_| "it is cut off")
    }

    /// TPM2B: a length of two bytes, and as many bytes.
    fn sized(&mut self) -> Result<&'a [u8], &'static str> {
        let count = u16::from_be_bytes(self.array()?);
        self.take(count.into())
    }
}

impl<'a> Quote<'a> {
    /// Reads a quote over one selection of the SHA-256 bank.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, &'static str> {
        let mut reader = Reader(message);
        if u32::from_be_bytes(reader.array()?) != GENERATED {
            return Err("it was not made by a TPM");
        }
        if u16::from_be_bytes(reader.array()?) != QUOTE {
            return Err("it attests to something else than PCRs");
        }
        let _signer = reader.sized()?;
        let extra = reader.sized()?;
        reader.take(CLOCK_AND_FIRMWARE_BYTES)?;
        if u32::from_be_bytes(reader.array()?) != 1 {
            return Err("it covers not one bank of PCRs");
        }
        if u16::from_be_bytes(reader.array()?) != SHA256 {
            return Err("it does not cover the SHA-256 bank");
        }
        let [size] = reader.array()?;
        if size != SELECT_BYTES {
            return Err("its selection of PCRs is not one of 24");
        }
        let bitmap = reader.take(size.into())?;
        let selected = (0..24_u8)
            .filter(|index| {
                let byte = bitmap.get(usize::from(index / 8)).copied().unwrap_or_default();
                byte & (1 << (index % 8)) != 0
            })
            .collect();
        let digest = reader.sized()?;
        if !reader.0.is_empty() {
            return Err("there is something after it");
        }
        Ok(Self { extra, selected, digest })
    }

    /// Whether it covers exactly these registers with these values.
    pub(super) fn covers(&self, pcrs: &BTreeMap<u8, [u8; 32]>) -> bool {
        let mut hash = Sha256::new();
        for value in pcrs.values() {
            hash.update(value);
        }
        self.selected.iter().eq(pcrs.keys()) && hash.finalize().as_slice() == self.digest
    }
}
