// SPDX-License-Identifier: Apache-2.0

//! `enarx up`: the whole system on this machine.
//!
//! Steward and Drawbridge run as any operator would run them; a user logs in, registers and publishes by the code that
//! `enarx user`, `enarx repo` and `enarx package` use; Keeps start by the code of `enarx deploy`. Only three things are
//! stand-ins, and each says so: the silicon, the OpenID issuer, and the authority of the services' TLS certificates.

mod check;
pub mod child;
mod demo;
mod forge;
mod guest;
mod hub;
mod paste;
mod report;
mod service;
mod services;
mod state;
mod world;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use types::hostlink::{Event, FromKeep};

use self::guest::Guest;
use self::hub::{Happening, Interrupted};
use self::world::World;
use crate::cli::Global;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Style};

const EXAMPLES: &str = "\
Examples:
  enarx up                      bring it up, show each step, and keep it running until Ctrl-C
  enarx up --chat-port 50001    if 50000 is taken
  enarx up --check              do the same unattended, with every refusal; exit code 0 only if all held
  enarx up --check --json       the same as one JSON object

Everything is kept in one directory, which is made anew at each start (see --state). Ctrl-C ends all of it.";

/// How long a Keep may take for anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of `enarx up`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct UpArgs {
    /// Check every step and every refusal, unattended, and end
    #[arg(long)]
    pub check: bool,
    /// Directory for everything [default: $XDG_STATE_HOME/enarx/up]
    #[arg(long, value_name = "DIR", env = "ENARX_UP_STATE")]
    pub state: Option<PathBuf>,
    /// With --check: print the result as one JSON object
    #[arg(long, requires = "check")]
    pub json: bool,
    /// Port of the chat room on this machine; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 50_000, env = "ENARX_CHAT_PORT")]
    pub chat_port: u16,
    /// The Keep's runtime [default: enarx-exec beside this program]
    #[arg(long, value_name = "FILE", env = "ENARX_EXEC")]
    pub exec: Option<PathBuf>,
}

/// Brings everything up, shows or checks it, and takes it down.
///
/// # Errors
/// If something does not come up, or a part dies.
pub fn run(args: &UpArgs, global: &Global) -> Outcome {
    let mut world = World::prepare(args, global)?;
    let outcome = bring_up(&mut world).and_then(|guests| {
        if args.check {
            check::run(&mut world, guests, args.json)
        } else {
            linger(&mut world, guests)
        }
    });
    world.explain(outcome)
}

/// The two Keeps of the demo.
struct Guests {
    /// The chat room.
    room: Guest,
    /// The first one in it.
    client: Guest,
}

/// What the first client says when it is in.
const GREETING: &str = "Hello from an attested Keep.";

fn bring_up(world: &mut World) -> Result<Guests, Failure> {
    world.start_services()?;
    world.publish_demo()?;
    let style = output::stderr_style();
    let start = world.hub.mark();

    output::talk(&format!("\n{}", style.bold("The room: a Keep that runs demo/chat-server")));
    let room = world.deploy(ROOM, &world.slug(demo::SERVER_REPO)?)?;
    world.wait_for(ROOM, start, "the room opens", |happening| match happening {
        Happening::Line { name, text } if name == ROOM && text.contains("the room is open") => {
            Some(())
        }
        _ => None,
    })?;

    output::talk(&format!("\n{}", style.bold("A client: a Keep that runs demo/chat-client")));
    let mut client = world.deploy(CLIENT, &world.slug(demo::CLIENT_REPO)?)?;
    world.wait_for(
        CLIENT,
        start,
        "the client gets into the room",
        |happening| match happening {
            Happening::Line { name, text } if name == ROOM && text.contains("came in") => Some(()),
            _ => None,
        },
    )?;

    client.say(GREETING);
    world.wait_for(CLIENT, start, "the greeting comes back from the room", |happening| {
        match happening {
            Happening::Line { name, text } if name == CLIENT && text.ends_with(GREETING) => {
                Some(())
            }
            _ => None,
        }
    })?;
    Ok(Guests { room, client })
}

/// Name of the chat room's Keep.
const ROOM: &str = "room";
/// Name of the first client's Keep.
const CLIENT: &str = "client";

/// Shows how to go on, passes on what is typed, and waits for the end.
fn linger(world: &mut World, guests: Guests) -> Outcome {
    let Guests { room, mut client } = guests;
    output::data(&world.lines_to_paste(output::stdout_style())?)?;
    world.listen_to_keyboard();
    loop {
        match world.hub.next(None) {
            Ok(Happening::Typed(line)) => {
                if !client.say(&line) {
                    output::talk(
                        "the client has left the room; start another with the command above",
                    );
                }
            }
            Ok(Happening::Ended { name, code }) if name == ROOM => {
                return Err(Failure::new("the chat room's Keep ended")
                    .why(format!("exit code {code}"))
                    .next("start again with `enarx up`"));
            }
            Ok(Happening::Ended { name, code }) => {
                output::talk(&format!("the Keep `{name}` ended with exit code {code}"))
            }
            Ok(happening) => world.observe(&happening),
            Err(Interrupted::Stop) => break,
            Err(other) => return Err(world.interrupted("waiting", &other)),
        }
    }
    drop(client);
    drop(room);
    output::talk("ending everything");
    Ok(0)
}

/// What to show of something that happened: one line or more, or nothing.
fn show(happening: &Happening, style: Style, verbose: bool) -> Option<String> {
    let who = |name: &str| style.dim(&format!("{name:>8} |"));
    match happening {
        Happening::Line { name, text } => Some(format!("{} {text}\n", who(name))),
        Happening::Keep { name, message: FromKeep::Event { event } } => match event {
            Event::Step { .. } => Some(crate::keeps::step(event, style)),
            Event::Listening { port } => Some(format!("{} listening on port {port}\n", who(name))),
            Event::Failed { stage, message, .. } => {
                Some(format!("{} {} ({stage}): {message}\n", who(name), style.warn("gave up")))
            }
            Event::Timing { phase, micros } if verbose => {
                Some(format!("{} {phase}: {}\n", who(name), output::micros(*micros)))
            }
            _ => None,
        },
        Happening::Keep { name, message: FromKeep::Log { level, text } } => {
            Some(format!("{} {level}: {text}\n", who(name)))
        }
        _ => None,
    }
}
