// SPDX-License-Identifier: Apache-2.0

//! SGX and TDX on simulated silicon: each check failing, a table of what is wrong and what has to say so.

use std::sync::LazyLock;

use enarx_evidence::crypto::{AwsLc, Cached, Verifier};
use enarx_evidence::intel::Collateral;
use enarx_evidence::policy::{Policy, TcbStatus};
use enarx_evidence::result::TeeFacts;
use enarx_evidence::{
    Anchors, Context, Evidence, Kind, Refusal, Verified, appraise, csr, encode_evidence, verify,
};
use testkit::silicon::intel::{CrlSpec, Knobs, SimulatedIntel, Tee};
use types::time::Timestamp;

use crate::crypto::Both;
use crate::world::{DAY, Key, NOW, policy};

static INTEL: LazyLock<SimulatedIntel> = LazyLock::new(|| SimulatedIntel::generate(NOW).unwrap());
static ANCHORS: LazyLock<Anchors> = LazyLock::new(|| {
    let anchors = Anchors::simulated(&INTEL.root_pem().unwrap(), &Both).unwrap();
    assert!(anchors.intel.len() == 1 && anchors.amd.is_empty());
    anchors
});

type Edit = fn(&mut Knobs);

const SGX: &str = "[sgx]\n";
const TDX: &str = "[tdx]\n";

const fn kind(tee: Tee) -> Kind {
    match tee {
        Tee::Sgx => Kind::Sgx,
        Tee::Tdx => Kind::Tdx,
    }
}

/// A quote with its collateral.
fn parts(tee: Tee, edit: impl FnOnce(&mut Knobs)) -> (Vec<u8>, Collateral) {
    let mut knobs = INTEL.knobs(tee);
    edit(&mut knobs);
    let made = INTEL.evidence(&knobs).unwrap();
    let collateral = Collateral {
        crls: vec![made.root_crl, made.pck_crl],
        tcb_info: Some(made.tcb_info),
        qe_identity: Some(made.qe_identity),
        tcb_info_chain: Some(made.signer_chain),
        qe_identity_chain: None,
        pck_chain: None,
    };
    (made.quote, collateral)
}

fn judge_parts(
    kind: Kind,
    quote: &[u8],
    collateral: &Collateral,
    policy_text: &str,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    judge_by(&Both, kind, quote, collateral, &policy(policy_text), now)
}

fn judge_by(
    verifier: &dyn Verifier,
    kind: Kind,
    quote: &[u8],
    collateral: &Collateral,
    policy: &Policy,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    let evidence = Evidence {
        kind,
        statement: quote.to_vec(),
        claims: None,
        endorsements: collateral.to_bytes(),
    };
    let (anchors, build) = (&*ANCHORS, "test");
    verify(&evidence, &Context { policy, anchors, nonces: None, build, now, verifier })
}

fn judge_at(
    tee: Tee,
    edit: impl FnOnce(&mut Knobs),
    policy_text: &str,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    let (quote, collateral) = parts(tee, edit);
    judge_parts(kind(tee), &quote, &collateral, policy_text, now)
}

fn judge(tee: Tee, edit: impl FnOnce(&mut Knobs), policy: &str) -> Result<Verified, Refusal> {
    judge_at(tee, edit, policy, NOW)
}

/// Refused for this, and for nothing else.
fn is_refused(what: &str, outcome: Result<Verified, Refusal>, check: &str) -> Refusal {
    match outcome {
        Ok(_) => panic!("{what}: taken"),
        Err(refusal) => {
            assert_eq!(refusal.check, check, "{what}: {refusal}");
            assert!(refusal.others.is_empty(), "{what}: {refusal:?}");
            assert!(!refusal.detail.is_empty() && !refusal.hint.is_empty());
            refusal
        }
    }
}

fn refused(what: &str, tee: Tee, edit: impl FnOnce(&mut Knobs), policy: &str, check: &str) {
    is_refused(what, judge(tee, edit, policy), check);
}

/// Taken, with exactly these relaxations.
fn taken(
    what: &str,
    tee: Tee,
    edit: impl FnOnce(&mut Knobs),
    policy: &str,
    relaxations: &[&str],
) -> Verified {
    let verified = judge(tee, edit, policy).unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
    assert_eq!(verified.facts.relaxations, relaxations, "{what}");
    verified
}

#[test]
fn nothing_wrong() {
    let sgx = taken("SGX", Tee::Sgx, |_| (), "", &[]);
    assert_eq!(sgx.bound, Some([7; 64]));
    let facts = &sgx.facts;
    assert_eq!(facts.measurement, hex::encode([0x4d; 32]));
    assert_eq!(facts.signer, Some(hex::encode([0x53; 32])));
    assert!(facts.simulated && !facts.pinned && !facts.debug);
    let TeeFacts::Sgx(own) = &facts.tee else { panic!("{facts:?}") };
    assert_eq!((own.product_id, own.svn), (1, 2));
    assert_eq!((own.dcap.status.as_str(), own.dcap.evaluation_number), ("UpToDate", 18));
    assert_eq!(
        (own.dcap.fmspc.as_str(), &own.dcap.ppid),
        ("00606a000000", &hex::encode([0x9d; 16]))
    );
    let bodies: [(&str, Edit); 4] = [
        ("version 4", |_| ()),
        ("version 5, TDX 1.0", |k| (k.quote.version, k.quote.body) = (5, 2)),
        ("version 5, TDX 1.5", |k| k.quote.version = 5),
        ("version 5, extended", |k| (k.quote.version, k.quote.body) = (5, 4)),
    ];
    for (what, edit) in bodies {
        let tdx = taken(what, Tee::Tdx, edit, "", &[]);
        assert_eq!(tdx.bound, Some([7; 64]), "{what}");
        assert_eq!(tdx.facts.measurement, hex::encode([0x7d; 48]), "{what}");
        assert_eq!(tdx.facts.signer, None);
        let TeeFacts::Tdx(own) = &tdx.facts.tee else { panic!("{what}") };
        assert_eq!(own.rtmrs[3], hex::encode([0x13; 48]), "{what}");
        assert_eq!((&own.config_id, &own.owner), (&None, &None));
    }
}

#[test]
fn only_the_root_that_is_given_counts() {
    let (quote, collateral) = parts(Tee::Sgx, |_| ());
    let policy = policy("");
    let evidence = Evidence {
        kind: Kind::Sgx,
        statement: quote,
        claims: None,
        endorsements: collateral.to_bytes(),
    };
    let check = |anchors: &Anchors| {
        let (policy, build) = (&policy, "test");
        let context = Context { policy, anchors, nonces: None, build, now: NOW, verifier: &Both };
        verify(&evidence, &context).map(|verified| verified.facts.simulated)
    };
    assert_eq!(check(&ANCHORS), Ok(true));
    assert_eq!(check(&Anchors::default()).unwrap_err().check, "untrusted-root");
    // Another maker's root under the same name; Intel's own.
    let namesake = SimulatedIntel::generate(NOW).unwrap().root_pem().unwrap();
    let namesake = Anchors::simulated(&namesake, &Both).unwrap();
    assert_eq!(check(&namesake).unwrap_err().check, "untrusted-root");
    #[cfg(feature = "vendor-roots")]
    {
        let vendors = Anchors::vendors(&Both).unwrap();
        assert!(vendors.intel.iter().all(|root| !root.simulated()));
        assert_eq!(check(&vendors).unwrap_err().check, "untrusted-root");
    }
    let mut both = namesake;
    both.extend(ANCHORS.clone());
    assert_eq!(check(&both), Ok(true));
    // A root that did not sign itself is none.
    let (_, der) = der::pem::decode_vec(INTEL.root_pem().unwrap().as_bytes()).unwrap();
    let mut forged = der;
    *forged.last_mut().unwrap() ^= 1;
    let forged = der::pem::encode_string("CERTIFICATE", Default::default(), &forged).unwrap();
    assert!(Anchors::simulated(&forged, &Both).unwrap_err().to_string().contains("itself"));
}

