// SPDX-License-Identifier: Apache-2.0

use super::super::piece::{IntelTee, PckCa};
use super::*;

fn at(piece: &Piece, base: &str) -> Option<String> {
    target(piece, &Base::parse(base).unwrap()).map(|(base, target)| base.join(&target))
}

#[test]
fn paths_are_those_of_version_4() {
    let tcb = |tee| Piece::IntelTcb { tee, fmspc: [0, 0x60, 0x6a, 0, 0, 0] };
    for (piece, wanted) in [
        (tcb(IntelTee::Sgx), "/sgx/certification/v4/tcb?fmspc=00606a000000"),
        (tcb(IntelTee::Tdx), "/tdx/certification/v4/tcb?fmspc=00606a000000"),
        (Piece::IntelQe { tee: IntelTee::Sgx }, "/sgx/certification/v4/qe/identity"),
        (Piece::IntelQe { tee: IntelTee::Tdx }, "/tdx/certification/v4/qe/identity"),
        (
            Piece::IntelPckCrl { ca: PckCa::Processor },
            "/sgx/certification/v4/pckcrl?ca=processor&encoding=der",
        ),
    ] {
        assert_eq!(at(&piece, PCS), Some(format!("{PCS}{wanted}")));
    }
    // The service itself does not have the root's list; those that cache have.
    let root = at(&Piece::IntelRootCrl, PCS).unwrap();
    assert_eq!(root, "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der");
    let root = at(&Piece::IntelRootCrl, "https://pccs.example.com:8081/").unwrap();
    assert_eq!(root, "https://pccs.example.com:8081/sgx/certification/v4/rootcacrl");
    assert_eq!(at(&Piece::IntelPck { ppid: [0; 16], tcb: [0; 18] }, PCS), None);
}

#[test]
fn headers_are_decoded() {
    let decoded = |text: &str| percent_decoded(text.as_bytes());
    let wanted = b"-----BEGIN A-----\nab+/=\n".to_vec();
    assert_eq!(decoded("-----BEGIN%20A-----%0Aab+%2F%3D%0a"), Some(wanted));
    for text in ["%", "%2", "%2g", "%%41"] {
        assert_eq!(decoded(text), None, "{text}");
    }
}

fn csv() -> String {
    let hex = |byte: &str, count| byte.repeat(count);
    format!("{},0000,{},0D00,{},\n", hex("Ab", 384), hex("07", 16), hex("cc", 16))
}

#[test]
fn a_platform_names_itself() {
    let id = PckId::parse(&csv()).unwrap();
    let target = id.target(&Base::parse(PCS).unwrap());
    let begin = "/sgx/certification/v4/pckcert?encrypted_ppid=abab";
    let end = "&cpusvn=07070707070707070707070707070707&pcesvn=0d00&pceid=0000";
    assert!(target.starts_with(begin) && target.ends_with(end), "{target}");
    let target = id.target(&Base::parse("https://pccs.example.com").unwrap());
    assert!(target.ends_with(&format!("&qeid={}", "cc".repeat(16))), "{target}");
    // The platform's identity is nobody else's business.
    assert!(!format!("{id:?}").contains("abab"));
    for (from, to) in [("0000,", "00,"), ("07,", ","), ("0D00", "0D0g"), ("Ab", "A")] {
        assert!(PckId::parse(&csv().replacen(from, to, 1)).is_err(), "{from}");
    }
    assert!(PckId::parse("").is_err());
    assert!(PckId::parse("a&b=c,0,0,0,0").is_err());
}

/// The variable, as Linux shows it.
fn variable(version: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![7, 0, 0, 0];
    bytes.extend(version.to_le_bytes());
    match version {
        3 => bytes.extend(u32::try_from(body.len()).unwrap().to_le_bytes()),
        _ => bytes.extend(u16::try_from(body.len()).unwrap().to_le_bytes()),
    }
    bytes.extend(body);
    bytes
}

#[test]
fn what_the_firmware_wants_registered() {
    let manifest = [&PLATFORM_MANIFEST[..], &[1; 100]].concat();
    let package = [&ADD_PACKAGE[..], &[2; 50]].concat();
    for version in 1..=3 {
        let read = Registration::parse(&variable(version, &manifest));
        assert_eq!(read, Ok(Registration::Platform(manifest.clone())));
    }
    let read = Registration::parse(&variable(2, &package));
    assert_eq!(read, Ok(Registration::Package(package)));
    let good = variable(2, &manifest);
    assert!(Registration::parse(&good[..good.len() - 1]).is_err());
    assert!(Registration::parse(&[&good[..], &[0]].concat()).is_err());
    assert!(Registration::parse(&variable(4, &manifest)).is_err());
    assert!(Registration::parse(&variable(2, &[9; 40])).is_err());
    for length in 0..8 {
        assert!(Registration::parse(&good[..length]).is_err());
    }
}
