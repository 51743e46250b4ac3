// SPDX-License-Identifier: Apache-2.0

//! Bodies on their way in, for both protocols.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use drawbridge_core::Hasher;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

use super::Registry;
use crate::store::{StoreError, Upload};

/// Pieces of a body that wait for the disk.
const PIECES_MAX: usize = 8;

/// Why a body was not taken.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// It broke off.
    Broken,
    /// It is longer than what was said to be the most.
    TooLong,
    /// The store does not take it.
    Store(StoreError),
    /// The work on it was ended.
    Unfinished,
}

/// The next piece of a body, `None` at its end.
async fn next(body: &mut Body) -> Result<Option<Bytes>, BodyError> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Ok(frame)) => {
                // Trailers say nothing to us.
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
            Some(Err(_)) => return Err(BodyError::Broken),
        }
    }
}

/// A small body, of at most `max` bytes.
///
/// # Errors
/// See [`BodyError`].
pub(crate) async fn collect(mut body: Body, max: u64) -> Result<Vec<u8>, BodyError> {
    let mut bytes = Vec::new();
    while let Some(piece) = next(&mut body).await? {
        if bytes.len() as u64 + piece.len() as u64 > max {
            return Err(BodyError::TooLong);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Brings a body of at most `max` bytes to the disk, without a name yet; memory does not grow with it. Also its length in
/// bytes. `hasher` says which of its digests are wanted.
///
/// # Errors
/// See [`BodyError`].
pub(crate) async fn stage(
    registry: &Arc<Registry>,
    mut body: Body,
    max: u64,
    hasher: Hasher,
) -> Result<(Upload, u64), BodyError> {
    // The pieces, then `None` to say that they are all. Without it, whatever arrived is thrown away.
    let (sender, mut pieces) = mpsc::channel::<Option<Bytes>>(PIECES_MAX);
    let registry = Arc::clone(registry);
    let disk = tokio::task::spawn_blocking(move || {
        let mut upload = registry.store.upload(hasher).map_err(BodyError::Store)?;
        let mut rest = max;
        loop {
            match pieces.blocking_recv() {
                Some(Some(piece)) => {
                    rest = rest.checked_sub(piece.len() as u64).ok_or(BodyError::TooLong)?;
                    upload.write(&piece).map_err(BodyError::Store)?;
                }
                Some(None) => return Ok((upload, max - rest)),
                None => return Err(BodyError::Broken),
            }
        }
    });
    let fed = async {
        while let Some(piece) = next(&mut body).await? {
            // If the disk's side has given up, it says why. The rest is still read, and thrown away: a client hears
            // nothing before it has sent everything.
            let _ = sender.send(Some(piece)).await;
        }
        let _ = sender.send(None).await;
        Ok::<_, BodyError>(())
    }
    .await;
    drop(sender);
    let staged = disk.await;
    fed?;
    staged.unwrap_or_else(|error| {
        tracing::error!(%error, "the work on an upload was ended");
        Err(BodyError::Unfinished)
    })
}