/// Signers of platform and documents under two roots that are both believed do not mix.
#[test]
fn one_root_vouches_for_all() {
    let other = SimulatedIntel::generate(NOW).unwrap();
    let theirs = other.evidence(&other.knobs(Tee::Sgx)).unwrap();
    let (statement, mut collateral) = parts(Tee::Sgx, |_| ());
    collateral.tcb_info = Some(theirs.tcb_info);
    collateral.tcb_info_chain = Some(theirs.signer_chain);
    let mut anchors = Anchors::simulated(&other.root_pem().unwrap(), &Both).unwrap();
    anchors.extend(ANCHORS.clone());
    let endorsements = collateral.to_bytes();
    let evidence = Evidence { kind: Kind::Sgx, statement, claims: None, endorsements };
    let (policy, build) = (&policy(""), "test");
    let anchors = &anchors;
    let context = Context { policy, anchors, nonces: None, build, now: NOW, verifier: &Both };
    assert_eq!(verify(&evidence, &context).unwrap_err().check, "untrusted-root");
}

#[test]
fn the_form_of_a_quote() {
    let rows: [(&str, Tee, Edit, &str); 26] = [
        ("version 1", Tee::Sgx, |k| k.quote.version = 1, "quote-malformed"),
        ("SGX in version 4", Tee::Sgx, |k| k.quote.version = 4, "quote-malformed"),
        ("SGX in version 5", Tee::Sgx, |k| k.quote.version = 5, "quote-malformed"),
        ("TDX in version 3", Tee::Tdx, |k| k.quote.version = 3, "quote-malformed"),
        ("version 6", Tee::Tdx, |k| k.quote.version = 6, "quote-malformed"),
        ("another TEE", Tee::Tdx, |k| k.quote.tee_type = Some(0x82), "quote-malformed"),
        ("P-384", Tee::Sgx, |k| k.quote.key_type = 3, "quote-malformed"),
        ("EPID", Tee::Sgx, |k| k.quote.key_type = 0, "quote-malformed"),
        ("another vendor", Tee::Sgx, |k| k.quote.vendor[15] ^= 1, "quote-malformed"),
        ("an enclave in a TD's quote", Tee::Tdx, |k| body(k, 1, 384), "quote-malformed"),
        ("a body of no type", Tee::Tdx, |k| body(k, 5, 648), "quote-malformed"),
        ("a body of another size", Tee::Tdx, |k| body(k, 3, 649), "quote-malformed"),
        ("a body of another type's size", Tee::Tdx, |k| body(k, 3, 584), "quote-malformed"),
        ("a longer body than said", Tee::Tdx, |k| body(k, 2, 584), "quote-malformed"),
        ("PPID", Tee::Sgx, |k| k.quote.certification = 1, "pck-missing"),
        ("encrypted PPID, 2048", Tee::Sgx, |k| k.quote.certification = 2, "pck-missing"),
        ("encrypted PPID, 3072", Tee::Tdx, |k| k.quote.certification = 3, "pck-missing"),
        ("PCK alone", Tee::Sgx, |k| k.quote.certification = 4, "pck-missing"),
        ("no certification at all", Tee::Sgx, |k| k.quote.certification = 0, "quote-malformed"),
        ("nested reports", Tee::Tdx, |k| k.quote.certification = 6, "quote-malformed"),
        ("a manifest", Tee::Sgx, |k| k.quote.certification = 7, "quote-malformed"),
        ("no report", Tee::Tdx, |k| k.quote.outer_certification = 5, "quote-malformed"),
        ("more inside", Tee::Sgx, |k| k.quote.trailing_inside = vec![0], "quote-malformed"),
        ("more inside", Tee::Tdx, |k| k.quote.trailing_inside = vec![0], "quote-malformed"),
        ("something after", Tee::Tdx, |k| k.quote.trailing = vec![0, 1], "quote-malformed"),
        ("too much after", Tee::Tdx, |k| k.quote.trailing = vec![0; 16 * 1024], "quote-malformed"),
    ];
    for (what, tee, edit, check) in rows {
        refused(what, tee, edit, "", check);
    }
    for tee in [Tee::Sgx, Tee::Tdx] {
        taken("padded", tee, |k| k.quote.trailing = vec![0; 3066], "", &[]);
        // Certificates that the quote has not come along with it.
        let (quote, mut collateral) = parts(tee, |k| k.quote.certification = 3);
        let knobs = INTEL.knobs(tee);
        collateral.pck_chain = Some(INTEL.evidence(&knobs).unwrap().pck_chain);
        assert!(judge_parts(kind(tee), &quote, &collateral, "", NOW).is_ok());
        let (good, collateral) = parts(tee, |_| ());
        for bytes in [0, 1, 47, 48, 431, 432, 435, 500, 700, 1000, good.len() - 1] {
            let cut = judge_parts(kind(tee), &good[..bytes], &collateral, "", NOW);
            is_refused("cut", cut, "quote-malformed");
        }
        // The quote of one TEE as that of the other.
        let other = if tee == Tee::Sgx { Kind::Tdx } else { Kind::Sgx };
        let outcome = judge_parts(other, &good, &collateral, "", NOW);
        is_refused("another TEE", outcome, "quote-malformed");
    }
}

fn body(knobs: &mut Knobs, kind: u16, size: u32) {
    knobs.quote.version = 5;
    knobs.quote.descriptor = Some((kind, size));
}

