// SPDX-License-Identifier: Apache-2.0

//! What goes wrong around a Keep.

use std::path::PathBuf;
use std::{fmt, io};

/// Why a Keep did not start, or how it misbehaved.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The Keep's program cannot be read.
    Image {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The files do not fit the boot message.
    Files(&'static str),
    /// This machine cannot run such a Keep.
    Unavailable {
        /// The backend.
        backend: &'static str,
        /// What is missing.
        missing: String,
        /// What to do about it.
        hint: String,
    },
    /// The host's kernel refused a step of the start.
    Start {
        /// What was to be done.
        step: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The Keep broke the rules of its link to the loader and was ended.
    Link(io::Error),
    /// The Keep could not be traced any longer and was ended.
    Trace(io::Error),
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Image { .. } => {
                "build the Keep's program with `cargo xtask build`, or name it by ENARX_EXEC".into()
            }
            Self::Files(_) => "this is a mistake of the caller".into(),
            Self::Unavailable { hint, .. } => hint.clone(),
            Self::Start { .. } => "`enarx platform info` shows what this machine allows".into(),
            Self::Link(_) | Self::Trace(_) => {
                "the Keep's program does not fit this version of `enarx`: build both together"
                    .into()
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { path, source } => {
                write!(f, "cannot read the Keep's program {}: {source}", path.display())
            }
            Self::Files(what) => write!(f, "cannot hand over the files: {what}"),
            Self::Unavailable { backend, missing, .. } => {
                write!(f, "the backend `{backend}` is not available: {missing}")
            }
            Self::Start { step, source } => write!(f, "cannot start the Keep: {step}: {source}"),
            Self::Link(source) => {
                write!(f, "the Keep broke the rules of its link to the loader: {source}")
            }
            Self::Trace(source) => write!(f, "lost the Keep: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Image { source, .. }
            | Self::Start { source, .. }
            | Self::Link(source)
            | Self::Trace(source) => Some(source),
            Self::Files(_) | Self::Unavailable { .. } => None,
        }
    }
}
