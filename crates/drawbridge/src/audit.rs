// SPDX-License-Identifier: Apache-2.0

//! The audit log: what was released and refused, and every change of who may do what (docs/FORMATS.md 2.10).
//!
//! Events are on the disk before they take effect: without its line nothing is released and nothing changes. Lines form a
//! chain ([`chassis::journal`]). No token, key or content is in them.

use std::fmt;
use std::path::Path;

use chassis::journal::{Head, Journal, LogError, Shape};
use chassis::log::json_in_ascii;
use serde::{Deserialize, Serialize};
use types::time::Timestamp;

/// The shape of the log's entries.
pub const SHAPE: Shape =
    Shape { member: "event", is_record: |json| serde_json::from_str::<Event>(json).is_ok() };

/// Longest text of an event, in bytes; a longer one is cut.
const TEXT_BYTES_MAX: usize = 1024;

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is done, or about to be.
    Granted,
    /// The rules say no.
    Refused,
    /// The rules said yes, but it was not done.
    Failed,
}

/// Something that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// By the registry's clock.
    pub time: Timestamp,
    /// What, as `release` or `change-rights`.
    pub action: String,
    /// How it went.
    pub outcome: Outcome,
    /// With what: an owner, a repository or a tag.
    pub name: String,
    /// Who asked: `person:…`, `token:…`, `machine:…`, `keep:…` or `anonymous`.
    pub who: String,
    /// Where from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The name of the request, as the answer and the program's log have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The check that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// More about it, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Event {
    fn to_json(&self) -> String {
        let cut = |text: &mut String| text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        let mut event = self.clone();
        cut(&mut event.who);
        event.detail.as_mut().map(cut);
        // Plain data always serialises.
        json_in_ascii(&serde_json::to_string(&event).unwrap_or_default())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, action, outcome, name, who, check, detail, .. } = self;
        let outcome = match outcome {
            Outcome::Granted => "granted",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        };
        write!(f, "{time}  {outcome:<7}  {action:<18}  {name}  {who}")?;
        for more in [check, detail].into_iter().flatten() {
            write!(f, "  {}", more.escape_debug())?;
        }
        Ok(())
    }
}

/// The audit log of a registry, if it keeps one.
#[derive(Debug, Default)]
pub struct Audit(Option<Journal>);

impl Audit {
    /// Opens the log in `dir`, made if it is not there.
    ///
    /// # Errors
    /// See [`LogError`].
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        Journal::open(dir, SHAPE).map(|journal| Self(Some(journal)))
    }

    /// No log.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Where the log ends; none without a log.
    pub fn head(&self) -> Option<Head> {
        self.0.as_ref().map(Journal::head)
    }

    /// Puts an event to the disk. Blocks.
    ///
    /// # Errors
    /// It is not there, in words for the operator: then it must not take effect.
    pub fn record(&self, event: &Event) -> Result<(), String> {
        let Some(journal) = &self.0 else { return Ok(()) };
        let receipt = journal.append(vec![event.to_json()]).map_err(|error| error.to_string())?;
        receipt.wait().map_err(|error| error.to_string())
    }

    /// Tries to go on after a failure. Blocks.
    ///
    /// # Errors
    /// What still fails, in words for the operator.
    pub fn reopen(&self) -> Result<(), String> {
        match &self.0 {
            Some(journal) => journal.reopen().map(drop).map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use chassis::journal::{Expected, read};

    use super::*;

    fn event(detail: &str) -> Event {
        Event {
            time: Timestamp(1_700_000_000),
            action: "release".into(),
            outcome: Outcome::Refused,
            name: "ann/app:1.0.0".into(),
            who: "keep:x".into(),
            client: None,
            request_id: None,
            check: Some("requirement.genuine".into()),
            detail: Some(detail.into()),
        }
    }

    #[test]
    fn events_are_there_when_they_are_recorded() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::open(dir.path()).unwrap();
        audit.record(&event("why")).unwrap();
        audit.record(&event("\u{1b}[2Jä\u{202e}")).unwrap();
        assert_eq!(audit.head().unwrap().entries, 2);
        let mut seen = Vec::new();
        let summary = read(dir.path(), SHAPE, Expected::default(), |line| {
            assert!(line.record.bytes().all(|b| matches!(b, b' '..=b'~')), "{}", line.record);
            seen.push(serde_json::from_str::<Event>(line.record).unwrap());
            Ok(())
        });
        assert_eq!(Some(summary.unwrap().head), audit.head());
        assert_eq!(seen, [event("why"), event("\u{1b}[2Jä\u{202e}")]);
        assert!(!seen[1].to_string().contains('\u{1b}'));
    }

    #[test]
    fn long_texts_are_cut_and_no_log_takes_everything() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::open(dir.path()).unwrap();
        let long = Event { who: "é".repeat(100_000), ..event(&"x".repeat(100_000)) };
        audit.record(&long).unwrap();
        assert!(long.to_json().len() < 8 * TEXT_BYTES_MAX);
        assert_eq!(Audit::none().record(&long), Ok(()));
        assert_eq!(Audit::none().head(), None);
    }
}
