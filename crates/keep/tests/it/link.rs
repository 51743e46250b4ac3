// SPDX-License-Identifier: Apache-2.0

use std::fs::File;
use std::io::{Read as _, Write as _};

use enarx_keep::{Error, Stream, nil};
use types::hostlink::Workload;

use crate::guest::{finish, image, launch, run};

#[test]
fn boot_message_and_files_arrive() {
    let Some(image) = image("keep.boot_message_and_files_arrive") else {
        return;
    };
    let (mut launch, lines) = launch(image, "files");
    launch.files = vec![("a".into(), vec![1; 5]), ("b/c".into(), vec![2; 70_000])];
    assert_eq!(finish(launch).unwrap().code(), Some(3));
    assert_eq!(*lines.lock().unwrap(), ["headers=1 sum=140005"]);
}

#[test]
fn files_for_a_workload_that_brings_its_own_are_refused() {
    let Some(image) = image("keep.files_for_a_workload_that_brings_its_own_are_refused") else {
        return;
    };
    let (mut launch, _) = launch(image, "files");
    launch.boot.workload = Workload::Remote {
        slug: "h/u/r:1.0.0".parse().unwrap(),
        steward: None,
        insecure_no_tee: false,
    };
    launch.files = vec![("a".into(), vec![])];
    assert!(matches!(nil::start(launch), Err(Error::Files(_))));
}

#[test]
fn names_are_resolved() {
    let Some(image) = image("keep.names_are_resolved") else {
        return;
    };
    let lines = run(image.clone(), "resolve 127.0.0.1");
    assert_eq!(lines, ["{.message.:.resolved.,.addresses.:[.127.0.0.1.],.error.:null}"]);
    // Not a name that any resolver is asked for: it has a space.
    let lines = run(image, "resolve a b");
    assert!(lines[0].starts_with("{.message.:.resolved.,.addresses.:[],.error.:."), "{lines:?}");
}

#[test]
fn a_keep_that_misbehaves_is_ended_with_an_error() {
    let Some(image) = image("keep.a_keep_that_misbehaves_is_ended_with_an_error") else {
        return;
    };
    for (what, part) in [
        ("garbage", "unknown variant"),
        ("long-frame", "longer than allowed"),
        ("questions", "too many names"),
    ] {
        let (launch, _) = launch(image.clone(), what);
        let error = finish(launch).unwrap_err();
        assert!(matches!(error, Error::Link(_)), "{what}: {error}");
        assert!(error.to_string().contains(part), "{what}: {error}");
    }
}

#[test]
fn log_lines_cannot_drive_a_terminal() {
    let Some(image) = image("keep.log_lines_cannot_drive_a_terminal") else {
        return;
    };
    assert_eq!(run(image, "control"), ["a [31m b"]);
}

#[test]
fn streams_lead_where_they_are_said_to() {
    let Some(image) = image("keep.streams_lead_where_they_are_said_to") else {
        return;
    };
    let mut output = tempfile::tempfile().unwrap();
    let (mut to_output, _) = launch(image.clone(), "output");
    to_output.stdout = Stream::Fd(output.try_clone().unwrap().into());
    to_output.stderr = Stream::Null;
    assert_eq!(finish(to_output).unwrap().code(), Some(3));
    let mut text = String::new();
    std::io::Seek::rewind(&mut output).unwrap();
    output.read_to_string(&mut text).unwrap();
    assert_eq!(text, "out");

    assert_eq!(run(image.clone(), "input"), ["read=0 -"]);
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"x").unwrap();
    let (mut from_input, lines) = launch(image, "input");
    from_input.stdin = Stream::Fd(File::from(std::os::fd::OwnedFd::from(reader)).into());
    assert_eq!(finish(from_input).unwrap().code(), Some(3));
    assert_eq!(*lines.lock().unwrap(), ["read=1 x"]);
}

#[test]
fn a_callback_that_panics_ends_the_keep() {
    let Some(image) = image("keep.a_callback_that_panics_ends_the_keep") else {
        return;
    };
    let (mut launch, _) = launch(image, "stay");
    launch.on_log = Box::new(|_, _| panic!("a panic that the test wants"));
    assert!(matches!(finish(launch), Err(Error::Link(_))));
}
