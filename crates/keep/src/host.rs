// SPDX-License-Identifier: Apache-2.0

//! What a host can say about its processor, so that its collateral can be asked for. Nothing of it is trusted by anybody.
//!
//! Each function takes the root of the file system, so that tests can bring one of their own. Never run on hardware: the
//! machines that this was written on have no such processor.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::sys;

/// Most bytes of `/proc/cpuinfo` that are read: the first processors tell enough.
const CPUINFO_BYTES_MAX: u64 = 64 * 1024;
/// Where the firmware leaves what it wants registered with Intel.
const REGISTRATION: &str =
    "sys/firmware/efi/efivars/SgxRegistrationServerRequest-304e0796-d515-4698-ac6e-e76cb1a71c28";

/// A processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processor {
    /// `AuthenticAMD` or `GenuineIntel`.
    pub vendor: String,
    /// Family, as CPUID says it, with the extended part added.
    pub family: u8,
    /// Model, with the extended part added.
    pub model: u8,
    /// What it can, in Linux's words.
    pub flags: Vec<String>,
}

/// What the firmware of an AMD host says about its chip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnpHost {
    /// Identity of the chip; a Turin uses the first 8 bytes, the rest is zero.
    pub chip_id: [u8; 64],
    /// TCB_VERSION that it reports.
    pub reported_tcb: [u8; 8],
}

/// Why a host says nothing.
#[derive(Debug)]
pub enum HostError {
    /// A file or device cannot be used: which, and why.
    File(String, io::Error),
    /// The firmware refuses: its error number.
    Firmware(u64),
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{path}: {error}"),
            Self::Firmware(error) => write!(f, "the firmware refuses, with error {error:#x}"),
        }
    }
}

impl std::error::Error for HostError {}

/// The first processor below `root`; `None`: it is not told.
pub fn processor(root: &Path) -> Option<Processor> {
    let file = File::open(root.join("proc/cpuinfo")).ok()?;
    let mut text = Vec::new();
    file.take(CPUINFO_BYTES_MAX).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let value = |name: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim())
        })
    };
    Some(Processor {
        vendor: value("vendor_id")?.to_owned(),
        family: value("cpu family")?.parse().ok()?,
        model: value("model")?.parse().ok()?,
        flags: value("flags").unwrap_or_default().split(' ').map(str::to_owned).collect(),
    })
}

/// Asks `/dev/sev` below `root`.
///
/// # Errors
/// [`HostError`].
pub fn snp(root: &Path) -> Result<SnpHost, HostError> {
    let path = root.join("dev/sev");
    let name = path.display().to_string();
    let device = File::options()
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|error| HostError::File(name.clone(), error))?;
    let refused = |failed: sys::DeviceError| match failed.firmware {
        0 => HostError::File(name.clone(), failed.error),
        firmware => HostError::Firmware(firmware),
    };
    let mut chip_id = [0; 64];
    sys::sev_id(&device, &mut chip_id).map_err(refused)?;
    let status = sys::snp_status(&device).map_err(refused)?;
    // Version, state, build, mask bits, guests, current TCB: 24 bytes.
    let reported_tcb = status.last_chunk().copied().ok_or(HostError::Firmware(0))?;
    Ok(SnpHost { chip_id, reported_tcb })
}

/// What the firmware wants registered with Intel (the EFI variable, with its four bytes of attributes), of at most `limit`
/// bytes.
///
/// # Errors
/// [`HostError`]: there is nothing, or it cannot be read.
pub fn registration(root: &Path, limit: usize) -> Result<Vec<u8>, HostError> {
    let path = root.join(REGISTRATION);
    let failed = |error| HostError::File(path.display().to_string(), error);
    let file = File::open(&path).map_err(failed)?;
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > limit {
        return Err(failed(io::Error::other("it is larger than any")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        use std::io::Write as _;
        let root = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            File::create(path).unwrap().write_all(bytes).unwrap();
        }
        root
    }

    #[test]
    fn a_processor_tells_its_line() {
        let text = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n\
                    model name\t: AMD EPYC 9354\nflags\t\t: fpu sev sev_es sev_snp\n\nprocessor\t: 1\n";
        let root = tree(&[("proc/cpuinfo", text.as_bytes())]);
        let found = processor(root.path()).unwrap();
        assert_eq!((found.vendor.as_str(), found.family, found.model), ("AuthenticAMD", 25, 17));
        assert!(found.flags.iter().any(|flag| flag == "sev_snp"));
        for text in ["", "vendor_id : x\n", "vendor_id : x\ncpu family : 9999\nmodel : 1\n"] {
            assert_eq!(processor(tree(&[("proc/cpuinfo", text.as_bytes())]).path()), None);
        }
        assert_eq!(processor(Path::new("/nonexistent")), None);
    }

    #[test]
    fn what_is_no_security_processor_says_so() {
        let root = tree(&[("dev/sev", b"")]);
        let why = snp(root.path()).unwrap_err().to_string();
        assert!(why.contains("dev/sev") && why.contains("ioctl"), "{why}");
        assert!(matches!(snp(Path::new("/nonexistent")), Err(HostError::File(..))));
    }

    #[test]
    fn what_the_firmware_wants_registered_is_bounded() {
        let root = tree(&[(REGISTRATION, &[7; 100])]);
        assert_eq!(registration(root.path(), 100).unwrap(), [7; 100]);
        assert!(registration(root.path(), 99).is_err());
        assert!(registration(Path::new("/nonexistent"), 99).is_err());
    }
}
