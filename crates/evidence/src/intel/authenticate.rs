// SPDX-License-Identifier: Apache-2.0

//! Who signed what: quote, quoting enclave, platform, revocation lists, documents. Every piece of evidence is looked at,
//! whether `dcap-qvl` will or not.

use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::intel::{PckExtension, parse_pck_extension_with};
use sha2::{Digest as _, Sha256};
use types::time::Timestamp;

use super::chain::{self, Chain, Link, List, PCK_NAMES, SIGNER_NAMES};
use super::collateral::Collateral;
use super::documents::{self, Document};
use super::proof::{Parts, Proofs};
use super::quote::Quote;
use super::roots::Root;
use crate::appraisal::Context;
use crate::check::{Check, Refusal, ensure};
use crate::container::Kind;

/// A quote that a platform of Intel's made, with collateral that Intel made.
pub(super) struct Authentic<'a> {
    /// The signatures.
    pub(super) proofs: Proofs<'a>,
    /// What has been looked at, and nothing else.
    pub(super) collateral: QuoteCollateralV3,
    /// The root's certificate, DER.
    pub(super) root: Vec<u8>,
    pub(super) simulated: bool,
    /// What the PCK certificate says about the platform.
    pub(super) platform: PckExtension,
}

/// What is there, of what has to be.
struct Pieces<'a> {
    tcb_info: &'a str,
    tcb_info_chain: &'a str,
    qe_identity: &'a str,
    /// `None`: the same as that of the TCB info.
    qe_identity_chain: Option<&'a str>,
}

/// Checks all signatures, chains, revocation and dates.
///
/// # Errors
/// The first check that fails.
pub(super) fn authenticate<'a>(
    quote: &Quote<'_>,
    collateral: &Collateral,
    context: &Context<'a>,
) -> Result<Authentic<'a>, Refusal> {
    let Context { now, verifier, .. } = *context;
    let anchors = &context.anchors.intel;
    let mut proofs = Proofs::new(verifier);
    let attestation_key = [&[4], quote.attestation_key].concat();
    ensure(
        proofs.statement(&attestation_key, quote.signed, quote.signature),
        Check::QuoteSignature,
        || "the quote is not signed by the attestation key in it".into(),
    )?;
    let what = "the platform (PCK)";
    let pck_chain = Chain::<3>::from_pem(pck_pem(quote, collateral)?, what)?;
    let links = pck_chain.links(what, &PCK_NAMES, anchors)?;
    chain::prove(what, &links, now, &mut proofs)?;
    let [pck, authority, root] = &links;
    quoting_enclave(quote, pck, &mut proofs)?;

    let pieces = pieces(collateral)?;
    let lists = chain::lists(&collateral.crls)?;
    let root_list = chain::list(&lists, root, now, &mut proofs)?;
    let pck_list = chain::list(&lists, authority, now, &mut proofs)?;
    root_list.clears(root)?;
    root_list.clears(authority)?;
    pck_list.clears(pck)?;

    let mut signers = Signers { anchors, root, list: root_list, now, proofs: &mut proofs };
    let what = "the TCB info";
    let (tcb_info, tcb) = Document::tcb_info(pieces.tcb_info)?;
    let tcb_chain = Chain::from_pem(pieces.tcb_info_chain, &signer_of(what))?;
    let tcb_signer = signers.believed(what, &tcb_chain)?;
    signers.signed(what, &tcb_signer, &tcb_info)?;
    documents::current("TCB info", tcb.issue_date, tcb.next_update, now)?;
    let (qe_identity, qe) = Document::qe_identity(pieces.qe_identity)?;
    let what = "the QE identity";
    // Mostly one and the same, which has been looked at just now.
    let own = pieces.qe_identity_chain.filter(|chain| *chain != pieces.tcb_info_chain);
    let own = own.map(|chain| Chain::from_pem(chain, &signer_of(what))).transpose()?;
    let qe_signer = own.as_ref().map(|chain| signers.believed(what, chain)).transpose()?;
    signers.signed(what, qe_signer.as_ref().unwrap_or(&tcb_signer), &qe_identity)?;
    documents::current("QE identity", qe.issue_date, qe.next_update, now)?;

    let platform = parse_pck_extension_with::<Parts>(pck.der).map_err(|error| {
        let detail = format!("the PCK certificate has not Intel's extensions: {error:#}");
        Refusal::new(Check::IntelChain, detail)
    })?;
    same_platform(quote.kind(), &tcb, &qe, &platform)?;

    let spki = root.certificate.spki;
    let simulated = !anchors.iter().any(|anchor| !anchor.simulated() && anchor.is(spki));
    let tcb_info_issuer_chain = tcb_chain.to_pem();
    let collateral = QuoteCollateralV3 {
        pck_crl_issuer_chain: String::new(),
        root_ca_crl: root_list.der.to_vec(),
        pck_crl: pck_list.der.to_vec(),
        qe_identity_issuer_chain: own
            .map_or_else(|| tcb_info_issuer_chain.clone(), |chain| chain.to_pem()),
        tcb_info_issuer_chain,
        tcb_info: tcb_info.raw.to_owned(),
        tcb_info_signature: tcb_info.signature.to_vec(),
        qe_identity: qe_identity.raw.to_owned(),
        qe_identity_signature: qe_identity.signature.to_vec(),
        pck_certificate_chain: Some(pck_chain.to_pem()),
    };
    let root = root.der.to_vec();
    Ok(Authentic { proofs, collateral, root, simulated, platform })
}

