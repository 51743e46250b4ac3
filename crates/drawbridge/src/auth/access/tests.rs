// SPDX-License-Identifier: Apache-2.0

//! The whole table (caller × repository × action, and scope × action) as a snapshot: `table.txt`. To accept a change of it, run
//! the test with `BLESS=1` and read the difference.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use drawbridge_core::rights::Publisher;
use serde_json::json;

use super::decide as access_decide;
use super::*;

const TABLE: &str = include_str!("table.txt");
const SCOPES: [&str; 9] = [
    "read:drawbridge_users",
    "write:drawbridge_users",
    "manage:drawbridge_users",
    "read:drawbridge_repositories",
    "write:drawbridge_repositories",
    "manage:drawbridge_repositories",
    "read:drawbridge_tags",
    "write:drawbridge_tags",
    "manage:drawbridge_tags",
];

fn all() -> BTreeSet<String> {
    SCOPES.iter().map(|s| (*s).to_owned()).collect()
}

fn person(subject: &str) -> Caller {
    Caller::Person(Person { subject: subject.to_owned(), scopes: all() })
}

fn grant(owner: &str, kind: TokenKind, subject: &str, repos: &[&str]) -> Grant {
    Grant {
        owner: UserName::new(owner).unwrap(),
        id: "0".repeat(16),
        kind,
        subject: subject.to_owned(),
        scopes: all(),
        repos: repos.iter().map(|r| (*r).to_owned()).collect(),
    }
}

fn machine(repository: &str) -> Caller {
    let claims = json!({"repository": repository});
    Caller::Machine(Verified {
        issuer: "https://ci".into(),
        subject: "x".into(),
        audiences: vec!["store".into()],
        scopes: BTreeSet::new(),
        claims: claims.as_object().unwrap().clone(),
    })
}

/// An organisation with a repository that gives rights besides.
struct Scene {
    name: UserName,
    owner: OwnerRecord,
    access: AccessRecord,
    rules: Vec<Publisher>,
}

fn acme() -> Scene {
    let owner = json!({
        "organisation": {
            "members": {"ann": "owner", "wim": "writer", "ria": "reader"},
            "teams": {"dev": ["tim"]},
        },
        "subjects": {"ann": "ann", "wim": "wim", "ria": "ria", "tim": "tim"},
    });
    let access = json!({
        "access": {"users": {"gus": "reader", "max": "owner"}, "teams": {"dev": "writer"}},
        "subjects": {"gus": "gus", "max": "max"},
    });
    let rule = Publisher {
        name: "ci".into(),
        issuer: "https://ci".into(),
        audience: "store".into(),
        claims: BTreeMap::from([("repository".into(), "acme/app".into())]),
        repos: Vec::new(),
    };
    Scene {
        name: UserName::new("acme").unwrap(),
        owner: serde_json::from_value(owner).unwrap(),
        access: serde_json::from_value(access).unwrap(),
        rules: vec![rule],
    }
}

/// A user with a repository, and nothing else.
fn user() -> Scene {
    Scene {
        name: UserName::new("ann").unwrap(),
        owner: serde_json::from_value(json!({"subject": "ann"})).unwrap(),
        access: AccessRecord::default(),
        rules: Vec::new(),
    }
}

fn facts<'a>(scene: &'a Scene, repo: Option<RepoRecord>, keep: Option<&'a Verdict>) -> Facts<'a> {
    Facts {
        name: &scene.name,
        owner: Some(&scene.owner),
        repo_name: Some("app"),
        repo,
        access: Some(&scene.access),
        publishers: Rules { repo: &scene.rules, owner: &[] },
        tag: repo.is_some(),
        keep,
    }
}

fn short(result: &Result<Granted, Denied>) -> &'static str {
    match result {
        Ok(Granted::Public) => "PUBLIC",
        Ok(Granted::Role(None)) => "ANY",
        Ok(Granted::Role(Some(role))) => match role {
            Role::Owner => "OWNER",
            Role::Writer => "WRITER",
            Role::Reader => "READER",
        },
        Ok(Granted::Publisher(_)) => "RULE",
        Ok(Granted::Released(_)) => "KEEP",
        Err(Denied::Unauthenticated) => "log-in",
        Err(Denied::Scope(_)) => "scope",
        Err(Denied::TokenRepo) => "token",
        Err(Denied::PeopleOnly) => "people",
        Err(Denied::NoRule) => "rule",
        Err(Denied::NotOwner) => "other",
        Err(Denied::Role(_)) => "role",
        Err(Denied::NoUser) => "nobody",
        Err(Denied::NotFound) => "none",
        Err(Denied::NotReleased(..)) => "keep",
    }
}

