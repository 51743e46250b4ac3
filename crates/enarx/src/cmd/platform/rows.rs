// SPDX-License-Identifier: Apache-2.0

//! Pieces of collateral, shown.

use serde_json::{Value, json};
use types::time::Timestamp;

use crate::collateral::cache::Entry;
use crate::collateral::collect::{Outcome, Row};
use crate::failure::{EXIT_FAILED, Failure};
use crate::output::{self, Style};

/// Shows what came of getting pieces. The exit code: 1 if there is one that is not there.
///
/// # Errors
/// If nobody reads the output.
pub fn show(rows: &[Row], broken: &[String], as_json: bool, now: Timestamp) -> Result<u8, Failure> {
    let failed = rows.iter().any(|row| matches!(row.outcome, Outcome::Failed(_)));
    if as_json {
        let pieces: Vec<Value> = rows.iter().map(|row| row_json(row, now)).collect();
        output::json(&json!({"ok": !failed, "pieces": pieces, "damaged": broken}))?;
        return Ok(if failed { EXIT_FAILED } else { 0 });
    }
    let style = output::stdout_style();
    let mut table = vec![heading(style, "result")];
    for row in rows {
        let result = match &row.outcome {
            Outcome::Fetched | Outcome::Unchanged | Outcome::Cached => {
                style.good(row.outcome.name())
            }
            Outcome::Kept(_) => style.warn(row.outcome.name()),
            Outcome::Failed(_) => style.bad(row.outcome.name()),
        };
        table.push(cells(&row.piece.to_string(), row.entry.as_ref(), result, style, now));
    }
    output::data(&output::columns(&table))?;
    let style = output::stderr_style();
    for row in rows {
        match &row.outcome {
            Outcome::Kept(why) => {
                output::talk(&format!("{}: {}: {why}", style.warn("note"), row.piece));
            }
            Outcome::Failed(why) => {
                output::talk(&format!("{}: {}: {why}", style.bad("error"), row.piece));
            }
            _ => {}
        }
    }
    note_broken(broken);
    if failed {
        output::talk(&format!(
            "  {}: `enarx platform import FILE…` takes pieces from another machine; --kds and --pcs name a mirror, HTTPS_PROXY a proxy",
            style.dim("next")
        ));
    }
    Ok(if failed { EXIT_FAILED } else { 0 })
}

/// Tells of files that are no pieces.
pub fn note_broken(broken: &[String]) {
    let style = output::stderr_style();
    for name in broken {
        output::talk(&format!(
            "{}: the file {name} of the cache is damaged or not by this program, and counts as not there",
            style.warn("note")
        ));
    }
}

/// Names of the columns.
pub fn heading(style: Style, last: &str) -> Vec<String> {
    ["piece", "age", "valid until", last].iter().map(|name| style.dim(name)).collect()
}

/// One line.
pub fn cells(
    piece: &str,
    entry: Option<&Entry>,
    last: String,
    style: Style,
    now: Timestamp,
) -> Vec<String> {
    let (age, until) = match entry {
        None => ("-".to_owned(), "-".to_owned()),
        Some(entry) => {
            let until = entry.found.until.to_string();
            let until = if entry.expired(now) { style.bad(&until) } else { until };
            (age(entry.age(now)), until)
        }
    };
    vec![piece.to_owned(), age, until, last]
}

fn row_json(row: &Row, now: Timestamp) -> Value {
    let mut value = row.entry.as_ref().map_or_else(
        || json!({"piece": row.piece.to_string(), "name": row.piece.stem()}),
        |entry| entry_json(entry, now),
    );
    if let Some(object) = value.as_object_mut() {
        object.insert("result".to_owned(), json!(row.outcome.name()));
        object.insert("why".to_owned(), json!(row.outcome.why()));
    }
    value
}

/// A piece, for machines.
pub fn entry_json(entry: &Entry, now: Timestamp) -> Value {
    json!({
        "piece": entry.found.piece.to_string(),
        "name": entry.found.piece.stem(),
        "path": entry.path,
        "source": entry.source,
        "fetched_at": entry.fetched_at,
        "age_seconds": entry.age(now),
        "issued": entry.found.issued,
        "valid_until": entry.found.until,
        "expired": entry.expired(now),
    })
}

/// Seconds, for people.
pub fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn ages_for_people() {
        let texts: Vec<String> = [0, 119, 120, 7_199, 7_200, 172_799, 172_800].map(age).into();
        assert_eq!(texts, ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 d"]);
    }
}
