// SPDX-License-Identifier: Apache-2.0

//! Requests to the devices of TEEs. Structures as in Linux: `include/uapi/linux/psp-sev.h`.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use nix::libc::{self, c_int, c_ulong};

/// `_IOWR(kind, number, size)`.
const fn iowr(kind: u8, number: u8, size: u16) -> c_ulong {
    (3 << 30) | ((size as c_ulong) << 16) | ((kind as c_ulong) << 8) | number as c_ulong
}

const SEV_ISSUE_CMD: c_ulong = iowr(b'S', 0, 16);
const SEV_GET_ID2: u32 = 8;
const SNP_PLATFORM_STATUS: u32 = 9;

/// Bytes of `SNP_PLATFORM_STATUS`'s answer.
pub(crate) const SNP_STATUS_BYTES: usize = 32;

/// What `/dev/sev` is asked.
#[repr(C, packed)]
struct SevIssueCmd {
    command: u32,
    data: u64,
    error: u32,
}

#[repr(C, packed)]
struct SevGetId2 {
    address: u64,
    length: u32,
}

const _: () = assert!(size_of::<SevIssueCmd>() == 16);

/// What failed: the call, and what the firmware says about it (0: nothing).
#[derive(Debug)]
pub(crate) struct DeviceError {
    pub(crate) error: io::Error,
    pub(crate) firmware: u64,
}

fn done(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Asks the security processor of a host.
///
/// # Safety
/// `data` is the address of the structure of `command`, valid for reading and writing during the call, and so are the addresses
/// in it.
unsafe fn sev(fd: impl AsFd, command: u32, data: u64) -> Result<(), DeviceError> {
    let mut issue = SevIssueCmd { command, data, error: 0 };
    // SAFETY: `issue` is the structure of this request and outlives the call; for what it points to, the caller vouches.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), SEV_ISSUE_CMD, &raw mut issue) };
    let firmware = u64::from(issue.error);
    done(result).map_err(|error| DeviceError { error, firmware })
}

/// The identity of a host's chip; at most as many bytes as `id` has.
pub(crate) fn sev_id(fd: impl AsFd, id: &mut [u8; 64]) -> Result<(), DeviceError> {
    let mut get = SevGetId2 { address: id.as_mut_ptr() as u64, length: 64 };
    // SAFETY: the kernel writes at most `length` bytes to `id`, which is borrowed mutably for the call; so is `get`.
    unsafe { sev(fd, SEV_GET_ID2, (&raw mut get) as u64) }
}

/// The SNP status of a host.
pub(crate) fn snp_status(fd: impl AsFd) -> Result<[u8; SNP_STATUS_BYTES], DeviceError> {
    let mut status = [0_u8; SNP_STATUS_BYTES];
    // SAFETY: the kernel writes the structure's 32 bytes to `status`, which outlives the call.
    unsafe { sev(fd, SNP_PLATFORM_STATUS, status.as_mut_ptr() as u64) }?;
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_numbers_are_linuxs() {
        assert_eq!(SEV_ISSUE_CMD, 0xc010_5300);
    }

    #[test]
    fn what_is_no_device_says_so() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let kind = |error: &io::Error| error.raw_os_error() == Some(libc::ENOTTY);
        assert!(kind(&sev_id(&file, &mut [0; 64]).unwrap_err().error));
        assert!(kind(&snp_status(&file).unwrap_err().error));
    }
}