fn callers() -> Vec<(&'static str, Caller, Option<Verdict>)> {
    use TokenKind::{Personal, Robot};
    let token =
        |owner, kind, subject, repos: &[&str]| Caller::Token(grant(owner, kind, subject, repos));
    let keep = |verdict: Verdict| (Caller::Keep(Certificates::default()), Some(verdict));
    let refused = |check| Err((check, "why".to_owned()));
    let (good, released) = keep(Ok("a Keep".to_owned()));
    let (other, not_same) = keep(refused("release.workload"));
    let (foreign, not_known) = keep(refused("chain.path"));
    let (fake, not_genuine) = keep(refused("requirement.genuine"));
    vec![
        ("anonymous", Caller::Anonymous, None),
        ("owner ann", person("ann"), None),
        ("writer wim", person("wim"), None),
        ("reader ria", person("ria"), None),
        ("team writer tim", person("tim"), None),
        ("repository reader gus", person("gus"), None),
        ("repository owner max", person("max"), None),
        ("somebody else", person("eve"), None),
        ("ann's token for ann", token("ann", Personal, "ann", &["*"]), None),
        ("ann's token for ann/other", token("ann", Personal, "ann", &["other"]), None),
        ("ann's token for acme", token("acme", Personal, "ann", &["*"]), None),
        ("ria's token for acme", token("acme", Personal, "ria", &["ap*"]), None),
        ("eve's token for acme", token("acme", Personal, "eve", &["*"]), None),
        ("robot of acme", token("acme", Robot, "ann", &["app"]), None),
        ("robot of acme/other", token("acme", Robot, "ann", &["other", "appx"]), None),
        ("robot of evil", token("evil", Robot, "ann", &["*"]), None),
        ("machine of acme/app", machine("acme/app"), None),
        ("machine of acme/fork", machine("acme/fork"), None),
        ("this Keep", good, released),
        ("another workload's Keep", other, not_same),
        ("another Steward's Keep", foreign, not_known),
        ("simulated Keep", fake, not_genuine),
    ]
}

/// Every caller with every scope, by every kind of repository.
fn table() -> String {
    let repos = [
        ("public", Some(RepoRecord { public: true, ..RepoRecord::default() })),
        ("private", Some(RepoRecord::default())),
        ("discoverable", Some(RepoRecord { discoverable: true, ..RepoRecord::default() })),
        ("missing", None),
    ];
    let mut table = String::new();
    for (scene_name, scene) in [("an organisation's", acme()), ("a user's", user())] {
        for (repo_name, repo) in repos {
            for (who, caller, verdict) in callers() {
                // Keeps are not judged for what is not there.
                let verdict = verdict.as_ref().filter(|_| repo.is_some());
                let facts = facts(&scene, repo, verdict);
                let _ = write!(table, "{scene_name} {repo_name} repository, {who}:");
                for action in Action::ALL {
                    let decision = decide(&caller, action, &facts);
                    let _ = write!(table, " {action:?}={}", short(&decision));
                }
                table.push('\n');
            }
        }
    }
    let scene = acme();
    let private = Some(RepoRecord::default());
    let facts = facts(&scene, private, None);
    for action in Action::ALL {
        let _ = write!(table, "scopes for {action:?}:");
        for scope in SCOPES {
            let scopes = BTreeSet::from([scope.to_owned()]);
            let caller = Caller::Person(Person { subject: "ann".into(), scopes });
            if decide(&caller, action, &facts).is_ok() {
                let _ = write!(table, " {scope}");
            }
        }
        table.push('\n');
    }
    table
}

