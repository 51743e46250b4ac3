// SPDX-License-Identifier: Apache-2.0

//! Roots, chains, and what is refused.

use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};

use super::create::{Candidate, intermediate};
use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000);

#[test]
fn a_new_root_is_what_it_should_be() {
    let new = generate("Example CA", NOW).unwrap();
    let authority =
        Authority::from_pem(new.certificate_pem.as_bytes(), new.key_pem.as_bytes(), NOW).unwrap();
    assert_eq!(authority.not_after(), NOW.plus(CA_SECONDS));
    assert_eq!(authority.chain_pem().unwrap(), new.certificate_pem);
    let parsed = Certificate::from_der(&new.certificate_der).unwrap();
    let tbs = parsed.tbs_certificate();
    assert_eq!(tbs.subject(), tbs.issuer());
    assert_eq!(tbs.serial_number().as_bytes().len(), 16);
    let (critical, constraints) = tbs.get_extension::<BasicConstraints>().unwrap().unwrap();
    assert!(critical && constraints.ca && constraints.path_len_constraint == Some(1));
    let (critical, usage) = tbs.get_extension::<KeyUsage>().unwrap().unwrap();
    assert!(critical && usage.key_cert_sign() && usage.crl_sign());
    assert!(!usage.digital_signature());
    assert!(format!("{authority:?} {new:?}").find("PRIVATE").is_none());
}

#[test]
fn common_names_are_bounded() {
    for name in ["", "a\nb", &"x".repeat(65)] {
        assert!(generate(name, NOW).is_err(), "{name:?}");
    }
}

#[test]
fn pieces_that_do_not_fit_are_refused() {
    let (a, b) = (generate("A", NOW).unwrap(), generate("B", NOW).unwrap());
    let load = |chain: &str, key: &str, now| {
        Authority::from_pem(chain.as_bytes(), key.as_bytes(), now).unwrap_err()
    };
    assert_eq!(load(&a.certificate_pem, &b.key_pem, NOW), AuthorityError::OtherKey);
    assert_eq!(load("", &a.key_pem, NOW), AuthorityError::Chain);
    assert_eq!(load(&a.key_pem, &a.key_pem, NOW), AuthorityError::Chain);
    assert_eq!(load(&a.certificate_pem, &a.certificate_pem, NOW), AuthorityError::Key);
    let both = format!("{}{}", a.certificate_pem, b.certificate_pem);
    let error = load(&both, &a.key_pem, NOW);
    assert_eq!(error, AuthorityError::Order(2, "its subject is not the issuer there"));
    assert_eq!(load(&a.certificate_pem.repeat(8), &a.key_pem, NOW), AuthorityError::Chain);
    for time in [NOW.minus(86_400), NOW.plus(CA_SECONDS)] {
        assert!(matches!(load(&a.certificate_pem, &a.key_pem, time), AuthorityError::Expired(..)));
    }
}

#[test]
fn a_leaf_is_no_issuer() {
    let ca = testkit::pki::DevCa::generate("CA", NOW).unwrap();
    let (chain, key) = ca.issue_localhost(NOW).unwrap();
    let error = Authority::from_pem(chain.as_bytes(), key.as_bytes(), NOW).unwrap_err();
    assert!(matches!(error, AuthorityError::NoIssuer(1, _)), "{error}");
    // A P-256 root, made elsewhere, serves as well.
    let (root, key) = (ca.certificate_pem(), ca.key_pem());
    assert!(Authority::from_pem(root.as_bytes(), key.as_bytes(), NOW).is_ok());
}

/// A CA of these tests, and what its certificate is to be like.
struct Ca {
    signer: Signer,
    pem: String,
    name: &'static str,
}

struct Like {
    path_length: Option<Option<u8>>,
    usage: bool,
    purposes: Option<Vec<const_oid::ObjectIdentifier>>,
    names_issuers_key: bool,
    window: (Timestamp, Timestamp),
}

impl Default for Like {
    fn default() -> Self {
        Self {
            path_length: Some(None),
            usage: true,
            purposes: None,
            names_issuers_key: true,
            window: (NOW, NOW.plus(1000)),
        }
    }
}

