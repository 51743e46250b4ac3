// SPDX-License-Identifier: Apache-2.0

//! A user at a real Drawbridge: log in, register, publish, look, fetch, log out.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use testkit::oidc::{DevIssuer, Running};

use std::path::PathBuf;
use std::process::Command;

use crate::home::{Home, now, put};
use crate::require;

/// A Drawbridge, its issuer, and a home for the user's files.
struct World {
    home: Home,
    issuer: DevIssuer,
    _issuer: Running,
}

impl std::ops::Deref for World {
    type Target = Home;

    fn deref(&self) -> &Home {
        &self.home
    }
}

impl World {
    fn new() -> Self {
        let (issuer, running) = testkit::oidc::spawn(0, Some("alice"), Arc::new(now)).unwrap();
        Self { home: Home::new(issuer.issuer()), issuer, _issuer: running }
    }

    fn login(&self) {
        let (code, _, stderr) =
            self.enarx(&format!("user login HOST --oidc-issuer {}", self.issuer.issuer()));
        assert_eq!(code, 0, "{stderr}");
        assert!(
            stderr.contains("open http://127.0.0.1:")
                && stderr.ends_with("new there? `enarx user register HOST/NAME`\n"),
            "{stderr}"
        );
    }
}

#[test]
fn a_user_publishes_and_fetches_a_package() {
    let world = World::new();
    let (code, _, stderr) = world.enarx("repo register HOST/alice/app");
    assert_eq!(
        (code, stderr.as_str()),
        (1, "error: not logged in to HOST\n  next: log in with `enarx user login HOST`\n")
    );
    world.login();
    let token = world.path("data/enarx/tokens").join(format!("{}.json", world.host));
    assert_eq!(fs::metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);
    let (code, stdout, _) = world.enarx("user whoami HOST");
    assert_eq!(code, 0);
    assert!(stdout.contains("subject   alice\n"), "{stdout}");

    assert_eq!(world.enarx("user register HOST/alice").0, 0);
    assert_eq!(world.enarx("repo register HOST/alice/app --private --discoverable").0, 0);

    let package = world.path("package");
    fs::create_dir_all(package.join("etc")).unwrap();
    put(&package.join("main.wasm"), b"\0asm\x01\0\0\0");
    put(&package.join("Enarx.toml"), b"steward = \"https://attest.example.com\"\n");
    put(&package.join("etc/motd"), b"hello");
    let (code, stdout, stderr) = world.enarx("package publish HOST/alice/app:0.1.0 package");
    assert_eq!(code, 0, "{stderr}");
    let slug = stdout.trim_end().to_owned();
    assert!(slug.starts_with("HOST/alice/app:0.1.0@sha256:"), "{stdout}");
    assert!(stderr.contains("next: `enarx deploy HOST/alice/app:0.1.0@sha256:"), "{stderr}");
    let (code, stdout, stderr) = world.enarx("package publish HOST/alice/app:0.1.0 package --json");
    assert_eq!(code, 0);
    assert!(
        stdout.contains("\"already\":true")
            && stderr.contains("there already, with these very files"),
        "{stdout} {stderr}"
    );
    put(&package.join("etc/motd"), b"changed");
    let (code, _, stderr) = world.enarx("package publish HOST/alice/app:0.1.0 package");
    assert_eq!(code, 1);
    assert!(stderr.starts_with("error: cannot publish HOST/alice/app:0.1.0\n  why: "), "{stderr}");

    let (code, stdout, _) = world.enarx("repo info HOST/alice/app");
    assert_eq!(code, 0);
    assert!(
        stdout.contains("attested Keeps; anybody may learn digest and Steward\n")
            && stdout.contains("0.1.0\n"),
        "{stdout}"
    );
    let (code, stdout, _) = world.enarx("package info HOST/alice/app:0.1.0 --json");
    assert_eq!(code, 0);
    assert!(stdout.contains("\"steward\":\"https://attest.example.com\""), "{stdout}");

    let (code, stdout, stderr) = world.enarx(&format!("package fetch {slug} copy"));
    assert_eq!((code, stdout.trim_end()), (0, slug.as_str()), "{stderr}");
    assert_eq!(fs::read(world.path("copy/etc/motd")).unwrap(), b"hello");
    let other = format!("HOST/alice/app:0.1.0@sha256:{}", "0".repeat(64));
    let (code, _, stderr) = world.enarx(&format!("package fetch {other} other"));
    assert_eq!(code, 1);
    assert!(stderr.contains("the name pins sha256:0000"), "{stderr}");
    assert!(!world.path("other").exists());

    // What has arrived is not fetched again, and what does not belong there goes.
    put(&package.join("etc/motd"), b"hello");
    let (code, stdout, _) = world.enarx("tree digest package");
    let digest = slug.split_once('@').unwrap().1;
    assert_eq!((code, stdout.trim_end()), (0, digest));
    let partial = format!("again.{}.partial", &digest["sha256:".len()..][..16]);
    fs::create_dir_all(world.path(&partial).join("etc")).unwrap();
    put(&world.path(&partial).join("etc/motd"), b"hello");
    put(&world.path(&partial).join("main.wasm"), b"\0asm\x01\0\0\x01");
    put(&world.path(&partial).join("etc/.motd.1.new"), b"he");
    let (code, _, stderr) = world.enarx("package fetch HOST/alice/app:0.1.0 again");
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("1 of 3 files were there already\n"), "{stderr}");
    assert_eq!(world.enarx("tree digest again").1.trim_end(), digest);
    assert!(!world.path("again/etc/.motd.1.new").exists() && !world.path(&partial).exists());

    // Parts of it.
    let (code, stdout, stderr) = world.enarx("tree info HOST/alice/app:0.1.0");
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("etc/motd\n") && stderr.contains("3 files, "), "{stdout} {stderr}");
    let (_, stdout, _) = world.enarx("tree info HOST/alice/app:0.1.0 --path etc --json");
    assert!(stdout.contains("\"path\":\"motd\"") && stdout.contains(digest), "{stdout}");
    assert_eq!(world.enarx("tree fetch HOST/alice/app:0.1.0 --path etc part").0, 0);
    assert_eq!(fs::read(world.path("part/motd")).unwrap(), b"hello");
    assert_eq!(world.enarx("tree fetch HOST/alice/app:0.1.0 --path etc/motd motd").0, 0);
    assert_eq!(fs::read(world.path("motd")).unwrap(), b"hello");
    assert_eq!(world.enarx("tree fetch HOST/alice/app:0.1.0 --path etc/motd motd").0, 1);
    let (code, _, stderr) = world.enarx("tree fetch HOST/alice/app:0.1.0 --path etc/none none");
    assert_eq!(code, 1);
    assert!(stderr.contains("nothing at this path"), "{stderr}");
    for bad in ["../x", "/etc", "a//b"] {
        let command = format!("tree fetch HOST/alice/app:0.1.0 --path {bad} none");
        assert_eq!(world.enarx(&command).0, 1, "{bad}");
    }

    // Found, by those who may see it.
    let (code, stdout, _) = world.enarx("repo list HOST/alice");
    assert_eq!((code, stdout.as_str()), (0, "HOST/alice/app  0.1.0  1 version  private\n"));
    let (_, stdout, _) = world.enarx("repo list alice --host HOST --json");
    assert!(
        stdout.contains(
            "{\"name\":\"alice/app\",\"newest\":\"0.1.0\",\"public\":false,\"versions\":1}"
        ),
        "{stdout}"
    );
    let (_, stdout, _) = world.enarx("repo search HOST ALI app --limit 5");
    assert!(stdout.starts_with("HOST/alice/app "), "{stdout}");
    let (code, _, stderr) = world.enarx("repo search HOST other");
    assert_eq!((code, stderr.as_str()), (0, "nothing was found that you may see\n"));
    assert_eq!(world.enarx("repo list alice").0, 2);

    // Taken back, and that taken back.
    let (code, _, stderr) = world.enarx("package yank HOST/alice/app:0.1.0 --reason leaks-keys");
    assert_eq!(code, 0, "{stderr}");
    let (code, stdout, stderr) = world.enarx("package info HOST/alice/app:0.1.0");
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("yanked    leaks-keys: no new Keep starts it\n"), "{stdout}");
    let (_, stdout, _) = world.enarx("package info HOST/alice/app:0.1.0 --json");
    assert!(stdout.contains("\"yanked\":{\"reason\":\"leaks-keys\",\"yanked_at\":"), "{stdout}");
    let (_, stdout, _) = world.enarx("repo info HOST/alice/app");
    assert!(!stdout.contains("0.1.0"), "{stdout}");
    assert_eq!(world.enarx("package yank HOST/alice/app:0.1.0 --reason other").0, 0);
    assert_eq!(world.enarx("package yank HOST/alice/app:0.1.0 --reason  ").0, 2);
    assert_eq!(world.enarx("package unyank HOST/alice/app:0.1.0").0, 0);
    assert_eq!(world.enarx("package unyank HOST/alice/app:0.1.0").0, 1);

    // Without the token, only what Keeps must know.
    let (code, _, stderr) = world.enarx("user logout HOST");
    assert_eq!((code, stderr.as_str()), (0, "logged out of HOST\n"));
    assert!(!token.exists());
    assert_eq!(world.enarx("package info HOST/alice/app:0.1.0").0, 0);
    let (code, stdout, stderr) = world.enarx("repo list HOST/alice");
    assert_eq!(
        (code, stdout.as_str(), stderr.as_str()),
        (0, "", "alice has none that you may see\n")
    );
    let (code, _, stderr) = world.enarx("package fetch HOST/alice/app:0.1.0 other");
    assert_eq!(code, 1);
    assert!(
        stderr.starts_with("error: cannot fetch HOST/alice/app:0.1.0\n")
            && stderr.contains("  next: "),
        "{stderr}"
    );
}

