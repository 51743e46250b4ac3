// SPDX-License-Identifier: Apache-2.0

//! Why a registry's answer is of no use.

use std::fmt;

use drawbridge_core::TreeError;
use types::problem::Problem;

/// Why a call failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// A name that cannot be asked for.
    Name(&'static str),
    /// The token has characters that no token has, or is longer than 16 KiB.
    Token,
    /// The registry was not reached, or the connection broke.
    Transport {
        /// What was asked for.
        url: String,
        /// What went wrong.
        detail: String,
    },
    /// The registry said no.
    Refused {
        /// What was asked for.
        url: String,
        /// Why. Its `status` is that of the answer.
        problem: Box<Problem>,
    },
    /// The answer is not what a Drawbridge answers.
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Content that is not what its digest says.
    Integrity {
        /// The workload, or the path within it.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The files are no package.
    Package(TreeError),
}

impl Error {
    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { problem, .. } => Some(problem.status),
            _ => None,
        }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Refused { problem, .. } => problem.hint.as_deref(),
            Self::Integrity { .. } => Some(
                "the registry, or somebody on the way, altered the package; nothing of it was used",
            ),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(what) => f.write_str(what),
            Self::Token => {
                f.write_str("the bearer token has characters that no token has, or is too long")
            }
            Self::Transport { url, detail } => write!(f, "{url} could not be reached: {detail}"),
            Self::Refused { url, problem } => {
                write!(f, "{url} answered {}: {problem}", problem.status)
            }
            Self::Answer { url, detail } => {
                write!(f, "the answer of {url} is not that of a Drawbridge: {detail}")
            }
            Self::Integrity { what, detail } => {
                write!(f, "{what} is not what its digest says: {detail}")
            }
            Self::Package(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<TreeError> for Error {
    fn from(error: TreeError) -> Self {
        Self::Package(error)
    }
}