#[test]
fn everybody_by_everything() {
    let table = table();
    if std::env::var_os("BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/auth/access/table.txt");
        chassis::durable::write(std::path::Path::new(path), table.as_bytes(), 0o644).unwrap();
        return;
    }
    for (now, then) in table.lines().zip(TABLE.lines()) {
        assert_eq!(now, then);
    }
    assert_eq!(table.lines().count(), TABLE.lines().count());
}

/// What must never be, however the table is blessed.
#[test]
fn invariants_of_the_table() {
    let table = table();
    let cell = |row: &str, action: &str| {
        let wanted = format!(" {action}=");
        let at = row.find(&wanted).unwrap() + wanted.len();
        row[at..].split(' ').next().unwrap().to_owned()
    };
    let rows: Vec<&str> = table.lines().filter(|row| !row.starts_with("scopes")).collect();
    assert_eq!(rows.len(), 2 * 4 * callers().len());
    for row in rows {
        let yes = |action: &str| cell(row, action).bytes().all(|b| b.is_ascii_uppercase());
        let who = row.split_once(", ").unwrap().1.split_once(':').unwrap().0;
        let private = !row.contains(" public ");
        let changes = Action::ALL.map(|action| format!("{action:?}"));
        let changes: Vec<_> = changes.iter().filter(|a| a.starts_with("Change")).collect();
        // Only those who are logged in change who may do what.
        if !["owner ann", "repository owner max"].contains(&who) {
            assert!(changes.iter().all(|action| !yes(action)), "{row}");
        }
        let stranger = ["anonymous", "somebody else", "machine of acme/fork", "robot of evil"];
        let keeps = ["another workload's Keep", "another Steward's Keep", "simulated Keep"];
        if private && (stranger.contains(&who) || keeps.contains(&who)) {
            assert!(!yes("ReadTag") && !yes("ListTags") && !yes("WriteTag"), "{row}");
            assert!(!yes("FindRepo"), "{row}");
        }
        // Keeps and machines never see lists of what is private, nor records.
        if who.contains("Keep") || who.contains("machine") {
            assert!(!private || !yes("FindRepo"), "{row}");
            assert!(!yes("ReadRepo") && !yes("Register"), "{row}");
        }
        if who.contains("Keep") || who.starts_with("reader") || who == "ria's token for acme" {
            assert!(!yes("WriteTag"), "{row}");
        }
    }
}

#[test]
fn a_repository_without_that_tag() {
    let scene = user();
    let verdict = Ok("a Keep".to_owned());
    let decide = |caller: &Caller, action, public, discoverable| {
        let repo = Some(RepoRecord { public, discoverable, ..RepoRecord::default() });
        let facts = Facts { tag: false, ..facts(&scene, repo, Some(&verdict)) };
        short(&access_decide(caller, action, &facts))
    };
    let keep = Caller::Keep(Certificates::default());
    for action in [Action::ReadTag, Action::Discover] {
        assert_eq!(decide(&Caller::Anonymous, action, true, false), "none");
        // Whether there is one is not said to everybody.
        assert_eq!(decide(&Caller::Anonymous, action, false, true), "log-in");
        assert_eq!(decide(&person("bob"), action, false, true), "other");
        assert_eq!(decide(&person("ann"), action, false, true), "none");
        assert_eq!(decide(&keep, action, false, true), "keep");
    }
}

#[test]
fn nobodys_names() {
    let scene = user();
    let facts = Facts { owner: None, repo: None, tag: false, ..facts(&scene, None, None) };
    let decide = |caller: &Caller, action| short(&access_decide(caller, action, &facts));
    assert_eq!(decide(&person("bob"), Action::Register), "ANY");
    assert_eq!(decide(&Caller::Anonymous, Action::Register), "log-in");
    let token = Caller::Token(grant("ann", TokenKind::Personal, "ann", &["*"]));
    assert_eq!(decide(&token, Action::Register), "people");
    for action in [Action::ReadOwner, Action::CreateRepo, Action::WriteTag, Action::ReadTag] {
        assert_eq!(decide(&person("bob"), action), "nobody");
    }
    let robot = Caller::Token(grant("ann", TokenKind::Robot, "ann", &["*"]));
    assert_eq!(decide(&robot, Action::WriteTag), "nobody");
}
