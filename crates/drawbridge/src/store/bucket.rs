// SPDX-License-Identifier: Apache-2.0

//! A bucket: S3, GCS, Azure, or memory for tests, by the `object_store` crate.
//!
//! Any number of registries share one without knowing of each other: every name is given by a conditional put, of which
//! the bucket lets exactly one succeed. Some servers that speak S3 take the condition and ignore it, so a bucket is tried
//! before it is used. What arrives is staged in a local file, checked, and only then uploaded.
//!
//! Calls block on a runtime of the bucket's own.

use std::fmt;
use std::future::Future;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload,
    UpdateVersion, WriteMultipart,
};
use tokio::runtime::{Builder, Handle, Runtime};

use super::backend::{Backend, Named, Opened, Version, When};
use super::staging::{Staging, Temporary};
use super::{Key, StoreError};

/// How long a small request may take, repetitions included.
const REQUEST: Duration = Duration::from_secs(60);
/// How long the next bytes of an object may take.
const STEP: Duration = Duration::from_secs(30);
/// Content of more than this, in bytes, is uploaded in parts of this size. Azure and S3 take 10,000 or more of them.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// Parts on their way at once.
const PARTS_AT_ONCE: usize = 3;

/// Beginning of the keys that a bucket is tried with.
pub(super) const PROBES: &str = "probes/";

/// Objects below a prefix.
pub(super) struct Bucket {
    objects: Arc<dyn ObjectStore>,
    /// Empty, or ends in a slash.
    prefix: String,
    staging: Staging,
    /// There until the bucket is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({}, {:?})", self.objects, self.prefix)
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        // Dropped wherever the last user is, which may be where nothing may block.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Bucket {
    /// Objects below `prefix` (parts joined by slashes, or nothing).
    pub(super) fn new(
        objects: Arc<dyn ObjectStore>,
        prefix: &str,
        staging: Staging,
    ) -> Result<Self, StoreError> {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).thread_name("bucket").enable_all().build()?;
        let handle = runtime.handle().clone();
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { objects, prefix, staging, runtime: Some(runtime), handle })
    }

    fn path(&self, key: &str) -> Result<Path, StoreError> {
        let path = format!("{}{key}", self.prefix);
        Path::parse(path.trim_end_matches('/')).map_err(|error| failed(error.into()))
    }

    fn run<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> object_store::Result<T> {
        let late = || Error::Generic {
            store: "bucket",
            source: io::Error::from(io::ErrorKind::TimedOut).into(),
        };
        self.handle.block_on(async {
            tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
        })
    }

    fn put(&self, key: &Key, bytes: Vec<u8>, mode: PutMode) -> Result<Option<Version>, StoreError> {
        let path = self.path(key.as_str())?;
        let options = PutOptions::from(mode);
        match self.run(REQUEST, self.objects.put_opts(&path, PutPayload::from(bytes), options)) {
            Ok(put) => Ok(Some(Version { tag: put.e_tag, generation: put.version })),
            Err(
                Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotFound { .. },
            ) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Whether the bucket keeps its side: of two writes on one condition the second must fail.
    ///
    /// # Errors
    /// [`StoreError::Unconditional`] if it does not; failures of the bucket.
    pub(super) fn try_conditions(&self, nonce: u64) -> Result<(), StoreError> {
        let key = Key::own(format!("{PROBES}{nonce:016x}"));
        let result = self.conditions(&key);
        // A leftover is in nobody's way.
        let _ = self.remove(&key);
        match result {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::Unconditional),
            Err(error) => Err(error),
        }
    }

    fn conditions(&self, key: &Key) -> Result<bool, StoreError> {
        let Some(first) = self.write(key, b"first", When::Absent)? else {
            return Ok(false);
        };
        if self.write(key, b"other", When::Absent)?.is_some() {
            return Ok(false);
        }
        let Some(second) = self.write(key, b"second", When::Is(&first))? else {
            return Ok(false);
        };
        if second == first || self.write(key, b"other", When::Is(&first))?.is_some() {
            return Ok(false);
        }
        Ok(self.read(key, 16)?.is_some_and(|(bytes, at)| bytes == b"second" && at == second))
    }

    /// Uploads a staged file in place of whatever is there.
    async fn upload(&self, path: &Path, staged: &Temporary) -> object_store::Result<()> {
        let local = |error: io::Error| Error::Generic { store: "staging", source: error.into() };
        let mut file = std::fs::File::open(staged.path()).map_err(local)?;
        let length = file.metadata().map_err(local)?.len();
        if length <= PART_BYTES as u64 {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(local)?;
            self.objects.put(path, bytes.into()).await?;
            return Ok(());
        }
        let upload = self.objects.put_multipart(path).await?;
        let mut parts = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let sent: object_store::Result<()> = async {
            loop {
                let mut part = Vec::with_capacity(PART_BYTES);
                (&mut file).take(PART_BYTES as u64).read_to_end(&mut part).map_err(local)?;
                if part.is_empty() {
                    return Ok(());
                }
                parts.wait_for_capacity(PARTS_AT_ONCE).await?;
                parts.put(part.into());
            }
        }
        .await;
        match sent {
            Ok(()) => parts.finish().await.map(drop),
            Err(error) => {
                // What arrived would be paid for until somebody cleans up.
                let _ = parts.abort().await;
                Err(error)
            }
        }
    }

    fn send(&self, staged: &Temporary, key: &Key) -> Result<(), StoreError> {
        let path = self.path(key.as_str())?;
        // Each request has its own limit; how many there are depends on the length, which is bounded.
        self.handle.block_on(self.upload(&path, staged)).map_err(failed)
    }
}

