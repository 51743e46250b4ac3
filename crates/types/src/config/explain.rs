// SPDX-License-Identifier: Apache-2.0

//! What a configuration allows, in words.

use std::fmt::Write as _;

use super::{
    ClientAuth, Config, FileEntry, IncomingRule, OutgoingRule, OutgoingTrust, PeerRule, Protocol,
    Stdio,
};

impl Config {
    /// What this configuration allows, in plain words, one fact per line.
    pub fn explain(&self) -> String {
        let mut lines = Vec::new();
        self.explain_program(&mut lines);
        self.explain_streams(&mut lines);
        self.explain_network(&mut lines);
        self.explain_trust(&mut lines);
        let limits = &self.limits;
        let cpu = limits.cpu_seconds.map_or("no limit of processor time".to_owned(), |s| {
            format!("{s} s of processor time")
        });
        lines.push(format!(
            "Limits: {} of memory, {cpu}, {} open files, {} connections.",
            size(limits.memory_bytes),
            limits.open_files,
            limits.connections
        ));
        let mut text = lines.join("\n");
        text.push('\n');
        text
    }

    fn explain_program(&self, lines: &mut Vec<String>) {
        lines.push(match &self.steward {
            Some(url) => format!("The Keep gets its certificate from {url}."),
            None => {
                "No Steward is named: the Keep has no certificate unless the registry names one."
                    .to_owned()
            }
        });
        if !self.args.is_empty() {
            lines.push(format!("Arguments: {:?}.", self.args));
        }
        if !self.env.is_empty() {
            let names: Vec<String> =
                self.env.keys().map(|k| k.escape_debug().to_string()).collect();
            lines.push(format!("Environment: {}.", names.join(", ")));
        }
    }

    fn explain_streams(&self, lines: &mut Vec<String>) {
        let Some(files) = &self.files else {
            for (name, stream) in [("in", self.stdin), ("out", self.stdout), ("error", self.stderr)]
            {
                lines.push(match stream {
                    Stdio::Null => format!("Standard {name} leads nowhere."),
                    Stdio::Host => {
                        format!("Standard {name} is the host's, which sees and can change it.")
                    }
                });
            }
            return;
        };
        for (number, entry) in files.iter().enumerate() {
            let what = match entry {
                FileEntry::Null { .. } => "leads nowhere".to_owned(),
                FileEntry::Stdin { .. } => "is the host's standard in".to_owned(),
                FileEntry::Stdout { .. } => "is the host's standard out".to_owned(),
                FileEntry::Stderr { .. } => "is the host's standard error".to_owned(),
                FileEntry::Listen { prot, addr, port, .. } => {
                    format!("listens on port {port} of {addr} ({})", protocol(*prot))
                }
                FileEntry::Connect { host, prot, port, .. } => {
                    format!("is connected to port {port} of {host} ({})", protocol(*prot))
                }
            };
            lines
                .push(format!("Descriptor {number}, \"{}\", {what}.", entry.name().escape_debug()));
        }
    }

    fn explain_network(&self, lines: &mut Vec<String>) {
        let (incoming, outgoing) = (&self.network.incoming, &self.network.outgoing);
        for (port, rule) in &incoming.ports {
            lines.push(format!("May listen on port {port}: {}.", incoming_rule(rule)));
        }
        lines.push(match &incoming.default {
            Some(rule) => format!("May listen on any other port: {}.", incoming_rule(rule)),
            None if incoming.ports.is_empty() => "May not listen.".to_owned(),
            None => "May listen on no other port.".to_owned(),
        });
        for (host, rule) in &outgoing.hosts {
            lines.push(format!("May connect to {host}: {}.", outgoing_rule(rule)));
        }
        lines.push(match &outgoing.default {
            Some(rule) => format!("May connect to any other host: {}.", outgoing_rule(rule)),
            None if outgoing.hosts.is_empty() => "May not connect to anybody.".to_owned(),
            None => "May connect to no other host.".to_owned(),
        });
    }

    fn explain_trust(&self, lines: &mut Vec<String>) {
        if self.trust.steward.is_empty() {
            lines.push(
                "Nobody is trusted to vouch for other Keeps: every peer is anonymous.".to_owned(),
            );
        }
        for pin in &self.trust.steward {
            lines.push(format!(
                "Trusts the Steward with the root {} to vouch for Keeps.",
                pin.fingerprint()
            ));
        }
        if self.trust.insecure_simulated {
            lines.push(
                "INSECURE: takes simulated silicon for real. Simulated silicon proves nothing."
                    .to_owned(),
            );
        }
    }
}

const fn protocol(prot: Protocol) -> &'static str {
    match prot {
        Protocol::Tls => "TLS",
        Protocol::Tcp => "plain TCP: the host can read and change it",
    }
}

fn incoming_rule(rule: &IncomingRule) -> String {
    let who = match (rule.prot, rule.client) {
        (Protocol::Tcp, _) | (_, ClientAuth::None) => "anybody, unidentified",
        (_, ClientAuth::Request) => "anybody; a Keep that shows its certificate is identified",
        (_, ClientAuth::Require) if rule.peers.is_empty() => "any attested Keep, nobody else",
        (_, ClientAuth::Require) => "only Keeps ",
    };
    let spoken = match rule.alpn.as_slice() {
        [] => String::new(),
        names => format!("; negotiates {}", names.join(", ")),
    };
    format!("{}, {who}{}{spoken}", protocol(rule.prot), peers(&rule.peers))
}

fn outgoing_rule(rule: &OutgoingRule) -> String {
    let whom = match (rule.prot, rule.trust) {
        (Protocol::Tcp, _) => "whoever answers",
        (_, OutgoingTrust::Web) => {
            "a server with a certificate of the public Web PKI for that name"
        }
        (_, OutgoingTrust::Steward) if rule.peers.is_empty() => "any attested Keep, nobody else",
        (_, OutgoingTrust::Steward) => "only Keeps ",
    };
    format!("{}, {whom}{}", protocol(rule.prot), peers(&rule.peers))
}

fn peers(rules: &[PeerRule]) -> String {
    let one = |rule: &PeerRule| {
        let mut parts = Vec::new();
        if let Some(workload) = &rule.workload {
            parts.push(format!("running {workload}"));
        }
        if let Some(digest) = &rule.digest {
            parts.push(format!("running the digest {digest}"));
        }
        if let Some(measurement) = &rule.measurement {
            parts.push(format!("measured as {measurement}"));
        }
        if let Some(signer) = &rule.signer {
            parts.push(format!("signed by {signer}"));
        }
        if let Some(tee) = &rule.tee {
            parts.push(format!("in {tee}"));
        }
        if let Some(policy) = &rule.policy {
            parts.push(format!("appraised under the policy {policy}"));
        }
        parts.join(" and ")
    };
    let mut text = String::new();
    for (index, rule) in rules.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", or " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{}", one(rule));
    }
    text
}

fn size(bytes: u64) -> String {
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{} {name}", bytes / unit);
        }
    }
    format!("{bytes} bytes")
}
