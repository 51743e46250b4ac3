// SPDX-License-Identifier: Apache-2.0

use proptest::prelude::*;

use super::*;

/// A report as zero as can be.
fn plain(version: u8) -> Vec<u8> {
    let mut bytes = vec![0; REPORT_BYTES];
    bytes[0] = version;
    bytes[8 + 2] = 0x02; // bit 17
    bytes[0x34] = 1;
    bytes[0x2a0] = 1;
    bytes[0x2a0 + 72] = 1;
    bytes
}

#[test]
fn fields_are_where_the_specification_puts_them() {
    let mut bytes = plain(5);
    for (at, value) in [
        (0x04, 1),
        (0x0a, 0x0b),
        (0x10, 2),
        (0x20, 3),
        (0x30, 4),
        (0x38, 5),
        (0x40, 0x25),
        (0x48, 0x07),
        (0x50, 6),
        (0x90, 7),
        (0xc0, 8),
        (0xe0, 9),
        (0x110, 10),
        (0x140, 11),
        (0x160, 12),
        (0x180, 13),
        (0x188, 0x19),
        (0x189, 0xa0),
        (0x18a, 2),
        (0x1a0, 14),
        (0x1e0, 15),
        (0x1e8, 16),
        (0x1e9, 17),
        (0x1ea, 18),
        (0x1ec, 19),
        (0x1ed, 20),
        (0x1ee, 21),
        (0x1f0, 22),
        (0x1f8, 23),
        (0x200, 24),
    ] {
        bytes[at] = value;
    }
    let r = Report::parse(&bytes).unwrap();
    assert_eq!((r.version, r.guest_svn, r.vmpl), (5, 1, 4));
    assert!(r.policy.debug() && r.policy.smt() && !r.policy.migrate_ma());
    assert_eq!((r.family_id[0], r.image_id[0], r.current_tcb[0]), (2, 3, 5));
    let platform = r.platform_info;
    assert!(platform.smt() && platform.ecc() && platform.alias_check_complete());
    assert!(!platform.tsme() && !platform.rapl_disabled() && !platform.ciphertext_hiding());
    assert!(r.key_info.author_key() && r.key_info.mask_chip_key());
    assert_eq!(r.key_info.signing_key(), Some(SigningKey::Vlek));
    assert_eq!((r.report_data[0], r.measurement[0], r.host_data[0]), (6, 7, 8));
    assert_eq!((r.id_key_digest[0], r.author_key_digest[0]), (9, 10));
    assert_eq!((r.report_id[0], r.report_id_ma[0], r.reported_tcb[0]), (11, 12, 13));
    assert_eq!(r.cpuid, Some(Cpuid { family: 0x19, model: 0xa0, stepping: 2 }));
    assert_eq!((r.chip_id[0], r.committed_tcb[0], r.launch_tcb[0]), (14, 15, 22));
    assert_eq!(r.current_version.to_string(), "18.17.16");
    assert_eq!(r.committed_version.to_string(), "21.20.19");
    assert_eq!(r.mitigations, Some((23, 24)));
    assert_eq!((r.signature[47], r.signature[95]), (1, 1));
}

#[test]
fn policy_bits_are_where_the_specification_puts_them() {
    type Bit = (u8, fn(GuestPolicy) -> bool);
    let bits: [Bit; 9] = [
        (16, GuestPolicy::smt),
        (18, GuestPolicy::migrate_ma),
        (19, GuestPolicy::debug),
        (20, GuestPolicy::single_socket),
        (21, GuestPolicy::cxl_allow),
        (22, GuestPolicy::mem_aes_256_xts),
        (23, GuestPolicy::rapl_disabled),
        (24, GuestPolicy::ciphertext_hiding),
        (25, GuestPolicy::page_swap_disabled),
    ];
    for (bit, get) in bits {
        assert!(get(GuestPolicy(1 << bit)) && !get(GuestPolicy(!(1 << bit))));
    }
    assert_eq!(GuestPolicy(0x3_0133).abi(), (1, 51));
    type PlatformBit = (u8, fn(PlatformInfo) -> bool);
    let bits: [PlatformBit; 7] = [
        (0, PlatformInfo::smt),
        (1, PlatformInfo::tsme),
        (2, PlatformInfo::ecc),
        (3, PlatformInfo::rapl_disabled),
        (4, PlatformInfo::ciphertext_hiding),
        (5, PlatformInfo::alias_check_complete),
        (7, PlatformInfo::tio),
    ];
    for (bit, get) in bits {
        assert!(get(PlatformInfo(1 << bit)) && !get(PlatformInfo(!(1 << bit))));
    }
}

