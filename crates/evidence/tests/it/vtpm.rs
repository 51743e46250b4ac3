// SPDX-License-Identifier: Apache-2.0

//! Azure's virtual TPM: each check failing on a simulated machine, and evidence of real ones.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use enarx_evidence::crypto::AwsLc;
use enarx_evidence::intel::Collateral;
use enarx_evidence::snp::Endorsements;
use enarx_evidence::vtpm::Bundle;
use enarx_evidence::{Anchors, Context, Evidence, Kind, Refusal, Verified, verify};
use sha2::{Digest as _, Sha384};
use testkit::silicon::azure::{Knobs, Leaf, SimulatedAzure};
use types::time::Timestamp;

use crate::corpus::{self, Case};
use crate::world::{DAY, MEASUREMENT, MILAN, NOW, policy};

static AZURE: LazyLock<SimulatedAzure> =
    LazyLock::new(|| SimulatedAzure::generate(MILAN.clone(), NOW).unwrap());

fn pinned() -> String {
    let hash = hex::encode(MEASUREMENT);
    let pcr = hex::encode([11; 32]);
    format!("[snp]\nhash = [\"{hash}\"]\n[vtpm]\npcrs = {{ 11 = [\"{pcr}\"] }}\n")
}

fn judge(bundle: &Bundle, endorsements: &[u8], policy_text: &str) -> Result<Verified, Refusal> {
    judge_at(bundle, endorsements, policy_text, NOW)
}

fn judge_at(
    bundle: &Bundle,
    endorsements: &[u8],
    policy_text: &str,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    let mut anchors = Anchors::simulated(&MILAN.roots_pem(), &AwsLc).unwrap();
    anchors.azure_vtpm.push(AZURE.root().unwrap());
    let evidence = Evidence {
        kind: Kind::AzureSnp,
        statement: bundle.to_bytes(),
        claims: None,
        endorsements: endorsements.to_vec(),
    };
    let policy = policy(policy_text);
    let context = Context {
        policy: &policy,
        anchors: &anchors,
        nonces: None,
        build: "test",
        now,
        verifier: &AwsLc,
    };
    verify(&evidence, &context)
}

fn of(change: impl FnOnce(&mut Knobs)) -> (Bundle, Vec<u8>) {
    let mut knobs = AZURE.knobs();
    change(&mut knobs);
    AZURE.evidence(&MEASUREMENT, &knobs).unwrap()
}

#[test]
fn nothing_wrong() {
    let (bundle, endorsements) = of(|_| ());
    let verified = judge(&bundle, &endorsements, &pinned()).unwrap();
    assert_eq!(verified.bound, Some([7; 64]));
    let facts = &verified.facts;
    assert!(facts.pinned && facts.simulated && facts.relaxations.is_empty());
    assert_eq!(facts.vtpm.as_ref().unwrap().pcrs[&11], hex::encode([11; 32]));
    // Registers without the paravisor, or the paravisor without registers, pin nothing.
    let hash = hex::encode(MEASUREMENT);
    let pcr = hex::encode([11; 32]);
    for text in [
        format!("[vtpm]\npcrs = {{ 11 = [\"{pcr}\"] }}\n"),
        format!("[snp]\nhash = [\"{hash}\"]\n[vtpm]\n"),
    ] {
        assert!(!judge(&bundle, &endorsements, &text).unwrap().facts.pinned);
    }
    // Without a certificate of the AK, the hardware is as simulated as before.
    let (bare, endorsements) = of(|k| k.certificates = false);
    assert!(judge(&bare, &endorsements, &pinned()).unwrap().facts.simulated);
    // A report may be padded, up to what is larger than any.
    let mut padded = bare;
    padded.hcl.resize(16 * 1024, 0);
    assert!(judge(&padded, &endorsements, &pinned()).is_ok());
    padded.hcl.push(0);
    let refusal = judge(&padded, &endorsements, &pinned()).unwrap_err();
    assert_eq!(refusal.check, "vtpm-malformed");
    assert!(refusal.detail.contains("larger than any"), "{refusal}");
    // A subset of the registers will do, if the policy asks for no other.
    let few = |k: &mut Knobs| {
        k.select = vec![4, 11];
        k.pcrs.retain(|index, _| [4, 11].contains(index));
    };
    let (bundle, endorsements) = of(few);
    assert!(judge(&bundle, &endorsements, &pinned()).unwrap().facts.pinned);
}

