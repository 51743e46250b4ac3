// SPDX-License-Identifier: Apache-2.0

//! TCB info and identity of the quoting enclave: JSON that Intel signs (PCS API version 4).

use std::fmt::Write as _;

use types::time::Timestamp;

use super::{SiliconError, SimulatedIntel, Tee, sign};

/// One level of a TCB.
#[derive(Clone, Debug)]
pub struct Level {
    /// Least security versions of the sixteen SGX components.
    pub sgx: Vec<u32>,
    /// Least security versions of the sixteen TDX components.
    pub tdx: Vec<u32>,
    /// Least security version of the provisioning certification enclave.
    pub pce_svn: u32,
    /// When it came out.
    pub date: Timestamp,
    /// As `UpToDate`.
    pub status: String,
    /// As `INTEL-SA-00615`.
    pub advisories: Vec<String>,
}

/// What TCB info says.
#[derive(Clone, Debug)]
pub struct TcbInfoSpec {
    /// `SGX` or `TDX`.
    pub id: String,
    /// Version of the format.
    pub version: u32,
    /// When it was made, and when the next one comes.
    pub validity: (Timestamp, Timestamp),
    /// Of which platforms it is, 12 hex digits.
    pub fmspc: String,
    /// Of which provisioning certification enclave it is, 4 hex digits.
    pub pce_id: String,
    /// Number of the TCB recovery.
    pub evaluation_number: u32,
    /// Levels, the newest first.
    pub levels: Vec<Level>,
    /// Signer of the TDX module, hex.
    pub module_signer: String,
    /// Status of the TDX module.
    pub module_status: String,
    /// Least security version of the TDX module.
    pub module_svn: u32,
    /// Replacements in the JSON before it is signed.
    pub edits: Vec<(String, String)>,
    /// Whether somebody else signs it.
    pub other_signer: bool,
}

impl TcbInfoSpec {
    pub(super) fn of(tee: Tee, validity: (Timestamp, Timestamp)) -> Self {
        let date = validity.0;
        let level = |svn: u32, pce_svn, status: &str, advisories: &[&str]| Level {
            sgx: vec![svn; 16],
            tdx: [vec![svn, 1], vec![svn; 14]].concat(),
            pce_svn,
            date,
            status: status.to_owned(),
            advisories: advisories.iter().map(|id| (*id).to_owned()).collect(),
        };
        Self {
            id: if tee == Tee::Sgx { "SGX" } else { "TDX" }.to_owned(),
            version: 3,
            validity,
            fmspc: "00606A000000".to_owned(),
            pce_id: "0000".to_owned(),
            evaluation_number: 18,
            levels: vec![
                level(9, 13, "UpToDate", &[]),
                level(7, 13, "SWHardeningNeeded", &["INTEL-SA-00615"]),
                level(5, 11, "OutOfDate", &["INTEL-SA-00586", "INTEL-SA-00615"]),
                level(3, 5, "Revoked", &["INTEL-SA-00586"]),
            ],
            module_signer: "00".repeat(48),
            module_status: "UpToDate".to_owned(),
            module_svn: 3,
            edits: Vec::new(),
            other_signer: false,
        }
    }

    fn to_json(&self) -> String {
        let components = |svns: &[u32]| {
            let all: Vec<_> = svns.iter().map(|svn| format!("{{\"svn\":{svn}}}")).collect();
            all.join(",")
        };
        let tdx = self.id == "TDX";
        let mut levels = Vec::new();
        for level in &self.levels {
            let mut text = format!(
                "{{\"tcb\":{{\"sgxtcbcomponents\":[{}],\"pcesvn\":{}",
                components(&level.sgx),
                level.pce_svn
            );
            if tdx {
                let _ = write!(text, ",\"tdxtcbcomponents\":[{}]", components(&level.tdx));
            }
            let _ = write!(
                text,
                "}},\"tcbDate\":\"{}\",\"tcbStatus\":\"{}\"",
                level.date, level.status
            );
            if !level.advisories.is_empty() {
                let quoted: Vec<_> =
                    level.advisories.iter().map(|id| format!("\"{id}\"")).collect();
                let _ = write!(text, ",\"advisoryIDs\":[{}]", quoted.join(","));
            }
            text.push('}');
            levels.push(text);
        }
        let module = if tdx {
            let (signer, status, svn) = (&self.module_signer, &self.module_status, self.module_svn);
            let date = self.validity.0;
            let identity = format!(
                "\"mrsigner\":\"{signer}\",\"attributes\":\"0000000000000000\",\"attributesMask\":\"FFFFFFFFFFFFFFFF\""
            );
            format!(
                "\"tdxModule\":{{{identity}}},\"tdxModuleIdentities\":[{{\"id\":\"TDX_01\",{identity},\"tcbLevels\":[{{\"tcb\":{{\"isvsvn\":{svn}}},\"tcbDate\":\"{date}\",\"tcbStatus\":\"{status}\"}}]}}],"
            )
        } else {
            String::new()
        };
        let json = format!(
            "{{\"id\":\"{}\",\"version\":{},\"issueDate\":\"{}\",\"nextUpdate\":\"{}\",\"fmspc\":\"{}\",\"pceId\":\"{}\",\"tcbType\":0,\"tcbEvaluationDataNumber\":{},{module}\"tcbLevels\":[{}]}}",
            self.id,
            self.version,
            self.validity.0,
            self.validity.1,
            self.fmspc,
            self.pce_id,
            self.evaluation_number,
            levels.join(",")
        );
        edited(json, &self.edits)
    }
}