/// Each bit that must not be set: where, in which versions.
fn reserved(version: u8) -> Vec<(usize, u8)> {
    let mut bits = Vec::new();
    let mut range = |from: usize, to: usize| {
        bits.extend((from..to).flat_map(|at| (0..8).map(move |bit| (at, bit))));
    };
    range(0x0c, 0x10);
    range(0x41, 0x48);
    range(0x49, 0x50);
    range(0x18b, 0x1a0);
    range(0x1eb, 0x1ec);
    range(0x1ef, 0x1f0);
    range(0x208, 0x2a0);
    range(0x2a0 + 48, 0x2a0 + 72);
    range(0x2a0 + 120, REPORT_BYTES);
    if version < 3 {
        range(0x188, 0x18b);
    }
    if version < 5 {
        range(0x1f8, 0x208);
    }
    bits.extend((2..8).map(|bit| (0x0b, bit)));
    bits.extend((5..8).map(|bit| (0x48, bit)));
    bits
}

#[test]
fn each_reserved_bit_is_refused() {
    for version in 2..=5 {
        let bytes = plain(version);
        assert!(Report::parse(&bytes).is_ok());
        for (at, bit) in reserved(version) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            let found = Report::parse(&bytes);
            let refused = matches!(found, Err(Malformed::Reserved(_)));
            assert!(refused, "version {version}, byte {at:x}, bit {bit}: {found:?}");
        }
    }
    let mut bytes = plain(2);
    bytes[10] = 0;
    assert_eq!(Report::parse(&bytes), Err(Malformed::Reserved("the guest policy")));
}

#[test]
fn other_forms_are_refused() {
    for length in [0, 1, REPORT_BYTES - 1, REPORT_BYTES + 1] {
        assert_eq!(Report::parse(&vec![2; length]), Err(Malformed::Length(length)));
    }
    for version in [0_u32, 1, 6, u32::MAX] {
        let mut bytes = plain(2);
        bytes[..4].copy_from_slice(&version.to_le_bytes());
        assert_eq!(Report::parse(&bytes), Err(Malformed::Version(version)));
    }
    for algorithm in [0, 2, 0xff] {
        let mut bytes = plain(2);
        bytes[0x34] = algorithm;
        assert!(matches!(Report::parse(&bytes), Err(Malformed::SignatureAlgorithm(_))));
    }
    for key in 2..8 {
        let mut bytes = plain(2);
        bytes[0x48] = key << 2;
        assert_eq!(Report::parse(&bytes), Err(Malformed::SigningKey));
    }
}

#[test]
fn the_signatures_numbers_are_in_range() {
    for at in [0x2a0, 0x2a0 + 72] {
        let set = |number: [u8; 48]| {
            let mut bytes = plain(3);
            bytes[at..at + 48].copy_from_slice(&number);
            bytes[at..at + 48].reverse();
            Report::parse(&bytes).err()
        };
        assert_eq!(set([0; 48]), Some(Malformed::SignatureRange));
        assert_eq!(set(P384_ORDER), Some(Malformed::SignatureRange));
        assert_eq!(set([0xff; 48]), Some(Malformed::SignatureRange));
        let mut last = P384_ORDER;
        last[47] -= 1;
        assert_eq!(set(last), None);
    }
}

proptest! {
    #[test]
    fn reading_never_panics(
        version in 0_u8..8,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        length in 0..2 * REPORT_BYTES,
    ) {
        let mut bytes = plain(version);
        for (at, xor) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= xor;
        }
        let _ = Report::parse(&bytes);
        bytes.resize(length, 0);
        let _ = Report::parse(&bytes);
    }
}
