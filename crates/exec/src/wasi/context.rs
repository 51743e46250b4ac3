// SPDX-License-Identifier: Apache-2.0

//! What a running guest has: its arguments, its descriptors, its clocks.

use std::rc::Rc;
use std::time::Instant;

use crate::clock::Clock;
use crate::poll::Interest;
use crate::runtime::{GuestLimits, RuntimeEvent};
use crate::vfs::{Opener, Table};

use super::abi::{Errno, fdflags};

/// The state of a guest.
pub(crate) struct Context {
    pub(crate) args: Vec<String>,
    /// `NAME=value`
    pub(crate) env: Vec<String>,
    pub(crate) table: Table,
    pub(crate) network: Box<dyn Opener>,
    pub(crate) clock: Clock,
    pub(crate) limits: GuestLimits,
    pub(crate) on: Rc<dyn Fn(RuntimeEvent)>,
    pub(crate) started: Instant,
    /// The guest's memory, once it is known.
    pub(crate) memory: Option<wasmtime::Memory>,
    wrote: bool,
    /// Latest time told of the monotonic clock, nanoseconds.
    pub(super) monotonic: u64,
}

/// What a [`Context`] is made of.
pub(crate) struct Parts {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) table: Table,
    pub(crate) network: Box<dyn Opener>,
    pub(crate) clock: Clock,
    pub(crate) limits: GuestLimits,
    pub(crate) on: Rc<dyn Fn(RuntimeEvent)>,
}

impl Context {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { args, env, table, network, clock, limits, on } = parts;
        Self {
            args,
            env,
            table,
            network,
            clock,
            limits,
            on,
            started: Instant::now(),
            memory: None,
            wrote: false,
            monotonic: 0,
        }
    }

    /// Time of day, nanoseconds since 1970.
    pub(super) fn now(&self) -> u64 {
        self.clock.now_nanoseconds()
    }

    /// The guest wrote `count` bytes to where others can see them.
    pub(super) fn wrote(&mut self, count: usize) {
        if count > 0 && !self.wrote {
            self.wrote = true;
            (self.on)(RuntimeEvent::FirstByte { after: self.started.elapsed() });
        }
    }

    /// Tries until it does not fail with [`Errno::Again`], waiting for `interest` in `fd` in between; only once if the
    /// descriptor is in non-blocking mode.
    pub(super) fn blocking<T>(
        &mut self,
        fd: u32,
        interest: Interest,
        mut attempt: impl FnMut(&mut Self) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        loop {
            match attempt(self) {
                Err(Errno::Again) => {}
                Err(Errno::Interrupted) => continue,
                result => return result,
            }
            if self.table.get(fd)?.flags & fdflags::NONBLOCK != 0 {
                return Err(Errno::Again);
            }
            self.table.progress();
            if !self.table.get(fd)?.ready(interest) {
                self.table.wait([(fd, interest)], None)?;
                self.table.progress();
            }
        }
    }
}
