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
use super::entry::Record;
use super::files::{self, Head};
use super::tail::{self, FILE_BYTES_MAX, Tail};

/// Most requests that wait to be recorded; more are told that Steward is busy.
const WAITING_MAX: usize = 256;

enum Job {
    Append { records: Vec<String>, done: oneshot::Sender<Result<(), Arc<LogError>>> },
    Reopen { done: oneshot::Sender<Result<Head, Arc<LogError>>> },
}

/// The log of a Steward that serves.
pub struct IssuanceLog(Option<Running>);

struct Running {
    dir: PathBuf,
    jobs: Option<SyncSender<Job>>,
    head: Arc<Mutex<Head>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for IssuanceLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = self.0.as_ref().map(|running| &running.dir);
        f.debug_struct("IssuanceLog").field("dir", &dir).finish_non_exhaustive()
    }
}

/// The log's answer, to be waited for.
#[derive(Debug)]
#[must_use = "nothing is recorded until this says so"]
pub struct Receipt(Option<oneshot::Receiver<Result<(), Arc<LogError>>>>);

impl Receipt {
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

impl IssuanceLog {
    /// Opens the log in `dir`, made if it is not there. What a crash left of a last entry is cut, and said in the
    /// program's log.
    ///
    /// # Errors
    /// See [`LogError`]: another process writes it, its last file is broken, or the file system fails.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        Self::open_with(dir, Arc::new(tail::open_file), FILE_BYTES_MAX)
    }

    pub(super) fn open_with(
        dir: &Path,
        open: tail::Open,
        file_bytes_max: u64,
    ) -> Result<Self, LogError> {
        files::make(dir)?;
        let lock = files::lock(dir)?;
        let (tail, torn) = Tail::recover(dir, open, file_bytes_max)?;
        let found = Head::from(tail.link());
        if torn > 0 {
            tracing::warn!(
                bytes = torn,
                entries = found.entries,
                "the end of the issuance log was cut: a crash tore an entry whose certificate never left"
            );
        }
        let head = Arc::new(Mutex::new(found));
        let (jobs, queue) = sync_channel(WAITING_MAX);
        let shared = head.clone();
        let thread = std::thread::Builder::new()
            .name("issuance-log".to_owned())
            .spawn(move || {
                write(tail, &queue, &shared);
                drop(lock);
            })
            .map_err(|error| LogError::Io("start the writer of", dir.to_owned(), error))?;
        Ok(Self(Some(Running {
            dir: dir.to_owned(),
            jobs: Some(jobs),
            head,
            thread: Some(thread),
        })))
    }

    /// No log: certificates leave without a trace. For tests and development only.
    pub const fn insecure_none() -> Self {
        Self(None)
    }

    /// Where the log ends; none without a log.
    pub fn head(&self) -> Option<Head> {
        let running = self.0.as_ref()?;
        Some(*running.head.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has `records` written, all or none, one after the other. Does not block; the receipt does.
    ///
    /// # Errors
    /// [`LogError::Busy`] if too many wait, [`LogError::TooLong`] if a record is too large.
    pub fn append(&self, records: &[Record]) -> Result<Receipt, LogError> {
        let Some(running) = &self.0 else { return Ok(Receipt(None)) };
        let records = records.iter().map(json).collect::<Result<_, _>>()?;
        let (done, answer) = oneshot::channel();
        running.send(Job::Append { records, done })?;
        Ok(Receipt(Some(answer)))
    }

    /// Tries to go on after a failure. Where the log ends then; none without a log. Blocks.
    ///
    /// # Errors
    /// What still fails.
    pub fn reopen(&self) -> Result<Option<Head>, Arc<LogError>> {
        let Some(running) = &self.0 else { return Ok(None) };
        let (done, answer) = oneshot::channel();
        running.send(Job::Reopen { done }).map_err(Arc::new)?;
        answer.blocking_recv().unwrap_or_else(|_| Err(Arc::new(ended()))).map(Some)
    }
}

impl Running {
    fn send(&self, job: Job) -> Result<(), LogError> {
        let Some(jobs) = &self.jobs else { return Err(ended()) };
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => LogError::Busy,
            TrySendError::Disconnected(_) => ended(),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Without a sender the thread ends, once everything that waited is written.
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn json(record: &Record) -> Result<String, LogError> {
    /// Room for everything in a line but the record.
    const FRAME_BYTES_MAX: usize = 256;
    // Strings and numbers always serialise.
    let json = record.to_json().map_err(|_| LogError::TooLong(0))?;
    if json.len() + FRAME_BYTES_MAX > limits::LOG_ENTRY_BYTES_MAX {
        return Err(LogError::TooLong(json.len()));
    }
    Ok(json)
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
                    tracing::error!(%error, "certificates could not be recorded and do not leave");
                }
                *head.lock().unwrap_or_else(PoisonError::into_inner) = tail.link().into();
                for (_, done) in batch {
                    // Whoever does not wait any more does not get the certificate either.
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