/// Those in the quote, else those that came with it.
fn pck_pem<'a>(quote: &Quote<'a>, collateral: &'a Collateral) -> Result<&'a str, Refusal> {
    match (quote.pck_chain, &collateral.pck_chain) {
        (Some(bytes), _) => std::str::from_utf8(bytes).map_err(|_| {
            Refusal::new(Check::QuoteMalformed, "the quote's certificates are no PEM")
        }),
        (None, Some(text)) => Ok(text),
        (None, None) => Err(Refusal::new(
            Check::PckMissing,
            "neither the quote nor the collateral has the platform's certificates",
        )),
    }
}

/// Refuses collateral in which something is missing.
fn pieces(collateral: &Collateral) -> Result<Pieces<'_>, Refusal> {
    fn there<'a>(piece: Option<&'a String>, check: Check, what: &str) -> Result<&'a str, Refusal> {
        let missing = || Refusal::new(check, format!("there is no {what} among the collateral"));
        piece.map(String::as_str).ok_or_else(missing)
    }
    let Collateral { tcb_info, tcb_info_chain, qe_identity, qe_identity_chain, .. } = collateral;
    let (check, what) = (Check::CollateralMissing, "chain of the TCB info's signer");
    let tcb_info = there(tcb_info.as_ref(), check, "TCB info")?;
    let tcb_info_chain = there(tcb_info_chain.as_ref(), check, what)?;
    let qe_identity = there(qe_identity.as_ref(), Check::QeIdentityMissing, "QE identity")?;
    let qe_identity_chain = qe_identity_chain.as_deref();
    Ok(Pieces { tcb_info, tcb_info_chain, qe_identity, qe_identity_chain })
}

/// What signers of documents are looked at with.
struct Signers<'a, 'b> {
    anchors: &'a [Root],
    /// The root of the platform, and its list.
    root: &'a Link<'a>,
    list: &'a List<'a>,
    now: Timestamp,
    proofs: &'a mut Proofs<'b>,
}

fn signer_of(what: &str) -> String {
    format!("the signer of {what}")
}

impl Signers<'_, '_> {
    /// The signer of a document, whose certificates lead to the platform's root and are not revoked.
    fn believed<'c>(&mut self, what: &str, chain: &'c Chain<2>) -> Result<Link<'c>, Refusal> {
        let who = signer_of(what);
        let links = chain.links(&who, &SIGNER_NAMES, self.anchors)?;
        chain::prove(&who, &links, self.now, self.proofs)?;
        let [signer, root] = links;
        ensure(root.point == self.root.point, Check::UntrustedRoot, || {
            format!("the certificates of {who} lead to another root than the platform's")
        })?;
        self.list.clears(&signer)?;
        Ok(signer)
    }

    /// A document is signed by this key.
    fn signed(
        &mut self,
        what: &str,
        signer: &Link<'_>,
        document: &Document<'_>,
    ) -> Result<(), Refusal> {
        ensure(
            self.proofs.document(signer.point, document.raw.as_bytes(), &document.signature),
            Check::CollateralSignature,
            || format!("{what} is not signed by the key that came with it"),
        )
    }
}

/// The platform's key signed the quoting enclave's report, and that vouches for the attestation key.
fn quoting_enclave(
    quote: &Quote<'_>,
    pck: &Link<'_>,
    proofs: &mut Proofs<'_>,
) -> Result<(), Refusal> {
    ensure(
        proofs.statement(pck.point, quote.qe_report, quote.qe_signature),
        Check::QeReport,
        || "the quoting enclave's report is not signed by the platform's key (PCK)".into(),
    )?;
    let mut hash = Sha256::new();
    hash.update(quote.attestation_key);
    hash.update(quote.qe_auth_data);
    let (bound, rest) =
        quote.qe_report.split_last_chunk().map_or((&[][..], &[][..]), |(_, data)| {
            let data: &[u8; 64] = data;
            data.split_at(32)
        });
    let vouches = bound == hash.finalize().as_slice() && rest.iter().all(|byte| *byte == 0);
    ensure(vouches, Check::QeReport, || {
        "the quoting enclave's report does not vouch for the attestation key".into()
    })
}

/// The documents are about the platform that made the quote, and about its kind of TEE.
fn same_platform(
    kind: Kind,
    tcb: &documents::TcbInfo,
    qe: &documents::QeIdentity,
    platform: &PckExtension,
) -> Result<(), Refusal> {
    let (tcb_id, qe_id) = if kind == Kind::Sgx { ("SGX", "QE") } else { ("TDX", "TD_QE") };
    ensure(tcb.id == tcb_id && tcb.tcb_type == 0, Check::TcbInfo, || {
        let (id, number) = (tcb.id.escape_debug(), tcb.tcb_type);
        format!("the TCB info is one of {id}, type {number}, and {tcb_id}, type 0, is wanted")
    })?;
    for (name, found, wanted) in [
        ("FMSPC", &tcb.fmspc, hex::encode(platform.fmspc)),
        ("PCE", &tcb.pce_id, hex::encode(&platform.pce_id)),
    ] {
        ensure(found.eq_ignore_ascii_case(&wanted), Check::TcbInfo, || {
            let found = found.escape_debug();
            format!(
                "the TCB info is about platforms with the {name} {found}, and this one has {wanted}"
            )
        })?;
    }
    ensure(qe.id == qe_id, Check::QeIdentity, || {
        format!("the QE identity is that of {}, and {qe_id} is wanted", qe.id.escape_debug())
    })
}
