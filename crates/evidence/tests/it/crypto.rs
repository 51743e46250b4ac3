// SPDX-License-Identifier: Apache-2.0

//! Two implementations of signature checks that share no code: they say the same about everything, and no to what is wrong.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA384, RsaEncoding, RsaKeyPair,
};
use enarx_evidence::crypto::{AwsLc, BadSignature, Cached, Pure, Scheme, Verifier};
use proptest::prelude::*;
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::pss::Pss;
use rsa::rand_core::{CryptoRng, RngCore};
use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
use rsa::{BigUint, RsaPrivateKey};
use sha2::{Digest as _, Sha256, Sha384};

use crate::world::tlv;

const MESSAGE: &[u8] = b"what was signed";

/// Both, which have to agree. Endorsements are remembered, as a Steward does: most tests share theirs.
pub(crate) struct Both;

static REMEMBERED: LazyLock<Cached<Compared>> = LazyLock::new(|| Cached::new(Compared, 1024));

impl Verifier for Both {
    fn verify(
        &self,
        scheme: Scheme,
        public: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        Compared.verify(scheme, public, message, signature)
    }

    fn verify_endorsement(
        &self,
        scheme: Scheme,
        public: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        REMEMBERED.verify_endorsement(scheme, public, message, signature)
    }
}

struct Compared;

impl Verifier for Compared {
    fn verify(
        &self,
        scheme: Scheme,
        public: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        let outcome = AwsLc.verify(scheme, public, message, signature);
        let other = Pure.verify(scheme, public, message, signature);
        assert_eq!(
            outcome,
            other,
            "AWS-LC and RustCrypto disagree: {scheme:?}, key {}, message {}, signature {}",
            hex::encode(public),
            hex::encode(message),
            hex::encode(signature),
        );
        outcome
    }
}

/// A key, what it signed, and how.
#[derive(Clone)]
struct Signed {
    scheme: Scheme,
    public: Vec<u8>,
    signature: Vec<u8>,
}

impl Signed {
    fn passes(&self) -> bool {
        Both.verify(self.scheme, &self.public, MESSAGE, &self.signature).is_ok()
    }

    fn with_signature(&self, signature: Vec<u8>) -> Self {
        Self { signature, ..self.clone() }
    }

    fn with_public(&self, public: Vec<u8>) -> Self {
        Self { public, ..self.clone() }
    }
}

/// `r ‖ s` in DER.
fn to_der(fixed: &[u8]) -> Vec<u8> {
    let (r, s) = fixed.split_at(fixed.len() / 2);
    let number = |number: &[u8]| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count().min(number.len() - 1);
        let number = &number[zeros..];
        let sign = if number[0] & 0x80 != 0 { &[0][..] } else { &[] };
        tlv(2, &[sign, number].concat())
    };
    tlv(0x30, &[number(r), number(s)].concat())
}

fn ecdsa(
    algorithm: &'static EcdsaSigningAlgorithm,
    fixed: Scheme,
    der: Option<Scheme>,
) -> Vec<Signed> {
    let key = EcdsaKeyPair::generate(algorithm).unwrap();
    let signature = key.sign(&SystemRandom::new(), MESSAGE).unwrap().as_ref().to_vec();
    let public = key.public_key().as_ref().to_vec();
    let in_der =
        der.map(|scheme| Signed { scheme, public: public.clone(), signature: to_der(&signature) });
    [Signed { scheme: fixed, public, signature }].into_iter().chain(in_der).collect()
}

static RSA: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());

