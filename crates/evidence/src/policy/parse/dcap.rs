// SPDX-License-Identifier: Apache-2.0

//! What `[sgx]` and `[tdx]` have in common, and `[[sgx.accept]]` and `[[tdx.accept]]`.

use types::toml_error::{Fields, Value};

use super::values::{DAY_SECONDS, array, choices, lists, number, pick};
use crate::policy::{Accept, DcapPolicy, DcapRequirement, PolicyError, TcbStatus};

/// Longest name of an advisory.
const ADVISORY_BYTES_MAX: usize = 64;

/// Reads the keys of a platform.
pub(super) fn read(fields: &mut Fields<'_>) -> Result<DcapPolicy, PolicyError> {
    let (fmspc, fmspc_blacklist) = lists(fields, "fmspc")?;
    let (ppid, ppid_blacklist) = lists(fields, "ppid")?;
    let mut policy = DcapPolicy {
        fmspc,
        fmspc_blacklist,
        ppid,
        ppid_blacklist,
        allowed_advisories: advisories(fields.value("allowed_advisories"))?,
        ..DcapPolicy::default()
    };
    if let Some(value) = fields.value("minimum_evaluation_number") {
        policy.minimum_evaluation_number = number(&value, u32::MAX)?;
    }
    if let Some(value) = fields.value("require") {
        let indices = choices(value, &DcapRequirement::ALL.map(DcapRequirement::name))?;
        policy.require = pick(&DcapRequirement::ALL, &indices);
    }
    for value in array(fields.value("accept"))? {
        policy.accept.push(accept(value.fields(&["status", "advisories", "until"])?)?);
    }
    Ok(policy)
}

fn accept(mut fields: Fields<'_>) -> Result<Accept, PolicyError> {
    let value = fields.required("status")?;
    if value.string()? == "Revoked" {
        return Err(value
            .error("a platform whose keys are revoked is never accepted")
            .with_hint("take the entry out"));
    }
    let index = value.choice(&TcbStatus::ALL.map(TcbStatus::name))?;
    let status = TcbStatus::ALL.get(index).copied().unwrap_or(TcbStatus::UpToDate);
    let advisories = advisories(fields.value("advisories"))?;
    if status == TcbStatus::UpToDate && advisories.is_empty() {
        return Err(value
            .error("UpToDate is accepted anyway, and this entry names no advisories")
            .with_hint("name advisories, or take the entry out"));
    }
    let until = fields.required("until")?.date()?.plus(DAY_SECONDS);
    Ok(Accept { status, advisories, until })
}

fn advisories(value: Option<Value<'_>>) -> Result<Vec<String>, PolicyError> {
    let read = |value: Value<'_>| {
        let name = value.string()?;
        let sensible = (1..=ADVISORY_BYTES_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if sensible {
            Ok(name.to_owned())
        } else {
            Err(value
                .error("this is no name of an advisory")
                .with_hint("for example \"INTEL-SA-00615\""))
        }
    };
    array(value)?.into_iter().map(read).collect()
}
