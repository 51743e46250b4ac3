// SPDX-License-Identifier: Apache-2.0

//! Who is at the other end of a connection, as a workload sees it.

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::slug::Slug;

/// The other end of a connection (docs/FORMATS.md 5).
///
/// Only what a verified certificate chain up to an anchor of the workload's own configuration backs; without one the peer is anonymous.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Peer {
    /// No proof of anything.
    Anonymous,
    /// An attested Keep that runs the workload with this digest; no registry vouches for a name.
    Local {
        /// Digest of the workload's root.
        digest: Sha256,
        /// What the TEE's evidence proved.
        #[serde(flatten)]
        attested: Attested,
    },
    /// An attested Keep that runs a workload out of a registry.
    Keep {
        /// The workload's name, vouched for by its registry.
        workload: Slug,
        /// Digest of the workload's root.
        digest: Sha256,
        /// What the TEE's evidence proved.
        #[serde(flatten)]
        attested: Attested,
    },
}

/// What the evidence of an attested peer proved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attested {
    /// `snp`, `sgx` and so on.
    pub tee: String,
    /// Whether the silicon was simulated, which proves nothing.
    pub simulated: bool,
    /// Measurement of the Keep, hex.
    pub measurement: String,
    /// Digest of the policy under which it was appraised.
    pub policy: Sha256,
}

impl Peer {
    /// One line of JSON, without the line feed.
    pub fn to_json(&self) -> String {
        // Plain strings and booleans always serialise.
        serde_json::to_string(self).unwrap_or_else(|_| r#"{"kind":"anonymous"}"#.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_as_documented() {
        assert_eq!(Peer::Anonymous.to_json(), r#"{"kind":"anonymous"}"#);
        let digest = Sha256([0x11; 32]);
        let attested = Attested {
            tee: "snp".into(),
            simulated: true,
            measurement: "ab".into(),
            policy: Sha256([0x22; 32]),
        };
        let peer = Peer::Keep { workload: "h/u/r:1.0.0".parse().unwrap(), digest, attested };
        assert_eq!(
            peer.to_json(),
            format!(
                r#"{{"kind":"keep","workload":"h/u/r:1.0.0","digest":"sha256:{}","tee":"snp","simulated":true,"measurement":"ab","policy":"sha256:{}"}}"#,
                "11".repeat(32),
                "22".repeat(32)
            )
        );
        assert_eq!(serde_json::from_str::<Peer>(&peer.to_json()).unwrap(), peer);
    }
}
