// SPDX-License-Identifier: Apache-2.0

//! ATTESTATION_REPORT (SEV-SNP Firmware ABI specification, MSG_REPORT_RSP), versions 2 to 5.
//!
//! Integers are little endian. Bytes 0 to 671 are signed; what follows the signature must be zero, or a report could be
//! changed without breaking it.

use std::fmt;

/// Bytes of a report.
pub const REPORT_BYTES: usize = 1184;
/// Bytes of it that are signed.
pub const SIGNED_BYTES: usize = 672;
/// The only signature algorithm: ECDSA with P-384 and SHA-384.
const ECDSA_P384_SHA384: u32 = 1;
/// Order of the group of P-384, big endian.
const P384_ORDER: [u8; 48] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf,
    0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];

/// What is wrong with the bytes of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Another length than 1184.
    Length(usize),
    /// Another version than 2 to 5.
    Version(u32),
    /// Another signature algorithm than ECDSA with P-384 and SHA-384.
    SignatureAlgorithm(u32),
    /// The signing key is neither VCEK nor VLEK.
    SigningKey,
    /// A reserved field is not zero (or, for the one bit of the guest policy that must be one, not one).
    Reserved(&'static str),
    /// r or s is not from 1 to the group's order less one.
    SignatureRange,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(f, "a report has {REPORT_BYTES} bytes, not {length}"),
            Self::Version(version) => {
                write!(f, "report version {version} is not known (2 to 5 are)")
            }
            Self::SignatureAlgorithm(id) => {
                write!(f, "signature algorithm {id} is not known (1 is)")
            }
            Self::SigningKey => f.write_str("the report was signed by neither a VCEK nor a VLEK"),
            Self::Reserved(field) => write!(f, "reserved bits are set wrong: {field}"),
            Self::SignatureRange => f.write_str("the signature's numbers are out of their range"),
        }
    }
}

impl std::error::Error for Malformed {}

/// What the guest's owner allows (GUEST_POLICY).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestPolicy(pub u64);

impl GuestPolicy {
    const fn bit(self, bit: u8) -> bool {
        self.0 >> bit & 1 == 1
    }

    /// Least firmware ABI version, major and minor.
    pub const fn abi(self) -> (u8, u8) {
        let [minor, major, ..] = self.0.to_le_bytes();
        (major, minor)
    }

    /// Simultaneous multithreading is allowed.
    pub const fn smt(self) -> bool {
        self.bit(16)
    }

    /// The guest may be associated with a migration agent.
    pub const fn migrate_ma(self) -> bool {
        self.bit(18)
    }

    /// The host may debug the guest.
    pub const fn debug(self) -> bool {
        self.bit(19)
    }

    /// The guest may run on one socket only.
    pub const fn single_socket(self) -> bool {
        self.bit(20)
    }

    /// CXL may be populated with devices or memory.
    pub const fn cxl_allow(self) -> bool {
        self.bit(21)
    }

    /// Memory must be encrypted with AES-256-XTS.
    pub const fn mem_aes_256_xts(self) -> bool {
        self.bit(22)
    }

    /// Running average power limit must be disabled.
    pub const fn rapl_disabled(self) -> bool {
        self.bit(23)
    }

    /// Ciphertext must be hidden in DRAM.
    pub const fn ciphertext_hiding(self) -> bool {
        self.bit(24)
    }

    /// Page swapping by the host is disabled.
    pub const fn page_swap_disabled(self) -> bool {
        self.bit(25)
    }

    /// Bit 17 must be one, bits 26 to 63 zero.
    const fn reserved_right(self) -> bool {
        self.bit(17) && self.0 >> 26 == 0
    }
}

/// What the platform is set up as (PLATFORM_INFO).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlatformInfo(pub u64);

impl PlatformInfo {
    const fn bit(self, bit: u8) -> bool {
        self.0 >> bit & 1 == 1
    }

    /// Simultaneous multithreading is enabled.
    pub const fn smt(self) -> bool {
        self.bit(0)
    }

    /// Transparent memory encryption is enabled.
    pub const fn tsme(self) -> bool {
        self.bit(1)
    }

    /// Memory has error correction.
    pub const fn ecc(self) -> bool {
        self.bit(2)
    }