/// One of each scheme.
static SIGNED: LazyLock<Vec<Signed>> = LazyLock::new(|| {
    let rsa = |scheme, encoding: &'static dyn RsaEncoding| {
        let mut signature = vec![0; RSA.public_modulus_len()];
        RSA.sign(encoding, &SystemRandom::new(), MESSAGE, &mut signature).unwrap();
        Signed { scheme, public: RSA.public_key().as_ref().to_vec(), signature }
    };
    [
        ecdsa(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            Scheme::EcdsaP256Sha256Fixed,
            Some(Scheme::EcdsaP256Sha256Der),
        ),
        ecdsa(
            &ECDSA_P384_SHA384_FIXED_SIGNING,
            Scheme::EcdsaP384Sha384Fixed,
            Some(Scheme::EcdsaP384Sha384Der),
        ),
        ecdsa(&ECDSA_P521_SHA512_FIXED_SIGNING, Scheme::EcdsaP521Sha512Fixed, None),
        vec![
            rsa(Scheme::RsaPssSha384, &RSA_PSS_SHA384),
            rsa(Scheme::RsaPkcs1Sha256, &RSA_PKCS1_SHA256),
            rsa(Scheme::RsaPkcs1Sha384, &RSA_PKCS1_SHA384),
            rsa(Scheme::RsaPkcs1Sha512, &RSA_PKCS1_SHA512),
        ],
    ]
    .concat()
});

fn of(scheme: Scheme) -> &'static Signed {
    SIGNED.iter().find(|signed| signed.scheme == scheme).unwrap()
}

/// A curve, as SEC 2 has it: prime, order and b, big endian.
struct Curve {
    scheme: Scheme,
    prime: BigUint,
    order: BigUint,
    bytes: usize,
}

fn curves() -> [Curve; 3] {
    let curve = |scheme, bytes, prime: &str, order: &str| Curve {
        scheme,
        prime: BigUint::parse_bytes(prime.as_bytes(), 16).unwrap(),
        order: BigUint::parse_bytes(order.as_bytes(), 16).unwrap(),
        bytes,
    };
    let f = |count: usize| "f".repeat(count);
    [
        curve(
            Scheme::EcdsaP256Sha256Fixed,
            32,
            "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
            "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        ),
        curve(
            Scheme::EcdsaP384Sha384Fixed,
            48,
            &format!("{}effffffff0000000000000000ffffffff", f(63)),
            &format!("{}c7634d81f4372ddf581a0db248b0a77aecec196accc52973", f(48)),
        ),
        curve(
            Scheme::EcdsaP521Sha512Fixed,
            66,
            &format!("1{}", "ff".repeat(65)),
            &format!(
                "1{}fa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
                f(64)
            ),
        ),
    ]
}

fn padded(number: &BigUint, bytes: usize) -> Vec<u8> {
    let number = number.to_bytes_be();
    [vec![0; bytes - number.len()], number].concat()
}

#[test]
fn each_scheme_takes_what_is_right_and_no_other_does() {
    assert_eq!(SIGNED.len(), Scheme::ALL.len());
    for signed in &*SIGNED {
        assert!(signed.passes(), "{:?}", signed.scheme);
        for scheme in Scheme::ALL {
            let other = Signed { scheme, ..signed.clone() };
            assert_eq!(
                other.passes(),
                scheme == signed.scheme,
                "{:?} as {scheme:?}",
                signed.scheme
            );
        }
        let Signed { scheme, public, signature } = signed;
        for message in [&b""[..], b"what was signeD", b"what was signed ", &MESSAGE[1..]] {
            assert!(Both.verify(*scheme, public, message, signature).is_err());
        }
    }
}

#[test]
fn larger_keys() {
    for size in [KeySize::Rsa3072, KeySize::Rsa4096] {
        let key = RsaKeyPair::generate(size).unwrap();
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PSS_SHA384, &SystemRandom::new(), MESSAGE, &mut signature).unwrap();
        let public = key.public_key().as_ref().to_vec();
        let signed = Signed { scheme: Scheme::RsaPssSha384, public, signature };
        assert!(signed.passes());
        let mut other = signed.signature.clone();
        other[size.len() - 1] ^= 1;
        assert!(!signed.with_signature(other).passes());
    }
}

