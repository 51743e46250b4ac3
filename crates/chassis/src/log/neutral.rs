// SPDX-License-Identifier: Apache-2.0

//! Lines of the log that stay lines, whatever a client wrote into them.

use std::fmt::Write as _;
use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

/// Makes writers to standard error that write control characters as escapes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neutral(pub(super) Style);

/// What lines are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// People. Escapes are those of Rust.
    Plain,
    /// People with a terminal: colours, which are control characters too, pass.
    Colour,
    /// Programs: escapes are those of JSON.
    Json,
}

impl<'a> MakeWriter<'a> for Neutral {
    type Writer = Line<io::Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { to: io::stderr(), style: self.0 }
    }
}

/// Takes whole lines; each write is one.
pub(super) struct Line<W> {
    to: W,
    style: Style,
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write_all(line(bytes, self.style).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The same line without control characters but the line feed at its end, and colours if wanted.
fn line(bytes: &[u8], style: Style) -> String {
    let text = String::from_utf8_lossy(bytes);
    let (text, end) = text.strip_suffix('\n').map_or((&*text, ""), |text| (text, "\n"));
    let mut out = String::with_capacity(text.len() + 1);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '\u{1b}' if style == Style::Colour => colour_bytes(rest),
            _ => None,
        };
        let (taken, after) = rest.split_at(length.unwrap_or(c.len_utf8()));
        // Writing to a string does not fail. All that deceives fits into one unit of UTF-16.
        let _ = match style {
            _ if length.is_some() || !deceives(c) => out.write_str(taken),
            Style::Json => write!(out, "\\u{:04x}", u32::from(c)),
            Style::Plain | Style::Colour => write!(out, "{}", c.escape_default()),
        };
        rest = after;
    }
    out.push_str(end);
    out
}

/// Whether a terminal or a reader would take `c` for something else than text on this line: control characters, line
/// separators, and what changes the direction of writing (Unicode, Bidi_Control).
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Length of the sequence that sets a colour (ECMA-48, SGR) at the start of `text`.
fn colour_bytes(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    (parameters.as_bytes().get(end) == Some(&b'm')).then_some(2 + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        for (from, to) in [
            ("fine, ünïcödé\n", "fine, ünïcödé\n"),
            ("a\nWARN forged\r\n", "a\\nWARN forged\\r\n"),
            ("\u{1b}]0;title\u{7}\u{1b}[2J\n", "\\u{1b}]0;title\\u{7}\\u{1b}[2J\n"),
            ("\u{9b}2J\u{7f}\0\n", "\\u{9b}2J\\u{7f}\\u{0}\n"),
            ("\u{202e}gnp.exe\u{2028}\n", "\\u{202e}gnp.exe\\u{2028}\n"),
            ("\u{1b}[31mred\u{1b}[0m\n", "\\u{1b}[31mred\\u{1b}[0m\n"),
            ("", ""),
            ("no end", "no end"),
        ] {
            assert_eq!(line(from.as_bytes(), Style::Plain), to);
        }
        assert_eq!(line(b"\xff\xfe\n", Style::Plain), "\u{fffd}\u{fffd}\n");
    }

    #[test]
    fn json_stays_json() {
        let from = serde_json::json!({ "a": "b\u{202e}\u{85}\u{7f}\n\u{1b}" }).to_string();
        let to = line(from.as_bytes(), Style::Json);
        assert!(!to.chars().any(deceives), "{to}");
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(parse(&from), parse(&to));
    }

    #[test]
    fn colours_pass_if_they_are_wanted_and_nothing_else_does() {
        let coloured = "\u{1b}[2mtime\u{1b}[0m \u{1b}[1;31mERROR\u{1b}[0m\n";
        assert_eq!(line(coloured.as_bytes(), Style::Colour), coloured);
        for bad in ["\u{1b}[2J", "\u{1b}[31", "\u{1b}", "\u{1b}[1;1H", "\u{1b}c"] {
            assert!(!line(bad.as_bytes(), Style::Colour).contains('\u{1b}'), "{bad:?}");
        }
    }

    #[test]
    fn every_write_is_one_line() {
        let mut line = Line { to: Vec::new(), style: Style::Plain };
        line.write_all(b"a\nb\n").unwrap();
        line.write_all(b"c\n").unwrap();
        assert_eq!(line.to, b"a\\nb\nc\n");
    }
}
