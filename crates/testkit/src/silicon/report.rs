// SPDX-License-Identifier: Apache-2.0

//! Reports in the form of the firmware (SEV-SNP Firmware ABI Specification 56860, section 7.3).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::EcdsaKeyPair;
use serde::{Deserialize, Serialize};

use super::SiliconError;

/// Length of a report, and of the part that is signed.
const REPORT_BYTES: usize = 1184;
const SIGNED_BYTES: usize = 672;

/// Version numbers of the firmware's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tcb {
    /// Boot loader.
    pub bootloader: u8,
    /// Trusted operating system.
    pub tee: u8,
    /// SNP firmware.
    pub snp: u8,
    /// Microcode.
    pub microcode: u8,
}

/// What reports say. The default is a version 3 report of a Milan in the best order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// `Milan`, `Genoa` or `Turin`.
    pub product: String,
    /// Version of the report, 2 to 5.
    pub version: u32,
    /// CPUID family, model, stepping; written from version 3 on.
    pub cpuid: (u8, u8, u8),
    /// Guest policy.
    pub policy: u64,
    /// Platform information.
    pub platform_info: u64,
    /// Privilege level.
    pub vmpl: u32,
    /// Security version of the guest.
    pub guest_svn: u32,
    /// TCB version, current, committed, reported and at launch, and of the certificate.
    pub tcb: Tcb,
    /// FMC part of the TCB version, for Turin's layout.
    pub fmc: Option<u8>,
    /// From which the chip's identifier is made.
    pub chip: u64,
    /// Whether reports hide the chip's identifier.
    pub mask_chip_id: bool,
    /// Key information: bit 0 author key, bit 1 masked key, bits 2 to 4 signing key.
    pub key_info: u32,
    /// Bytes to overwrite before signing: offset and value.
    pub overwrite: Vec<(usize, u8)>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            product: "Milan".to_owned(),
            version: 3,
            cpuid: (0x19, 0x01, 0x01),
            // ABI 1.51, SMT allowed, the reserved bit.
            policy: 0x133 | 1 << 16 | 1 << 17,
            // SMT on, alias check complete.
            platform_info: 1 | 1 << 5,
            vmpl: 0,
            guest_svn: 0,
            tcb: Tcb { bootloader: 4, tee: 0, snp: 24, microcode: 219 },
            fmc: None,
            chip: 1,
            mask_chip_id: false,
            key_info: 0,
            overwrite: Vec::new(),
        }
    }
}

impl Shape {
    /// Product name and stepping, as in a VCEK.
    pub(super) fn product_name(&self) -> String {
        format!("{}-B1", self.product)
    }

    /// The chip's identifier: 64 bytes, or 8 on a Turin.
    pub fn hwid(&self) -> Vec<u8> {
        let half = digest(&SHA256, &self.chip.to_be_bytes());
        let all = [half.as_ref(), half.as_ref()].concat();
        let length = if self.fmc.is_some() { 8 } else { 64 };
        all.into_iter().take(length).collect()
    }

    fn raw_tcb(&self) -> [u8; 8] {
        let tcb = &self.tcb;
        match self.fmc {
            None => [tcb.bootloader, tcb.tee, 0, 0, 0, 0, tcb.snp, tcb.microcode],
            Some(fmc) => [fmc, tcb.bootloader, tcb.tee, tcb.snp, 0, 0, 0, tcb.microcode],
        }
    }

    pub(super) fn report(
        &self,
        report_data: &[u8; 64],
        measurement: &[u8; 48],
        key: &EcdsaKeyPair,
    ) -> Result<Vec<u8>, SiliconError> {
        let mut report = vec![0; REPORT_BYTES];
        let mut put = |at: usize, bytes: &[u8]| {
            for (to, from) in report.iter_mut().skip(at).zip(bytes) {
                *to = *from;
            }
        };
        let tcb = self.raw_tcb();
        put(0, &self.version.to_le_bytes());
        put(4, &self.guest_svn.to_le_bytes());
        put(8, &self.policy.to_le_bytes());
        put(48, &self.vmpl.to_le_bytes());
        put(52, &1u32.to_le_bytes());
        put(56, &tcb);
        put(64, &self.platform_info.to_le_bytes());
        put(72, &self.key_info.to_le_bytes());
        put(80, report_data);
        put(144, measurement);
        put(320, digest(&SHA256, measurement).as_ref());
        put(352, &[0xff; 32]);
        put(384, &tcb);
        if self.version >= 3 {
            put(392, &[self.cpuid.0, self.cpuid.1, self.cpuid.2]);
        }
        if !self.mask_chip_id {
            put(416, &self.hwid());
        }
        put(480, &tcb);
        // Firmware 1.55.20, current and committed.
        put(488, &[20, 55, 1]);
        put(492, &[20, 55, 1]);
        put(496, &tcb);
        for (at, value) in &self.overwrite {
            put(*at, &[*value]);
        }
        let signed = report.get(..SIGNED_BYTES).unwrap_or_default();
        let signature = key.sign(&SystemRandom::new(), signed).map_err(|_| SiliconError::Crypto)?;
        // r and s, 48 bytes big endian each, become 72 bytes little endian each.
        for (half, at) in signature.as_ref().chunks(48).zip([672, 744]) {
            for (to, from) in report.iter_mut().skip(at).zip(half.iter().rev()) {
                *to = *from;
            }
        }
        Ok(report)
    }
}
