// SPDX-License-Identifier: Apache-2.0

//! A Keep that runs.

use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::{Error, sys};

/// A Keep that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Running {
    pub(crate) pid: u32,
    pub(crate) killer: Killer,
    pub(crate) watcher: Option<JoinHandle<Result<ExitStatus, Error>>>,
}

/// Ends a Keep from another thread.
#[derive(Clone, Debug)]
pub struct Killer {
    /// Refers to the process, and to none that later has the same number.
    pub(crate) pidfd: Arc<OwnedFd>,
}

impl Killer {
    /// Ends the Keep at once. No effect on one that has ended.
    pub fn kill(&self) {
        sys::kill(&self.pidfd);
    }
}

impl Running {
    /// The Keep's process, as the host numbers it.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// A handle to end it from another thread.
    pub fn killer(&self) -> Killer {
        self.killer.clone()
    }

    /// Ends the Keep at once. [`Self::wait`] then tells of the signal.
    pub fn kill(&self) {
        self.killer.kill();
    }

    /// Whether the Keep has ended, so that [`Self::wait`] returns at once.
    pub fn has_ended(&self) -> bool {
        self.watcher.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the Keep to end. All its events were delivered by then.
    ///
    /// # Errors
    /// The Keep misbehaved towards its loader and was ended for that.
    pub fn wait(mut self) -> Result<ExitStatus, Error> {
        match self.watcher.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            // The thread panicked, in a callback for instance, or there is none.
            Some(Err(_)) | None => {
                Err(Error::Trace(std::io::Error::other("the thread that watches the Keep stopped")))
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(watcher) = self.watcher.take() {
            self.killer.kill();
            // The result is nobody's concern any more; what matters is that the process is gone.
            let _ = watcher.join();
        }
    }
}
