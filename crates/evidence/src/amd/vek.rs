// SPDX-License-Identifier: Apache-2.0

//! What AMD writes into the certificate of a chip's key (VCEK and VLEK certificate and KDS interface specifications).

use const_oid::ObjectIdentifier;
use der::asn1::Ia5StringRef;
use der::{Decode as _, Tag};

use super::{Product, Tcb};
use crate::asn1::{self, Certificate, p384_point};
use crate::check::{Check, Refusal};

const AMD: &str = "1.3.6.1.4.1.3704.1";
const PRODUCT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.2");
const BOOTLOADER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.1");
const TEE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.2");
const SNP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.3");
const MICROCODE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.8");
const FMC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.9");
const HWID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.4");
const CSP_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.5");
/// SPL_4 to SPL_7.
const RESERVED: [ObjectIdentifier; 4] = [
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.4"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.5"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.6"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.7"),
];

/// Whose key it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VekKind {
    /// The chip's own; with its hardware identity, 64 bytes or (Turin) 8.
    Vcek(Vec<u8>),
    /// A cloud provider's; with the provider's name (CSP_ID).
    Vlek(String),
}

/// A VCEK or VLEK certificate, read but not verified.
#[derive(Debug)]
pub(crate) struct Vek<'a> {
    pub(crate) certificate: Certificate<'a>,
    pub(crate) product: Product,
    pub(crate) tcb: Tcb,
    pub(crate) kind: VekKind,
    /// SEC 1 point, 97 bytes.
    pub(crate) public: &'a [u8],
}

fn malformed(what: &str) -> Refusal {
    Refusal::new(Check::VekMalformed, what)
}

fn value(certificate: &Certificate<'_>, oid: ObjectIdentifier) -> Result<Option<Vec<u8>>, Refusal> {
    certificate
        .extension(oid)
        .map(|found| found.map(|e| e.extn_value.as_bytes().to_vec()))
        .map_err(|()| malformed("an extension of the VCEK is there twice"))
}

fn required(
    certificate: &Certificate<'_>,
    oid: ObjectIdentifier,
    name: &str,
) -> Result<Vec<u8>, Refusal> {
    value(certificate, oid)?.ok_or_else(|| malformed(&format!("the VCEK has no {name} extension")))
}

fn number(certificate: &Certificate<'_>, oid: ObjectIdentifier, name: &str) -> Result<u8, Refusal> {
    u8::from_der(&required(certificate, oid, name)?)
        .map_err(|_| malformed(&format!("the VCEK's {name} extension is no number up to 255")))
}

/// Raw, as AMD issues it today, or wrapped in an OCTET STRING, as it once did.
fn hwid(bytes: &[u8], product: Product) -> Option<Vec<u8>> {
    let wanted = product.hwid_bytes();
    if bytes.len() == wanted {
        return Some(bytes.to_vec());
    }
    let inner = der::asn1::AnyRef::from_der(bytes).ok()?;
    (inner.header().tag() == Tag::OctetString && inner.value().len() == wanted)
        .then(|| inner.value().to_vec())
}

impl<'a> Vek<'a> {
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, Refusal> {
        if der.len() > types::limits::CERTIFICATE_BYTES_MAX {
            return Err(malformed("the VCEK is larger than any certificate"));
        }
        let certificate = Certificate::parse(der)
            .map_err(|e| malformed(&format!("the VCEK is no X.509 certificate in DER: {e}")))?;
        let foreign = |oid: &ObjectIdentifier| !oid.to_string().starts_with(AMD);
        if certificate.extensions.iter().any(|e| e.critical && foreign(&e.extn_id)) {
            return Err(malformed("the VCEK has a critical extension that AMD does not use"));
        }
        let name = required(&certificate, PRODUCT_NAME, "product name")?;
        let name = Ia5StringRef::from_der(&name)
            .map_err(|_| malformed("the VCEK's product name is no IA5String"))?;
        // `Milan-B0`: line and stepping.
        let line = name.as_str().split('-').next().unwrap_or_default();
        let product = line.parse().map_err(|_| {
            malformed(&format!("the VCEK's product \"{}\" is not known", line.escape_debug()))
        })?;
        for oid in RESERVED {
            let reserved = value(&certificate, oid)?;
            if reserved.is_some_and(|v| u8::from_der(&v) != Ok(0)) {
                return Err(malformed("a reserved TCB extension of the VCEK is not zero"));
            }
        }
        let fmc = match product {
            Product::Turin => Some(number(&certificate, FMC, "FMC")?),
            Product::Milan | Product::Genoa => {
                if value(&certificate, FMC)?.is_some() {
                    return Err(malformed(
                        "the VCEK has an FMC extension, which its product has not",
                    ));
                }
                None
            }
        };
        let tcb = Tcb {
            fmc,
            bootloader: number(&certificate, BOOTLOADER, "boot loader")?,
            tee: number(&certificate, TEE, "TEE")?,
            snp: number(&certificate, SNP, "SNP")?,
            microcode: number(&certificate, MICROCODE, "microcode")?,
        };
        let kind = match (value(&certificate, HWID)?, value(&certificate, CSP_ID)?) {
            (Some(bytes), None) => VekKind::Vcek(hwid(&bytes, product).ok_or_else(|| {
                malformed(&format!(
                    "the VCEK's hardware identity has not {} bytes",
                    product.hwid_bytes()
                ))
            })?),
            (None, Some(bytes)) => VekKind::Vlek(
                Ia5StringRef::from_der(&bytes)
                    .map_err(|_| malformed("the VLEK's provider is no IA5String"))?
                    .as_str()
                    .to_owned(),
            ),
            _ => {
                return Err(malformed(
                    "the certificate has not either a hardware identity (VCEK) or a provider (VLEK)",
                ));
            }
        };
        let public = p384_point(certificate.spki)
            .ok_or_else(|| malformed("the VCEK's key is not an uncompressed P-384 point"))?;
        if asn1::name(certificate.subject).is_err() || asn1::name(certificate.issuer).is_err() {
            return Err(malformed("the VCEK's names are not in the form that AMD uses"));
        }
        Ok(Self { certificate, product, tcb, kind, public })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::Path;

    use super::*;

    #[test]
    fn real_certificates_in_all_their_shapes() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/evidence/snp");
        if !folder.is_dir() {
            let mut err = std::io::stderr();
            let _ = writeln!(
                err,
                "SKIP real_certificates_in_all_their_shapes: no evidence of real hardware"
            );
            return;
        }
        let read = |name: &str| std::fs::read(folder.join("vcek-shapes").join(name)).unwrap();
        let hwid: Vec<u8> = (0..64).collect();
        for name in ["vcek-hwid-raw-invalid.der", "vcek-hwid-octetstring-invalid.der"] {
            let der = read(name);
            let vek = Vek::parse(&der).unwrap();
            assert_eq!((vek.product, &vek.kind), (Product::Milan, &VekKind::Vcek(hwid.clone())));
        }
        let der = read("vcek-turin-valid.der");
        let vek = Vek::parse(&der).unwrap();
        let hwid = vec![0x1e, 0x55, 0x0a, 0x8e, 0xe5, 0xcf, 0x9f, 0x4d];
        assert_eq!((vek.product, &vek.kind), (Product::Turin, &VekKind::Vcek(hwid)));
        assert_eq!((vek.tcb.fmc, vek.tcb.microcode), (Some(0), 9));
    }
}
