// SPDX-License-Identifier: Apache-2.0

//! Certificates and revocation lists of Intel's (Intel SGX PCK certificate and CRL specification).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use types::time::Timestamp;

use super::proof::Proofs;
use super::roots::{ROOT_NAME, Root, common_name};
use crate::asn1::path::{self, Fault};
use crate::asn1::{self, Certificate, Crl};
use crate::check::{Check, Refusal, ensure};

/// Names of a chain from the platform's own certificate to the root.
pub(super) const PCK_NAMES: [&[&str]; 3] = [
    &["Intel SGX PCK Certificate"],
    &["Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA"],
    &[ROOT_NAME],
];
/// Names of a chain from the signer of documents to the root.
pub(super) const SIGNER_NAMES: [&[&str]; 2] = [&["Intel SGX TCB Signing"], &[ROOT_NAME]];

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// Characters of a line of PEM (RFC 7468 section 2).
const PEM_LINE: usize = 64;

/// Certificates in DER, the root last.
pub(super) struct Chain<const N: usize>(pub(super) [Vec<u8>; N]);

/// One of them, with the key in it.
pub(super) struct Link<'a> {
    pub(super) der: &'a [u8],
    pub(super) certificate: Certificate<'a>,
    /// Uncompressed point.
    pub(super) point: &'a [u8],
}

fn broken(what: &str, detail: impl std::fmt::Display) -> Refusal {
    Refusal::new(Check::IntelChain, format!("the certificates of {what}: {detail}"))
}

impl<const N: usize> Chain<N> {
    /// Takes PEM: exactly `N` certificates, and nothing around them. Quotes have a zero byte at the end.
    pub(super) fn from_pem(text: &str, what: &str) -> Result<Self, Refusal> {
        let around =
            text.split(BEGIN).map(|part| part.rsplit_once(END).map_or(part, |(_, rest)| rest));
        let blank = |part: &str| part.bytes().all(|byte| byte.is_ascii_whitespace() || byte == 0);
        if !around.into_iter().all(blank) {
            return Err(broken(what, "something stands around them"));
        }
        let found = asn1::pem(text, "CERTIFICATE", N).map_err(|error| broken(what, error))?;
        let found = found.try_into().map_err(|found: Vec<_>| {
            broken(what, format!("there are {} of them, and {N} are wanted", found.len()))
        })?;
        Ok(Self(found))
    }

    /// The same certificates and nothing else, as `dcap-qvl` reads them.
    pub(super) fn to_pem(&self) -> String {
        let mut pem = String::new();
        for der in &self.0 {
            let base64 = STANDARD.encode(der);
            pem.push_str(BEGIN);
            // All of it is ASCII.
            for line in
                base64.as_bytes().chunks(PEM_LINE).filter_map(|l| std::str::from_utf8(l).ok())
            {
                pem.push('\n');
                pem.push_str(line);
            }
            pem.push('\n');
            pem.push_str(END);
            pem.push('\n');
        }
        pem
    }

