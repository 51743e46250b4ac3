// SPDX-License-Identifier: Apache-2.0

//! `steward policy check`

use std::path::Path;
use std::process::ExitCode;

use super::load;
use crate::cli::print;

/// Reads the policy in `file` and prints the verdict.
pub(super) fn check(file: &Path, json: bool) -> ExitCode {
    let loaded = match load(file, json) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    print(&if json {
        serde_json::json!({ "ok": true, "digest": loaded.digest() }).to_string()
    } else {
        format!("{} is a valid policy.\n\n  digest  {}", file.display(), loaded.digest())
    })
}
