// SPDX-License-Identifier: Apache-2.0

//! `[nitro]`.

use types::limits::NITRO_PCRS_MAX;
use types::toml_error::Value;

use super::values::{allowance, array, blacklist, digest, digests};
use crate::policy::{NitroPolicy, PolicyError};

/// All keys.
pub(super) const KEYS: &[&str] = &["hash", "hash_blacklist", "signer", "pcrs", "allow"];

/// Reads the table.
pub(super) fn read(table: Value<'_>) -> Result<NitroPolicy, PolicyError> {
    let mut fields = table.fields(KEYS)?;
    let document = *fields.document();
    let mut policy = NitroPolicy {
        hash: measured(fields.value("hash"), "images that are debugged")?,
        signer: measured(fields.value("signer"), "images that nobody signed")?,
        ..NitroPolicy::default()
    };
    policy.hash_blacklist = blacklist(fields.value("hash_blacklist"), &policy.hash)?;
    if let Some(value) = fields.value("pcrs") {
        for (name, value) in value.entries()? {
            let index = name.get_ref().parse::<u8>().ok();
            let index = match index {
                Some(0) => Err("register 0 is the image: list it in `hash`"),
                Some(8) => Err("register 8 is the image's signer: list it in `signer`"),
                Some(index) if usize::from(index) < NITRO_PCRS_MAX => Ok(index),
                _ => Err("this is no register; they are numbered from 0 to 31"),
            };
            let index = index.map_err(|what| value.error_at(name.span(), what))?;
            let span = value.span();
            let values = digests(Some(value))?;
            if values.is_empty() {
                return Err(document
                    .error(span, "no value of this register is taken")
                    .with_hint("list values, or leave the register out"));
            }
            policy.pcrs.insert(index, values);
        }
    }
    policy.allow_debug = allowance(fields.value("allow"), "debug")?;
    Ok(policy)
}

/// Digests that are not zero: zero stands for what has none.
fn measured(value: Option<Value<'_>>, zero: &str) -> Result<Vec<[u8; 48]>, PolicyError> {
    let mut found = Vec::new();
    for value in array(value)? {
        let digest = digest(&value)?;
        if digest == [0; 48] {
            return Err(value.error(format!("zero stands for all {zero}")));
        }
        found.push(digest);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::tests::refused;
    use super::*;
    use crate::policy::{Allowance, Policy};

    #[test]
    fn every_key_is_read() {
        let (a, b, c) = ("ab".repeat(48), "cd".repeat(48), "00".repeat(48));
        let policy = Policy::parse(&format!(
            "[nitro]\nhash = [\"{a}\"]\nhash_blacklist = [\"{b}\"]\nsigner = [\"{b}\"]\n\
             allow = [\"debug\"]\npcrs.1 = [\"{a}\"]\npcrs.31 = [\"{a}\", \"{c}\"]\n"
        ));
        let wanted = NitroPolicy {
            hash: vec![[0xab; 48]],
            hash_blacklist: vec![[0xcd; 48]],
            signer: vec![[0xcd; 48]],
            pcrs: [(1, vec![[0xab; 48]]), (31, vec![[0xab; 48], [0; 48]])].into(),
            allow_debug: Allowance::Always,
        };
        assert_eq!(policy.unwrap().nitro, wanted);
        assert_eq!(Policy::parse("[nitro]\n").unwrap().nitro, NitroPolicy::default());
        assert_eq!(Policy::parse("").unwrap().nitro, NitroPolicy::default());
    }

    #[test]
    fn errors_name_the_place_and_the_way_out() {
        let (a, zero) = ("ab".repeat(48), "00".repeat(48));
        for (text, line, says) in [
            ("[nitro]\nhsah = []\n".to_owned(), 2, "did you mean `hash`?"),
            ("[nitro]\nhash = [\"ab\"]\n".to_owned(), 2, "96 hex"),
            (format!("[nitro]\nhash = [\"{zero}\"]\n"), 2, "debugged"),
            (format!("[nitro]\nsigner = [\"{zero}\"]\n"), 2, "nobody signed"),
            (format!("[nitro]\nhash = [\"{a}\"]\nhash_blacklist = [\"{a}\"]\n"), 3, "both"),
            ("[nitro]\nallow = [\"debgu\"]\n".to_owned(), 2, "did you mean \"debug\"?"),
            (format!("[nitro.pcrs]\n0 = [\"{a}\"]\n"), 2, "`hash`"),
            (format!("[nitro.pcrs]\n8 = [\"{a}\"]\n"), 2, "`signer`"),
            (format!("[nitro.pcrs]\n32 = [\"{a}\"]\n"), 2, "0 to 31"),
            (format!("[nitro.pcrs]\nimage = [\"{a}\"]\n"), 2, "0 to 31"),
            ("[nitro.pcrs]\n1 = []\n".to_owned(), 2, "no value"),
            ("[nitro.pcrs]\n1 = [\"ab\"]\n".to_owned(), 2, "96 hex"),
        ] {
            refused(&text, line, says);
        }
    }
}