#[test]
fn who_signed_what() {
    let rows: [(&str, Edit, &str); 24] = [
        ("somebody signs the quote", |k| k.quote.other_signer = true, "quote-signature"),
        ("somebody signs the QE's report", |k| k.quote.other_pck = true, "qe-report"),
        ("another attestation key", |k| k.quote.other_binding = true, "qe-report"),
        ("more than that key", |k| k.quote.binding_tail = true, "qe-report"),
        ("31 bytes of authentication data", |k| k.quote.auth_bytes = 31, "qe-report"),
        ("no authentication data", |k| k.quote.auth_bytes = 0, "qe-report"),
        ("somebody signs the PCK certificate", |k| k.pck.other_signer = true, "intel-chain"),
        ("another name", |k| k.pck.subject = "Intel SGX TCB Signing".into(), "intel-chain"),
        ("another authority", |k| k.pck.authority = "Somebody".into(), "intel-chain"),
        ("an authority that is none", |k| k.pck.authority_issues = false, "intel-chain"),
        ("an unknown extension", |k| k.pck.unknown_extension = true, "intel-chain"),
        ("not Intel's extension", |k| k.pck.own_extension = false, "intel-chain"),
        (
            "another signer's name",
            |k| k.signer_name = "Intel SGX PCK Platform CA".into(),
            "intel-chain",
        ),
        ("somebody signs the TCB info", |k| k.tcb_info.other_signer = true, "collateral-signature"),
        (
            "somebody signs the identity",
            |k| k.qe_identity.other_signer = true,
            "collateral-signature",
        ),
        ("somebody signs the root's list", |k| k.root_crl.other_signer = true, "crl-signature"),
        ("somebody signs the PCK list", |k| k.pck_crl.other_signer = true, "crl-signature"),
        ("a list of another authority", |k| k.pck_crl.other_issuer = true, "crl-missing"),
        ("no list of the root", |k| k.root_crl.other_issuer = true, "crl-missing"),
        ("a list without end", |k| k.root_crl.endless = true, "crl-malformed"),
        ("an unknown extension of a list", |k| k.pck_crl.unknown_extension = true, "crl-malformed"),
        ("the PCK is revoked", |k| k.pck_crl.revoked = vec![vec![5], vec![0x21]], "revoked"),
        ("the authority is revoked", |k| k.root_crl.revoked = vec![vec![0x13]], "revoked"),
        ("the signer is revoked", |k| k.root_crl.revoked = vec![vec![0x12]], "revoked"),
    ];
    for tee in [Tee::Sgx, Tee::Tdx] {
        for (what, edit, check) in rows {
            refused(what, tee, edit, "", check);
        }
        refused(
            "the root is revoked",
            tee,
            |k| k.root_crl.revoked = vec![vec![0x11]],
            "",
            "revoked",
        );
        // Serial numbers of others, on either list, mean nothing.
        let others = |k: &mut Knobs| {
            k.root_crl.revoked = vec![vec![0x21]];
            k.pck_crl.revoked = vec![vec![0x12], vec![0x13]];
        };
        taken("others are revoked", tee, others, "", &[]);
        taken("one processor", tee, |k| k.pck.authority = "Processor".into(), "", &[]);
    }
}

#[test]
fn what_is_missing() {
    type Drop = fn(&mut Collateral);
    let rows: [(&str, Drop, &str); 12] = [
        ("no root list", |c| drop(c.crls.remove(0)), "crl-missing"),
        ("no PCK list", |c| drop(c.crls.remove(1)), "crl-missing"),
        ("no lists", |c| c.crls.clear(), "crl-missing"),
        ("no TCB info", |c| c.tcb_info = None, "collateral-missing"),
        ("no chain", |c| c.tcb_info_chain = None, "collateral-missing"),
        ("no QE identity", |c| c.qe_identity = None, "qe-identity-missing"),
        ("a list that is none", |c| c.crls.push(vec![0x30, 0]), "crl-malformed"),
        ("an empty chain", |c| c.tcb_info_chain = Some(String::new()), "intel-chain"),
        (
            "an empty chain of the QE's",
            |c| c.qe_identity_chain = Some(String::new()),
            "intel-chain",
        ),
        (
            "a longer chain",
            |c| c.tcb_info_chain = c.tcb_info_chain.as_ref().map(|chain| chain.repeat(2)),
            "intel-chain",
        ),
        (
            "documents swapped",
            |c| std::mem::swap(&mut c.tcb_info, &mut c.qe_identity),
            "collateral-malformed",
        ),
        ("no JSON", |c| c.tcb_info = Some("{".into()), "collateral-malformed"),
    ];
    for (what, edit, check) in rows {
        let (quote, mut collateral) = parts(Tee::Tdx, |_| ());
        edit(&mut collateral);
        is_refused(what, judge_parts(Kind::Tdx, &quote, &collateral, "", NOW), check);
    }
    // Lists of others, and older ones of the same authority, are passed over.
    let (quote, mut collateral) = parts(Tee::Sgx, |_| ());
    let spec = |edit: fn(&mut CrlSpec)| parts(Tee::Sgx, |k| edit(&mut k.pck_crl)).1.crls.remove(1);
    let older = |crl: &mut CrlSpec| {
        crl.validity = (NOW.minus(9 * DAY), NOW.minus(8 * DAY));
        crl.revoked = vec![vec![0x21]];
    };
    collateral.crls.push(spec(|crl| crl.other_issuer = true));
    collateral.crls.push(spec(older));
    assert!(judge_parts(Kind::Sgx, &quote, &collateral, "", NOW).is_ok());
    // The chain of the QE identity's signer, given twice.
    collateral.qe_identity_chain.clone_from(&collateral.tcb_info_chain);
    assert!(judge_parts(Kind::Sgx, &quote, &collateral, "", NOW).is_ok());
    let refusal = verify(
        &Evidence { kind: Kind::Sgx, statement: quote, claims: None, endorsements: vec![0xa1] },
        &Context {
            policy: &policy(""),
            anchors: &ANCHORS,
            nonces: None,
            build: "test",
            now: NOW,
            verifier: &Both,
        },
    );
    is_refused("no collateral", refusal, "evidence-malformed");
}

#[test]
fn windows() {
    // Where each piece's first and last second stand, and whether the last one still counts.
    type Window = fn(&mut Knobs) -> &mut (Timestamp, Timestamp);
    let rows: [(&str, Window, bool, &str); 7] = [
        ("PCK certificate", |k| &mut k.pck.validity, true, "certificate-expired"),
        ("its authority", |k| &mut k.pck.authority_validity, true, "certificate-expired"),
        ("signer of documents", |k| &mut k.signer_validity, true, "certificate-expired"),
        ("TCB info", |k| &mut k.tcb_info.validity, true, "collateral-expired"),
        ("QE identity", |k| &mut k.qe_identity.validity, true, "collateral-expired"),
        ("the root's list", |k| &mut k.root_crl.validity, false, "crl-expired"),
        ("the PCK list", |k| &mut k.pck_crl.validity, false, "crl-expired"),
    ];
    for tee in [Tee::Sgx, Tee::Tdx] {
        for (what, window, last_counts, check) in rows {
            let (from, until) = (NOW.minus(100), NOW.plus(100));
            let at = |now: Timestamp| judge_at(tee, |k| *window(k) = (from, until), "", now);
            is_refused(what, at(from.minus(1)), check);
            for inside in [from, from.plus(1), until.minus(1)] {
                assert!(at(inside).is_ok(), "{what} at {inside}");
            }
            match (at(until), last_counts) {
                (Ok(_), true) => {}
                (outcome, false) => drop(is_refused(what, outcome, check)),
                (Err(refusal), true) => panic!("{what}: {refusal}"),
            }
            is_refused(what, at(until.plus(1)), check);
        }
    }
}

fn replace(edits: &mut Vec<(String, String)>, from: &str, to: &str) {
    edits.push((from.to_owned(), to.to_owned()));
}