#[test]
fn numbers_at_their_edges() {
    for Curve { scheme, order, bytes, .. } in curves() {
        let signed = of(scheme);
        let (r, s) = signed.signature.split_at(bytes);
        let number = |n: &BigUint| padded(n, bytes);
        let one = BigUint::from(1_u8);
        let all = vec![0xff; bytes];
        let edges = [
            vec![0; bytes],
            number(&one),
            number(&(&order - &one)),
            number(&order),
            number(&(&order + &one)),
            all,
        ];
        for edge in &edges {
            for signature in [[edge, s].concat(), [r, edge].concat(), [&edge[..], edge].concat()] {
                assert!(!signed.with_signature(signature).passes(), "{scheme:?}");
            }
        }
        assert!(!signed.with_signature([s, r].concat()).passes());
        // The other root of the same equation is a signature too (SEC 1 4.1.4): nothing is keyed by signatures.
        let high = number(&(&order - BigUint::from_bytes_be(s)));
        assert!(signed.with_signature([r, &high].concat()).passes());
        // The same numbers, one order higher where there is room.
        for (at, n) in [(0, r), (1, s)] {
            let higher = (BigUint::from_bytes_be(n) + &order).to_bytes_be();
            if higher.len() == bytes {
                let signature = if at == 0 { [&higher, s].concat() } else { [r, &higher].concat() };
                assert!(!signed.with_signature(signature).passes(), "{scheme:?}");
            }
        }
        for length in [0, 1, bytes, 2 * bytes - 1, 2 * bytes + 1] {
            let mut signature = signed.signature.clone();
            signature.resize(length, 0);
            assert!(!signed.with_signature(signature).passes());
        }
    }
}

#[test]
fn points_that_are_none() {
    for Curve { scheme, prime, bytes, .. } in curves() {
        let signed = of(scheme);
        let (x, y) = signed.public[1..].split_at(bytes);
        let point = |first: u8, x: &[u8], y: &[u8]| [&[first], x, y].concat();
        let sign = y[bytes - 1] & 1;
        let higher = |n: &[u8]| (BigUint::from_bytes_be(n) + &prime).to_bytes_be();
        let minus = padded(&(&prime - BigUint::from_bytes_be(y)), bytes);
        let zero = vec![0; bytes];
        let mut rows = vec![
            ("nothing", vec![]),
            ("infinity", vec![0]),
            ("zero", point(4, &zero, &zero)),
            ("compressed", point(2 + sign, x, &[])),
            ("compressed, otherwise", point(3 - sign, x, &[])),
            ("hybrid", point(6 + sign, x, y)),
            ("raw", [x, y].concat()),
            ("the other way round", point(4, y, x)),
            ("negated", point(4, x, &minus)),
            ("the prime", point(4, &padded(&prime, bytes), y)),
            ("all ones", point(4, &vec![0xff; bytes], y)),
            ("a byte more", point(4, x, &[y, &[0]].concat())),
            ("a byte less", point(4, x, &y[1..])),
        ];
        for (x, y) in [(higher(x), y.to_vec()), (x.to_vec(), higher(y))] {
            if x.len() == bytes && y.len() == bytes {
                rows.push(("not reduced", point(4, &x, &y)));
            }
        }
        for bit in 0..8 {
            let mut off = signed.public.clone();
            off[bytes] ^= 1 << bit;
            rows.push(("off the curve", off));
        }
        for (what, public) in rows {
            assert!(!signed.with_public(public).passes(), "{scheme:?}: {what}");
        }
    }
    // A whole SubjectPublicKeyInfo is no key in the form that is documented.
    let key = crate::world::Key::new();
    let signed = of(Scheme::EcdsaP384Sha384Fixed);
    assert!(!signed.with_public(key.spki.clone()).passes());
}

