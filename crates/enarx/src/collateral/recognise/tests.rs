// SPDX-License-Identifier: Apache-2.0

use std::io::Write as _;
use std::path::PathBuf;

use super::super::authentic::{Beside, Roots, authenticate};
use super::*;

/// Real collateral; `None` without it, which is said.
fn evidence(test: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/evidence");
    if folder.is_dir() {
        return Some(folder);
    }
    let _ = writeln!(std::io::stderr(), "SKIP {test}: no evidence of real hardware");
    None
}

/// Nothing but one chain.
struct Only(Vec<u8>);

impl Beside for Only {
    fn chain_of(&self, _: &Piece) -> Option<Vec<u8>> {
        Some(self.0.clone()).filter(|chain| !chain.is_empty())
    }
}

fn piece(bytes: &[u8]) -> Recognised {
    recognise_piece(bytes).unwrap()
}

fn pem(ders: &[&[u8]]) -> Vec<u8> {
    let certificates: Vec<Cert> = ders.iter().map(|der| Cert::read(der).unwrap()).collect();
    x509::to_pem(&certificates).unwrap().into_bytes()
}

#[test]
fn what_amd_hands_out() {
    let Some(folder) = evidence("what_amd_hands_out") else { return };
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let roots = |name: &str| read(&format!("roots/vendor/{name}.der"));
    for (product, vcek, tcb) in [
        (Product::Milan, "snp/milan-v2-virtee/vek.der", None),
        (Product::Genoa, "snp/genoa-v3-veraison-tsm/vek.der", Some([10, 0, 0, 0, 0, 0, 23, 84])),
        (Product::Turin, "snp/vcek-shapes/vcek-turin-valid.der", Some([0, 0, 0, 0, 0, 0, 0, 9])),
    ] {
        let low = product.name().to_ascii_lowercase();
        let ark = roots(&format!("{low}-ark"));
        for (vek, intermediate) in [(Vek::Vcek, "ask"), (Vek::Vlek, "asvk")] {
            let chain = pem(&[&roots(&format!("{low}-{intermediate}")), &ark]);
            let found = piece(&chain);
            assert_eq!(found.piece, Piece::SnpChain { product, vek });
            assert_eq!(authenticate(&found, &Only(Vec::new()), Roots::Vendors), Ok(()));
            // The order matters, and so does the company.
            let turned = pem(&[&ark, &roots(&format!("{low}-{intermediate}"))]);
            assert!(recognise_piece(&turned).is_err());
        }
        let der = read(vcek);
        let found = piece(&der);
        let Piece::SnpVcek { product: said, tcb: of, .. } = &found.piece else { panic!() };
        assert_eq!(*said, product);
        assert!(tcb.is_none_or(|tcb| tcb == *of), "{product} {of:?}");
        let chain = Only(pem(&[&roots(&format!("{low}-ask")), &ark]));
        let judged = authenticate(&found, &chain, Roots::Vendors);
        assert_eq!(judged, Ok(()), "{product}");
        assert!(authenticate(&found, &Only(Vec::new()), Roots::Vendors).is_err());
        // As text, it is the same.
        assert_eq!(piece(&pem(&[&der])), found);
        // What is signed counts. After it come the algorithm once more, and 512 bytes of signature.
        for at in (40..der.len() - 600).step_by(61) {
            let mut bent = der.clone();
            bent[at] ^= 1;
            let judged = recognise_piece(&bent)
                .and_then(|found| authenticate(&found, &chain, Roots::Vendors));
            assert!(judged.is_err(), "{product} at {at}");
        }
    }
    let milan = pem(&[&roots("milan-ask"), &roots("milan-ark")]);
    let list = read("roots/vendor/milan-2022.crl");
    let found = piece(&list);
    assert_eq!(found.piece, Piece::SnpCrl { product: Product::Milan });
    assert_eq!(found.until.to_string(), "2023-05-09T23:00:00Z");
    assert_eq!(authenticate(&found, &Only(milan), Roots::Vendors), Ok(()));
    let genoa = Only(pem(&[&roots("genoa-ask"), &roots("genoa-ark")]));
    assert!(authenticate(&found, &genoa, Roots::Vendors).is_err());
    // A provider's key is nothing to keep.
    let vlek = read("snp/milan-v3-vlek-aws-vmpl1/vek.der");
    assert!(recognise_piece(&vlek).unwrap_err().contains("VLEK"));
}

