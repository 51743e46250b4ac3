// SPDX-License-Identifier: Apache-2.0

//! Logins at an issuer that does what it should not.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::login;
use crate::reach::{agent_with, now};
use crate::tokens::{Refresh, StoredToken, TokenStore};

const SECRET: &str = "refresh-1";
const LONG: Duration = Duration::from_secs(60);
const REQUEST: Request<'_> = Request { client_id: "me", audience: "https://s", scope: SCOPES };

/// Paths with what is answered there: status, and body or where to.
type Answers = Arc<Mutex<HashMap<&'static str, (u16, String)>>>;

/// Forms that were sent, with the path that each was sent to.
type Forms = Mutex<Vec<(String, HashMap<String, String>)>>;

/// An issuer that answers by a table, for as long as the test lasts.
struct Fake {
    issuer: String,
    answers: Answers,
    forms: Arc<Forms>,
}

impl Fake {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let fake = Self { issuer, answers: Answers::default(), forms: Arc::default() };
        let (answers, forms) = (Arc::clone(&fake.answers), Arc::clone(&fake.forms));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answers, forms) = (Arc::clone(&answers), Arc::clone(&forms));
                std::thread::spawn(move || serve(stream.unwrap(), &answers, &forms));
            }
        });
        let at = |path: &str| format!("{}{path}", fake.issuer);
        let document = json!({
            "issuer": fake.issuer,
            "token_endpoint": at("/token"),
            "authorization_endpoint": at("/auth"),
            "device_authorization_endpoint": at("/device"),
            "revocation_endpoint": at("/revoke"),
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": ["openid", "offline_access"],
            "authorization_response_iss_parameter_supported": true,
        });
        fake.set(DISCOVERY, 200, document.to_string());
        fake
    }

    fn set(&self, path: &'static str, status: u16, body: impl Into<String>) {
        self.answers.lock().unwrap().insert(path, (status, body.into()));
    }

    fn discover(&self) -> Result<Provider, Failure> {
        Provider::discover(&agent(), &self.issuer)
    }

    fn forms(&self, path: &str) -> Vec<HashMap<String, String>> {
        let forms = self.forms.lock().unwrap();
        forms.iter().filter(|(at, _)| at == path).map(|(_, form)| form.clone()).collect()
    }

    /// Logs in by a browser that comes back with this query, in which `STATE` and `ISS` stand for the right ones; the token has
    /// this nonce, or the right one.
    fn log_in(&self, query: &str, nonce: Option<&str>) -> Result<Token, Failure> {
        let provider = self.discover().unwrap();
        let mut back = String::new();
        let outcome = code_flow(&agent(), &provider, REQUEST, LONG, &now, |url| {
            let sent = read_form(url.split_once('?').unwrap().1);
            let nonce = nonce.unwrap_or(&sent["nonce"]);
            self.set("/token", 200, good_token(&self.issuer, nonce).to_string());
            let encode =
                |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let query =
                query.replace("STATE", &sent["state"]).replace("ISS", &encode(&self.issuer));
            let (host, path) =
                sent["redirect_uri"].strip_prefix("http://").unwrap().split_once('/').unwrap();
            back = host.to_owned();
            let mut stream = TcpStream::connect(host).unwrap();
            write!(stream, "GET /{path}?{query} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
            // Its PKCE and its redirect are looked at below.
            self.forms.lock().unwrap().push(("/auth".into(), sent));
        });
        // Whatever came of it, nobody else is let in: the code comes once.
        assert!(TcpStream::connect(&back).is_err());
        outcome
    }
}

const DISCOVERY: &str = "/.well-known/openid-configuration";

fn agent() -> Agent {
    agent_with("").unwrap()
}

fn good_token(issuer: &str, nonce: &str) -> Value {
    let claims = json!({"iss": issuer, "aud": "me", "exp": now().0 + 60, "nonce": nonce});
    let id_token = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims.to_string()));
    json!({"access_token": "access-1", "token_type": "Bearer", "expires_in": 3600,
           "refresh_token": SECRET, "id_token": id_token})
}

