// SPDX-License-Identifier: Apache-2.0

use proptest::prelude::*;

use super::*;
use crate::amd::{Product, Tcb};
use crate::policy::{Allowance, Relaxation, Requirement};

pub(super) const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n\
    6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n\
    -----END PUBLIC KEY-----\n";
pub(super) const JWK: &str = r#"{"kty":"EC","crv":"P-256","x":"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY","y":"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU","use":"sig"}"#;

/// A key as large as those on P-384.
fn jwk_p384() -> String {
    let part = "A".repeat(64);
    format!(r#"{{"kty":"EC","crv":"P-384","x":"{part}","y":"{part}"}}"#)
}

/// Refused at this line, in these words.
pub(super) fn refused(text: &str, line: usize, says: &str) {
    let error = Policy::parse(text).unwrap_err();
    assert_eq!(error.line, line, "{text}: {error}");
    assert!(error.to_string().contains(says), "{text}: {error}");
    assert!(error.to_string().contains('^'));
}

#[test]
fn an_empty_file_relaxes_and_pins_nothing() {
    let policy = Policy::parse("").unwrap();
    assert_eq!(policy.snp, SnpPolicy::default());
    assert!(policy.snp.allow.is_empty() && policy.snp.vlek.is_empty());
    assert_eq!((policy.snp.max_vmpl, policy.request.allow_without_nonce), (0, Allowance::Never));
    assert!(policy.registries.is_empty() && policy.grants.is_empty());
    assert_eq!(policy.lifetime_seconds, 24 * 3600);
    assert_eq!(policy.digest, Sha256::of(b""));
    let other = Policy::parse("[snp]\n").unwrap();
    assert_eq!(other.snp, policy.snp);
    assert_ne!(other.digest, policy.digest);
}

#[test]
fn every_key_is_read() {
    let (a, b) = ("ab".repeat(48), "cd".repeat(48));
    let text = format!(
        r#"
[snp]
hash = ["{a}"]
hash_blacklist = ["{b}"]
signer = ["{b}"]
signer_blacklist = ["{a}"]
id_key_digest = ["{b}"]
id_key_digest_blacklist = ["{a}"]
minimum_guest_svn = 3
family_id = ["{f}"]
image_id = []
host_data = ["{h}"]
abi = ">=1.51"
policy_flags = ["SMT", "SingleSocket"]
platform_info_flags = "TSME"
require = ["ecc", "no-smt"]
products = ["Genoa", "Turin"]
products_blacklist = ["Milan"]
chip_id = ["{c}"]
chip_id_blacklist = ["{d}"]
minimum_firmware = "1.55.21"
mitigations = [0, 63, 5]
allow = ["crl-expired", "alias-check"]
vlek = ["CN=a"]
max_vmpl = 1
[snp.minimum_tcb.Turin]
fmc = 1
snp = 4
[snp.minimum_tcb.Genoa]
bootloader = 10
[request]
allow = ["nonce-missing"]
[certificate]
lifetime_hours = 672
[[registry]]
host = "localhost:8443"
key = '''
{KEY}'''
[[registry]]
host = "store.example.com"
key = '{JWK}'
[[grant]]
workload = "h/u/r:^1"
dns = ["b.example.com", "a.example.com"]
ip = ["::1", "127.0.0.1"]
[[grant]]
workload = "h/u/r"
dns = ["a.example.com"]
"#,
        f = "01".repeat(16),
        h = "02".repeat(32),
        c = "03".repeat(64),
        d = "04".repeat(64),
    );
    let policy = Policy::parse(&text).unwrap();
    let snp = &policy.snp;
    assert_eq!((&snp.hash[..], &snp.hash_blacklist[..]), (&[[0xab; 48]][..], &[[0xcd; 48]][..]));
    assert_eq!((&snp.signer, &snp.id_key_digest), (&vec![[0xcd; 48]], &vec![[0xcd; 48]]));
    assert_eq!(snp.id_key_digest_blacklist, [[0xab; 48]]);
    assert_eq!((snp.minimum_guest_svn, snp.max_vmpl), (3, 1));
    assert_eq!((&snp.family_id, &snp.image_id), (&Some(vec![[1; 16]]), &Some(vec![])));
    assert_eq!((&snp.host_data, &snp.chip_id), (&Some(vec![[2; 32]]), &vec![[3; 64]]));
    assert!(snp.abi.as_ref().unwrap().matches(&semver::Version::new(1, 51, 0)));
    assert_eq!((snp.policy_flags, snp.platform_info_flags), (Some(1 << 16 | 1 << 20), Some(2)));
    assert_eq!(snp.require, [Requirement::Ecc, Requirement::NoSmt]);
    assert_eq!(snp.products, [Product::Genoa, Product::Turin]);
    let allowed = [Relaxation::AliasCheck, Relaxation::CrlExpired];
    assert_eq!(snp.allow, allowed.map(|name| (name, Allowance::Always)).into());
    assert_eq!(snp.vlek, ["CN=a"]);
    assert_eq!(
        (&snp.signer_blacklist, &snp.chip_id_blacklist),
        (&vec![[0xab; 48]], &vec![[4; 64]])
    );
    assert_eq!(
        (&snp.products_blacklist[..], snp.mitigations),
        (&[Product::Milan][..], 1 << 63 | 33)
    );
    assert_eq!(snp.minimum_firmware.unwrap().to_string(), "1.55.21");
    let turin = Tcb { fmc: Some(1), snp: 4, ..Tcb::default() };
    assert_eq!(snp.minimum_tcb[&Product::Turin], turin);
    assert_eq!(snp.minimum_tcb[&Product::Genoa].bootloader, 10);
    assert_eq!(policy.request.allow_without_nonce, Allowance::Always);
    assert_eq!(policy.lifetime_seconds, 28 * 86_400);
    let [pem, jwk] = &policy.registries[..] else { panic!("{:?}", policy.registries) };
    assert_eq!((&pem.kid, &pem.point), (&jwk.kid, &jwk.point));
    assert_eq!((pem.host.as_str(), pem.point.len()), ("localhost:8443", 65));
    let granted = policy.granted(&"h/u/r:1.2.0".parse().unwrap());
    assert_eq!(granted.0, ["a.example.com", "b.example.com"]);
    assert_eq!(granted.1.len(), 2);
    assert_eq!(policy.granted(&"h/u/r:2.0.0".parse().unwrap()).0, ["a.example.com"]);
    assert_eq!(policy.granted(&"h/u/s:1.2.0".parse().unwrap()), (vec![], vec![]));
}

#[test]
fn errors_name_the_place_and_the_way_out() {
    let hash = "ab".repeat(48);
    for (text, line, says) in [
        ("[snp]\nhsah = []\n".to_owned(), 2, "did you mean `hash`?"),
        ("[snp]\nminimum_gest_svn = 3\n".to_owned(), 2, "did you mean `minimum_guest_svn`?"),
        ("[sev]\n".to_owned(), 1, "sev"),
        ("snp = 1\n".to_owned(), 1, "table"),
        ("[snp]\nhash = \"abc\"\n".to_owned(), 2, "array"),
        ("[snp]\nhash = [\"abc\"]\n".to_owned(), 2, "96 hex"),
        ("[snp]\nchip_id = [\"abc\"]\n".to_owned(), 2, "128 hex"),
        ("[snp]\nhost_data = [\"abc\"]\n".to_owned(), 2, "64 hex"),
        (format!("[snp]\nhash = [\"{hash}\"]\nhash_blacklist = [\"{hash}\"]\n"), 3, "both"),
        (
            format!(
                "[snp]\nid_key_digest = [\"{hash}\"]\nid_key_digest_blacklist = [\"{hash}\"]\n"
            ),
            3,
            "both",
        ),
        ("[snp]\nallow = [\"vlek\"]\n".to_owned(), 2, "vlek"),
        ("[snp]\nallow = [\"alias-chek\"]\n".to_owned(), 2, "did you mean \"alias-check\"?"),
        ("[snp]\npolicy_flags = [\"MigrateMA\"]\n".to_owned(), 2, "SMT"),
        ("[snp]\nplatform_info_flags = [\"SME\"]\n".to_owned(), 2, "string"),
        ("[snp]\nabi = \"new\"\n".to_owned(), 2, "1.51"),
        ("[snp]\nmax_vmpl = 4\n".to_owned(), 2, "3"),
        ("[snp]\nmitigations = [64]\n".to_owned(), 2, "63"),
        ("[snp]\nminimum_firmware = \"1.55\"\n".to_owned(), 2, "1.55.21"),
        ("[snp]\nminimum_firmware = \"1.55.256\"\n".to_owned(), 2, "1.55.21"),
        (
            "[snp]\nproducts = [\"Milan\"]\nproducts_blacklist = [\"Turin\", \"Milan\"]\n"
                .to_owned(),
            3,
            "both",
        ),
        (format!("[snp]\nsigner = [\"{hash}\"]\nsigner_blacklist = [\"{hash}\"]\n"), 3, "both"),
        (
            format!("[snp]\nchip_id = [\"{0}\"]\nchip_id_blacklist = [\"{0}\"]\n", "ab".repeat(64)),
            3,
            "both",
        ),
        ("[snp]\nminimum_guest_svn = 4294967296\n".to_owned(), 2, "4294967295"),
        ("[snp]\nproducts = [\"Naples\"]\n".to_owned(), 2, "Milan"),
        ("[snp]\nrequire = [\"smt\"]\n".to_owned(), 2, "no-smt"),
        ("[snp.minimum_tcb.Naples]\n".to_owned(), 1, "product"),
        ("[snp.minimum_tcb.Milan]\nfmc = 1\n".to_owned(), 2, "fmc"),
        ("[snp.minimum_tcb.Milan]\nsnp = 256\n".to_owned(), 2, "255"),
        ("[request]\nallow = [\"nonce\"]\n".to_owned(), 2, "nonce-missing"),
        ("[request]\nallow_without_nonce = true\n".to_owned(), 2, "allowed here: allow"),
        ("[certificate]\nlifetime_hours = 673\n".to_owned(), 2, "672"),
        ("[certificate]\nlifetime_hours = 0\n".to_owned(), 2, "672"),
        ("[[registry]]\nhost = \"h\"\n".to_owned(), 1, "key"),
        ("[[registry]]\nhost = \"H\"\nkey = \"x\"\n".to_owned(), 2, "lower case"),
        ("[[registry]]\nhost = \"h\"\nkey = \"x\"\n".to_owned(), 3, "PEM"),
        ("[[registry]]\nhost = \"h\"\nkey = \"{}\"\n".to_owned(), 3, "JWK"),
        (format!("[[registry]]\nhost = \"h\"\nkey = '{}'\n", JWK.replace("EC", "RSA")), 3, "P-256"),
        (format!("[[registry]]\nhost = \"h\"\nkey = '{}'\n", jwk_p384()), 3, "no P-256 key"),
        (
            format!("[[registry]]\nhost = \"h\"\nkey = '{}'\n", JWK.replace("\"use\"", "\"d\"")),
            3,
            "private",
        ),
        (
            format!("{0}{0}", format_args!("[[registry]]\nhost = \"h\"\nkey = '{JWK}'\n")),
            4,
            "twice",
        ),
        ("[[grant]]\nworkload = \"h/u/r\"\n".to_owned(), 1, "names"),
        ("[[grant]]\nworkload = \"r\"\ndns = [\"a\"]\n".to_owned(), 2, "host/user/repo"),
        ("[[grant]]\nworkload = \"h/u/r\"\ndns = [\"*.a\"]\n".to_owned(), 3, "DNS"),
        ("[[grant]]\nworkload = \"h/u/r\"\ndns = [\"127.0.0.1\"]\n".to_owned(), 3, "DNS"),
        ("[[grant]]\nworkload = \"h/u/r\"\nip = [\"a\"]\n".to_owned(), 3, "IP"),
    ] {
        refused(&text, line, says);
    }
    assert!(Policy::parse(&"#".repeat(limits::POLICY_BYTES_MAX + 1)).is_err());
}

proptest! {
    #[test]
    fn reading_never_panics(
        text in "\\PC{0,200}",
        key in prop::sample::select(snp::KEYS),
        nitro in prop::sample::select(nitro::KEYS),
        cca in prop::sample::select(cca::KEYS),
        sgx in prop::sample::select(sgx::KEYS),
        tdx in prop::sample::select(tdx::KEYS),
        value in "(\\[\"[a-z0-9]{0,100}\"\\]|-?[0-9]{1,30}|\"[ -~&&[^\"\\\\]]{0,20}\")",
    ) {
        let _ = Policy::parse(&text);
        let _ = Policy::parse(&format!("[snp]\n{key} = {value}"));
        let _ = Policy::parse(&format!("[nitro]\n{nitro} = {value}"));
        let _ = Policy::parse(&format!("[cca]\n{cca} = {value}"));
        let _ = Policy::parse(&format!("[sgx]\n{sgx} = {value}"));
        let _ = Policy::parse(&format!("[tdx]\n{tdx} = {value}"));
        let _ = names::p256_spki(&text);
    }
}

#[test]
fn relaxations_have_a_last_day() {
    let end: Timestamp = "2027-03-02T00:00:00Z".parse().unwrap();
    let until = Allowance::Before(end);
    let policy = Policy::parse(
        "[snp]\nallow = [{ name = \"debug\", until = 2027-03-01 }, \"alias-check\"]\n\
         [tdx]\nallow = [{ name = \"debug\", until = 2027-03-01 }]\n\
         [nitro]\nallow = [{ name = \"debug\", until = 2027-03-01 }]\n\
         [request]\nallow = [{ name = \"nonce-missing\", until = 2027-03-01 }]\n\
         [[sgx.accept]]\nstatus = \"OutOfDate\"\nuntil = 2027-03-01\n",
    )
    .unwrap_or_else(|error| panic!("{error}"));
    let allowed = [(Relaxation::AliasCheck, Allowance::Always), (Relaxation::Debug, until)];
    assert_eq!(policy.snp.allow, allowed.into());
    assert_eq!((policy.tdx.allow_debug, policy.nitro.allow_debug), (until, until));
    assert_eq!(policy.request.allow_without_nonce, until);
    assert_eq!(policy.ended(end.minus(1)), []);
    let ended: Vec<_> =
        policy.ended(end).into_iter().map(|e| (e.key, e.name, e.last_day)).collect();
    let row = |key, name: &str| (key, name.to_owned(), "2027-03-01".to_owned());
    let wanted = [
        row("snp.allow", "debug"),
        row("tdx.allow", "debug"),
        row("nitro.allow", "debug"),
        row("request.allow", "nonce-missing"),
        row("sgx.accept", "OutOfDate"),
    ];
    assert_eq!(ended, wanted);
    for (text, says) in [
        ("[snp]\nallow = [\"debug\", { name = \"debug\", until = 2027-03-01 }]\n", "twice"),
        ("[snp]\nallow = [\"debug\", \"debug\"]\n", "twice"),
        ("[snp]\nallow = [{ name = \"debug\" }]\n", "until"),
        ("[snp]\nallow = [{ until = 2027-03-01 }]\n", "name"),
        ("[snp]\nallow = [{ name = \"debgu\", until = 2027-03-01 }]\n", "did you mean \"debug\"?"),
        ("[snp]\nallow = [{ name = \"debug\", until = \"2027-03-01\" }]\n", "a date"),
        ("[snp]\nallow = [{ name = \"debug\", unitl = 2027-03-01 }]\n", "until"),
    ] {
        refused(text, 2, says);
    }
}