    /// Running average power limit is disabled.
    pub const fn rapl_disabled(self) -> bool {
        self.bit(3)
    }

    /// Ciphertext is hidden in DRAM.
    pub const fn ciphertext_hiding(self) -> bool {
        self.bit(4)
    }

    /// Since the last reset, no memory was found under two addresses (AMD-SB-3015).
    pub const fn alias_check_complete(self) -> bool {
        self.bit(5)
    }

    /// Devices can be let into guests' trust (SEV-TIO).
    pub const fn tio(self) -> bool {
        self.bit(7)
    }

    /// Bits 8 to 63 must be zero. Turin's firmware sets bit 6, bit 7 is SEV-TIO.
    const fn reserved_right(self) -> bool {
        self.0 >> 8 == 0
    }
}

/// Which key signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningKey {
    /// The chip's own.
    Vcek,
    /// A cloud provider's.
    Vlek,
}

/// Bits beside the signature (offset 48h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyInfo(pub u32);

impl KeyInfo {
    /// AUTHOR_KEY_DIGEST holds the digest of a key that signed the ID key.
    pub const fn author_key(self) -> bool {
        self.0 & 1 == 1
    }

    /// The platform hides which chip it is (MASK_CHIP_KEY).
    pub const fn mask_chip_key(self) -> bool {
        self.0 >> 1 & 1 == 1
    }

    /// SIGNING_KEY; `None` for no key, and for values that are reserved.
    pub const fn signing_key(self) -> Option<SigningKey> {
        match self.0 >> 2 & 7 {
            0 => Some(SigningKey::Vcek),
            1 => Some(SigningKey::Vlek),
            _ => None,
        }
    }
}

/// Family, model and stepping of the processor; report version 3 and later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpuid {
    /// Family, extended family included.
    pub family: u8,
    /// Model, extended model included.
    pub model: u8,
    /// Stepping.
    pub stepping: u8,
}

/// Version of the SNP firmware's ABI. The greater is the newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FirmwareVersion {
    /// Major version.
    pub major: u8,
    /// Minor version.
    pub minor: u8,
    /// Build.
    pub build: u8,
}

impl fmt::Display for FirmwareVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.build)
    }
}

/// A report, read but not verified. TCB versions are raw: their layout depends on the product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Version of the format, 2 to 5.
    pub version: u32,
    /// Security version that the guest's owner gave it (ID block).
    pub guest_svn: u32,
    /// What the guest's owner allows.
    pub policy: GuestPolicy,
    /// Family of the guest (ID block).
    pub family_id: [u8; 16],
    /// Image of the guest (ID block).
    pub image_id: [u8; 16],
    /// Privilege level at which the report was asked for, 0 to 3.
    pub vmpl: u32,
    /// TCB of the firmware that runs.
    pub current_tcb: [u8; 8],
    /// What the platform is set up as.
    pub platform_info: PlatformInfo,
    /// Author key, masking, signing key.
    pub key_info: KeyInfo,
    /// What the guest wanted in the report.
    pub report_data: [u8; 64],
    /// Launch digest.
    pub measurement: [u8; 48],
    /// What the host put in at launch.
    pub host_data: [u8; 32],
    /// SHA-384 of the key that signed the ID block; zero without one.
    pub id_key_digest: [u8; 48],
    /// SHA-384 of the key that signed the ID key; zero without one.
    pub author_key_digest: [u8; 48],
    /// Names this guest until it ends.
    pub report_id: [u8; 32],
    /// The migration agent's.
    pub report_id_ma: [u8; 32],
    /// TCB for which the signing key was derived.
    pub reported_tcb: [u8; 8],
    /// The processor; since version 3.
    pub cpuid: Option<Cpuid>,
    /// The chip; zero where masked.
    pub chip_id: [u8; 64],
    /// TCB below which the firmware cannot be set back.
    pub committed_tcb: [u8; 8],
    /// Firmware that runs.
    pub current_version: FirmwareVersion,
    /// Firmware below which it cannot be set back.
    pub committed_version: FirmwareVersion,
    /// TCB when the guest was launched.
    pub launch_tcb: [u8; 8],
    /// Mitigations in force at launch and now; since version 5.
    pub mitigations: Option<(u64, u64)>,
    /// r and s, big endian.
    pub signature: [u8; 96],
}

