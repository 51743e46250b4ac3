// SPDX-License-Identifier: Apache-2.0

//! Where everything that happens during `enarx up` comes together: signals, ends of children, words of Keeps.
//!
//! One thread reads, in [`Hub::wait`]; all others only send. So there is one order of things, and whatever the
//! program waits for, it notices at once that it is to stop or that a part is gone.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use types::hostlink::FromKeep;

use crate::failure::{Context as _, Failure};

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    /// Somebody wants the end: Ctrl-C, SIGTERM, SIGHUP.
    Stop,
    /// A service ended, which it never should by itself.
    Died {
        /// Which.
        name: String,
        /// How, in words.
        how: String,
    },
    /// A Keep said something to its loader.
    Keep {
        /// Which.
        name: String,
        /// What.
        message: FromKeep,
    },
    /// The workload of a Keep wrote a line to its standard output or error.
    Line {
        /// Which.
        name: String,
        /// What.
        text: String,
    },
    /// A Keep is gone.
    Ended {
        /// Which.
        name: String,
        /// Its exit code; of one killed by a signal, 128 more than that.
        code: i32,
    },
    /// A line was typed.
    Typed(String),
}

/// Why a wait ended without what was waited for.
#[derive(Clone, Debug)]
pub(super) enum Interrupted {
    /// It is to stop.
    Stop,
    /// This service is gone, in this way.
    Died(String, String),
    /// It took too long.
    Timeout,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Hub {
    sender: Sender<Happening>,
    receiver: Receiver<Happening>,
    /// All that happened, in order.
    journal: Vec<Happening>,
    /// Services whose end is awaited, not an accident.
    dismissed: Vec<String>,
    stopping: Option<Interrupted>,
}

/// A place in the journal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(usize);

impl Mark {
    /// The beginning.
    pub(super) const START: Self = Self(0);
}

impl Hub {
    /// A hub that hears signals.
    ///
    /// # Errors
    /// If signals cannot be heard.
    pub(super) fn new() -> Result<Self, Failure> {
        let (sender, receiver) = channel();
        hear_signals(sender.clone())?;
        Ok(Self { sender, receiver, journal: Vec::new(), dismissed: Vec::new(), stopping: None })
    }

    /// A way to tell it something.
    pub(super) fn sender(&self) -> Sender<Happening> {
        self.sender.clone()
    }

    /// The end of the journal as it is now.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.journal.len())
    }

    /// From now on the end of this service is expected.
    pub(super) fn dismiss(&mut self, name: &str) {
        self.dismissed.push(name.to_owned());
    }

    /// What happened since `mark` and was heard of.
    pub(super) fn since(&self, mark: Mark) -> &[Happening] {
        self.journal.get(mark.0..).unwrap_or_default()
    }

