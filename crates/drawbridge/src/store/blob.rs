// SPDX-License-Identifier: Apache-2.0

//! Content on its way out: checked as a whole before the first byte leaves, and again piece by piece as it does.
//!
//! A large file is read twice. The first time tells whether it is what its name says, and remembers a digest for each piece;
//! the second time each piece must be the same. So no wrong byte is served, and memory does not grow with the file.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::StoreError;

/// Content up to this size, in bytes, is kept in memory between check and answer.
const SMALL_BYTES_MAX: u64 = 256 * 1024;
/// Size of a piece in bytes.
const PIECE_BYTES: usize = 256 * 1024;

/// Content that is what its entry says.
#[derive(Debug)]
pub struct Blob {
    length: u64,
    rest: Rest,
}

#[derive(Debug)]
enum Rest {
    Memory(Vec<u8>),
    File { file: File, path: PathBuf, pieces: std::vec::IntoIter<[u8; 32]> },
}

impl Blob {
    /// Checks a file against its length and its SHA-256. `path` is for the error.
    pub(super) fn check(
        mut file: File,
        path: PathBuf,
        length: u64,
        digest: &types::digest::Sha256,
    ) -> Result<Self, StoreError> {
        if file.metadata()?.len() != length {
            return Err(StoreError::Damaged(path));
        }
        let mut whole = Sha256::new();
        let mut pieces = Vec::new();
        let mut piece = Vec::new();
        let mut seen = 0;
        while read_piece(&mut file, &mut piece)? {
            whole.update(&piece);
            seen += piece.len() as u64;
            if length <= SMALL_BYTES_MAX || seen > length {
                break;
            }
            pieces.push(Sha256::digest(&piece).into());
        }
        if seen != length || whole.finalize()[..] != digest.0 {
            return Err(StoreError::Damaged(path));
        }
        let rest = if length <= SMALL_BYTES_MAX {
            Rest::Memory(piece)
        } else {
            file.rewind()?;
            Rest::File { file, path, pieces: pieces.into_iter() }
        };
        Ok(Self { length, rest })
    }

    /// Length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the file changed since it was checked.
    pub fn next_piece(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        match &mut self.rest {
            Rest::Memory(bytes) if bytes.is_empty() => Ok(None),
            Rest::Memory(bytes) => Ok(Some(std::mem::take(bytes))),
            Rest::File { file, path, pieces } => {
                let Some(expected) = pieces.next() else {
                    return Ok(None);
                };
                let mut piece = Vec::new();
                read_piece(file, &mut piece)?;
                if Sha256::digest(&piece)[..] == expected {
                    Ok(Some(piece))
                } else {
                    Err(StoreError::Damaged(path.clone()))
                }
            }
        }
    }
}

/// Reads a piece, in place of what `piece` held; `false` at the end of the file.
fn read_piece(file: &mut File, piece: &mut Vec<u8>) -> io::Result<bool> {
    piece.clear();
    file.take(PIECE_BYTES as u64).read_to_end(piece)?;
    Ok(!piece.is_empty())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::FileExt as _;

    use super::*;

    fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("blob");
        File::create(&path).unwrap().write_all(bytes).unwrap();
        (dir, path)
    }

    fn check(path: &PathBuf, content: &[u8]) -> Result<Blob, StoreError> {
        let digest = types::digest::Sha256::of(content);
        Blob::check(File::open(path).unwrap(), path.clone(), content.len() as u64, &digest)
    }

    fn all(mut blob: Blob) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        while let Some(piece) = blob.next_piece()? {
            bytes.extend(piece);
        }
        Ok(bytes)
    }

    #[test]
    fn content_of_every_size_comes_out_as_it_went_in() {
        let edge = PIECE_BYTES;
        for size in [0, 1, edge - 1, edge, edge + 1, 3 * edge, 3 * edge + 7] {
            let content: Vec<u8> = (0..=250).cycle().take(size).collect();
            let (_dir, path) = file(&content);
            let blob = check(&path, &content).unwrap();
            assert_eq!(blob.length(), size as u64);
            assert_eq!(all(blob).unwrap(), content, "{size}");
            let longer = [&content[..], b"x"].concat();
            assert!(matches!(check(&path, &longer), Err(StoreError::Damaged(_))));
            if size > 0 {
                assert!(matches!(check(&path, &content[1..]), Err(StoreError::Damaged(_))));
                let mut other = content.clone();
                other[size - 1] ^= 1;
                assert!(matches!(check(&path, &other), Err(StoreError::Damaged(_))));
            }
        }
    }

    #[test]
    fn a_change_after_the_check_is_not_served() {
        let content = vec![7; 3 * PIECE_BYTES];
        let (_dir, path) = file(&content);
        let mut blob = check(&path, &content).unwrap();
        assert_eq!(blob.next_piece().unwrap().unwrap().len(), PIECE_BYTES);
        let writer = File::options().write(true).open(&path).unwrap();
        writer.write_at(b"x", 2 * PIECE_BYTES as u64 + 5).unwrap();
        assert!(blob.next_piece().unwrap().is_some());
        assert!(matches!(blob.next_piece(), Err(StoreError::Damaged(_))));
        // Nor is a file that got shorter.
        writer.write_at(&[7], 2 * PIECE_BYTES as u64 + 5).unwrap();
        let mut blob = check(&path, &content).unwrap();
        writer.set_len(10).unwrap();
        assert!(matches!(blob.next_piece(), Err(StoreError::Damaged(_))));
    }
}
