// SPDX-License-Identifier: Apache-2.0

//! Modules that run to their end, one way or the other.

use std::cell::RefCell;
use std::rc::Rc;

use types::config::{Config, Protocol};

use super::engine::{Inner, run_inner};
use super::*;
use crate::net::{NetError, NetErrorKind};
use crate::vfs::{Acceptor, Opener, Stream};

/// A network that there is not.
struct Nowhere;

fn refused<T>() -> Result<T, NetError> {
    Err(NetError { kind: NetErrorKind::Bind, message: "the port is taken".to_owned() })
}

impl Opener for Nowhere {
    fn listen(&self, _port: u16) -> Result<Box<dyn Acceptor>, NetError> {
        refused()
    }
    fn connect(&self, _host: &str, _port: Option<u16>) -> Result<Box<dyn Stream>, NetError> {
        refused()
    }
    fn listen_entry(
        &self,
        _: std::net::IpAddr,
        _: u16,
        _: Protocol,
    ) -> Result<Box<dyn Acceptor>, NetError> {
        refused()
    }
    fn connect_entry(&self, _: &str, _: u16, _: Protocol) -> Result<Box<dyn Stream>, NetError> {
        refused()
    }
}

fn run_bytes(wasm: &[u8], config: &str) -> (Outcome, Vec<RuntimeEvent>) {
    let config = Config::parse(config).unwrap();
    let events = Rc::new(RefCell::new(Vec::new()));
    let on = Rc::clone(&events);
    let outcome = run_inner(Inner {
        wasm,
        files: vec![
            ("main.wasm".into(), wasm.to_vec()),
            ("data.txt".into(), b"twelve bytes".to_vec()),
        ],
        config: &config,
        args: config.args.clone(),
        env: config.env.clone().into_iter().collect(),
        network: Box::new(Nowhere),
        clock: Clock::new(),
        on: Rc::new(move |event| on.borrow_mut().push(event)),
    });
    let events = events.borrow().clone();
    (outcome.unwrap_or_else(|outcome| outcome), events)
}

fn run(wat: &str, config: &str) -> Outcome {
    run_bytes(&wat::parse_str(wat).unwrap(), config).0
}