#[test]
fn documents_of_others() {
    let rows: [(&str, Tee, Edit, &str); 19] = [
        ("another platform's", Tee::Sgx, |k| k.tcb_info.fmspc = "00606A000001".into(), "tcb-info"),
        ("another platform", Tee::Tdx, |k| k.pck.fmspc[5] = 1, "tcb-info"),
        ("another PCE's", Tee::Sgx, |k| k.tcb_info.pce_id = "0001".into(), "tcb-info"),
        ("another PCE", Tee::Tdx, |k| k.pck.pce_id = [1, 0], "tcb-info"),
        ("SGX for TDX", Tee::Tdx, |k| k.tcb_info.id = "SGX".into(), "tcb-info"),
        ("TDX for SGX", Tee::Sgx, |k| k.tcb_info.id = "TDX".into(), "tcb-info"),
        (
            "another type",
            Tee::Sgx,
            |k| replace(&mut k.tcb_info.edits, "\"tcbType\":0", "\"tcbType\":1"),
            "tcb-info",
        ),
        ("identity of the TD QE", Tee::Sgx, |k| k.qe_identity.id = "TD_QE".into(), "qe-identity"),
        ("identity of the QE", Tee::Tdx, |k| k.qe_identity.id = "QE".into(), "qe-identity"),
        ("identity of the QVE", Tee::Sgx, |k| k.qe_identity.id = "QVE".into(), "qe-identity"),
        ("identity of the QAE", Tee::Sgx, |k| k.qe_identity.id = "QAE".into(), "qe-identity"),
        ("another signer's QE", Tee::Sgx, |k| k.quote.qe.signer[0] ^= 1, "qe-identity"),
        ("another product", Tee::Tdx, |k| k.quote.qe.product_id = 1, "qe-identity"),
        ("a QE in debug mode", Tee::Sgx, |k| k.quote.qe.attributes.0 |= 2, "qe-identity"),
        ("a QE without its key", Tee::Sgx, |k| k.quote.qe.attributes.0 &= !0x10, "qe-identity"),
        ("a QE with MISCSELECT", Tee::Sgx, |k| k.quote.qe.misc_select = 1, "qe-identity"),
        ("a QE too old to be known", Tee::Sgx, |k| k.quote.qe.svn = 1, "qe-identity"),
        ("another version of TCB info", Tee::Sgx, |k| k.tcb_info.version = 1, "tcb-info"),
        (
            "another version of identities",
            Tee::Sgx,
            |k| replace(&mut k.qe_identity.edits, "\"version\":2", "\"version\":1"),
            "qe-identity",
        ),
    ];
    for (what, tee, edit, check) in rows {
        refused(what, tee, edit, "", check);
    }
    taken("in lower case", Tee::Sgx, |k| k.tcb_info.fmspc = "00606a000000".into(), "", &[]);
}

#[test]
fn the_form_of_documents() {
    let components = |count: usize| vec!["{\"svn\":9}"; count].join(",");
    let sixteen = format!("\"sgxtcbcomponents\":[{}]", components(16));
    let fifteen = format!("\"sgxtcbcomponents\":[{}]", components(15));
    let tcb: [(&str, &str, &str); 9] = [
        ("fifteen components", &sixteen, &fifteen),
        ("a large version", "\"svn\":9", "\"svn\":256"),
        ("a negative version", "\"svn\":9", "\"svn\":-1"),
        ("an unknown status", "\"UpToDate\"", "\"Splendid\""),
        ("a status of relaunches", "\"UpToDate\"", "\"TDRelaunchAdvised\""),
        ("a member twice", "\"tcbType\":0", "\"tcbType\":0,\"tcbType\":0"),
        ("no FMSPC", "\"fmspc\":", "\"fmspx\":"),
        ("no levels", "\"tcbLevels\":", "\"tcbLevelz\":"),
        ("a date of no form", "Z\",\"nextUpdate\"", "\",\"nextUpdate\""),
    ];
    for (what, from, to) in tcb {
        let edit = |k: &mut Knobs| replace(&mut k.tcb_info.edits, from, to);
        refused(what, Tee::Sgx, edit, "", "collateral-malformed");
    }
    let identity = [
        ("a member twice", "\"isvprodid\":1", "\"isvprodid\":1,\"isvprodid\":1"),
        ("no signer", "\"mrsigner\"", "\"mrsigner2\""),
        ("a short mask", "FBFFFFFFFFFFFFFF0000000000000000", "FBFF"),
        ("an unknown status", "\"UpToDate\"", "\"SWHardeningNeeded\""),
    ];
    for (what, from, to) in identity {
        let edit = |k: &mut Knobs| replace(&mut k.qe_identity.edits, from, to);
        let refusal = judge(Tee::Sgx, edit, "").unwrap_err();
        assert!(
            ["collateral-malformed", "qe-identity"].contains(&refusal.check),
            "{what}: {refusal}"
        );
    }
    // Other members, and another order of them, are all the same.
    let more =
        |k: &mut Knobs| replace(&mut k.tcb_info.edits, "\"tcbType\":0", "\"a\":[{}],\"tcbType\":0");
    taken("an unknown member", Tee::Sgx, more, "", &[]);
    let order = |k: &mut Knobs| {
        replace(&mut k.tcb_info.edits, "\"version\":3,", "");
        replace(&mut k.tcb_info.edits, "\"tcbType\":0", "\"version\":3,\"tcbType\":0");
    };
    taken("another order", Tee::Sgx, order, "", &[]);
    // Something beside the document, or a signature of no form.
    let (quote, good) = parts(Tee::Sgx, |_| ());
    for (from, to) in [
        (",\"signature\"", ",\"more\":1,\"signature\""),
        ("\"signature\":\"", "\"signature\":\"00"),
        ("\"signature\":\"", "\"signature\":\"x"),
    ] {
        let mut collateral = good.clone();
        collateral.tcb_info = good.tcb_info.as_ref().map(|body| body.replace(from, to));
        let outcome = judge_parts(Kind::Sgx, &quote, &collateral, "", NOW);
        is_refused(to, outcome, "collateral-malformed");
    }
}

fn accept(tee: Tee, status: &str, advisories: &str, until: &str) -> String {
    let tee = kind(tee).name();
    format!(
        "[[{tee}.accept]]\nstatus = \"{status}\"\nadvisories = [{advisories}]\nuntil = {until}\n"
    )
}

