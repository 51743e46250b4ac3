// SPDX-License-Identifier: Apache-2.0

//! Counts what is allocated. Does nothing but ask whether it should while nobody measures.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering::Relaxed};

static COUNTS: AtomicBool = AtomicBool::new(false);
/// Bytes allocated since counting began, less those freed: below zero if older ones were freed.
static HELD: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, with a counter.
pub(crate) struct Counting;

fn count(bytes: usize, calls: usize) {
    // No allocation is larger than `isize::MAX`.
    let bytes = bytes.cast_signed();
    let held = HELD.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(held, Relaxed);
    CALLS.fetch_add(calls, Relaxed);
}

// SAFETY: every call is the system allocator's, with what the caller gave; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTS.load(Relaxed) {
            count(layout.size(), 1);
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if COUNTS.load(Relaxed) {
            HELD.fetch_sub(layout.size().cast_signed(), Relaxed);
        }
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if COUNTS.load(Relaxed) {
            // Both exist for a moment, if it moves.
            count(size, 1);
            HELD.fetch_sub(layout.size().cast_signed(), Relaxed);
        }
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// What some work allocated: bytes held at the same time, at most, and the number of allocations.
pub(crate) fn of(work: impl FnOnce()) -> (usize, usize) {
    HELD.store(0, Relaxed);
    PEAK.store(0, Relaxed);
    CALLS.store(0, Relaxed);
    COUNTS.store(true, Relaxed);
    work();
    COUNTS.store(false, Relaxed);
    (PEAK.load(Relaxed).cast_unsigned(), CALLS.load(Relaxed))
}
