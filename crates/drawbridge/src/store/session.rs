// SPDX-License-Identifier: Apache-2.0

//! Uploads that come in several requests: begin, append, ask how far it got, finish by digest, or cancel.
//!
//! ```text
//! uploads/<id>.json      whose it is, since when, and which chunks
//! uploads/<id>/<name>    a chunk
//! ```
//!
//! Chunks and the record are in the store like everything else, so that a session outlives its process, and any instance
//! over one bucket goes on with it. A chunk counts when the record names it; the record is swapped, so of two chunks for
//! one place one is taken. What the whole hashes to is known when it is put together, and only then it gets a name.

use std::io::Read as _;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use drawbridge_core::{ContentDigest, Hasher};
use serde::{Deserialize, Serialize};
use types::digest::Sha256;
use types::limits;
use types::time::Timestamp;

use super::backend::Named;
use super::blob::{self, Wanted};
use super::{Amounts, Blob, Key, Kind, Put, RepoName, Store, StoreError, Thing, Upload};

/// Sessions by their number.
pub(crate) const UPLOADS: Kind<Session> = Kind::new("uploads", 1);
/// Where content is that was named by another digest than SHA-256: by user, repository, and `<algorithm>-<hex>`.
pub(crate) const ALIASES: Kind<Alias> = Kind::new("aliases", 3);
/// How much is read at once.
const PIECE_BYTES: u64 = 256 * 1024;
/// How many keys are looked at together.
const PAGE: usize = 1000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Session {
    user: String,
    repo: String,
    /// Seconds since 1970.
    started_at: u64,
    /// Names and lengths of the chunks.
    pub(crate) chunks: Vec<(String, u64)>,
}

impl Session {
    fn length(&self) -> u64 {
        self.chunks.iter().fold(0, |sum, (_, length)| sum.saturating_add(*length))
    }

    fn is_over(&self, now: Timestamp) -> bool {
        now.0.saturating_sub(self.started_at) >= limits::UPLOAD_SECONDS_MAX
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alias {
    pub(crate) sha256: Sha256,
}

/// What names an upload: 128 random bits, which only who began it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadId(String);

impl UploadId {
    /// `None` if this is no upload's name: 32 digits, `0-9a-f`.
    pub fn new(id: &str) -> Option<Self> {
        let good = id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        good.then(|| Self(id.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn random() -> Result<Self, StoreError> {
        let mut bytes = [0; 16];
        let failed = |_| StoreError::Key("the system's cryptography gives no random numbers");
        SystemRandom::new().fill(&mut bytes).map_err(failed)?;
        Ok(Self(bytes.iter().map(|b| format!("{b:02x}")).collect()))
    }

    fn chunk(&self, name: &str) -> Key {
        Key::own(format!("uploads/{}/{name}", self.0))
    }
}

/// What happened to a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is kept; so many bytes are there now.
    Length(u64),
    /// It does not begin where the bytes that are there end, which is here.
    Elsewhere(u64),
    /// There is no such upload.
    Unknown,
    /// The whole would be larger than a blob may be, or come in more chunks.
    TooLarge,
}

/// What became of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finished {
    /// Its content is in the repository, under this digest.
    Put(Put, Box<ContentDigest>),
    /// It does not hash to what it should. The upload is still there.
    Mismatch,
    /// There is no such upload.
    Unknown,
}

/// A digest by which content may be asked for, written `sha256:<hex>`, with sha256, sha384 or sha512.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobDigest {
    algorithm: &'static str,
    hex: String,
}

impl BlobDigest {
    /// `None` if it is no digest of an algorithm that is known.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, hex) = text.split_once(':')?;
        let (algorithm, bytes) = [("sha256", 32), ("sha384", 48), ("sha512", 64)]
            .into_iter()
            .find(|(n, _)| *n == name)?;
        let good =
            hex.len() == 2 * bytes && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        good.then(|| Self { algorithm, hex: hex.to_owned() })
    }

    /// Whether this is one of the digests of some content.
    pub fn is_of(&self, digest: &ContentDigest) -> bool {
        digest.hex(self.algorithm).is_some_and(|hex| hex == self.hex)
    }

    /// What hashes content for [`Self::is_of`], and for the name that it is kept by.
    pub fn hasher(&self) -> Hasher {
        match self.algorithm {
            "sha384" => Hasher::sha256().and_sha384(),
            "sha512" => Hasher::sha256().and_sha512(),
            _ => Hasher::sha256(),
        }
    }

    fn sha256(&self) -> Option<Sha256> {
        let text = format!("{}:{}", self.algorithm, self.hex);
        (self.algorithm == "sha256").then(|| text.parse().ok()).flatten()
    }

    fn alias(&self) -> String {
        format!("{}-{}", self.algorithm, self.hex)
    }
}

impl From<Sha256> for BlobDigest {
    fn from(digest: Sha256) -> Self {
        Self { algorithm: "sha256", hex: digest.to_hex() }
    }
}

impl Store {
    /// Begins an upload to a repository. It is forgotten after a day.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn begin_upload(&self, repo: &RepoName, now: Timestamp) -> Result<UploadId, StoreError> {
        let id = UploadId::random()?;
        let [user, name] = repo.parts().map(str::to_owned);
        let session = Session { user, repo: name, started_at: now.0, chunks: Vec::new() };
        match self.table(&UPLOADS).create(&[id.as_str()], &session)? {
            Put::Created => Ok(id),
            Put::Same | Put::Conflict => Err(StoreError::Busy),
        }
    }

