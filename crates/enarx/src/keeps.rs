// SPDX-License-Identifier: Apache-2.0

//! Starting a Keep, showing what it says, and what its end means.

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use keep::{Backend, EvidenceSource, Image, Launch};
use types::hostlink::{Boot, EXIT_KEEP, EXIT_LIMIT, EXIT_TRAP, Ending, Event, Workload};

use crate::cli::{KeepArgs, Level};
use crate::failure::{self, Failure, Outcome};
use crate::output::{self, Style};
use crate::{files, silicon};

/// How to start a Keep: where, from what, and who attests to it.
pub struct Start {
    /// Where.
    pub backend: &'static dyn Backend,
    /// The program in it.
    pub exec: Image,
    /// Who answers for silicon that is not there.
    pub simulate: Option<Arc<dyn EvidenceSource>>,
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("backend", &self.backend)
            .field("exec", &self.exec)
            .finish_non_exhaustive()
    }
}

impl Start {
    /// What the command line asks for. With `must_attest`, a backend without evidence is refused unless it is simulated.
    ///
    /// # Errors
    /// With exit code 125, if this machine cannot do it.
    pub fn from_args(args: &KeepArgs, must_attest: bool) -> Result<Self, Failure> {
        let prepare = || {
            let must_attest = must_attest && args.simulate.is_none();
            let backend = keep::choose(args.backend.as_deref(), must_attest)
                .map_err(|error| failure_of(&error))?;
            let path = files::find_exec(args.exec.as_deref())?;
            let exec = Image::read(&path).map_err(|error| failure_of(&error))?;
            let simulate = silicon::from_args(args, &exec)?;
            Ok(Self { backend, exec, simulate })
        };
        prepare().map_err(|failure: Failure| failure.code(failure::EXIT_KEEP))
    }
}

/// How an error of the loader is shown.
pub fn failure_of(error: &keep::Error) -> Failure {
    Failure::new(error.to_string()).next(error.hint()).code(failure::EXIT_KEEP)
}

/// What to show of what a Keep says.
#[derive(Clone, Copy, Debug)]
pub struct Show {
    /// One JSON object per line.
    pub json: bool,
    /// The 13 steps.
    pub steps: bool,
    /// Most verbose log level.
    pub level: Level,
}

impl Show {
    /// Shows an event on standard error.
    pub fn event(self, event: &Event) {
        if self.json {
            // Plain data always serialises.
            output::talk(&serde_json::to_string(event).unwrap_or_default());
            return;
        }
        let style = output::stderr_style();
        match event {
            Event::Step { .. } if self.steps || self.level >= Level::Info => {
                output::talk_raw(&step(event, style))
            }
            Event::Timing { phase, micros } if self.level >= Level::Info => {
                output::talk(&format!("{phase}: {}", output::micros(*micros)))
            }
            Event::Listening { port } => output::talk(&format!("listening on port {port}")),
            // The Keep logs it as well, as a warning.
            Event::Refused { address, reason } if self.level < Level::Warn => {
                output::talk(&format!("{} {address}: {reason}", style.warn("refused")))
            }
            _ => {}
        }
    }

    /// Shows a line of its log on standard error.
    pub fn log(self, level: &str, text: &str) {
        if Level::from_name(level) > self.level {
            return;
        }
        if self.json {
            output::talk(&serde_json::json!({"log": level, "text": text}).to_string());
        } else {
            output::talk(&format!("keep: {level}: {text}"));
        }
    }
}

/// One of the 13 steps, with what was proved; nothing for other events.
pub fn step(event: &Event, style: Style) -> String {
    let Event::Step { number, title, facts, at_micros } = event else { return String::new() };
    let mut text = format!(
        "{} {}  {}\n",
        style.bold(&format!("{number:>4}")),
        title,
        style.dim(&format!("+{}", output::micros(*at_micros)))
    );
    let width = facts.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    for (label, value) in facts {
        text.push_str(&format!("       {}  {value}\n", style.dim(&format!("{label:width$}"))));
    }
    text
}