#[test]
fn a_quote_that_was_asked_with_something_else_binds_nothing() {
    for extra in [vec![], vec![7; 32], vec![7; 64]] {
        let (bundle, endorsements) = of(|k| k.extra = Some(extra));
        assert_eq!(judge(&bundle, &endorsements, "[vtpm]\n").unwrap().bound, None);
    }
}

#[test]
fn what_a_machine_says() {
    type Edit = fn(&mut Knobs);
    let pcr = format!("[vtpm]\npcrs = {{ 11 = [\"{}\"] }}\n", "00".repeat(32));
    let rows: [(&str, Edit, &str, &str); 39] = [
        ("not taken at all", |_| (), "", "vtpm"),
        ("another magic", |k| k.kind.0 = 0xff54_4348, "", "vtpm-malformed"),
        ("no quote", |k| k.kind.1 = 0x8017, "", "vtpm-malformed"),
        ("the SHA-1 bank", |k| k.banks.1 = 4, "", "vtpm-malformed"),
        ("two banks", |k| k.banks.0 = 2, "", "vtpm-malformed"),
        ("no bank", |k| k.banks.0 = 0, "", "vtpm-malformed"),
        ("bytes after the quote", |k| k.trailing = vec![0], "", "vtpm-malformed"),
        (
            "a resettable register for another",
            |k| k.select = (1..=24).collect(),
            "",
            "vtpm-binding",
        ),
        ("fewer than sent", |k| k.select = vec![4], "", "vtpm-binding"),
        ("more than sent", |k| k.pcrs.retain(|index, _| *index != 11), "", "vtpm-binding"),
        ("another order", |k| k.reversed = true, "", "vtpm-binding"),
        ("another value", |k| k.pcrs.extend([(11, [0; 32])]), "", "vtpm-binding"),
        ("an AK that is not in the runtime data", |k| k.other_ak = true, "", "vtpm-signature"),
        ("runtime data without AK", |k| k.kid = "HCLEkPub".into(), "", "vtpm-malformed"),
        ("other runtime data", |k| k.changed = true, "", "vtpm-malformed"),
        ("a byte of the runtime data", |k| k.overwrite.push((2400, b' ')), "", "vtpm-malformed"),
        ("hash type 0", |k| k.runtime.2 = 0, "", "vtpm-malformed"),
        ("hash type 4", |k| k.runtime.2 = 4, "", "vtpm-malformed"),
        ("SHA-384", |k| k.runtime.2 = 2, "", "vtpm-binding"),
        ("SHA-512", |k| k.runtime.2 = 3, "", "vtpm-binding"),
        ("another version", |k| k.runtime.0 = 2, "", "vtpm-malformed"),
        ("TDX in the report", |k| k.runtime.1 = 4, "", "vtpm-malformed"),
        ("unknown hardware", |k| k.runtime.1 = 3, "", "vtpm-malformed"),
        ("another signature", |k| k.overwrite.push((0, b'h')), "", "vtpm-malformed"),
        ("version 3", |k| k.overwrite.push((4, 3)), "", "vtpm-malformed"),
        ("bytes at the end", |k| k.overwrite.push((2599, 1)), "", "vtpm-malformed"),
        ("a wrong register", |_| (), &pcr, "pcr"),
        ("a console", |k| k.console = true, "[vtpm]\nrequire = [\"no-console\"]\n", "require"),
        (
            "unsigned software",
            |k| k.secure_boot = false,
            "[vtpm]\nrequire = [\"secure-boot\"]\n",
            "require",
        ),
        (
            "no certificate",
            |k| k.certificates = false,
            "[vtpm]\nrequire_ak_certificate = true\n",
            "ak-certificate",
        ),
        ("the certificate of another machine", |k| k.leaf.other_key = true, "", "ak-certificate"),
        ("no AIK", |k| k.leaf.purpose = false, "", "ak-certificate"),
        ("an authority as AK", |k| k.leaf.ca = true, "", "ak-certificate"),
        ("no authority above it", |k| k.leaf.issuer_ca = false, "", "ak-certificate"),
        ("another issuer's name", |k| k.leaf.other_issuer = true, "", "ak-certificate"),
        ("another issuer's key", |k| k.leaf.other_signer = true, "", "ak-certificate"),
        ("an unknown critical extension", |k| k.leaf.strange = true, "", "ak-certificate"),
        ("expired", |k| k.leaf.validity.1 = NOW.minus(1), "", "certificate-expired"),
        ("not yet valid", |k| k.leaf.validity.0 = NOW.plus(1), "", "certificate-expired"),
    ];
    for (what, edit, text, check) in rows {
        let (bundle, endorsements) = of(edit);
        let text = if what == "not taken at all" || !text.is_empty() { text } else { "[vtpm]\n" };
        match judge(&bundle, &endorsements, text) {
            Ok(_) => panic!("{what}: taken"),
            Err(refusal) => assert_eq!(refusal.check, check, "{what}: {refusal}"),
        }
    }
    // The last seconds still count.
    for edit in [|l: &mut Leaf| l.validity.1 = NOW, |l: &mut Leaf| l.validity.0 = NOW] {
        let (bundle, endorsements) = of(|k| edit(&mut k.leaf));
        assert!(judge(&bundle, &endorsements, "[vtpm]\n").is_ok());
    }
    let (bundle, endorsements) = of(|_| ());
    let late = judge_at(&bundle, &endorsements, "[vtpm]\n", NOW.plus(DAY + 1)).unwrap_err();
    assert_eq!(late.check, "certificate-expired");
}