#[test]
fn each_status_is_accepted_by_name_and_for_a_time() {
    // 2027-01-15T08:00:00Z.
    assert_eq!(NOW.to_string(), "2027-01-15T08:00:00Z");
    let last_second = Timestamp(NOW.0 - NOW.0 % DAY + DAY - 1);
    for status in TcbStatus::ALL {
        let name = status.name();
        let relaunch = name.starts_with("TDRelaunch");
        let tees = if relaunch { &[Tee::Tdx][..] } else { &[Tee::Sgx, Tee::Tdx] };
        for tee in tees {
            let edit = |k: &mut Knobs| {
                if relaunch {
                    // Launched under a module that is out of date by now, running under one that is not.
                    k.quote.version = 5;
                    k.quote.tdx.tee_tcb_svn = [5; 16];
                    k.quote.tdx.tee_tcb_svn[1] = 1;
                    let last = k.tcb_info.levels.len() - 1;
                    k.tcb_info.levels[last].status = "OutOfDate".into();
                    for level in &mut k.tcb_info.levels {
                        level.advisories.clear();
                        level.sgx = vec![1; 16];
                        level.pce_svn = 1;
                    }
                    if name.ends_with("ConfigurationNeeded") {
                        k.tcb_info.levels[0].status = "ConfigurationNeeded".into();
                    }
                } else {
                    k.tcb_info.levels[0].status = name.into();
                }
            };
            let relaxation = format!("tcb-status {name} until 2027-01-15");
            if status == TcbStatus::UpToDate {
                taken(name, *tee, edit, "", &[]);
                continue;
            }
            refused(name, *tee, edit, "", "tcb-status");
            let accepting = accept(*tee, name, "", "2027-01-15");
            let verified = taken(name, *tee, edit, &accepting, &[&relaxation]);
            let (TeeFacts::Sgx(_) | TeeFacts::Tdx(_)) = verified.facts.tee else { panic!() };
            assert!(judge_at(*tee, edit, &accepting, last_second).is_ok());
            let refusal = is_refused(
                name,
                judge_at(*tee, edit, &accepting, last_second.plus(1)),
                "tcb-status",
            );
            assert!(refusal.detail.contains("until 2027-01-15"), "{refusal}");
            // Any other status that is accepted does not help.
            let others: String = TcbStatus::ALL
                .into_iter()
                .filter(|other| *other != status && *other != TcbStatus::UpToDate)
                .map(|other| accept(*tee, other.name(), "", "2027-12-31"))
                .collect();
            refused(name, *tee, edit, &others, "tcb-status");
        }
    }
}

#[test]
fn what_is_revoked_is_never_accepted() {
    let all = |tee| -> String {
        let others = TcbStatus::ALL.into_iter().filter(|status| *status != TcbStatus::UpToDate);
        others.map(|status| accept(tee, status.name(), "", "2027-12-31")).collect()
    };
    let rows: [(&str, Tee, Edit); 5] = [
        ("the platform", Tee::Sgx, |k| k.tcb_info.levels[0].status = "Revoked".into()),
        ("the platform", Tee::Tdx, |k| k.tcb_info.levels[0].status = "Revoked".into()),
        ("the quoting enclave", Tee::Sgx, |k| k.qe_identity.status = "Revoked".into()),
        ("the module", Tee::Tdx, |k| k.tcb_info.module_status = "Revoked".into()),
        ("what runs now", Tee::Tdx, |k| {
            k.quote.version = 5;
            k.quote.tdx.tee_tcb_svn2 = [5; 16];
            k.quote.tdx.tee_tcb_svn2[1] = 1;
            for level in &mut k.tcb_info.levels {
                level.sgx = vec![1; 16];
                level.pce_svn = 1;
            }
            k.tcb_info.levels[2].status = "Revoked".into();
        }),
    ];
    for (what, tee, edit) in rows {
        let refusal = is_refused(what, judge(tee, edit, &all(tee)), "tcb-status");
        assert!(refusal.detail.contains("Revoked") && refusal.seen.is_some(), "{refusal}");
    }
    let error = Policy::parse(&accept(Tee::Sgx, "Revoked", "", "2027-12-31"));
    assert!(error.unwrap_err().to_string().contains("never accepted"));
}

#[test]
fn advisories_are_accepted_by_name() {
    let hardening = |k: &mut Knobs| {
        // The second level: SWHardeningNeeded, INTEL-SA-00615.
        k.pck.components = [7; 16];
    };
    let tee = Tee::Sgx;
    let both = judge(tee, hardening, "").unwrap_err();
    assert_eq!((both.check, both.others[0].check), ("tcb-status", "advisory"));
    let status = accept(tee, "SWHardeningNeeded", "", "2027-12-31");
    refused("no advisory", tee, hardening, &status, "advisory");
    let other = accept(tee, "SWHardeningNeeded", "\"INTEL-SA-00586\"", "2027-12-31");
    refused("another advisory", tee, hardening, &other, "advisory");
    let elsewhere = accept(tee, "OutOfDate", "\"INTEL-SA-00615\"", "2027-12-31");
    refused("with another status", tee, hardening, &format!("{status}{elsewhere}"), "advisory");
    let expired = accept(tee, "SWHardeningNeeded", "\"INTEL-SA-00615\"", "2027-01-14");
    refused("not any more", tee, hardening, &format!("{status}{expired}"), "advisory");
    let named = accept(tee, "SWHardeningNeeded", "\"INTEL-SA-00615\"", "2027-06-30");
    let relaxed = [
        "advisory INTEL-SA-00615 until 2027-06-30",
        "tcb-status SWHardeningNeeded until 2027-06-30",
    ];
    let verified = taken("named", tee, hardening, &named, &relaxed);
    let TeeFacts::Sgx(facts) = verified.facts.tee else { panic!() };
    assert_eq!(facts.dcap.status, "SWHardeningNeeded");
    assert_eq!(facts.dcap.advisories, ["INTEL-SA-00615"]);
    // The later date counts.
    let relaxed = [
        "advisory INTEL-SA-00615 until 2027-06-30",
        "tcb-status SWHardeningNeeded until 2027-12-31",
    ];
    taken("named twice", tee, hardening, &format!("{named}{status}"), &relaxed);
    // The original's key accepts the advisory, and no longer the status with it.
    let legacy = "[sgx]\nallowed_advisories = [\"INTEL-SA-00615\"]\n";
    refused("the original's key", tee, hardening, legacy, "tcb-status");
    let relaxed = ["advisory INTEL-SA-00615", "tcb-status SWHardeningNeeded until 2027-12-31"];
    taken("the original's key", tee, hardening, &format!("{legacy}{status}"), &relaxed);
    // Advisories of platforms that are up to date, and of the quoting enclave.
    let up_to_date =
        |k: &mut Knobs| k.tcb_info.levels[0].advisories = vec!["INTEL-SA-09999".into()];
    refused("up to date", tee, up_to_date, "", "advisory");
    let named = accept(tee, "UpToDate", "\"INTEL-SA-09999\"", "2027-06-30");
    taken("up to date", tee, up_to_date, &named, &["advisory INTEL-SA-09999 until 2027-06-30"]);
    let old_qe = |k: &mut Knobs| k.quote.qe.svn = 2;
    let refusal = judge(tee, old_qe, "").unwrap_err();
    assert_eq!((refusal.check, refusal.others[0].check), ("tcb-status", "advisory"));
    assert!(refusal.others[0].detail.contains("INTEL-SA-00477"));
}

