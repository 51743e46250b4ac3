// SPDX-License-Identifier: Apache-2.0

//! Where collateral is kept: a directory with one file per piece, the issuer's chain beside it where there is one, and a
//! small JSON file that says where and when it came from (docs/FORMATS.md 6).
//!
//! What is there was authenticated before it was written. A file that is not what its name and its JSON file say counts as
//! not there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use types::digest::Sha256;
use types::limits;
use types::time::Timestamp;

use super::authentic::Beside;
use super::piece::Piece;
use super::recognise::{Found, Recognised, recognise, recognise_piece};
use crate::failure::{Context as _, Failure};
use crate::files;

/// Name of the format of the JSON files.
const FORMAT: &str = "enarx-collateral-v1";
/// Most bytes of such a file.
const META_BYTES_MAX: usize = 8 * 1024;

/// Where and when a piece came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    format: String,
    /// URL, or `import` and the file's name.
    source: String,
    fetched_at: Timestamp,
    /// As the piece itself says; for readers of the file.
    issued: Timestamp,
    valid_until: Timestamp,
    /// SHA-256 of the piece, hex.
    sha256: String,
    /// SHA-256 of the chain, hex.
    chain_sha256: Option<String>,
}

/// A piece in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The piece.
    pub found: Recognised,
    /// Its file.
    pub path: PathBuf,
    /// URL, or `import` and the file's name.
    pub source: String,
    /// When it came, or was last said to be the newest.
    pub fetched_at: Timestamp,
}

impl Entry {
    /// Seconds since it came.
    pub fn age(&self, now: Timestamp) -> u64 {
        now.0.saturating_sub(self.fetched_at.0)
    }

    /// Whether it is past its end.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.found.until < now
    }
}

/// What [`Cache::put`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// There was none, or an older one.
    New,
    /// It was there already.
    Same,
    /// A newer one is there, and stays.
    Older,
}

/// A cache of collateral.
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// The one in this directory, which is made when it is needed.
    pub fn at(directory: &Path) -> Self {
        Self { directory: directory.to_path_buf() }
    }

    /// The user's: `$XDG_CACHE_HOME/enarx/collateral`.
    ///
    /// # Errors
    /// If the environment does not say.
    pub fn of_user() -> Result<Self, Failure> {
        Ok(Self { directory: files::cache_directory()?.join("collateral") })
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn beside(&self, piece: &Piece, suffix: &str) -> PathBuf {
        self.directory.join(format!("{}.{suffix}", piece.stem()))
    }

    fn path(&self, piece: &Piece) -> PathBuf {
        self.directory.join(piece.file_name())
    }

    /// The piece, if it is there and whole.
    pub fn get(&self, piece: &Piece) -> Option<Entry> {
        let path = self.path(piece);
        let bytes = read(&path, piece.limit())?;
        let meta = read(&self.beside(piece, "meta.json"), META_BYTES_MAX)?;
        let meta: Meta = serde_json::from_slice(&meta).ok()?;
        let mut found = recognise_piece(&bytes).ok()?;
        let whole = meta.format == FORMAT
            && found.piece == *piece
            && found.bytes == bytes
            && Sha256::of(&bytes).to_hex() == meta.sha256;
        whole.then_some(())?;
        if let Some(wanted) = &meta.chain_sha256 {
            let chain = read(&self.beside(piece, "chain.pem"), limits::COLLATERAL_CHAIN_BYTES_MAX)?;
            (Sha256::of(&chain).to_hex() == *wanted).then_some(())?;
            let Ok(Found::IssuerChain(chain)) = recognise(&chain) else { return None };
            found.chain = Some(chain);
        }
        Some(Entry { found, path, source: meta.source, fetched_at: meta.fetched_at })
    }

    /// Keeps `found`, which was authenticated, unless there is a newer one.
    ///
    /// A reader that comes in between sees the old piece, the new one, or none.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put(&self, found: &Recognised, source: &str, now: Timestamp) -> Result<Put, Failure> {
        let old = self.get(&found.piece);
        let what = match &old {
            Some(old) if old.found.issued > found.issued => return Ok(Put::Older),
            Some(old) if old.found == *found => Put::Same,
            _ => Put::New,
        };
        let meta = Meta {
            format: FORMAT.to_owned(),
            source: source.to_owned(),
            fetched_at: now,
            issued: found.issued,
            valid_until: found.until,
            sha256: Sha256::of(&found.bytes).to_hex(),
            chain_sha256: found.chain.as_ref().map(|chain| Sha256::of(chain.as_bytes()).to_hex()),
        };
        let meta = serde_json::to_vec_pretty(&meta).context("cannot describe a piece")?;
        files::make_shared_directory(&self.directory)?;
        if what == Put::New {
            if let Some(chain) = &found.chain {
                files::write_shared(&self.beside(&found.piece, "chain.pem"), chain.as_bytes())?;
            }
            files::write_shared(&self.path(&found.piece), &found.bytes)?;
        }
        files::write_shared(&self.beside(&found.piece, "meta.json"), &meta)?;
        Ok(what)
    }

    /// All pieces that are whole, in order; and the names of files that look like pieces and are none.
    ///
    /// # Errors
    /// If the directory cannot be read. None is an empty one.
    pub fn list(&self) -> Result<(Vec<Entry>, Vec<String>), Failure> {
        let what = || format!("cannot read {}", self.directory.display());
        let (mut entries, mut broken) = (Vec::new(), Vec::new());
        let listing = match fs::read_dir(&self.directory) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((entries, broken)),
            Err(error) => return Err(error).context(what()),
        };
        for file in listing.take(limits::COLLATERAL_PIECES_MAX) {
            let Ok(name) = file.context(what())?.file_name().into_string() else { continue };
            let is_piece = ["pem", "crl", "der", "json"]
                .iter()
                .any(|end| name.strip_suffix(end).is_some_and(|stem| stem.ends_with('.')));
            if !is_piece || name.ends_with(".meta.json") || name.ends_with(".chain.pem") {
                continue;
            }
            let bytes = read(&self.directory.join(&name), limits::COLLATERAL_JSON_BYTES_MAX * 2);
            let found = bytes.and_then(|bytes| recognise_piece(&bytes).ok());
            let entry = found
                .filter(|found| found.piece.file_name() == name)
                .and_then(|found| self.get(&found.piece));
            match entry {
                Some(entry) => entries.push(entry),
                None => broken.push(name),
            }
        }
        entries.sort_by(|a, b| a.found.piece.cmp(&b.found.piece));
        broken.sort();
        Ok((entries, broken))
    }
}

impl Beside for Cache {
    fn chain_of(&self, piece: &Piece) -> Option<Vec<u8>> {
        if *piece == Piece::IntelRootCrl {
            let (entries, _) = self.list().ok()?;
            let chain = |entry: Entry| match entry.found.piece {
                Piece::IntelPck { .. } => Some(entry.found.bytes),
                _ => entry.found.chain.map(String::into_bytes),
            };
            return entries.into_iter().find_map(chain);
        }
        self.get(piece).map(|entry| entry.found.bytes)
    }
}

/// The file, if it is there and not too large.
fn read(path: &Path, limit: usize) -> Option<Vec<u8>> {
    files::read_bounded(path, limit).ok()
}
