// SPDX-License-Identifier: Apache-2.0

//! How the command line says no: what happened, why, what to do next.

use std::fmt;

use crate::output;

/// Exit code of a command that failed or whose verdict is "no".
pub const EXIT_FAILED: u8 = 1;
/// Exit code of a command that was called wrongly, or that could not reach what it was to judge.
pub const EXIT_USAGE: u8 = 2;
/// Exit code of `run` and `deploy` when the Keep, not the workload, failed.
pub const EXIT_KEEP: u8 = 125;

/// An error as it is shown to the user.
///
/// The first line says what happened; `why` is the cause, `next` what to do about it. A [`Failure`] without
/// a message ends the program with its code and says nothing: all was said already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened. Empty: nothing more is to be said.
    pub what: String,
    /// Why, if that is known and more than `what` says.
    pub why: Option<String>,
    /// What to do next.
    pub next: Option<String>,
    /// Exit code.
    pub code: u8,
}

/// What every command returns: its exit code.
pub type Outcome = Result<u8, Failure>;

impl Failure {
    /// An error with exit code [`EXIT_FAILED`].
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), why: None, next: None, code: EXIT_FAILED }
    }

    /// Ends the program with `code` and no further word.
    pub fn silent(code: u8) -> Self {
        Self { what: String::new(), why: None, next: None, code }
    }

    /// The same, with its cause.
    #[must_use]
    pub fn why(mut self, why: impl fmt::Display) -> Self {
        self.why = Some(why.to_string());
        self
    }

    /// The same, with the next step.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// The same, with another exit code.
    #[must_use]
    pub fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Shows it on standard error.
    pub fn show(&self) {
        if self.what.is_empty() {
            return;
        }
        let style = output::stderr_style();
        let mut text = format!("{}: {}\n", style.bad("error"), self.what);
        for (label, value) in [("why", &self.why), ("next", &self.next)] {
            if let Some(value) = value {
                let mut lines = value.lines();
                text.push_str(&format!(
                    "  {}: {}\n",
                    style.dim(label),
                    lines.next().unwrap_or_default()
                ));
                for line in lines {
                    text.push_str(&format!("  {line}\n"));
                }
            }
        }
        output::talk_raw(&text);
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(why) = &self.why {
            write!(f, ": {why}")?;
        }
        if let Some(next) = &self.next {
            write!(f, "; next: {next}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Adds what was being done to errors that only know why it failed.
pub trait Context<T> {
    /// Turns the error into a [`Failure`]: `what` happened, because of it.
    ///
    /// # Errors
    /// If this is one.
    fn context(self, what: impl Into<String>) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> Context<T> for Result<T, E> {
    fn context(self, what: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(what).why(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_has_all_three_parts() {
        let failure = Failure::new("cannot open x").why("no such file").next("name another");
        assert_eq!(failure.to_string(), "cannot open x: no such file; next: name another");
        assert_eq!(failure.code, EXIT_FAILED);
    }
}
