// SPDX-License-Identifier: Apache-2.0

//! Requests to the devices of TEEs: `/dev/sev` on a host, `/dev/sev-guest` and `/dev/tdx_guest` in a guest.
//!
//! Structures as in Linux: `include/uapi/linux/psp-sev.h`, `sev-guest.h`, `tdx-guest.h`.

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
const SNP_GET_REPORT: c_ulong = iowr(b'S', 0, 32);
const SNP_GET_EXT_REPORT: c_ulong = iowr(b'S', 2, 32);
const TDX_GET_REPORT0: c_ulong = iowr(b'T', 1, 1088);

/// Bytes of `SNP_PLATFORM_STATUS`'s answer.
pub(crate) const SNP_STATUS_BYTES: usize = 32;
/// Bytes of a response of the firmware to a guest.
pub(crate) const SNP_RESPONSE_BYTES: usize = 4000;
/// Bytes of a TDREPORT.
pub(crate) const TD_REPORT_BYTES: usize = 1024;

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

/// What `/dev/sev-guest` is asked.
#[repr(C)]
struct SnpGuestRequest {
    version: u8,
    request: u64,
    response: u64,
    /// Firmware's error below, hypervisor's above.
    error: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct SnpReportRequest {
    user_data: [u8; 64],
    vmpl: u32,
    reserved: [u8; 28],
}

#[repr(C)]
struct SnpExtReportRequest {
    data: SnpReportRequest,
    certificates: u64,
    length: u32,
}

#[repr(C)]
struct TdxReportRequest {
    report_data: [u8; 64],
    report: [u8; TD_REPORT_BYTES],
}

const _: () = assert!(size_of::<SevIssueCmd>() == 16);
const _: () = assert!(size_of::<SnpGuestRequest>() == 32);
const _: () = assert!(size_of::<SnpReportRequest>() == 96);
const _: () = assert!(size_of::<SnpExtReportRequest>() == 112);
const _: () = assert!(size_of::<TdxReportRequest>() == 1088);

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

/// A report of a guest over `user_data`, as the firmware's response has it.
pub(crate) fn snp_report(
    fd: impl AsFd,
    user_data: &[u8; 64],
) -> Result<Box<[u8; SNP_RESPONSE_BYTES]>, DeviceError> {
    let mut request = SnpReportRequest { user_data: *user_data, vmpl: 0, reserved: [0; 28] };
    let mut response = Box::new([0_u8; SNP_RESPONSE_BYTES]);
    let mut guest = SnpGuestRequest {
        version: 1,
        request: (&raw mut request) as u64,
        response: response.as_mut_ptr() as u64,
        error: 0,
    };
    // SAFETY: the kernel reads the 96 bytes of `request` and writes at most the 4000 of `response`; they and `guest` outlive
    // the call.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), SNP_GET_REPORT, &raw mut guest) };
    done(result).map_err(|error| DeviceError { error, firmware: guest.error })?;
    Ok(response)
}

/// The same with the certificates that the host has, as many bytes as `certificates` has room for. If that is too little, the
/// hypervisor's error (upper half of `firmware`) is 1, and the second part of the pair what it takes.
pub(crate) fn snp_ext_report(
    fd: impl AsFd,
    user_data: &[u8; 64],
    certificates: &mut [u8],
) -> Result<Box<[u8; SNP_RESPONSE_BYTES]>, (DeviceError, u32)> {
    let room = u32::try_from(certificates.len()).unwrap_or(0);
    let mut request = SnpExtReportRequest {
        data: SnpReportRequest { user_data: *user_data, vmpl: 0, reserved: [0; 28] },
        certificates: certificates.as_mut_ptr() as u64,
        length: room,
    };
    let mut response = Box::new([0_u8; SNP_RESPONSE_BYTES]);
    let mut guest = SnpGuestRequest {
        version: 1,
        request: (&raw mut request) as u64,
        response: response.as_mut_ptr() as u64,
        error: 0,
    };
    // SAFETY: the kernel reads and writes `request`, writes at most the 4000 bytes of `response` and at most `length`, which is
    // at most the length of `certificates`, there; all outlive the call.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), SNP_GET_EXT_REPORT, &raw mut guest) };
    match done(result) {
        Ok(()) => Ok(response),
        Err(error) => Err((DeviceError { error, firmware: guest.error }, request.length)),
    }
}

/// The TDREPORT of a guest over `report_data`.
pub(crate) fn td_report(
    fd: impl AsFd,
    report_data: &[u8; 64],
) -> io::Result<Box<[u8; TD_REPORT_BYTES]>> {
    let mut request =
        Box::new(TdxReportRequest { report_data: *report_data, report: [0; TD_REPORT_BYTES] });
    // SAFETY: the kernel reads and writes the 1088 bytes of `request`, which outlives the call.
    let result = unsafe {
        libc::ioctl(fd.as_fd().as_raw_fd(), TDX_GET_REPORT0, (&raw mut *request).cast::<u8>())
    };
    done(result)?;
    Ok(Box::new(request.report))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_numbers_are_linuxs() {
        assert_eq!(SEV_ISSUE_CMD, 0xc010_5300);
        assert_eq!((SNP_GET_REPORT, SNP_GET_EXT_REPORT), (0xc020_5300, 0xc020_5302));
        assert_eq!(TDX_GET_REPORT0, 0xc440_5401);
    }

    #[test]
    fn what_is_no_device_says_so() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let kind = |error: &io::Error| error.raw_os_error() == Some(libc::ENOTTY);
        assert!(kind(&sev_id(&file, &mut [0; 64]).unwrap_err().error));
        assert!(kind(&snp_status(&file).unwrap_err().error));
        assert!(kind(&snp_report(&file, &[0; 64]).unwrap_err().error));
        let (error, length) = snp_ext_report(&file, &[0; 64], &mut [0; 4096]).unwrap_err();
        assert!(kind(&error.error) && length == 4096);
        assert!(kind(&td_report(&file, &[0; 64]).unwrap_err()));
    }
}
