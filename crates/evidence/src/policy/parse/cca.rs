// SPDX-License-Identifier: Apache-2.0

//! `[cca]`.

use std::collections::BTreeMap;

use types::toml_error::Value;

use super::keys::ec_point;
use super::values::{array, choices, digest, digests, pick, some_digests};
use crate::cca::{Lifecycle, PlatformKey};
use crate::policy::{CcaComponent, CcaPlatform, CcaPolicy, PolicyError, version_numbers};

/// All keys.
pub(super) const KEYS: &[&str] =
    &["platform", "hash", "hash_blacklist", "rems", "personalization", "lifecycles", "component"];
/// All keys of a platform.
const PLATFORM_KEYS: &[&str] = &["key", "implementation_id", "instance_id", "simulated"];
/// All keys of a component.
const COMPONENT_KEYS: &[&str] = &["measurement", "signer", "minimum_version"];
/// States that can be taken; the others say that nothing is known, or that the platform is out of use.
const LIFECYCLES: [Lifecycle; 5] = [
    Lifecycle::Secured,
    Lifecycle::AssemblyAndTest,
    Lifecycle::Provisioning,
    Lifecycle::NonPlatformDebug,
    Lifecycle::RecoverableDebug,
];
/// Highest index of an extensible measurement.
const REM_MAX: u8 = 3;

/// Reads the table.
pub(super) fn read(table: Value<'_>) -> Result<CcaPolicy, PolicyError> {
    let mut fields = table.fields(KEYS)?;
    let mut policy = CcaPolicy { hash: hashes(fields.value("hash"))?, ..CcaPolicy::default() };
    for value in array(fields.value("platform"))? {
        policy.platforms.push(platform(value)?);
    }
    for value in array(fields.value("hash_blacklist"))? {
        let digest = hash(&value)?;
        if policy.hash.contains(&digest) {
            return Err(value
                .error("this digest is both wanted and refused")
                .with_hint("take it out of one of the two lists"));
        }
        policy.hash_blacklist.push(digest);
    }
    if let Some(value) = fields.value("rems") {
        policy.rems = rems(value)?;
    }
    policy.personalization = some_digests(fields.value("personalization"))?;
    if let Some(value) = fields.value("lifecycles") {
        let indices = choices(value, &LIFECYCLES.map(Lifecycle::name))?;
        policy.lifecycles = pick(&LIFECYCLES, &indices);
    }
    if let Some(value) = fields.value("component") {
        for (name, value) in value.entries()? {
            policy.components.insert(name.into_inner(), component(value)?);
        }
    }
    Ok(policy)
}

/// `[[cca.platform]]`
fn platform(table: Value<'_>) -> Result<CcaPlatform, PolicyError> {
    let mut fields = table.fields(PLATFORM_KEYS)?;
    let value = fields.required("key")?;
    let point = ec_point(value.string()?).map_err(|what| value.error(what))?;
    let key = PlatformKey::from_point(&point).ok_or_else(|| value.error("this is no key"))?;
    let value = fields.value("instance_id");
    let instance_ids: Vec<[u8; 33]> = digests(value.clone())?;
    let wrong = instance_ids.iter().any(|id| id.first() != Some(&1));
    if let Some(value) = value.filter(|_| wrong || instance_ids.is_empty()) {
        return Err(value
            .error("wanted instances, 66 hex digits each, that begin with 01")
            .with_hint("leave the key out to take every instance with this key"));
    }
    Ok(CcaPlatform {
        key,
        implementation_id: digest(&fields.required("implementation_id")?)?,
        instance_ids,
        simulated: fields.value("simulated").map_or(Ok(false), |value| value.boolean())?,
    })
}

/// `[cca.component.NAME]`
fn component(table: Value<'_>) -> Result<CcaComponent, PolicyError> {
    let mut fields = table.fields(COMPONENT_KEYS)?;
    let minimum_version = fields.value("minimum_version").map(|value| {
        version_numbers(value.string()?).ok_or_else(|| {
            value.error("this is no version").with_hint("numbers with dots between, as \"1.2\"")
        })
    });
    Ok(CcaComponent {
        measurement: hashes(fields.value("measurement"))?,
        signer: hashes(fields.value("signer"))?,
        minimum_version: minimum_version.transpose()?,
    })
}

fn rems(table: Value<'_>) -> Result<BTreeMap<u8, Vec<Vec<u8>>>, PolicyError> {
    let mut rems = BTreeMap::new();
    for (name, value) in table.entries()? {
        let index = name.get_ref().parse().ok().filter(|index| *index <= REM_MAX);
        let index = index.ok_or_else(|| {
            value.error_at(name.span(), "there are the extensible measurements 0 to 3")
        })?;
        let error = value.error("no value of this measurement is taken");
        let values = hashes(Some(value))?;
        if values.is_empty() {
            return Err(error.with_hint("list values, or leave the measurement out"));
        }
        rems.insert(index, values);
    }
    Ok(rems)
}

