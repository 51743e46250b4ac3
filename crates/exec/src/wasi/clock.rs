// SPDX-License-Identifier: Apache-2.0

//! Clocks.

use rustix::time::{ClockId, clock_getres, clock_gettime};

use super::abi::{Errno, clocks};
use super::context::Context;
use super::memory::Memory;

/// `clock_res_get`: resolution, nanoseconds.
pub(super) fn clock_res_get(
    _context: &mut Context,
    memory: &mut Memory<'_>,
    id: u32,
    result: u32,
) -> Result<(), Errno> {
    let id = match id {
        clocks::REALTIME => ClockId::Realtime,
        clocks::MONOTONIC => ClockId::Monotonic,
        clocks::PROCESS_CPU => ClockId::ProcessCPUTime,
        clocks::THREAD_CPU => ClockId::ThreadCPUTime,
        _ => return Err(Errno::Invalid),
    };
    memory.write_u64(result, nanoseconds(clock_getres(id)).max(1))
}

/// `clock_time_get`: the time, nanoseconds.
pub(super) fn clock_time_get(
    context: &mut Context,
    memory: &mut Memory<'_>,
    id: u32,
    _precision: u64,
    result: u32,
) -> Result<(), Errno> {
    let time = match id {
        clocks::REALTIME => context.now(),
        clocks::MONOTONIC => context.monotonic(),
        clocks::PROCESS_CPU => nanoseconds(clock_gettime(ClockId::ProcessCPUTime)),
        clocks::THREAD_CPU => thread_cpu(),
        _ => return Err(Errno::Invalid),
    };
    memory.write_u64(result, time)
}

/// Processor time of this thread, nanoseconds.
pub(crate) fn thread_cpu() -> u64 {
    nanoseconds(clock_gettime(ClockId::ThreadCPUTime))
}

impl Context {
    /// Time that never goes back, whatever the host says: nanoseconds.
    pub(super) fn monotonic(&mut self) -> u64 {
        let time = nanoseconds(clock_gettime(ClockId::Monotonic)).max(self.monotonic);
        self.monotonic = time;
        time
    }
}

fn nanoseconds(time: rustix::time::Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}