fn read_form(text: &str) -> HashMap<String, String> {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

fn serve(mut stream: TcpStream, answers: &Answers, forms: &Forms) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let path = first.split(' ').nth(1).unwrap().to_owned();
        let form = read_form(&String::from_utf8(body).unwrap());
        forms.lock().unwrap().push((path.clone(), form));
        let answer = answers.lock().unwrap().get(path.as_str()).cloned();
        let (status, body) = answer.unwrap_or((404, String::new()));
        let place = if (300..400).contains(&status) {
            format!("Location: {body}\r\n")
        } else {
            String::new()
        };
        let length = body.len();
        // Who asks may not want all of it.
        let head = format!("HTTP/1.1 {status} X\r\n{place}Content-Length: {length}\r\n\r\n");
        if stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body.as_bytes()))
            .is_err()
        {
            return;
        }
    }
}

#[test]
fn a_login_by_browser_is_tied_to_itself() {
    let fake = Fake::new();
    let token = fake.log_in("code=c1&state=STATE&iss=ISS", None).unwrap();
    assert_eq!(
        (token.access_token.as_str(), token.refresh_token.as_deref()),
        ("access-1", Some(SECRET))
    );
    assert!(!format!("{token:?}").contains("access-1") && !format!("{token:?}").contains(SECRET));
    let (asked, got) = (&fake.forms("/auth")[0], &fake.forms("/token")[0]);
    assert_eq!((got["code"].as_str(), &got["redirect_uri"]), ("c1", &asked["redirect_uri"]));
    let hash =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, got["code_verifier"].as_bytes());
    assert_eq!(asked["code_challenge"], URL_SAFE_NO_PAD.encode(hash));
    assert_eq!(got["resource"], "https://s");
    for (query, nonce, why) in [
        ("code=c&state=wrong&iss=ISS", None, "its state is another"),
        ("code=c&iss=ISS", None, "it has no state"),
        ("code=c&state=STATE", None, "does not say of which issuer"),
        ("code=c&state=STATE&iss=https%3A%2F%2Fevil.example.com", None, "of another issuer"),
        ("error=access_denied&state=STATE&iss=ISS", None, "denied there"),
        ("code=c&code=d&state=STATE&iss=ISS", None, "twice"),
        ("code=c&state=STATE&iss=ISS", Some("wrong"), "its nonce is another"),
    ] {
        let before = fake.forms("/token").len();
        let failure = fake.log_in(query, nonce).unwrap_err();
        assert!(failure.why.as_ref().unwrap().contains(why), "{query}: {failure}");
        // No code of somebody else's is redeemed.
        assert_eq!(fake.forms("/token").len() - before, usize::from(nonce.is_some()), "{query}");
    }
    // No two logins have anything in common.
    let logins = fake.forms("/auth");
    for name in ["state", "nonce", "code_challenge"] {
        let all: std::collections::HashSet<_> = logins.iter().map(|form| &form[name]).collect();
        assert_eq!(all.len(), logins.len(), "{name}");
    }
}

#[test]
fn who_comes_too_late_finds_nobody() {
    let fake = Fake::new();
    let provider = fake.discover().unwrap();
    let mut door = String::new();
    let failure = code_flow(&agent(), &provider, REQUEST, Duration::ZERO, &now, |url| {
        let redirect = read_form(url.split_once('?').unwrap().1)["redirect_uri"].clone();
        door = redirect.split('/').nth(2).unwrap().to_owned();
    })
    .unwrap_err();
    assert!(failure.why.unwrap().contains("nobody agreed in time"));
    assert!(TcpStream::connect(door).is_err());
    assert!(fake.forms("/token").is_empty());
}

