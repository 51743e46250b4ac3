// SPDX-License-Identifier: Apache-2.0

//! `steward policy check`

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use chassis::exit;

use super::{failed, usage};
use crate::policies::{LoadError, Loaded};

/// Reads the policy in `file` and prints the verdict.
pub(super) fn check(file: &Path, json: bool) -> ExitCode {
    let loaded = match Loaded::read(file) {
        Ok(loaded) => loaded,
        Err(error) if json => {
            let mut verdict = serde_json::json!({
                "ok": false,
                "message": error.to_string(),
            });
            if let (LoadError::Invalid(_, why), Some(verdict)) = (&error, verdict.as_object_mut()) {
                verdict.insert("message".to_owned(), why.message.clone().into());
                verdict.insert("line".to_owned(), why.line.into());
                verdict.insert("column".to_owned(), why.column.into());
                verdict.insert("hint".to_owned(), why.hint.clone().into());
            }
            println!("{verdict}");
            return ExitCode::from(exit::USAGE);
        }
        Err(error) => return usage(&error),
    };
    let text = if json {
        serde_json::json!({ "ok": true, "digest": loaded.digest() }).to_string()
    } else {
        format!("{} is a valid policy.\n\n  digest  {}", file.display(), loaded.digest())
    };
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}
