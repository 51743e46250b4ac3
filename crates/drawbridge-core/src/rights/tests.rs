// SPDX-License-Identifier: Apache-2.0

use super::*;

fn org(text: &str) -> OrgDocument {
    serde_json::from_str(text).unwrap()
}

#[test]
fn roles_contain_each_other() {
    assert!(Role::Reader < Role::Writer && Role::Writer < Role::Owner);
    assert_eq!(serde_json::to_string(&Role::Writer).unwrap(), "\"writer\"");
    assert!(serde_json::from_str::<Role>("\"Owner\"").is_err());
}

#[test]
fn organisations_that_stand_and_those_that_do_not() {
    let good = org(r#"{"members":{"ann":"owner","bob":"reader"},"teams":{"dev":["carol"]}}"#);
    good.check().unwrap();
    assert_eq!(good.users().into_iter().collect::<Vec<_>>(), ["ann", "bob", "carol"]);
    for (bad, why) in [
        (r#"{"members":{}}"#, "must be an owner"),
        (r#"{"members":{"ann":"writer"}}"#, "must be an owner"),
        (r#"{"members":{"ann":"owner","a/b":"reader"}}"#, "no name of a user"),
        (r#"{"members":{"ann":"owner"},"teams":{"_":[]}}"#, "no name of a team"),
        (r#"{"members":{"ann":"owner"},"teams":{"a":[""]}}"#, "no name of a user"),
    ] {
        assert!(org(bad).check().unwrap_err().contains(why), "{bad}");
    }
    let mut many = good.clone();
    many.members.extend((0..=limits::MEMBERS_MAX).map(|n| (format!("u{n}"), Role::Reader)));
    assert!(many.check().unwrap_err().contains("at most"));
    let mut many = good;
    many.teams.extend((0..=limits::TEAMS_MAX).map(|n| (format!("t{n}"), BTreeSet::new())));
    assert!(many.check().unwrap_err().contains("teams"));
    for bad in [r#"{}"#, r#"{"members":{"ann":"boss"}}"#, r#"{"members":{},"x":1}"#] {
        assert!(serde_json::from_str::<OrgDocument>(bad).is_err(), "{bad}");
    }
}

#[test]
fn repositories_name_teams_that_are_there() {
    let teams = BTreeMap::from([("dev".to_owned(), BTreeSet::new())]);
    let access: AccessDocument =
        serde_json::from_str(r#"{"users":{"bob":"reader"},"teams":{"dev":"writer"}}"#).unwrap();
    access.check(&teams).unwrap();
    assert!(access.check(&BTreeMap::new()).unwrap_err().contains("no team"));
    let access: AccessDocument = serde_json::from_str(r#"{"users":{"b b":"reader"}}"#).unwrap();
    assert!(access.check(&teams).unwrap_err().contains("no name of a user"));
}

fn publisher(change: impl FnOnce(&mut Publisher)) -> Result<(), Flaw> {
    let mut publisher = Publisher {
        name: "ci".to_owned(),
        issuer: "https://token.example.com".to_owned(),
        audience: "store".to_owned(),
        claims: BTreeMap::from([
            ("repository_id".to_owned(), "17".to_owned()),
            ("ref".to_owned(), "refs/tags/v*".to_owned()),
        ]),
        repos: Vec::new(),
    };
    change(&mut publisher);
    PublishersDocument { publishers: vec![publisher] }.check(false)
}

#[test]
fn publishers_say_whose_tokens_they_mean() {
    publisher(|_| {}).unwrap();
    let set = |claim: &'static str, value: &'static str| {
        move |p: &mut Publisher| {
            p.claims.insert(claim.to_owned(), value.to_owned());
        }
    };
    for (flaw, why) in [
        (publisher(|p| p.claims.clear()), "whose token"),
        (publisher(|p| drop(p.claims.remove("repository_id"))), "whose token"),
        (publisher(set("repository_id", "*")), "* is taken in"),
        (publisher(set("sub", "repo:acme/*")), "* is taken in"),
        (publisher(set("aud", "x")), "cannot be ruled"),
        (publisher(set("exp", "x")), "cannot be ruled"),
        (publisher(set("a", "")), "1 to"),
        (publisher(|p| p.issuer.clear()), "1 to"),
        (publisher(|p| p.audience = "x".repeat(2000)), "1 to"),
        (publisher(|p| p.name = "a b".to_owned()), "name"),
        (publisher(|p| p.repos = vec!["app".to_owned()]), "rules of an owner"),
    ] {
        let flaw = flaw.unwrap_err();
        assert!(flaw.contains(why), "{flaw}");
    }
}

#[test]
fn publishers_of_owners_name_repositories() {
    let mut rules = PublishersDocument::default();
    rules.check(true).unwrap();
    rules.publishers.push(Publisher {
        name: "ci".to_owned(),
        issuer: "i".to_owned(),
        audience: "a".to_owned(),
        claims: BTreeMap::from([("sub".to_owned(), "x".to_owned())]),
        repos: vec!["app".to_owned(), "tool-*".to_owned()],
    });
    rules.check(true).unwrap();
    let mut twice = rules.clone();
    twice.publishers.push(rules.publishers[0].clone());
    assert!(twice.check(true).unwrap_err().contains("two publishers"));
    for bad in ["", "a*b", "**", "a/b", "-é"] {
        rules.publishers[0].repos = vec![bad.to_owned()];
        assert!(rules.check(true).is_err(), "{bad}");
    }
    rules.publishers[0].repos.clear();
    assert!(rules.check(true).unwrap_err().contains("must name"));
}

#[test]
fn patterns_name_repositories() {
    let patterns = |list: &[&str]| list.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
    assert!(names_repo(&patterns(&["*"]), "app"));
    assert!(names_repo(&patterns(&["x", "app"]), "app"));
    assert!(names_repo(&patterns(&["ap*"]), "app"));
    for list in [&[][..], &["ap"], &["appx"], &["b*"], &["app-*"]] {
        assert!(!names_repo(&patterns(list), "app"), "{list:?}");
    }
}

#[test]
fn wishes_for_tokens_are_bounded() {
    let good = TokenRequest {
        name: "laptop".to_owned(),
        scopes: BTreeSet::from(["read:drawbridge_tags".to_owned()]),
        repos: vec!["*".to_owned()],
        expires_in: 3600,
    };
    good.check().unwrap();
    let scope = |scope: &str| BTreeSet::from([scope.to_owned()]);
    for (bad, why) in [
        (TokenRequest { name: String::new(), ..good.clone() }, "name"),
        (TokenRequest { name: "a\nb".into(), ..good.clone() }, "name"),
        (TokenRequest { scopes: BTreeSet::new(), ..good.clone() }, "empty"),
        (TokenRequest { scopes: scope("manage:drawbridge_users"), ..good.clone() }, "no token can"),
        (TokenRequest { scopes: scope("write:drawbridge_users"), ..good.clone() }, "no token can"),
        (TokenRequest { repos: Vec::new(), ..good.clone() }, "empty"),
        (TokenRequest { repos: vec!["/".into()], ..good.clone() }, "names no repository"),
        (TokenRequest { expires_in: 0, ..good.clone() }, "expires_in"),
        (TokenRequest { expires_in: u64::MAX, ..good.clone() }, "expires_in"),
    ] {
        let flaw = bad.check().unwrap_err();
        assert!(flaw.contains(why), "{flaw}");
    }
}

#[test]
fn a_new_token_is_not_shown_by_debug() {
    let info = TokenInfo {
        id: "00".into(),
        name: "n".into(),
        kind: TokenKind::Robot,
        scopes: BTreeSet::new(),
        repos: Vec::new(),
        created_at: 0,
        expires_at: 1,
    };
    let shown = format!("{:?}", TokenCreated { token: "dbt_secret".into(), info });
    assert!(!shown.contains("secret"), "{shown}");
}
