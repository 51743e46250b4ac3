// SPDX-License-Identifier: Apache-2.0

//! The name of a key in a token (RFC 7512), and what is needed to use it:
//!
//! ```text
//! pkcs11:token=steward;object=ca?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/steward/pin
//! ```
//!
//! Attributes that are not known here are refused: ignoring one could name another key. `pin-value` is refused as well: a
//! command line is no place for a PIN.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use types::limits;

use crate::authority::signer::SCHEME;

/// A key in a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uri {
    /// Label of the token.
    pub token: Option<String>,
    /// Manufacturer of the token.
    pub manufacturer: Option<String>,
    /// Model of the token.
    pub model: Option<String>,
    /// Serial number of the token.
    pub serial: Option<String>,
    /// Number of the slot.
    pub slot_id: Option<u64>,
    /// Label of the key.
    pub object: Option<String>,
    /// Identifier of the key.
    pub id: Option<Vec<u8>>,
    /// The file with the user's PIN; none if the token asks for none.
    pub pin_source: Option<PathBuf>,
    /// The token's library.
    pub module_path: PathBuf,
    /// As it was given.
    given: String,
}

/// Why a text names no key in a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriError(String);

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the PKCS#11 URI {}", self.0)
    }
}

impl std::error::Error for UriError {}

fn wrong(why: impl Into<String>) -> UriError {
    UriError(why.into())
}

/// What an attribute stands for: percent-decoded (RFC 3986 section 2.1).
fn decode(name: &str, value: &str) -> Result<Vec<u8>, UriError> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let pair = [rest.next(), rest.next()].map(|digit| digit.unwrap_or(b'%'));
        let mut decoded = [0];
        hex::decode_to_slice(pair, &mut decoded)
            .map_err(|_| wrong(format!("has a % without two hex digits behind it in `{name}`")))?;
        bytes.extend(decoded);
    }
    Ok(bytes)
}

fn text(name: &str, value: &str) -> Result<String, UriError> {
    String::from_utf8(decode(name, value)?).map_err(|_| wrong(format!("has no UTF-8 in `{name}`")))
}

/// Takes what may be given once.
fn set<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), UriError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(wrong(format!("has `{name}` twice"))),
    }
}

fn pairs(part: &str, separator: char) -> impl Iterator<Item = Result<(&str, &str), UriError>> {
    part.split(separator)
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').ok_or_else(|| wrong(format!("has no value for `{pair}`"))))
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(uri: &str) -> Result<Self, Self::Err> {
        if uri.len() > limits::PKCS11_URI_BYTES_MAX {
            return Err(wrong("is too long"));
        }
        let rest = uri.strip_prefix(SCHEME).ok_or_else(|| wrong("begins with `pkcs11:`"))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut this = Self { given: uri.to_owned(), ..Self::default() };
        let mut kind = None;
        for pair in pairs(path, ';') {
            let (name, value) = pair?;
            match name {
                "token" => set(&mut this.token, name, text(name, value)?)?,
                "manufacturer" => set(&mut this.manufacturer, name, text(name, value)?)?,
                "model" => set(&mut this.model, name, text(name, value)?)?,
                "serial" => set(&mut this.serial, name, text(name, value)?)?,
                "object" => set(&mut this.object, name, text(name, value)?)?,
                "id" => set(&mut this.id, name, decode(name, value)?)?,
                "type" => set(&mut kind, name, text(name, value)?)?,
                "slot-id" => {
                    let number =
                        value.parse().map_err(|_| wrong("has a `slot-id` that is no number"))?;
                    set(&mut this.slot_id, name, number)?;
                }
                _ => return Err(wrong(format!("has an attribute that is not known: `{name}`"))),
            }
        }
        let mut module = None;
        for pair in pairs(query, '&') {
            let (name, value) = pair?;
            match name {
                "module-path" => set(&mut module, name, PathBuf::from(text(name, value)?))?,
                "pin-source" => {
                    let source = text(name, value)?;
                    // `file:/path` and `file:///path` (RFC 8089), and the bare path.
                    let path = source.strip_prefix("file:").unwrap_or(&source);
                    let path = path.strip_prefix("//").unwrap_or(path);
                    if !path.starts_with('/') {
                        return Err(wrong("has a `pin-source` that is no absolute path of a file"));
                    }
                    set(&mut this.pin_source, name, PathBuf::from(path))?;
                }
                "pin-value" => {
                    return Err(wrong(
                        "has a `pin-value`, where others can read it; write the PIN to a file of mode 0600 and name that: pin-source=file:/path",
                    ));
                }
                _ => return Err(wrong(format!("has an attribute that is not known: `{name}`"))),
            }
        }
        if kind.is_some_and(|kind| kind != "private") {
            return Err(wrong("names no private key: `type` is another"));
        }
        if this.object.is_none() && this.id.is_none() {
            return Err(wrong("names no key; give `object` (its label) or `id`"));
        }
        this.module_path = module.filter(|path| path.is_absolute()).ok_or_else(|| {
            wrong("names no library; give its absolute path: ?module-path=/usr/lib/….so")
        })?;
        Ok(this)
    }
}