#[test]
fn hardware_and_chain() {
    // The hardware is judged by its own section.
    let (bundle, endorsements) = of(|_| ());
    let refusal = judge(&bundle, &endorsements, "[snp]\nproducts = [\"Genoa\"]\n[vtpm]\n");
    assert_eq!(refusal.unwrap_err().check, "product");
    // A TD quote beside a report of SEV-SNP; a chain without its root; a root alone; a root that nobody knows.
    let mut both = bundle.clone();
    both.quote = vec![1];
    assert_eq!(judge(&both, &endorsements, "[vtpm]\n").unwrap_err().check, "vtpm-malformed");
    let mut rootless = bundle.clone();
    rootless.certificates.pop();
    assert_eq!(judge(&rootless, &endorsements, "[vtpm]\n").unwrap_err().check, "untrusted-root");
    let mut alone = bundle.clone();
    alone.certificates.drain(..2);
    let refusal = judge(&alone, &endorsements, "[vtpm]\n").unwrap_err();
    assert_eq!(refusal.check, "ak-certificate");
    assert!(refusal.detail.contains("is a root"), "{refusal}");
    // Another algorithm beside the signature than in what is signed (sha256WithRSAEncryption ends with 11).
    let algorithm = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
    for at in 0..3 {
        let mut two = bundle.clone();
        let certificate = &mut two.certificates[at];
        let outer = certificate.windows(9).rposition(|window| window == algorithm).unwrap();
        certificate[outer + 8] = 12;
        let refusal = judge(&two, &endorsements, "[vtpm]\n").unwrap_err();
        // A root is known by all of its bytes.
        assert_eq!(refusal.check, if at == 2 { "untrusted-root" } else { "ak-certificate" });
    }
    let mut other = bundle.clone();
    other.certificates[2] = other.certificates[1].clone();
    assert_eq!(judge(&other, &endorsements, "[vtpm]\n").unwrap_err().check, "untrusted-root");
    let mut garbage = bundle;
    garbage.certificates[1] = vec![0x30, 0];
    assert_eq!(judge(&garbage, &endorsements, "[vtpm]\n").unwrap_err().check, "ak-certificate");
}

#[test]
fn no_bit_can_be_flipped() {
    let (bundle, endorsements) = of(|k| k.certificates = false);
    let text = "[vtpm]\n";
    assert!(judge(&bundle, &endorsements, text).is_ok());
    let mut flipped = 0;
    let refused = |bundle: &Bundle, what: &str, at: usize| {
        assert!(judge(bundle, &endorsements, text).is_err(), "{what} bit {at}");
    };
    for at in 0..bundle.message.len() * 8 {
        let mut changed = bundle.clone();
        changed.message[at / 8] ^= 1 << (at % 8);
        refused(&changed, "quote", at);
        flipped += 1;
    }
    // The HCL header has four words that mean nothing; all else is bound.
    for at in (0..bundle.hcl.len() * 8).step_by(5).filter(|at| !(64..256).contains(at)) {
        let mut changed = bundle.clone();
        changed.hcl[at / 8] ^= 1 << (at % 8);
        refused(&changed, "HCL report", at);
        flipped += 1;
    }
    for at in 0..bundle.signature.len() * 8 {
        let mut changed = bundle.clone();
        changed.signature[at / 8] ^= 1 << (at % 8);
        refused(&changed, "signature", at);
        flipped += 1;
    }
    println!("{flipped} flipped bits, all refused");
}

