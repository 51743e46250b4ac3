// SPDX-License-Identifier: Apache-2.0

//! Why there is no connection.

use std::fmt;

/// The kind of a [`NetError`], from which the workload's error number follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetErrorKind {
    /// The policy of `Enarx.toml` says no.
    Policy,
    /// The name has no address.
    Resolve,
    /// Nobody answers there.
    Connect,
    /// Somebody answers, but proves too little.
    Tls,
    /// The port cannot be had.
    Bind,
    /// A limit of `Enarx.toml` is reached.
    Limit,
}

/// Why there is no connection or no listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetError {
    /// What kind of reason.
    pub kind: NetErrorKind,
    /// The reason, one line, with what to do about it where something can be done.
    pub message: String,
}

impl NetError {
    pub(crate) fn new(kind: NetErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for NetError {}
