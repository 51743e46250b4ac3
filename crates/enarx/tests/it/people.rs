// SPDX-License-Identifier: Apache-2.0

//! People of a real OpenID provider (npm `oidc-provider`) at a real Drawbridge. The test plays the browser, by plain HTTP.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use testkit::oidc_provider::OidcProvider;

use crate::home::Home;

/// A browser that does what its user would: follows, signs in, agrees or not.
struct Browser {
    agent: ureq::Agent,
    cookies: BTreeMap<String, String>,
    user: &'static str,
    agrees: bool,
}

impl Browser {
    fn new(user: &'static str) -> Self {
        let agent = enarx::reach::agent_with("").unwrap();
        Self { agent, cookies: BTreeMap::new(), user, agrees: true }
    }

    /// Goes to a page and on from there, until there is nothing left to fill in; what it shows then.
    fn visit(&mut self, url: &str) -> String {
        let (mut url, mut form) = (url.to_owned(), None);
        for _ in 0..20 {
            let over = form.iter().flatten().any(|(name, _): &(String, String)| name == "abort");
            let (status, place, body) = self.ask(&url, form.take());
            if let Some(place) = place.filter(|_| (300..400).contains(&status)) {
                url = absolute(&url, &place);
                continue;
            }
            assert!(status == 200 || !self.agrees, "{status} {url} {body}");
            let Some((action, fields)) = self.fill_in(&body).filter(|_| !over) else {
                return body;
            };
            url = absolute(&url, &action);
            form = fields;
        }
        panic!("no end: {url}");
    }

    fn ask(&mut self, url: &str, form: Option<Fields>) -> (u16, Option<String>, String) {
        let cookies: Vec<_> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let mut answer = match form {
            None => self.agent.get(url).header("cookie", cookies).call().unwrap(),
            Some(form) => self.agent.post(url).header("cookie", cookies).send_form(form).unwrap(),
        };
        for cookie in answer.headers().get_all("set-cookie") {
            let (name, value) =
                cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let place =
            answer.headers().get("location").map(|place| place.to_str().unwrap().to_owned());
        (answer.status().as_u16(), place, answer.body_mut().read_to_string().unwrap())
    }

    /// Where the page wants its form sent, and what is in it; without a form, nothing. Who does not agree follows the way out.
    fn fill_in(&self, page: &str) -> Option<(String, Option<Fields>)> {
        let form = page.split("<form").nth(1)?;
        if !self.agrees {
            let out = page
                .split("href=\"")
                .skip(1)
                .find_map(|rest| rest.split('"').next().filter(|place| place.ends_with("/abort")));
            if let Some(out) = out {
                return Some((out.to_owned(), None));
            }
        }
        let action = attribute(form.split('>').next().unwrap(), "action").unwrap();
        let form = form.split("</form>").next().unwrap();
        let mut fields: Fields = form
            .split("<input")
            .skip(1)
            .filter_map(|input| {
                let input = input.split('>').next().unwrap();
                let name = attribute(input, "name")?;
                let value = match name.as_str() {
                    "login" => self.user.to_owned(),
                    "password" => "any".to_owned(),
                    _ => attribute(input, "value").unwrap_or_default(),
                };
                Some((name, value))
            })
            .collect();
        if !self.agrees && page.contains("name=\"abort\"") {
            fields.retain(|(name, _)| name != "confirm");
            fields.push(("abort".to_owned(), "yes".to_owned()));
        }
        Some((action, Some(fields)))
    }
}

type Fields = Vec<(String, String)>;

fn attribute(tag: &str, name: &str) -> Option<String> {
    let rest = tag.split(&format!(" {name}=\"")).nth(1)?;
    Some(rest.split('"').next().unwrap().replace("&amp;", "&").replace("&#x2F;", "/"))
}

fn absolute(from: &str, place: &str) -> String {
    if place.starts_with("http") {
        return place.to_owned();
    }
    assert!(place.starts_with('/'), "{place}");
    format!("{}{place}", from.splitn(4, '/').take(3).collect::<Vec<_>>().join("/"))
}

/// Logs in, the browser going where standard error says; exit code and all that was said.
fn log_in(
    home: &Home,
    provider: &OidcProvider,
    more: &str,
    browser: &mut Browser,
) -> (i32, String) {
    let words = format!("user login HOST --oidc-issuer {} {more}", provider.issuer());
    let words = words.trim_end();
    let mut child =
        home.command(words).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while stderr.read_line(&mut said).unwrap() > 0 {
        if let Some((_, url)) = said.trim_end().rsplit_once(" http://127.0.0.1") {
            browser.visit(&format!("http://127.0.0.1{url}"));
            break;
        }
    }
    stderr.read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code().unwrap(), said)
}

