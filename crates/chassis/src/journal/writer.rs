// SPDX-License-Identifier: Apache-2.0

//! The thread that writes: what comes while the disk is busy goes to the disk together.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use types::limits;

use super::LogError;
use super::entry::Shape;
use super::files::{self, Head};
use super::tail::{self, FILE_BYTES_MAX, Tail};

/// Most requests that wait to be recorded; more are told that it is busy.
const WAITING_MAX: usize = 256;
/// Longest record: an entry without everything that stands around it.
const RECORD_BYTES_MAX: usize = limits::LOG_ENTRY_BYTES_MAX - 512;

enum Job {
    Append { records: Vec<String>, done: oneshot::Sender<Result<(), Arc<LogError>>> },
    Reopen { done: oneshot::Sender<Result<Head, Arc<LogError>>> },
}

/// A journal that is written.
pub struct Journal {
    dir: PathBuf,
    jobs: Option<SyncSender<Job>>,
    head: Arc<Mutex<Head>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// The log's answer, to be waited for.
#[derive(Debug)]
#[must_use = "nothing is recorded until this says so"]
pub struct Receipt(Option<oneshot::Receiver<Result<(), Arc<LogError>>>>);

impl Receipt {
    /// For those who record nothing.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Waits until the entries are on the disk.
    ///
    /// # Errors
    /// They are not, or nobody knows. See [`LogError`].
    pub async fn recorded(self) -> Result<(), Arc<LogError>> {
        match self.0 {
            Some(answer) => answer.await.unwrap_or_else(|_| Err(Arc::new(ended()))),
            None => Ok(()),
        }
    }

    /// The same, on a thread that may block.
    ///
    /// # Errors
    /// As [`Self::recorded`].
    pub fn wait(self) -> Result<(), Arc<LogError>> {
        match self.0 {
            Some(answer) => answer.blocking_recv().unwrap_or_else(|_| Err(Arc::new(ended()))),
            None => Ok(()),
        }
    }
}

fn ended() -> LogError {
    LogError::Closed("its writer has ended".to_owned())
}

impl Journal {
    /// Opens the journal in `dir`, made if it is not there. What a crash left of a last entry is cut, and said in the
    /// program's log.
    ///
    /// # Errors
    /// See [`LogError`]: another process writes it, its last file is broken, or the file system fails.
    pub fn open(dir: &Path, shape: Shape) -> Result<Self, LogError> {
        Self::open_with(dir, shape, Arc::new(tail::open_file), FILE_BYTES_MAX)
    }

    pub(super) fn open_with(
        dir: &Path,
        shape: Shape,
        open: tail::Open,
        file_bytes_max: u64,
    ) -> Result<Self, LogError> {
        files::make(dir)?;
        let lock = files::lock(dir)?;
        let (tail, torn) = Tail::recover(dir, shape, open, file_bytes_max)?;
        let found = Head::from(tail.link());
        if torn > 0 {
            tracing::warn!(
                dir = %dir.display(),
                bytes = torn,
                entries = found.entries,
                "the end of the log was cut: a crash tore an entry that nobody was told of"
            );
        }
        let head = Arc::new(Mutex::new(found));
        let (jobs, queue) = sync_channel(WAITING_MAX);
        let shared = head.clone();
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                write(tail, &queue, &shared);
                drop(lock);
            })
            .map_err(|error| LogError::Io("start the writer of", dir.to_owned(), error))?;
        Ok(Self { dir: dir.to_owned(), jobs: Some(jobs), head, thread: Some(thread) })
    }

    /// Where the journal ends.
    pub fn head(&self) -> Head {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `records` (JSON) written, all or none, one after the other. Does not block; the receipt does.
    ///
    /// # Errors
    /// [`LogError::Busy`] if too many wait, [`LogError::TooLong`] if a record is too large.
    pub fn append(&self, records: Vec<String>) -> Result<Receipt, LogError> {
        if let Some(long) = records.iter().find(|json| json.len() > RECORD_BYTES_MAX) {
            return Err(LogError::TooLong(long.len()));
        }
        let (done, answer) = oneshot::channel();
        self.send(Job::Append { records, done })?;
        Ok(Receipt(Some(answer)))
    }

    /// Tries to go on after a failure. Where the journal ends then. Blocks.
    ///
    /// # Errors
    /// What still fails.
    pub fn reopen(&self) -> Result<Head, Arc<LogError>> {
        let (done, answer) = oneshot::channel();
        self.send(Job::Reopen { done }).map_err(Arc::new)?;
        answer.blocking_recv().unwrap_or_else(|_| Err(Arc::new(ended())))
    }

    fn send(&self, job: Job) -> Result<(), LogError> {
        let Some(jobs) = &self.jobs else { return Err(ended()) };
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => LogError::Busy,
            TrySendError::Disconnected(_) => ended(),
        })
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Without a sender the thread ends, once everything that waited is written.
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Writes until nobody can ask any more.
fn write(mut tail: Tail, queue: &Receiver<Job>, head: &Mutex<Head>) {
    let mut next = queue.recv().ok();
    while let Some(job) = next.take() {
        match job {
            Job::Reopen { done } => {
                let result = tail.reopen().map(|()| tail.link().into()).map_err(Arc::new);
                let _ = done.send(result);
            }
            Job::Append { records, done } => {
                let size = |records: &[String]| records.iter().map(String::len).sum::<usize>();
                let mut bytes = size(&records);
                let mut batch = vec![(records, done)];
                while bytes < limits::LOG_BATCH_BYTES_MAX && next.is_none() {
                    match queue.try_recv() {
                        Ok(Job::Append { records, done }) => {
                            bytes += size(&records);
                            batch.push((records, done));
                        }
                        Ok(other) => next = Some(other),
                        Err(_) => break,
                    }
                }
                let records = batch.iter().flat_map(|(records, _)| records).map(String::as_str);
                let was_closed = tail.is_closed();
                let result = tail.commit(records).map_err(Arc::new);
                if let Err(error) = &result
                    && !was_closed
                {
                    tracing::error!(%error, "what happened could not be recorded, and has no effect");
                }
                *head.lock().unwrap_or_else(PoisonError::into_inner) = tail.link().into();
                for (_, done) in batch {
                    // Whoever does not wait any more gets nothing either.
                    let _ = done.send(result.clone());
                }
            }
        }
        if next.is_none() {
            next = queue.recv().ok();
        }
    }
}

#[cfg(test)]
mod tests;