impl Backend for Bucket {
    fn is_far(&self) -> bool {
        true
    }

    fn read(&self, key: &Key, max: usize) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        let path = self.path(key.as_str())?;
        let read = self.run(REQUEST, async {
            let found = self.objects.get_opts(&path, GetOptions::default()).await?;
            let version =
                Version { tag: found.meta.e_tag.clone(), generation: found.meta.version.clone() };
            if found.meta.size > max as u64 {
                return Ok(None);
            }
            Ok(Some((found.bytes().await?.to_vec(), version)))
        });
        match read {
            Ok(Some(found)) => Ok(Some(found)),
            Ok(None) => Err(io::Error::from(io::ErrorKind::InvalidData).into()),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    fn write(
        &self,
        key: &Key,
        bytes: &[u8],
        when: When<'_>,
    ) -> Result<Option<Version>, StoreError> {
        let mode = match when {
            When::Absent => PutMode::Create,
            When::Is(version) => PutMode::Update(UpdateVersion {
                e_tag: version.tag.clone(),
                version: version.generation.clone(),
            }),
        };
        self.put(key, bytes.to_vec(), mode)
    }

    fn remove(&self, key: &Key) -> Result<(), StoreError> {
        let path = self.path(key.as_str())?;
        match self.run(REQUEST, self.objects.delete(&path)) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<String>, StoreError> {
        let below = self.path(prefix)?;
        let below = (!below.as_ref().is_empty()).then_some(&below);
        let mut found = match after {
            Some(after) => self.objects.list_with_offset(below, &self.path(after)?),
            None => self.objects.list(below),
        };
        let mut keys: Vec<String> = Vec::new();
        while keys.len() < max {
            let next = self.run(REQUEST, async { found.next().await.transpose() });
            let Some(object) = next.map_err(failed)? else {
                break;
            };
            let key = object.location.as_ref().strip_prefix(self.prefix.as_str());
            let key = key.unwrap_or_default().to_owned();
            // All that is kept here promises the order of bytes; pages depend on it.
            if keys.last().is_some_and(|last| *last >= key) {
                return Err(io::Error::other("the bucket lists its objects in no order").into());
            }
            keys.push(key);
        }
        Ok(keys)
    }

    fn length(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        let path = self.path(key.as_str())?;
        match self.run(REQUEST, self.objects.head(&path)) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    fn open(&self, key: &Key, from: u64) -> Result<Option<Opened>, StoreError> {
        let path = self.path(key.as_str())?;
        let range = (from > 0).then_some(GetRange::Offset(from));
        let options = GetOptions { range, ..GetOptions::default() };
        match self.run(REQUEST, self.objects.get_opts(&path, options)) {
            Ok(found) => {
                let length = found.meta.size;
                let pieces = found.into_stream();
                let handle = self.handle.clone();
                let bytes = Box::new(Pieces { pieces, handle, rest: bytes::Bytes::new() });
                Ok(Some(Opened { length, bytes }))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    fn stage(&self) -> Result<Temporary, StoreError> {
        Ok(self.staging.temporary()?)
    }

    fn publish(&self, staged: &Temporary, key: &Key) -> Result<Named, StoreError> {
        if self.length(key)?.is_some() {
            return Ok(Named::Taken);
        }
        // Whoever comes at the same time brings the same bytes.
        self.send(staged, key)?;
        Ok(Named::New)
    }

    fn replace(&self, staged: &Temporary, key: &Key) -> Result<(), StoreError> {
        self.send(staged, key)
    }
}

/// The bytes of an object, as they come.
struct Pieces {
    pieces: BoxStream<'static, object_store::Result<bytes::Bytes>>,
    handle: Handle,
    rest: bytes::Bytes,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            let pieces = &mut self.pieces;
            let next =
                self.handle.block_on(async { tokio::time::timeout(STEP, pieces.next()).await });
            match next.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))? {
                None => return Ok(0),
                Some(piece) => self.rest = piece.map_err(io::Error::other)?,
            }
        }
        let count = into.len().min(self.rest.len());
        into[..count].copy_from_slice(&self.rest.split_to(count));
        Ok(count)
    }
}

/// A bucket's failure. Its error may have an URL in it, and goes to the log only.
fn failed(error: Error) -> StoreError {
    match error {
        // A local disk that is full says so.
        Error::Generic { store: "staging", source } => match source.downcast::<io::Error>() {
            Ok(error) => (*error).into(),
            Err(source) => StoreError::Bucket(source),
        },
        error => StoreError::Bucket(error.into()),
    }
}
