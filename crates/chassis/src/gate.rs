// SPDX-License-Identifier: Apache-2.0

//! The way to work that takes a processor for its whole time, with a bounded queue before it.
//!
//! More work than there are processors makes everybody slow and nobody faster. A [`Gate`] lets in as much as there is
//! room for; some wait, for a bounded time; the rest is told at once to come back (503 with `Retry-After`). So those
//! who are let in are answered in time also when twice as many come as can be served.
//!
//! A burst is waited out: up to [`GateLimits::waiting_max`] may queue. But a queue that stays full only makes everybody who
//! is let in wait for its whole length, and lets in nobody more. So once somebody had to be turned away the gate is strict,
//! until that did not happen for a second: then no more may wait than four for each that is at work, and whoever is let in
//! waits about four times as long as the work takes, however much more is asked.

use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use types::problem::Problem;

use crate::metrics::{Counter, Family, Gauge, Histogram, Registry, SECONDS};
use crate::problem::Answer;

/// How long the gate is strict after it turned somebody away.
const STRICT: Duration = Duration::from_secs(1);
/// How many may wait for each that is at work, while the gate is strict.
const WAITING_STRICT: usize = 4;

/// The bounds of a [`Gate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateLimits {
    /// How much is done at once (as much as there are processors).
    pub at_once: NonZero<usize>,
    /// How much may wait (64); more is turned away. Under overload only four for each of `at_once` may.
    pub waiting_max: usize,
    /// Longest time that anything waits (250 ms); then it is turned away.
    pub wait_max: Duration,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self {
            at_once: std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN),
            waiting_max: 64,
            wait_max: Duration::from_millis(250),
        }
    }
}

/// See the [module](self). A service has one: its metrics have fixed names.
#[derive(Debug)]
pub struct Gate {
    running: Arc<Semaphore>,
    /// Places to wait in. Never waited for.
    waiting: Semaphore,
    limits: GateLimits,
    /// When somebody was last turned away.
    shed_at: Mutex<Option<Instant>>,
    at_work: Gauge,
    in_queue: Gauge,
    waited: Histogram,
    shed: Family<Counter, 1>,
}

/// Why work was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overloaded {
    /// Too many wait already.
    Queue,
    /// It waited for as long as it may.
    Wait,
}

impl From<Overloaded> for Answer {
    fn from(overloaded: Overloaded) -> Self {
        let detail = match overloaded {
            Overloaded::Queue => "more is asked than can be done, and too many wait already",
            Overloaded::Wait => "more is asked than can be done, and this request waited too long",
        };
        // Its status brings `Retry-After`.
        Self(
            Problem::new(503, "Service Unavailable", detail)
                .check("service.overloaded")
                .hint("try again in a moment; Retry-After says when"),
        )
    }
}

impl Gate {
    /// A gate with these bounds, whose metrics are in `registry`.
    pub fn new(limits: GateLimits, registry: &Registry) -> Self {
        let waiting_max = limits.waiting_max.min(Semaphore::MAX_PERMITS);
        let limits = GateLimits { waiting_max, ..limits };
        let gate = Self {
            running: Arc::new(Semaphore::new(limits.at_once.get())),
            waiting: Semaphore::new(limits.waiting_max),
            limits,
            shed_at: Mutex::new(None),
            at_work: registry.gauge("work_running", "Requests that have a processor."),
            in_queue: registry.gauge("work_waiting", "Requests that wait for a processor."),
            waited: registry.histogram(
                "work_wait_seconds",
                "Time that requests waited for a processor before they got one.",
                SECONDS,
            ),
            shed: registry.counters(
                "work_shed_total",
                "Requests turned away because all processors were busy, by the bound that they met.",
                ["reason"],
            ),
        };
        // A rate needs a first value to start from.
        for reason in ["queue", "wait"] {
            gate.shed.with([reason]);
        }
        gate
    }

