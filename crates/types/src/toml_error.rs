// SPDX-License-Identifier: Apache-2.0

//! TOML that is read strictly, with errors that show the place and the way out.
//!
//! Two ways lead here. [`Document`] and [`Fields`] walk a parsed file by hand, so that every later check can still point
//! at the value it dislikes ([`crate::config`] does this). [`from_str`] is for plain serde structures with
//! `deny_unknown_fields`. Both end in the same [`TomlError`]:
//!
//! ```text
//! line 2, column 1: unknown key `netwrok`
//!   |
//! 2 | netwrok = 1
//!   | ^^^^^^^
//!   = did you mean `network`?
//! ```

use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::time::Timestamp;

/// Characters of a source line that an error shows at most.
const SHOWN_CHARS_MAX: usize = 120;

/// What is wrong with a TOML file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TomlError {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// How to mend it, where that is known.
    pub hint: Option<String>,
    /// The line as it stands in the file, cut to what fits on a screen, without control characters.
    shown: String,
    /// Characters in front of the caret in `shown`, and carets.
    caret: (usize, usize),
}

impl TomlError {
    /// An error about the bytes `span` of `text`.
    pub fn new(text: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        let start = floor_boundary(text, span.start);
        let end = floor_boundary(text, span.end).max(start);
        let (before, rest) = text.split_at(start);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let (_, before) = before.split_at(line_start);
        let line_rest = rest.split(['\n', '\r']).next().unwrap_or_default();
        let column = before.chars().count();
        let length = text
            .get(start..end.min(start + line_rest.len()))
            .map_or(0, |spanned| spanned.chars().count());
        // A long line is shown from a little before the place.
        let skip = column.saturating_sub(SHOWN_CHARS_MAX / 2);
        let shown: String = before
            .chars()
            .chain(line_rest.chars())
            .skip(skip)
            .take(SHOWN_CHARS_MAX)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let indent = column - skip;
        let carets = length.clamp(1, SHOWN_CHARS_MAX.saturating_sub(indent).max(1));
        Self {
            line: text.get(..start).map_or(0, |t| t.bytes().filter(|b| *b == b'\n').count()) + 1,
            column: column + 1,
            message: message.into(),
            hint: None,
            shown,
            caret: (indent, carets),
        }
    }

    /// The same error, with a way out.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error on one line, without quoting the file (whose content may be private).
    pub fn brief(&self) -> String {
        let Self { line, column, message, .. } = self;
        match &self.hint {
            Some(hint) => format!("line {line}, column {column}: {message}; {hint}"),
            None => format!("line {line}, column {column}: {message}"),
        }
    }

    fn from_toml(text: &str, error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or(0..0);
        let message = error.message();
        // serde has no other way to say these two than in words.
        if let Some(rest) = message.strip_prefix("unknown field `") {
            let mut names = rest.split('`');
            let key = names.next().unwrap_or_default();
            let known: Vec<&str> = names.skip(1).step_by(2).collect();
            return Self::unknown_key(text, span, key, &known);
        }
        let first = message.lines().next().unwrap_or_default();
        Self::new(text, span, first)
    }

    fn unknown_key(text: &str, span: Range<usize>, key: &str, known: &[&str]) -> Self {
        let error = Self::new(text, span, format!("unknown key `{}`", key.escape_debug()));
        match nearest(key, known) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None if known.is_empty() => error.with_hint("no keys are allowed here"),
            None => error.with_hint(format!("allowed here: {}", known.join(", "))),
        }
    }
}