    /// How many bytes of an upload are there; `None` if this repository has no such upload.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn upload_length(
        &self,
        repo: &RepoName,
        id: &UploadId,
        now: Timestamp,
    ) -> Result<Option<u64>, StoreError> {
        Ok(self.session(repo, id, now)?.map(|session| session.length()))
    }

    /// Adds a chunk that begins at `offset`; anywhere if that is not said.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn append(
        &self,
        repo: &RepoName,
        id: &UploadId,
        offset: Option<u64>,
        chunk: &Upload,
        now: Timestamp,
    ) -> Result<Appended, StoreError> {
        let mut place = self.place(repo, id, offset, chunk, now)?;
        if let Appended::Length(whole) = place {
            self.could_take(repo, whole)?;
        }
        if !matches!(place, Appended::Length(_)) || chunk.length == 0 {
            return Ok(place);
        }
        let name = UploadId::random()?.0;
        let key = id.chunk(&name);
        self.backend.publish(&chunk.temporary, &key)?;
        let added = self.table(&UPLOADS).update(&[id.as_str()], |session| {
            place = placed(session, repo, offset, chunk, now);
            Ok::<_, StoreError>(match (place, session) {
                (Appended::Length(_), Some(session)) => {
                    let mut session = session.clone();
                    session.chunks.push((name.clone(), chunk.length));
                    Some(session)
                }
                _ => None,
            })
        });
        if added.is_err() || !matches!(place, Appended::Length(_)) {
            // If this fails too, it goes with the session.
            let _ = self.backend.remove(&key);
        }
        added?;
        Ok(place)
    }

    fn place(
        &self,
        repo: &RepoName,
        id: &UploadId,
        offset: Option<u64>,
        chunk: &Upload,
        now: Timestamp,
    ) -> Result<Appended, StoreError> {
        Ok(placed(self.session(repo, id, now)?.as_ref(), repo, offset, chunk, now))
    }

    /// Puts an upload together and keeps it, if it has this digest. The upload is gone then.
    ///
    /// # Errors
    /// See [`StoreError`]. The upload is still there.
    pub fn finish_upload(
        &self,
        repo: &RepoName,
        id: &UploadId,
        expected: &BlobDigest,
        now: Timestamp,
    ) -> Result<Finished, StoreError> {
        let Some(session) = self.session(repo, id, now)? else {
            return Ok(Finished::Unknown);
        };
        let mut whole = self.upload(expected.hasher())?;
        for (name, length) in &session.chunks {
            let key = id.chunk(name);
            let missing = || StoreError::Damaged(key.as_path().to_owned());
            let mut chunk = self.backend.open(&key, 0)?.ok_or_else(missing)?;
            let mut rest = *length;
            while rest > 0 {
                let mut piece = Vec::new();
                (&mut chunk.bytes).take(rest.min(PIECE_BYTES)).read_to_end(&mut piece)?;
                if piece.is_empty() {
                    return Err(missing());
                }
                rest -= piece.len() as u64;
                whole.write(&piece)?;
            }
        }
        let finished = self.put_blob(repo, &whole, expected)?;
        if matches!(finished, Finished::Put(..)) {
            self.cancel_upload(repo, id, now)?;
        }
        Ok(finished)
    }

    /// Keeps content that comes in one piece to an upload without any so far, if it has this digest; the upload is gone then.
    /// `None` if something of it is there already, or `offset` is not its beginning: then it goes by [`Self::append`].
    ///
    /// # Errors
    /// See [`StoreError`]. The upload is still there.
    pub fn finish_at_once(
        &self,
        repo: &RepoName,
        id: &UploadId,
        offset: Option<u64>,
        whole: &Upload,
        expected: &BlobDigest,
        now: Timestamp,
    ) -> Result<Option<Finished>, StoreError> {
        match self.session(repo, id, now)? {
            None => Ok(Some(Finished::Unknown)),
            Some(session) if session.chunks.is_empty() && offset.unwrap_or(0) == 0 => {
                let finished = self.put_blob(repo, whole, expected)?;
                if matches!(finished, Finished::Put(..)) {
                    self.forget(id)?;
                }
                Ok(Some(finished))
            }
            Some(_) => Ok(None),
        }
    }

    /// Forgets an upload; whether there was one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn cancel_upload(
        &self,
        repo: &RepoName,
        id: &UploadId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let found = self.session(repo, id, now)?.is_some();
        if found {
            self.forget(id)?;
        }
        Ok(found)
    }

    /// Keeps content that came in one piece, if it has this digest.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn put_blob(
        &self,
        repo: &RepoName,
        upload: &Upload,
        expected: &BlobDigest,
    ) -> Result<Finished, StoreError> {
        let digest = Hasher::finish(upload.hasher.clone());
        if !expected.is_of(&digest) {
            return Ok(Finished::Mismatch);
        }
        let sha256 = digest.sha256();
        let wanted = Wanted { key: repo.blob(&sha256), length: upload.length, digest: sha256 };
        let put = self.keep(repo, &wanted, upload)?;
        if expected.sha256().is_none() {
            let [user, name] = repo.parts();
            let alias = [user, name, &expected.alias()];
            self.table(&ALIASES).create(&alias, &Alias { sha256 })?;
        }
        Ok(Finished::Put(put, Box::new(digest)))
    }

    /// The SHA-256 and length of a repository's blob with this digest; `None` if there is none. Blobs are found by another
    /// digest than SHA-256 if they were uploaded by it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn find_blob(
        &self,
        repo: &RepoName,
        digest: &BlobDigest,
    ) -> Result<Option<(Sha256, u64)>, StoreError> {
        let Some(sha256) = self.resolve(repo, digest)? else {
            return Ok(None);
        };
        Ok(self.backend.length(&repo.blob(&sha256))?.map(|length| (sha256, length)))
    }

    /// The SHA-256 that a digest stands for in a repository, whether its content is there or not; `None` if that is not known.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub(crate) fn resolve(
        &self,
        repo: &RepoName,
        digest: &BlobDigest,
    ) -> Result<Option<Sha256>, StoreError> {
        if let Some(sha256) = digest.sha256() {
            return Ok(Some(sha256));
        }
        let [user, name] = repo.parts();
        let alias = self.table(&ALIASES).value(&[user, name, &digest.alias()])?;
        Ok(alias.map(|alias| alias.sha256))
    }

    /// A repository's blob as [`Self::find_blob`] found it, or a range of its bytes; `None` if it is not there any more.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`].
    pub fn open_blob(
        &self,
        repo: &RepoName,
        (digest, length): (Sha256, u64),
        range: Option<std::ops::Range<u64>>,
    ) -> Result<Option<Blob>, StoreError> {
        let wanted = Wanted { key: repo.blob(&digest), length, digest };
        Blob::open(&*self.backend, &self.verified, wanted, range)
    }

    /// Forgets uploads that began a day ago, and chunks without an upload; how many objects that were.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn expire_uploads(&self, now: Timestamp) -> Result<usize, StoreError> {
        let mut removed = 0;
        self.abandoned_uploads(now, &mut |key| {
            self.backend.remove(key)?;
            removed += 1;
            Ok(())
        })?;
        Ok(removed)
    }

    /// Each object of an upload that began a day ago, and each chunk without an upload.
    pub(crate) fn abandoned_uploads(
        &self,
        now: Timestamp,
        each: &mut dyn FnMut(&Key) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut after: Option<String> = None;
        loop {
            let keys = self.backend.list("uploads/", after.as_deref(), PAGE)?;
            for key in &keys {
                let name = key.strip_prefix("uploads/").unwrap_or(key);
                let id = name.split(['.', '/']).next().and_then(UploadId::new);
                let over = match &id {
                    Some(id) => {
                        let session = self.table(&UPLOADS).value(&[id.as_str()])?;
                        session.is_none_or(|session| session.is_over(now))
                    }
                    None => false,
                };
                if over {
                    each(&Key::own(key.clone()))?;
                }
            }
            if keys.len() < PAGE {
                return Ok(());
            }
            after = keys.into_iter().next_back();
        }
    }

    /// Keeps content that hashes to its name.
    pub(super) fn keep(
        &self,
        repo: &RepoName,
        wanted: &Wanted,
        upload: &Upload,
    ) -> Result<Put, StoreError> {
        // First of all: whatever is there stays from now on.
        self.spare(repo, Thing::Blob(&wanted.digest.to_hex()))?;
        // What is there needs no more room.
        let room = match self.quotas.bytes {
            Some(_) if self.backend.length(&wanted.key)?.is_none() => Amounts::bytes(wanted.length),
            _ => Amounts::default(),
        };
        let publish = || self.backend.publish(&upload.temporary, &wanted.key);
        if self.with_room(repo.user(), room, publish, |named| *named == Named::New)? == Named::New {
            return Ok(Put::Created);
        }
        match blob::check(&*self.backend, &self.verified, wanted) {
            Ok(true) => Ok(Put::Same),
            // What the disk spoilt gets mended by whoever still has it.
            Ok(false) | Err(StoreError::Damaged(_)) => {
                self.backend.replace(&upload.temporary, &wanted.key)?;
                Ok(Put::Created)
            }
            Err(error) => Err(error),
        }
    }

    fn session(
        &self,
        repo: &RepoName,
        id: &UploadId,
        now: Timestamp,
    ) -> Result<Option<Session>, StoreError> {
        let session = self.table(&UPLOADS).value(&[id.as_str()])?;
        Ok(session.filter(|session| is_open(session, repo, now)))
    }

    /// The record goes first: nobody adds to what is not there.
    fn forget(&self, id: &UploadId) -> Result<(), StoreError> {
        self.table(&UPLOADS).delete(&[id.as_str()])?;
        for key in self.backend.list(&format!("uploads/{}/", id.0), None, usize::MAX)? {
            self.backend.remove(&Key::own(key))?;
        }
        Ok(())
    }
}

fn is_open(session: &Session, repo: &RepoName, now: Timestamp) -> bool {
    repo.parts() == [session.user.as_str(), session.repo.as_str()] && !session.is_over(now)
}

/// Whether a chunk fits, and what length the upload has with it.
fn placed(
    session: Option<&Session>,
    repo: &RepoName,
    offset: Option<u64>,
    chunk: &Upload,
    now: Timestamp,
) -> Appended {
    let Some(session) = session.filter(|session| is_open(session, repo, now)) else {
        return Appended::Unknown;
    };
    let there = session.length();
    let whole = there.saturating_add(chunk.length);
    if offset.is_some_and(|offset| offset != there) {
        Appended::Elsewhere(there)
    } else if whole > limits::BLOB_BYTES_MAX || session.chunks.len() >= limits::UPLOAD_CHUNKS_MAX {
        Appended::TooLarge
    } else {
        Appended::Length(whole)
    }
}
