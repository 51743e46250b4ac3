// SPDX-License-Identifier: Apache-2.0

//! Which request this is: W3C Trace Context (Recommendation of 2021-11-23), header `traceparent`.

use std::fmt;
use std::sync::OnceLock;

use axum::http::HeaderMap;
use rustls::crypto::SecureRandom;

/// Header with the caller's trace and span.
const TRACEPARENT: &str = "traceparent";
/// Length of `00-<32 hex>-<16 hex>-<2 hex>`.
const VERSION_0_BYTES: usize = 55;

/// The name of one request: the trace that it belongs to, taken from the client's `traceparent` or made up here. 32
/// lower-case hex digits, never all zero.
///
/// In every request's extensions, in every line that is logged for it, in the header `x-request-id` of its answer and
/// in problem documents. A client that says `traceparent` chooses it: it tells requests apart, and proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(u128);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Where a request stands in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) id: RequestId,
    /// The caller's span, if it said one.
    pub(crate) parent: Option<u64>,
    /// Our own span.
    pub(crate) span: u64,
    /// Whether the caller may have recorded its part.
    pub(crate) sampled: bool,
}

impl Trace {
    /// The trace that these headers name, or a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let span = random().max(1);
        let mut values = headers.get_all(TRACEPARENT).iter();
        let named = match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok().and_then(parse),
            _ => None,
        };
        match named {
            Some((id, parent, sampled)) => Self { id, parent: Some(parent), span, sampled },
            None => {
                let id = (u128::from(random()) << 64) | u128::from(random());
                Self { id: RequestId(id.max(1)), parent: None, span, sampled: false }
            }
        }
    }
}

/// Trace, parent and whether it is sampled. Versions after 00 may carry more, which is ignored (section 4.3).
fn parse(value: &str) -> Option<(RequestId, u64, bool)> {
    let bytes = value.as_bytes();
    let fits = match value.get(..2)? {
        "ff" => false,
        "00" => bytes.len() == VERSION_0_BYTES,
        _ => bytes.len() == VERSION_0_BYTES || bytes.get(VERSION_0_BYTES) == Some(&b'-'),
    };
    if !fits {
        return None;
    }
    let mut fields = value.get(..VERSION_0_BYTES)?.split('-');
    let mut field = |digits: usize| {
        let field = fields.next().filter(|field| field.len() == digits)?;
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        field.bytes().all(hex).then(|| u128::from_str_radix(field, 16).ok()).flatten()
    };
    let _version = field(2)?;
    let id = field(32).filter(|id| *id != 0)?;
    let parent = u64::try_from(field(16).filter(|parent| *parent != 0)?).ok()?;
    let flags = field(2)?;
    Some((RequestId(id), parent, flags & 1 == 1))
}

/// Ids only have to differ. If the system gives no random bytes, they do not.
fn random() -> u64 {
    static SOURCE: OnceLock<&'static dyn SecureRandom> = OnceLock::new();
    let source = SOURCE.get_or_init(|| rustls::crypto::aws_lc_rs::default_provider().secure_random);
    let mut bytes = [0; 8];
    let _ = source.fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(values: &[&str]) -> Trace {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, value.parse().unwrap());
        }
        Trace::of(&headers)
    }

    #[test]
    fn a_valid_trace_is_taken_over() {
        let trace = of(&[GOOD]);
        assert_eq!(trace.id.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!((trace.parent, trace.sampled), (Some(0xb7ad_6b71_6920_3331), true));
        assert!(!of(&[&GOOD.replace("-01", "-00")]).sampled);
        let newer = GOOD.replacen("00", "cc", 1);
        assert_eq!(of(&[&newer]).id, trace.id);
        assert_eq!(of(&[&format!("{newer}-what-comes-then")]).id, trace.id);
    }

    #[test]
    fn anything_else_starts_a_new_one() {
        let id = GOOD.get(3..35).unwrap();
        for bad in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &GOOD.replacen("00", "ff", 1),
            &GOOD.replacen("00", "0g", 1),
            &format!("{GOOD}-more"),
            &format!("{}x", GOOD.replacen("00", "cc", 1)),
            &GOOD.replace("b7ad6b7169203331", "0000000000000000"),
            &GOOD.replace(id, &"0".repeat(32)),
            &GOOD.replace("-01", "-0x"),
            &GOOD.replace("-b7", "b7-"),
            &GOOD.replace("0a", "+a"),
        ] {
            let trace = of(&[bad]);
            assert!(trace.parent.is_none() && trace.id.to_string() != id, "{bad}");
        }
        assert!(of(&[GOOD, GOOD]).parent.is_none(), "one of two is a guess");
        assert_ne!(of(&[]).id, of(&[]).id);
        assert_ne!(of(&[]).span, of(&[]).span);
    }
}