impl fmt::Display for TomlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let (indent, carets) = self.caret;
        writeln!(f, "line {}, column {}: {}", self.line, self.column, self.message)?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {}", self.shown)?;
        write!(f, "{margin} | {}{}", " ".repeat(indent), "^".repeat(carets))?;
        if let Some(hint) = &self.hint {
            write!(f, "\n{margin} = {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for TomlError {}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The one of `known` that `word` was most likely meant to be.
///
/// At most a third of the letters may differ (insertions, deletions, substitutions and swaps of neighbours).
pub fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word: Vec<char> = word.to_lowercase().chars().take(64).collect();
    known
        .iter()
        .map(|candidate| (distance(&word, &candidate.chars().collect::<Vec<_>>()), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut older: Vec<usize> = Vec::new();
    let mut old: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at =
                |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut best =
                (at(&old, j + 1) + 1).min(at(&row, j) + 1).min(at(&old, j) + usize::from(x != y));
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&older, j - 1) + 1);
            }
            row.push(best);
        }
        older = std::mem::replace(&mut old, row);
    }
    old.last().copied().unwrap_or(0)
}

/// Reads a structure that derives `Deserialize` (with `deny_unknown_fields`, for strictness).
///
/// # Errors
/// Text that is no TOML, or no such structure.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, TomlError> {
    toml::from_str(text).map_err(|error| TomlError::from_toml(text, &error))
}

/// A TOML file that is walked by hand.
#[derive(Clone, Copy, Debug)]
pub struct Document<'t> {
    text: &'t str,
}

impl<'t> Document<'t> {
    /// The file with this text.
    pub const fn new(text: &'t str) -> Self {
        Self { text }
    }

    /// Parses the file.
    ///
    /// # Errors
    /// Text that is no TOML.
    pub fn root(&self) -> Result<Spanned<DeTable<'t>>, TomlError> {
        DeTable::parse(self.text).map_err(|error| TomlError::from_toml(self.text, &error))
    }

    /// An error about `span` of this file.
    pub fn error(&self, span: Range<usize>, message: impl Into<String>) -> TomlError {
        TomlError::new(self.text, span, message)
    }

    /// Opens `table` (at `span`) in which only the keys `known` may stand.
    ///
    /// # Errors
    /// The first other key, with the nearest known one.
    pub fn fields(
        &self,
        span: Range<usize>,
        table: DeTable<'t>,
        known: &[&str],
    ) -> Result<Fields<'t>, TomlError> {
        let unknown = table
            .keys()
            .filter(|key| !known.contains(&key.get_ref().as_ref()))
            .min_by_key(|key| key.span().start);
        if let Some(key) = unknown {
            return Err(TomlError::unknown_key(self.text, key.span(), key.get_ref(), known));
        }
        Ok(Fields { document: *self, span, table })
    }
}

/// The keys of one table, taken out one by one.
#[derive(Clone, Debug)]
pub struct Fields<'t> {
    document: Document<'t>,
    span: Range<usize>,
    table: DeTable<'t>,
}

impl<'t> Fields<'t> {
    /// Where the table stands.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The document, for errors.
    pub const fn document(&self) -> &Document<'t> {
        &self.document
    }

    /// An error about the table as a whole.
    pub fn error(&self, message: impl Into<String>) -> TomlError {
        self.document.error(self.span(), message)
    }

    /// The value of `key`, if it is there.
    pub fn value(&mut self, key: &str) -> Option<Value<'t>> {
        let found = self.table.iter().find(|(k, _)| k.get_ref() == key)?.0.clone();
        let value = self.table.remove(&found)?;
        Some(Value {
            document: self.document,
            key: key.to_owned(),
            span: value.span(),
            value: value.into_inner(),
        })
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// It is not there.
    pub fn required(&mut self, key: &str) -> Result<Value<'t>, TomlError> {
        self.value(key).ok_or_else(|| self.error(format!("the key `{key}` is missing")))
    }
}

/// One value, with its place.
#[derive(Clone, Debug)]
pub struct Value<'t> {
    document: Document<'t>,
    key: String,
    span: Range<usize>,
    value: DeValue<'t>,
}

impl<'t> Value<'t> {
    /// Where the value stands.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// An error about this value.
    pub fn error(&self, message: impl Into<String>) -> TomlError {
        self.document.error(self.span(), message)
    }