/// Starts a Keep with this program's own standard streams, shows what happens, and waits for its end.
///
/// # Errors
/// With the exit codes of [`Event::Ended`] and [`Event::Failed`].
pub fn run(
    start: Start,
    workload: Workload,
    files: Vec<(String, Vec<u8>)>,
    reach_roots_pem: String,
    show: Show,
) -> Outcome {
    let boot = Boot { workload, reach_roots_pem, log_level: show.level.name().to_owned() };
    let mut launch = Launch::new(start.exec, boot);
    launch.files = files;
    launch.simulate = start.simulate;
    let (sender, endings) = channel();
    launch.on_event = Box::new(move |event| {
        show.event(&event);
        if matches!(event, Event::Failed { .. } | Event::Ended { .. }) {
            // The receiver lives until the Keep has ended.
            let _ = sender.send(event);
        }
    });
    launch.on_log = Box::new(move |level, text| show.log(level, text));
    let running = start.backend.start(launch).map_err(|error| failure_of(&error))?;
    let status = running.wait().map_err(|error| failure_of(&error))?;
    outcome(&endings, status)
}

fn outcome(endings: &Receiver<Event>, status: ExitStatus) -> Outcome {
    match endings.try_iter().last() {
        Some(event) => ending(&event),
        None => {
            let how = match status.signal() {
                Some(signal) => format!("signal {signal} ended it"),
                None => format!(
                    "it ended with exit code {} and no word",
                    status.code().unwrap_or_default()
                ),
            };
            Err(Failure::new("the Keep failed")
                .why(how)
                .next("run it again with --log-filter debug; `enarx platform info` shows what this machine allows")
                .code(failure::EXIT_KEEP))
        }
    }
}

/// What the last event of a Keep means for who started it.
///
/// # Errors
/// If the workload or the Keep failed.
pub fn ending(event: &Event) -> Outcome {
    let code = |code: i32| u8::try_from(code).unwrap_or(failure::EXIT_KEEP);
    match event {
        Event::Ended { outcome: Ending::Exited { code: exit }, .. } => Ok(code(*exit)),
        Event::Ended { outcome: Ending::Trapped { message }, .. } => {
            Err(Failure::new("the workload trapped").why(message).code(code(EXIT_TRAP)))
        }
        Event::Ended { outcome: Ending::Limit { which, message }, .. } => {
            Err(Failure::new(format!("the workload reached its {which} limit"))
                .why(message)
                .next("raise it under [limits] in Enarx.toml, if it is meant to use that much")
                .code(code(EXIT_LIMIT)))
        }
        Event::Failed { stage, message, hint } => {
            let failure = Failure::new(format!("the Keep gave up: {}", during(stage)))
                .why(message)
                .code(code(EXIT_KEEP));
            Err(if hint.is_empty() { failure } else { failure.next(hint) })
        }
        _ => Ok(0),
    }
}

/// What a Keep could not do, by the name of the stage.
fn during(stage: &str) -> &str {
    match stage {
        "boot" => "it could not start",
        "resolve" => "it could not learn which digest and Steward the name stands for",
        "attest" => "it got no evidence",
        "certify" => "it got no certificate",
        "fetch" => "it could not fetch the workload",
        "config" => "the configuration of the workload is not valid",
        "run" => "it could not run the workload",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::digest::Sha256;

    fn ended(outcome: Ending) -> Event {
        Event::Ended { outcome, digest: Sha256([0; 32]) }
    }

    #[test]
    fn exit_codes_are_as_documented() {
        assert_eq!(ending(&ended(Ending::Exited { code: 7 })), Ok(7));
        let trap = ending(&ended(Ending::Trapped { message: "unreachable".into() })).unwrap_err();
        assert_eq!((trap.code, trap.why.as_deref()), (134, Some("unreachable")));
        let limit = ending(&ended(Ending::Limit { which: "cpu".into(), message: "1 s".into() }))
            .unwrap_err();
        assert_eq!(limit.code, 137);
        assert!(limit.what.contains("cpu limit"));
        let failed = Event::Failed {
            stage: "attest".into(),
            message: "ENOSYS".into(),
            hint: "use a TEE".into(),
        };
        let failure = ending(&failed).unwrap_err();
        assert_eq!((failure.code, failure.next.as_deref()), (125, Some("use a TEE")));
    }

    #[test]
    fn steps_show_what_was_proved() {
        let event = Event::Step {
            number: 5,
            title: "the CPU attests".into(),
            facts: vec![("chip".into(), "ab".into()), ("measurement".into(), "cd".into())],
            at_micros: 1_500,
        };
        let text = step(&event, Style::PLAIN);
        assert_eq!(
            text,
            "   5 the CPU attests  +1.5 ms\n       chip         ab\n       measurement  cd\n"
        );
    }
}
