// SPDX-License-Identifier: Apache-2.0

//! The Keep's program, read once.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt as _, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::{Error, jail};

/// Largest program that is taken, bytes.
const IMAGE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// `MFD_EXEC`, Linux 6.3: asks for a file that may be executed, where the system's default is that it may not.
const MFD_EXEC: u32 = 0x10;

/// A program in sealed memory: what is measured is what runs, whatever happens to the file meanwhile.
///
/// Cheap to clone; any number of Keeps may run from one.
#[derive(Clone, Debug)]
pub struct Image {
    memory: Arc<File>,
    length: u64,
}

impl Image {
    /// Reads the program at `path`.
    ///
    /// # Errors
    /// The file cannot be read, is no ELF file, or is larger than 512 MiB.
    pub fn read(path: &Path) -> Result<Self, Error> {
        File::open(path)
            .and_then(Self::copy)
            .map_err(|source| Error::Image { path: path.to_owned(), source })
    }

    fn copy(file: File) -> io::Result<Self> {
        let sealing = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let executable = sealing | MFdFlags::from_bits_retain(MFD_EXEC);
        let memory = match memfd_create(c"enarx-exec", executable) {
            // Kernels before 6.3 do not know the flag.
            Err(Errno::EINVAL) => memfd_create(c"enarx-exec", sealing)?,
            other => other?,
        };
        let mut memory = File::from(memory);
        // Copied inside of the kernel, where that is possible.
        let length = io::copy(&mut file.take(IMAGE_BYTES_MAX + 1), &mut memory)?;
        if length > IMAGE_BYTES_MAX {
            return Err(io::Error::other("larger than 512 MiB"));
        }
        let mut magic = [0; 4];
        memory.rewind()?;
        if memory.read_exact(&mut magic).is_err() || magic != *b"\x7fELF" {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no ELF program"));
        }
        // Who executes a file that it may not read becomes a process that is not dumped, and that nobody else of the same
        // user can look into.
        let mode = if jail::sees_hidden_processes() { 0o111 } else { 0o555 };
        memory.set_permissions(PermissionsExt::from_mode(mode))?;
        let seals = SealFlag::F_SEAL_SEAL
            | SealFlag::F_SEAL_SHRINK
            | SealFlag::F_SEAL_GROW
            | SealFlag::F_SEAL_WRITE;
        fcntl(&memory, FcntlArg::F_ADD_SEALS(seals))?;
        Ok(Self { memory: Arc::new(memory), length })
    }

    /// The bytes that run, for measuring them.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn bytes(&self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.length).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.memory.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

impl AsFd for Image {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_program_is_sealed_as_it_was_read() {
        let exe = std::env::current_exe().unwrap();
        let image = Image::read(&exe).unwrap();
        assert!(image.bytes().unwrap() == std::fs::read(&exe).unwrap());
        let mut writer = image.memory.try_clone().unwrap();
        assert!(writer.write_all(b"x").is_err());
        assert!(writer.set_len(0).is_err());
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let missing = Image::read(&directory.path().join("none")).unwrap_err();
        assert!(missing.to_string().contains("none"), "{missing}");
        let text = directory.path().join("text");
        File::create(&text).unwrap().write_all(b"#!/bin/sh\n").unwrap();
        assert!(Image::read(&text).unwrap_err().to_string().contains("no ELF"));
        assert!(Image::read(directory.path()).is_err());
    }
}