    /// An error about another place of the same file.
    pub fn error_at(&self, span: Range<usize>, message: impl Into<String>) -> TomlError {
        self.document.error(span, message)
    }

    fn wrong_type(&self, wanted: &str) -> TomlError {
        let (key, found) = (&self.key, self.value.type_str());
        self.error(format!("`{}` must be {wanted}, not a TOML {found}", key.escape_debug()))
    }

    /// A string.
    ///
    /// # Errors
    /// Another type.
    pub fn string(&self) -> Result<&str, TomlError> {
        self.value.as_str().ok_or_else(|| self.wrong_type("a string"))
    }

    /// A boolean.
    ///
    /// # Errors
    /// Another type.
    pub fn boolean(&self) -> Result<bool, TomlError> {
        self.value.as_bool().ok_or_else(|| self.wrong_type("true or false"))
    }

    /// An integer from `min` to `max`.
    ///
    /// # Errors
    /// Another type or another number.
    pub fn integer(&self, min: u64, max: u64) -> Result<u64, TomlError> {
        let integer = self.value.as_integer().ok_or_else(|| self.wrong_type("a number"))?;
        integer_value(integer).filter(|number| (min..=max).contains(number)).ok_or_else(|| {
            self.error(format!("`{}` must be from {min} to {max}", self.key.escape_debug()))
        })
    }

    /// Whether the value is an integer.
    pub const fn is_integer(&self) -> bool {
        matches!(self.value, DeValue::Integer(_))
    }

    /// Whether the value is a table.
    pub const fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    /// A date without time of day, as `2026-12-31` (no quotes): its first second, in UTC.
    ///
    /// # Errors
    /// Another type, a time of day.
    pub fn date(&self) -> Result<Timestamp, TomlError> {
        let wanted = || self.wrong_type("a date, as 2026-12-31 without quotes");
        let DeValue::Datetime(found) = &self.value else { return Err(wanted()) };
        match (found.date, found.time) {
            (Some(date), None) => format!("{date}T00:00:00Z").parse().map_err(|_| wanted()),
            _ => Err(wanted()),
        }
    }

    /// One of the words `choices`; their index.
    ///
    /// # Errors
    /// Another word or type.
    pub fn choice(&self, choices: &[&str]) -> Result<usize, TomlError> {
        let word = self.string()?;
        if let Some(index) = choices.iter().position(|choice| *choice == word) {
            return Ok(index);
        }
        let listed: Vec<String> = choices.iter().map(|choice| format!("\"{choice}\"")).collect();
        let error = self.error(format!(
            "`{}` must be {}, not \"{}\"",
            self.key.escape_debug(),
            listed.join(" or "),
            word.escape_debug()
        ));
        Err(match nearest(word, choices) {
            Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
            None => error,
        })
    }

    /// The elements of an array.
    ///
    /// # Errors
    /// Another type.
    pub fn array(self) -> Result<Vec<Value<'t>>, TomlError> {
        match self.value {
            DeValue::Array(array) => Ok(array
                .into_iter()
                .map(|value| Value {
                    document: self.document,
                    key: self.key.clone(),
                    span: value.span(),
                    value: value.into_inner(),
                })
                .collect()),
            _ => Err(self.wrong_type("an array")),
        }
    }

    /// A table in which only the keys `known` may stand.
    ///
    /// # Errors
    /// Another type, an unknown key.
    pub fn fields(self, known: &[&str]) -> Result<Fields<'t>, TomlError> {
        match self.value {
            DeValue::Table(table) => self.document.fields(self.span, table, known),
            _ => Err(self.wrong_type("a table")),
        }
    }

    /// The keys (with their places) and values of a table in which any key may stand, in the order of the file.
    ///
    /// # Errors
    /// Another type.
    pub fn entries(self) -> Result<Vec<(Spanned<String>, Value<'t>)>, TomlError> {
        let DeValue::Table(table) = self.value else {
            return Err(self.wrong_type("a table"));
        };
        let mut entries: Vec<_> = table
            .into_iter()
            .map(|(key, value)| {
                let name = key.get_ref().to_string();
                let value = Value {
                    document: self.document,
                    key: name.clone(),
                    span: value.span(),
                    value: value.into_inner(),
                };
                (Spanned::new(key.span(), name), value)
            })
            .collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        Ok(entries)
    }
}

