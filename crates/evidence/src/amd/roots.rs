// SPDX-License-Identifier: Apache-2.0

//! Trust anchors: AMD's root key (ARK) and the keys under it that sign for chips (ASK) and cloud providers (ASVK).

use std::fmt;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519::COMMON_NAME;
use const_oid::db::rfc5280::{ID_CE_BASIC_CONSTRAINTS, ID_CE_KEY_USAGE};
use der::Decode as _;
use types::digest::Sha256;
use types::limits;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};

use super::Product;
use crate::asn1::{self, Certificate};
use crate::crypto::{Scheme, Verifier};

/// SHA-256 of AMD's root certificates (ARK), DER. Any other root is simulated silicon.
pub const ARK_FINGERPRINTS: [(Product, &str); 3] = [
    (Product::Milan, "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd"),
    (Product::Genoa, "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1"),
    (Product::Turin, "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a"),
];

/// SHA-256 of the intermediate certificates (ASK) that are built in. Genoa's is the second, 0x20002: AMD revoked the
/// first.
#[cfg(feature = "vendor-roots")]
const ASK_FINGERPRINTS: [(Product, &str); 3] = [
    (Product::Milan, "67d303bd3905fd38db8b20e0793699870e7fa612eaad5dec358293fd8c0bac1b"),
    (Product::Genoa, "5464738c1546aed5f2cecf1dc98c5c960a92e8913238a61711bc90ec6e828521"),
    (Product::Turin, "5b77ef5fe7a7a004fd9032668fba9d0fda22f88c4442069a479636a6ae3b3185"),
];

/// RSASSA-PSS, SHA-384, MGF1 with SHA-384, salt of 48 bytes; the trailer field left out, as DER wants it.
const PSS: [u8; 67] = [
    0x30, 0x41, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, 0x30, 0x34, 0xa0,
    0x0f, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00,
    0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30,
    0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0xa2, 0x03,
    0x02, 0x01, 0x30,
];
/// The trailer field with its default value, as AMD writes it all the same.
const TRAILER: [u8; 5] = [0xa3, 0x03, 0x02, 0x01, 0x01];
/// Bytes of an RSA-4096 signature.
const RSA_BYTES: usize = 512;
/// In front of the PKCS#1 key in a SubjectPublicKeyInfo of RSA-4096.
const RSA_SPKI: [u8; 24] = [
    0x30, 0x82, 0x02, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01,
    0x01, 0x05, 0x00, 0x03, 0x82, 0x02, 0x0f, 0x00,
];

/// Why certificates are no trust anchors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRoots(String);

impl fmt::Display for BadRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not usable as roots of SEV-SNP: {}", self.0)
    }
}

impl std::error::Error for BadRoots {}

fn bad<T>(what: impl Into<String>) -> Result<T, BadRoots> {
    Err(BadRoots(what.into()))
}

/// Whether both AlgorithmIdentifiers are the one algorithm that AMD signs with.
pub(crate) fn is_pss(inner: &[u8], outer: &[u8]) -> bool {
    let explicit = || {
        let body = PSS.get(15..).unwrap_or_default();
        let parameters = asn1::tlv(asn1::SEQUENCE, &[body, &TRAILER].concat());
        let oid = PSS.get(2..13).unwrap_or_default();
        asn1::tlv(asn1::SEQUENCE, &[oid, &parameters].concat())
    };
    inner == outer && (inner == PSS || inner == explicit())
}

/// The PKCS#1 key in the SPKI of an RSA-4096 key.
pub(crate) fn rsa4096(spki: &[u8]) -> Option<&[u8]> {
    spki.strip_prefix(&RSA_SPKI)
}

/// Whether `issuer_spki` (RSA-4096) signed this with RSASSA-PSS.
pub(crate) fn signed_by(
    signed: &asn1::Signed<'_>,
    inner_algorithm: &[u8],
    issuer_spki: &[u8],
    verifier: &dyn Verifier,
) -> bool {
    is_pss(inner_algorithm, signed.algorithm)
        && signed.signature.len() == RSA_BYTES
        && rsa4096(issuer_spki).is_some_and(|key| {
            verifier
                .verify_endorsement(Scheme::RsaPssSha384, key, signed.tbs, signed.signature)
                .is_ok()
        })
}

/// A name without its common name, and the common name: `None` if it has not exactly one.
pub(crate) fn split_name(der: &[u8]) -> Option<(Vec<(ObjectIdentifier, &str)>, &str)> {
    let attributes = asn1::name(der).ok()?;
    let (common, others): (Vec<_>, Vec<_>) =
        attributes.into_iter().partition(|(oid, _)| *oid == COMMON_NAME);
    match common.as_slice() {
        [(_, name)] => Some((others, name)),
        _ => None,
    }
}

