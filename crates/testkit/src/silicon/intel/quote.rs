// SPDX-License-Identifier: Apache-2.0

//! Quotes: of SGX in version 3, of TDX in versions 4 and 5.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::KeyPair as _;

use super::{SiliconError, SimulatedIntel, Tee, sign};

/// Vendor of the quoting enclave: Intel.
const VENDOR: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];

/// What an enclave's report says (SGX, and the quoting enclave's own).
#[derive(Clone, Debug)]
pub struct SgxBody {
    /// CPUSVN.
    pub cpu_svn: [u8; 16],
    /// MISCSELECT.
    pub misc_select: u32,
    /// ATTRIBUTES: flags and XFRM.
    pub attributes: (u64, u64),
    /// MRENCLAVE.
    pub enclave: [u8; 32],
    /// MRSIGNER.
    pub signer: [u8; 32],
    /// ISVEXTPRODID.
    pub extended_product_id: [u8; 16],
    /// CONFIGID.
    pub config_id: [u8; 64],
    /// ISVPRODID.
    pub product_id: u16,
    /// ISVSVN.
    pub svn: u16,
    /// CONFIGSVN.
    pub config_svn: u16,
    /// ISVFAMILYID.
    pub family_id: [u8; 16],
}

impl SgxBody {
    const fn new() -> Self {
        Self {
            cpu_svn: [9; 16],
            misc_select: 0,
            // INIT and MODE64BIT.
            attributes: (5, 0x1f),
            enclave: [0x4d; 32],
            signer: [0x53; 32],
            extended_product_id: [0; 16],
            config_id: [0; 64],
            product_id: 1,
            svn: 2,
            config_svn: 0,
            family_id: [0; 16],
        }
    }

    fn to_bytes(&self, report_data: &[u8; 64]) -> Vec<u8> {
        [
            &self.cpu_svn[..],
            &self.misc_select.to_le_bytes(),
            &[0; 12],
            &self.extended_product_id,
            &self.attributes.0.to_le_bytes(),
            &self.attributes.1.to_le_bytes(),
            &self.enclave,
            &[0; 32],
            &self.signer,
            &[0; 32],
            &self.config_id,
            &self.product_id.to_le_bytes(),
            &self.svn.to_le_bytes(),
            &self.config_svn.to_le_bytes(),
            &[0; 42],
            &self.family_id,
            report_data,
        ]
        .concat()
    }
}

/// What a TD's report says.
#[derive(Clone, Debug)]
pub struct TdxBody {
    /// TEE_TCB_SVN: of the TDX module, its major version, and of components.
    pub tee_tcb_svn: [u8; 16],
    /// MRSEAM.
    pub seam: [u8; 48],
    /// MRSIGNERSEAM.
    pub seam_signer: [u8; 48],
    /// SEAMATTRIBUTES.
    pub seam_attributes: u64,
    /// TDATTRIBUTES.
    pub attributes: u64,
    /// XFAM.
    pub xfam: u64,
    /// MRTD.
    pub measurement: [u8; 48],
    /// MRCONFIGID.
    pub config_id: [u8; 48],
    /// MROWNER.
    pub owner: [u8; 48],
    /// MROWNERCONFIG.
    pub owner_config: [u8; 48],
    /// RTMR 0 to 3.
    pub rtmrs: [[u8; 48]; 4],
    /// TEE_TCB_SVN2; TDX 1.5 only.
    pub tee_tcb_svn2: [u8; 16],
    /// MRSERVICETD; TDX 1.5 only.
    pub service_td: [u8; 48],
    /// Which virtual machine in the TD it is; the extended body only.
    pub vm: u8,
    /// Service TDs that are bound now; the extended body only.
    pub current_service_td: [u8; 48],
}

