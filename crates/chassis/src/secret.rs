// SPDX-License-Identifier: Apache-2.0

//! Private keys and other secrets: read from files that nobody else may read, and never printed.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Largest file that is taken for a secret, in bytes.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Bytes that are wiped when dropped and shown to nobody.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes `bytes` over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for whoever needs them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a secret was not read.
#[derive(Debug)]
pub enum SecretError {
    /// The file cannot be opened or read.
    Unreadable(PathBuf, io::Error),
    /// Others than its owner may read or write the file; its permission bits.
    TooOpen(PathBuf, u32),
    /// Larger than 64 KiB, or not a file at all.
    NoSecret(PathBuf),
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => {
                write!(f, "cannot read the key file {}: {error}", path.display())
            }
            Self::TooOpen(path, mode) => write!(
                f,
                "the key file {0} may be read or changed by others (mode {mode:04o}); run: chmod 600 {0}",
                path.display()
            ),
            Self::NoSecret(path) => write!(
                f,
                "{} is no key file: it must be an ordinary file of at most 64 KiB",
                path.display()
            ),
        }
    }
}

impl std::error::Error for SecretError {}

/// Reads a secret from a file that only its owner may read or write.
///
/// # Errors
/// See [`SecretError`].
pub fn read(path: &Path) -> Result<Secret, SecretError> {
    let unreadable = |error| SecretError::Unreadable(path.to_owned(), error);
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > SECRET_BYTES_MAX {
        return Err(SecretError::NoSecret(path.to_owned()));
    }
    let mode = mode(&metadata);
    if mode & 0o077 != 0 {
        return Err(SecretError::TooOpen(path.to_owned(), mode));
    }
    // Room for all of it at once: a growing vector would leave copies behind.
    let room = usize::try_from(metadata.len()).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(SECRET_BYTES_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(Secret(bytes))
}

/// Keeps this process's memory to itself from now on: no core dumps, and no other process of the same user reads it.
///
/// # Errors
/// The system refuses.
#[cfg(target_os = "linux")]
pub fn keep_memory_private() -> io::Result<()> {
    Ok(nix::sys::prctl::set_dumpable(false)?)
}

/// Does nothing on this system.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn keep_memory_private() -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn mode(metadata: &std::fs::Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777
}

#[cfg(not(unix))]
fn mode(_: &std::fs::Metadata) -> u32 {
    0o600
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_is_private_once_asked_for() {
        keep_memory_private().unwrap();
        assert!(!nix::sys::prctl::get_dumpable().unwrap());
    }

    #[test]
    fn only_the_owners_files_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        assert!(matches!(read(&path), Err(SecretError::Unreadable(..))));
        crate::durable::write(&path, b"k", 0o600).unwrap();
        let secret = read(&path).unwrap();
        assert_eq!(secret.expose(), b"k");
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        for open in [0o640, 0o604, 0o620, 0o666] {
            set_permissions(&path, Permissions::from_mode(open)).unwrap();
            let error = read(&path).unwrap_err();
            assert!(matches!(error, SecretError::TooOpen(_, mode) if mode == open));
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        assert!(matches!(read(dir.path()), Err(SecretError::NoSecret(_))));
    }
}
