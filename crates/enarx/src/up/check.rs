// SPDX-License-Identifier: Apache-2.0

//! `enarx up --check`: what must hold, and what must be refused, tried for real.

mod certificates;
mod registry;
mod release;
mod room;

use types::hostlink::{Event, FromKeep};
use types::slug::Slug;

use super::hub::{Happening, Interrupted};
use super::report::{Report, Timing};
use super::{CLIENT, GREETING, Guests, ROOM, World};
use crate::failure::{EXIT_FAILED, Failure, Outcome};
use crate::output;

/// What came out of one check: whether it is as expected, and what happened in words.
type Got = Result<(bool, String), Failure>;

/// The checks under way.
struct Checker<'w> {
    world: &'w mut World,
    report: Report,
}

/// Makes all checks and shows them.
///
/// # Errors
/// If a service dies or somebody stops it; with exit code 1 and a table if a check did not hold.
pub(super) fn run(world: &mut World, guests: Guests, json: bool) -> Outcome {
    output::talk(&format!(
        "\n{}",
        output::stderr_style()
            .bold("Now everything that must hold, and everything that must be refused:")
    ));
    let mut checker = Checker { world, report: Report::default() };
    checker.report.add(
        "a message goes from client to room and back",
        "said in the room",
        format!("guest 1: {GREETING}"),
        true,
    );
    room::run(&mut checker)?;
    certificates::run(&mut checker)?;
    registry::run(&mut checker)?;
    release::run(&mut checker)?;
    let mut report = checker.report;
    drop(guests);
    report.timings = timings(world);
    if json {
        output::json(&report.json())?;
    } else {
        output::data(&format!("\n{}", report.table(output::stdout_style())))?;
    }
    if report.ok() {
        output::talk("everything held");
        return Ok(0);
    }
    let failed = report.count(super::report::Verdict::Failed);
    Err(Failure::new(format!("{failed} of {} checks did not hold", report.checks.len()))
        .next(format!("look at the logs in {}", world.state.directory().display()))
        .code(EXIT_FAILED))
}

impl Checker<'_> {
    /// Makes one check. What goes wrong in it is its result, unless everything is to end.
    fn check(
        &mut self,
        check: &str,
        expected: &str,
        make: impl FnOnce(&mut World) -> Got,
    ) -> Result<(), Failure> {
        let (ok, got) = match make(self.world) {
            Ok(got) => got,
            Err(failure) => {
                match self.world.hub.catch_up(&mut |_| {}) {
                    Err(interrupted @ (Interrupted::Stop | Interrupted::Died(..))) => {
                        return Err(self.world.interrupted(check, &interrupted));
                    }
                    Ok(()) | Err(Interrupted::Timeout) => {}
                }
                if failure.what.is_empty() {
                    return Err(failure);
                }
                (false, failure.to_string())
            }
        };
        let style = output::stderr_style();
        let mark = if ok { style.good("  ok") } else { style.bad("  NO") };
        output::talk(&format!("{mark}  {check}: {}", got.lines().next().unwrap_or_default()));
        self.report.add(check, expected, got, ok);
        Ok(())
    }
}

impl World {
    /// Deploys a package in a Keep that must give up; where and why it did.
    ///
    /// # Errors
    /// If it cannot be started, or goes on until the limit.
    fn gives_up(
        &mut self,
        name: &str,
        slug: &Slug,
        attested: bool,
        steward: Option<String>,
    ) -> Result<(String, String), Failure> {
        let mark = self.hub.mark();
        let keep = self.deploy_with(name, slug, attested, steward)?;
        let mut failed = None;
        let waited =
            self.hub.wait(mark, super::PATIENCE, &mut |_| {}, |happening| match happening {
                Happening::Keep {
                    name: who,
                    message: FromKeep::Event { event: Event::Failed { stage, message, .. } },
                } if who == name => {
                    failed = Some((stage.clone(), message.clone()));
                    None
                }
                Happening::Ended { name: who, code } if who == name => Some(*code),
                _ => None,
            });
        drop(keep);
        let code = waited.map_err(|interrupted| {
            self.interrupted(&format!("the Keep {name} gives up"), &interrupted)
        })?;
        failed.ok_or_else(|| {
            Failure::new(format!("the Keep did not give up, but ended with exit code {code}"))
        })
    }
}

/// The measured pieces of the two Keeps of the demo.
fn timings(world: &World) -> Vec<Timing> {
    let all = world.hub.since(super::hub::Mark::START).iter();
    all.filter_map(|happening| match happening {
        Happening::Keep {
            name,
            message: FromKeep::Event { event: Event::Timing { phase, micros } },
        } if name == ROOM || name == CLIENT => {
            Some(Timing { keep: name.clone(), phase: phase.clone(), micros: *micros })
        }
        _ => None,
    })
    .collect()
}
