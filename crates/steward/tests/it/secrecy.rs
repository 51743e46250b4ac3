// SPDX-License-Identifier: Apache-2.0

//! The CA's private key is where it must be, and nowhere else (RELIABILITY S-4).

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::keep::{Keep, SILICON, policy, unnamed};
use crate::steward::{Files, Setup, Steward, write};

/// What gives a key away: pieces of it, as they are, in hex, and in base64.
struct Needles(Vec<(&'static str, Vec<u8>)>);

impl Needles {
    fn of(pem: &str) -> Self {
        let (_, der) = der::pem::decode_vec(pem.as_bytes()).unwrap();
        let pair =
            EcdsaKeyPair::from_private_key_der(&ECDSA_P384_SHA384_ASN1_SIGNING, &der).unwrap();
        let scalar = AsBigEndian::<EcPrivateKeyBin<'_>>::as_be_bytes(&pair.private_key()).unwrap();
        let scalar = scalar.as_ref();
        let mut needles = vec![
            ("raw", scalar[..16].to_vec()),
            ("raw, reversed", scalar[..16].iter().rev().copied().collect()),
            ("hex", hex::encode(&scalar[..12]).into_bytes()),
            ("HEX", hex::encode_upper(&scalar[..12]).into_bytes()),
        ];
        // In whichever of three ways its bytes fall into groups of three.
        for offset in 0..3 {
            let text = STANDARD.encode(&scalar[offset..offset + 12]);
            needles.push(("base64", text.into_bytes()));
        }
        Self(needles)
    }

    /// How the key shows in `bytes`.
    fn shown(&self, bytes: &[u8]) -> Option<&'static str> {
        self.find(bytes, |_| true)
    }

    /// How the key shows in `bytes` as text.
    fn in_text(&self, bytes: &[u8]) -> Option<&'static str> {
        self.find(bytes, |name| !name.starts_with("raw"))
    }

    fn find(&self, bytes: &[u8], which: impl Fn(&str) -> bool) -> Option<&'static str> {
        let shown = |needle: &[u8]| {
            let (first, rest) = needle.split_first().unwrap();
            let mut from = bytes;
            while let Some(at) = from.iter().position(|byte| byte == first) {
                from = &from[at + 1..];
                if from.starts_with(rest) {
                    return true;
                }
            }
            false
        };
        let mut needles = self.0.iter().filter(|(name, _)| which(name));
        needles.find(|(_, needle)| shown(needle)).map(|(name, _)| *name)
    }
}

/// The memory that a process may write, piece by piece; none if nobody may read it.
fn memory(process: u32) -> Option<Vec<Vec<u8>>> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).ok()?;
    let mut file = File::open(format!("/proc/{process}/mem")).ok()?;
    let mut pieces = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let length = number(end) - number(start);
        let mut piece = Vec::new();
        // Some ranges are reserved and never used; reading them fails, and they hold nothing.
        file.seek(SeekFrom::Start(number(start))).unwrap();
        let _ = (&mut file).take(length).read_to_end(&mut piece);
        pieces.push(piece);
    }
    Some(pieces)
}

/// `STEWARD_REQUESTS` says how many requests are made first.
#[test]
fn the_key_is_nowhere_but_in_its_file() {
    let count = std::env::var("STEWARD_REQUESTS").ok().and_then(|text| text.parse().ok());
    let setup = Setup {
        policy: policy(&[]),
        simulated_roots: Some(SILICON.roots_pem()),
        ..Setup::default()
    };
    let files = Arc::new(Files::new(&setup));
    let pem = fs::read_to_string(files.path("ca/ca.key")).unwrap();
    let needles = Needles::of(&pem);
    assert_eq!(needles.shown(pem.as_bytes()), Some("base64"), "the search finds what is there");
    let mut command = files.serve(&setup);
    command.args(["--log-filter", "trace"]);
    let steward = Steward::run(files.clone(), command);
    let keep = Keep::new();
    let good = keep.request(&keep.evidence(Some(unnamed())));
    let mut said = Vec::new();
    for number in 0..count.unwrap_or(100) {
        let answer = match number % 3 {
            0 => steward.request(&good[..good.len() - 1]),
            1 => steward.get("/ca.pem"),
            _ => steward.request(&good),
        };
        said.push(answer.body);
    }
    // The key is read once more.
    steward.signal("HUP");
    for _ in 0..2 {
        steward.logged(&["the CA is read"]);
    }
    let process = steward.id();
    match memory(process) {
        Some(pieces) => {
            let total: usize = pieces.iter().map(Vec::len).sum();
            println!("{} KiB of memory searched", total / 1024);
            assert!(total > 1024 * 1024, "that is not all of it");
            // The cryptography must have the key itself; the file, as it was read, is gone.
            let text = pieces.iter().find_map(|piece| needles.in_text(piece));
            assert_eq!(text, None, "a copy of the file");
        }
        None => println!("nobody reads the memory of Steward, this test neither"),
    }
    // The key where others belong.
    said.push(steward.request(pem.as_bytes()).body);
    let chain = fs::read(files.path("ca/ca.pem")).unwrap();
    write(&files.path("ca/ca.pem"), &pem, 0o644);
    steward.signal("HUP");
    steward.logged(&["the new CA is refused"]);
    write(&files.path("ca/ca.pem"), chain, 0o644);

    said.extend(steward.log().into_iter().map(String::into_bytes));
    for name in ["cmdline", "environ"] {
        said.extend(fs::read(format!("/proc/{process}/{name}")));
    }
    for item in fs::read_dir(files.path("log")).unwrap() {
        said.push(fs::read(item.unwrap().path()).unwrap());
    }
    for bytes in &said {
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(needles.shown(bytes), None, "{text}");
    }
    assert_eq!(steward.stop(), Some(0));
}

/// How a program ends that is told to abort, with room for a core.
fn aborted(mut command: Command) -> ExitStatus {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // Once it says something, it is as it will be.
    let mut first = [0];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let killed = Command::new("kill").args(["-s", "ABRT", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
    child.wait().unwrap()
}

#[test]
fn no_core_is_dumped() {
    let files = Files::new(&Setup::default());
    let with_room = |program: &Command| {
        let mut command = Command::new("bash");
        command.args(["-c", "ulimit -c unlimited && exec \"$@\"", "bash"]);
        command.arg(program.get_program()).args(program.get_args()).current_dir(files.dir.path());
        command
    };
    let mut other = Command::new("bash");
    other.args(["-c", "echo ready; exec sleep 60"]);
    if !aborted(with_room(&other)).core_dumped() {
        eprintln!("SKIP no_core_is_dumped: this system dumps no cores at all");
        return;
    }
    let status = aborted(with_room(&files.serve(&Setup::default())));
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
}
