// SPDX-License-Identifier: Apache-2.0

//! Builds and starts the test program `guest.c`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, OnceLock};

use enarx_keep::{Error, Image, Launch, Running, Stream, nil};
use types::hostlink::{Boot, Workload};

/// The test program, or `None` and a counted SKIP where there is no C compiler.
pub(crate) fn image(test: &str) -> Option<Image> {
    static BUILT: OnceLock<Result<Image, String>> = OnceLock::new();
    match BUILT.get_or_init(|| build().map(|path| Image::read(&path).unwrap())) {
        Ok(image) => Some(image.clone()),
        Err(why) => {
            println!("SKIP {test}: {why}");
            None
        }
    }
}

fn build() -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/guest.c");
    let program =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("guest-{}", std::process::id()));
    let output = Command::new("cc")
        .args(["-static-pie", "-O1", "-Wall", "-Wextra", "-pthread", "-o"])
        .arg(&program)
        .arg(&source)
        .output()
        .map_err(|error| format!("no C compiler: {error}"))?;
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{messages}");
    Ok(program)
}

/// A boot message that tells the test program what to do.
pub(crate) fn boot(what: &str) -> Boot {
    Boot {
        workload: Workload::Local { files: Vec::new(), args: vec![what.to_owned()], attest: false },
        reach_roots_pem: String::new(),
        log_level: "info".into(),
    }
}

/// Lines that the program says.
pub(crate) type Lines = Arc<Mutex<Vec<String>>>;

/// A launch of the program for `what`, whose lines are collected.
pub(crate) fn launch(image: Image, what: &str) -> (Launch, Lines) {
    let lines = Lines::default();
    let mut launch = Launch::new(image, boot(what));
    launch.stdin = Stream::Null;
    let collected = Arc::clone(&lines);
    launch.on_log = Box::new(move |_, text| collected.lock().unwrap().push(text.to_owned()));
    (launch, lines)
}

/// Starts and waits.
pub(crate) fn finish(launch: Launch) -> Result<ExitStatus, Error> {
    nil::start(launch).and_then(Running::wait)
}

/// Runs the program for `what`, which must end well; what it said.
pub(crate) fn run(image: Image, what: &str) -> Vec<String> {
    let (launch, lines) = launch(image, what);
    let status = finish(launch).unwrap();
    let lines = lines.lock().unwrap().clone();
    assert_eq!(status.code(), Some(3), "{status}, {lines:?}");
    lines
}
