// SPDX-License-Identifier: Apache-2.0

//! Content on its way out. A wrong byte never makes a whole answer.
//!
//! Small content is checked in memory before any of it leaves. Large content is hashed while it leaves, its last piece only
//! when the whole had its digest; what is found wrong ends the answer before its announced length. The codes of the
//! pieces are then remembered (`super::verified`): later reads, of the whole or of a range, check each piece before it
//! leaves. A range of content that was not read before is served after all of it was read and checked. An object that was
//! found wrong is read as a whole before it is served again, so that the next answer is an error from its first byte on.
//! So large content is read once for an answer, memory does not grow with it, and a bucket's bytes are not paid for twice.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::backend::{Backend, Opened};
use super::record::damaged;
use super::verified::{PIECE_BYTES, Pieces, Verified};
use super::{Key, StoreError};

/// What and where some content is.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) key: Key,
    pub(super) length: u64,
    pub(super) digest: types::digest::Sha256,
}

/// Content that is what its name says, or a range of it.
#[derive(Debug)]
pub struct Blob {
    wanted: Wanted,
    /// Which bytes are left to give, counted from the content's beginning.
    left: Range<u64>,
    rest: Rest,
    verified: Arc<Verified>,
}

#[derive(Debug)]
enum Rest {
    /// All of it.
    Memory(Vec<u8>),
    /// Pieces whose codes are known, the next one by number.
    Known { opened: Opened, pieces: Arc<Pieces>, next: usize },
    /// Read as a whole for the first time; so many bytes so far.
    Learning { opened: Opened, whole: Sha256, pieces: Pieces, seen: u64 },
}

impl Rest {
    fn learning(opened: Opened, verified: &Verified) -> Self {
        Self::Learning { opened, whole: Sha256::new(), pieces: verified.learn(), seen: 0 }
    }
}

impl Blob {
    /// Opens content for all of its bytes or a range of them, which must lie within its length; `None` if it is not there.
    pub(super) fn open(
        backend: &dyn Backend,
        verified: &Arc<Verified>,
        wanted: Wanted,
        range: Option<Range<u64>>,
    ) -> Result<Option<Self>, StoreError> {
        let whole = 0..wanted.length;
        let range = range.unwrap_or(whole.clone());
        if wanted.length <= PIECE_BYTES as u64 {
            let Some(opened) = open(backend, &wanted, 0)? else {
                return Ok(None);
            };
            let mut all = Self {
                wanted,
                left: whole.clone(),
                rest: Rest::learning(opened, verified),
                verified: Arc::clone(verified),
            };
            let bytes = all.next_piece()?.unwrap_or_default();
            return Ok(Some(Self { left: range, rest: Rest::Memory(bytes), ..all }));
        }
        if range.is_empty() {
            let there = backend.length(&wanted.key)?.is_some();
            let rest = Rest::Memory(Vec::new());
            let verified = Arc::clone(verified);
            return Ok(there.then_some(Self { wanted, left: range, rest, verified }));
        }
        let suspect = verified.is_suspect(&wanted.key);
        let mut pieces = verified.pieces(&wanted.digest);
        if suspect || pieces.is_none() && range != whole {
            if !check(backend, verified, &wanted)? {
                return Ok(None);
            }
            pieces = verified.pieces(&wanted.digest);
        }
        let next = match &pieces {
            Some(_) => usize::try_from(range.start / PIECE_BYTES as u64).unwrap_or(usize::MAX),
            None => 0,
        };
        let Some(opened) = open(backend, &wanted, (next * PIECE_BYTES) as u64)? else {
            return Ok(None);
        };
        let rest = match pieces {
            Some(pieces) => Rest::Known { opened, pieces, next },
            None => Rest::learning(opened, verified),
        };
        Ok(Some(Self { wanted, left: range, rest, verified: Arc::clone(verified) }))
    }

    /// Length of the whole content in bytes.
    pub fn length(&self) -> u64 {
        self.wanted.length
    }

    /// How many bytes there are left to give.
    pub fn left(&self) -> u64 {
        self.left.end - self.left.start
    }