/// Reads fields from front to back.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    /// The next `N` bytes; the length was checked before, so that they are there.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        if let Some((head, tail)) = self.0.split_at_checked(N) {
            out.copy_from_slice(head);
            self.0 = tail;
        }
        out
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn version(&mut self) -> FirmwareVersion {
        let [build, minor, major] = self.take();
        FirmwareVersion { major, minor, build }
    }

    fn zero<const N: usize>(&mut self, field: &'static str) -> Result<(), Malformed> {
        if self.take::<N>() == [0; N] { Ok(()) } else { Err(Malformed::Reserved(field)) }
    }

    /// A number of the signature (72 bytes, of which 48 are used), big endian.
    fn scalar(&mut self) -> Result<[u8; 48], Malformed> {
        let mut scalar: [u8; 48] = self.take();
        scalar.reverse();
        self.zero::<24>("the upper bytes of the signature's numbers")?;
        let in_range = scalar != [0; 48] && scalar < P384_ORDER;
        if in_range { Ok(scalar) } else { Err(Malformed::SignatureRange) }
    }
}

impl Report {
    /// Reads a report, strictly.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() != REPORT_BYTES {
            return Err(Malformed::Length(bytes.len()));
        }
        let mut c = Cursor(bytes);
        let version = c.u32();
        if !(2..=5).contains(&version) {
            return Err(Malformed::Version(version));
        }
        let guest_svn = c.u32();
        let policy = GuestPolicy(c.u64());
        if !policy.reserved_right() {
            return Err(Malformed::Reserved("the guest policy"));
        }
        let (family_id, image_id, vmpl) = (c.take(), c.take(), c.u32());
        let algorithm = c.u32();
        if algorithm != ECDSA_P384_SHA384 {
            return Err(Malformed::SignatureAlgorithm(algorithm));
        }
        let current_tcb = c.take();
        let platform_info = PlatformInfo(c.u64());
        if !platform_info.reserved_right() {
            return Err(Malformed::Reserved("the platform information"));
        }
        let key_info = KeyInfo(c.u32());
        if key_info.0 >> 5 != 0 {
            return Err(Malformed::Reserved("the key information"));
        }
        if key_info.signing_key().is_none() {
            return Err(Malformed::SigningKey);
        }
        c.zero::<4>("bytes 4Ch to 4Fh")?;
        let (report_data, measurement, host_data) = (c.take(), c.take(), c.take());
        let (id_key_digest, author_key_digest) = (c.take(), c.take());
        let (report_id, report_id_ma, reported_tcb) = (c.take(), c.take(), c.take());
        let cpuid = if version >= 3 {
            let [family, model, stepping] = c.take();
            Some(Cpuid { family, model, stepping })
        } else {
            c.zero::<3>("bytes 188h to 18Ah, before version 3")?;
            None
        };
        c.zero::<21>("bytes 18Bh to 19Fh")?;
        let (chip_id, committed_tcb) = (c.take(), c.take());
        let current_version = c.version();
        c.zero::<1>("byte 1EBh")?;
        let committed_version = c.version();
        c.zero::<1>("byte 1EFh")?;
        let launch_tcb = c.take();
        let mitigations = if version >= 5 {
            Some((c.u64(), c.u64()))
        } else {
            c.zero::<16>("bytes 1F8h to 207h, before version 5")?;
            None
        };
        c.zero::<152>("bytes 208h to 29Fh")?;
        let (r, s) = (c.scalar()?, c.scalar()?);
        c.zero::<368>("the bytes after the signature")?;
        let mut signature = [0; 96];
        for (to, from) in signature.iter_mut().zip(r.into_iter().chain(s)) {
            *to = from;
        }
        Ok(Self {
            version,
            guest_svn,
            policy,
            family_id,
            image_id,
            vmpl,
            current_tcb,
            platform_info,
            key_info,
            report_data,
            measurement,
            host_data,
            id_key_digest,
            author_key_digest,
            report_id,
            report_id_ma,
            reported_tcb,
            cpuid,
            chip_id,
            committed_tcb,
            current_version,
            committed_version,
            launch_tcb,
            mitigations,
            signature,
        })
    }

    /// Whether the chip's identity is masked.
    pub fn chip_id_masked(&self) -> bool {
        self.chip_id == [0; 64]
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