/// The certificate authority of one line of processors.
///
/// Whoever holds one knows: the ARK is self-signed, signed ASK and ASVK, and their names, key usages and CA bits are those
/// that AMD gives. Dates and revocation are checked at each appraisal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    ark: Vec<u8>,
    ask: Vec<u8>,
    asvk: Option<Vec<u8>>,
    product: Product,
    simulated: bool,
}

impl Roots {
    /// Takes certificates in DER; the ASVK is needed for VLEKs only.
    ///
    /// They are `simulated` unless the ARK is one of [`ARK_FINGERPRINTS`].
    ///
    /// # Errors
    /// Anything but a line of processors' authority.
    pub fn from_der(
        ark: &[u8],
        ask: &[u8],
        asvk: Option<&[u8]>,
        verifier: &dyn Verifier,
    ) -> Result<Self, BadRoots> {
        let root = parse(ark)?;
        let Some((_, common)) = split_name(root.subject) else {
            return bad("the root's name is not in the form that AMD uses");
        };
        let Some(product) = common.strip_prefix("ARK-").and_then(|line| line.parse().ok()) else {
            return bad(format!("\"{}\" is no ARK of a known product", common.escape_debug()));
        };
        if root.issuer != root.subject
            || !signed_by(&root.signed, root.algorithm, root.spki, verifier)
        {
            return bad(format!("{common} is not signed by itself"));
        }
        authority(&root, KeyUsages::KeyCertSign | KeyUsages::CRLSign, None)?;
        below(&root, ask, &format!("SEV-{product}"), verifier)?;
        if let Some(asvk) = asvk {
            below(&root, asvk, &format!("SEV-VLEK-{product}"), verifier)?;
        }
        let fingerprint = Sha256::of(ark).to_hex();
        let genuine =
            ARK_FINGERPRINTS.iter().any(|(line, pin)| *line == product && *pin == fingerprint);
        Ok(Self {
            ark: ark.to_vec(),
            ask: ask.to_vec(),
            asvk: asvk.map(<[u8]>::to_vec),
            product,
            simulated: !genuine,
        })
    }

    /// Whether this is an ASVK of this authority: signed by its ARK, named and limited as AMD's are.
    pub(crate) fn vouches_for_asvk(&self, der: &[u8], verifier: &dyn Verifier) -> bool {
        let vouched = parse(&self.ark)
            .and_then(|root| below(&root, der, &format!("SEV-VLEK-{}", self.product), verifier));
        vouched.is_ok()
    }

    /// Takes PEM certificates: ARK, ASK and perhaps ASVK of one line of processors or several, in any order.
    ///
    /// # Errors
    /// Text that is none, an ARK without its ASK, and the errors of [`Self::from_der`].
    pub fn from_pem(text: &str, verifier: &dyn Verifier) -> Result<Vec<Self>, BadRoots> {
        let roots = Self::among_pem(text, verifier)?;
        if roots.is_empty() {
            return bad("there is no ARK certificate in PEM");
        }
        Ok(roots)
    }

    /// The same, where there may be none among certificates of others.
    pub(crate) fn among_pem(text: &str, verifier: &dyn Verifier) -> Result<Vec<Self>, BadRoots> {
        let certificates = asn1::pem(text, "CERTIFICATE", 16).map_err(BadRoots)?;
        let named = |wanted: &str| {
            certificates.iter().find(|der| {
                let parsed = Certificate::parse(der).ok();
                parsed
                    .as_ref()
                    .and_then(|c| split_name(c.subject))
                    .is_some_and(|(_, cn)| cn == wanted)
            })
        };
        let mut roots = Vec::new();
        for product in Product::ALL {
            let Some(ark) = named(&format!("ARK-{product}")) else { continue };
            let Some(ask) = named(&format!("SEV-{product}")) else {
                return bad(format!("SEV-{product} (ASK) is missing beside ARK-{product}"));
            };
            let asvk = named(&format!("SEV-VLEK-{product}"));
            roots.push(Self::from_der(ark, ask, asvk.map(Vec::as_slice), verifier)?);
        }
        Ok(roots)
    }

    /// The root key's certificate, DER.
    pub fn ark_der(&self) -> &[u8] {
        &self.ark
    }

    /// The certificate of the key that signs VCEKs, DER.
    pub fn ask_der(&self) -> &[u8] {
        &self.ask
    }

    /// The certificate of the key that signs VLEKs, DER.
    pub fn asvk_der(&self) -> Option<&[u8]> {
        self.asvk.as_deref()
    }

