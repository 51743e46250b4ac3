// SPDX-License-Identifier: Apache-2.0

//! What loader and Keep say to each other.
//!
//! The loader starts the Keep with one stream at descriptor [`FD`]. Each message is a frame: a length (u32, big endian, at most
//! [`limits::HOSTLINK_FRAME_BYTES_MAX`]) and that many bytes of JSON. The loader begins with [`Boot`], followed by the bytes of
//! its files, raw, in the order and of the lengths that it gives. Then the Keep sends [`FromKeep`]; each
//! [`FromKeep::Resolve`] is answered by one [`ToKeep::Resolved`], and nothing else is ever sent to the Keep.
//!
//! **The Keep trusts none of it.** The boot message says where to look, never what to believe: digests are checked, servers are
//! authenticated, and the roots in it serve to reach Steward and Drawbridge only. What the Keep sends is public to the host.

use std::io::{self, Read, Write};
use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::limits;
use crate::slug::Slug;

/// Descriptor of the link inside of the Keep.
pub const FD: i32 = 3;

/// The loader's first message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boot {
    /// What to run.
    pub workload: Workload,
    /// Roots with which to reach Steward and Drawbridge: PEM, any number of certificates. Empty: the public Web PKI.
    pub reach_roots_pem: String,
    /// Most verbose level to log: `error`, `warn`, `info`, `debug` or `trace`.
    pub log_level: String,
}

/// What a Keep is asked to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Workload {
    /// Files that the host hands over with this message.
    Local {
        /// Path in the package (`main.wasm`, `Enarx.toml`, …) and length in bytes of each, in the order in which they follow.
        files: Vec<FileHeader>,
        /// Arguments after `argv[0]`, only for a package without `Enarx.toml`.
        args: Vec<String>,
        /// Whether to get a certificate from the Steward named in `Enarx.toml`. Off on a backend without evidence.
        attest: bool,
    },
    /// A workload out of a registry, fetched by the Keep once it is attested.
    Remote {
        /// Its name, optionally with the digest that it must have.
        slug: Slug,
        /// Steward's URL if the registry does not say it.
        steward: Option<String>,
        /// Whether to go on without evidence (`--insecure-no-tee`): the Keep then fetches anonymously and has no certificate.
        insecure_no_tee: bool,
    },
}

/// One file that follows the boot message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileHeader {
    /// Path in the package, parts separated by `/`.
    pub path: String,
    /// Length in bytes, at most [`limits::FILE_BYTES_MAX`].
    pub length: u64,
}

/// Keep to loader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case", deny_unknown_fields)]
pub enum FromKeep {
    /// Please resolve this name. Answered by [`ToKeep::Resolved`].
    Resolve {
        /// DNS name, at most [`limits::HOST_NAME_BYTES_MAX`] bytes.
        host: String,
        /// Port to put into the addresses.
        port: u16,
    },
    /// A line for the log.
    Log {
        /// `error`, `warn`, `info`, `debug` or `trace`.
        level: String,
        /// One line.
        text: String,
    },
    /// Something happened.
    Event {
        /// What.
        event: Event,
    },
}

/// Loader to Keep, after [`Boot`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToKeep {
    /// Answer to [`FromKeep::Resolve`]: addresses (a claim; TLS proves who is there), or why there are none.
    Resolved {
        /// At most [`limits::ADDRESSES_MAX`] addresses.
        addresses: Vec<IpAddr>,
        /// Why there are none.
        error: Option<String>,
    },
}

