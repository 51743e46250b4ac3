// SPDX-License-Identifier: Apache-2.0

//! `steward policy check`

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use chassis::clock::Clock;
use evidence::policy::Ended;

use super::load;
use crate::cli::print;

/// Reads the policy in `file` and prints the verdict.
pub(super) fn check(file: &Path, json: bool) -> ExitCode {
    let loaded = match load(file, json) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let ended = loaded.policy.ended(Clock::System.now());
    if json {
        let ended: Vec<_> = ended
            .iter()
            .map(|Ended { key, name, last_day }| {
                serde_json::json!({ "key": key, "name": name, "last_day": last_day })
            })
            .collect();
        let verdict = serde_json::json!({ "ok": true, "digest": loaded.digest(), "ended": ended });
        return print(&verdict.to_string());
    }
    let digest = loaded.digest();
    let mut text = format!("{} is a valid policy.\n\n  digest  {digest}", file.display());
    for Ended { key, name, last_day } in &ended {
        let _ = write!(
            text,
            "\n  warning: {name} in {key} ended on {last_day}; take it out, or give it a later day"
        );
    }
    print(&text)
}
