// SPDX-License-Identifier: Apache-2.0

//! What enclaves and TDs say about themselves (Intel SDM volume 3D, REPORT; Intel TDX module base architecture,
//! TDREPORT).

use super::quote::{Body, Reader};

/// ATTRIBUTES.DEBUG of an enclave.
const ENCLAVE_DEBUG: u64 = 1 << 1;
/// TD attributes: the TD is under debug or profiled, or may be some day.
const TD_UNDER_DEBUG: u64 = 0xff;

/// The report of an enclave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Enclave {
    pub(super) misc_select: u32,
    pub(super) ext_product_id: [u8; 16],
    /// The lower half of ATTRIBUTES; the upper is XFRM.
    pub(super) flags: u64,
    pub(super) mrenclave: [u8; 32],
    pub(super) mrsigner: [u8; 32],
    pub(super) config_id: [u8; 64],
    pub(super) product_id: u16,
    pub(super) svn: u16,
    pub(super) config_svn: u16,
    pub(super) family_id: [u8; 16],
    pub(super) report_data: [u8; 64],
    /// Whether all reserved bytes are zero.
    pub(super) reserved_zero: bool,
}

impl Enclave {
    /// Reads 384 bytes.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut r = Reader(bytes);
        let mut reserved_zero = true;
        let mut reserved = |r: &mut Reader<'_>, bytes| {
            let zero = r.take(bytes)?.iter().all(|byte| *byte == 0);
            reserved_zero &= zero;
            Some(())
        };
        r.take(16)?; // CPUSVN
        let misc_select = r.u32()?;
        reserved(&mut r, 12)?;
        let ext_product_id = r.array()?;
        let flags = u64::from_le_bytes(r.array()?);
        r.take(8)?; // XFRM
        let mrenclave = r.array()?;
        reserved(&mut r, 32)?;
        let mrsigner = r.array()?;
        reserved(&mut r, 32)?;
        let config_id = r.array()?;
        let product_id = r.u16()?;
        let svn = r.u16()?;
        let config_svn = r.u16()?;
        reserved(&mut r, 42)?;
        let family_id = r.array()?;
        let report_data = r.array()?;
        r.0.is_empty().then_some(Self {
            misc_select,
            ext_product_id,
            flags,
            mrenclave,
            mrsigner,
            config_id,
            product_id,
            svn,
            config_svn,
            family_id,
            report_data,
            reserved_zero,
        })
    }

    pub(super) const fn debug(&self) -> bool {
        self.flags & ENCLAVE_DEBUG != 0
    }
}

/// The report of a TD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Td {
    pub(super) mrseam: [u8; 48],
    pub(super) attributes: u64,
    pub(super) xfam: [u8; 8],
    pub(super) mrtd: [u8; 48],
    pub(super) config_id: [u8; 48],
    pub(super) owner: [u8; 48],
    pub(super) owner_config: [u8; 48],
    pub(super) rtmrs: [[u8; 48]; 4],
    pub(super) report_data: [u8; 64],
    /// Service TDs at the TD's creation (MRSERVICETD), and now: zero if there are none.
    pub(super) service_tds: [[u8; 48]; 2],
    /// Which of the virtual machines in the TD it is; 0: the TD itself.
    pub(super) vm: u8,
}

impl Td {
    /// Reads a body.
    pub(super) fn parse(body: Body, bytes: &[u8]) -> Option<Self> {
        let mut r = Reader(bytes);
        r.take(16)?; // TEE_TCB_SVN
        let mrseam = r.array()?;
        r.take(48 + 8)?; // MRSIGNERSEAM, SEAMATTRIBUTES
        let attributes = u64::from_le_bytes(r.array()?);
        let xfam = r.array()?;
        let (mrtd, config_id, owner, owner_config) =
            (r.array()?, r.array()?, r.array()?, r.array()?);
        let rtmrs = [r.array()?, r.array()?, r.array()?, r.array()?];
        let report_data = r.array()?;
        let (mut service_tds, mut vm) = ([[0; 48]; 2], 0);
        if matches!(body, Body::Td15 | Body::Td15Extended) {
            r.take(16)?; // TEE_TCB_SVN2
            service_tds[0] = r.array()?;
        }
        if matches!(body, Body::Td15Extended) {
            [vm] = r.array()?;
            // TD_ID, device information; hash and attributes of the first service TDs; the first TCB.
            r.take(32 + 48 + 48 + 8 + 16 + 16 + 12)?;
            service_tds[1] = r.array()?;
            r.take(8)?;
        }
        r.0.is_empty().then_some(Self {
            mrseam,
            attributes,
            xfam,
            mrtd,
            config_id,
            owner,
            owner_config,
            rtmrs,
            report_data,
            service_tds,
            vm,
        })
    }

    pub(super) const fn debug(&self) -> bool {
        self.attributes & TD_UNDER_DEBUG != 0
    }
}
