// SPDX-License-Identifier: Apache-2.0

//! The pieces of collateral, and what each is called.

use std::fmt;

use evidence::amd::Product;
use types::limits;

/// Which certificate authority of a product: that for chips, or that for cloud providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vek {
    /// For chips (VCEK).
    Vcek,
    /// For cloud providers (VLEK).
    Vlek,
}

impl Vek {
    /// As it stands in paths of AMD's key distribution service.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vcek => "vcek",
            Self::Vlek => "vlek",
        }
    }
}

/// Whose TCB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IntelTee {
    /// Enclaves.
    Sgx,
    /// Virtual machines.
    Tdx,
}

impl IntelTee {
    /// As it stands in paths of Intel's service.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sgx => "sgx",
            Self::Tdx => "tdx",
        }
    }

    /// For people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Sgx => "SGX",
            Self::Tdx => "TDX",
        }
    }
}

/// Which of Intel's authorities for platforms' keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum PckCa {
    /// Servers with several sockets, and all that came after.
    Platform,
    /// Clients and single sockets.
    Processor,
}

impl PckCa {
    /// As it stands in Intel's queries.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Processor => "processor",
        }
    }

    /// Common name of its certificate.
    pub const fn common_name(self) -> &'static str {
        match self {
            Self::Platform => "Intel SGX PCK Platform CA",
            Self::Processor => "Intel SGX PCK Processor CA",
        }
    }
}

/// A piece of collateral: what it is, not its contents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// ASK or ASVK with the ARK, PEM.
    SnpChain {
        /// Line of processors.
        product: Product,
        /// Whose authority.
        vek: Vek,
    },
    /// The ARK's revocation list, DER.
    SnpCrl {
        /// Line of processors.
        product: Product,
    },
    /// Certificate of a chip's key, DER.
    SnpVcek {
        /// Line of processors.
        product: Product,
        /// Hardware identity.
        hwid: Vec<u8>,
        /// TCB_VERSION for which the key was derived, in the product's layout.
        tcb: [u8; 8],
    },
    /// Revocation list of Intel's root, DER.
    IntelRootCrl,
    /// Revocation list of an authority for platforms' keys, DER.
    IntelPckCrl {
        /// Which.
        ca: PckCa,
    },
    /// Certificate of a platform's key with its chain, PEM.
    IntelPck {
        /// Identity of the platform (PPID).
        ppid: [u8; 16],
        /// CPUSVN and PCESVN (TCBm).
        tcb: [u8; 18],
    },
    /// TCB info of a line of platforms, JSON.
    IntelTcb {
        /// Whose.
        tee: IntelTee,
        /// The line.
        fmspc: [u8; 6],
    },
    /// Identity of the quoting enclave, JSON.
    IntelQe {
        /// Whose.
        tee: IntelTee,
    },
}

impl Piece {
    /// Name of its file, without what tells the format.
    pub fn stem(&self) -> String {
        match self {
            Self::SnpChain { product, vek } => {
                format!("snp-chain-{}-{}", vek.name(), low(*product))
            }
            Self::SnpCrl { product } => format!("snp-crl-{}", low(*product)),
            Self::SnpVcek { product, hwid, tcb } => {
                format!("snp-vcek-{}-{}-{}", low(*product), hex::encode(hwid), hex::encode(tcb))
            }
            Self::IntelRootCrl => "intel-root-crl".to_owned(),
            Self::IntelPckCrl { ca } => format!("intel-pck-crl-{}", ca.name()),
            Self::IntelPck { ppid, tcb } => {
                format!("intel-pck-{}-{}", hex::encode(ppid), hex::encode(tcb))
            }
            Self::IntelTcb { tee, fmspc } => format!("{}-tcb-{}", tee.name(), hex::encode(fmspc)),
            Self::IntelQe { tee } => format!("{}-qe-identity", tee.name()),
        }
    }

    /// Name of its file.
    pub fn file_name(&self) -> String {
        format!("{}.{}", self.stem(), self.extension())
    }