#[test]
fn what_intel_hands_out() {
    let Some(folder) = evidence("what_intel_hands_out") else { return };
    let mut seen = 0;
    for kind in ["sgx", "tdx"] {
        for case in std::fs::read_dir(folder.join(kind)).unwrap() {
            let case = case.unwrap().path();
            let read = |name: &str| std::fs::read(case.join(name)).ok();
            let chain = |name: &str| match recognise(&read(name)?) {
                Ok(Found::IssuerChain(chain)) => Some(chain),
                other => panic!("{}: {other:?}", case.display()),
            };
            for (name, beside) in [
                ("tcb_info.json", "tcb_info_issuer_chain.pem"),
                ("qe_identity.json", "qe_identity_issuer_chain.pem"),
                ("pck.crl", "pck_crl_issuer_chain.pem"),
                ("root_ca.crl", ""),
            ] {
                let Some(bytes) = read(name) else { continue };
                let Ok(mut found) = recognise_piece(&bytes) else {
                    // TCB infos of version 2, which the service no longer hands out.
                    assert!(String::from_utf8_lossy(&bytes).contains("\"version\":2"), "{name}");
                    continue;
                };
                if !beside.is_empty() {
                    let Some(chain) = chain(beside) else { continue };
                    found.chain = Some(chain);
                }
                let nothing = Only(Vec::new());
                let judged = authenticate(&found, &nothing, Roots::Vendors);
                assert_eq!(judged, Ok(()), "{} {name}", case.display());
                seen += 1;
                // The signature covers the middle of each.
                let mut bent = found.clone();
                let middle = bent.bytes.len() / 2;
                bent.bytes[middle] ^= 1;
                assert!(authenticate(&bent, &nothing, Roots::Vendors).is_err(), "{name}");
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn what_a_platform_is_is_in_its_quote() {
    let Some(folder) = evidence("what_a_platform_is_is_in_its_quote") else { return };
    let case = folder.join("tdx/v4-up-to-date-near-2026");
    let quote = std::fs::read(case.join("quote.bin")).unwrap();
    assert_eq!(fmspc(&quote), line("b0c06f000000"));
    let begin = quote.windows(10).position(|window| window == b"-----BEGIN").unwrap();
    let end = quote.windows(8).rposition(|window| window == b"-----END").unwrap();
    let chain = &quote[begin..end + "-----END CERTIFICATE-----".len()];
    let found = piece(chain);
    let Piece::IntelPck { ppid, tcb } = &found.piece else { panic!("{:?}", found.piece) };
    assert_eq!(hex::encode(ppid), "d208dfb1002346ae1bb4ef2a3c055292");
    assert_eq!(hex::encode(tcb), "040402020401000500000000000000000b00");
    assert_eq!(authenticate(&found, &Only(Vec::new()), Roots::Vendors), Ok(()));
    assert!(fmspc(b"no quote at all").is_err());
    assert!(fmspc(&quote[..begin + 200]).is_err());
}

/// Pieces of Intel's form, by other keys.
fn samples() -> Vec<Vec<u8>> {
    use testkit::pki::{DevCa, Profile};
    let now = Timestamp(1_800_000_000);
    let root = DevCa::generate(INTEL_ROOT, now).unwrap();
    let profile = Profile { common_name: TCB_SIGNING.to_owned(), ..Profile::default() };
    let chain = root.issue(&profile, now).unwrap().chain_pem() + &root.certificate_pem();
    let document = format!(
        r#"{{"tcbInfo":{{"id":"TDX","version":3,"issueDate":"{now}","nextUpdate":"{now}","fmspc":"00906ED50000","tcbEvaluationDataNumber":1,"tcbLevels":[{{}}]}},"signature":"{}"}}"#,
        "00".repeat(64)
    );
    vec![chain.into_bytes(), document.into_bytes(), root.certificate_der().to_vec()]
}

proptest::proptest! {
    #[test]
    fn nothing_that_comes_panics(
        which in 0_usize..3,
        flips in proptest::collection::vec((0_usize..8_192, 0_u8..), 0..6),
        noise in proptest::collection::vec(0_u8.., 0..200),
    ) {
        static SAMPLES: std::sync::LazyLock<Vec<Vec<u8>>> = std::sync::LazyLock::new(samples);
        let mut bytes = SAMPLES[which].clone();
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] ^= value;
        }
        for bytes in [bytes, noise] {
            if let Ok(Found::Piece(found)) = recognise(&bytes) {
                let _ = authenticate(&found, &Only(bytes.clone()), Roots::Any);
                let _ = authenticate(&found, &Only(Vec::new()), Roots::Vendors);
            }
            let _ = fmspc(&bytes);
        }
    }
}

#[test]
fn noise_is_nothing() {
    for bytes in [
        &b""[..],
        b"0",
        b"\x30\x80\x00\x00",
        b"\x30\x03\x02\x01\x05",
        b"{}",
        b"{\"tcbInfo\":{},\"signature\":\"00\"}",
        b"{\"tcbInfo\":{},\"enclaveIdentity\":{},\"signature\":\"\"}",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN X509 CRL-----\nMAMCAQU=\n-----END X509 CRL-----\n",
        b"-----BEGIN NOTHING-----\n-----END NOTHING-----\n",
        b"3003020105",
        b"<!DOCTYPE html>",
    ] {
        assert!(recognise(bytes).is_err(), "{:?}", String::from_utf8_lossy(bytes));
    }
    // Deep nesting costs nobody's stack.
    let deep = format!("{{\"tcbInfo\":{}", "[".repeat(100_000));
    assert!(recognise(deep.as_bytes()).is_err());
}
