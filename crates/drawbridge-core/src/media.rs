// SPDX-License-Identifier: Apache-2.0

//! Media types (docs/FORMATS.md 2.2).

/// A directory of a tree.
pub const DIRECTORY: &str = "application/vnd.drawbridge.directory.v1+json";
/// A tag that is not signed by its author.
pub const ENTRY: &str = "application/vnd.drawbridge.entry.v1+json";
/// A tag signed by its author.
pub const JOSE: &str = "application/jose+json";
/// An owner's signature on a version.
pub const JOSE_COMPACT: &str = "application/jose";
/// Records of users, repositories, lists of tags.
pub const JSON: &str = "application/json";
/// A WebAssembly module or component.
pub const WASM: &str = "application/wasm";
/// A configuration.
pub const TOML: &str = "application/toml";
/// Any other file.
pub const OCTET_STREAM: &str = "application/octet-stream";

/// Longest media type that is taken, in bytes.
const MAX: usize = 127;

/// The type of a file, by its name's extension.
pub fn of_file(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "wasm")) => WASM,
        Some((_, "toml")) => TOML,
        _ => OCTET_STREAM,
    }
}

/// Whether this is a media type as we take it: `type/subtype`, lower case, no parameters.
pub fn valid(media_type: &str) -> bool {
    // RFC 6838 section 4.2, restricted names.
    let part = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$&-^_.+".contains(&b))
    };
    media_type.len() <= MAX
        && media_type.split_once('/').is_some_and(|(kind, sub)| part(kind) && part(sub))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_files() {
        assert_eq!(of_file("main.wasm"), WASM);
        assert_eq!(of_file("Enarx.toml"), TOML);
        for other in ["wasm", "a.WASM", "a.wasm.gz", ""] {
            assert_eq!(of_file(other), OCTET_STREAM, "{other}");
        }
    }

    #[test]
    fn shapes() {
        for good in [DIRECTORY, ENTRY, JOSE, JSON, WASM, TOML, OCTET_STREAM] {
            assert!(valid(good), "{good}");
        }
        for bad in ["", "text", "text/", "/x", "a/b/c", "Text/x", "text/x;q=1", "text/ x", "a/\r"] {
            assert!(!valid(bad), "{bad}");
        }
        assert!(!valid(&format!("a/{}", "b".repeat(MAX))));
    }
}