    /// Waits until `wanted` finds what it looks for in what has happened since `mark`; `observe` sees each new thing first.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub(super) fn wait<T>(
        &mut self,
        mark: Mark,
        limit: Duration,
        observe: &mut dyn FnMut(&Happening),
        mut wanted: impl FnMut(&Happening) -> Option<T>,
    ) -> Result<T, Interrupted> {
        for happening in self.journal.get(mark.0..).unwrap_or_default() {
            if let Some(found) = wanted(happening) {
                return Ok(found);
            }
        }
        let deadline = Instant::now() + limit;
        loop {
            let happening = self.next(Some(deadline))?;
            observe(&happening);
            let found = wanted(&happening);
            self.journal.push(happening);
            if let Some(found) = found {
                return Ok(found);
            }
        }
    }

    /// Takes in what has happened already, without waiting.
    ///
    /// # Errors
    /// [`Interrupted`], never by timeout.
    pub(super) fn catch_up(
        &mut self,
        observe: &mut dyn FnMut(&Happening),
    ) -> Result<(), Interrupted> {
        loop {
            match self.next(Some(Instant::now())) {
                Ok(happening) => {
                    observe(&happening);
                    self.journal.push(happening);
                }
                Err(Interrupted::Timeout) => return Ok(()),
                Err(other) => return Err(other),
            }
        }
    }

    /// The next thing that happens, not written to the journal.
    ///
    /// # Errors
    /// [`Interrupted`]; by timeout only with a deadline.
    pub(super) fn next(&mut self, deadline: Option<Instant>) -> Result<Happening, Interrupted> {
        if let Some(why) = &self.stopping {
            return Err(why.clone());
        }
        loop {
            let left = deadline.map_or(Duration::MAX, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            let happening = if deadline.is_some() {
                self.receiver.recv_timeout(left).map_err(|error| match error {
                    RecvTimeoutError::Timeout => Interrupted::Timeout,
                    // Never: `self` holds a sender.
                    RecvTimeoutError::Disconnected => Interrupted::Stop,
                })?
            } else {
                self.receiver.recv().map_err(|_| Interrupted::Stop)?
            };
            match happening {
                Happening::Stop => {
                    self.stopping = Some(Interrupted::Stop);
                    return Err(Interrupted::Stop);
                }
                Happening::Died { name, .. } if self.dismissed.contains(&name) => {}
                Happening::Died { name, how } => {
                    let why = Interrupted::Died(name, how);
                    self.stopping = Some(why.clone());
                    return Err(why);
                }
                other => return Ok(other),
            }
        }
    }
}

/// Hears SIGINT, SIGTERM and SIGHUP from now on, in a thread of its own.
fn hear_signals(sender: Sender<Happening>) -> Result<(), Failure> {
    let what = "cannot listen for signals";
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().build().context(what)?;
    let (mut interrupt, mut terminate, mut hangup) = {
        let _guard = runtime.enter();
        let hear = |kind| signal(kind).context(what);
        (
            hear(SignalKind::interrupt())?,
            hear(SignalKind::terminate())?,
            hear(SignalKind::hangup())?,
        )
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                        _ = hangup.recv() => {}
                    }
                    if sender.send(Happening::Stop).is_err() {
                        return;
                    }
                }
            });
        })
        .context(what)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Happening {
        Happening::Line { name: "k".into(), text: text.into() }
    }

    fn text(happening: &Happening) -> Option<String> {
        match happening {
            Happening::Line { text, .. } => Some(text.clone()),
            _ => None,
        }
    }

    #[test]
    fn finds_what_came_and_what_comes() {
        let mut hub = Hub::new().unwrap();
        let start = hub.mark();
        hub.sender().send(line("one")).unwrap();
        hub.sender().send(line("two")).unwrap();
        let mut seen = 0;
        let limit = Duration::from_secs(10);
        let found = hub.wait(start, limit, &mut |_| seen += 1, |h| text(h).filter(|t| t == "two"));
        assert_eq!(found.unwrap(), "two");
        assert_eq!(seen, 2);
        let found = hub
            .wait(start, limit, &mut |_| panic!("nothing new"), |h| text(h).filter(|t| t == "one"));
        assert_eq!(found.unwrap(), "one");
        let late = hub.mark();
        assert!(matches!(
            hub.wait(late, Duration::ZERO, &mut |_| {}, text),
            Err(Interrupted::Timeout)
        ));
        assert_eq!(hub.since(start).len(), 2);
    }

    #[test]
    fn an_accident_interrupts_every_wait_and_an_expected_end_none() {
        let mut hub = Hub::new().unwrap();
        let mark = hub.mark();
        let died = |name: &str| Happening::Died { name: name.into(), how: "killed".into() };
        hub.dismiss("second");
        hub.sender().send(died("second")).unwrap();
        hub.sender().send(line("x")).unwrap();
        assert_eq!(hub.wait(mark, Duration::from_secs(10), &mut |_| {}, text).unwrap(), "x");
        hub.sender().send(died("steward")).unwrap();
        for _ in 0..2 {
            let waited = hub.wait(hub.mark(), Duration::from_secs(10), &mut |_| {}, text);
            assert!(matches!(waited, Err(Interrupted::Died(name, _)) if name == "steward"));
        }
    }
}