#[test]
fn only_der() {
    for scheme in [Scheme::EcdsaP256Sha256Der, Scheme::EcdsaP384Sha384Der] {
        let signed = of(scheme);
        let der = &signed.signature;
        let body = &der[2..];
        let r_bytes = usize::from(body[1]);
        let (r, s) = (&body[2..2 + r_bytes], &body[4 + r_bytes..]);
        let pair = |r: &[u8], s: &[u8]| tlv(0x30, &[tlv(2, r), tlv(2, s)].concat());
        assert_eq!(pair(r, s), *der);
        let zero = |n: &[u8]| [&[0], n].concat();
        let long = |tag: u8, value: &[u8]| {
            [&[tag, 0x81, u8::try_from(value.len()).unwrap()], value].concat()
        };
        let negative = |n: &[u8]| if n[0] == 0 { n[1..].to_vec() } else { [&[0xff], n].concat() };
        let rows = [
            ("a zero before r", pair(&zero(r), s)),
            ("a zero before s", pair(r, &zero(s))),
            ("negative r", pair(&negative(r), s)),
            ("negative s", pair(r, &negative(s))),
            ("r empty", pair(&[], s)),
            ("s empty", pair(r, &[])),
            ("r zero", pair(&[0], s)),
            ("s zero", pair(r, &[0])),
            ("a longer length", long(0x30, body)),
            ("a longer length within", tlv(0x30, &[long(2, r), tlv(2, s)].concat())),
            ("no end", [&[0x30, 0x80], body, &[0, 0]].concat()),
            ("a byte after", [&der[..], &[0]].concat()),
            ("a byte after, within", tlv(0x30, &[body, &[0]].concat())),
            ("a third number", tlv(0x30, &[body, &[2, 1, 1]].concat())),
            ("one number", tlv(0x30, &tlv(2, r))),
            ("a set", [&[0x31], &der[1..]].concat()),
            ("octets", tlv(0x30, &[tlv(4, r), tlv(2, s)].concat())),
            ("cut", der[..der.len() - 1].to_vec()),
            ("nothing", vec![]),
            ("an order too high", pair(&[&[1], &vec![0; 66][..]].concat(), s)),
        ];
        for (what, signature) in rows {
            assert!(!signed.with_signature(signature).passes(), "{scheme:?}: {what}");
        }
    }
}

/// The private key, for what nobody should sign.
fn private() -> RsaPrivateKey {
    let der: Pkcs8V1Der<'_> = RSA.as_der().unwrap();
    RsaPrivateKey::from_pkcs8_der(der.as_ref()).unwrap()
}

/// "Random" numbers for salts.
struct Same;

impl RngCore for Same {
    fn next_u32(&mut self) -> u32 {
        7
    }
    fn next_u64(&mut self) -> u64 {
        7
    }
    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        bytes.fill(7);
        Ok(())
    }
}

impl CryptoRng for Same {}

#[test]
fn salts_have_one_length() {
    let (key, signed) = (private(), of(Scheme::RsaPssSha384));
    for salt in [0, 1, 32, 47, 48, 49, 64, 128] {
        let scheme = Pss::new_with_salt::<Sha384>(salt);
        let signature = key.sign_with_rng(&mut Same, scheme, &Sha384::digest(MESSAGE)).unwrap();
        assert_eq!(signed.with_signature(signature).passes(), salt == 48, "{salt}");
    }
    let other = Pss::new_with_salt::<Sha256>(48);
    let signature = key.sign_with_rng(&mut Same, other, &Sha256::digest(MESSAGE)).unwrap();
    assert!(!signed.with_signature(signature).passes(), "another hash");
}

