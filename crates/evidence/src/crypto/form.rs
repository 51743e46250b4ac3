// SPDX-License-Identifier: Apache-2.0

//! The form of keys and signatures, one for all implementations: libraries take more than they document.

use der::Decode as _;
use der::asn1::UintRef;

use super::{Scheme, Signature};
use crate::asn1;

/// Sizes of RSA keys, in bytes of the modulus.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// Whether key and signature have the form that [`Scheme`] describes, before anything is computed.
pub(super) fn holds(scheme: Scheme, public: &[u8], signature: &[u8]) -> bool {
    match scheme.signature() {
        Signature::Fixed(bytes) => point(public, bytes) && signature.len() == 2 * bytes,
        Signature::Der(bytes) => point(public, bytes) && fixed(signature, bytes).is_some(),
        Signature::Rsa => Rsa::read(public).is_some_and(|key| key.can_have(signature)),
    }
}

/// An uncompressed point with coordinates of this length. Whether it is on the curve is for the curve's arithmetic to say.
fn point(public: &[u8], bytes: usize) -> bool {
    public.len() == 1 + 2 * bytes && public.first() == Some(&4)
}

/// `SEQUENCE { r, s }` as `r ‖ s`, each in this many bytes; `None` if it is not DER, or has a number that is too long.
pub(super) fn fixed(signature: &[u8], bytes: usize) -> Option<Vec<u8>> {
    let read = asn1::sequence(signature, |reader| {
        Ok((UintRef::decode(reader)?, UintRef::decode(reader)?))
    });
    let (r, s) = read.ok()?;
    let mut out = Vec::with_capacity(2 * bytes);
    for number in [r.as_bytes(), s.as_bytes()] {
        out.resize(out.len() + bytes.checked_sub(number.len())?, 0);
        out.extend_from_slice(number);
    }
    Some(out)
}

/// `RSAPublicKey ::= SEQUENCE { modulus, publicExponent }` (RFC 8017 A.1.1).
pub(super) struct Rsa<'a> {
    /// Big endian, without zeros in front.
    pub(super) modulus: &'a [u8],
    /// Big endian, without zeros in front.
    #[cfg_attr(not(feature = "pure"), allow(dead_code, reason = "AWS-LC reads the key itself"))]
    pub(super) exponent: &'a [u8],
}

impl<'a> Rsa<'a> {
    /// 2048 to 8192 bits in whole bytes, odd; the exponent odd, from 3 to 33 bits.
    pub(super) fn read(public: &'a [u8]) -> Option<Self> {
        let read = asn1::sequence(public, |reader| {
            Ok((UintRef::decode(reader)?, UintRef::decode(reader)?))
        });
        let (modulus, exponent) = read.ok()?;
        let (modulus, exponent) = (modulus.as_bytes(), exponent.as_bytes());
        let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
        let whole = modulus.first().is_some_and(|first| first & 0x80 != 0);
        // From 3 to 33 bits, as both implementations have it.
        let sensible = match exponent {
            [] | [1] => false,
            [first, _, _, _, _] => *first == 1,
            _ => exponent.len() < 5,
        };
        (RSA_BYTES.contains(&modulus.len()) && whole && odd(modulus) && odd(exponent) && sensible)
            .then_some(Self { modulus, exponent })
    }

    /// A signature is a number below the modulus, written as long as it.
    fn can_have(&self, signature: &[u8]) -> bool {
        signature.len() == self.modulus.len() && signature < self.modulus
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asn1::{SEQUENCE, tlv};

    fn key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
        tlv(SEQUENCE, &[tlv(2, modulus), tlv(2, exponent)].concat())
    }

    /// An odd modulus of this many bits, with a zero in front where DER wants one.
    fn modulus(bits: usize) -> Vec<u8> {
        let mut bytes = vec![0xff; bits.div_ceil(8)];
        bytes[0] >>= (8 - bits % 8) % 8;
        if bytes[0] & 0x80 != 0 {
            bytes.insert(0, 0);
        }
        bytes
    }

