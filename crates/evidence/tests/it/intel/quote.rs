// SPDX-License-Identifier: Apache-2.0

//! Quotes: their form, who signed them, and that no bit of them can be changed.

use enarx_evidence::crypto::{AwsLc, Cached};
use enarx_evidence::intel::Collateral;
use enarx_evidence::result::TeeFacts;
use enarx_evidence::{Context, Kind, appraise, csr, encode_evidence};
use testkit::silicon::intel::{Knobs, Tee};

use types::limits::QUOTE_BYTES_MAX;

use super::{
    ANCHORS, Edit, INTEL, is_refused, judge, judge_by, judge_parts, kind, parts, refused, taken,
};
use crate::crypto::Both;
use crate::world::{Key, NOW, policy};

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
    let newer = judge(Tee::Sgx, |k| k.quote.version = 4, "").unwrap_err();
    assert!(newer.detail.contains("only of version 3"), "{newer}");
    for tee in [Tee::Sgx, Tee::Tdx] {
        taken("padded", tee, |k| k.quote.trailing = vec![0; 3066], "", &[]);
        let (mut largest, collateral) = parts(tee, |_| ());
        largest.resize(QUOTE_BYTES_MAX, 0);
        assert!(judge_parts(kind(tee), &largest, &collateral, "", NOW).is_ok());
        largest.push(0);
        let larger = judge_parts(kind(tee), &largest, &collateral, "", NOW);
        is_refused("larger than any", larger, "quote-malformed");
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
    let other = judge(Tee::Sgx, |k| k.signer_name = "Intel SGX PCK Platform CA".into(), "");
    let other = other.unwrap_err();
    assert!(other.detail.contains("the signer of the TCB info"), "{other}");
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