fn stored(home: &Home) -> serde_json::Value {
    serde_json::from_slice(&fs::read(home.tokens()).unwrap()).unwrap()
}

fn text<'a>(json: &'a serde_json::Value, path: &str) -> &'a str {
    json.pointer(path).unwrap().as_str().unwrap()
}

#[test]
fn people_log_in_by_their_browser_and_out_again() {
    let Some(provider) =
        OidcProvider::start(3600, "people_log_in_by_their_browser_and_out_again").unwrap()
    else {
        return;
    };
    let home = Home::new(provider.issuer());
    let mut alice = Browser::new("alice");
    let (code, said) = log_in(&home, &provider, "--browser", &mut alice);
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("open in a browser here: http://127.0.0.1"), "{said}");
    assert_eq!(fs::metadata(home.tokens()).unwrap().permissions().mode() & 0o777, 0o600);
    let token = stored(&home);
    let secrets = ["/access_token", "/refresh/token"].map(|path| text(&token, path).to_owned());
    let (code, stdout, stderr) = home.enarx("user info HOST --json");
    assert_eq!(code, 0, "{stderr}");
    let info: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((text(&info, "/subject"), info["renews"].as_bool()), ("alice", Some(true)));
    assert_eq!(text(&info, "/issuer"), provider.issuer());
    for said in [&said, &stdout, &stderr] {
        assert!(!secrets.iter().any(|secret| said.contains(secret)));
    }
    // The registry takes the token for what it says.
    assert_eq!(home.enarx("user register HOST/alice").0, 0);
    assert_eq!(home.enarx("repo register HOST/alice/app --private").0, 0);
    assert_eq!(home.enarx("repo info HOST/alice/app").0, 0);
    // Another person is another.
    let (code, said) = log_in(&home, &provider, "--browser", &mut Browser::new("bob"));
    assert_eq!(code, 0, "{said}");
    assert_eq!(home.enarx("repo info HOST/alice/app").0, 1);
    // Who logs out has the issuer take the refresh token no more.
    let kept = fs::read(home.tokens()).unwrap();
    let (code, _, stderr) = home.enarx("user logout HOST");
    assert_eq!((code, stderr.as_str()), (0, "logged out of HOST, and the tokens were revoked\n"));
    let mut copied: serde_json::Value = serde_json::from_slice(&kept).unwrap();
    copied["expires"] = "2001-01-01T00:00:00Z".into();
    fs::write(home.tokens(), copied.to_string()).unwrap();
    fs::set_permissions(home.tokens(), fs::Permissions::from_mode(0o600)).unwrap();
    let (code, _, stderr) = home.enarx("user register HOST/bob");
    assert_eq!(code, 1);
    assert!(
        stderr.contains("takes this login no more") && stderr.contains("invalid_grant"),
        "{stderr}"
    );
    assert!(stored(&home).get("refresh").is_none());
    // Nobody is logged in who did not agree.
    let mut carol = Browser { agrees: false, ..Browser::new("carol") };
    let (code, said) = log_in(&home, &provider, "--browser", &mut carol);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the request was denied there"), "{said}");
}

#[test]
fn people_log_in_with_a_code() {
    let Some(provider) = OidcProvider::start(3600, "people_log_in_with_a_code").unwrap() else {
        return;
    };
    let home = Home::new(provider.issuer());
    // For somebody else: the registry does not take it.
    let more = "--device --oidc-audience https://else.example.com/";
    assert_eq!(log_in(&home, &provider, more, &mut Browser::new("alice")).0, 0);
    let (code, _, stderr) = home.enarx("user register HOST/alice");
    assert!(code == 1 && stderr.contains("another audience"), "{stderr}");
    // By itself: there is no browser here.
    let (code, said) = log_in(&home, &provider, "", &mut Browser::new("alice"));
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("open http://127.0.0.1") && said.contains("the code "), "{said}");
    assert_eq!(home.enarx("user register HOST/alice").0, 0);
    assert!(!text(&stored(&home), "/refresh/token").is_empty());
    let mut carol = Browser { agrees: false, ..Browser::new("carol") };
    let (code, said) = log_in(&home, &provider, "--device", &mut carol);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("the request was denied there"), "{said}");
}

