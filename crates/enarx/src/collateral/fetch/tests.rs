// SPDX-License-Identifier: Apache-2.0

use std::collections::BTreeMap;

use super::*;

const LONG: Duration = Duration::from_secs(600);

#[test]
fn pauses_double_and_differ() {
    let pauses = |random| -> Vec<u128> {
        (1..=8).map(|n| pause(n, None, LONG, random).unwrap().as_millis()).collect()
    };
    assert_eq!(pauses(0), [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    assert_eq!(pauses(255), [500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000]);
    // No number of attempts overflows.
    assert_eq!(pause(u32::MAX, None, LONG, 255), Ok(PAUSE_MAX));
}

#[test]
fn the_source_may_ask_for_more_but_not_for_more_than_there_is() {
    let seconds = Duration::from_secs;
    assert_eq!(pause(1, Some(seconds(30)), LONG, 0), Ok(seconds(30)));
    assert_eq!(pause(1, Some(seconds(0)), LONG, 0), Ok(PAUSE_FIRST / 2));
    assert_eq!(pause(1, Some(seconds(30)), seconds(30), 0), Err(Some(FetchError::Busy(30))));
    assert_eq!(pause(5, None, seconds(3), 0), Err(None));
}

#[test]
fn addresses_are_whole_and_have_no_secrets() {
    for (text, joined) in [
        ("https://example.com", "https://example.com/a"),
        ("https://example.com/", "https://example.com/a"),
        ("https://example.com:8081/mirror/amd/", "https://example.com:8081/mirror/amd/a"),
        ("http://[::1]:80", "http://[::1]:80/a"),
    ] {
        assert_eq!(Base::parse(text).unwrap().join("/a"), joined);
    }
    for text in [
        "",
        "example.com",
        "/path",
        "file:///etc/passwd",
        "https://",
        "https://user:secret@example.com",
        "https://example.com/?a=b",
        "https://example.com/#x",
    ] {
        assert!(Base::parse(text).is_err(), "{text}");
    }
}

#[test]
fn the_environment_names_the_proxy() {
    let with = |pairs: &[(&str, &str)]| {
        let map: BTreeMap<String, String> =
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        proxy(move |name| map.get(name).cloned())
    };
    assert_eq!(with(&[]), Ok(None));
    assert_eq!(with(&[("HTTPS_PROXY", ""), ("HTTP_PROXY", "http://other:1")]), Ok(None));
    let found = with(&[
        ("ALL_PROXY", "http://other:1"),
        ("https_proxy", "http://user:p%20w@proxy.example.com:3128"),
        ("no_proxy", " localhost, .example.org,,"),
    ]);
    let found = found.unwrap().unwrap();
    assert_eq!((found.host(), found.port()), ("proxy.example.com", 3128));
    assert_eq!((found.username(), found.password()), (Some("user"), Some("p w")));
    let except = |text: &str| found.is_no_proxy(&text.parse().unwrap());
    assert!(except("https://localhost/") && except("https://kds.example.org/"));
    assert!(!except("https://kdsintf.amd.com/"));
    // What cannot be used is an error: going around it silently might not be what the network's owner wants.
    for value in ["socks5://proxy:1080", "ftp://x", "http://"] {
        let failure = with(&[("HTTPS_PROXY", value)]).unwrap_err();
        assert_eq!(failure.code, EXIT_USAGE, "{value}");
        assert!(!failure.to_string().contains("secret"));
    }
}

#[test]
fn texts_of_strangers_are_short_and_harmless() {
    assert_eq!(harmless("  a\u{1b}[31mb\n"), "a\\u{1b}[31mb");
    assert_eq!(harmless(&"x".repeat(1_000)).len(), TEXT_MAX);
}