#[test]
fn what_platforms_have_to_be() {
    let [fmspc, ppid] = ["00606a000000".to_owned(), hex::encode([0x9d; 16])];
    let (other_fmspc, other_ppid) = ("00606a000001", "00".repeat(16));
    for tee in [Tee::Sgx, Tee::Tdx] {
        let name = kind(tee).name();
        let policy = |line: String| format!("[{name}]\n{line}\n");
        for (line, passes) in [
            (format!("fmspc = [\"{fmspc}\"]"), true),
            (format!("fmspc = [\"{other_fmspc}\"]"), false),
            (format!("fmspc_blacklist = [\"{fmspc}\"]"), false),
            (format!("fmspc_blacklist = [\"{other_fmspc}\"]"), true),
            (format!("ppid = [\"{other_ppid}\", \"{ppid}\"]"), true),
            (format!("ppid = [\"{other_ppid}\"]"), false),
            (format!("ppid_blacklist = [\"{ppid}\"]"), false),
            (format!("ppid_blacklist = [\"{other_ppid}\"]"), true),
        ] {
            match passes {
                true => drop(taken(&line, tee, |_| (), &policy(line.clone()), &[])),
                false => refused(&line, tee, |_| (), &policy(line.clone()), "platform"),
            }
        }
        for (index, requirement) in
            ["static-platform", "no-cached-keys", "no-smt"].into_iter().enumerate()
        {
            let required = policy(format!("require = [\"{requirement}\"]"));
            let flags = |value: bool| {
                move |k: &mut Knobs| {
                    let mut flags = [!value; 3];
                    flags[index] = value;
                    k.pck.flags = Some(flags);
                }
            };
            taken(requirement, tee, flags(false), &required, &[]);
            refused(requirement, tee, flags(true), &required, "require");
            refused(requirement, tee, |k| k.pck.flags = None, &required, "require");
            taken(requirement, tee, flags(true), "", &[]);
        }
        let least = |number| policy(format!("minimum_evaluation_number = {number}"));
        taken("18 of 18", tee, |_| (), &least(18), &[]);
        refused("18 of 19", tee, |_| (), &least(19), "evaluation-number");
        refused(
            "TCB info",
            tee,
            |k| k.tcb_info.evaluation_number = 17,
            &least(18),
            "evaluation-number",
        );
        refused(
            "identity",
            tee,
            |k| k.qe_identity.evaluation_number = 17,
            &least(18),
            "evaluation-number",
        );
        let levels: [(&str, Edit); 3] = [
            ("components below all levels", |k| k.pck.components = [2; 16]),
            ("PCE below all levels", |k| k.pck.pce_svn = 4),
            ("no levels", |k| k.tcb_info.levels.clear()),
        ];
        for (what, edit) in levels {
            refused(what, tee, edit, "", "no-tcb-level");
        }
    }
}

#[test]
fn what_an_enclave_says() {
    let other = hex::encode([0; 32]);
    let (measurement, signer) = (hex::encode([0x4d; 32]), hex::encode([0x53; 32]));
    let rows: [(&str, Edit, String, &str); 26] = [
        ("debugging", |k| k.quote.sgx.attributes.0 |= 2, String::new(), "debug"),
        (
            "debugging, not named",
            |k| k.quote.sgx.attributes.0 |= 2,
            "features = [\"KSS\"]".into(),
            "debug",
        ),
        (
            "the provisioning key",
            |k| k.quote.sgx.attributes.0 |= 0x10,
            String::new(),
            "provision-key",
        ),
        ("the launch key", |k| k.quote.sgx.attributes.0 |= 0x20, String::new(), "provision-key"),
        (
            "one key of the two",
            |k| k.quote.sgx.attributes.0 |= 0x20,
            "features = [\"ProvisioningKey\"]".into(),
            "provision-key",
        ),
        ("a reserved attribute", |k| k.quote.sgx.attributes.0 |= 8, String::new(), "attributes"),
        (
            "an unknown attribute",
            |k| k.quote.sgx.attributes.0 |= 1 << 11,
            String::new(),
            "attributes",
        ),
        ("no INIT", |k| k.quote.sgx.attributes.0 &= !1, String::new(), "attributes"),
        (
            "CET, not named",
            |k| k.quote.sgx.attributes.0 |= 0x40,
            "features = [\"KSS\"]".into(),
            "attributes",
        ),
        (
            "KSS, not named",
            |k| k.quote.sgx.attributes.0 |= 0x80,
            "features = []".into(),
            "attributes",
        ),
        ("CPINFO", |k| k.quote.sgx.misc_select = 2, String::new(), "misc-select"),
        (
            "EXINFO, not named",
            |k| k.quote.sgx.misc_select = 1,
            "misc_select = []".into(),
            "misc-select",
        ),
        ("an unknown MISCSELECT", |k| k.quote.sgx.misc_select = 4, String::new(), "misc-select"),
        ("a configuration", |k| k.quote.sgx.config_id[63] = 1, String::new(), "config-id"),
        ("no configuration", |_| (), format!("config_id = [\"{}\"]", "01".repeat(64)), "config-id"),
        ("its version", |k| k.quote.sgx.config_svn = 1, String::new(), "config-id"),
        ("no version", |_| (), "config_svn = [1]".into(), "config-id"),
        (
            "an extended product",
            |k| k.quote.sgx.extended_product_id[0] = 1,
            String::new(),
            "ext-product-id",
        ),
        ("a family", |k| k.quote.sgx.family_id[15] = 1, String::new(), "family-id"),
        ("another product", |_| (), "enclave_product_id = 0".into(), "product-id"),
        ("an old enclave", |_| (), "enclave_security_version = 3".into(), "enclave-svn"),
        ("another measurement", |_| (), format!("hash = [\"{other}\"]"), "measurement"),
        (
            "a refused measurement",
            |_| (),
            format!("hash_blacklist = [\"{measurement}\"]"),
            "measurement",
        ),
        ("another signer", |_| (), format!("signer = [\"{other}\"]"), "signer"),
        ("a refused signer", |_| (), format!("signer_blacklist = [\"{signer}\"]"), "signer"),
        // Offset of the body, of its first reserved byte.
        (
            "reserved bytes",
            |k| k.quote.overwrite.push((48 + 20, 1)),
            String::new(),
            "report-reserved",
        ),
    ];
    for (what, edit, line, check) in rows {
        refused(what, Tee::Sgx, edit, &format!("{SGX}{line}\n"), check);
    }
    for at in [48 + 31, 48 + 96, 48 + 127, 48 + 160, 48 + 191, 48 + 262, 48 + 303] {
        let edit = |k: &mut Knobs| k.quote.overwrite.push((at, 1));
        refused("reserved bytes", Tee::Sgx, edit, "", "report-reserved");
    }
    let fine: [(&str, Edit, String, &[&str]); 12] = [
        ("CET, KSS and AEX notify", |k| k.quote.sgx.attributes.0 |= 0x4c0, String::new(), &[]),
        (
            "debugging",
            |k| k.quote.sgx.attributes.0 |= 2,
            "features = [\"Debug\"]".into(),
            &["debug"],
        ),
        (
            "both keys",
            |k| k.quote.sgx.attributes.0 |= 0x30,
            "features = [\"ProvisioningKey\", \"EInitKey\"]".into(),
            &["einit-key", "provision-key"],
        ),
        ("nothing to relax", |_| (), "features = [\"ProvisioningKey\", \"Debug\"]".into(), &[]),
        ("EXINFO", |k| k.quote.sgx.misc_select = 1, String::new(), &[]),
        ("CPINFO", |k| k.quote.sgx.misc_select = 2, "misc_select = [\"CPINFO\"]".into(), &[]),
        (
            "a configuration",
            |k| (k.quote.sgx.config_id, k.quote.sgx.config_svn) = ([1; 64], 3),
            format!("config_id = [\"{}\"]\nconfig_svn = [2, 3]", "01".repeat(64)),
            &[],
        ),
        (
            "an extended product of a family",
            |k| (k.quote.sgx.extended_product_id, k.quote.sgx.family_id) = ([1; 16], [2; 16]),
            format!(
                "ext_product_id = [\"{}\"]\nfamily_id = [\"{}\"]",
                "01".repeat(16),
                "02".repeat(16)
            ),
            &[],
        ),
        ("the product", |_| (), "enclave_product_id = 1\nenclave_security_version = 2".into(), &[]),
        ("the measurement", |_| (), format!("hash = [\"{measurement}\"]"), &[]),
        ("the signer", |_| (), format!("signer = [\"{other}\", \"{signer}\"]"), &[]),
        (
            "others are refused",
            |_| (),
            format!("hash_blacklist = [\"{other}\"]\nsigner_blacklist = [\"{other}\"]"),
            &[],
        ),
    ];
    for (what, edit, line, relaxations) in fine {
        let verified = taken(what, Tee::Sgx, edit, &format!("{SGX}{line}\n"), relaxations);
        let pins = line.starts_with("hash =") || line.starts_with("signer =");
        assert_eq!(verified.facts.pinned, pins, "{what}");
        assert_eq!(verified.facts.debug, relaxations == ["debug"], "{what}");
    }
}