impl TdxBody {
    const fn new() -> Self {
        let mut tee_tcb_svn = [9; 16];
        // Module version 1.x, at security version 9.
        tee_tcb_svn[1] = 1;
        Self {
            tee_tcb_svn,
            seam: [0x5e; 48],
            seam_signer: [0; 48],
            seam_attributes: 0,
            // SEPT_VE_DISABLE.
            attributes: 1 << 28,
            xfam: 0x0006_02e7,
            measurement: [0x7d; 48],
            config_id: [0; 48],
            owner: [0; 48],
            owner_config: [0; 48],
            rtmrs: [[0x10; 48], [0x11; 48], [0x12; 48], [0x13; 48]],
            tee_tcb_svn2: tee_tcb_svn,
            service_td: [0; 48],
            vm: 0,
            current_service_td: [0; 48],
        }
    }

    fn to_bytes(&self, report_data: &[u8; 64], body: u16) -> Vec<u8> {
        let mut bytes = [
            &self.tee_tcb_svn[..],
            &self.seam,
            &self.seam_signer,
            &self.seam_attributes.to_le_bytes(),
            &self.attributes.to_le_bytes(),
            &self.xfam.to_le_bytes(),
            &self.measurement,
            &self.config_id,
            &self.owner,
            &self.owner_config,
            &self.rtmrs.concat(),
            report_data,
        ]
        .concat();
        if body >= 3 {
            bytes.extend(self.tee_tcb_svn2);
            bytes.extend(self.service_td);
        }
        if body >= 4 {
            bytes.push(self.vm);
            // TD_ID and device information; the first service TDs and their attributes, and the first TCB.
            bytes.extend([0x1d; 32 + 48]);
            bytes.extend([0; 48 + 8 + 16 + 16 + 12]);
            bytes.extend(self.current_service_td);
            bytes.extend([0; 8]);
        }
        bytes
    }
}

/// What a quote says.
#[derive(Clone, Debug)]
pub struct QuoteSpec {
    /// Which TEE it is of.
    pub tee: Tee,
    /// Version: 3 for SGX, 4 or 5 for TDX.
    pub version: u16,
    /// Type of the attestation key: 2 is ECDSA with P-256.
    pub key_type: u16,
    /// Vendor of the quoting enclave.
    pub vendor: [u8; 16],
    /// Report of an enclave.
    pub sgx: SgxBody,
    /// Report of a TD.
    pub tdx: TdxBody,
    /// Type of the body of a TD in version 5: 2 for TDX 1.0, 3 for TDX 1.5, 4 for its extended body.
    pub body: u16,
    /// What the header says that the TEE is, in place of the right one.
    pub tee_type: Option<u32>,
    /// Type and size of the body in version 5, in place of the right ones.
    pub descriptor: Option<(u16, u32)>,
    /// 64 bytes of the asker's.
    pub report_data: [u8; 64],
    /// Bytes of the signed part to overwrite before signing: offset and value.
    pub overwrite: Vec<(usize, u8)>,
    /// Report of the quoting enclave.
    pub qe: SgxBody,
    /// Whether the quoting enclave vouches for another attestation key.
    pub other_binding: bool,
    /// Whether something follows in the quoting enclave's report data after what it vouches for.
    pub binding_tail: bool,
    /// Length of the quoting enclave's authentication data.
    pub auth_bytes: usize,
    /// Type of the certification data: 5 is a chain of certificates.
    pub certification: u16,
    /// Whether another key than the platform's signs the quoting enclave's report.
    pub other_pck: bool,
    /// Whether another key than the attestation key signs the report.
    pub other_signer: bool,
    /// Type of the certification data that hold the quoting enclave's report, from version 4 on.
    pub outer_certification: u16,
    /// Bytes after the certification data, inside of the quote.
    pub trailing_inside: Vec<u8>,
    /// Bytes after the quote.
    pub trailing: Vec<u8>,
}