/// The files of a case as a bundle, with the endorsements of its hardware.
fn real(case: &Case) -> (Bundle, Vec<u8>) {
    let values = case.file("pcrs.bin");
    let pcrs: BTreeMap<u8, [u8; 32]> =
        (0..).zip(values.chunks_exact(32)).map(|(i, pcr)| (i, pcr.try_into().unwrap())).collect();
    let mut bundle = Bundle {
        certificates: Vec::new(),
        hcl: case.file("hcl_report.bin"),
        message: case.file("tpm_quote.msg"),
        pcrs,
        quote: case.optional("td_quote.bin").unwrap_or_default(),
        signature: case.file("tpm_quote.sig"),
    };
    for name in ["ak_cert.pem", "ak_intermediates.pem"] {
        let text = case.text(name).unwrap_or_default();
        for block in text.split_inclusive("-----END CERTIFICATE-----\n") {
            if let Ok((_, der)) = der::pem::decode_vec(block.trim_start().as_bytes()) {
                bundle.certificates.push(der);
            }
        }
    }
    let endorsements = match case.optional("vek.der") {
        Some(vcek) => Endorsements { vcek, ..Endorsements::default() }.to_der().unwrap(),
        // TDX without any collateral.
        None => Collateral::default().to_bytes(),
    };
    (bundle, endorsements)
}

/// What stands in verdicts that judge the virtual TPM alone, whatever its hardware's collateral is.
const BINDING_ONLY: &str = "vtpm binding only";

#[test]
fn evidence_of_real_machines() {
    let Some(folder) = corpus::folder("evidence_of_real_machines") else { return };
    let anchors = Anchors::vendors(&AwsLc).unwrap();
    let tally = corpus::all_agree(&corpus::cases(&folder, "vtpm"), |case, verdict| {
        let (bundle, endorsements) = real(case);
        let kind = if bundle.quote.is_empty() { Kind::AzureSnp } else { Kind::AzureTdx };
        // No policy takes a TD quote without its collateral: what is left of the verdict cannot be asked for.
        if kind == Kind::AzureTdx && verdict.policy.starts_with(BINDING_ONLY) {
            return None;
        }
        // The cases have no lists of AMD's, and no verdict asks for a certain guest.
        let field = |at: usize, bytes: usize| hex::encode(&bundle.hcl[32 + at..][..bytes]);
        let policy = policy(&format!(
            "[snp]\nallow = [\"alias-check\", \"crl-missing\"]\nfamily_id = [\"{}\"]\nimage_id = [\"{}\"]\n[vtpm]\n",
            field(16, 16),
            field(32, 16),
        ));
        let judge = |bundle: &Bundle| {
            let (statement, endorsements) = (bundle.to_bytes(), endorsements.clone());
            let evidence = Evidence { kind, statement, claims: None, endorsements };
            let (policy, anchors, build) = (&policy, &anchors, "test");
            let (nonces, now, verifier) = (None, verdict.at, &AwsLc);
            verify(&evidence, &Context { policy, anchors, nonces, build, now, verifier })
        };
        let outcome = judge(&bundle);
        if let Ok(Verified { facts, .. }) = &outcome {
            assert!(!facts.simulated && !facts.pinned, "{}", case.name);
            assert_eq!(facts.vtpm.as_ref().unwrap().pcrs.len(), 24);
            // The registers of one machine with the quote of another.
            let mut other = bundle;
            other.pcrs.insert(0, Sha384::digest(b"x")[..32].try_into().unwrap());
            assert_eq!(judge(&other).unwrap_err().check, "vtpm-binding");
        }
        Some(outcome)
    });
    assert_eq!((tally.agreed, tally.not_judged), (8, 2));
}

#[test]
fn no_kind_of_real_evidence_is_left_out() {
    let Some(folder) = corpus::folder("no_kind_of_real_evidence_is_left_out") else { return };
    let kinds: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    // Each has a test of its own that goes through all of its cases; `roots` are what they are held against.
    let known = ["cca", "nitro", "roots", "sgx", "snp", "tdx", "vtpm"];
    assert!(kinds.iter().all(|kind| known.contains(&kind.as_str())), "{kinds:?}");
}
