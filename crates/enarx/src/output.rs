// SPDX-License-Identifier: Apache-2.0

//! What goes to the terminal: data on standard output, talk on standard error.
//!
//! Colour only on a terminal, never with `NO_COLOR` set (<https://no-color.org>) or with `TERM=dumb`.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::failure::{Context as _, Failure};

/// Whether and how to colour.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// No colour at all.
    pub const PLAIN: Self = Self { colour: false };

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Bold.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Not important.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// It is as it should be.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Look here.
    pub fn warn(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// It is not as it should be.
    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }
}

fn style(terminal: bool) -> Style {
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    Style { colour: terminal && !forbidden }
}

/// How to colour standard output.
pub fn stdout_style() -> Style {
    style(io::stdout().is_terminal())
}

/// How to colour standard error.
pub fn stderr_style() -> Style {
    style(io::stderr().is_terminal())
}

/// Writes a line of talk to standard error.
pub fn talk(line: &str) {
    talk_raw(&format!("{line}\n"));
}

/// Writes talk to standard error as it is.
pub fn talk_raw(text: &str) {
    // Nobody listens: not a reason to stop.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes data to standard output.
///
/// # Errors
/// If it cannot be written. A reader that went away (`| head`) ends the program quietly.
pub fn data(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::silent(0)),
        other => other.context("cannot write to standard output"),
    }
}

/// Writes one JSON object to standard output: indented on a terminal, else on one line.
///
/// # Errors
/// As [`data`].
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = if io::stdout().is_terminal() {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    data(&format!("{}\n", text.context("cannot write JSON")?))
}

/// Lays out rows in columns, two spaces apart; the last column is not padded.
pub fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| visible_width(cell))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            line.push_str(cell);
            if index + 1 < row.len() {
                line.push_str(&" ".repeat(width.saturating_sub(visible_width(cell)) + 2));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Characters of `text` on the screen, colours not counted.
fn visible_width(text: &str) -> usize {
    let mut width = 0;
    let mut escape = false;
    for character in text.chars() {
        match character {
            '\x1b' => escape = true,
            'm' if escape => escape = false,
            _ if escape => {}
            _ => width += 1,
        }
    }
    width
}

/// A number of bytes for people.
pub fn bytes(count: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let value = count as f64;
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.1} kB", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", value / 1e6),
        _ => format!("{:.1} GB", value / 1e9),
    }
}

/// A duration in microseconds for people.
pub fn micros(count: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "shown with two decimals")]
    let value = count as f64;
    match count {
        0..1_000 => format!("{count} µs"),
        1_000..1_000_000 => format!("{:.1} ms", value / 1e3),
        _ => format!("{:.2} s", value / 1e6),
    }
}

/// Bytes a second.
fn rate(count: u64, elapsed: Duration) -> u64 {
    let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX).max(1);
    count.saturating_mul(1_000_000) / micros
}

/// Shows that something long goes on: one line that changes on a terminal, else a plain line now and then.
#[derive(Debug)]
pub struct Progress {
    label: String,
    terminal: bool,
    started: Instant,
    shown: Mutex<Instant>,
}

/// How often a terminal's line changes.
const EVERY_TERMINAL: Duration = Duration::from_millis(100);
/// How often a plain line is written.
const EVERY_PLAIN: Duration = Duration::from_secs(5);

impl Progress {
    /// Begins; `label` says what goes on.
    pub fn new(label: impl Into<String>) -> Self {
        let now = Instant::now();
        Self {
            label: label.into(),
            terminal: io::stderr().is_terminal(),
            started: now,
            shown: Mutex::new(now),
        }
    }

    /// `done` of `total` bytes are through. Cheap: shows at most some lines a second.
    pub fn step(&self, done: u64, total: u64) {
        let every = if self.terminal { EVERY_TERMINAL } else { EVERY_PLAIN };
        let Ok(mut shown) = self.shown.lock() else { return };
        if shown.elapsed() < every {
            return;
        }
        *shown = Instant::now();
        let rate = bytes(rate(done, self.started.elapsed()));
        let line = format!("{}: {} of {}, {rate}/s", self.label, bytes(done), bytes(total));
        talk_raw(&if self.terminal { format!("\r\x1b[K{line}") } else { format!("{line}\n") });
    }

    /// All of `total` bytes are through.
    pub fn finish(self, total: u64) {
        let elapsed = self.started.elapsed();
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        talk(&format!(
            "{clear}{}: {} in {} ({}/s)",
            self.label,
            bytes(total),
            self::micros(micros),
            bytes(rate(total, elapsed))
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_ignore_colours() {
        let red = Style { colour: true }.bad("no");
        let rows = vec![
            vec!["a".into(), red.clone(), "x".into()],
            vec!["long".into(), "yes".into(), "y".into()],
        ];
        assert_eq!(columns(&rows), format!("a     {red}   x\nlong  yes  y\n"));
    }

    #[test]
    fn rates() {
        assert_eq!(rate(1_000, Duration::from_millis(500)), 2_000);
        assert_eq!(rate(5, Duration::ZERO), 5_000_000);
        assert_eq!(rate(u64::MAX, Duration::ZERO), u64::MAX);
    }

    #[test]
    fn plain_style_paints_nothing() {
        assert_eq!(Style::PLAIN.bad("x"), "x");
    }

    #[test]
    fn sizes_and_times_for_people() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(37_628), "37.6 kB");
        assert_eq!(bytes(5_000_000), "5.0 MB");
        assert_eq!(micros(12), "12 µs");
        assert_eq!(micros(1_500), "1.5 ms");
        assert_eq!(micros(2_500_000), "2.50 s");
    }
}
