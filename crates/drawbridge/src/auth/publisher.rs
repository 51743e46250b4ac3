// SPDX-License-Identifier: Apache-2.0

//! Trusted publishing: which owner's rule takes a machine's token (docs/FORMATS.md 2.9).

use drawbridge_core::rights::{GLOB_CLAIMS, Publisher, names_repo};
use serde_json::Value;

use super::jwt::Verified;

/// The rules that can let a machine publish to one repository.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules<'a> {
    /// Of the repository.
    pub repo: &'a [Publisher],
    /// Of its owner; they name the repositories that they are for.
    pub owner: &'a [Publisher],
}

impl<'a> Rules<'a> {
    /// The first rule that takes this token for the repository of that name.
    pub fn takes(self, token: &Verified, repo: &str) -> Option<&'a Publisher> {
        let owners = self.owner.iter().filter(|rule| names_repo(&rule.repos, repo));
        self.repo.iter().chain(owners).find(|rule| takes(rule, token))
    }
}

fn takes(rule: &Publisher, token: &Verified) -> bool {
    rule.issuer == token.issuer
        && token.audiences.contains(&rule.audience)
        && rule.claims.iter().all(|(name, wanted)| {
            token.claims.get(name).is_some_and(|found| claim(name, wanted, found))
        })
}

/// Whether a claim is as wanted. Numbers and truth values count by their JSON; lists and objects never fit.
fn claim(name: &str, wanted: &str, found: &Value) -> bool {
    match found {
        Value::String(text) if GLOB_CLAIMS.contains(&name) => glob(wanted, text),
        Value::String(text) => text == wanted,
        Value::Number(number) => number.to_string() == wanted,
        Value::Bool(truth) => truth.to_string() == wanted,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// Whether `text` is as `pattern` says, in which `*` stands for any characters, or none.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    // Each part at its first place: if it fits anywhere, it fits so.
    for part in parts {
        match text.find(part).and_then(|at| text.get(at + part.len()..)) {
            Some(behind) => text = behind,
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn token() -> Verified {
        let claims = json!({
            "repository_id": 17, "repository": "acme/app", "ref": "refs/tags/v1.2",
            "private": true, "list": ["acme/app"], "none": null,
        });
        Verified {
            issuer: "https://ci".into(),
            subject: "repo:acme/app".into(),
            audiences: vec!["x".into(), "store".into()],
            scopes: BTreeSet::new(),
            claims: claims.as_object().unwrap().clone(),
        }
    }

    fn rule(claims: &[(&str, &str)]) -> Publisher {
        Publisher {
            name: "ci".into(),
            issuer: "https://ci".into(),
            audience: "store".into(),
            claims: claims.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
            repos: Vec::new(),
        }
    }

    #[test]
    fn all_of_a_rule_has_to_hold() {
        let good = [("repository_id", "17"), ("repository", "acme/app"), ("ref", "refs/tags/v*")];
        let takes = |rule: Publisher| takes(&rule, &token());
        assert!(takes(rule(&good)));
        assert!(takes(rule(&[("private", "true")])));
        assert!(!takes(Publisher { issuer: "https://ci/".into(), ..rule(&good) }));
        assert!(!takes(Publisher { audience: "stor".into(), ..rule(&good) }));
        for bad in [
            ("repository_id", "170"),
            ("repository", "acme/app2"),
            ("repository", "acme/*"),
            ("ref", "refs/heads/*"),
            ("ref", "tags/*"),
            ("missing", "x"),
            ("list", "acme/app"),
            ("list", "[\"acme/app\"]"),
            ("none", "null"),
            ("private", "false"),
        ] {
            assert!(!takes(rule(&[good[0], bad])), "{bad:?}");
        }
    }

    #[test]
    fn rules_of_owners_are_for_the_repositories_they_name() {
        let mut of_owner = rule(&[("repository", "acme/app")]);
        of_owner.repos = vec!["app".into(), "tool-*".into()];
        let owner = [of_owner];
        let rules = Rules { repo: &[], owner: &owner };
        assert!(rules.takes(&token(), "app").is_some());
        assert!(rules.takes(&token(), "tool-x").is_some());
        assert!(rules.takes(&token(), "apps").is_none());
        let repo = [rule(&[("repository", "acme/app")])];
        assert!(Rules { repo: &repo, owner: &[] }.takes(&token(), "anything").is_some());
        assert!(Rules::default().takes(&token(), "app").is_none());
    }

    #[test]
    fn globs() {
        for (pattern, text) in [
            ("a", "a"),
            ("*", ""),
            ("*", "x"),
            ("a*", "a"),
            ("a*c", "abc"),
            ("a*b*c", "aXbYbZc"),
            ("**", "x"),
        ] {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a", "b"),
            ("a", "aa"),
            ("", "a"),
            ("a*", "ba"),
            ("a*a", "a"),
            ("a*b*c", "acb"),
            ("*.x", "a.xy"),
        ] {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }

    proptest! {
        /// Against what a pattern means, spelled out.
        #[test]
        fn globs_mean_what_they_mean(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
            fn slow(pattern: &str, text: &str) -> bool {
                match pattern.strip_prefix('*') {
                    Some(rest) => (0..=text.len()).any(|at| slow(rest, &text[at..])),
                    None if pattern.is_empty() => text.is_empty(),
                    None => text.starts_with(&pattern[..1]) && slow(&pattern[1..], &text[1..]),
                }
            }
            prop_assert_eq!(glob(&pattern, &text), slow(&pattern, &text));
        }

        /// A token that lacks anything that a rule wants is not taken, whatever else it has.
        #[test]
        fn more_claims_never_help(name in "[a-e]", more in prop::collection::btree_map("[a-d]", "[xy]", 0..4)) {
            let claims: BTreeMap<String, String> = more;
            let mut token = token();
            token.claims = claims.iter().map(|(n, v)| (n.clone(), json!(v))).collect();
            let wanted = rule(&[(name.as_str(), "x")]);
            prop_assert_eq!(takes(&wanted, &token), claims.get(&name).is_some_and(|v| v == "x"));
        }
    }
}
