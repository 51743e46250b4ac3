// SPDX-License-Identifier: Apache-2.0

//! Logs: structured, on standard error, for people or for programs.
//!
//! An event is one line, whatever a client wrote into it: control characters and what changes the direction of writing
//! are shown as escapes.

mod neutral;

use std::fmt;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

use neutral::{Neutral, Style};

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people; coloured on a terminal, unless `NO_COLOR` is set.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Human => "human",
            Self::Json => "json",
        })
    }
}

/// Why logging did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogError {
    /// Neither `human` nor `json`.
    Format,
    /// A filter that does not parse, with the parser's words.
    Filter(String),
    /// The program has started logging already.
    Twice,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format => f.write_str("the log format is `human` or `json`"),
            Self::Filter(why) => write!(
                f,
                "the log filter does not parse ({why}); write a level or target=level pairs, for example info or info,chassis=debug"
            ),
            Self::Twice => f.write_str("logging has been started already"),
        }
    }
}

impl std::error::Error for LogError {}

impl FromStr for Format {
    type Err = LogError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err(LogError::Format),
        }
    }
}

/// Starts logging to standard error what `filter` lets through: a level, or `target=level` pairs.
///
/// # Errors
/// See [`LogError`].
pub fn init(format: Format, filter: &str) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter).map_err(|error| LogError::Filter(error.to_string()))?;
    let colour = format == Format::Human
        && std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let style = match format {
        Format::Json => Style::Json,
        Format::Human if colour => Style::Colour,
        Format::Human => Style::Plain,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Neutral(style));
    match format {
        Format::Human => builder.with_ansi(colour).try_init(),
        Format::Json => builder.json().flatten_event(true).with_span_list(false).try_init(),
    }
    .map_err(|_| LogError::Twice)
}

/// The same JSON with escapes for all but printable ASCII: nothing in it moves a cursor or the direction of writing. What
/// is not printable ASCII stands only in strings.
pub fn json_in_ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if matches!(c, ' '..='~') {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_ascii_is_the_same_json() {
        let value = serde_json::json!({"who": "a\u{202e}b\u{1b}[31m\n\u{1f600}\u{e9}"});
        let ascii = json_in_ascii(&value.to_string());
        assert!(ascii.bytes().all(|b| matches!(b, b' '..=b'~')), "{ascii}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&ascii).unwrap(), value);
    }

    #[test]
    fn formats_and_filters_are_checked() {
        assert_eq!("json".parse(), Ok(Format::Json));
        assert_eq!("human".parse(), Ok(Format::Human));
        assert_eq!("xml".parse::<Format>(), Err(LogError::Format));
        assert!(matches!(init(Format::Human, "no such level=="), Err(LogError::Filter(_))));
    }
}