#[test]
fn packages_are_signed_and_verified() {
    let world = World::new();
    world.login();
    let ok = |words: &str| {
        let (code, stdout, stderr) = world.enarx(words);
        assert_eq!(code, 0, "{words}: {stdout}{stderr}");
        (stdout, stderr)
    };
    let refused = |words: &str, why: &str| {
        let (code, stdout, stderr) = world.enarx(words);
        assert_eq!(code, 1, "{words}: {stdout}{stderr}");
        assert!(format!("{stdout}{stderr}").contains(why), "{words}: {stdout}{stderr}");
    };
    ok("user register HOST/alice");
    ok("repo register HOST/alice/app --require-signature");
    let package = world.path("package");
    fs::create_dir_all(&package).unwrap();
    put(&package.join("main.wasm"), b"\0asm\x01\0\0\0");
    put(&package.join("Enarx.toml"), b"steward = \"https://attest.example.com\"\n");

    // A key, which is nobody else's to read, and not overwritten.
    let kid = ok("package keygen release.key").0.trim_end().to_owned();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(world.path("release.key")), 0o600);
    refused("package keygen release.key", "not overwritten");
    let other = ok("package keygen other.key").0.trim_end().to_owned();
    // It signs nothing before it is one of the owner's.
    refused("package publish HOST/alice/app:0.1.0 package --sign release.key", "signature.key");
    assert_eq!(ok("user keys add HOST/alice --key release.key --name laptop").0.trim_end(), kid);
    assert!(ok("user keys list HOST/alice").0.starts_with(&format!("{kid}  laptop")));
    let deploy = |words: &str| ok(&format!("package info {words}")).0;
    let published = ok("package publish HOST/alice/app:0.1.0 package --sign release.key").0;
    let slug = published.trim_end();
    assert!(deploy(slug).contains("attest.example.com"));
    // Signing again is no error; signing other files is one.
    assert_eq!(ok("package sign HOST/alice/app:0.1.0 package --key release.key").0, published);
    assert!(
        ok("package sign HOST/alice/app:0.1.0 --key release.key").1.contains("registry's word")
    );
    let (stdout, stderr) = ok("package verify HOST/alice/app:0.1.0");
    assert!(stdout.contains(&format!("good, by {kid} (laptop)")), "{stdout}");
    assert!(stderr.contains("the registry says") && stderr.contains(slug), "{stderr}");

    // Whom one believes: keys in files of every kind, and not just any.
    ok(&format!("package verify {slug} --key release.key"));
    let jwks = ok("user keys list HOST/alice --json").0;
    put(&world.path("alice.jwks"), jwks.as_bytes());
    let (stdout, _) = ok("package verify HOST/alice/app:0.1.0 --keys alice.jwks --json");
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&json["verified"], &json["keys_of_registry"]), (&true.into(), &false.into()));
    let jwk = serde_json::from_str::<serde_json::Value>(&jwks).unwrap()["keys"][0].to_string();
    put(&world.path("alice.jwk"), jwk.as_bytes());
    ok("package verify HOST/alice/app:0.1.0 --key alice.jwk");
    refused("package verify HOST/alice/app:0.1.0 --key other.key", "none of its signatures counts");
    refused("package verify HOST/alice/app:0.1.0 --key other.key --json", "signature.key");
    put(&world.path("empty.jwks"), b"{\"keys\":[]}");
    refused("package verify HOST/alice/app:0.1.0 --keys empty.jwks", "none of its signatures");
    let zeros = "0".repeat(64);
    refused(&format!("package verify HOST/alice/app:0.1.0@sha256:{zeros}"), "the name pins");
    // The registry's own key, as its operator prints it.
    let mut show = Command::new(require("drawbridge"));
    let show = show.args(["key", "show", "--store"]).arg(world.path("store")).output().unwrap();
    put(&world.path("registry.pem"), &show.stdout);
    let (stdout, _) = ok("package verify HOST/alice/app:0.1.0 --registry-key registry.pem");
    assert!(stdout.contains("registry   good, by "), "{stdout}");
    refused(
        "package verify HOST/alice/app:0.1.0 --registry-key other.key",
        "not signed by the key",
    );

    // Other files than those that are there are not signed.
    put(&package.join("extra"), b"x");
    refused(
        "package sign HOST/alice/app:0.1.0 package --key release.key",
        "and the files are sha256:",
    );
    fs::set_permissions(world.path("other.key"), fs::Permissions::from_mode(0o644)).unwrap();
    refused("package sign HOST/alice/app:0.1.0 --key other.key", "others can read it (mode 644)");
    fs::set_permissions(world.path("other.key"), fs::Permissions::from_mode(0o600)).unwrap();

    // A second key, and the first is revoked: whoever believes it hears of that.
    ok("user keys add HOST/alice --key other.key --name other");
    ok(&format!("user keys remove HOST/alice {kid}"));
    assert!(ok("user keys list HOST/alice").0.contains("revoked"));
    refused("package verify HOST/alice/app:0.1.0", "signature.required");
    ok(&format!("package sign {slug} --key other.key"));
    let (stdout, _) = ok("package verify HOST/alice/app:0.1.0");
    assert!(
        stdout.contains(&format!("refused, by {kid}: the signature's key is revoked")),
        "{stdout}"
    );
    assert!(stdout.contains(&format!("good, by {other} (other)")), "{stdout}");
    refused(
        "package verify HOST/alice/app:0.1.0 --keys alice.jwks",
        "none of its signatures counts",
    );
    refused("user keys remove HOST/alice nobody", "has no key nobody");
    ok(&format!("user keys remove HOST/alice {kid} --forget"));
    assert!(!ok("user keys list HOST/alice").0.contains(&kid));
    ok("repo set HOST/alice/app --require-signature false");
    assert!(!ok("repo info HOST/alice/app").0.contains("signature"));
}