    /// Looks at names, keys and root; at nothing that takes time or a signature.
    pub(super) fn links(
        &self,
        what: &str,
        names: &[&[&str]; N],
        anchors: &[Root],
    ) -> Result<[Link<'_>; N], Refusal> {
        let links: Vec<_> = self
            .0
            .iter()
            .zip(names)
            .enumerate()
            .map(|(at, (der, names))| {
                let certificate = Certificate::parse(der).map_err(|error| broken(what, error))?;
                let name = common_name(certificate.subject).unwrap_or_default();
                if !names.contains(&name) {
                    let wanted = names.join("\" or \"");
                    let found = name.escape_debug();
                    return Err(broken(what, format!("\"{wanted}\" is wanted, not \"{found}\"")));
                }
                let fault = |fault: Fault| broken(what, format!("{name} {fault}"));
                path::algorithm(&certificate, &[(asn1::ECDSA_SHA256, ())]).map_err(fault)?;
                if at == 0 {
                    path::end_entity(&certificate, &[]).map_err(fault)?;
                } else {
                    path::authority(&certificate, at - 1, &[]).map_err(fault)?;
                }
                let point = asn1::p256_point(certificate.spki)
                    .ok_or_else(|| broken(what, format!("{name} has no key of P-256")))?;
                Ok(Link { der, certificate, point })
            })
            .collect::<Result<_, _>>()?;
        let links: [Link<'_>; N] =
            links.try_into().map_err(|_| broken(what, "there are too few of them"))?;
        for (child, parent) in links.iter().zip(links.iter().skip(1)) {
            path::named(&child.certificate, &parent.certificate)
                .map_err(|fault| broken(what, format!("one {fault}")))?;
        }
        let root = links.last().map(|link| link.certificate.spki).unwrap_or_default();
        ensure(anchors.iter().any(|anchor| anchor.is(root)), Check::UntrustedRoot, || {
            format!("the certificates of {what} lead to no root that is believed")
        })?;
        Ok(links)
    }
}

/// Checks dates and signatures of a chain, all the way.
pub(super) fn prove(
    what: &str,
    links: &[Link<'_>],
    now: Timestamp,
    proofs: &mut Proofs<'_>,
) -> Result<(), Refusal> {
    for link in links {
        path::current(&link.certificate, now).map_err(|fault| {
            let name = common_name(link.certificate.subject).unwrap_or_default();
            Refusal::new(Check::CertificateExpired, format!("the certificate of {name} {fault}"))
        })?;
    }
    // The root vouches for its own dates.
    let parents = links.iter().skip(1).chain(links.last());
    for (child, parent) in links.iter().zip(parents) {
        path::signed(&child.certificate, |tbs, signature| {
            proofs.endorsement(parent.point, tbs, signature)
        })
        .map_err(|fault| broken(what, format!("one {fault}, or the root not by its own key")))?;
    }
    Ok(())
}

/// A list of revoked certificates, with its bytes.
pub(super) struct List<'a> {
    pub(super) der: &'a [u8],
    crl: Crl<'a>,
}

/// Reads lists; nothing of them is checked.
pub(super) fn lists(ders: &[Vec<u8>]) -> Result<Vec<List<'_>>, Refusal> {
    let read = |der| match Crl::parse(der) {
        Ok(crl) => Ok(List { der, crl }),
        Err(error) => {
            let detail = format!("a revocation list is malformed: {error}");
            Err(Refusal::new(Check::CrlMalformed, detail))
        }
    };
    ders.iter().map(|der| read(der)).collect()
}

/// The latest list of this authority, which has signed it, and which is current.
pub(super) fn list<'l, 'a>(
    lists: &'l [List<'a>],
    authority: &Link<'_>,
    now: Timestamp,
    proofs: &mut Proofs<'_>,
) -> Result<&'l List<'a>, Refusal> {
    let name = common_name(authority.certificate.subject).unwrap_or_default();
    let mut latest: Option<&List<'a>> = None;
    for list in lists {
        let newer = latest.is_none_or(|last| last.crl.this_update < list.crl.this_update);
        if list.crl.issuer == authority.certificate.subject && newer {
            latest = Some(list);
        }
    }
    let list = latest.ok_or_else(|| {
        Refusal::new(Check::CrlMissing, format!("there is no revocation list of {name}"))
    })?;
    let Crl { signed, this_update, next_update, critical, .. } = &list.crl;
    let algorithms = [list.crl.algorithm, signed.algorithm] == [asn1::ECDSA_SHA256; 2];
    let next_update = next_update.filter(|_| algorithms && !critical).ok_or_else(|| {
        let detail =
            "has a critical extension, another algorithm than Intel's, or no time of the next one";
        Refusal::new(Check::CrlMalformed, format!("the revocation list of {name} {detail}"))
    })?;
    ensure(
        proofs.endorsement(authority.point, signed.tbs, signed.signature),
        Check::CrlSignature,
        || format!("the revocation list is not signed by {name}"),
    )?;
    ensure(*this_update <= now && now < next_update, Check::CrlExpired, || {
        format!(
            "the revocation list of {name} is of {this_update}, the next one was to come at {next_update}, and it is {now}"
        )
    })?;
    Ok(list)
}

impl List<'_> {
    /// Refuses a certificate that is on the list.
    pub(super) fn clears(&self, link: &Link<'_>) -> Result<(), Refusal> {
        let Certificate { serial, subject, .. } = link.certificate;
        ensure(!self.crl.revoked.contains(&serial), Check::Revoked, || {
            let name = common_name(subject).unwrap_or_default();
            format!(
                "the certificate of {name} with the serial number {} is revoked",
                hex::encode(serial)
            )
        })
    }
}