    /// Does `work` on a thread where it may take its time, when there is room. A panic in it goes on here. What was let
    /// in keeps its place until it ends, also if nobody waits for it any more.
    ///
    /// # Errors
    /// There was no room in time.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        let place = self.enter().await?;
        let at_work = self.at_work.enter();
        let span = tracing::Span::current();
        let done = tokio::task::spawn_blocking(move || {
            let done = span.in_scope(work);
            drop((place, at_work));
            done
        });
        match done.await {
            Ok(done) => Ok(done),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Blocking work is cancelled only when the runtime ends, and this with it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// How many wait.
    fn chairs_taken(&self) -> usize {
        self.limits.waiting_max.saturating_sub(self.waiting.available_permits())
    }

    /// How many may wait at this time.
    fn chairs(&self, now: Instant) -> usize {
        let last = *self.shed_at.lock().unwrap_or_else(PoisonError::into_inner);
        let strict = last.is_some_and(|last| now.saturating_duration_since(last) < STRICT);
        let few = self.limits.at_once.get().saturating_mul(WAITING_STRICT);
        if strict { few.min(self.limits.waiting_max) } else { self.limits.waiting_max }
    }

    async fn enter(&self) -> Result<OwnedSemaphorePermit, Overloaded> {
        // Fair: whoever waits comes before.
        if let Ok(place) = self.running.clone().try_acquire_owned() {
            self.waited.observe(Duration::ZERO);
            return Ok(place);
        }
        let shed = |overloaded, reason| {
            self.shed.with([reason]).inc();
            *self.shed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            Err(overloaded)
        };
        let since = Instant::now();
        // Who comes at the same moment may still find a chair: the bound is a little soft, that of all chairs is not.
        let room = self.chairs_taken() < self.chairs(since);
        let Some(_chair) = room.then(|| self.waiting.try_acquire().ok()).flatten() else {
            return shed(Overloaded::Queue, "queue");
        };
        let _in_queue = self.in_queue.enter();
        match timeout(self.limits.wait_max, self.running.clone().acquire_owned()).await {
            Ok(Ok(place)) => {
                self.waited.observe(since.elapsed());
                Ok(place)
            }
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => shed(Overloaded::Wait, "wait"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use tokio::task::JoinHandle;

    fn gate(at_once: usize, waiting_max: usize) -> (Arc<Gate>, Registry) {
        let registry = Registry::new();
        let at_once = NonZero::new(at_once).unwrap();
        let limits = GateLimits { at_once, waiting_max, wait_max: Duration::from_millis(250) };
        (Arc::new(Gate::new(limits, &registry)), registry)
    }

    /// Work that has begun and ends when the sender is dropped.
    async fn begin(gate: &Arc<Gate>) -> (Sender<()>, JoinHandle<Result<(), Overloaded>>) {
        let (end, ended) = channel();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let gate = gate.clone();
        let work = tokio::spawn(async move {
            gate.run(move || {
                let _ = begun.send(());
                let _ = ended.recv();
            })
            .await
        });
        begins.await.unwrap();
        (end, work)
    }

    async fn until(done: impl Fn() -> bool) {
        while !done() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn some_run_some_wait_and_the_rest_is_turned_away() {
        let (gate, registry) = gate(1, 1);
        let (end, first) = begin(&gate).await;
        let second = tokio::spawn({
            let gate = gate.clone();
            async move { gate.run(|| "second").await }
        });
        until(|| gate.in_queue.get() == 1).await;
        assert_eq!(gate.run(|| "third").await, Err(Overloaded::Queue));
        drop(end);
        assert_eq!(first.await.unwrap(), Ok(()));
        assert_eq!(second.await.unwrap(), Ok("second"));
        assert_eq!(gate.run(|| "fourth").await, Ok("fourth"));
        let text = registry.render();
        for sample in [
            "work_running 0",
            "work_waiting 0",
            "work_wait_seconds_count 3",
            "work_shed_total{reason=\"queue\"} 1",
            "work_shed_total{reason=\"wait\"} 0",
        ] {
            assert!(text.contains(&format!("{sample}\n")), "{sample} in {text}");
        }
    }

    #[tokio::test]
    async fn a_burst_is_waited_out_and_a_standing_queue_is_short() {
        let (gate, _) = gate(1, 16);
        let (end, first) = begin(&gate).await;
        let mut waiting = Vec::new();
        let mut queue = |gate: &Arc<Gate>| {
            let gate = gate.clone();
            waiting.push(tokio::spawn(async move { gate.run(|| ()).await }));
        };
        for _ in 0..16 {
            queue(&gate);
        }
        until(|| gate.in_queue.get() == 16).await;
        assert_eq!(gate.run(|| ()).await, Err(Overloaded::Queue));
        drop(end);
        first.await.unwrap().unwrap();
        until(|| gate.in_queue.get() == 0).await;

        let (end, first) = begin(&gate).await;
        for _ in 0..WAITING_STRICT {
            queue(&gate);
        }
        until(|| gate.in_queue.get() == 4).await;
        assert_eq!(gate.run(|| ()).await, Err(Overloaded::Queue));
        // Each that is turned away makes it last.
        let last = gate.shed_at.lock().unwrap().unwrap();
        assert_eq!(gate.chairs(last + STRICT - Duration::from_nanos(1)), 4);
        assert_eq!(gate.chairs(last + STRICT), 16);
        assert_eq!(gate.run(|| ()).await, Err(Overloaded::Queue));
        assert!(*gate.shed_at.lock().unwrap() > Some(last));
        *gate.shed_at.lock().unwrap() = Instant::now().checked_sub(STRICT);
        queue(&gate);
        until(|| gate.in_queue.get() == 5).await;
        drop(end);
        first.await.unwrap().unwrap();
        for waited in waiting {
            assert_eq!(waited.await.unwrap(), Ok(()));
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let (gate, registry) = gate(1, 8);
        let (end, first) = begin(&gate).await;
        assert_eq!(gate.run(|| ()).await, Err(Overloaded::Wait));
        assert!(registry.render().contains("work_shed_total{reason=\"wait\"} 1\n"));
        drop(end);
        first.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn whoever_leaves_frees_its_chair_and_not_the_processor() {
        let (gate, _) = gate(1, 1);
        let (end, first) = begin(&gate).await;
        let second = tokio::spawn({
            let gate = gate.clone();
            async move { gate.run(|| ()).await }
        });
        until(|| gate.in_queue.get() == 1).await;
        second.abort();
        until(|| gate.in_queue.get() == 0).await;
        // The client of the first one leaves too, but its work goes on.
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!((gate.at_work.get(), gate.running.available_permits()), (1, 0));
        drop(end);
        until(|| gate.running.available_permits() == 1).await;
    }

    #[tokio::test]
    async fn a_panic_goes_on_and_frees_its_place() {
        let (gate, _) = gate(1, 1);
        let broken = gate.clone();
        let ended = tokio::spawn(async move {
            broken.run(|| std::panic::resume_unwind(Box::new("on purpose"))).await
        });
        assert!(ended.await.unwrap_err().is_panic());
        assert_eq!(gate.run(|| 1).await, Ok(1));
    }

    #[test]
    fn the_answer_says_when_to_come_back() {
        use axum::response::IntoResponse as _;
        let response = Answer::from(Overloaded::Queue).into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[axum::http::header::RETRY_AFTER], "1");
    }
}
