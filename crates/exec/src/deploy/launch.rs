// SPDX-License-Identifier: Apache-2.0

//! Step 13: the workload runs.

use std::rc::Rc;

use types::hostlink::{EXIT_LIMIT, EXIT_TRAP, Ending, Event};

use crate::deploy::{Context, Failure, Prepared, Stage};
use crate::hostlink::{Files, Level, Link};
use crate::net::Network;
use crate::runtime::{self, Job, Outcome, RuntimeEvent};

/// Name of a package's program.
const MAIN: &str = "main.wasm";

/// Runs the workload to its end; the Keep's exit code.
pub(super) fn run(context: &Context<'_>, prepared: Prepared) -> Result<i32, Failure> {
    let link = context.link;
    let Prepared { config, files, digest, identity } = prepared;
    let network = Network::new(&config, identity.as_ref(), context.clock, link)
        .map_err(|error| Failure::new(Stage::Config, error))?;
    let certified = if identity.is_some() {
        "with the certificate of Steward"
    } else {
        "without a certificate"
    };
    link.step(
        13,
        "The workload runs",
        vec![("digest", digest.to_string()), ("identity", certified.to_owned())],
    );
    drop(identity);
    let (wasm, files) = split(files)?;
    let job = Job {
        wasm: &wasm,
        files,
        config: &config,
        args: config.args.clone(),
        env: config.env.clone().into_iter().collect(),
        network,
        clock: context.clock.clone(),
        on: reporter(link.clone()),
    };
    let (outcome, code) = match runtime::run(job) {
        Outcome::Exited(code) => (Ending::Exited { code }, code),
        Outcome::Trapped { message } => (Ending::Trapped { message }, EXIT_TRAP),
        Outcome::LimitReached { which, message } => {
            (Ending::Limit { which: which.to_string(), message }, EXIT_LIMIT)
        }
        Outcome::Invalid { message } => {
            // The runtime says what to do about it in the same breath.
            return Err(Failure::new(Stage::Run, message));
        }
    };
    link.event(Event::Ended { outcome, digest });
    Ok(code)
}

/// The program, and the files as the workload sees them (the program among them).
fn split(files: Files) -> Result<(Vec<u8>, Files), Failure> {
    let wasm = files
        .iter()
        .find(|(path, _)| path == MAIN)
        .map(|(_, bytes)| bytes.clone())
        .ok_or_else(|| Failure::new(Stage::Config, "the package has no main.wasm"))?;
    Ok((wasm, files))
}

/// Passes on what the runtime says.
fn reporter(link: Link) -> Rc<dyn Fn(RuntimeEvent)> {
    let timing = |link: &Link, phase: &str, took: std::time::Duration| {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        link.event(Event::Timing { phase: phase.to_owned(), micros });
    };
    Rc::new(move |event| match event {
        RuntimeEvent::Compiled { took } => timing(&link, "compile", took),
        RuntimeEvent::Started { .. } => link.log(Level::Debug, "the workload starts"),
        RuntimeEvent::FirstByte { after } => timing(&link, "first_byte", after),
        RuntimeEvent::LimitReached { which, message } => {
            link.log(Level::Warn, &format!("limit on {which}: {message}"));
        }
        RuntimeEvent::NetworkRefused { path, message } => {
            link.log(Level::Warn, &format!("{path}: {message}"))
        }
    })
}
