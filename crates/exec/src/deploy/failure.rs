// SPDX-License-Identifier: Apache-2.0

//! Why a Keep gives up, in words for the person who started it.

use std::fmt;

use types::hostlink::Event;

/// In which part of the flow a Keep gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Taking the boot message.
    Boot,
    /// Asking the registry what the name stands for.
    Resolve,
    /// Getting evidence from the TEE.
    Attest,
    /// Getting a certificate from Steward.
    Certify,
    /// Fetching the workload.
    Fetch,
    /// Reading `Enarx.toml`.
    Config,
    /// Running the workload.
    Run,
}

impl Stage {
    /// The stage's name in [`Event::Failed`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Resolve => "resolve",
            Self::Attest => "attest",
            Self::Certify => "certify",
            Self::Fetch => "fetch",
            Self::Config => "config",
            Self::Run => "run",
        }
    }
}

/// Why a Keep gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Where.
    pub stage: Stage,
    /// What was wrong.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl Failure {
    /// A failure at `stage`.
    pub fn new(stage: Stage, message: impl fmt::Display) -> Self {
        Self { stage, message: message.to_string(), hint: String::new() }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// As the loader is told of it.
    pub fn event(&self) -> Event {
        Event::Failed {
            stage: self.stage.name().to_owned(),
            message: self.message.clone(),
            hint: self.hint.clone(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage.name(), self.message)?;
        if !self.hint.is_empty() {
            write!(f, " ({})", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