    #[test]
    fn rsa_keys() {
        let taken = |modulus: &[u8], exponent: &[u8]| Rsa::read(&key(modulus, exponent)).is_some();
        for bits in [2048, 2056, 3072, 4096, 8192] {
            assert!(taken(&modulus(bits), &[1, 0, 1]), "{bits}");
        }
        for bits in [1024, 2040, 2047, 2049, 2055, 8191, 8193, 8200] {
            assert!(!taken(&modulus(bits), &[1, 0, 1]), "{bits}");
        }
        for exponent in [&[3][..], &[5], &[1, 0, 0, 0, 1], &[1, 0xff, 0xff, 0xff, 0xff]] {
            assert!(taken(&modulus(2048), exponent), "{exponent:?}");
        }
        for exponent in [
            &[][..],
            &[0],
            &[1],
            &[2],
            &[4],
            &[0x81],
            &[0, 3],
            &[2, 0, 0, 0, 1],
            &[3, 0, 0, 0, 1],
            &[1, 0, 0, 0, 0, 1],
        ] {
            assert!(!taken(&modulus(2048), exponent), "{exponent:?}");
        }
        let mut even = modulus(2048);
        *even.last_mut().unwrap() -= 1;
        assert!(!taken(&even, &[3]));
        let padded = [&[0], &modulus(2048)[..]].concat();
        assert!(!taken(&padded, &[3]));
        let good = key(&modulus(2048), &[3]);
        assert!(Rsa::read(&[&good[..], &[0]].concat()).is_none());
        assert!(Rsa::read(&good[..good.len() - 1]).is_none());
    }

    #[test]
    fn rsa_signatures_are_below_the_modulus() {
        let modulus = modulus(2048);
        let key = key(&modulus, &[3]);
        let fits = |signature: &[u8]| holds(Scheme::RsaPkcs1Sha256, &key, signature);
        let mut below = modulus[1..].to_vec();
        assert!(!fits(&below));
        below[255] -= 1;
        assert!(fits(&below));
        assert!(!fits(&below[1..]) && !fits(&[&[0], &below[..]].concat()) && !fits(&[]));
    }

    #[test]
    fn points_and_numbers_have_one_length() {
        let mut public = vec![4; 97];
        let fits =
            |public: &[u8], length| holds(Scheme::EcdsaP384Sha384Fixed, public, &vec![1; length]);
        assert!(fits(&public, 96));
        for length in [0, 1, 48, 95, 97, 132] {
            assert!(!fits(&public, length));
        }
        for length in [0, 1, 49, 65, 96, 98] {
            assert!(!fits(&vec![4; length], 96));
        }
        for first in [0, 2, 3, 5, 6, 7] {
            public[0] = first;
            assert!(!fits(&public, 96));
        }
    }

    #[test]
    fn numbers_in_der() {
        let der = |r: &[u8], s: &[u8]| tlv(SEQUENCE, &[tlv(2, r), tlv(2, s)].concat());
        assert_eq!(fixed(&der(&[1], &[0, 0x80]), 2), Some(vec![0, 1, 0, 0x80]));
        assert_eq!(fixed(&der(&[1, 2], &[3, 4]), 2), Some(vec![1, 2, 3, 4]));
        for wrong in [
            der(&[1, 2, 3], &[4]),
            der(&[0, 1], &[4]),
            der(&[0x80], &[4]),
            der(&[], &[4]),
            [der(&[1], &[4]), vec![0]].concat(),
            tlv(SEQUENCE, &[tlv(2, &[1]), tlv(2, &[4]), tlv(2, &[5])].concat()),
            tlv(SEQUENCE, &tlv(2, &[1])),
            vec![0x30, 0x81, 6, 2, 1, 1, 2, 1, 4],
            vec![],
        ] {
            assert_eq!(fixed(&wrong, 2), None, "{wrong:x?}");
        }
    }
}