#[test]
fn what_a_td_says() {
    let (other, listed) = (hex::encode([9; 48]), hex::encode([1; 48]));
    let mrtd = hex::encode([0x7d; 48]);
    let rows: [(&str, Edit, String, &str); 30] = [
        ("debugging", |k| k.quote.tdx.attributes |= 1, String::new(), "debug"),
        ("profiling", |k| k.quote.tdx.attributes |= 1 << 4, String::new(), "debug"),
        ("more profiling", |k| k.quote.tdx.attributes |= 1 << 6, String::new(), "debug"),
        (
            "exceptions for the host",
            |k| k.quote.tdx.attributes = 0,
            String::new(),
            "sept-ve-disable",
        ),
        ("migration", |k| k.quote.tdx.attributes |= 1 << 29, String::new(), "migratable"),
        ("a reserved attribute", |k| k.quote.tdx.attributes |= 1 << 8, String::new(), "attributes"),
        (
            "another reserved one",
            |k| k.quote.tdx.attributes |= 1 << 40,
            String::new(),
            "attributes",
        ),
        ("one of no name", |k| k.quote.tdx.attributes |= 1 << 18, String::new(), "attributes"),
        (
            "a provisioning agent",
            |k| k.quote.tdx.attributes |= 1 << 62,
            String::new(),
            "attributes",
        ),
        (
            "PKS, not named",
            |k| k.quote.tdx.attributes |= 1 << 30,
            "features = []".into(),
            "attributes",
        ),
        (
            "one of its own machines",
            |k| (k.quote.version, k.quote.body, k.quote.tdx.vm) = (5, 4, 1),
            String::new(),
            "attributes",
        ),
        (
            "service TDs, in TDX 1.0",
            |k| k.quote.tdx.attributes |= 1 << 17,
            String::new(),
            "service-td",
        ),
        (
            "service TDs that may be",
            |k| service(k, 3, 1 << 17, [0; 48], [0; 48]),
            String::new(),
            "service-td",
        ),
        ("a service TD", |k| service(k, 3, 0, [1; 48], [0; 48]), String::new(), "service-td"),
        (
            "another service TD",
            |k| service(k, 3, 0, [1; 48], [0; 48]),
            format!("service_td = [\"{other}\"]"),
            "service-td",
        ),
        (
            "another service TD now",
            |k| service(k, 4, 1 << 17, [1; 48], [2; 48]),
            format!("service_td = [\"{listed}\"]"),
            "service-td",
        ),
        (
            "a service TD bound later",
            |k| service(k, 4, 1 << 17, [0; 48], [2; 48]),
            format!("service_td = [\"{listed}\"]"),
            "service-td",
        ),
        ("no SSE", |k| k.quote.tdx.xfam &= !2, String::new(), "xfam"),
        ("unknown features", |k| k.quote.tdx.xfam |= 1 << 40, String::new(), "xfam"),
        ("other features than named", |_| (), "xfam = [\"0300000000000000\"]".into(), "xfam"),
        ("a configuration", |k| k.quote.tdx.config_id[47] = 1, String::new(), "config-id"),
        ("no configuration", |_| (), format!("config_id = [\"{listed}\"]"), "config-id"),
        ("an owner", |k| k.quote.tdx.owner[0] = 1, String::new(), "owner"),
        ("an owner's configuration", |k| k.quote.tdx.owner_config[0] = 1, String::new(), "owner"),
        ("another measurement", |_| (), format!("hash = [\"{other}\"]"), "measurement"),
        ("a refused measurement", |_| (), format!("hash_blacklist = [\"{mrtd}\"]"), "measurement"),
        ("another RTMR 0", |_| (), format!("rtmr0 = [\"{other}\"]"), "rtmr"),
        ("another RTMR 3", |_| (), format!("rtmr3 = [\"{other}\"]"), "rtmr"),
        ("another module", |_| (), format!("mrseam = [\"{other}\"]"), "tdx-module"),
        ("another module's maker", |k| k.quote.tdx.seam_signer[0] = 1, String::new(), "tdx-module"),
    ];
    for (what, edit, line, check) in rows {
        refused(what, Tee::Tdx, edit, &format!("{TDX}{line}\n"), check);
    }
    let module: [(&str, Edit, &str); 5] = [
        ("a module with attributes", |k| k.quote.tdx.seam_attributes = 1, "tdx-module"),
        ("a module of no known line", |k| k.quote.tdx.tee_tcb_svn[1] = 2, "tdx-module"),
        ("a module below all levels", |k| k.quote.tdx.tee_tcb_svn[0] = 2, "no-tcb-level"),
        ("a loader below all levels", |k| k.quote.tdx.tee_tcb_svn[2] = 2, "no-tcb-level"),
        (
            "a module that is out of date",
            |k| k.tcb_info.module_status = "OutOfDate".into(),
            "tcb-status",
        ),
    ];
    for (what, edit, check) in module {
        refused(what, Tee::Tdx, edit, "", check);
    }
    let fine: [(&str, Edit, String, &[&str]); 9] = [
        ("debugging", |k| k.quote.tdx.attributes |= 1, "allow = [\"debug\"]".into(), &["debug"]),
        ("profiling", |k| k.quote.tdx.attributes |= 0x70, "allow = [\"debug\"]".into(), &["debug"]),
        ("nothing to relax", |_| (), "allow = [\"debug\"]".into(), &[]),
        (
            "benign attributes",
            |k| k.quote.tdx.attributes |= 1 << 16 | 1 << 27 | 1 << 30 | 1 << 31 | 1 << 63,
            String::new(),
            &[],
        ),
        (
            "a provisioning agent",
            |k| k.quote.tdx.attributes |= 1 << 62,
            "features = [\"TPA\"]".into(),
            &[],
        ),
        (
            "a service TD",
            |k| service(k, 3, 0, [1; 48], [0; 48]),
            format!("service_td = [\"{listed}\"]"),
            &[],
        ),
        (
            "a service TD, still",
            |k| service(k, 4, 1 << 17, [1; 48], [1; 48]),
            format!("service_td = [\"{listed}\"]"),
            &[],
        ),
        (
            "configuration and owners",
            |k| {
                (k.quote.tdx.config_id, k.quote.tdx.owner, k.quote.tdx.owner_config) =
                    ([1; 48], [1; 48], [1; 48])
            },
            format!(
                "config_id = [\"{listed}\"]\nowner = [\"{listed}\"]\nowner_config = [\"{listed}\"]"
            ),
            &[],
        ),
        (
            "module and features",
            |_| (),
            format!("mrseam = [\"{}\"]\nxfam = [\"e702060000000000\"]", hex::encode([0x5e; 48])),
            &[],
        ),
    ];
    for (what, edit, line, relaxations) in fine {
        let verified = taken(what, Tee::Tdx, edit, &format!("{TDX}{line}\n"), relaxations);
        assert_eq!(verified.facts.debug, relaxations == ["debug"], "{what}");
        assert!(!verified.facts.pinned);
    }
}

