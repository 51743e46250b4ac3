// SPDX-License-Identifier: Apache-2.0

//! What of an upload can be shown as text.

use std::fmt::Write as _;

/// The bytes as text to be shown; `None` if they are none. Characters that make other text look different from what it is are
/// written as their numbers.
pub(super) fn shown(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' | '\r' => out.push(c),
            c if c.is_control() => return None,
            c if misleads(c) => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\u{27e8}U+{:04X}\u{27e9}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    Some(out)
}

/// Marks of direction, and what cannot be seen (Unicode 16, chapter 23.2 and 23.3).
const fn misleads(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A number of bytes for people, and exactly.
pub(super) fn size(count: u64) -> String {
    let tenth = |unit: u64| format!("{}.{}", count / unit, count % unit * 10 / unit);
    match count {
        1 => "1 byte".to_owned(),
        0..1_000 => format!("{count} bytes"),
        1_000..1_000_000 => format!("{} kB", tenth(1_000)),
        1_000_000..1_000_000_000 => format!("{} MB", tenth(1_000_000)),
        _ => format!("{} GB", tenth(1_000_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_as_what_it_is() {
        assert_eq!(shown(b"a = 1\n\t# <b>\r\n").unwrap(), "a = 1\n\t# <b>\r\n");
        assert_eq!(shown("ü\u{202e}x\u{feff}".as_bytes()).unwrap(), "ü⟨U+202E⟩x⟨U+FEFF⟩");
        for none in [&b"\0asm"[..], b"\xff", b"a\x1b[31m"] {
            assert_eq!(shown(none), None);
        }
    }

    #[test]
    fn sizes_for_people() {
        for (count, expected) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1_999, "1.9 kB"),
            (12_345_678, "12.3 MB"),
            (4_000_000_000, "4.0 GB"),
        ] {
            assert_eq!(size(count), expected);
        }
    }
}
