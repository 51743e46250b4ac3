// SPDX-License-Identifier: Apache-2.0

//! What the command line says, to the letter, and its exit codes.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::{bare_enarx, enarx};

fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn write(path: &Path, bytes: &[u8]) {
    File::create(path).unwrap().write_all(bytes).unwrap();
}

/// A module that does nothing: `(module (memory (export "memory") 1) (func (export "_start")))`.
const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x05\x03\x01\0\x01\x07\x13\x02\x06memory\x02\0\x06_start\0\0\x0a\x04\x01\x02\0\x0b";

#[test]
fn help_is_there_for_everybody() {
    let (code, _, stderr) = run(&mut bare_enarx());
    assert_eq!(code, 2);
    assert!(stderr.contains("Usage: enarx"), "{stderr}");
    let (code, stdout, _) = run(bare_enarx().arg("--help"));
    assert_eq!(code, 0);
    for word in [
        "up",
        "run",
        "deploy",
        "config",
        "user",
        "repo",
        "package",
        "platform",
        "verify",
        "proxy",
        "completions",
        "Exit codes:",
        "134",
    ] {
        assert!(stdout.contains(word), "{word}");
    }
    assert!(!stdout.contains("__child"));
    let (_, stdout, _) = run(bare_enarx().args(["deploy", "--help"]));
    for word in ["Examples:", "ENARX_CA_BUNDLE", "ENARX_BACKEND", "--insecure-no-tee"] {
        assert!(stdout.contains(word), "{word}");
    }
}

#[test]
fn a_typing_error_has_a_suggestion() {
    let (code, _, stderr) = run(bare_enarx().arg("deplyo"));
    assert_eq!(code, 2);
    assert!(stderr.contains("'deploy'"), "{stderr}");
}

#[test]
fn slugs_are_explained() {
    let (code, _, stderr) = run(bare_enarx().args(["deploy", "app"]));
    assert_eq!(code, 2);
    assert!(
        stderr.contains("host/user/repo:tag, for example store.example.com/team/app:1.2.0"),
        "{stderr}"
    );
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, stdout, stderr) = run(bare_enarx().args(["completions", shell]));
        assert_eq!((code, stderr.as_str()), (0, ""));
        for word in ["deploy", "platform", "whoami", "simulated-silicon"] {
            assert!(stdout.contains(word), "{shell} {word}");
        }
    }
}

#[test]
fn config_init_writes_once_and_what_it_writes_is_valid() {
    let scratch = tempfile::tempdir().unwrap();
    let (code, _, stderr) = run(bare_enarx().args(["config", "init"]).current_dir(&scratch));
    assert_eq!(
        (code, stderr.as_str()),
        (0, "wrote Enarx.toml; check it with `enarx config check Enarx.toml`\n")
    );
    let (code, stdout, _) = run(bare_enarx().args(["config", "check"]).current_dir(&scratch));
    assert_eq!(code, 0);
    assert!(stdout.contains("Limits"), "{stdout}");
    let (code, _, stderr) = run(bare_enarx().args(["config", "init"]).current_dir(&scratch));
    assert_eq!(code, 1);
    assert_eq!(
        stderr,
        "error: Enarx.toml is there already\n  why: it is not overwritten\n  next: check it with `enarx config check Enarx.toml`, or name another file\n"
    );
}

#[test]
fn config_errors_point_at_the_place() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("Enarx.toml");
    write(&file, b"args = []\n[netwrok.incoming.50000]\n");
    let (code, stdout, stderr) = run(bare_enarx().args(["config", "check"]).current_dir(&scratch));
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert_eq!(
        stderr,
        "\
error: Enarx.toml is not valid
  why: line 2, column 2: unknown key `netwrok`
    |
  2 | [netwrok.incoming.50000]
    |  ^^^^^^^
    = did you mean `network`?
  next: mend that line; `enarx config init` writes a file that shows all keys
"
    );
    let (code, stdout, _) =
        run(bare_enarx().args(["config", "check", "--json"]).current_dir(&scratch));
    assert_eq!(code, 1);
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(
        (json["error"]["line"].as_u64(), json["error"]["column"].as_u64()),
        (Some(2), Some(2))
    );
    let module = scratch.path().join("empty.wasm");
    write(&module, b"\0asm\x01\0\0\0");
    let (code, _, stderr) = run(enarx().arg("run").arg("--config").arg(&file).arg(&module));
    assert_eq!(code, 125);
    assert!(stderr.starts_with(&format!("error: {} is not valid\n", file.display())), "{stderr}");
    let (code, _, stderr) =
        run(bare_enarx().args(["config", "check", "none.toml"]).current_dir(&scratch));
    assert_eq!(code, 1);
    assert!(stderr.starts_with("error: cannot read none.toml\n  why: No such file"), "{stderr}");
}