#[test]
fn what_the_issuer_sends_is_bounded_and_goes_nowhere_else() {
    let huge = format!("{{\"issuer\":\"{}\"}}", "x".repeat(limits::JSON_BYTES_MAX));
    let (fake, elsewhere) = (Fake::new(), Fake::new());
    let there = |path: &str| format!("{}{path}", elsewhere.issuer);
    let good = fake.discover().unwrap();
    for (status, body) in
        [(302, there(DISCOVERY)), (200, huge.clone()), (200, "[]".to_owned()), (500, String::new())]
    {
        fake.set(DISCOVERY, status, body);
        assert!(fake.discover().is_err(), "{status}");
    }
    let bad_tokens = [
        json!({"access_token": "a b", "token_type": "Bearer"}),
        json!({"access_token": "", "token_type": "Bearer"}),
        json!({"access_token": "x".repeat(limits::TOKEN_BYTES_MAX + 1), "token_type": "Bearer"}),
        json!({"access_token": "secret", "token_type": "DPoP"}),
        json!({"access_token": "secret"}),
        json!({"access_token": "secret", "token_type": "Bearer", "refresh_token": "\n"}),
        json!({"access_token": "secret", "token_type": 7}),
    ];
    let bad_answers = [(302, there("/token")), (307, there("/token")), (200, huge)];
    let bad_tokens = bad_tokens.map(|token| (200, token.to_string()));
    for (status, body) in bad_answers.into_iter().chain(bad_tokens) {
        fake.set("/token", status, body.clone());
        let Err(Refusal::Now(failure)) = refresh(&agent(), &good, REQUEST, SECRET) else {
            panic!("{status} {body}");
        };
        let said = failure.to_string();
        assert!(!said.contains(SECRET) && !said.contains("secret"), "{said}");
    }
    // A page that cannot be shown is not shown.
    for uri in ["javascript:alert(1)", "http://id.example.com/", "https://x/\u{1b}[2J"] {
        let device =
            json!({"device_code": "d", "user_code": "u", "verification_uri": uri, "expires_in": 1});
        fake.set("/device", 200, device.to_string());
        assert!(device_flow(&agent(), &good, REQUEST, |_| panic!("{uri}")).is_err());
    }
    assert!(elsewhere.forms.lock().unwrap().is_empty());
}

/// A user whose token has ended, and what renews it.
fn ended(fake: &Fake) -> (tempfile::TempDir, TokenStore, StoredToken) {
    let scratch = tempfile::tempdir().unwrap();
    let store = TokenStore::at(scratch.path());
    let token = StoredToken {
        host: "s".into(),
        issuer: fake.issuer.clone(),
        access_token: "access-0".into(),
        expires: Some(now().minus(1)),
        refresh: Some(Refresh {
            token: SECRET.into(),
            client_id: "me".into(),
            audience: "https://s".into(),
        }),
    };
    store.put(&token).unwrap();
    (scratch, store, token)
}

#[test]
fn a_token_is_renewed_before_it_ends() {
    let fake = Fake::new();
    let (_scratch, store, old) = ended(&fake);
    let next = |number: u32, seconds: u64| {
        json!({"access_token": format!("access-{number}"), "token_type": "bearer", "expires_in": seconds,
               "refresh_token": format!("refresh-{number}")})
        .to_string()
    };
    fake.set("/token", 200, next(2, 3600));
    let renewed = login::current(&agent(), &store, "s").unwrap().unwrap();
    assert_eq!(renewed.access_token, "access-2");
    assert_eq!(renewed.refresh.as_ref().unwrap().token, "refresh-2");
    assert_eq!(store.get("s").unwrap().unwrap(), renewed);
    // One that is good for long is not renewed.
    assert_eq!(login::current(&agent(), &store, "s").unwrap().unwrap(), renewed);
    let forms = fake.forms("/token");
    assert_eq!((forms.len(), forms[0]["refresh_token"].as_str()), (1, SECRET));
    assert_eq!(forms[0]["resource"], "https://s");
    // One that ends soon is; and an issuer that keeps the refresh token says nothing of it.
    store.put(&StoredToken { expires: Some(now().plus(30)), ..old.clone() }).unwrap();
    let same = json!({"access_token": "access-3", "token_type": "bearer"}).to_string();
    fake.set("/token", 200, same);
    let renewed = login::current(&agent(), &store, "s").unwrap().unwrap();
    assert_eq!((renewed.access_token.as_str(), renewed.refresh), ("access-3", old.refresh));
}

