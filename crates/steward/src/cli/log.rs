// SPDX-License-Identifier: Apache-2.0

//! `steward log verify` and `steward log show`

use std::io::{self, BufWriter, Write as _};
use std::process::ExitCode;

use chassis::exit;
use types::digest::Sha256;

use super::{Range, failed};
use crate::log::LogError;
use crate::log::entry::Entry;
use crate::log::verify::{Expected, read};

/// Reads all of a log and prints the verdict.
pub(super) fn verify(range: &Range, through: Option<Sha256>, json: bool) -> ExitCode {
    let expected = Expected { after: range.after, through };
    let summary = match read(&range.dir, expected, |_, _| Ok(())) {
        Ok(summary) => summary,
        Err(error) if json => {
            println!("{}", serde_json::json!({ "ok": false, "message": error.to_string() }));
            return ExitCode::from(exit::FAILED);
        }
        Err(error) => return failed(&error),
    };
    let entries = summary.head.entries - summary.first;
    let text = if json {
        serde_json::json!({
            "ok": summary.passed_through,
            "first": summary.first,
            "entries": entries,
            "head": summary.head.hash,
            "torn_bytes": summary.torn_bytes,
        })
        .to_string()
    } else {
        let mut text = format!(
            "{} holds {entries} entries, from {} on, in an unbroken chain.\n\n  head  {}",
            range.dir.display(),
            summary.first,
            summary.head.hash
        );
        if summary.torn_bytes > 0 {
            text.push_str(&format!(
                "\n\n{} bytes follow: an entry that is being written, or that a crash tore. Its certificate has not left.",
                summary.torn_bytes
            ));
        }
        text
    };
    if let Err(error) = writeln!(io::stdout(), "{text}") {
        return failed(&error);
    }
    if summary.passed_through {
        return ExitCode::SUCCESS;
    }
    failed(
        &"the log does not go through the head that was noted earlier: it is not the same log, or was cut",
    )
}

/// Prints the entries of a log.
pub(super) fn show(range: &Range, serial: Option<&str>, json: bool) -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    let expected = Expected { after: range.after, through: None };
    let mut found = false;
    let result = read(&range.dir, expected, |entry, hash| {
        if serial.is_some_and(|serial| !serial.eq_ignore_ascii_case(&entry.issued.serial)) {
            return Ok(());
        }
        found = true;
        writeln!(out, "{}", text(entry, hash, serial.is_some(), json))
            .map_err(|error| LogError::Io("print", range.dir.clone(), error))
    });
    if let Err(error) = result {
        let _ = out.flush();
        return failed(&error);
    }
    if let Err(error) = out.flush() {
        return failed(&error);
    }
    match serial {
        Some(serial) if !found => failed(&format!("no certificate {serial} is in this log")),
        _ => ExitCode::SUCCESS,
    }
}

fn text(entry: &Entry, hash: Sha256, pem: bool, json: bool) -> String {
    if json {
        return serde_json::json!({ "hash": hash, "entry": entry }).to_string();
    }
    let issued = &entry.issued;
    if pem {
        // It was parsed when it was read.
        let der = issued.certificate_der().unwrap_or_default();
        return der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, &der)
            .unwrap_or_default()
            .trim_end()
            .to_owned();
    }
    format!(
        "{:>8}  {}  {}  {:<15}  {:<6}  {}",
        entry.index, issued.time, issued.serial, issued.status, issued.tee, issued.policy
    )
}