/// Progress of a Keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// One of the 13 steps of a deployment is done (ARCHITECTURE.md).
    Step {
        /// 1 to 13.
        number: u8,
        /// What was done, one short sentence.
        title: String,
        /// What was proved or learnt: label and value.
        facts: Vec<(String, String)>,
        /// Microseconds since the Keep started.
        at_micros: u64,
    },
    /// A measured phase: `start`, `attestation`, `certificate`, `fetch`, `compile`, `first_byte`.
    Timing {
        /// Its name.
        phase: String,
        /// How long it took, microseconds.
        micros: u64,
    },
    /// The Keep has a certificate.
    Certificate {
        /// Leaf first, PEM.
        chain_pem: String,
    },
    /// A socket listens.
    Listening {
        /// The port.
        port: u16,
    },
    /// A connection was refused.
    Refused {
        /// Address of the other end, as the host tells it.
        address: String,
        /// Which rule was not met.
        reason: String,
    },
    /// The Keep gives up. Its exit code is 125.
    Failed {
        /// `boot`, `resolve`, `attest`, `certify`, `fetch`, `config` or `run`.
        stage: String,
        /// What was wrong.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// The workload ended.
    Ended {
        /// How.
        outcome: Ending,
        /// Digest of the package that ran.
        digest: Sha256,
    },
}

/// How a workload ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case", deny_unknown_fields)]
pub enum Ending {
    /// By itself, with this exit code.
    Exited {
        /// 0 to 255.
        code: i32,
    },
    /// By a trap. Exit code 134.
    Trapped {
        /// What the runtime says.
        message: String,
    },
    /// By reaching a limit. Exit code 137.
    Limit {
        /// `memory` or `cpu`.
        which: String,
        /// What the runtime says.
        message: String,
    },
}

/// Exit code of a Keep whose workload trapped.
pub const EXIT_TRAP: i32 = 134;
/// Exit code of a Keep whose workload reached a limit.
pub const EXIT_LIMIT: i32 = 137;
/// Exit code of a Keep that failed itself.
pub const EXIT_KEEP: i32 = 125;

/// Writes one frame.
///
/// # Errors
/// What `to` says; [`io::ErrorKind::InvalidInput`] for a message larger than a frame.
pub fn send<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    let body = serde_json::to_vec(message).map_err(io::Error::other)?;
    let length =
        u32::try_from(body.len()).ok().filter(|_| body.len() <= limits::HOSTLINK_FRAME_BYTES_MAX);
    let Some(length) = length else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "message larger than a frame"));
    };
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&body);
    to.write_all(&frame)?;
    to.flush()
}

/// Reads one frame; `None` at the end of the stream, if it ends between frames.
///
/// # Errors
/// What `from` says; [`io::ErrorKind::InvalidData`] for a frame that is too long or is no such message.
pub fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    let mut filled = 0;
    while let Some(rest) = length.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > limits::HOSTLINK_FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "frame longer than allowed"));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    let message =
        serde_json::from_slice(&body).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_round_trip() {
        let boot = Boot {
            workload: Workload::Remote {
                slug: "h/u/r:1.0.0".parse().unwrap(),
                steward: None,
                insecure_no_tee: false,
            },
            reach_roots_pem: String::new(),
            log_level: "info".into(),
        };
        let ended = FromKeep::Event {
            event: Event::Ended { outcome: Ending::Exited { code: 3 }, digest: Sha256([1; 32]) },
        };
        let mut stream = Vec::new();
        send(&mut stream, &boot).unwrap();
        send(&mut stream, &ended).unwrap();
        let mut stream = stream.as_slice();
        assert_eq!(receive::<Boot>(&mut stream).unwrap(), Some(boot));
        assert_eq!(receive::<FromKeep>(&mut stream).unwrap(), Some(ended));
        assert_eq!(receive::<FromKeep>(&mut stream).unwrap(), None);
    }

    #[test]
    fn refuses_bad_frames() {
        let too_long = (u32::try_from(limits::HOSTLINK_FRAME_BYTES_MAX).unwrap() + 1).to_be_bytes();
        assert!(receive::<Boot>(&mut too_long.as_slice()).is_err());
        assert!(receive::<Boot>(&mut [0u8, 0, 0].as_slice()).is_err());
        assert!(receive::<Boot>(&mut [0u8, 0, 0, 9, b'{'].as_slice()).is_err());
        assert!(receive::<Boot>(&mut [0u8, 0, 0, 2, b'{', b'}'].as_slice()).is_err());
        let large = FromKeep::Log {
            level: "info".into(),
            text: "x".repeat(limits::HOSTLINK_FRAME_BYTES_MAX),
        };
        assert!(send(&mut Vec::new(), &large).is_err());
    }
}
