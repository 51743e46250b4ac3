// SPDX-License-Identifier: Apache-2.0

//! What a reader asks of content: only if it changed, only a range of it (RFC 9110 sections 13 and 14).
//!
//! The entity tag is the digest. Of ranges the one of `bytes=a-b`, `bytes=a-` and `bytes=-n` is served; several, or what is
//! no range, are answered with the whole, as the standard allows.

use std::ops::Range;

use axum::http::header::{IF_NONE_MATCH, IF_RANGE, RANGE};
use axum::http::{HeaderMap, Method};
use drawbridge_core::ContentDigest;

/// The request's side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    /// No bytes at all: HEAD.
    pub(crate) head: bool,
    unless: Option<String>,
    range: Option<String>,
    range_of: Option<String>,
}

/// What there is to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// 200.
    Whole,
    /// 206.
    Part(Range<u64>),
    /// 304.
    NotModified,
    /// 416.
    Unsatisfiable,
}

/// The entity tag of content.
pub(crate) fn tag(digest: &ContentDigest) -> String {
    format!("\"{}\"", digest.sha256())
}

impl Conditions {
    pub(crate) fn read(method: &Method, headers: &HeaderMap) -> Self {
        let text = |value: &axum::http::HeaderValue| value.to_str().ok().map(str::to_owned);
        // A list may come in several headers; of the others more than one is none.
        let listed: Vec<_> = headers.get_all(IF_NONE_MATCH).iter().filter_map(text).collect();
        let one = |name| match headers.get_all(name).iter().collect::<Vec<_>>()[..] {
            [value] => text(value),
            _ => None,
        };
        Self {
            head: method == Method::HEAD,
            unless: (!listed.is_empty()).then(|| listed.join(",")),
            range: one(RANGE),
            range_of: one(IF_RANGE),
        }
    }

    /// What the answer is for content with this entity tag and length in bytes.
    pub(crate) fn answer(&self, tag: &str, length: u64) -> Answer {
        // Weak tags compare like strong ones here.
        let is = |other: &str| other.trim().trim_start_matches("W/") == tag;
        if let Some(unless) = &self.unless
            && (unless.trim() == "*" || unless.split(',').any(is))
        {
            return Answer::NotModified;
        }
        let of_this = self.range_of.as_ref().is_none_or(|of| of.trim() == tag);
        match &self.range {
            Some(range) if of_this && !self.head => match parse(range, length) {
                None => Answer::Whole,
                Some(None) => Answer::Unsatisfiable,
                Some(Some(range)) => Answer::Part(range),
            },
            _ => Answer::Whole,
        }
    }
}

/// The bytes that a `Range` header means: `None` if it is not one range of bytes, `Some(None)` if there are none of them.
fn parse(value: &str, length: u64) -> Option<Option<Range<u64>>> {
    let (first, last) = value.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // Larger than any length is as good as infinite.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Some(first), None) if last.is_empty() => first..length,
        (None, Some(count)) if first.is_empty() => length.saturating_sub(count)..length,
        _ => return None,
    };
    Some((range.start < range.end).then_some(range))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::HeaderName;

    use super::*;

    fn asked(method: Method, pairs: &[(HeaderName, &'static str)]) -> Conditions {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_static(value));
        }
        Conditions::read(&method, &headers)
    }

    #[test]
    fn one_range_is_served() {
        for (range, expected) in [
            ("bytes=0-0", Answer::Part(0..1)),
            ("bytes=0-9", Answer::Part(0..10)),
            ("bytes=0-10", Answer::Part(0..10)),
            ("bytes=9-", Answer::Part(9..10)),
            ("bytes=-3", Answer::Part(7..10)),
            ("bytes=-30", Answer::Part(0..10)),
            ("bytes=3-99999999999999999999999", Answer::Part(3..10)),
            ("bytes=10-", Answer::Unsatisfiable),
            ("bytes=99999999999999999999999-", Answer::Unsatisfiable),
            ("bytes=-0", Answer::Unsatisfiable),
            ("bytes=5-4", Answer::Whole),
            ("bytes=0-1,3-4", Answer::Whole),
            ("bytes=a-b", Answer::Whole),
            ("bytes=+1-2", Answer::Whole),
            ("bytes=-", Answer::Whole),
            ("lines=0-1", Answer::Whole),
        ] {
            assert_eq!(
                asked(Method::GET, &[(RANGE, range)]).answer("\"x\"", 10),
                expected,
                "{range}"
            );
        }
        assert_eq!(asked(Method::HEAD, &[(RANGE, "bytes=0-0")]).answer("\"x\"", 10), Answer::Whole);
        assert_eq!(
            asked(Method::GET, &[(RANGE, "bytes=0-")]).answer("\"x\"", 0),
            Answer::Unsatisfiable
        );
        let twice = [(RANGE, "bytes=0-0"), (RANGE, "bytes=1-1")];
        assert_eq!(asked(Method::GET, &twice).answer("\"x\"", 10), Answer::Whole);
    }

    #[test]
    fn conditions_come_first() {
        for (tags, same) in [
            (&["\"x\""][..], true),
            (&["W/\"x\""], true),
            (&["\"y\", \"x\""], true),
            (&["\"y\"", "\"x\""], true),
            (&["*"], true),
            (&["\"y\""], false),
            (&["x"], false),
        ] {
            let mut pairs: Vec<_> = tags.iter().map(|tag| (IF_NONE_MATCH, *tag)).collect();
            pairs.push((RANGE, "bytes=0-0"));
            let expected = if same { Answer::NotModified } else { Answer::Part(0..1) };
            assert_eq!(asked(Method::GET, &pairs).answer("\"x\"", 10), expected, "{tags:?}");
        }
        for (of, expected) in
            [("\"x\"", Answer::Part(0..1)), ("\"y\"", Answer::Whole), ("W/\"x\"", Answer::Whole)]
        {
            let pairs = [(RANGE, "bytes=0-0"), (IF_RANGE, of)];
            assert_eq!(asked(Method::GET, &pairs).answer("\"x\"", 10), expected, "{of}");
        }
    }
}
