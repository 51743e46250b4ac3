// SPDX-License-Identifier: Apache-2.0

//! Whether a service can do its work.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Longest time that an answer waits for the checks.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an outcome counts: whoever asks often does not make work.
const FRESH: Duration = Duration::from_secs(1);

/// One thing that a service needs. It runs on a thread where it may block.
#[derive(Clone)]
pub struct ReadyCheck {
    /// What is needed, as `policy` or `store`.
    pub name: &'static str,
    /// Whether it is there, or why not, in words for the operator.
    pub check: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl fmt::Debug for ReadyCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadyCheck").field(&self.name).finish()
    }
}

/// All checks of a service, and whether it is about to stop.
pub(crate) struct Readiness {
    checks: Arc<Vec<ReadyCheck>>,
    draining: watch::Receiver<bool>,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    /// At most one: checks that hang do not pile up.
    running: Option<JoinHandle<Vec<String>>>,
    outcome: Option<(Instant, Vec<String>)>,
}

impl Readiness {
    pub(crate) fn new(checks: Vec<ReadyCheck>, draining: watch::Receiver<bool>) -> Self {
        Self { checks: Arc::new(checks), draining, last: Mutex::default() }
    }

    /// Why the service is not ready; empty if it is.
    pub(crate) async fn reasons(&self) -> Vec<String> {
        if *self.draining.borrow() {
            return vec!["the service is stopping".to_owned()];
        }
        let checked =
            timeout(PATIENCE, async { self.last.lock().await.outcome(&self.checks).await });
        checked.await.unwrap_or_else(|_| {
            vec![format!("the checks take longer than {} s", PATIENCE.as_secs())]
        })
    }
}

impl Last {
    async fn outcome(&mut self, checks: &Arc<Vec<ReadyCheck>>) -> Vec<String> {
        if let Some((at, reasons)) = &self.outcome
            && at.elapsed() < FRESH
        {
            return reasons.clone();
        }
        let running = self.running.get_or_insert_with(|| {
            let checks = checks.clone();
            tokio::task::spawn_blocking(move || {
                let failed = |c: &ReadyCheck| Some(format!("{}: {}", c.name, (c.check)().err()?));
                checks.iter().filter_map(failed).collect()
            })
        });
        let reasons = match running.await {
            Ok(reasons) => reasons,
            Err(_) => vec!["a check broke off".to_owned()],
        };
        self.running = None;
        self.outcome = Some((Instant::now(), reasons.clone()));
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn check(
        name: &'static str,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> ReadyCheck {
        ReadyCheck { name, check: Arc::new(check) }
    }

    #[tokio::test(start_paused = true)]
    async fn every_reason_is_told_and_an_outcome_counts_for_a_second() {
        let (draining, receiver) = watch::channel(false);
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        let readiness = Readiness::new(
            vec![
                check("fine", || Ok(())),
                check("disk", move || {
                    counted.fetch_add(1, Ordering::Relaxed);
                    Err("full".to_owned())
                }),
                check("clock", || Err("wrong".to_owned())),
            ],
            receiver,
        );
        for _ in 0..3 {
            assert_eq!(readiness.reasons().await, ["disk: full", "clock: wrong"]);
        }
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        tokio::time::advance(FRESH).await;
        readiness.reasons().await;
        assert_eq!(runs.load(Ordering::Relaxed), 2);
        draining.send_replace(true);
        assert_eq!(readiness.reasons().await, ["the service is stopping"]);
    }

    #[tokio::test(start_paused = true)]
    async fn checks_that_hang_are_no_answer_and_do_not_pile_up() {
        let (_draining, receiver) = watch::channel(false);
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = runs.clone();
        let hangs = check("store", move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let _ = gate.lock().unwrap().recv();
            Ok(())
        });
        let readiness = Readiness::new(vec![hangs], receiver);
        for _ in 0..3 {
            // A running blocking task keeps the paused clock from moving by itself.
            let asked = async { readiness.reasons().await };
            let moved = async {
                for _ in 0..8 {
                    tokio::task::yield_now().await;
                }
                tokio::time::advance(PATIENCE + Duration::from_millis(1)).await;
            };
            let (reasons, ()) = tokio::join!(asked, moved);
            assert!(reasons[0].contains("longer than 5 s"), "{reasons:?}");
        }
        drop(release);
        assert!(readiness.reasons().await.is_empty());
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }
}