#[test]
fn what_a_keep_would_refuse_is_not_published() {
    let world = World::new();
    world.login();
    let package = world.path("package");
    fs::create_dir_all(&package).unwrap();
    put(&package.join("main.wasm"), b"\0asm\x01\0\0\0");
    put(&package.join("Enarx.toml"), b"colour = 1\n");
    let (code, _, stderr) = world.enarx("package publish HOST/alice/app:0.1.0 package");
    assert_eq!(code, 1);
    assert!(
        stderr.contains("package/Enarx.toml is not valid")
            && stderr.contains("unknown key `colour`"),
        "{stderr}"
    );
    fs::remove_file(package.join("Enarx.toml")).unwrap();
    put(&package.join("main.wasm"), b"(module)");
    let (code, _, stderr) = world.enarx("package publish HOST/alice/app:0.1.0 package");
    assert_eq!(code, 1);
    assert!(stderr.contains("main.wasm is no WebAssembly module"), "{stderr}");
}

#[test]
fn a_user_cannot_take_what_is_somebody_elses() {
    let world = World::new();
    world.login();
    assert_eq!(world.enarx("user register HOST/alice").0, 0);
    let claims =
        world.issuer.claims("mallory", &enarx::login::audience(&world.host), enarx::oidc::SCOPES);
    let token = world.issuer.mint(&claims, testkit::oidc::Algorithm::Es256).unwrap();
    let (code, _, stderr) =
        world.enarx(&format!("repo register HOST/alice/app --insecure-auth-token {token}"));
    assert_eq!(code, 1);
    assert!(
        stderr.starts_with("error: cannot register HOST/alice/app\n  why: ")
            && !stderr.contains(&token),
        "{stderr}"
    );
}