fn integer_value(integer: &DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Policy {
        #[allow(dead_code, reason = "only parsed")]
        minimum: Option<u8>,
        #[allow(dead_code, reason = "only parsed")]
        registries: Option<Vec<String>>,
    }

    #[test]
    fn serde_errors_show_the_place_and_the_nearest_key() {
        let error = from_str::<Policy>("minimum = 1\nregistires = []\n").unwrap_err();
        assert_eq!((error.line, error.column), (2, 1));
        assert_eq!(
            error.to_string(),
            "line 2, column 1: unknown key `registires`\n  |\n2 | registires = []\n  | ^^^^^^^^^^\n  = did you mean `registries`?"
        );
        assert_eq!(
            error.brief(),
            "line 2, column 1: unknown key `registires`; did you mean `registries`?"
        );
        let far = from_str::<Policy>("zzz = 1").unwrap_err();
        assert_eq!(far.hint.as_deref(), Some("allowed here: minimum, registries"));
        let wrong = from_str::<Policy>("minimum = 300").unwrap_err();
        assert_eq!((wrong.line, wrong.column), (1, 11));
    }

    #[test]
    fn dates_are_days() {
        let date = |text: &str| {
            let document = Document::new(text);
            let root = document.root()?;
            let mut fields = document.fields(root.span(), root.into_inner(), &["a"])?;
            fields.required("a")?.date()
        };
        assert_eq!(date("a = 1970-01-02"), Ok(Timestamp(86_400)));
        for wrong in ["a = \"1970-01-02\"", "a = 1970-01-02T00:00:00Z", "a = 00:00:00", "a = 1"] {
            let error = date(wrong).unwrap_err();
            assert!(error.message.contains("2026-12-31"), "{error}");
        }
        assert!(date("a = 2026-02-30").is_err());
    }

    #[test]
    fn syntax_errors_have_a_place() {
        let error = from_str::<Policy>("minimum = 1\n[[[").unwrap_err();
        assert_eq!(error.line, 2);
        assert!(from_str::<Policy>("minimum = \"").is_err());
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let text = "a = \"é\"\n\u{7f}\t\u{1b}[31m = 1";
        let error = TomlError::new(text, 9..text.len(), "x");
        assert!(!error.to_string().contains(|c: char| c.is_control() && c != '\n'));
        let error = from_str::<Policy>("\"\\u001b[31m\" = 1").unwrap_err();
        assert!(!error.to_string().contains('\u{1b}'));
    }

    #[test]
    fn spans_beyond_the_text_are_harmless() {
        for (start, end) in [(0, 0), (5, 3), (0, 99), (99, 100)] {
            let _ = TomlError::new("é\nb", start..end, "x").to_string();
        }
        let long = format!("{}b = 1", "a".repeat(500));
        let error = TomlError::new(&long, 490..505, "x");
        assert_eq!(error.column, 491);
        assert!(error.to_string().lines().all(|line| line.chars().count() < 140));
    }

    #[test]
    fn nearest_takes_only_what_is_near() {
        let known = ["network", "steward", "env"];
        assert_eq!(nearest("netwrok", &known), Some("network"));
        assert_eq!(nearest("Steward", &known), Some("steward"));
        assert_eq!(nearest("envs", &known), Some("env"));
        assert_eq!(nearest("files", &known), None);
        assert_eq!(nearest("", &known), None);
    }
}
