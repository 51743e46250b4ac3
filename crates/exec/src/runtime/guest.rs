// SPDX-License-Identifier: Apache-2.0

//! The descriptors, arguments and environment with which a guest starts.

use std::rc::Rc;

use types::config::{Config, FileEntry, Stdio};

use crate::vfs::{Descriptor, Device, HostEnd, Kind, Node, Object, Opener, Preopen, Table};
use crate::wasi::abi::fdflags;

/// `argv[0]`
const PROGRAM: &str = "main.wasm";

/// The descriptors: those of `[[files]]`, exactly as listed, or else the three standard streams; then the directory `root`.
/// Sockets among them get the flags `sockets`.
///
/// # Errors
/// In words: which descriptor cannot be had, and why.
pub(crate) fn descriptors(
    config: &Config,
    network: &dyn Opener,
    root: Rc<Node>,
    sockets: u16,
) -> Result<Table, String> {
    let mut table = Table::new(config.limits.open_files);
    let full =
        |_| "`[limits] open_files` is less than the descriptors of the configuration".to_owned();
    let mut add = |object, preopen| {
        let is_socket = matches!(object, Object::Listener(_) | Object::Connection(_));
        let mut descriptor = Descriptor::new(object);
        descriptor.flags = if is_socket { sockets } else { 0 };
        descriptor.preopen = preopen;
        table.insert(descriptor).map(drop).map_err(full)
    };
    match &config.files {
        None => {
            add(input(config.stdin), Preopen::Other)?;
            add(output(config.stdout, std::io::stdout()), Preopen::Other)?;
            add(output(config.stderr, std::io::stderr()), Preopen::Other)?;
        }
        Some(files) => {
            for (fd, entry) in files.iter().enumerate() {
                let object = match entry {
                    FileEntry::Null { .. } => Ok(null()),
                    FileEntry::Stdin { .. } => Ok(input(Stdio::Host)),
                    FileEntry::Stdout { .. } => Ok(output(Stdio::Host, std::io::stdout())),
                    FileEntry::Stderr { .. } => Ok(output(Stdio::Host, std::io::stderr())),
                    FileEntry::Listen { addr, port, prot, .. } => {
                        network.listen_entry(*addr, *port, *prot).map(Object::Listener)
                    }
                    FileEntry::Connect { host, port, prot, .. } => {
                        network.connect_entry(host, *port, *prot).map(Object::Connection)
                    }
                };
                let named = |error| format!("descriptor {fd} (`{}`): {error}", entry.name());
                add(object.map_err(named)?, Preopen::Other)?;
            }
        }
    }
    add(Object::Node { node: root, position: 0 }, Preopen::Root)?;
    Ok(table)
}

/// The flags with which the sockets of `[[files]]` begin. They block, as in any process, so that a plain `accept` waits. Go is
/// the exception: it switches the sockets that it opens itself to non-blocking mode but not those that it finds open, and as all
/// its goroutines share one thread, one that waited in `accept` would stop all others.
pub(crate) fn socket_flags(wasm: &[u8]) -> u16 {
    if is_go(wasm) { fdflags::NONBLOCK } else { 0 }
}

/// Whether the Go linker made this module: it begins with a section for the build's number.
fn is_go(wasm: &[u8]) -> bool {
    const NAME: &[u8] = b"\x0ago:buildid";
    let Some([0, section @ ..]) = wasm.get(8..) else {
        return false;
    };
    // The section's length, in LEB128.
    let length = section.iter().take(5).take_while(|byte| **byte >= 0x80).count() + 1;
    section.get(length..).is_some_and(|content| content.starts_with(NAME))
}

/// The arguments, `argv[0]` first.
///
/// # Errors
/// In words: which one cannot be passed.
pub(crate) fn arguments(args: Vec<String>) -> Result<Vec<String>, String> {
    let args: Vec<String> = std::iter::once(PROGRAM.to_owned()).chain(args).collect();
    match args.iter().find(|arg| arg.contains('\0')) {
        Some(arg) => Err(format!("the argument {arg:?} has a zero byte")),
        None => Ok(args),
    }
}

/// The environment, each variable as `NAME=value`: `env`, and how many descriptors there are and what their names are.
///
/// # Errors
/// In words: which one cannot be passed.
pub(crate) fn environment(
    config: &Config,
    env: Vec<(String, String)>,
) -> Result<Vec<String>, String> {
    let names: Vec<&str> = match &config.files {
        None => vec!["stdin", "stdout", "stderr"],
        Some(files) => files.iter().map(FileEntry::name).collect(),
    };
    let ours = [("FD_COUNT", names.len().to_string()), ("FD_NAMES", names.join(":"))];
    let mut all = Vec::new();
    for (name, value) in env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(format!(
                "the environment variable {name:?} cannot be set: its name is empty or has `=`, or it has a zero byte"
            ));
        }
        if ours.iter().all(|(our, _value)| *our != name) {
            all.push(format!("{name}={value}"));
        }
    }
    all.extend(ours.iter().map(|(name, value)| format!("{name}={value}")));
    Ok(all)
}

fn null() -> Object {
    Object::Node { node: Node::numbered(0, Kind::Device(Device::Null), 0), position: 0 }
}

fn input(stdio: Stdio) -> Object {
    match stdio {
        Stdio::Null => null(),
        Stdio::Host => Object::Input(HostEnd(Box::new(std::io::stdin()))),
    }
}

fn output(stdio: Stdio, stream: impl std::os::fd::AsFd + 'static) -> Object {
    match stdio {
        Stdio::Null => null(),
        Stdio::Host => Object::Output(HostEnd(Box::new(stream))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_is_told_apart() {
        let module = |sections: &[u8]| [b"\0asm\x01\0\0\0", sections].concat();
        assert!(is_go(&module(b"\0\x0d\x0ago:buildid\xffx")));
        assert!(is_go(&module(b"\0\x8d\x80\x00\x0ago:buildid\xffx")));
        for other in [
            &b""[..],
            b"\0",
            b"\0\x0b\x09go:build",
            b"\x01\x0b\x0ago:buildid",
            b"\0\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(!is_go(&module(other)), "{other:?}");
        }
    }

    #[test]
    fn variables_are_checked() {
        let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let config = Config::default();
        let environment = |env| environment(&config, env);
        let expected = ["A=b=c", "FD_COUNT=3", "FD_NAMES=stdin:stdout:stderr"];
        assert_eq!(environment(pair("A", "b=c")).unwrap(), expected);
        assert_eq!(environment(pair("FD_COUNT", "9")).unwrap(), expected[1..]);
        for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "\0")] {
            assert!(environment(pair(name, value)).is_err());
        }
        assert_eq!(arguments(vec!["x".into()]).unwrap(), ["main.wasm", "x"]);
        assert!(arguments(vec!["x\0".into()]).is_err());
    }
}
