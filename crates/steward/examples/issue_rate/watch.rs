// SPDX-License-Identifier: Apache-2.0

//! How long work takes a processor.

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a turn is: long beside a tick.
const TURN: Duration = Duration::from_millis(250);
/// How many things that serve once make a turn.
const BATCH: u32 = 128;

/// How long each piece of work is measured.
pub(crate) static MEASURED: OnceLock<Duration> = OnceLock::new();

/// Time on a processor, or on the wall where the system does not tell: what else the machine does is no part of the first.
pub(crate) enum Watch {
    Processor(Duration),
    Wall(Instant),
}

/// How long this thread has run (Linux, Documentation/scheduler/sched-stats: in nanoseconds, exact to a tick).
fn ran() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}

impl Watch {
    pub(crate) fn start() -> Self {
        ran().map_or_else(|| Self::Wall(Instant::now()), Self::Processor)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        match self {
            Self::Processor(start) => ran().unwrap_or_default().saturating_sub(*start),
            Self::Wall(start) => start.elapsed(),
        }
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Processor(_) => "time on a processor",
            Self::Wall(_) => "time on the wall",
        }
    }
}

/// Time of `work`, on average.
pub(crate) fn average(mut work: impl FnMut()) -> Duration {
    work();
    let measured = *MEASURED.get().unwrap();
    let (watch, wall) = (Watch::start(), Instant::now());
    let mut rounds = 0;
    while wall.elapsed() < measured {
        work();
        rounds += 1;
    }
    watch.elapsed() / rounds
}

/// Times of several pieces of work, measured in turns, so that what else the machine does meets all of them alike.
pub(crate) fn in_turns<const N: usize>(
    mut works: [&mut dyn FnMut() -> (Duration, u32); N],
) -> [Duration; N] {
    let all = *MEASURED.get().unwrap() * u32::try_from(N).unwrap();
    let mut spent = [(Duration::ZERO, 0); N];
    let wall = Instant::now();
    while wall.elapsed() < all {
        for (work, (time, rounds)) in works.iter_mut().zip(&mut spent) {
            let (more, times) = work();
            *time += more;
            *rounds += times;
        }
    }
    spent.map(|(time, rounds)| time / rounds)
}

/// A turn of work.
pub(crate) fn turn(mut work: impl FnMut()) -> impl FnMut() -> (Duration, u32) {
    move || {
        let (watch, wall) = (Watch::start(), Instant::now());
        let mut rounds = 0;
        while wall.elapsed() < TURN {
            work();
            rounds += 1;
        }
        (watch.elapsed(), rounds)
    }
}

/// A turn of work on things that serve once; making them is not measured.
pub(crate) fn turn_once<T>(
    make: impl Fn() -> T,
    work: impl Fn(&T),
) -> impl FnMut() -> (Duration, u32) {
    move || {
        let things: Vec<T> = (0..BATCH).map(|_| make()).collect();
        let watch = Watch::start();
        things.iter().for_each(&work);
        (watch.elapsed(), BATCH)
    }
}