/// What the identity of the quoting enclave says.
#[derive(Clone, Debug)]
pub struct QeIdentitySpec {
    /// `QE` or `TD_QE`.
    pub id: String,
    /// When it was made, and when the next one comes.
    pub validity: (Timestamp, Timestamp),
    /// Number of the TCB recovery.
    pub evaluation_number: u32,
    /// MRSIGNER, hex.
    pub signer: String,
    /// ISVPRODID.
    pub product_id: u16,
    /// Least ISVSVN of the newest level.
    pub svn: u16,
    /// Status of the newest level.
    pub status: String,
    /// Replacements in the JSON before it is signed.
    pub edits: Vec<(String, String)>,
    /// Whether somebody else signs it.
    pub other_signer: bool,
}

impl QeIdentitySpec {
    pub(super) fn of(tee: Tee, validity: (Timestamp, Timestamp)) -> Self {
        let (id, product_id) = if tee == Tee::Sgx { ("QE", 1) } else { ("TD_QE", 2) };
        Self {
            id: id.to_owned(),
            validity,
            evaluation_number: 18,
            signer: "8C".repeat(32),
            product_id,
            svn: 8,
            status: "UpToDate".to_owned(),
            edits: Vec::new(),
            other_signer: false,
        }
    }

    fn to_json(&self) -> String {
        let date = self.validity.0;
        let json = format!(
            "{{\"id\":\"{}\",\"version\":2,\"issueDate\":\"{}\",\"nextUpdate\":\"{}\",\"tcbEvaluationDataNumber\":{},\"miscselect\":\"00000000\",\"miscselectMask\":\"FFFFFFFF\",\"attributes\":\"11000000000000000000000000000000\",\"attributesMask\":\"FBFFFFFFFFFFFFFF0000000000000000\",\"mrsigner\":\"{}\",\"isvprodid\":{},\"tcbLevels\":[{{\"tcb\":{{\"isvsvn\":{}}},\"tcbDate\":\"{date}\",\"tcbStatus\":\"{}\"}},{{\"tcb\":{{\"isvsvn\":2}},\"tcbDate\":\"{date}\",\"tcbStatus\":\"OutOfDate\",\"advisoryIDs\":[\"INTEL-SA-00477\"]}}]}}",
            self.id,
            self.validity.0,
            self.validity.1,
            self.evaluation_number,
            self.signer,
            self.product_id,
            self.svn,
            self.status
        );
        edited(json, &self.edits)
    }
}

fn edited(json: String, edits: &[(String, String)]) -> String {
    edits.iter().fold(json, |json, (from, to)| json.replacen(from, to, 1))
}

impl SimulatedIntel {
    pub(super) fn tcb_info(&self, spec: &TcbInfoSpec) -> Result<String, SiliconError> {
        self.document("tcbInfo", &spec.to_json(), spec.other_signer)
    }

    pub(super) fn qe_identity(&self, spec: &QeIdentitySpec) -> Result<String, SiliconError> {
        self.document("enclaveIdentity", &spec.to_json(), spec.other_signer)
    }

    fn document(&self, name: &str, json: &str, other: bool) -> Result<String, SiliconError> {
        let key = if other { &self.other } else { &self.signer };
        let signature: String =
            sign(key, json.as_bytes())?.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("{{\"{name}\":{json},\"signature\":\"{signature}\"}}"))
    }
}