/// A CA called `name` whose certificate names `issuer`, and is signed by `signed_by`.
fn ca(name: &'static str, issuer: Option<&Ca>, signed_by: Option<&Ca>, like: Like) -> Ca {
    use der::asn1::OctetString;
    use x509_cert::ext::pkix::{AuthorityKeyIdentifier, ExtendedKeyUsage, KeyUsages};
    let (signer, _) = Signer::generate().unwrap();
    let dn = |name| x509::name(&[(x509::COMMON_NAME, name)]).unwrap();
    let issuer_key = issuer.filter(|_| like.names_issuers_key).map_or(&signer, |ca| &ca.signer);
    let id = |signer: &Signer| OctetString::new(signer.public().id()).unwrap();
    let mut extensions = vec![
        x509::extension(false, &SubjectKeyIdentifier(id(&signer))).unwrap(),
        x509::extension(
            false,
            &AuthorityKeyIdentifier {
                key_identifier: Some(id(issuer_key)),
                ..AuthorityKeyIdentifier::default()
            },
        )
        .unwrap(),
    ];
    if let Some(path_len_constraint) = like.path_length {
        let constraints = BasicConstraints { ca: true, path_len_constraint };
        extensions.push(x509::extension(true, &constraints).unwrap());
    }
    let usage = if like.usage { KeyUsages::KeyCertSign } else { KeyUsages::DigitalSignature };
    extensions.push(x509::extension(true, &KeyUsage(usage.into())).unwrap());
    if let Some(purposes) = like.purposes {
        extensions.push(x509::extension(false, &ExtendedKeyUsage(purposes)).unwrap());
    }
    let algorithm = signer.public().suite.algorithm();
    let tbs = x509::Tbs {
        version: x509_cert::certificate::Version::V3,
        serial: x509_cert::serial_number::SerialNumber::new(&[1]).unwrap(),
        signature: algorithm.clone(),
        issuer: dn(issuer.map_or(name, |ca| ca.name)),
        validity: x509::validity(like.window.0, like.window.1).unwrap(),
        subject: dn(name),
        spki: Any::encode_from(&signer.public().spki().unwrap()).unwrap(),
        extensions,
    }
    .to_der()
    .unwrap();
    let signature = signed_by.map_or(&signer, |ca| &ca.signer).sign(&tbs).unwrap();
    let der = x509::assemble(&tbs, algorithm, &signature).unwrap();
    Ca { signer, pem: x509::to_pem("CERTIFICATE", &der).unwrap(), name }
}

fn read(chain: &[&Ca]) -> Result<chain::Chain, AuthorityError> {
    let pem: String = chain.iter().map(|ca| ca.pem.as_str()).collect();
    chain::read(pem.as_bytes(), NOW)
}

fn refused(chain: &[&Ca]) -> AuthorityError {
    read(chain).err().unwrap()
}

#[test]
fn a_chain_of_three_is_taken_with_and_without_its_root() {
    let root = ca("root", None, None, Like::default());
    let length = |path_length| Like { path_length: Some(Some(path_length)), ..Like::default() };
    let middle = ca("middle", Some(&root), Some(&root), length(1));
    let issuer = ca("issuer", Some(&middle), Some(&middle), length(0));
    for chain in [&[&issuer, &middle, &root][..], &[&issuer, &middle], &[&issuer], &[&root]] {
        assert_eq!(read(chain).unwrap().der.len(), chain.len());
    }
}

#[test]
fn the_shortest_life_of_a_chain_counts() {
    let window =
        |first: u64, last| Like { window: (NOW.minus(first), NOW.plus(last)), ..Like::default() };
    let root = ca("root", None, None, window(50, 500));
    let issuer = ca("issuer", Some(&root), Some(&root), window(100, 1000));
    let chain = read(&[&issuer, &root]).unwrap();
    assert_eq!((chain.not_before, chain.not_after), (NOW.minus(50), NOW.plus(500)));
}

#[test]
fn every_link_of_a_chain_is_checked() {
    let root = ca("root", None, None, Like::default());
    let under = |like| ca("issuer", Some(&root), Some(&root), like);
    let stranger = ca("root", None, None, Like::default());

    // Signatures: of the issuer, of a root by itself, of a root that only has the right name.
    let forged = ca("issuer", Some(&root), Some(&stranger), Like::default());
    assert_eq!(refused(&[&forged, &root]), AuthorityError::Signature(1));
    let no_root = ca("root", None, Some(&stranger), Like::default());
    let issuer = ca("issuer", Some(&no_root), Some(&no_root), Like::default());
    assert_eq!(refused(&[&issuer, &no_root]), AuthorityError::Signature(2));
    let unnamed = Like { names_issuers_key: false, ..Like::default() };
    let error = refused(&[&under(unnamed), &root]);
    assert_eq!(error, AuthorityError::Order(2, "its key identifier is not the one there"));
    let error = refused(&[&under(Like::default()), &stranger]);
    assert!(matches!(error, AuthorityError::Order(2, _)), "{error}");

    // Rights.
    let no_ca = ca("root", None, None, Like { path_length: None, ..Like::default() });
    assert!(matches!(refused(&[&no_ca]), AuthorityError::NoIssuer(1, _)));
    for like in [
        Like { path_length: None, ..Like::default() },
        Like { path_length: Some(Some(0)), ..Like::default() },
        Like { usage: false, ..Like::default() },
        Like { purposes: Some(vec![const_oid::db::rfc5280::ID_KP_SERVER_AUTH]), ..Like::default() },
    ] {
        let root = ca("root", None, None, like);
        let issuer = ca("issuer", Some(&root), Some(&root), Like::default());
        let error = refused(&[&issuer, &root]);
        assert!(matches!(error, AuthorityError::NoIssuer(2, _)), "{error}");
    }

    // Time.
    for window in [(NOW.plus(1), NOW.plus(2)), (NOW.minus(2), NOW)] {
        let error = refused(&[&under(Like { window, ..Like::default() }), &root]);
        assert_eq!(error, AuthorityError::Expired(1, window.0, window.1));
        let root = ca("root", None, None, Like { window, ..Like::default() });
        let issuer = ca("issuer", Some(&root), Some(&root), Like::default());
        assert_eq!(refused(&[&issuer, &root]), AuthorityError::Expired(2, window.0, window.1));
    }
}