fn service(knobs: &mut Knobs, body: u16, attributes: u64, first: [u8; 48], now: [u8; 48]) {
    (knobs.quote.version, knobs.quote.body) = (5, body);
    knobs.quote.tdx.attributes |= attributes;
    (knobs.quote.tdx.service_td, knobs.quote.tdx.current_service_td) = (first, now);
}

/// MRTD alone covers the firmware only: what that boots is in the registers.
#[test]
fn a_td_is_pinned_by_all_that_was_measured() {
    let hash = format!("[tdx]\nhash = [\"{}\"]\n", hex::encode([0x7d; 48]));
    let register = |index: u8| format!("rtmr{index} = [\"{}\"]\n", hex::encode([0x10 + index; 48]));
    let pinned = |edit: Edit, text: &str| taken("pins", Tee::Tdx, edit, text, &[]).facts.pinned;
    let all: String = (0..4).map(register).collect();
    assert!(pinned(|_| (), &format!("{hash}{all}")));
    assert!(!pinned(|_| (), &format!("[tdx]\n{all}")));
    assert!(!pinned(|_| (), &hash));
    for left_out in 0..4 {
        let some: String = (0..4).filter(|index| *index != left_out).map(register).collect();
        assert!(!pinned(|_| (), &format!("{hash}{some}")), "{left_out}");
    }
    // Nothing was measured into the last two.
    let empty: Edit = |k| (k.quote.tdx.rtmrs[2], k.quote.tdx.rtmrs[3]) = ([0; 48], [0; 48]);
    assert!(pinned(empty, &format!("{hash}{}{}", register(0), register(1))));
    assert!(pinned(|k| k.quote.tdx.rtmrs = [[0; 48]; 4], &hash));
}

#[test]
fn all_that_is_wrong_is_told() {
    let wrong = |k: &mut Knobs| {
        k.quote.sgx.attributes.0 |= 2;
        k.quote.sgx.config_svn = 1;
        k.tcb_info.levels[0].status = "OutOfDate".into();
    };
    let refusal = judge(Tee::Sgx, wrong, "[sgx]\nrequire = [\"no-smt\"]\nenclave_product_id = 9\n");
    let refusal = refusal.unwrap_err();
    let others: Vec<_> = refusal.others.iter().map(|other| other.check).collect();
    assert_eq!(
        (refusal.check, &others[..]),
        ("debug", &["config-id", "product-id", "tcb-status"][..])
    );
    let seen = refusal.seen.unwrap();
    assert_eq!((seen.kind, seen.simulated), (Kind::Sgx, true));
    // What Intel's rules refuse is told once, with the rest.
    let wrong = |k: &mut Knobs| {
        k.quote.tdx.attributes = 1;
        k.quote.tdx.xfam = 0;
    };
    let refusal = judge(Tee::Tdx, wrong, "").unwrap_err();
    let others: Vec<_> = refusal.others.iter().map(|other| other.check).collect();
    assert_eq!((refusal.check, &others[..]), ("debug", &["sept-ve-disable", "xfam"][..]));
}

#[test]
fn requests_bind_all_64_bytes() {
    let anchors = &*ANCHORS;
    let policy = policy(&format!("[sgx]\nsigner = [\"{}\"]\n", hex::encode([0x53; 32])));
    let (policy, build) = (&policy, "test");
    let context = Context { policy, anchors, nonces: None, build, now: NOW, verifier: &Both };
    for (key, tee) in [(Key::new(), Tee::Sgx), (Key::p256(), Tee::Sgx), (Key::new(), Tee::Tdx)] {
        let claims = key.claims(None);
        let request = |data: [u8; 64]| {
            let (quote, collateral) = parts(tee, |k| k.quote.report_data = data);
            let value =
                encode_evidence(kind(tee), &quote, &claims.to_bytes(), &collateral.to_bytes());
            key.sign(&csr::build(&key.spki, &value))
        };
        let decision = appraise(&request(claims.report_data()), &context).unwrap();
        assert_eq!(decision.spki_der, key.spki);
        assert_eq!(decision.result.facts.pinned, tee == Tee::Sgx);
        for at in [0, 31, 32, 63] {
            let mut other = claims.report_data();
            other[at] ^= 1;
            let refusal = appraise(&request(other), &context).unwrap_err();
            assert_eq!(refusal.check, "key-binding", "byte {at}");
        }
    }
}

#[test]
fn no_bit_of_a_quote_can_be_flipped() {
    for (tee, step) in [(Tee::Sgx, 1), (Tee::Tdx, 3)] {
        let (quote, good) = parts(tee, |_| ());
        // What verified once is remembered, as Steward does: only what is flipped is looked at again.
        let (verifier, policy) = (Cached::new(AwsLc, 64), policy(""));
        let passes = |quote: &[u8], collateral: &Collateral| {
            judge_by(&verifier, kind(tee), quote, collateral, &policy, NOW).is_ok()
        };
        assert!(passes(&quote, &good));
        let text = quote.windows(10).position(|window| window == b"-----BEGIN").unwrap();
        for at in (0..quote.len()).step_by(step) {
            let mut flipped = quote.clone();
            // In text, the lowest bit always makes another letter of another meaning.
            flipped[at] ^= if at < text { 1 << (at % 8) } else { 1 };
            assert!(!passes(&flipped, &good), "byte {at} of the quote");
        }
        for index in 0..good.crls.len() {
            for at in 0..good.crls[index].len() {
                let mut flipped = good.clone();
                flipped.crls[index][at] ^= 1 << (at % 8);
                assert!(!passes(&quote, &flipped), "byte {at} of list {index}");
            }
        }
        type Text = fn(&mut Collateral) -> &mut Option<String>;
        let texts: [Text; 3] =
            [|c| &mut c.tcb_info, |c| &mut c.qe_identity, |c| &mut c.tcb_info_chain];
        for (index, text) in texts.into_iter().enumerate() {
            let whole = text(&mut good.clone()).clone().unwrap().into_bytes();
            for at in (0..whole.len()).step_by(step) {
                let (mut flipped, mut bytes) = (good.clone(), whole.clone());
                bytes[at] ^= 1;
                *text(&mut flipped) = Some(String::from_utf8(bytes).unwrap());
                assert!(!passes(&quote, &flipped), "byte {at} of text {index}");
            }
        }
    }
}
