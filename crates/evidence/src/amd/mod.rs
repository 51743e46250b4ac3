// SPDX-License-Identifier: Apache-2.0

//! AMD's side of SEV-SNP: products, TCB versions, the certificates that vouch for a chip.

mod chain;
mod roots;
mod vek;

use std::fmt;
use std::str::FromStr;

pub(crate) use chain::{Brought, verify_chain};
pub use chain::{Endorsed, verify_vek};
#[cfg(feature = "vendor-roots")]
pub use roots::vendor_roots;
pub use roots::{ARK_FINGERPRINTS, BadRoots, Roots};
pub use vek::VekKind;

use crate::check::Refusal;
use crate::result::TcbSummary;

/// What the certificate of a chip's key says: its line, for which TCB the key was derived, whose it is. Nothing is verified.
///
/// # Errors
/// Anything but a VCEK or VLEK certificate in DER.
pub fn read_vek(der: &[u8]) -> Result<(Product, Tcb, VekKind), Refusal> {
    vek::Vek::parse(der).map(|vek| (vek.product, vek.tcb, vek.kind))
}

/// A line of processors with a certificate authority of its own.
///
/// Bergamo and Siena (Zen 4c) are of Genoa's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Product {
    /// Zen 3, family 19h models 00h to 0Fh.
    Milan,
    /// Zen 4 and 4c, family 19h models 10h to 1Fh and A0h to AFh.
    Genoa,
    /// Zen 5 and 5c, family 1Ah models 00h to 1Fh.
    Turin,
}

impl Product {
    /// All of them, in the order of their age.
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];

    /// As AMD writes it in certificates.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// The line of a processor, from what CPUID says; `None` for one that is not known.
    pub const fn of_cpuid(family: u8, model: u8) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            (0x1a, 0x00..=0x1f) => Some(Self::Turin),
            _ => None,
        }
    }

    /// Bytes of the hardware identity in a VCEK.
    pub const fn hwid_bytes(self) -> usize {
        match self {
            Self::Milan | Self::Genoa => 64,
            Self::Turin => 8,
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no product's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownProduct;

impl FromStr for Product {
    type Err = UnknownProduct;

    fn from_str(text: &str) -> Result<Self, UnknownProduct> {
        Self::ALL.into_iter().find(|p| p.name() == text).ok_or(UnknownProduct)
    }
}

/// Security version numbers of the firmware (TCB_VERSION), with names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tcb {
    /// FMC; Turin only.
    pub fmc: Option<u8>,
    /// Boot loader.
    pub bootloader: u8,
    /// Operating system of the security processor.
    pub tee: u8,
    /// SNP firmware.
    pub snp: u8,
    /// Microcode.
    pub microcode: u8,
}

impl Tcb {
    /// Reads a TCB_VERSION (8 bytes of a report) of this product; `None` if a reserved byte is not zero.
    pub fn decode(bytes: [u8; 8], product: Product) -> Option<Self> {
        match product {
            Product::Milan | Product::Genoa => {
                let [bootloader, tee, a, b, c, d, snp, microcode] = bytes;
                let zero = [a, b, c, d] == [0; 4];
                zero.then_some(Self { fmc: None, bootloader, tee, snp, microcode })
            }
            Product::Turin => {
                let [fmc, bootloader, tee, snp, a, b, c, microcode] = bytes;
                let zero = [a, b, c] == [0; 3];
                zero.then_some(Self { fmc: Some(fmc), bootloader, tee, snp, microcode })
            }
        }
    }

    /// Writes what [`Self::decode`] reads.
    pub const fn encode(&self, product: Product) -> [u8; 8] {
        let Self { bootloader, tee, snp, microcode, .. } = *self;
        match (product, self.fmc) {
            (Product::Milan | Product::Genoa, _) => [bootloader, tee, 0, 0, 0, 0, snp, microcode],
            (Product::Turin, Some(fmc)) => [fmc, bootloader, tee, snp, 0, 0, 0, microcode],
            (Product::Turin, None) => [0, bootloader, tee, snp, 0, 0, 0, microcode],
        }
    }

    fn parts(&self) -> [u8; 5] {
        [self.fmc.unwrap_or(0), self.bootloader, self.tee, self.snp, self.microcode]
    }

    /// Whether each number is at least that of `floor`.
    pub fn at_least(&self, floor: &Self) -> bool {
        self.parts().iter().zip(floor.parts()).all(|(mine, least)| *mine >= least)
    }

    /// For the attestation result.
    pub const fn summary(&self) -> TcbSummary {
        TcbSummary {
            bootloader: self.bootloader,
            fmc: self.fmc,
            microcode: self.microcode,
            snp: self.snp,
            tee: self.tee,
        }
    }
}

impl fmt::Display for Tcb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(fmc) = self.fmc {
            write!(f, "fmc {fmc}, ")?;
        }
        let Self { bootloader, tee, snp, microcode, .. } = self;
        write!(f, "bootloader {bootloader}, tee {tee}, snp {snp}, microcode {microcode}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcb_layouts_differ_by_product() {
        let bytes = [1, 2, 0, 0, 0, 0, 7, 8];
        let milan = Tcb { fmc: None, bootloader: 1, tee: 2, snp: 7, microcode: 8 };
        assert_eq!(Tcb::decode(bytes, Product::Milan), Some(milan));
        assert_eq!(milan.encode(Product::Genoa), bytes);
        assert_eq!(Tcb::decode(bytes, Product::Turin), None);
        let bytes = [1, 2, 3, 4, 0, 0, 0, 8];
        let turin = Tcb { fmc: Some(1), bootloader: 2, tee: 3, snp: 4, microcode: 8 };
        assert_eq!(Tcb::decode(bytes, Product::Turin), Some(turin));
        assert_eq!(turin.encode(Product::Turin), bytes);
        assert_eq!(Tcb::decode(bytes, Product::Milan), None);
        for reserved in 2..6 {
            let mut bytes = [0; 8];
            bytes[reserved] = 1;
            assert_eq!(Tcb::decode(bytes, Product::Milan), None);
        }
    }

    #[test]
    fn order_is_by_each_part() {
        let tcb = Tcb { fmc: Some(1), bootloader: 1, tee: 1, snp: 1, microcode: 1 };
        assert!(tcb.at_least(&tcb));
        for part in 0..5 {
            let mut higher = tcb;
            match part {
                0 => higher.fmc = Some(2),
                1 => higher.bootloader = 2,
                2 => higher.tee = 2,
                3 => higher.snp = 2,
                _ => higher.microcode = 2,
            }
            assert!(higher.at_least(&tcb) && !tcb.at_least(&higher), "{part}");
        }
    }

    #[test]
    fn products_by_cpuid() {
        for (family, model, product) in [
            (0x19, 0x01, Some(Product::Milan)),
            (0x19, 0x11, Some(Product::Genoa)),
            (0x19, 0xa0, Some(Product::Genoa)),
            (0x1a, 0x02, Some(Product::Turin)),
            (0x1a, 0x11, Some(Product::Turin)),
            (0x19, 0x21, None),
            (0x17, 0x31, None),
            (0, 0, None),
        ] {
            assert_eq!(Product::of_cpuid(family, model), product);
        }
        assert_eq!("Genoa".parse(), Ok(Product::Genoa));
        assert_eq!("genoa".parse::<Product>(), Err(UnknownProduct));
    }
}
