// SPDX-License-Identifier: Apache-2.0

//! `steward policy`

mod check;
mod diff;
mod explain;
mod test;

use std::path::Path;
use std::process::ExitCode;

use chassis::exit;

use super::{Policy, usage};
use crate::policies::{LoadError, Loaded};

/// Runs one of the commands.
pub(super) fn run(command: &Policy) -> ExitCode {
    match command {
        Policy::Check { file, json } => check::check(file, *json),
        Policy::Explain { file, json } => explain::explain(file, *json),
        Policy::Diff { old, new, json } => diff::diff(old, new, *json),
        Policy::Test(options) => test::test(options),
    }
}

/// Reads a policy; says what is wrong with it otherwise, as JSON if that is wanted.
fn load(file: &Path, json: bool) -> Result<Loaded, ExitCode> {
    Loaded::read(file).map_err(|error| {
        if !json {
            return usage(&error);
        }
        let mut verdict = serde_json::json!({ "ok": false, "message": error.to_string() });
        if let (LoadError::Invalid(_, why), Some(verdict)) = (&error, verdict.as_object_mut()) {
            verdict.insert("message".to_owned(), why.message.clone().into());
            verdict.insert("line".to_owned(), why.line.into());
            verdict.insert("column".to_owned(), why.column.into());
            verdict.insert("hint".to_owned(), why.hint.clone().into());
        }
        println!("{verdict}");
        ExitCode::from(exit::USAGE)
    })
}