#[test]
fn a_missing_runtime_says_how_to_build_it() {
    let scratch = tempfile::tempdir().unwrap();
    let module = scratch.path().join("m.wasm");
    write(&module, EMPTY_MODULE);
    let (code, _, stderr) =
        run(bare_enarx().arg("run").arg(&module).env("ENARX_EXEC", "/nonexistent/enarx-exec"));
    assert_eq!(code, 125);
    assert_eq!(
        stderr,
        "error: cannot find the Keep's runtime, enarx-exec\n  why: there is no file /nonexistent/enarx-exec\n  next: build it with `cargo xtask build`, or name another with --exec (ENARX_EXEC)\n"
    );
}

#[test]
fn run_refuses_what_is_no_workload() {
    let scratch = tempfile::tempdir().unwrap();
    let (code, _, stderr) = run(bare_enarx().arg("run").arg("none.wasm").current_dir(&scratch));
    assert_eq!(code, 125);
    assert!(stderr.starts_with("error: cannot read none.wasm\n"), "{stderr}");
    write(&scratch.path().join("text.wasm"), b"(module)");
    let (code, _, stderr) = run(bare_enarx().arg("run").arg("text.wasm").current_dir(&scratch));
    assert_eq!(code, 125);
    assert!(stderr.contains("why: main.wasm is no WebAssembly module"), "{stderr}");
    write(&scratch.path().join("m.wasm"), EMPTY_MODULE);
    write(&scratch.path().join("bad.toml"), b"colour = 1\n");
    let (code, _, stderr) =
        run(bare_enarx().args(["run", "--config", "bad.toml", "m.wasm"]).current_dir(&scratch));
    assert_eq!(code, 125);
    assert!(stderr.contains("unknown key `colour`"), "{stderr}");
    write(&scratch.path().join("good.toml"), b"");
    let (code, _, stderr) = run(bare_enarx()
        .args(["run", "--config", "good.toml", "m.wasm", "--", "x"])
        .current_dir(&scratch));
    assert_eq!(code, 2);
    assert!(stderr.contains("next: put them into good.toml: args = [...]"), "{stderr}");
}

#[test]
fn an_empty_module_runs() {
    let scratch = tempfile::tempdir().unwrap();
    let module = scratch.path().join("m.wasm");
    write(&module, EMPTY_MODULE);
    let (code, stdout, stderr) = run(enarx().arg("run").arg(&module));
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "", ""));
}

#[test]
fn deploy_refuses_a_backend_that_cannot_attest() {
    let (code, _, stderr) =
        run(enarx().args(["deploy", "--backend", "nil", "localhost:1/a/b:1.0.0"]));
    assert_eq!(code, 125);
    assert!(
        stderr
            .starts_with("error: the backend `nil` is not available: it cannot produce evidence\n"),
        "{stderr}"
    );
    assert!(
        stderr.contains("next: ")
            && stderr.contains("--simulate snp")
            && stderr.contains("--insecure-no-tee"),
        "{stderr}"
    );
    let (code, _, stderr) =
        run(bare_enarx().args(["deploy", "--simulate", "snp", "--insecure-no-tee", "h/a/b:1.0.0"]));
    assert_eq!(code, 2);
    assert!(stderr.contains("cannot be used with"), "{stderr}");
}