#[test]
fn what_the_issuer_takes_no_more_is_forgotten() {
    let fake = Fake::new();
    let (_scratch, store, old) = ended(&fake);
    // It did not work this time: nothing is lost.
    for (status, body) in
        [(500, ""), (503, "{\"error\":\"invalid_grant\"}"), (401, "{\"error\":\"invalid_client\"}")]
    {
        fake.set("/token", status, body);
        assert_eq!(login::current(&agent(), &store, "s").unwrap(), None, "{status}");
        assert_eq!(store.get("s").unwrap().unwrap(), old);
    }
    // A token that is still good is used meanwhile.
    let soon = StoredToken { expires: Some(now().plus(30)), ..old.clone() };
    store.put(&soon).unwrap();
    assert_eq!(login::current(&agent(), &store, "s").unwrap(), Some(soon));
    store.put(&old).unwrap();
    fake.set("/token", 400, "{\"error\":\"invalid_grant\"}");
    assert_eq!(login::current(&agent(), &store, "s").unwrap(), None);
    assert_eq!(store.get("s").unwrap().unwrap().refresh, None);
    assert!(store.valid("s", now()).unwrap_err().next.unwrap().contains("enarx user login s"));
    // It is not tried again.
    let before = fake.forms("/token").len();
    assert_eq!(login::current(&agent(), &store, "s").unwrap(), None);
    assert_eq!(fake.forms("/token").len(), before);
}

#[test]
fn two_programs_renew_it_once() {
    let fake = Fake::new();
    let (_scratch, store, _) = ended(&fake);
    fake.set("/token", 200, good_token(&fake.issuer, "n").to_string());
    let programs: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            std::thread::spawn(move || login::current(&agent(), &store, "s").unwrap().unwrap())
        })
        .collect();
    for program in programs {
        assert_eq!(program.join().unwrap().access_token, "access-1");
    }
    assert_eq!(fake.forms("/token").len(), 1);
}

#[test]
fn a_file_that_cannot_be_written_uses_nothing_up() {
    use std::os::unix::fs::PermissionsExt as _;
    let fake = Fake::new();
    let (scratch, store, _) = ended(&fake);
    if rustix::process::geteuid().is_root() {
        // Root writes wherever it likes, but not over a directory.
        let taken = format!(".s.json.{}.new", std::process::id());
        std::fs::create_dir(scratch.path().join(taken)).unwrap();
    } else {
        drop(store.lock("s").unwrap());
        std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
    }
    fake.set("/token", 200, good_token(&fake.issuer, "n").to_string());
    assert_eq!(login::current(&agent(), &store, "s").unwrap(), None);
    assert!(fake.forms("/token").is_empty());
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn who_logs_out_gives_the_refresh_token_back() {
    let fake = Fake::new();
    for (answer, wanted) in [(200, Some(login::Ended::Everywhere)), (500, None)] {
        let (_scratch, store, _) = ended(&fake);
        fake.set("/revoke", answer, "");
        let outcome = login::logout(&agent(), &store, "s").unwrap();
        match wanted {
            Some(wanted) => assert_eq!(outcome, wanted),
            None => assert!(
                matches!(&outcome, login::Ended::Untold(f) if !f.to_string().contains(SECRET))
            ),
        }
        assert_eq!(store.get("s").unwrap(), None);
        assert_eq!(login::logout(&agent(), &store, "s").unwrap(), login::Ended::Never);
    }
    let forms = fake.forms("/revoke");
    assert_eq!(forms.len(), 2);
    assert_eq!(
        (forms[0]["token"].as_str(), forms[0]["token_type_hint"].as_str()),
        (SECRET, "refresh_token")
    );
}