impl QuoteSpec {
    pub(super) const fn of(tee: Tee) -> Self {
        let mut qe = SgxBody::new();
        // INIT, MODE64BIT, PROVISIONKEY: what the identity wants.
        qe.attributes = (0x11, 0);
        qe.signer = [0x8c; 32];
        qe.product_id = match tee {
            Tee::Sgx => 1,
            Tee::Tdx => 2,
        };
        qe.svn = 9;
        Self {
            tee,
            version: match tee {
                Tee::Sgx => 3,
                Tee::Tdx => 4,
            },
            key_type: 2,
            vendor: VENDOR,
            sgx: SgxBody::new(),
            tdx: TdxBody::new(),
            body: 3,
            tee_type: None,
            descriptor: None,
            report_data: [7; 64],
            overwrite: Vec::new(),
            qe,
            other_binding: false,
            binding_tail: false,
            auth_bytes: 32,
            certification: 5,
            other_pck: false,
            other_signer: false,
            outer_certification: 6,
            trailing_inside: Vec::new(),
            trailing: Vec::new(),
        }
    }

    /// Header and report: what the attestation key signs.
    fn signed(&self) -> Vec<u8> {
        let tee: u32 = match self.tee {
            Tee::Sgx => 0,
            Tee::Tdx => 0x81,
        };
        let mut bytes = [&self.version.to_le_bytes()[..], &self.key_type.to_le_bytes()].concat();
        bytes.extend(self.tee_type.unwrap_or(tee).to_le_bytes());
        // Version 3: security versions of quoting and provisioning enclave; later, nothing.
        bytes.extend(if self.version == 3 { [9, 0, 13, 0] } else { [0; 4] });
        bytes.extend(self.vendor);
        bytes.extend([0; 20]);
        let body = match self.tee {
            Tee::Sgx => self.sgx.to_bytes(&self.report_data),
            Tee::Tdx => {
                let body = if self.version == 5 { self.body } else { 2 };
                self.tdx.to_bytes(&self.report_data, body)
            }
        };
        if self.version == 5 {
            let size = u32::try_from(body.len()).unwrap_or(u32::MAX);
            let right = if self.tee == Tee::Sgx { (1, size) } else { (self.body, size) };
            let (kind, size) = self.descriptor.unwrap_or(right);
            bytes.extend(kind.to_le_bytes());
            bytes.extend(size.to_le_bytes());
        }
        bytes.extend(body);
        for (at, value) in &self.overwrite {
            if let Some(byte) = bytes.get_mut(*at) {
                *byte = *value;
            }
        }
        bytes
    }
}

/// A length of four bytes, and as many bytes.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes()[..], bytes].concat()
}

impl SimulatedIntel {
    pub(super) fn quote(&self, spec: &QuoteSpec, chain: &str) -> Result<Vec<u8>, SiliconError> {
        let signed = spec.signed();
        let signer = if spec.other_signer { &self.other } else { &self.attestation };
        let signature = sign(signer, &signed)?;
        // The uncompressed point, without its first byte.
        let point = self.attestation.public_key().as_ref().get(1..).unwrap_or_default().to_vec();
        let auth = vec![0xa5; spec.auth_bytes];
        let vouched = if spec.other_binding { vec![0; 64] } else { point.clone() };
        let hash = digest(&SHA256, &[&vouched[..], &auth].concat());
        let mut report_data = [0; 64];
        for (to, from) in report_data.iter_mut().zip(hash.as_ref()) {
            *to = *from;
        }
        if spec.binding_tail {
            report_data[63] = 1;
        }
        let report = spec.qe.to_bytes(&report_data);
        let pck = if spec.other_pck { &self.other } else { &self.pck };
        let report_signature = sign(pck, &report)?;
        let auth_length = u16::try_from(auth.len()).unwrap_or(u16::MAX);
        let certification =
            [&spec.certification.to_le_bytes()[..], &sized(&[chain.as_bytes(), &[0]].concat())]
                .concat();
        let quoting =
            [&report[..], &report_signature, &auth_length.to_le_bytes(), &auth, &certification]
                .concat();
        // From version 4 on, the quoting enclave's part is certification data of a type of its own.
        let rest = if spec.version == 3 {
            quoting
        } else {
            [&spec.outer_certification.to_le_bytes()[..], &sized(&quoting)].concat()
        };
        let section = [&signature[..], &point, &rest, &spec.trailing_inside].concat();
        Ok([&signed[..], &sized(&section), &spec.trailing].concat())
    }
}