#[test]
fn owners_say_who_may_do_what() {
    let world = World::new();
    let enarx = |words: &str| {
        let (code, stdout, stderr) = world.enarx(words);
        assert_eq!(code, 0, "{words}: {stderr}");
        (stdout, stderr)
    };
    let refused = |words: &str, why: &str| {
        let (code, _, stderr) = world.enarx(words);
        assert!(code != 0 && stderr.contains(why), "{words}: {code} {stderr}");
    };
    refused("token list HOST/alice", "not logged in");
    world.login();
    enarx("user register HOST/alice");
    enarx("repo register HOST/alice/app --private");

    // Release policies: checked here first, then by version.
    put(&world.path("bad.toml"), b"[[release]]\ntee = [\"snq\"]\n");
    for words in ["repo policy check bad.toml", "repo policy set HOST/alice/app bad.toml"] {
        refused(words, "2 | tee = [\"snq\"]");
    }
    put(&world.path("good.toml"), b"[[release]]\ntee = [\"snp\"]\n");
    put(&world.path("ugly.toml"), b"[[release]]\ninsecure-release-to-simulated = true\n");
    assert!(enarx("repo policy check good.toml").1.contains("1 rules"));
    assert!(enarx("repo policy check ugly.toml").1.contains("protects nothing"));
    assert!(enarx("repo policy show HOST/alice/app").1.contains("wrote none"));
    assert!(enarx("repo policy set HOST/alice/app good.toml").1.contains("version 1 "));
    assert!(enarx("repo policy set HOST/alice/app ugly.toml").1.contains("version 2 "));
    refused("repo policy set HOST/alice/app good.toml --replaces 1", "read it again");
    assert!(enarx("repo policy show HOST/alice/app").0.contains("insecure"));
    assert!(enarx("repo policy show HOST/alice/app --version 1").0.contains("snp"));
    let (json, _) = enarx("repo policy show HOST/alice/app --json");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (json["version"].as_u64(), json["versions"].as_array().unwrap().len()),
        (Some(2), 2)
    );

    // Tokens: shown once, listed without their secret, good for nothing once revoked.
    let scopes = "--scope read:drawbridge_repositories --scope read:drawbridge_tags";
    let (token, _) =
        enarx(&format!("token create HOST/alice --name ci --repo app {scopes} --for 1h"));
    let token = token.trim_end();
    assert!(token.starts_with("dbt_alice_"), "{token}");
    let (list, _) = enarx("token list HOST/alice");
    assert!(list.contains("  ci  ") && !list.contains("dbt_"), "{list}");
    enarx("user logout HOST");
    enarx(&format!("repo info HOST/alice/app --insecure-auth-token {token}"));
    refused(&format!("token list HOST/alice --insecure-auth-token {token}"), "logged in");
    world.login();
    let id = list.split(' ').next().unwrap();
    enarx(&format!("token revoke HOST/alice {id}"));
    refused(&format!("repo info HOST/alice/app --insecure-auth-token {token}"), "revoked");
    refused(
        &format!("token revoke HOST/alice {id}"),
        "see them with `enarx token list HOST/alice`",
    );
    refused("token revoke HOST/alice x", "16 hex digits");
    refused("token create HOST/alice --name x --repo app --scope all", "no token can have");
    refused(&format!("token create HOST/alice --name x --repo app {scopes} --for 1"), "--for");

    // Organisations and rights.
    refused("org register HOST/acme --owner nobody", "no user nobody");
    enarx("org register HOST/acme --owner alice");
    refused("org set HOST/acme bob writer", "no user bob");
    enarx("org set HOST/acme alice --team dev");
    let (shown, _) = enarx("org show HOST/acme");
    assert!(shown.contains("alice") && shown.contains("in the team dev"), "{shown}");
    refused("org remove HOST/acme alice", "must be an owner");
    refused("org remove HOST/acme bob", "no such user");
    enarx("repo register HOST/acme/app --private");
    enarx("repo access grant HOST/acme/app dev writer --team");
    refused("repo access grant HOST/acme/app ops writer --team", "no team");
    assert!(enarx("repo access show HOST/acme/app").0.contains("team  dev  writer"));
    enarx("repo access revoke HOST/acme/app dev --team");
    assert_eq!(enarx("repo access show HOST/acme/app --json").0, "{\"users\":{},\"teams\":{}}\n");
}

