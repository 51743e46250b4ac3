// SPDX-License-Identifier: Apache-2.0

//! AMD's key distribution service (KDS): certificates of chips, of their authorities, and revocation lists (VCEK Certificate
//! and KDS Interface Specification, document 57230).

use evidence::amd::{Product, Tcb};

use super::piece::{Piece, Vek};

/// Where the service is.
pub const KDS: &str = "https://kdsintf.amd.com";

/// Bytes of a report before anything that is read here, and of a whole one.
const REPORT_BYTES: usize = 1184;

/// Path and query of a piece; `None`: another vendor's.
pub(super) fn target(piece: &Piece) -> Option<String> {
    match piece {
        Piece::SnpChain { product, vek } => {
            Some(format!("/{}/v1/{product}/cert_chain", vek.name()))
        }
        // That of the VLEK is by the same key and says the same.
        Piece::SnpCrl { product } => Some(format!("/{}/v1/{product}/crl", Vek::Vcek.name())),
        Piece::SnpVcek { product, hwid, tcb } => {
            let tcb = Tcb::decode(*tcb, *product)?;
            let fmc = tcb.fmc.map(|fmc| format!("fmcSPL={fmc:02}&")).unwrap_or_default();
            Some(format!(
                "/vcek/v1/{product}/{}?{fmc}blSPL={:02}&teeSPL={:02}&snpSPL={:02}&ucodeSPL={:02}",
                hex::encode(hwid),
                tcb.bootloader,
                tcb.tee,
                tcb.snp,
                tcb.microcode
            ))
        }
        _ => None,
    }
}

/// The certificate that a report (1184 bytes) was signed with. Reports of version 2 do not tell the line of processors.
///
/// # Errors
/// In words: no report, a line that is not known, a hidden chip, a VLEK's report.
pub fn vcek_of_report(report: &[u8], product: Option<Product>) -> Result<Piece, String> {
    if report.len() != REPORT_BYTES {
        return Err(format!("a report has {REPORT_BYTES} bytes, and this {}", report.len()));
    }
    let array = |at: usize| -> Option<[u8; 8]> { report.get(at..at + 8)?.try_into().ok() };
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(report.get(at..at + 4)?.try_into().ok()?))
    };
    let short = || "the report is too short".to_owned();
    let version = word(0).ok_or_else(short)?;
    if !(2..=5).contains(&version) {
        return Err(format!("a report of version {version} is not known"));
    }
    let said = match report.get(392..394) {
        Some([family, model]) if version >= 3 => Product::of_cpuid(*family, *model),
        _ => None,
    };
    let product = match (said, product) {
        (Some(said), Some(product)) if said != product => {
            return Err(format!("it is a report of a {said}, not of a {product}"));
        }
        (Some(product), _) | (None, Some(product)) => product,
        (None, None) => return Err("it does not tell the line of processors".to_owned()),
    };
    // Key information, bits 2 to 4: which key signed.
    if word(72).ok_or_else(short)? >> 2 & 7 != 0 {
        return Err("it is signed by a VLEK, which only the cloud provider hands out".to_owned());
    }
    let chip = report.get(416..480).ok_or_else(short)?;
    if chip.iter().all(|byte| *byte == 0) {
        return Err("the chip's identity in it is hidden".to_owned());
    }
    vcek(product, chip, array(384).ok_or_else(short)?)
}

/// The certificate of a chip (64 bytes, of which a Turin uses 8) at this TCB_VERSION.
///
/// # Errors
/// In words.
pub fn vcek(product: Product, chip: &[u8], tcb: [u8; 8]) -> Result<Piece, String> {
    let wanted = product.hwid_bytes();
    let hwid = match chip.len() {
        64 => chip.get(..wanted),
        length if length == wanted => Some(chip),
        _ => None,
    };
    let hwid =
        hwid.ok_or_else(|| format!("a chip's identity has 64 bytes, of a {product} {wanted}"))?;
    if chip.get(wanted..).unwrap_or_default().iter().any(|byte| *byte != 0) {
        return Err(format!("only {wanted} bytes of the identity of a {product} are used"));
    }
    Tcb::decode(tcb, product)
        .ok_or_else(|| format!("{} is no TCB version of a {product}", hex::encode(tcb)))?;
    Ok(Piece::SnpVcek { product, hwid: hwid.to_vec(), tcb })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        let product = Product::Milan;
        let milan = vcek(product, &[0xab; 64], [2, 0, 0, 0, 0, 0, 6, 93]).unwrap();
        let wanted =
            format!("/vcek/v1/Milan/{}?blSPL=02&teeSPL=00&snpSPL=06&ucodeSPL=93", "ab".repeat(64));
        assert_eq!(target(&milan), Some(wanted));
        let mut chip = [0; 64];
        chip[..8].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        let turin = vcek(Product::Turin, &chip, [1, 2, 3, 4, 0, 0, 0, 255]).unwrap();
        let wanted =
            "/vcek/v1/Turin/0102030405060708?fmcSPL=01&blSPL=02&teeSPL=03&snpSPL=04&ucodeSPL=255";
        assert_eq!(target(&turin).as_deref(), Some(wanted));
        let chain = Piece::SnpChain { product, vek: Vek::Vlek };
        assert_eq!(target(&chain).as_deref(), Some("/vlek/v1/Milan/cert_chain"));
        assert_eq!(target(&Piece::SnpCrl { product }).as_deref(), Some("/vcek/v1/Milan/crl"));
        assert_eq!(target(&Piece::IntelRootCrl), None);
    }

    #[test]
    fn what_is_no_chip_is_refused() {
        assert!(vcek(Product::Milan, &[1; 8], [0; 8]).is_err());
        assert!(vcek(Product::Milan, &[1; 64], [0, 0, 1, 0, 0, 0, 0, 0]).is_err());
        assert!(vcek(Product::Turin, &[1; 64], [0; 8]).is_err());
        assert!(vcek(Product::Turin, &[1; 8], [0; 8]).is_ok());
        assert!(vcek_of_report(&[0; 1183], None).is_err());
        assert!(vcek_of_report(&[0; 1184], None).is_err());
    }
}
