// SPDX-License-Identifier: Apache-2.0

//! The two things that take `unsafe`: the system call for evidence, and taking over the descriptor of the link.

#![allow(
    unsafe_code,
    reason = "a system call that no library knows, and a descriptor that is inherited"
)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use types::{hostlink, limits};

/// Number of `get_attestation` (docs/FORMATS.md 3.4).
#[cfg(target_arch = "x86_64")]
const GET_ATTESTATION: i64 = 0xEA01;

/// What kind of evidence the platform gives (docs/FORMATS.md 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Technology {
    /// AMD SEV-SNP.
    Snp,
    /// Intel SGX.
    Sgx,
}

/// Why there is no evidence.
#[derive(Debug)]
pub enum NoEvidence {
    /// The backend has no silicon that attests.
    Unsupported,
    /// The platform has, but failed.
    Failed(io::Error),
}

/// Evidence over `report_data`, in the form of docs/FORMATS.md 3.4: first a call for the size, then one for the bytes.
///
/// # Errors
/// [`NoEvidence`]; answers that are too long or contradict themselves are failures.
pub fn attestation(report_data: &[u8; 64]) -> Result<(Vec<u8>, Technology), NoEvidence> {
    let malformed =
        |what: &str| NoEvidence::Failed(io::Error::new(io::ErrorKind::InvalidData, what));
    let (size, technology) = get_attestation(report_data, None)?;
    let technology = match technology {
        0 => return Err(NoEvidence::Unsupported),
        1 => Technology::Snp,
        2 => Technology::Sgx,
        _ => return Err(malformed("the platform names a technology that does not exist")),
    };
    if size == 0 || size > limits::ATTESTATION_BYTES_MAX {
        return Err(malformed("the platform wants to give evidence of an impossible size"));
    }
    let mut evidence = vec![0; size];
    let (length, again) = get_attestation(report_data, Some(&mut evidence))?;
    let same = again == if technology == Technology::Snp { 1 } else { 2 };
    if length == 0 || length > size || !same {
        return Err(malformed("the platform contradicts what it said about its evidence"));
    }
    evidence.truncate(length);
    Ok((evidence, technology))
}

/// The bare call: length and technology. Without a buffer it asks for the size.
#[cfg(target_arch = "x86_64")]
fn get_attestation(
    report_data: &[u8; 64],
    buffer: Option<&mut [u8]>,
) -> Result<(usize, u64), NoEvidence> {
    let (address, room) = buffer.map_or((std::ptr::null_mut(), 0), |b| (b.as_mut_ptr(), b.len()));
    let result: i64;
    let technology: u64;
    // SAFETY: the call reads 64 bytes at `rdi` and writes at most `r10` bytes at `rdx`, both of which outlive it; it
    // changes no other memory, and by the system call convention no registers but rax, rdx (both named as outputs), rcx
    // and r11.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") GET_ATTESTATION => result,
            in("rdi") report_data.as_ptr(),
            in("rsi") report_data.len(),
            inlateout("rdx") address => technology,
            in("r10") room,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    match usize::try_from(result) {
        Ok(length) => Ok((length, technology)),
        Err(_) => {
            let code = i32::try_from(result.saturating_neg()).unwrap_or(i32::MAX);
            match code {
                // ENOSYS: an ordinary kernel. EPERM: a kernel behind a filter.
                38 | 1 => Err(NoEvidence::Unsupported),
                _ => Err(NoEvidence::Failed(io::Error::from_raw_os_error(code))),
            }
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn get_attestation(_: &[u8; 64], _: Option<&mut [u8]>) -> Result<(usize, u64), NoEvidence> {
    Err(NoEvidence::Unsupported)
}

/// The stream to the loader, at descriptor [`hostlink::FD`]. `None` if it was taken before or nothing is open there.
pub fn take_link() -> Option<UnixStream> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return None;
    }
    // SAFETY: the loader opened this descriptor for this program, and by the flag above nobody else in it takes it. If
    // nothing is open there, the check below sees it before the value is dropped, and it is then forgotten, not closed.
    let stream = UnixStream::from(unsafe { OwnedFd::from_raw_fd(hostlink::FD) });
    if stream.peer_addr().is_err() {
        std::mem::forget(stream);
        return None;
    }
    Some(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_kernel_gives_no_evidence() {
        assert!(matches!(attestation(&[0; 64]), Err(NoEvidence::Unsupported)));
    }
}
