// SPDX-License-Identifier: Apache-2.0

//! `steward policy explain`

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use evidence::policy::{Effect, Section, explain as in_words};
use serde_json::json;

use super::load;
use crate::cli::print;

/// Says in words what the policy in `file` demands and what it lets pass.
pub(super) fn explain(file: &Path, json: bool) -> ExitCode {
    let loaded = match load(file, json) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let sections = in_words(&loaded.policy);
    if json {
        let sections: Vec<_> = sections.iter().map(section_json).collect();
        return print(&json!({ "digest": loaded.digest(), "sections": sections }).to_string());
    }
    let mut text = format!("Policy {}\n", loaded.digest());
    for section in &sections {
        let _ = write!(text, "\n{}\n", section.title);
        for (effect, heading) in [
            (Effect::Note, ""),
            (Effect::Demand, "  Demanded, all of it:\n"),
            (Effect::Relaxation, "  Let pass:\n"),
        ] {
            let mut said = section.sentences.iter().filter(|s| s.effect == effect).peekable();
            if said.peek().is_some() {
                text.push_str(heading);
            }
            for sentence in said {
                let bullet = if effect == Effect::Note { " " } else { "   -" };
                let _ = writeln!(text, "{bullet} {}", sentence.text);
            }
        }
    }
    print(text.trim_end())
}

fn section_json(section: &Section) -> serde_json::Value {
    let sentences: Vec<_> = section
        .sentences
        .iter()
        .map(|sentence| json!({ "effect": sentence.effect.name(), "text": sentence.text }))
        .collect();
    json!({ "title": section.title, "sentences": sentences })
}