    /// What is left, if all of it is in memory, as small content is.
    ///
    /// # Errors
    /// Those of [`Self::next_piece`].
    pub fn small(mut self) -> Result<Result<Vec<u8>, Self>, StoreError> {
        match self.rest {
            Rest::Memory(_) => Ok(Ok(self.next_piece()?.unwrap_or_default())),
            _ => Ok(Err(self)),
        }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the content is not what its name says. What came before was not all of it.
    pub fn next_piece(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        if self.left.is_empty() {
            // Nothing was asked for, or all of it was given. Empty content is checked nevertheless.
            if self.wanted.length > 0 || !matches!(self.rest, Rest::Learning { .. }) {
                return Ok(None);
            }
        }
        let result = self.piece();
        if let Err(StoreError::Damaged(_)) = &result {
            self.verified.bad(&self.wanted.key);
        }
        let (mut piece, at) = result?;
        let end = self.left.end.saturating_sub(at).min(piece.len() as u64);
        let start = (self.left.start - at).min(end);
        // Both are at most the piece's length.
        piece.truncate(usize::try_from(end).unwrap_or(usize::MAX));
        piece.drain(..usize::try_from(start).unwrap_or(usize::MAX));
        self.left.start += piece.len() as u64;
        Ok((!piece.is_empty()).then_some(piece))
    }

    /// A whole piece, checked, and where it begins.
    fn piece(&mut self) -> Result<(Vec<u8>, u64), StoreError> {
        let wrong = || damaged(&self.wanted.key);
        match &mut self.rest {
            Rest::Memory(bytes) => Ok((std::mem::take(bytes), 0)),
            Rest::Known { opened, pieces, next } => {
                let at = *next * PIECE_BYTES;
                let left = self.wanted.length.saturating_sub(at as u64);
                let piece = read_piece(&mut opened.bytes, left)?;
                if !self.verified.is(pieces, *next, &piece)? {
                    return Err(wrong());
                }
                *next += 1;
                Ok((piece, at as u64))
            }
            Rest::Learning { opened, whole, pieces, seen } => {
                let (at, length) = (*seen, self.wanted.length);
                let piece = read_piece(&mut opened.bytes, length.saturating_sub(at))?;
                whole.update(&piece);
                *seen += piece.len() as u64;
                if *seen > length || *seen < length && piece.len() < PIECE_BYTES {
                    return Err(wrong());
                }
                if length > PIECE_BYTES as u64 {
                    self.verified.add(pieces, &piece)?;
                }
                if *seen == length {
                    if std::mem::take(whole).finalize()[..] != self.wanted.digest.0 {
                        return Err(wrong());
                    }
                    let pieces = std::mem::take(pieces);
                    self.verified.good(&self.wanted.key, self.wanted.digest, pieces);
                }
                Ok((piece, at))
            }
        }
    }
}

/// Reads all of some content; whether it is there.
///
/// # Errors
/// [`StoreError::Damaged`] if it is not what its name says.
pub(super) fn check(
    backend: &dyn Backend,
    verified: &Arc<Verified>,
    wanted: &Wanted,
) -> Result<bool, StoreError> {
    let Some(opened) = open(backend, wanted, 0)? else {
        return Ok(false);
    };
    let mut blob = Blob {
        wanted: wanted.clone(),
        left: 0..wanted.length,
        rest: Rest::learning(opened, verified),
        verified: Arc::clone(verified),
    };
    while blob.next_piece()?.is_some() {}
    Ok(true)
}

fn open(backend: &dyn Backend, wanted: &Wanted, from: u64) -> Result<Option<Opened>, StoreError> {
    match backend.open(&wanted.key, from)? {
        Some(opened) if opened.length != wanted.length => Err(damaged(&wanted.key)),
        opened => Ok(opened),
    }
}

/// Reads a piece of content of which so many bytes are left, a shorter one at the end.
fn read_piece(bytes: &mut dyn Read, left: u64) -> io::Result<Vec<u8>> {
    // With room to see the end.
    let room = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES - 32) + 32;
    let mut piece = Vec::with_capacity(room);
    bytes.take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    use super::super::disk::Disk;
    use super::*;

    struct World {
        _dir: tempfile::TempDir,
        disk: Disk,
        verified: Arc<Verified>,
        wanted: Wanted,
        content: Vec<u8>,
        path: std::path::PathBuf,
    }

    impl World {
        fn new(size: usize) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let disk = Disk::open(dir.path()).unwrap();
            let content: Vec<u8> = (0..=250).cycle().take(size).collect();
            let wanted = Wanted {
                key: Key::own("blobs/b".to_owned()),
                length: size as u64,
                digest: types::digest::Sha256::of(&content),
            };
            let mut staged = disk.stage().unwrap();
            staged.write(&content).unwrap();
            disk.publish(&staged, &wanted.key).unwrap();
            let path = dir.path().join("blobs/b");
            Self {
                _dir: dir,
                disk,
                verified: Arc::new(Verified::new().unwrap()),
                wanted,
                content,
                path,
            }
        }

        fn open(&self, range: Option<Range<u64>>) -> Result<Blob, StoreError> {
            Blob::open(&self.disk, &self.verified, self.wanted.clone(), range).map(Option::unwrap)
        }

        fn read(&self, range: Option<Range<u64>>) -> Result<Vec<u8>, StoreError> {
            all(self.open(range)?)
        }