#[test]
fn nobody_is_logged_in_at_first() {
    let (code, stdout, stderr) = run(bare_enarx().args(["user", "whoami", "store.example.com"]));
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert_eq!(
        stderr,
        "error: not logged in to store.example.com\n  next: log in with `enarx user login store.example.com`\n"
    );
    let (code, stdout, _) =
        run(bare_enarx().args(["user", "whoami", "store.example.com", "--json"]));
    assert_eq!(code, 1);
    assert!(stdout.contains("\"logged_in\":false"), "{stdout}");
    let (code, _, stderr) = run(bare_enarx().args(["user", "logout", "store.example.com"]));
    assert_eq!((code, stderr.as_str()), (0, "not logged in to store.example.com\n"));
    let (code, _, stderr) = run(bare_enarx().args(["user", "whoami", "../../etc"]));
    assert_eq!(code, 2);
    assert!(stderr.contains("names no registry"), "{stderr}");
}

#[test]
fn logging_in_sends_nothing_in_the_clear() {
    let (code, _, stderr) = run(bare_enarx().args([
        "user",
        "login",
        "store.example.com",
        "--oidc-issuer",
        "http://id.example.com",
    ]));
    assert_eq!(code, 1);
    assert!(stderr.contains("http://id.example.com is not https"), "{stderr}");
    let (code, _, stderr) = run(bare_enarx().args(["user", "login", "store.example.com"]));
    assert_eq!(code, 2);
    assert!(stderr.contains("--oidc-issuer"), "{stderr}");
}

#[test]
fn an_unreachable_registry_is_one_clear_line_and_a_next_step() {
    let (code, stdout, stderr) =
        run(bare_enarx().args(["package", "info", "localhost:1/a/b:1.0.0"]));
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.starts_with("error: cannot show localhost:1/a/b:1.0.0\n  why: "), "{stderr}");
    assert!(stderr.contains("next: check that the registry is up"), "{stderr}");
}

#[test]
fn fetch_overwrites_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let (code, _, stderr) =
        run(bare_enarx().args(["package", "fetch", "localhost:1/a/b:1.0.0"]).arg(scratch.path()));
    assert_eq!(code, 1);
    assert!(stderr.contains("is there already"), "{stderr}");
}

#[test]
fn the_measurement_is_that_of_the_file_and_marked_as_simulated() {
    let (code, first, stderr) = run(enarx().args(["platform", "measure"]));
    assert_eq!(code, 0);
    assert!(
        first.len() == 97 && first.trim_end().bytes().all(|b| b.is_ascii_hexdigit()),
        "{first}"
    );
    assert!(stderr.contains("simulated"), "{stderr}");
    assert_eq!(run(enarx().args(["platform", "measure"])).1, first);
    let (_, json, _) = run(enarx().args(["platform", "measure", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["measurements"][0]["measurement"], first.trim_end());
    assert_eq!(json["measurements"][0]["simulated"], true);
}

#[test]
fn the_platform_is_described() {
    let (code, stdout, _) = run(bare_enarx().args(["platform", "info", "--json"]));
    assert_eq!(code, 0);
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let nil = json["backends"]
        .as_array()
        .unwrap()
        .iter()
        .find(|backend| backend["name"] == "nil")
        .unwrap()
        .clone();
    assert_eq!(nil["can_attest"], false);
    let (code, stdout, _) = run(bare_enarx().args(["platform", "info"]));
    assert_eq!(code, 0);
    assert!(
        stdout.contains("nil  available, cannot attest") && !stdout.contains('\x1b'),
        "{stdout}"
    );
}

#[test]
fn silicon_is_made_private_and_only_once() {
    let scratch = tempfile::tempdir().unwrap();
    let silicon = scratch.path().join("silicon");
    // Nobody listens there: the Keep starts, asks, and gives up.
    let mut command = enarx();
    command
        .args(["deploy", "--simulate", "snp", "localhost:1/a/b:1.0.0", "--simulated-silicon"])
        .arg(&silicon);
    let (code, _, stderr) = run(&mut command);
    assert_eq!(code, 125);
    assert!(
        stderr.contains("made simulated silicon") && stderr.contains("error: the Keep gave up"),
        "{stderr}"
    );
    assert_eq!(fs::metadata(&silicon).unwrap().permissions().mode() & 0o777, 0o700);
    let (_, _, stderr) = run(&mut command);
    assert!(!stderr.contains("made simulated silicon"), "{stderr}");
}
