// SPDX-License-Identifier: Apache-2.0

//! `[tdx]`.

use types::toml_error::Value;

use super::dcap;
use super::sgx::mask;
use super::values::{allowance, choices, digests, lists, some_digests};
use crate::policy::{PolicyError, TDX_FEATURES, TdxPolicy};

/// All keys.
pub(super) const KEYS: &[&str] = &[
    "hash",
    "hash_blacklist",
    "rtmr0",
    "rtmr1",
    "rtmr2",
    "rtmr3",
    "mrseam",
    "features",
    "xfam",
    "config_id",
    "owner",
    "owner_config",
    "service_td",
    "allow",
    "allowed_advisories",
    "minimum_evaluation_number",
    "fmspc",
    "fmspc_blacklist",
    "ppid",
    "ppid_blacklist",
    "require",
    "accept",
];

/// Reads the table.
pub(super) fn read(table: Value<'_>) -> Result<TdxPolicy, PolicyError> {
    let mut fields = table.fields(KEYS)?;
    let (hash, hash_blacklist) = lists(&mut fields, "hash")?;
    let mut policy = TdxPolicy {
        dcap: dcap::read(&mut fields)?,
        hash,
        hash_blacklist,
        mrseam: digests(fields.value("mrseam"))?,
        xfam: digests(fields.value("xfam"))?,
        config_id: some_digests(fields.value("config_id"))?,
        owner: some_digests(fields.value("owner"))?,
        owner_config: some_digests(fields.value("owner_config"))?,
        service_td: digests(fields.value("service_td"))?,
        ..TdxPolicy::default()
    };
    for (key, list) in ["rtmr0", "rtmr1", "rtmr2", "rtmr3"].into_iter().zip(&mut policy.rtmrs) {
        *list = digests(fields.value(key))?;
    }
    if let Some(value) = fields.value("features") {
        let indices = choices(value, &TDX_FEATURES.map(|(name, _)| name))?;
        policy.features = mask(&indices, &TDX_FEATURES);
    }
    policy.allow_debug = allowance(fields.value("allow"), "debug")?;
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::super::tests::refused;
    use super::*;
    use crate::policy::{Allowance, Policy};

    #[test]
    fn an_empty_table_is_strict() {
        assert_eq!(Policy::parse("[tdx]\n").unwrap().tdx, TdxPolicy::default());
        assert_eq!(Policy::parse("").unwrap().tdx, TdxPolicy::default());
    }

    #[test]
    fn every_key_is_read() {
        let digest = |byte: u8| format!("[\"{}\"]", hex::encode([byte; 48]));
        let lists = [
            "hash",
            "hash_blacklist",
            "rtmr0",
            "rtmr1",
            "rtmr2",
            "rtmr3",
            "mrseam",
            "config_id",
            "owner",
            "owner_config",
            "service_td",
        ];
        let lists: String =
            (1..).zip(lists).map(|(byte, key)| format!("{key} = {}\n", digest(byte))).collect();
        let text = format!(
            "[tdx]\n{lists}features = [\"TPA\", \"PKS\"]\nxfam = [\"e702060000000000\"]\n\
             allow = [\"debug\"]\nminimum_evaluation_number = 20\n\
             [[tdx.accept]]\nstatus = \"TDRelaunchAdvised\"\nuntil = 2026-12-31\n",
        );
        let policy = Policy::parse(&text).unwrap_or_else(|error| panic!("{error}")).tdx;
        let wanted = TdxPolicy {
            dcap: policy.dcap.clone(),
            hash: vec![[1; 48]],
            hash_blacklist: vec![[2; 48]],
            rtmrs: [vec![[3; 48]], vec![[4; 48]], vec![[5; 48]], vec![[6; 48]]],
            mrseam: vec![[7; 48]],
            features: 1 << 62 | 1 << 30,
            xfam: vec![[0xe7, 2, 6, 0, 0, 0, 0, 0]],
            config_id: Some(vec![[8; 48]]),
            owner: Some(vec![[9; 48]]),
            owner_config: Some(vec![[10; 48]]),
            service_td: vec![[11; 48]],
            allow_debug: Allowance::Always,
        };
        assert_eq!(policy, wanted);
        assert_eq!(policy.dcap.minimum_evaluation_number, 20);
        assert_eq!(policy.dcap.accept[0].last_day(), "2026-12-31");
    }

    #[test]
    fn errors_name_the_place_and_the_way_out() {
        let a = "ab".repeat(48);
        for (text, line, says) in [
            ("[tdx]\nrtmr4 = []\n".to_owned(), 2, "did you mean `rtmr0`?"),
            ("[tdx]\nsigner = []\n".to_owned(), 2, "allowed here"),
            ("[tdx]\nrtmr1 = [\"ab\"]\n".to_owned(), 2, "96 hex"),
            ("[tdx]\nxfam = [\"ab\"]\n".to_owned(), 2, "16 hex"),
            (format!("[tdx]\nhash = [\"{a}\"]\nhash_blacklist = [\"{a}\"]\n"), 3, "both"),
            ("[tdx]\nfeatures = [\"MIGRATABLE\"]\n".to_owned(), 2, "PERFMON"),
            ("[tdx]\nallow = [\"migratable\"]\n".to_owned(), 2, "debug"),
            ("[[tdx.accept]]\nstatus = \"Revoked\"\nuntil = 2026-01-01\n".to_owned(), 2, "never"),
        ] {
            refused(&text, line, says);
        }
    }
}