        fn flip(&self, at: usize) {
            let file = File::options().write(true).open(&self.path).unwrap();
            file.write_at(&[self.content[at] ^ 1], at as u64).unwrap();
        }

        fn mend(&self, at: usize) {
            let file = File::options().write(true).open(&self.path).unwrap();
            file.write_at(&[self.content[at]], at as u64).unwrap();
        }
    }

    fn all(mut blob: Blob) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        while let Some(piece) = blob.next_piece()? {
            assert!(!piece.is_empty() && piece.len() <= PIECE_BYTES);
            bytes.extend(piece);
        }
        assert_eq!(blob.left(), 0);
        Ok(bytes)
    }

    const SIZES: [usize; 8] = [
        0,
        1,
        PIECE_BYTES - 1,
        PIECE_BYTES,
        PIECE_BYTES + 1,
        3 * PIECE_BYTES,
        3 * PIECE_BYTES + 7,
        4 * PIECE_BYTES - 1,
    ];

    #[test]
    fn content_of_every_size_comes_out_as_it_went_in() {
        for size in SIZES {
            let world = World::new(size);
            for _ in 0..2 {
                let blob = world.open(None).unwrap();
                assert_eq!((blob.length(), blob.left()), (size as u64, size as u64));
                assert_eq!(all(blob).unwrap(), world.content, "{size}");
            }
            // Of content of one piece nothing is remembered.
            let count = world.verified.pieces(&world.wanted.digest).map(|pieces| pieces.count());
            assert_eq!(count, (size > PIECE_BYTES).then(|| size.div_ceil(PIECE_BYTES)));
        }
    }

    #[test]
    fn ranges_are_parts_of_the_whole() {
        let edges = |size: usize| {
            let near = [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES];
            let near = near.into_iter().chain([size / 2, size.saturating_sub(1), size]);
            near.filter(|at| *at <= size).collect::<Vec<_>>()
        };
        for size in SIZES {
            for (n, &start) in edges(size).iter().enumerate() {
                // Known pieces and unknown ones.
                let world = World::new(size);
                if n % 2 == 0 {
                    world.read(None).unwrap();
                }
                for end in edges(size).into_iter().filter(|end| *end >= start) {
                    let read = world.read(Some(start as u64..end as u64)).unwrap();
                    assert_eq!(read, world.content[start..end], "{size}: {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn no_wrong_byte_makes_a_whole_answer() {
        for size in SIZES.into_iter().filter(|size| *size > 0) {
            for at in [0, size / 2, size - 1] {
                for known in [false, true] {
                    let world = World::new(size);
                    if known {
                        world.read(None).unwrap();
                    }
                    world.flip(at);
                    let damaged = |r: Result<Vec<u8>, StoreError>| {
                        assert!(matches!(r, Err(StoreError::Damaged(_))), "{size}: {at}");
                    };
                    damaged(world.read(None));
                    // From now on not even the first byte.
                    assert!(matches!(world.open(None), Err(StoreError::Damaged(_))));
                    damaged(world.read(Some(0..1)));
                    world.mend(at);
                    assert_eq!(world.read(None).unwrap(), world.content);
                }
            }
            let world = World::new(size);
            File::options()
                .write(true)
                .open(&world.path)
                .unwrap()
                .set_len(size as u64 + 1)
                .unwrap();
            assert!(matches!(world.open(None), Err(StoreError::Damaged(_))));
            File::options()
                .write(true)
                .open(&world.path)
                .unwrap()
                .set_len(size as u64 - 1)
                .unwrap();
            assert!(matches!(world.open(None), Err(StoreError::Damaged(_))));
        }
    }

    #[test]
    fn a_range_of_unknown_content_is_served_after_all_of_it_was_checked() {
        let world = World::new(3 * PIECE_BYTES + 7);
        world.flip(3 * PIECE_BYTES);
        assert!(matches!(world.open(Some(0..10)), Err(StoreError::Damaged(_))));
    }

    #[test]
    fn a_change_in_the_middle_of_an_answer_ends_it() {
        let world = World::new(3 * PIECE_BYTES);
        for known in [false, true] {
            let mut blob = world.open(None).unwrap();
            assert_eq!(matches!(blob.rest, Rest::Known { .. }), known);
            blob.next_piece().unwrap().unwrap();
            let at = 2 * PIECE_BYTES + 5;
            world.flip(at);
            assert!(blob.next_piece().unwrap().is_some());
            assert!(matches!(blob.next_piece(), Err(StoreError::Damaged(_))));
            world.mend(at);
            world.read(None).unwrap();
        }
        let mut blob = world.open(None).unwrap();
        File::options().write(true).open(&world.path).unwrap().set_len(10).unwrap();
        assert!(matches!(blob.next_piece(), Err(StoreError::Damaged(_))));
    }
}
