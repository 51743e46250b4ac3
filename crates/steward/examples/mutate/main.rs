// SPDX-License-Identifier: Apache-2.0

//! Changes evidence at random, and sees that no verifier takes what was changed: each recorded case, and each kind of
//! simulated silicon.
//!
//! `cargo run --release -p steward --example mutate -- [--count N] [--seconds N] [--seed N] [DIRECTORY]`
//!
//! `N` mutants of each case, or as many as fit into the seconds; the directory is `../shared/evidence` unless given. The same
//! seed makes the same mutants.

#![allow(clippy::expect_used, reason = "a program for tests, not a part of the product")]

mod cases;
mod mutant;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use trial::Totals;

fn main() -> ExitCode {
    let (mut count, mut seconds, mut seed) = (1000_u64, u64::MAX, 0_u64);
    let mut directory = PathBuf::from("../shared/evidence");
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let number = match argument.as_str() {
            "--count" => &mut count,
            "--seconds" => &mut seconds,
            "--seed" => &mut seed,
            _ => {
                directory = argument.into();
                continue;
            }
        };
        let Some(value) = arguments.next().and_then(|value| value.parse().ok()) else {
            eprintln!("{argument} wants a number");
            return ExitCode::FAILURE;
        };
        *number = value;
    }
    let mut cases = cases::simulated();
    match cases::recorded(&directory) {
        Ok(recorded) => cases.extend(recorded),
        Err(error) => eprintln!("only simulated silicon: {error}"),
    }
    let started = Instant::now();
    let (mut totals, mut done) = (Totals::default(), 0);
    // A round goes through all cases, so that each gets as many.
    while done < count && started.elapsed() < Duration::from_secs(seconds.min(1 << 40)) {
        let round = (count - done).min(1000);
        for (index, case) in cases.iter().enumerate() {
            totals.add(trial::run(
                case,
                &cases,
                seed.wrapping_add(index as u64),
                done..done + round,
            ));
        }
        done += round;
    }
    println!(
        "{} cases ({} of them taken as they are), {done} mutants each, {} s\n{totals}",
        cases.len(),
        cases.iter().filter(|case| case.taken.is_some()).count(),
        started.elapsed().as_secs()
    );
    if totals.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
