// SPDX-License-Identifier: Apache-2.0

//! What the proxy says: lines for people on standard error, objects for programs on standard output.

use std::io;
use std::net::SocketAddr;

use serde_json::{Value, json};
use types::peer::Peer;
use verify::Identity;

use super::relay::Broken;
use super::target::{NotOpen, Target};
use crate::cmd::{expect, verify::facts};
use crate::failure::Failure;
use crate::{output, reach};

/// Where to say it.
#[derive(Debug)]
pub(super) struct Events {
    json: bool,
    /// Whether connections that end well are worth a line.
    verbose: bool,
}

/// What happens to a connection.
pub(super) enum Happening {
    /// The server proved what is expected.
    Verified(Box<Identity>),
    /// There is no connection to the server.
    NotOpen(NotOpen),
    /// It ended.
    Closed {
        /// Bytes from the client to the server.
        sent: u64,
        /// Bytes from the server to the client.
        received: u64,
        /// Why, if not because both said goodbye.
        why: Option<Broken>,
    },
}

impl Events {
    pub(super) const fn new(json: bool, verbose: bool) -> Self {
        Self { json, verbose }
    }

    /// It listens.
    ///
    /// # Errors
    /// If standard output cannot be written: nobody would know the port.
    pub(super) fn listening(&self, address: SocketAddr, target: &Target) -> Result<(), Failure> {
        if self.json {
            let address = address.to_string();
            return self
                .object("listening", json!({"address": address, "target": target.to_string()}));
        }
        output::talk(&format!("listening on {address} for {target}"));
        output::data(&format!("{address}\n"))
    }

    /// No connection could be accepted.
    pub(super) fn not_accepted(&self, error: &io::Error) {
        self.say("not-accepted", json!({"why": error.to_string()}), || {
            output::stderr_style().warn(&format!("cannot accept a connection: {error}"))
        });
    }

    /// No more connections are taken; so many are open.
    pub(super) fn stopping(&self, open: usize) {
        self.say("stopping", json!({"open": open}), || match open {
            0 => "stopping".to_owned(),
            _ => format!("stopping; connections that are still open: {open}"),
        });
    }

    /// It ends, and so many connections are cut.
    pub(super) fn stopped(&self, cut: usize) {
        if self.json || cut > 0 {
            self.say("stopped", json!({"cut": cut}), || {
                format!("connections that were cut: {cut}")
            });
        }
    }

    /// Something happened to a connection.
    pub(super) fn connection(&self, number: u64, from: SocketAddr, happening: &Happening) {
        let style = output::stderr_style();
        let line = |text: &str| format!("{number} {from}: {text}");
        let with = |mut members: Value| {
            members["connection"] = number.into();
            members["from"] = from.to_string().into();
            members
        };
        match happening {
            Happening::Verified(identity) => {
                self.say("verified", with(json!({"proved": facts(identity)})), || {
                    line(&format!("{} {}", style.good("verified"), harmless(&summary(identity))))
                });
            }
            Happening::NotOpen(why) => {
                let (check, next) = match why {
                    NotOpen::Refused(refusal) => {
                        (Some(refusal.check()), Some(expect::next(refusal)))
                    }
                    NotOpen::Failed(..) => (None, None),
                };
                let event = if check.is_some() { "refused" } else { "failed" };
                let members =
                    json!({"what": why.what(), "why": why.why(), "check": check, "next": next});
                self.say(event, with(members), || {
                    let next = next.map_or_else(String::new, |next| format!("; next: {next}"));
                    line(&format!("{}: {}{next}", style.bad(why.what()), harmless(&why.why())))
                });
            }
            Happening::Closed { sent, received, why } => {
                let why = why.as_ref().map(ToString::to_string);
                if why.is_none() && !self.verbose && !self.json {
                    return;
                }
                let members = json!({"sent": sent, "received": received, "why": why});
                self.say("closed", with(members), || {
                    let why = why.as_ref().map_or_else(String::new, |why| {
                        format!("{}: ", style.warn(&harmless(why)))
                    });
                    line(&format!("{why}sent {sent} bytes, received {received}"))
                });
            }
        }
    }

    fn say(&self, event: &str, members: Value, line: impl FnOnce() -> String) {
        if self.json {
            // Nobody listens any more: not a reason to cut connections.
            let _ = self.object(event, members);
        } else {
            output::talk(&line());
        }
    }

    fn object(&self, event: &str, mut members: Value) -> Result<(), Failure> {
        members["event"] = event.into();
        members["time"] = reach::now().to_string().into();
        output::data(&format!("{members}\n"))
    }
}

/// Who it is, in one line.
fn summary(identity: &Identity) -> String {
    let facts = &identity.result.facts;
    let who = match &identity.peer {
        Peer::Keep { workload, digest, .. } => format!("{workload} {digest}"),
        Peer::Local { digest, .. } => digest.to_string(),
        Peer::Anonymous => "a Keep whose workload is not known".to_owned(),
    };
    let simulated = if facts.simulated { ", SIMULATED" } else { "" };
    format!("{who} ({}, {}{simulated})", facts.tee.name(), identity.result.status())
}

/// The same text without anything that plays tricks with a terminal.
fn harmless(text: &str) -> String {
    text.replace(char::is_control, " ")
}