impl Uri {
    /// The URI as it was given, with what is needed to use the key.
    pub fn as_given(&self) -> &str {
        &self.given
    }
}

/// Without what is needed to use the key: where the PIN is, is for nobody's eyes.
impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.given.split('?').next().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: &str = "?module-path=/usr/lib/x.so";

    #[test]
    fn a_full_uri() {
        let uri: Uri = "pkcs11:token=My%20token;manufacturer=M;model=m;serial=1;slot-id=7;object=ca;id=%00%aB;type=private?pin-source=file:/etc/pin&module-path=/usr/lib/x.so".parse().unwrap();
        assert_eq!(uri.token.as_deref(), Some("My token"));
        assert_eq!((uri.manufacturer.as_deref(), uri.model.as_deref()), (Some("M"), Some("m")));
        assert_eq!((uri.serial.as_deref(), uri.slot_id), (Some("1"), Some(7)));
        assert_eq!((uri.object.as_deref(), uri.id.as_deref()), (Some("ca"), Some(&[0, 0xab][..])));
        assert_eq!(uri.pin_source, Some(PathBuf::from("/etc/pin")));
        assert_eq!(uri.module_path, PathBuf::from("/usr/lib/x.so"));
        assert!(!uri.to_string().contains("pin"), "{uri}");
        for source in ["/etc/pin", "file:///etc/pin", "file%3A/etc/pin"] {
            let uri: Uri = format!("pkcs11:id=a{TAIL}&pin-source={source}").parse().unwrap();
            assert_eq!(uri.pin_source, Some(PathBuf::from("/etc/pin")), "{source}");
        }
    }

    #[test]
    fn what_names_no_key_is_refused() {
        for (text, words) in [
            ("", "begins with"),
            ("/etc/ca.key", "begins with"),
            ("pkcs11:", "names no key"),
            ("pkcs11:token=a", "names no key"),
            ("pkcs11:object", "no value"),
            ("pkcs11:object=a;object=b", "twice"),
            ("pkcs11:object=a;x-vendor=b", "x-vendor"),
            ("pkcs11:object=a;type=public", "private key"),
            ("pkcs11:object=%4", "hex digits"),
            ("pkcs11:object=%zz", "hex digits"),
            ("pkcs11:object=%", "hex digits"),
            ("pkcs11:object=%ff", "UTF-8"),
            ("pkcs11:object=a;slot-id=x", "no number"),
        ] {
            let error = format!("{text}{TAIL}").parse::<Uri>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        for (query, words) in [
            ("", "no library"),
            ("?module-path=libx.so", "absolute"),
            ("?module-path=/x.so&module-path=/x.so", "twice"),
            ("?module-path=/x.so&pin-value=1234", "others can read it"),
            ("?module-path=/x.so&pin-source=pin", "absolute path"),
            ("?module-path=/x.so&pin-source=%7Ccommand", "absolute path"),
            ("?module-path=/x.so&module-name=x", "module-name"),
        ] {
            let error = format!("pkcs11:object=a{query}").parse::<Uri>().unwrap_err().to_string();
            assert!(error.contains(words), "{query}: {error}");
            assert!(!error.contains("1234"), "{error}");
        }
        let long = format!("pkcs11:object={}{TAIL}", "a".repeat(limits::PKCS11_URI_BYTES_MAX));
        assert!(long.parse::<Uri>().is_err());
    }
}