#[test]
fn owners_say_who_reads_and_whose_machines_publish() {
    let (machines, _machines) = testkit::oidc::spawn(0, None, Arc::new(now)).unwrap();
    let (people, _people) = testkit::oidc::spawn(0, Some("alice"), Arc::new(now)).unwrap();
    let home = Home::with(people.issuer(), &["--trusted-issuer", machines.issuer()]);
    let enarx = |words: &str| {
        let (code, stdout, stderr) = home.enarx(words);
        assert_eq!(code, 0, "{words}: {stderr}");
        (stdout, stderr)
    };
    let refused = |words: &str, why: &str| {
        let (code, _, stderr) = home.enarx(words);
        assert!(code != 0 && stderr.contains(why), "{words}: {code} {stderr}");
    };
    enarx(&format!("user login HOST --oidc-issuer {}", people.issuer()));
    enarx("user register HOST/alice");
    enarx("repo register HOST/alice/app");
    let anonymous = |words: &str| {
        let mut command = home.command(words);
        command.env("XDG_DATA_HOME", home.path("nobody"));
        command.output().unwrap().status.success()
    };
    assert!(anonymous("repo info HOST/alice/app"));
    refused("repo set HOST/alice/app", "--public|--private|--discoverable");
    refused("repo set HOST/alice/app --public --private", "cannot be used with");
    refused("repo set HOST/alice/none --private", "cannot change HOST/alice/none");
    for (flag, said) in [
        ("--private", "attested Keeps that know the digest"),
        ("--discoverable", "anybody may learn digest and Steward"),
    ] {
        assert!(enarx(&format!("repo set HOST/alice/app {flag}")).1.contains(said));
        assert!(enarx("repo info HOST/alice/app").0.contains(said));
        assert!(!anonymous("repo info HOST/alice/app"));
    }
    assert!(enarx("repo set HOST/alice/app --discoverable").1.contains("so already"));
    assert!(enarx("repo set HOST/alice/app --public").1.ends_with("is read by anybody\n"));
    assert!(anonymous("repo info HOST/alice/app"));

    // Publishers, of one repository and of all.
    assert!(enarx("repo publishers show HOST/alice/app").1.contains("there are no rules"));
    let rule = |issuer: &str, more: &str| {
        format!(
            r#"{{"publishers":[{{"name":"ci","issuer":"{issuer}","audience":"ci","claims":{{"repository":"a/b"}}{more}}}]}}"#
        )
    };
    let write = |name: &str, text: &str| put(&home.path(name), text.as_bytes());
    write("one.json", &rule(machines.issuer(), ""));
    write("all.json", &rule(machines.issuer(), r#","repos":["app*"]"#));
    write("foreign.json", &rule("https://evil.example.com", ""));
    write("no.json", r#"{"publishers":[{"name":"ci"}]}"#);
    write("none.json", r#"{"publishers":[]}"#);
    refused("repo publishers set HOST/alice/app no.json", "no.json has no rules");
    refused("repo publishers set HOST/alice/app all.json", "such rules as in all.json");
    refused("org publishers set HOST/alice one.json", "such rules as in one.json");
    refused("repo publishers set HOST/alice/app foreign.json", "does not trust the issuer");
    assert!(enarx("repo publishers set HOST/alice/app one.json").1.contains("has 1 rules"));
    let (shown, _) = enarx("repo publishers show HOST/alice/app");
    assert!(shown.contains("ci  repository  a/b\n"), "{shown}");
    assert_eq!(
        enarx("repo publishers show HOST/alice/app --json").0.trim_end(),
        rule(machines.issuer(), "")
    );
    // Who publishes by such a rule does, until it is gone.
    let mut claims = machines.claims("job", "ci", "");
    claims.more.insert("repository".into(), "a/b".into());
    let token = machines.mint(&claims, testkit::oidc::Algorithm::Es256).unwrap();
    put(&home.path("main.wasm"), b"\0asm\x01\0\0\0");
    let publish = |tag: &str| {
        format!("package publish HOST/alice/app:{tag} main.wasm --insecure-auth-token {token}")
    };
    enarx(&publish("1.0.0"));
    enarx("repo publishers set HOST/alice/app none.json");
    refused(&publish("1.0.1"), "cannot publish");
    enarx("org publishers set HOST/alice all.json");
    assert!(enarx("org publishers show HOST/alice").0.contains("publishes to  app*\n"));
    enarx(&publish("1.0.1"));
}
