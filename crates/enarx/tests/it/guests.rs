// SPDX-License-Identifier: Apache-2.0

//! `enarx run` with programs as other toolchains emit them: C (clang), AssemblyScript, Go.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::OnceLock;

use crate::enarx;

/// Sources of the guests.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests")
}

/// Where this run keeps its modules.
fn scratch() -> &'static Path {
    static SCRATCH: OnceLock<tempfile::TempDir> = OnceLock::new();
    SCRATCH.get_or_init(|| tempfile::tempdir().unwrap()).path()
}

/// Runs a compiler. `None` if it is not installed; fails if it is and does not like the source.
fn compile(command: &mut Command) -> Option<()> {
    match command.output() {
        Ok(output) => {
            assert!(
                output.status.success(),
                "{command:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            Some(())
        }
        Err(_) => None,
    }
}

fn clang(program: &str) -> Option<PathBuf> {
    let module = scratch().join(format!("c-{program}.wasm"));
    let source = sources().join("c").join(program).with_extension("c");
    compile(
        Command::new("clang-14")
            .args(["--target=wasm32-wasi", "-O2", "-o"])
            .arg(&module)
            .arg(source),
    )?;
    Some(module)
}

fn assemblyscript(program: &str) -> Option<PathBuf> {
    let module = scratch().join(format!("as-{program}.wasm"));
    let source = sources().join("assemblyscript").join(program).with_extension("ts");
    let mut asc = Command::new("asc");
    compile(
        asc.arg(source).args(["--runtime", "stub", "--use", "abort=", "-O", "-o"]).arg(&module),
    )?;
    Some(module)
}

/// Builds `main.go` in `directory`; the module has this name.
pub(crate) fn go(directory: &Path, name: &str) -> Option<PathBuf> {
    let module = scratch().join(format!("go-{name}.wasm"));
    let mut go = Command::new("go");
    go.args(["build", "-ldflags=-s -w", "-o"]).arg(&module).arg("main.go").current_dir(directory);
    for (name, value) in [
        ("GOOS", "wasip1"),
        ("GOARCH", "wasm"),
        ("GOTOOLCHAIN", "local"),
        ("GOPROXY", "off"),
        ("GO111MODULE", "off"),
    ] {
        go.env(name, value);
    }
    compile(&mut go)?;
    Some(module)
}

fn hello(module: Option<PathBuf>, name: &str) {
    let Some(module) = module else {
        println!("SKIP {name}: its compiler is not installed");
        return;
    };
    let output = enarx().arg("run").arg(module).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Hello, world!\n");
}

#[test]
fn hello_from_c() {
    hello(clang("hello"), "hello_from_c");
}

#[test]
fn hello_from_assemblyscript() {
    hello(assemblyscript("hello"), "hello_from_assemblyscript");
}

#[test]
fn hello_from_go() {
    hello(go(&sources().join("go/hello"), "hello"), "hello_from_go");
}

/// Ends the child when a test is over, however it is over.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs an echo server on a preopened listener and sends it `rounds` messages over each of two connections.
fn echo(module: Option<PathBuf>, name: &str) {
    let Some(module) = module else {
        println!("SKIP {name}: its compiler is not installed");
        return;
    };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = scratch().join(format!("{name}.toml"));
    let text = format!(
        "[[files]]\nkind = \"null\"\n[[files]]\nkind = \"stdout\"\n[[files]]\nkind = \"stderr\"\n\
         [[files]]\nkind = \"listen\"\nname = \"echo\"\nprot = \"tcp\"\naddr = \"127.0.0.1\"\nport = {port}\n"
    );
    fs::write(&config, text).unwrap();
    let mut child = Running(
        enarx()
            .args(["run", "--log-filter", "info", "--config"])
            .arg(&config)
            .arg(module)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    // Held to the end: a Keep that cannot write to its log would not be the same Keep.
    let _log = wait_for_listener(&mut child.0, port);
    for connection in 0..2 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        for (round, size) in [1usize, 100, 5_000, 60_000].into_iter().enumerate() {
            let sent: Vec<u8> = (0..size).map(|i| (i * 7 + round + connection) as u8).collect();
            let mut writer = stream.try_clone().unwrap();
            let bytes = sent.clone();
            // Both ways at once: an echo that is larger than the buffers of the sockets would stop otherwise.
            let sender = std::thread::spawn(move || writer.write_all(&bytes).unwrap());
            let mut got = vec![0; size];
            stream.read_exact(&mut got).unwrap();
            sender.join().unwrap();
            assert!(got == sent, "round {round} of connection {connection}");
        }
    }
}

/// Waits until `enarx` says that the port listens.
fn wait_for_listener(child: &mut Child, port: u16) -> BufReader<ChildStderr> {
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    loop {
        let start = said.len();
        assert!(
            log.read_line(&mut said).unwrap() > 0,
            "the Keep never listened on port {port}; it said:\n{said}"
        );
        if said[start..].contains(&format!("listening on port {port}")) {
            return log;
        }
    }
}

#[test]
fn echo_from_c() {
    echo(clang("echo"), "echo_from_c");
}

#[test]
fn echo_from_assemblyscript() {
    echo(assemblyscript("echo"), "echo_from_assemblyscript");
}

#[test]
fn echo_from_go() {
    echo(go(&sources().join("go/echo"), "echo"), "echo_from_go");
}

/// Runs a misbehaving program under small limits and returns what became of it.
fn misbehave(program: &str, name: &str) -> Option<Output> {
    let Some(module) = clang(program) else {
        println!("SKIP {name}: clang-14 is not installed");
        return None;
    };
    let config = scratch().join(format!("{name}.toml"));
    fs::write(&config, "[stdout]\nkind = \"host\"\n[stderr]\nkind = \"host\"\n[limits]\nmemory = \"32MiB\"\ncpu_seconds = 1\n").unwrap();
    Some(enarx().arg("run").arg("--config").arg(config).arg(module).output().unwrap())
}

#[test]
fn a_trap_ends_with_its_reason() {
    let Some(output) = misbehave("trap", "a_trap_ends_with_its_reason") else { return };
    assert_eq!(output.status.code(), Some(134), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("unreachable"), "{output:?}");
}

#[test]
fn an_endless_loop_ends_at_the_cpu_limit() {
    let Some(output) = misbehave("spin", "an_endless_loop_ends_at_the_cpu_limit") else { return };
    assert_eq!(output.status.code(), Some(137), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("cpu"), "{output:?}");
}

#[test]
fn an_eater_of_memory_ends_at_the_memory_limit() {
    let Some(output) = misbehave("eat", "an_eater_of_memory_ends_at_the_memory_limit") else {
        return;
    };
    assert_ne!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("memory limit"), "{output:?}");
}
