// SPDX-License-Identifier: Apache-2.0

//! The packages of the demo: a chat room, its client, and some that must be refused.

use std::fmt::Write as _;

use types::digest::Sha256;

const SERVER: &[u8] = include_bytes!("../../../../demo/chat-server/main.wasm");
const CLIENT: &[u8] = include_bytes!("../../../../demo/chat-client/main.wasm");

/// User that owns the demo's repositories.
pub(super) const USER: &str = "demo";
/// Repository of the room.
pub(super) const SERVER_REPO: &str = "chat-server";
/// Repository of its client.
pub(super) const CLIENT_REPO: &str = "chat-client";
/// A client that the room does not know.
pub(super) const STRANGER_REPO: &str = "stranger";
/// A package that names no Steward.
pub(super) const ORPHAN_REPO: &str = "orphan";
/// A package that is altered on the registry's disk.
pub(super) const ALTERED_REPO: &str = "altered";
/// A package with an unknown key in its configuration.
pub(super) const MISSPELT_REPO: &str = "misspelt";
/// Version of all of them.
pub(super) const TAG: &str = "0.1.0";

/// Where the parts of the demo are.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// Registry: host and port.
    pub registry: String,
    /// URL of Steward.
    pub steward: String,
    /// Fingerprint of Steward's root.
    pub steward_root: Sha256,
    /// Port of the room.
    pub chat_port: u16,
}

/// A package: paths and content.
pub(super) type Files = Vec<(String, Vec<u8>)>;

impl Places {
    fn repository(&self, repo: &str) -> String {
        format!("{}/{USER}/{repo}", self.registry)
    }

    /// The room: in come only attested Keeps that run its client.
    pub(super) fn server(&self) -> Files {
        let (port, client) = (self.chat_port, self.repository(CLIENT_REPO));
        let mut toml = self.head(Some(&self.steward));
        let _ = write!(
            toml,
            "args = [\"{port}\", \"{client}\"]\n\n{STREAMS}\n\
             # Only Keeps that run the chat client, by Steward's word.\n\
             [network.incoming.{port}]\nclient = \"require\"\npeers = [{{ workload = \"{client}\" }}]\n\n{}",
            self.trust()
        );
        package(SERVER, toml)
    }

    /// A client: goes out only to an attested Keep that runs the room.
    pub(super) fn client(&self) -> Files {
        package(CLIENT, self.client_toml(Some(&self.steward)))
    }

    /// The same module without a Steward in its configuration.
    pub(super) fn orphan(&self) -> Files {
        package(CLIENT, self.client_toml(None))
    }

    /// The client, with a key in its configuration that nobody knows.
    pub(super) fn misspelt(&self) -> Files {
        package(CLIENT, format!("colour = \"blue\"\n{}", self.client_toml(Some(&self.steward))))
    }

    fn client_toml(&self, steward: Option<&str>) -> String {
        let (port, server) = (self.chat_port, self.repository(SERVER_REPO));
        let mut toml = self.head(steward);
        let _ = write!(
            toml,
            "args = [\"localhost:{port}\", \"{server}\"]\n\n{STREAMS}\n\
             # Only the chat room, run by a Keep, by Steward's word.\n\
             [network.outgoing.\"localhost:{port}\"]\ntrust = \"steward\"\npeers = [{{ workload = \"{server}\" }}]\n\n{}",
            self.trust()
        );
        toml
    }

    fn head(&self, steward: Option<&str>) -> String {
        steward.map(|url| format!("steward = \"{url}\"\n")).unwrap_or_default()
    }

    fn trust(&self) -> String {
        format!(
            "[trust]\nsteward = [\"{}\"]\n# The silicon of this demo is simulated. It proves nothing; a real deployment has no such line.\n\
             insecure_simulated = true\n",
            self.steward_root
        )
    }
}

const STREAMS: &str =
    "[stdin]\nkind = \"host\"\n[stdout]\nkind = \"host\"\n[stderr]\nkind = \"host\"\n";

fn package(module: &[u8], toml: String) -> Files {
    vec![("Enarx.toml".to_owned(), toml.into_bytes()), ("main.wasm".to_owned(), module.to_vec())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::config::{ClientAuth, Config, OutgoingTrust};

    fn places() -> Places {
        Places {
            registry: "localhost:8443".into(),
            steward: "https://localhost:3000".into(),
            steward_root: Sha256([7; 32]),
            chat_port: 50_000,
        }
    }

    fn config(files: &Files) -> Result<Config, types::config::ConfigError> {
        Config::parse(std::str::from_utf8(&files[0].1).unwrap())
    }

    #[test]
    fn the_room_wants_its_client_and_nobody_else() {
        let config = config(&places().server()).unwrap();
        let rule = config.incoming_rule(50_000).unwrap();
        assert_eq!(rule.client, ClientAuth::Require);
        assert_eq!(rule.peers.len(), 1);
        assert!(config.incoming_rule(50_001).is_none());
        assert!(config.outgoing_rule("localhost", 50_000).is_none());
        assert_eq!(config.args, ["50000", "localhost:8443/demo/chat-client"]);
    }

    #[test]
    fn the_client_wants_the_room_and_nobody_else() {
        let client = config(&places().client()).unwrap();
        let rule = client.outgoing_rule("localhost", 50_000).unwrap();
        assert_eq!(rule.trust, OutgoingTrust::Steward);
        assert_eq!(rule.peers.len(), 1);
        assert!(client.outgoing_rule("localhost", 443).is_none());
        assert!(config(&places().orphan()).unwrap().steward.is_none());
        assert_eq!(config(&places().misspelt()).unwrap_err().line, 1);
    }
}