/// A module with a page of memory, these imports, and `_start` with this body.
fn module(imports: &str, body: &str) -> String {
    let imports: String = imports
        .split(';')
        .filter(|import| !import.trim().is_empty())
        .map(|import| {
            let (name, kind) = import.trim().split_once(' ').unwrap();
            format!("(import \"wasi_snapshot_preview1\" \"{name}\" (func ${name} {kind}))")
        })
        .collect();
    format!(
        "(module {imports}
           (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))
           (memory (export \"memory\") 1)
           (func $must (param i32) (if (local.get 0) (then (call $exit (local.get 0)))))
           (func (export \"_start\") {body}))"
    )
}

fn invalid(outcome: Outcome) -> String {
    match outcome {
        Outcome::Invalid { message } => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ends_as_the_guest_wants() {
    assert_eq!(run("(module (func (export \"_start\")))", ""), Outcome::Exited(0));
    // What `_start` returns is of no interest.
    let returns = "(module (func (export \"_start\") (result i32) (i32.const 1)))";
    assert_eq!(run(returns, ""), Outcome::Exited(0));
    for (code, expected) in [(0, 0), (1, 1), (255, 255), (256, 0), (-1, 255)] {
        let body = format!("(call $exit (i32.const {code})) unreachable");
        assert_eq!(run(&module("", &body), ""), Outcome::Exited(expected), "{code}");
    }
    let at_start = "(module
        (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))
        (func $go (call $exit (i32.const 7))) (start $go)
        (func (export \"_start\")))";
    assert_eq!(run(at_start, ""), Outcome::Exited(7));
}

#[test]
fn events_come_in_order() {
    let (outcome, events) = run_bytes(&wat::parse_str(module("", "")).unwrap(), "");
    assert_eq!(outcome, Outcome::Exited(0));
    assert!(
        matches!(events[..], [RuntimeEvent::Compiled { .. }, RuntimeEvent::Started { .. }]),
        "{events:?}"
    );
}

#[test]
fn traps_are_told() {
    let trapped = |body: &str, word: &str| match run(&module("", body), "") {
        Outcome::Trapped { message } => assert!(message.contains(word), "{message}"),
        other => panic!("{other:?}"),
    };
    trapped("unreachable", "unreachable");
    trapped("(drop (i32.load (i32.const 65536)))", "out of bounds");
    trapped("(drop (i32.div_u (i32.const 1) (i32.const 0)))", "divide by zero");
    let deep = "(module (func $f (call $f) (call $f)) (func (export \"_start\") (call $f)))";
    match run(deep, "") {
        Outcome::Trapped { message } => assert!(message.contains("stack"), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_module_says_is_fit_for_a_terminal() {
    let name = format!("\\1b[2J{}", "x".repeat(10_000));
    let message = invalid(run(
        &format!("(module (import \"env\" \"{name}\" (func)) (func (export \"_start\")))"),
        "",
    ));
    assert!(message.contains("`env.\u{fffd}[2Jxxx") && message.len() < 1000, "{message}");
    let named = "(module (func $inner unreachable) (func (export \"_start\") (call $inner)))";
    match run(named, "") {
        Outcome::Trapped { message } => {
            assert_eq!(
                message,
                "wasm trap: wasm `unreachable` instruction executed, in `inner` < function 1"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn loops_end_at_the_limit() {
    let limited = "[limits]\ncpu_seconds = 1";
    match run(&module("", "(loop br 0)"), limited) {
        Outcome::LimitReached { which: "cpu", message } => assert!(message.contains("1 seconds")),
        other => panic!("{other:?}"),
    }
    assert_eq!(run(&module("", ""), limited), Outcome::Exited(0));
}

#[test]
fn memory_is_limited() {
    let limited = "[limits]\nmemory = \"1MiB\"";
    // 15 more pages, and then none.
    let grows = "(if (i32.ne (memory.grow (i32.const 15)) (i32.const 1)) (then unreachable))
                 (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))";
    let (outcome, events) = run_bytes(&wat::parse_str(module("", grows)).unwrap(), limited);
    assert_eq!(outcome, Outcome::Exited(0));
    assert!(
        matches!(events.last(), Some(RuntimeEvent::LimitReached { which: "memory", .. })),
        "{events:?}"
    );
    let gives_up =
        "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable";
    match run(&module("", gives_up), limited) {
        Outcome::LimitReached { which: "memory", message } => {
            assert!(
                message.contains("1048576 bytes") && message.contains("unreachable"),
                "{message}"
            );
        }
        other => panic!("{other:?}"),
    }
    for large in ["(memory 17)", "(table 200000 funcref)"] {
        let wat = format!("(module {large} (func (export \"_start\")))");
        let outcome = run(&wat, limited);
        assert!(matches!(outcome, Outcome::LimitReached { which: "memory", .. }), "{outcome:?}");
    }
    // Files in /tmp count as well: path at 0, buffer at 16.
    let fills = "
        (i64.store (i32.const 0) (i64.const 0x662f706d74)) ;; tmp/f
        (call $must (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 1)
            (i64.const 0x3fffffff) (i64.const 0) (i32.const 0) (i32.const 8)))
        (i32.store (i32.const 20) (i32.const 65536))
        (loop (br_if 0 (i32.eqz
            (call $fd_write (i32.load (i32.const 8)) (i32.const 16) (i32.const 1) (i32.const 12)))))
        (call $must (call $fd_write (i32.load (i32.const 8)) (i32.const 16) (i32.const 1) (i32.const 12)))";
    let imports = "path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32);
                   fd_write (param i32 i32 i32 i32) (result i32)";
    assert_eq!(run(&module(imports, fills), limited), Outcome::Exited(51));
}

#[test]
fn what_is_no_program_is_refused() {
    let bytes = |bytes: &[u8]| invalid(run_bytes(bytes, "").0);
    assert!(bytes(b"").contains("not WebAssembly"));
    assert!(bytes(b"(module)").contains("not WebAssembly"));
    assert!(bytes(b"\0asm\x0d\0\x01\0").contains("component"));
    assert!(bytes(b"\0asm\x02\0\0\0").contains("version"));
    assert!(bytes(b"\0asm\x01\0\0\0\xff").contains("not valid"));
    assert!(bytes(b"\0asm\x01\0\0\0").contains("`_start`"));
    let starts = |start: &str| invalid(run(&format!("(module {start})"), ""));
    assert!(starts("(func (export \"_initialize\"))").contains("reactor"));
    assert!(starts("(global (export \"_start\") i32 (i32.const 0))").contains("not a function"));
    assert!(starts("(func (export \"_start\") (param i32))").contains("not a function"));
}

#[test]
fn missing_imports_are_named() {
    let missing = |import: &str| {
        invalid(run(&format!("(module (import {import}) (func (export \"_start\")))"), ""))
    };
    let message = missing("\"env\" \"abort\" (func)");
    assert!(message.contains("`env.abort`") && message.contains("nothing else"), "{message}");
    assert!(missing("\"wasi_unstable\" \"fd_write\" (func)").contains("2019"));
    assert!(missing("\"wasi_snapshot_preview1\" \"fd_fly\" (func)").contains("no such call"));
    assert!(missing("\"wasi\" \"thread-spawn\" (func)").contains("threads"));
    assert!(missing("\"wasi:io/poll@0.2.0\" \"poll\" (func)").contains("components"));
    // There, but of another type.
    let wrong = "(module (import \"wasi_snapshot_preview1\" \"sched_yield\" (func (param i64))) (func (export \"_start\")))";
    let message = invalid(run(wrong, ""));
    assert!(message.contains("sched_yield"), "{message}");
}

#[test]
fn descriptors_that_cannot_be_had_are_named() {
    let listens = "files = [{ kind = \"listen\", name = \"web\", prot = \"tcp\", port = 80 }]";
    let message = invalid(run(&module("", ""), listens));
    assert!(message.contains("descriptor 0 (`web`): the port is taken"), "{message}");
    let null = "{ kind = \"null\" },".repeat(4);
    let few = format!("files = [{null}]\n[limits]\nopen_files = 4");
    assert!(invalid(run(&module("", ""), &few)).contains("open_files"));
}

/// All calls, with the types of their parameters: `i` 32 bits, `I` 64 bits. The one that waits comes first, while the memory is
/// all zero: a span of no time.
const CALLS: [(&str, &str); 45] = [
    ("poll_oneoff", "iiii"),
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "iIi"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("fd_advise", "iIIi"),
    ("fd_allocate", "iII"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "iII"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "iI"),
    ("fd_filestat_set_times", "iIIi"),
    ("fd_pread", "iiiIi"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_prestat_get", "ii"),
    ("fd_pwrite", "iiiIi"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiiIi"),
    ("fd_renumber", "ii"),
    ("fd_seek", "iIii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiiIIi"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiiIIii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("proc_raise", "i"),
    ("random_get", "ii"),
    ("sched_yield", ""),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
];

#[test]
fn every_call_survives_every_argument() {
    let values = ["0", "1", "3", "65535", "65536", "0x7fffffff", "-1"];
    let (mut imports, mut body) = (String::new(), String::new());
    for (name, kinds) in CALLS {
        let kind = |kind| if kind == 'i' { "i32" } else { "i64" };
        let params: Vec<_> = kinds.chars().map(kind).collect();
        imports += &format!("{name} (param {}) (result i32);", params.join(" "));
        // Each parameter takes each value while the others have another one in common.
        for (place, _) in params.iter().enumerate() {
            for common in values {
                for value in values {
                    let args: String = params
                        .iter()
                        .enumerate()
                        .map(|(index, kind)| {
                            let value = if index == place { value } else { common };
                            format!("({kind}.const {value})")
                        })
                        .collect();
                    body += &format!("(drop (call ${name} {args}))");
                }
            }
        }
    }
    // What counts is that it ends, and not by a trap.
    assert_eq!(run(&module(&imports, &body), ""), Outcome::Exited(0));
    let without_memory = module(&imports, &body).replace("(export \"memory\")", "");
    assert_eq!(run(&without_memory, ""), Outcome::Exited(0));
}

#[test]
fn reads_its_package() {
    // Path at 0, descriptor at 16, buffer at 24, count at 32, content at 64.
    let body = "
        (i64.store (i32.const 0) (i64.const 0x78742e61746164)) ;; data.tx
        (i32.store8 (i32.const 7) (i32.const 0x74))            ;; t
        (call $must (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 0)
            (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16)))
        (i32.store (i32.const 24) (i32.const 64))
        (i32.store (i32.const 28) (i32.const 100))
        (call $must (call $fd_read (i32.load (i32.const 16)) (i32.const 24) (i32.const 1) (i32.const 32)))
        (if (i32.ne (i32.load (i32.const 32)) (i32.const 12)) (then unreachable))
        (call $exit (i32.load8_u (i32.const 64)))";
    let imports = "path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32);
                   fd_read (param i32 i32 i32 i32) (result i32)";
    assert_eq!(run(&module(imports, body), ""), Outcome::Exited(i32::from(b't')));
}
