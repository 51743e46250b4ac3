// SPDX-License-Identifier: Apache-2.0

//! What the tests of this crate share: an authority and certificates of Keeps.

use evidence::result::AttestationResult;
use rustls::pki_types::CertificateDer;
use testkit::pki::{DevCa, Issued, Profile, sample_result};
use types::digest::Sha256;
use types::slug::Slug;
use types::time::Timestamp;

use crate::{Anchors, Identity, Usage, VerifyError, identify};

/// When it is, in these tests.
pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000);

pub(crate) fn digest() -> Sha256 {
    Sha256::of(b"a workload")
}

pub(crate) fn slug() -> Slug {
    "store.example.com/team/app:1.2.0".parse().unwrap()
}

/// What is proved of a genuine Keep that runs [`slug`].
pub(crate) fn result() -> AttestationResult {
    sample_result(digest(), Some(slug()), NOW)
}

/// A Steward's authority.
pub(crate) fn steward() -> DevCa {
    DevCa::generate("a Steward", NOW).unwrap()
}

pub(crate) fn anchors(ca: &DevCa) -> Anchors {
    Anchors {
        roots: vec![CertificateDer::from(ca.certificate_der().to_vec())],
        ..Anchors::default()
    }
}

/// A Keep's certificate, and its key.
pub(crate) fn keep(ca: &DevCa, result: &AttestationResult) -> Issued {
    ca.issue(&Profile::keep(result), NOW).unwrap()
}

pub(crate) fn chain(issued: &Issued) -> Vec<CertificateDer<'static>> {
    issued.chain_der.iter().map(|der| CertificateDer::from(der.clone())).collect()
}

/// Issues a certificate with this profile and judges it.
pub(crate) fn judge(profile: &Profile) -> Result<Identity, VerifyError> {
    let ca = steward();
    let chain = chain(&ca.issue(profile, NOW).unwrap());
    identify(&chain, &anchors(&ca), NOW, Usage::Server)
}

/// The identity of a Keep about which this is proved.
pub(crate) fn identity(result: &AttestationResult) -> Identity {
    judge(&Profile::keep(result)).unwrap()
}
