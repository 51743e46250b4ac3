// SPDX-License-Identifier: Apache-2.0

//! The signals that a service listens to.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::metrics::{Counter, Family};
use crate::service::Reload;
use crate::systemd::Manager;

/// SIGTERM, SIGINT and SIGHUP.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What SIGHUP does, and how often it went well.
pub(crate) struct Reloading {
    pub(crate) reload: Reload,
    pub(crate) results: Family<Counter, 1>,
}

impl Reloading {
    async fn run(&self) {
        let reload = self.reload.clone();
        // One after the other: the last file read is the one that counts.
        let result = match tokio::task::spawn_blocking(move || reload()).await {
            Ok(true) => "ok",
            Ok(false) => "failed",
            Err(_) => {
                tracing::error!("the reload broke off; what it had not reached stays as it was");
                "failed"
            }
        };
        self.results.with([result]).inc();
    }
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT and reloads on SIGHUP meanwhile.
    pub(crate) async fn stop(&mut self, reloading: Option<&Reloading>, manager: &Manager) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    if let Some(reloading) = reloading {
                        manager.tell("RELOADING=1");
                        reloading.run().await;
                        manager.tell("READY=1");
                    }
                }
            }
        }
    }
}