    const fn extension(&self) -> &'static str {
        match self {
            Self::SnpChain { .. } | Self::IntelPck { .. } => "pem",
            Self::SnpCrl { .. } | Self::IntelRootCrl | Self::IntelPckCrl { .. } => "crl",
            Self::SnpVcek { .. } => "der",
            Self::IntelTcb { .. } | Self::IntelQe { .. } => "json",
        }
    }

    /// Most bytes that are taken for one.
    pub const fn limit(&self) -> usize {
        match self {
            Self::SnpChain { .. } | Self::IntelPck { .. } => limits::COLLATERAL_CHAIN_BYTES_MAX,
            Self::SnpVcek { .. } => limits::CERTIFICATE_BYTES_MAX,
            // Hex from a caching service is twice as long.
            Self::IntelRootCrl => 2 * limits::CRL_BYTES_MAX,
            Self::SnpCrl { .. } | Self::IntelPckCrl { .. } => limits::CRL_BYTES_MAX,
            Self::IntelTcb { .. } | Self::IntelQe { .. } => limits::COLLATERAL_JSON_BYTES_MAX,
        }
    }

    /// Whether its maker replaces it now and then, so that a fresh one has to be asked for. The others are good until they
    /// end.
    pub const fn is_dated(&self) -> bool {
        match self {
            Self::SnpChain { .. } | Self::SnpVcek { .. } | Self::IntelPck { .. } => false,
            Self::SnpCrl { .. }
            | Self::IntelRootCrl
            | Self::IntelPckCrl { .. }
            | Self::IntelTcb { .. }
            | Self::IntelQe { .. } => true,
        }
    }

    /// Whether it is a revocation list.
    pub const fn is_list(&self) -> bool {
        matches!(self, Self::SnpCrl { .. } | Self::IntelRootCrl | Self::IntelPckCrl { .. })
    }

    /// Whether AMD makes it; otherwise Intel does.
    pub const fn is_amd(&self) -> bool {
        matches!(self, Self::SnpChain { .. } | Self::SnpCrl { .. } | Self::SnpVcek { .. })
    }
}

fn low(product: Product) -> String {
    product.name().to_ascii_lowercase()
}

/// The first bytes of an identity, for people.
fn short(bytes: &[u8]) -> String {
    let start = bytes.get(..4).unwrap_or(bytes);
    format!("{}…", hex::encode(start))
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SnpChain { product, vek: Vek::Vcek } => write!(f, "{product} ASK and ARK"),
            Self::SnpChain { product, vek: Vek::Vlek } => write!(f, "{product} ASVK and ARK"),
            Self::SnpCrl { product } => write!(f, "{product} revocation list"),
            Self::SnpVcek { product, hwid, tcb } => {
                write!(f, "{product} VCEK {} TCB {}", short(hwid), hex::encode(tcb))
            }
            Self::IntelRootCrl => f.write_str("Intel root revocation list"),
            Self::IntelPckCrl { ca } => write!(f, "Intel PCK {} revocation list", ca.name()),
            Self::IntelPck { ppid, .. } => write!(f, "Intel PCK {}", short(ppid)),
            Self::IntelTcb { tee, fmspc } => {
                write!(f, "{} TCB info {}", tee.title(), hex::encode(fmspc))
            }
            Self::IntelQe { tee } => write!(f, "{} QE identity", tee.title()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_short_enough_and_of_harmless_letters() {
        let product = Product::Milan;
        for piece in [
            Piece::SnpChain { product, vek: Vek::Vlek },
            Piece::SnpCrl { product },
            Piece::SnpVcek { product, hwid: vec![0xab; 64], tcb: [7; 8] },
            Piece::IntelRootCrl,
            Piece::IntelPckCrl { ca: PckCa::Platform },
            Piece::IntelPck { ppid: [1; 16], tcb: [2; 18] },
            Piece::IntelTcb { tee: IntelTee::Tdx, fmspc: [3; 6] },
            Piece::IntelQe { tee: IntelTee::Sgx },
        ] {
            let name = piece.file_name();
            assert!(name.len() < 200, "{name}");
            let harmless =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
            assert!(name.bytes().all(harmless), "{name}");
        }
    }
}
