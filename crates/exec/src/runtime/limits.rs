// SPDX-License-Identifier: Apache-2.0

//! Memory and processor time of a guest.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};

use crate::vfs::Budget;
use crate::wasi::{Context, thread_cpu};

use super::RuntimeEvent;

/// Bytes of one element of a table.
const ELEMENT_BYTES: u64 = 8;
/// Most linear memories of one module.
const MEMORIES_MAX: usize = 8;
/// Most tables of one module.
const TABLES_MAX: usize = 64;
/// How often the processor time is looked at.
const TICK: Duration = Duration::from_millis(10);

/// What a guest may still get, and whether it asked for more.
#[derive(Debug)]
pub(crate) struct GuestLimits {
    budget: Arc<Budget>,
    /// The last request for memory that was refused, unless one was granted since.
    refused: Option<String>,
    told: bool,
}

impl GuestLimits {
    /// Limits that take memory from `budget`.
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, refused: None, told: false }
    }

    /// Why the guest cannot go on, if that is for want of memory.
    pub(crate) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// The refusal, the first time that it is asked for.
    pub(crate) fn news(&mut self) -> Option<RuntimeEvent> {
        if self.told {
            return None;
        }
        let message = self.refused.clone()?;
        self.told = true;
        Some(RuntimeEvent::LimitReached { which: "memory", message })
    }

    fn grow(&mut self, current: u64, desired: u64, what: &str) -> bool {
        let granted = self.budget.take(desired.saturating_sub(current));
        self.refused = (!granted).then(|| {
            format!(
                "the workload wanted {what} of {desired} bytes; `[limits] memory` is {} bytes for all its memory and files in /tmp, {} of them in use",
                self.budget.limit(),
                self.budget.used(),
            )
        });
        granted
    }
}

impl ResourceLimiter for GuestLimits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.grow(bytes(current), bytes(desired), "a memory"))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let size = |elements| bytes(elements).saturating_mul(ELEMENT_BYTES);
        Ok(self.grow(size(current), size(desired), "a table"))
    }

    fn instances(&self) -> usize {
        1
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }
}

fn bytes(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

/// The guest has used up its processor time: so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfTime(pub(crate) u64);

impl fmt::Display for OutOfTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the workload has used the {} seconds of `[limits] cpu_seconds`", self.0)
    }
}

impl std::error::Error for OutOfTime {}

/// Looks at a guest's processor time again and again, until it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: Option<Sender<()>>,
    ticker: Option<JoinHandle<()>>,
}

impl Watch {
    /// Gives the guest of `store` so many `seconds` of processor time, from now and on this thread. Its engine must have been
    /// made with epoch interruption.
    ///
    /// # Errors
    /// If no thread can be had.
    pub(crate) fn start(
        engine: &Engine,
        store: &mut Store<Context>,
        seconds: u64,
    ) -> std::io::Result<Self> {
        let end = thread_cpu().saturating_add(seconds.saturating_mul(1_000_000_000));
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_store| {
            if thread_cpu() >= end {
                return Err(wasmtime::Error::new(OutOfTime(seconds)));
            }
            Ok(UpdateDeadline::Continue(1))
        });
        let (stop, stopped) = channel();
        let engine = engine.clone();
        let ticker = std::thread::Builder::new().name("cpu-limit".to_owned()).spawn(move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        })?;
        Ok(Self { stop: Some(stop), ticker: Some(ticker) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(ticker) = self.ticker.take() {
            let _ended = ticker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_tables_share_one_budget() {
        let budget = Budget::new(1000);
        let mut limits = GuestLimits::new(Arc::clone(&budget));
        assert!(limits.memory_growing(0, 600, None).unwrap());
        assert!(limits.table_growing(0, 50, None).unwrap());
        assert!(limits.news().is_none());
        assert!(!limits.memory_growing(600, 601, None).unwrap());
        assert!(limits.refused().unwrap().contains("1000 bytes"));
        assert!(limits.news().is_some());
        assert!(limits.news().is_none());
        budget.give(400);
        assert!(limits.memory_growing(600, 700, None).unwrap());
        assert_eq!(limits.refused(), None);
        // What the module itself forbids is no matter of ours.
        assert!(!limits.memory_growing(700, 800, Some(750)).unwrap());
        assert!(!limits.table_growing(50, 60, Some(55)).unwrap());
        assert_eq!((limits.refused(), budget.used()), (None, 700));
    }
}
