// SPDX-License-Identifier: Apache-2.0

//! Collateral: roots, certificates, lists and documents, and when they count.

use enarx_evidence::intel::Collateral;
use enarx_evidence::{Anchors, Context, Evidence, Kind, verify};
use testkit::silicon::intel::{CrlSpec, Knobs, SimulatedIntel, Tee};
use types::time::Timestamp;

use super::{
    ANCHORS, Edit, INTEL, is_refused, judge, judge_at, judge_parts, parts, refused, taken,
};
use crate::crypto::Both;
use crate::world::{DAY, NOW, policy};

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
    // Wherever they stand; of two of the same time, the first one counts.
    collateral.crls.reverse();
    assert!(judge_parts(Kind::Sgx, &quote, &collateral, "", NOW).is_ok());
    collateral.crls.push(spec(|crl| crl.other_signer = true));
    assert!(judge_parts(Kind::Sgx, &quote, &collateral, "", NOW).is_ok());
    collateral.crls.rotate_right(1);
    let forged = judge_parts(Kind::Sgx, &quote, &collateral, "", NOW);
    is_refused("a forged list comes first", forged, "crl-signature");
    collateral.crls.remove(0);
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
