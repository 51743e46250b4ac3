// SPDX-License-Identifier: Apache-2.0

//! `[sgx]`.

use types::toml_error::Value;

use super::dcap;
use super::values::{array, choices, lists, some_digests};
use crate::policy::{PolicyError, SGX_FEATURES, SGX_MISC_SELECT, SgxPolicy};

/// All keys.
pub(super) const KEYS: &[&str] = &[
    "hash",
    "hash_blacklist",
    "signer",
    "signer_blacklist",
    "features",
    "misc_select",
    "enclave_product_id",
    "enclave_security_version",
    "config_id",
    "config_svn",
    "ext_product_id",
    "family_id",
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
pub(super) fn read(table: Value<'_>) -> Result<SgxPolicy, PolicyError> {
    let mut fields = table.fields(KEYS)?;
    let (hash, hash_blacklist) = lists(&mut fields, "hash")?;
    let (signer, signer_blacklist) = lists(&mut fields, "signer")?;
    let mut policy = SgxPolicy {
        dcap: dcap::read(&mut fields)?,
        hash,
        hash_blacklist,
        signer,
        signer_blacklist,
        config_id: some_digests(fields.value("config_id"))?,
        ext_product_id: some_digests(fields.value("ext_product_id"))?,
        family_id: some_digests(fields.value("family_id"))?,
        ..SgxPolicy::default()
    };
    if let Some(value) = fields.value("features") {
        let indices = choices(value, &SGX_FEATURES.map(|(name, _)| name))?;
        policy.features = mask(&indices, &SGX_FEATURES);
    }
    if let Some(value) = fields.value("misc_select") {
        let indices = choices(value, &SGX_MISC_SELECT.map(|(name, _)| name))?;
        let bits = SGX_MISC_SELECT.map(|(name, bit)| (name, bit.into()));
        policy.misc_select = u32::try_from(mask(&indices, &bits)).unwrap_or_default();
    }
    if let Some(value) = fields.value("enclave_product_id") {
        policy.product_id = Some(version(&value)?);
    }
    if let Some(value) = fields.value("enclave_security_version") {
        policy.minimum_svn = version(&value)?;
    }
    if let Some(value) = fields.value("config_svn") {
        let versions: Result<_, _> = array(Some(value))?.iter().map(version).collect();
        policy.config_svn = Some(versions?);
    }
    Ok(policy)
}

/// A number of 16 bits.
fn version(value: &Value<'_>) -> Result<u16, PolicyError> {
    let number = value.integer(0, u16::MAX.into())?;
    u16::try_from(number).map_err(|_| value.error("the number is too large"))
}

/// The bits that the indices stand for.
pub(super) fn mask(indices: &[usize], names: &[(&str, u64)]) -> u64 {
    let bits = indices.iter().filter_map(|index| names.get(*index));
    bits.fold(0, |mask, (_, bit)| mask | bit)
}

#[cfg(test)]
mod tests {
    use super::super::tests::refused;
    use super::*;
    use crate::policy::{Accept, DcapPolicy, DcapRequirement, Policy, TcbStatus};

    #[test]
    fn an_empty_table_is_strict() {
        assert_eq!(Policy::parse("[sgx]\n").unwrap().sgx, SgxPolicy::default());
        let policy = Policy::parse("").unwrap().sgx;
        assert_eq!(policy, SgxPolicy::default());
        assert_eq!(policy.features & (1 << 1 | 1 << 4 | 1 << 5), 0);
    }

    #[test]
    fn every_key_is_read() {
        let text = format!(
            "[sgx]\nhash = [\"{a}\"]\nhash_blacklist = [\"{b}\"]\nsigner = [\"{b}\"]\n\
             signer_blacklist = [\"{a}\"]\nfeatures = [\"Debug\", \"CET\"]\n\
             misc_select = [\"CPINFO\"]\nenclave_product_id = 7\n\
             enclave_security_version = 65535\nconfig_id = [\"{c}\"]\nconfig_svn = [0, 3]\n\
             ext_product_id = [\"{d}\"]\nfamily_id = []\nallowed_advisories = [\"INTEL-SA-00001\"]\n\
             minimum_evaluation_number = 17\nfmspc = [\"00606A000000\"]\n\
             fmspc_blacklist = [\"00906ED50000\"]\nppid = [\"{d}\"]\nppid_blacklist = [\"{e}\"]\n\
             require = [\"no-smt\", \"static-platform\"]\n\
             [[sgx.accept]]\nstatus = \"SWHardeningNeeded\"\nadvisories = [\"INTEL-SA-00615\"]\n\
             until = 1970-01-02\n\
             [[sgx.accept]]\nstatus = \"OutOfDate\"\nuntil = 1970-01-01\n",
            a = "ab".repeat(32),
            b = "cd".repeat(32),
            c = "ef".repeat(64),
            d = "01".repeat(16),
            e = "02".repeat(16),
        );
        let policy = Policy::parse(&text).unwrap_or_else(|error| panic!("{error}")).sgx;
        let accept = |status, advisories: &[&str], until| Accept {
            status,
            advisories: advisories.iter().map(ToString::to_string).collect(),
            until: types::time::Timestamp(until),
        };
        let wanted = SgxPolicy {
            dcap: DcapPolicy {
                accept: vec![
                    accept(TcbStatus::SwHardeningNeeded, &["INTEL-SA-00615"], 2 * 86_400),
                    accept(TcbStatus::OutOfDate, &[], 86_400),
                ],
                allowed_advisories: vec!["INTEL-SA-00001".into()],
                minimum_evaluation_number: 17,
                fmspc: vec![[0, 0x60, 0x6a, 0, 0, 0]],
                fmspc_blacklist: vec![[0, 0x90, 0x6e, 0xd5, 0, 0]],
                ppid: vec![[1; 16]],
                ppid_blacklist: vec![[2; 16]],
                require: vec![DcapRequirement::NoSmt, DcapRequirement::StaticPlatform],
            },
            hash: vec![[0xab; 32]],
            hash_blacklist: vec![[0xcd; 32]],
            signer: vec![[0xcd; 32]],
            signer_blacklist: vec![[0xab; 32]],
            features: 1 << 1 | 1 << 6,
            misc_select: 2,
            product_id: Some(7),
            minimum_svn: 65535,
            config_id: Some(vec![[0xef; 64]]),
            config_svn: Some(vec![0, 3]),
            ext_product_id: Some(vec![[1; 16]]),
            family_id: Some(vec![]),
        };
        assert_eq!(policy, wanted);
        assert_eq!(policy.dcap.accept[0].last_day(), "1970-01-02");
    }

    #[test]
    fn errors_name_the_place_and_the_way_out() {
        let a = "ab".repeat(32);
        let accept = "[[sgx.accept]]\nstatus = ";
        for (text, line, says) in [
            ("[sgx]\nenclave_product = 1\n".to_owned(), 2, "did you mean `enclave_product_id`?"),
            ("[sgx]\nhash = [\"ab\"]\n".to_owned(), 2, "64 hex"),
            ("[sgx]\nfmspc = [\"ab\"]\n".to_owned(), 2, "12 hex"),
            ("[sgx]\nppid = [\"ab\"]\n".to_owned(), 2, "32 hex"),
            ("[sgx]\nconfig_id = [\"ab\"]\n".to_owned(), 2, "128 hex"),
            (format!("[sgx]\nhash = [\"{a}\"]\nhash_blacklist = [\"{a}\"]\n"), 3, "both"),
            (format!("[sgx]\nsigner = [\"{a}\"]\nsigner_blacklist = [\"{a}\"]\n"), 3, "both"),
            (
                "[sgx]\nfmspc = [\"00606A000000\"]\nfmspc_blacklist = [\"00606a000000\"]\n"
                    .to_owned(),
                3,
                "both",
            ),
            ("[sgx]\nfeatures = [\"INIT\"]\n".to_owned(), 2, "ProvisioningKey"),
            ("[sgx]\nfeatures = [\"Debgu\"]\n".to_owned(), 2, "did you mean \"Debug\"?"),
            ("[sgx]\nmisc_select = [\"SSA\"]\n".to_owned(), 2, "EXINFO"),
            ("[sgx]\nenclave_security_version = 65536\n".to_owned(), 2, "65535"),
            ("[sgx]\nconfig_svn = [65536]\n".to_owned(), 2, "65535"),
            ("[sgx]\nminimum_evaluation_number = -1\n".to_owned(), 2, "4294967295"),
            ("[sgx]\nrequire = [\"smt\"]\n".to_owned(), 2, "no-smt"),
            ("[sgx]\nallowed_advisories = [\"a b\"]\n".to_owned(), 2, "INTEL-SA-00615"),
            (format!("{accept}\"Revoked\"\nuntil = 2026-01-01\n"), 2, "never accepted"),
            (format!("{accept}\"Revokd\"\nuntil = 2026-01-01\n"), 2, "OutOfDate"),
            (
                format!("{accept}\"OutofDate\"\nuntil = 2026-01-01\n"),
                2,
                "did you mean \"OutOfDate\"?",
            ),
            (format!("{accept}\"UpToDate\"\nuntil = 2026-01-01\n"), 2, "anyway"),
            (format!("{accept}\"OutOfDate\"\n"), 1, "until"),
            (format!("{accept}\"OutOfDate\"\nuntil = \"2026-01-01\"\n"), 3, "without quotes"),
            (format!("{accept}\"OutOfDate\"\nuntil = 2026-01-01T00:00:00Z\n"), 3, "date"),
            (format!("{accept}\"OutOfDate\"\nexpires = 2026-01-01\n"), 3, "until"),
        ] {
            refused(&text, line, says);
        }
    }
}
