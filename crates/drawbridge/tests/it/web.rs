// SPDX-License-Identifier: Apache-2.0

//! Web pages: what is on them, what never gets there, and what a real browser makes of them.

use std::process::{Command, Stdio};

use drawbridge_client::drawbridge_core::{Directory, Entry, TagRecord, media};

use crate::world::{ALL, HOST, Options, WASM, World, describe, digest, files, slug};

/// What would show that something ran, were it on a page as it is.
const EVIL: &str = "</pre></textarea><script>document.documentElement.dataset.pwned='yes'</script><img src=x onerror=\"document.documentElement.dataset.pwned='yes'\">";
/// The same without blanks, as far as a Steward's URL may go.
const STEWARD: &str =
    "https://x\\\"><img/src=x/onerror=document.documentElement.dataset.pwned='yes'>";

/// Publishes a tree with types that our own clients never send.
fn publish_evil(world: &World) {
    let token = format!("Bearer {}", world.token("ann", ALL));
    let config = format!("steward = \"{STEWARD}\"\n# {EVIL}\n");
    let files = [
        ("Enarx.toml", config.as_bytes(), media::TOML),
        ("evil.html", EVIL.as_bytes(), "text/html"),
        (
            "evil.svg",
            b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
            "image/svg+xml",
        ),
        ("main.wasm", WASM, media::WASM),
    ];
    let mut root = Directory::new();
    for (name, bytes, media_type) in files {
        root.insert(name, Entry::of(bytes, media_type)).unwrap();
    }
    let root = root.to_bytes();
    let tag = TagRecord(Entry::of(&root, media::DIRECTORY)).to_bytes();
    let path = "ann/app/_tag/6.6.6";
    let put = |path: &str, bytes: &[u8], media_type: &str| {
        let headers = describe(bytes, media_type);
        let mut headers: Vec<(&str, &str)> =
            headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        headers.push(("Authorization", &token));
        // The module is there already, of another version.
        assert!(matches!(world.put(path, &headers, bytes), 200 | 201), "{path}");
    };
    put(path, &tag, media::ENTRY);
    put(&format!("{path}/tree"), &root, media::DIRECTORY);
    for (name, bytes, media_type) in files {
        put(&format!("{path}/tree/{name}"), bytes, media_type);
    }
}

fn scene(options: Options) -> World {
    let world = World::with(options);
    let ann = world.register("app", true, false);
    world.register("hidden", false, true);
    for name in ["ann/app:0.9.0", "ann/app:1.0.0", "ann/hidden:1.0.0"] {
        world.publish(&ann, name).unwrap();
    }
    publish_evil(&world);
    world
}

/// A page: status, head in lower case, text.
fn page(world: &World, path: &str) -> (u16, String, String) {
    let (status, head, body) = world.get(path, None);
    (status, head.to_lowercase(), String::from_utf8(body).unwrap())
}

