// SPDX-License-Identifier: Apache-2.0

//! The program that runs inside of a Keep. Started by `enarx`, never by hand.

#![deny(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::exit;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use enarx_exec::clock::Clock;
use enarx_exec::deploy::{self, Failure, Stage};
use enarx_exec::hostlink::Link;
use enarx_exec::sys;
use types::hostlink::EXIT_KEEP;

/// What the last panic said.
static PANIC: Mutex<String> = Mutex::new(String::new());

fn main() {
    let started = Instant::now();
    let Some(stream) = sys::take_link() else {
        eprintln!(
            "enarx-exec is the inside of a Keep and is started by `enarx`: try `enarx run --help`"
        );
        exit(EXIT_KEEP);
    };
    let (link, boot, files) = match Link::boot(stream, started) {
        Ok(taken) => taken,
        Err(error) => {
            // Without a boot message there is nobody to tell but the terminal.
            eprintln!("enarx-exec: the loader's boot message cannot be used: {error}");
            exit(EXIT_KEEP);
        }
    };
    link.timing("start", started);
    std::panic::set_hook(Box::new(|info| {
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string();
    }));
    let clock = Clock::new();
    let run = || deploy::run(boot, files, &link, &clock, &sys::attestation);
    let code = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let what = PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let failure = Failure::new(Stage::Run, format!("internal error: {what}"));
        deploy::give_up(&link, &failure.hint("this is a defect of the Keep; please report it"))
    });
    exit(code);
}
