// SPDX-License-Identifier: Apache-2.0

//! `steward policy diff`

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use chassis::exit;
use evidence::policy::{Effect, Sentence, explain};
use serde_json::json;

use super::load;
use crate::cli::print;

/// What one policy says and the other does not.
struct Change {
    section: &'static str,
    /// Said by the new policy, not by the old one.
    added: bool,
    /// Whether the other policy says something else about the same.
    replaced: bool,
    sentence: Sentence,
}

/// What a sentence is about: `The processor` of "The processor is a Genoa."
fn topic(sentence: &Sentence) -> &str {
    sentence.text.split(" is ").next().unwrap_or_default()
}

impl Change {
    /// Whether more may pass because of it. What is only replaced is for the reader to compare.
    fn loosens(&self) -> bool {
        match self.sentence.effect {
            Effect::Demand => !self.added && !self.replaced,
            Effect::Relaxation => self.added,
            Effect::Note => false,
        }
    }
}

/// Compares what two policies say. Exit code 0 if they say the same, 1 if not.
pub(super) fn diff(old: &Path, new: &Path, json: bool) -> ExitCode {
    let (old, new) = match (load(old, json), load(new, json)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(code), _) | (_, Err(code)) => return code,
    };
    let changes = changes(&explain(&old.policy), &explain(&new.policy));
    let text = if json {
        let changes: Vec<_> = changes
            .iter()
            .map(|change| {
                json!({
                    "section": change.section,
                    "change": if change.added { "added" } else { "removed" },
                    "effect": change.sentence.effect.name(),
                    "loosens": change.loosens(),
                    "replaced": change.replaced,
                    "text": change.sentence.text,
                })
            })
            .collect();
        json!({ "old": old.digest(), "new": new.digest(), "changes": changes }).to_string()
    } else {
        in_words(&changes)
    };
    match print(&text) {
        ExitCode::SUCCESS if !changes.is_empty() => ExitCode::from(exit::FAILED),
        code => code,
    }
}

fn changes(old: &[evidence::policy::Section], new: &[evidence::policy::Section]) -> Vec<Change> {
    let mut changes = Vec::new();
    // Both have the same sections, in the same order.
    for (old, new) in old.iter().zip(new) {
        for (from, to, added) in
            [(&old.sentences, &new.sentences, false), (&new.sentences, &old.sentences, true)]
        {
            for sentence in from.iter().filter(|sentence| !to.contains(sentence)) {
                let about_the_same = |other: &Sentence| {
                    other.effect == sentence.effect
                        && topic(other) == topic(sentence)
                        && !from.contains(other)
                };
                let replaced = to.iter().any(about_the_same);
                let sentence = sentence.clone();
                changes.push(Change { section: new.title, added, replaced, sentence });
            }
        }
    }
    changes
}

fn in_words(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "Both policies say the same.".to_owned();
    }
    let mut text = String::new();
    let mut section = "";
    for change in changes {
        if change.section != section {
            section = change.section;
            let _ = writeln!(text, "{section}");
        }
        let sign = if change.added { '+' } else { '-' };
        let warning = match (change.loosens(), change.replaced) {
            (true, _) => "   <- lets more pass",
            (false, true) if change.added => "   <- compare with what it replaces",
            _ => "",
        };
        let _ = writeln!(text, "  {sign} {}{warning}", change.sentence.text);
    }
    let loosened = changes.iter().filter(|change| change.loosens()).count();
    let _ = write!(text, "\n{} differences, {loosened} of which let more pass.", changes.len());
    text
}