#[test]
fn pages_show_what_is_public_and_say_nothing_of_the_rest() {
    let world = scene(Options::default());
    let pinned = format!("{HOST}/ann/app:1.0.0@{}", digest());
    for (path, texts) in [
        (
            "/_/",
            &["<html lang=\"en\">", "<h1>Packages</h1>", "href=\"/_/ann/app\"", ">6.6.6</a>"][..],
        ),
        ("/_/?q=APP", &["href=\"/_/ann/app\"", "value=\"APP\""]),
        ("/_/?q=nothing", &["Nothing was found"]),
        ("/_/ann", &["<h1>ann</h1>", "href=\"/_/ann/app\""]),
        ("/_/ann/app", &["<h1>ann/app</h1>", "href=\"/_/ann/app/1.0.0\"", &digest().to_string()]),
        ("/_/ann/app?before=1.0.0", &["href=\"/_/ann/app/0.9.0\""]),
        (
            "/_/ann/app/1.0.0",
            &[
                &format!("enarx deploy {pinned}"),
                "https://steward.example.com",
                "-----BEGIN PUBLIC KEY-----",
                "href=\"/_/ann/app/1.0.0/tree/static\"",
            ],
        ),
        (
            "/_/ann/app/1.0.0/tree/static",
            &["href=\"/_/ann/app/1.0.0/tree/static/index.html\"", ">img/</a>"],
        ),
        (
            "/_/ann/app/1.0.0/tree/static/index.html",
            &[
                "href=\"/api/v0.1.0/ann/app/_tag/1.0.0/tree/static/index.html\"",
                "&#60;h1&#62;hello&#60;/h1&#62;",
            ],
        ),
        ("/_/ann/app/1.0.0/tree/static/img/dot.png", &["5.0 kB", "not shown"]),
    ] {
        let (status, head, text) = page(&world, path);
        assert_eq!(status, 200, "{path}: {head}");
        for expected in texts {
            assert!(text.contains(expected), "{path}: {expected} is not in {text}");
        }
        assert!(!text.contains("hidden"), "{path}: {text}");
    }
    // What is private is as what is not there.
    let same = |path: &str| {
        let (status, _, text) = page(&world, path);
        assert_eq!(status, 404, "{path}");
        text
    };
    let nothing = same("/_/ann/none");
    assert!(nothing.contains("Nothing is here for everybody"));
    for path in [
        "/_/bob",
        "/_/ann/hidden",
        "/_/ann/hidden/1.0.0",
        "/_/ann/hidden/1.0.0/tree/main.wasm",
        "/_/ann/app/9.9.9",
        "/_/ann/app/latest",
        "/_/ann/app/1.0.0/tree/none",
        "/_/ann/app/1.0.0/tree/main.wasm/x",
        "/_/ann/app/1.0.0/tree/../../../../../version",
        "/_/ann/app/1.0.0/x",
        "/_/an_n",
    ] {
        assert_eq!(same(path), nothing, "{path}");
    }
    assert_eq!(page(&world, &format!("/_/?q={}", "x".repeat(300))).0, 400);
    assert_eq!(page(&world, "/_/?after=~x").0, 400);
    assert_eq!(page(&world, "/_/ann/app?before=x").0, 400);
}

#[test]
fn no_page_lets_a_browser_do_anything_else() {
    let world = scene(Options::default());
    for path in ["/_/", "/_/ann/app/6.6.6", "/_/none", "/_/?after=~x"] {
        for method in ["GET", "HEAD", "POST"] {
            let (_, head, body) = world
                .raw(&format!("{method} {path} HTTP/1.1\nHost: {HOST}\nContent-Length: 0"), b"");
            let head = head.to_lowercase();
            for header in [
                "content-security-policy: default-src 'none'; style-src 'sha256-",
                "; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
                "content-type: text/html; charset=utf-8",
                "x-content-type-options: nosniff",
                "x-frame-options: deny",
                "referrer-policy: no-referrer",
                "cross-origin-opener-policy: same-origin",
            ] {
                assert!(head.contains(header), "{method} {path}: {header} is not in {head}");
            }
            assert!(!head.contains("set-cookie") && !head.contains("unsafe"), "{head}");
            assert_eq!(body.is_empty(), method == "HEAD");
            assert_eq!(head.contains(" 405 "), method == "POST", "{head}");
        }
    }
    // A bad token, or a Keep's certificate, changes nothing.
    assert_eq!(world.get("/_/", Some("x")).0, 200);
    let (status, head, _) = world.get("/", None);
    assert!(status == 303 && head.to_lowercase().contains("location: /_/"), "{head}");
    // Files come from the API only, and are saved there whatever type they claim.
    for (name, media_type) in [("evil.html", "text/html"), ("evil.svg", "image/svg+xml")] {
        let (status, head, _) =
            world.get(&format!("/api/v0.1.0/ann/app/_tag/6.6.6/tree/{name}"), None);
        let head = head.to_lowercase();
        assert_eq!(status, 200);
        for header in [
            format!("content-type: {media_type}"),
            "content-disposition: attachment".to_owned(),
            "x-content-type-options: nosniff".to_owned(),
            "content-security-policy: default-src 'none'; frame-ancestors 'none'; sandbox"
                .to_owned(),
        ] {
            assert!(head.contains(&header), "{header} is not in {head}");
        }
    }
}

#[test]
fn what_is_uploaded_or_asked_stays_text() {
    let world = scene(Options::default());
    let query = "/_/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    for path in [
        "/_/ann/app/6.6.6",
        "/_/ann/app/6.6.6/tree/evil.html",
        "/_/ann/app/6.6.6/tree/Enarx.toml",
        query,
    ] {
        let (status, _, text) = page(&world, path);
        assert_eq!(status, 200);
        let lower = text.to_lowercase();
        assert!(!lower.contains("<script") && !lower.contains("<img"), "{path}: {text}");
        assert!(text.contains("&#60;script&#62;"), "{path}: {text}");
        assert_eq!(text.matches("</pre>").count(), text.matches("<pre").count(), "{path}");
    }
}

