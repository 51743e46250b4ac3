// SPDX-License-Identifier: Apache-2.0

//! A disk whose calls fail, by strace: what is said yes to is there, what is read is read, and afterwards all goes on.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};

use drawbridge_client::drawbridge_core::Tree;

use crate::world::{Options, World, digest, files, slug, status};

/// A strace that makes calls of a process fail, as long as this is there.
struct Faults {
    strace: Child,
    /// What it says goes on; it must have somewhere to go.
    _said: BufReader<ChildStderr>,
}

impl Faults {
    /// From the `from`th call of a thread on, every `call` of that thread of the process fails with `error`.
    fn begin(pid: u32, call: &str, error: &str, from: u32) -> Self {
        let mut strace = Command::new("strace")
            .args(["-f", "-o", "/dev/null"])
            .args(["-e", &format!("trace={call}"), "-p", &pid.to_string()])
            .arg("-e")
            .arg(format!("inject={call}:error={error}:when={from}+"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(strace.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("attached") {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "strace does not attach");
        }
        Self { strace, _said: said }
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        // It detaches and ends.
        let _ = Command::new("kill").args(["-INT", &self.strace.id().to_string()]).status();
        let _ = self.strace.wait();
    }
}

/// RELIABILITY D-3.
#[test]
fn whatever_call_of_the_disk_fails_nothing_said_yes_to_is_lost() {
    if Command::new("strace").arg("--version").output().is_err() {
        eprintln!("SKIP whatever_call_of_the_disk_fails_nothing_said_yes_to_is_lost: no strace");
        return;
    }
    let mut world = World::with(Options { audit: true, ..Options::default() });
    let ann = world.register("app", true, false);
    world.publish(&ann, "ann/app:0.0.1").unwrap();
    let package = |n: u32| {
        let mut package = files();
        package.push(("n".to_owned(), vec![7; 1000 + usize::try_from(n).unwrap()]));
        package.sort();
        package
    };
    let mut held = Vec::new();
    let (mut refused, mut n) = (0, 0);
    for (call, most) in [("fsync", 8), ("linkat", 4), ("openat", 6), ("mkdir", 2), ("unlink", 4)] {
        for error in ["EIO", "ENOSPC"] {
            for from in 1..=most {
                n += 1;
                let what = format!("{call} fails with {error} from the {from}th on");
                let tag = format!("1.0.{n}");
                let name = slug(&format!("ann/app:{tag}"));
                let faults = Faults::begin(world.pid(), call, error, from);
                let ann = world.person("ann");
                match ann.publish(&name, package(n), &mut |_| {}) {
                    Ok(_) => {}
                    Err(refusal) => {
                        let status = refusal.status();
                        assert!(matches!(status, Some(503 | 507)), "{what}: {refusal}");
                        refused += 1;
                    }
                }
                // Reading needs no disk that writes.
                if call != "openat" {
                    let read = world.anonymous().fetch_package(&slug("ann/app:0.0.1"), &digest());
                    assert!(read.is_ok(), "{what}: {read:?}");
                }
                drop(faults);
                // As soon as the disk is good again, the same request is taken.
                ann.publish(&name, package(n), &mut |_| {})
                    .unwrap_or_else(|e| panic!("{what}: {e}"));
                held.push((name, n));
            }
        }
    }
    println!("{n} faults, {refused} of them refused a publication");
    assert!(refused > n / 2);
    world.kill();
    world.start_again();
    let client = world.anonymous();
    for (name, n) in &held {
        let digest = Tree::from_files(package(*n)).unwrap().digest();
        assert_eq!(client.fetch_package(name, &digest).unwrap(), package(*n));
    }
    assert_eq!(status(client.tag_entry(&slug("ann/app:9.9.9"))), 404);
    assert_eq!(client.tags("ann", "app").unwrap().len(), held.len() + 1);
}
