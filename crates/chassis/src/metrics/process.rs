// SPDX-License-Identifier: Apache-2.0

//! What the kernel says about this process.

use std::fs;

use super::Registry;
use crate::clock::Clock;

/// Ticks of a second in `/proc/self/stat`: 100 on every Linux architecture (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// Registers the customary metrics of a process, and which program it is.
pub(super) fn register(registry: &Registry, service: &'static str, version: &'static str) {
    #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in a double")]
    let started = Clock::System.now().0 as f64;
    registry.gauge_of(
        "process_start_time_seconds",
        "When the service started, seconds since 1970.",
        move || vec![(Vec::new(), started)],
    );
    registry.gauge_of("build_info", "Which program this is.", move || {
        let labels = vec![("service", service.to_owned()), ("version", version.to_owned())];
        vec![(labels, 1.0)]
    });
    registry.gauge_of("process_resident_memory_bytes", "Memory in use.", || {
        one(status("VmRSS:").map(|kibibytes| kibibytes * 1024.0))
    });
    registry.gauge_of("process_open_fds", "Open file descriptors.", || {
        #[allow(clippy::cast_precision_loss, reason = "there are fewer than 2^53 descriptors")]
        let open = fs::read_dir("/proc/self/fd").map(|entries| entries.count() as f64);
        one(open.ok())
    });
    registry.counter_of("process_cpu_seconds_total", "Processor time spent.", || one(cpu()));
}

fn one(value: Option<f64>) -> Vec<(super::Labels, f64)> {
    value.map(|value| (Vec::new(), value)).into_iter().collect()
}

/// A number in `/proc/self/status`.
fn status(key: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(key))?;
    value.split_whitespace().next()?.parse().ok()
}

/// User and system time, in seconds (proc_pid_stat(5), fields 14 and 15).
fn cpu() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, the name, may hold anything but is in parentheses.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}