#[test]
fn no_flipped_byte_of_a_chain_goes_unnoticed() {
    let root = ca("root", None, None, Like::default());
    let issuer = ca("issuer", Some(&root), Some(&root), Like::default());
    for (first, second) in [(true, false), (false, true)] {
        let der = |ca: &Ca| der::pem::decode_vec(ca.pem.as_bytes()).unwrap().1;
        for at in 0..der(if first { &issuer } else { &root }).len() {
            let flip = |ca: &Ca, flip: bool| {
                let mut der = der(ca);
                if flip {
                    der[at] ^= 1;
                }
                x509::to_pem("CERTIFICATE", &der).unwrap()
            };
            let pem = [flip(&issuer, first), flip(&root, second)].concat();
            assert!(chain::read(pem.as_bytes(), NOW).is_err(), "byte {at}, first: {first}");
        }
    }
}

#[test]
fn an_intermediate_is_made_under_a_root() {
    let new = generate("Example", NOW).unwrap();
    let root =
        Authority::from_pem(new.certificate_pem.as_bytes(), new.key_pem.as_bytes(), NOW).unwrap();
    let (signer, key_pem) = Signer::generate().unwrap();
    let candidate = Candidate::new("Example Steward", &signer);
    let made = intermediate(&candidate, &root, NOW.minus(3600), 90, NOW).unwrap();
    let authority =
        Authority::from_pem(made.chain_pem.as_bytes(), key_pem.as_bytes(), NOW).unwrap();
    assert_eq!(authority.chain(), [made.der, new.certificate_der.clone()]);
    assert_eq!((authority.not_before(), authority.not_after()), (NOW, NOW.plus(90 * 86_400)));
    let name = create::common_name(&authority.subject().to_der().unwrap()).unwrap();
    assert_eq!(create::base_of(&name), Some("Example Steward"));

    // Not for longer than the root, and not under an intermediate.
    let made = intermediate(&candidate, &root, NOW, u32::MAX, NOW).unwrap();
    assert_eq!(made.not_after, root.not_after());
    let error = intermediate(&candidate, &authority, NOW, 1, NOW).unwrap_err();
    assert_eq!(error, AuthorityError::NoIssuer(2, "its path length allows fewer CAs below it"));
    let long = Candidate::new(&"x".repeat(56), &signer);
    assert_eq!(intermediate(&long, &root, NOW, 1, NOW).unwrap_err(), AuthorityError::Name);
}

#[test]
fn a_request_says_key_and_name_and_is_signed() {
    let (signer, _) = Signer::generate().unwrap();
    let pem = create::request("Example Steward", &signer).unwrap();
    let candidate = Candidate::from_request(pem.as_bytes()).unwrap();
    assert!(format!("{candidate:?}").contains("\"Example Steward\""), "{candidate:?}");
    let (label, der) = der::pem::decode_vec(pem.as_bytes()).unwrap();
    for at in 0..der.len() {
        let mut changed = der.clone();
        changed[at] ^= 1;
        let pem = x509::to_pem(label, &changed).unwrap();
        assert!(Candidate::from_request(pem.as_bytes()).is_err(), "byte {at}");
    }
    for text in ["", "garbage", &new_certificate()] {
        assert!(matches!(
            Candidate::from_request(text.as_bytes()),
            Err(AuthorityError::Request(_))
        ));
    }
}

fn new_certificate() -> String {
    generate("x", NOW).unwrap().certificate_pem
}

#[test]
fn names_of_intermediates_come_apart() {
    assert_eq!(create::base_of("Example Steward 0123abcd"), Some("Example Steward"));
    for name in ["Example", "Example 0123abc", "Example 0123abcx", " 0123abcd", ""] {
        assert_eq!(create::base_of(name), None, "{name:?}");
    }
}