#[test]
fn yanked_versions_are_marked() {
    let world = scene(Options::default());
    world.person("ann").yank(&slug("ann/app:1.0.0"), "<b>bad</b>", None).unwrap();
    let (_, _, text) = page(&world, "/_/ann/app");
    assert_eq!(text.matches(">yanked<").count(), 1, "{text}");
    let (_, _, text) = page(&world, "/_/ann/app/1.0.0");
    assert!(text.contains("yanked: &#60;b&#62;bad") && !text.contains("enarx deploy"), "{text}");
}

#[test]
fn there_are_no_pages_where_none_are_wanted() {
    let environment = vec![("DRAWBRIDGE_NO_WEB", "true".to_owned())];
    let world = World::with(Options { environment, ..Options::default() });
    for path in ["/", "/_/", "/_/ann"] {
        let (status, head, _) = page(&world, path);
        assert_eq!(status, 404);
        assert!(head.contains("application/problem+json"), "{head}");
    }
}

/// A browser without a screen; `None` where there is none.
struct Chromium<'a> {
    world: &'a World,
    profile: tempfile::TempDir,
}

impl<'a> Chromium<'a> {
    fn find(world: &'a World, test: &str) -> Option<Self> {
        let version = Command::new("chromium").arg("--version").output();
        if !version.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIP {test}: there is no chromium");
            return None;
        }
        Some(Self { world, profile: tempfile::tempdir().unwrap() })
    }

    /// What is there after a page was loaded and everything on it had its chance to run.
    fn dom(&self, url: &str) -> String {
        // A page that never ends must not keep the test from ending.
        let output = Command::new("timeout")
            .args(["--kill-after=5", "60", "chromium"])
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
            ])
            // The certificate is for the name, by a root that only this test knows.
            .args([
                "--ignore-certificate-errors",
                &format!("--host-resolver-rules=MAP {HOST} 127.0.0.1"),
            ])
            .arg(format!("--user-data-dir={}", self.profile.path().display()))
            .args(["--virtual-time-budget=2000", "--timeout=20000", "--dump-dom", url])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn page(&self, path: &str) -> String {
        self.dom(&format!("https://{HOST}:{}{path}", self.world.address().port()))
    }
}

#[test]
fn a_browser_shows_packages_and_runs_nothing_of_them() {
    let world = scene(Options::default());
    let test = "a_browser_shows_packages_and_runs_nothing_of_them";
    let Some(browser) = Chromium::find(&world, test) else { return };
    // This browser would run it.
    let control = browser.profile.path().join("control.html");
    crate::world::write(&control, &format!("<!doctype html><title>control</title>{EVIL}"));
    let dom = browser.dom(&format!("file://{}", control.display()));
    assert!(dom.contains("data-pwned=\"yes\""), "{dom}");
    let home = browser.page("/");
    assert!(home.contains("<h1>Packages</h1>") && home.contains("href=\"/_/ann/app\""), "{home}");
    let found = browser.page("/_/?q=ann+app");
    assert!(found.contains("href=\"/_/ann/app\""), "{found}");
    let version = browser.page("/_/ann/app/1.0.0");
    assert!(
        version.contains(&format!("enarx deploy {HOST}/ann/app:1.0.0@{}", digest())),
        "{version}"
    );
    for (name, _) in files() {
        let page = browser.page(&format!("/_/ann/app/1.0.0/tree/{name}"));
        assert!(page.contains("SHA-256"), "{name}: {page}");
    }
    let evil = "/_/?q=%22%3E%3Cscript%3Edocument.documentElement.dataset.pwned=1%3C/script%3E";
    for path in ["/_/ann/app/6.6.6", "/_/ann/app/6.6.6/tree/evil.html", evil] {
        let page = browser.page(path);
        assert!(page.contains("&lt;script&gt;"), "{path} is not shown: {page}");
        assert!(
            !page.contains("data-pwned=\"") && !page.contains("<script") && !page.contains("<img"),
            "{path}: {page}"
        );
    }
}