    /// Whose authority this is.
    pub const fn product(&self) -> Product {
        self.product
    }

    /// Whether this is not AMD's.
    pub const fn simulated(&self) -> bool {
        self.simulated
    }
}

fn parse(der: &[u8]) -> Result<Certificate<'_>, BadRoots> {
    if der.len() > limits::CERTIFICATE_BYTES_MAX {
        return bad("a certificate is larger than any");
    }
    Certificate::parse(der).map_err(|e| BadRoots(format!("a certificate is malformed: {e}")))
}

/// Whether the root signed this authority, under this common name.
fn below(
    root: &Certificate<'_>,
    der: &[u8],
    name: &str,
    verifier: &dyn Verifier,
) -> Result<(), BadRoots> {
    let certificate = parse(der)?;
    let named = match (split_name(root.subject), split_name(certificate.subject)) {
        (Some((above, _)), Some((rest, common))) => rest == above && common == name,
        _ => false,
    };
    if !named {
        return bad(format!("the certificate below the root is not named {name}"));
    }
    if certificate.issuer != root.subject
        || !signed_by(&certificate.signed, certificate.algorithm, root.spki, verifier)
    {
        return bad(format!("{name} is not signed by the root"));
    }
    authority(&certificate, KeyUsages::KeyCertSign.into(), Some(0))
}

/// Whether this is a CA certificate with these key usages and this path length at most.
fn authority(
    certificate: &Certificate<'_>,
    usages: der::flagset::FlagSet<KeyUsages>,
    path: Option<u8>,
) -> Result<(), BadRoots> {
    let value = |oid| match certificate.extension(oid) {
        Ok(Some(extension)) if extension.critical => Ok(extension.extn_value.as_bytes()),
        _ => bad(
            "a CA certificate has not one critical key usage and one basic constraints extension",
        ),
    };
    let constraints = BasicConstraints::from_der(value(ID_CE_BASIC_CONSTRAINTS)?);
    let usage = KeyUsage::from_der(value(ID_CE_KEY_USAGE)?);
    let known = |oid| [ID_CE_BASIC_CONSTRAINTS, ID_CE_KEY_USAGE].contains(&oid);
    if certificate.extensions.iter().any(|e| e.critical && !known(e.extn_id)) {
        return bad("a CA certificate has an unknown critical extension");
    }
    match (constraints, usage) {
        (Ok(constraints), Ok(usage))
            if constraints.ca
                && (path.is_none() || constraints.path_len_constraint == path)
                && usage.0 == usages =>
        {
            Ok(())
        }
        _ => bad("a CA certificate may not sign certificates, or may do more than AMD's"),
    }
}

/// AMD's own roots, as the crate `sev` carries them, pinned by fingerprint. Without ASVKs.
///
/// # Errors
/// If that crate carries other certificates than those pinned here.
#[cfg(feature = "vendor-roots")]
pub fn vendor_roots(verifier: &dyn Verifier) -> Result<Vec<Roots>, BadRoots> {
    use sev::certs::snp::builtin::{genoa, milan, turin};
    let builtin = [(milan::ARK, milan::ASK), (genoa::ARK, genoa::ASK), (turin::ARK, turin::ASK)];
    let pins = ARK_FINGERPRINTS.iter().zip(ASK_FINGERPRINTS);
    builtin
        .into_iter()
        .zip(pins)
        .map(|((ark, ask), ((product, ark_pin), (_, ask_pin)))| {
            let read = |bytes: &[u8], pin: &str| match der::pem::decode_vec(bytes) {
                Ok((_, der)) if Sha256::of(&der).to_hex() == pin => Ok(der),
                _ => bad(format!("the built-in certificates of {product} are not the pinned ones")),
            };
            Roots::from_der(&read(ark, ark_pin)?, &read(ask, ask_pin)?, None, verifier)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::AwsLc;

    #[test]
    fn both_spellings_of_the_algorithm_are_taken_and_no_other() {
        let mut explicit = PSS.to_vec();
        explicit[1] += 5;
        explicit[14] += 5;
        explicit.extend(TRAILER);
        assert!(is_pss(&PSS, &PSS));
        assert!(is_pss(&explicit, &explicit));
        assert!(!is_pss(&PSS, &explicit));
        for at in 0..explicit.len() {
            let mut other = explicit.clone();
            other[at] ^= 1;
            assert!(!is_pss(&other, &other), "{at}");
        }
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        for text in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(Roots::from_pem(text, &AwsLc).is_err());
        }
        assert!(Roots::from_der(&[], &[], None, &AwsLc).is_err());
    }
}