#[test]
fn the_browser_of_the_user_is_called() {
    let test = "the_browser_of_the_user_is_called";
    let Some(provider) = OidcProvider::start(3600, test).unwrap() else {
        return;
    };
    let home = Home::new(provider.issuer());
    let pipe = home.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let words = format!("user login HOST --oidc-issuer {}", provider.issuer());
    let mut command = home.command(&words);

    // A browser that only says where it was sent.
    let script = home.path("browser");
    crate::home::put(&script, format!("#!/bin/sh\necho \"$1\" > {}\n", pipe.display()).as_bytes());
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    command.env("BROWSER", &script);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let url = fs::read_to_string(&pipe).unwrap();
    Browser::new("alice").visit(url.trim_end());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    assert!(said.starts_with(&format!("your browser shows {url}")), "{said}");
    assert_eq!(home.enarx("user register HOST/alice").0, 0);
}

#[test]
fn logins_go_on_by_themselves_and_two_programs_lose_none() {
    // Tokens that are about to end from the first moment on.
    let test = "logins_go_on_by_themselves_and_two_programs_lose_none";
    let Some(mut provider) = OidcProvider::start(30, test).unwrap() else {
        return;
    };
    let home = Home::new(provider.issuer());
    let (code, said) = log_in(&home, &provider, "--browser", &mut Browser::new("alice"));
    assert_eq!(code, 0, "{said}");
    let first = stored(&home);
    assert_eq!(home.enarx("user register HOST/alice").0, 0);
    let second = stored(&home);
    for path in ["/access_token", "/refresh/token"] {
        assert_ne!(text(&first, path), text(&second, path), "{path} was not renewed");
    }
    // This provider ends the whole login when a refresh token comes twice.
    let programs: Vec<_> = (0..4)
        .map(|number| {
            let words = format!("repo register HOST/alice/app{number}");
            home.command(&words).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for program in programs {
        let output = program.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && !said.contains("warning"), "{said}");
    }
    let before = stored(&home);
    let (code, _, said) = home.enarx("repo register HOST/alice/last");
    assert!(code == 0 && !said.contains("warning"), "{said}");
    assert_ne!(text(&before, "/refresh/token"), text(&stored(&home), "/refresh/token"));
    // While the provider is away, what is still good is used.
    provider.stop().unwrap();
    let (code, _, stderr) = home.enarx("repo register HOST/alice/later");
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn keys_of_every_kind_rotate_without_a_restart() {
    let Some(mut provider) =
        OidcProvider::start(3600, "keys_of_every_kind_rotate_without_a_restart").unwrap()
    else {
        return;
    };
    let home = Home::new(provider.issuer());
    let mut old = Vec::new();
    for round in 0..2 {
        for client in ["enarx-cli", "enarx-rs256", "enarx-ps256", "enarx-eddsa"] {
            let more = format!("--browser --oidc-client-id {client}");
            let (code, said) = log_in(&home, &provider, &more, &mut Browser::new("alice"));
            assert_eq!(code, 0, "{client}: {said}");
            let token = text(&stored(&home), "/access_token").to_owned();
            let (code, _, stderr) = home.enarx(&format!("user register HOST/alice{round}"));
            assert_eq!(code, 0, "{client}: {stderr}");
            old.push(token);
        }
        if round == 0 {
            provider.restart().unwrap();
        }
    }
    // What was signed by keys that are gone opens nothing.
    for token in &old[..4] {
        let words = format!("user register HOST/alice0 --insecure-auth-token {token}");
        let (code, _, stderr) = home.enarx(&words);
        assert_eq!(code, 1);
        assert!(stderr.contains("no key of the token's key id"), "{stderr}");
        assert!(!stderr.contains(token.as_str()));
    }
    for token in &old[4..] {
        let words = format!("user register HOST/alice1 --insecure-auth-token {token}");
        assert_eq!(home.enarx(&words).0, 0);
    }
}
