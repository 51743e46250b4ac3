// SPDX-License-Identifier: Apache-2.0

//! What follows the question mark in a URL.

/// The parameters of a query. What is no UTF-8 after decoding is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query of a URL, undecoded.
    pub fn parse(query: Option<&str>) -> Self {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        };
        let pairs = query.into_iter().flat_map(|query| query.split('&'));
        Self(pairs.filter(|pair| !pair.is_empty()).filter_map(pair).collect())
    }

    /// The values of a parameter.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }
}

fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

/// Text as a value in a query.
pub fn encode(text: &str) -> String {
    let byte = |b: u8| match b {
        b if b.is_ascii_alphanumeric() || b"-._~/".contains(&b) => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn queries() {
        let query = Query::parse(Some("mount=sha256%3Aab&from=a/b&x&y=%zz&z=a+b&&z=c"));
        let expected =
            [("mount", "sha256:ab"), ("from", "a/b"), ("x", ""), ("z", "a b"), ("z", "c")];
        assert_eq!(query.0, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert_eq!(query.get("z"), Some("a b"));
        assert_eq!(query.get("y"), None);
        assert_eq!(Query::parse(None), Query::default());
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_again(text in ".{0,40}") {
            let query = Query::parse(Some(&format!("a=b&q={}", encode(&text))));
            prop_assert_eq!(query.get("q"), Some(text.as_str()));
        }

        #[test]
        fn no_query_makes_it_panic(text in "[a-z=&%0-9+é]{0,40}") {
            let _ = Query::parse(Some(&text));
        }
    }
}