/// Hex of a hash.
fn hash(value: &Value<'_>) -> Result<Vec<u8>, PolicyError> {
    let hash = hex::decode(value.string()?).ok().filter(|hash| [32, 48, 64].contains(&hash.len()));
    hash.ok_or_else(|| value.error("wanted 64, 96 or 128 hex digits"))
}

fn hashes(value: Option<Value<'_>>) -> Result<Vec<Vec<u8>>, PolicyError> {
    array(value)?.iter().map(hash).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{JWK, KEY, refused};
    use super::*;
    use crate::policy::Policy;

    #[test]
    fn every_key_is_read() {
        let (a, b) = ("ab".repeat(32), "cd".repeat(48));
        let (v, i) = ("03".repeat(64), "01".repeat(33));
        let policy = Policy::parse(&format!(
            r#"
[cca]
hash = ["{a}", "{b}"]
hash_blacklist = ["{v}"]
rems = {{ 0 = ["{a}"], 3 = ["{a}", "{b}"] }}
personalization = ["{v}"]
lifecycles = ["recoverable-debug", "secured"]
[[cca.platform]]
key = '''
{KEY}'''
implementation_id = "{a}"
instance_id = ["{i}"]
simulated = true
[[cca.platform]]
key = '{JWK}'
implementation_id = "{a}"
[cca.component.RMM]
measurement = ["{a}"]
signer = ["{b}"]
minimum_version = "1.2.0"
[cca.component."AP BL31"]
"#
        ));
        let cca = policy.unwrap().cca;
        assert_eq!(cca.hash, [vec![0xab; 32], vec![0xcd; 48]]);
        assert_eq!(cca.hash_blacklist, [vec![3; 64]]);
        assert_eq!(cca.rems[&0], [vec![0xab; 32]]);
        assert_eq!(cca.rems[&3].len(), 2);
        assert_eq!(cca.personalization, Some(vec![[3; 64]]));
        assert_eq!(cca.lifecycles, [Lifecycle::RecoverableDebug, Lifecycle::Secured]);
        let [pem, jwk] = &cca.platforms[..] else { panic!("{:?}", cca.platforms) };
        assert_eq!(pem.key, jwk.key);
        assert_eq!((pem.implementation_id, &pem.instance_ids), ([0xab; 32], &vec![[1; 33]]));
        assert!(pem.simulated && !jwk.simulated && jwk.instance_ids.is_empty());
        let rmm = CcaComponent {
            measurement: vec![vec![0xab; 32]],
            signer: vec![vec![0xcd; 48]],
            minimum_version: Some(vec![1, 2]),
        };
        assert_eq!(cca.components["RMM"], rmm);
        assert_eq!(cca.components["AP BL31"], CcaComponent::default());
        assert_eq!(Policy::parse("[cca]\n").unwrap().cca, CcaPolicy::default());
        assert_eq!(Policy::parse("").unwrap().cca, CcaPolicy::default());
    }

    #[test]
    fn errors_name_the_place_and_the_way_out() {
        let hash = "ab".repeat(32);
        let platform = |more: &str| format!("[[cca.platform]]\nkey = '{JWK}'\n{more}\n");
        let kind = format!("implementation_id = \"{hash}\"");
        for (text, line, says) in [
            ("[cca]\nhsah = []\n".to_owned(), 2, "did you mean `hash`?"),
            ("[cca]\nhash = [\"abcd\"]\n".to_owned(), 2, "128 hex"),
            (format!("[cca]\nhash = [\"{hash}\"]\nhash_blacklist = [\"{hash}\"]\n"), 3, "both"),
            ("[cca.rems]\n4 = []\n".to_owned(), 2, "0 to 3"),
            ("[cca.rems]\n0 = []\n".to_owned(), 2, "no value"),
            ("[cca]\npersonalization = [\"ab\"]\n".to_owned(), 2, "128 hex"),
            ("[cca]\nlifecycles = [\"decommissioned\"]\n".to_owned(), 2, "secured"),
            ("[cca.component.RMM]\nversion = \"1\"\n".to_owned(), 2, "minimum_version"),
            ("[cca.component.RMM]\nminimum_version = \"v1\"\n".to_owned(), 2, "1.2"),
            ("[cca.component.RMM]\nsigner = [\"ab\"]\n".to_owned(), 2, "128 hex"),
            ("[[cca.platform]]\nkey = \"x\"\n".to_owned(), 2, "PEM"),
            (format!("[[cca.platform]]\n{kind}\n"), 1, "key"),
            (platform(""), 1, "implementation_id"),
            (platform("implementation_id = \"ab\""), 3, "64 hex"),
            (platform(&format!("{kind}\ninstance_id = []")), 4, "66 hex"),
            (platform(&format!("{kind}\ninstance_id = [\"{}\"]", "02".repeat(33))), 4, "01"),
            (platform(&format!("{kind}\ninstance_id = [\"01\"]")), 4, "66 hex"),
            (platform(&format!("{kind}\nsimulated = 1")), 4, "true or false"),
        ] {
            refused(&text, line, says);
        }
    }
}