#[test]
fn blocks_have_one_form() {
    let (key, signed) = (private(), of(Scheme::RsaPkcs1Sha256));
    let prefix: [u8; 19] = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01,
        0x05, 0x00, 0x04, 0x20,
    ];
    let digest = Sha256::digest(MESSAGE).to_vec();
    let info = [&prefix[..], &digest].concat();
    // Without the NULL that belongs into the parameters (RFC 8017 9.2, note 2).
    let bare = tlv(0x30, &[tlv(0x30, &prefix[4..15]), tlv(4, &digest)].concat());
    let block = |kind: u8, info: &[u8], after: &[u8]| {
        let padding = vec![if kind == 1 { 0xff } else { 0x55 }; 256 - 3 - info.len() - after.len()];
        [&[0, kind], &padding[..], &[0], info, after].concat()
    };
    let sign = |block: &[u8]| {
        let number = BigUint::from_bytes_be(block).modpow(key.d(), key.n());
        signed.with_signature(padded(&number, 256))
    };
    assert!(sign(&block(1, &info, &[])).passes());
    let mut gap = block(1, &info, &[]);
    gap[50] = 0xfe;
    let mut early = block(1, &info, &[]);
    early[50] = 0;
    for (what, block) in [
        ("for encryption", block(2, &info, &[])),
        ("of no kind", block(0, &info, &[])),
        ("without NULL", block(1, &bare, &[])),
        ("a byte after", block(1, &info, &[0])),
        ("garbage after short padding", block(1, &info, &[0x5a; 190])),
        ("another padding", gap),
        ("padding that ends early", early),
        ("the digest alone", block(1, &digest, &[])),
        ("the digest cut", block(1, &info[..info.len() - 1], &[])),
    ] {
        assert!(!sign(&block).passes(), "{what}");
    }
    let number = BigUint::from_bytes_be(&signed.signature) + key.n();
    let higher = number.to_bytes_be();
    assert!(!signed.with_signature(higher).passes(), "above the modulus");
}

#[test]
fn keys_of_rsa_have_one_form() {
    let key = private();
    let signed = of(Scheme::RsaPssSha384);
    let (n, e) = (key.n().to_bytes_be(), key.e().to_bytes_be());
    let form = |n: &[u8], e: &[u8]| tlv(0x30, &[tlv(2, n), tlv(2, e)].concat());
    let positive = [&[0], &n[..]].concat();
    assert!(signed.with_public(form(&positive, &e)).passes());
    let mut even = positive.clone();
    even[256] &= 0xfe;
    let algorithm = [
        0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0, //
    ];
    let spki = tlv(0x30, &[&algorithm[..], &tlv(3, &[&[0], &signed.public[..]].concat())].concat());
    for (what, public) in [
        ("negative", form(&n, &e)),
        ("two zeros", form(&[&[0], &positive[..]].concat(), &e)),
        ("even", form(&even, &e)),
        ("exponent 1", form(&positive, &[1])),
        ("exponent 2", form(&positive, &[2])),
        ("exponent with a zero", form(&positive, &[&[0], &e[..]].concat())),
        ("exponent 3", form(&positive, &[3])),
        ("small", form(&[&[0], &n[..128]].concat(), &e)),
        ("a third number", tlv(0x30, &[&signed.public[4..], &[2, 1, 1]].concat())),
        ("a byte after", [&signed.public[..], &[0]].concat()),
        ("a SubjectPublicKeyInfo", spki),
        ("nothing", vec![]),
    ] {
        assert!(!signed.with_public(public).passes(), "{what}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is changed, both say the same, and no.
    #[test]
    fn changes_are_seen_by_both(
        which in 0..9_usize,
        part in 0..3_usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..4),
        resize in prop::option::of(-2_isize..=2),
    ) {
        let signed = &SIGNED[which];
        let mut parts = [signed.public.clone(), MESSAGE.to_vec(), signed.signature.clone()];
        let before = parts.clone();
        let changed = &mut parts[part];
        for (at, xor) in flips {
            let at = at.index(changed.len());
            changed[at] ^= xor;
        }
        if let Some(by) = resize {
            changed.resize(changed.len().saturating_add_signed(by), 0);
        }
        let outcome = Both.verify(signed.scheme, &parts[0], &parts[1], &parts[2]);
        prop_assert!(parts == before || outcome.is_err());
    }

    #[test]
    fn noise_is_refused_by_both(
        which in 0..9_usize,
        public in prop::collection::vec(any::<u8>(), 0..300),
        signature in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let Signed { scheme, public: right, signature: good } = &SIGNED[which];
        prop_assert!(Both.verify(*scheme, &public, MESSAGE, good).is_err());
        prop_assert!(Both.verify(*scheme, right, MESSAGE, &signature).is_err());
    }
}
