// SPDX-License-Identifier: Apache-2.0

//! The steps of a deployment, from the boot message to the running workload.
//!
//! ```text
//!  host        names the workload                                 step 1
//!  Drawbridge  says which Steward and which digest                steps 2, 3   ── a claim, until the end
//!  Keep        makes its key; the TEE attests to key and digest   steps 4, 5, 6
//!  Steward     appraises, and signs a certificate                 steps 7, 8
//!  Drawbridge  releases the workload to that certificate          steps 9, 10, 11
//!  Keep        checks every byte against the digest, and runs it  steps 12, 13
//! ```
//!
//! What runs has the digest that the TEE attested to, whatever the host, the network or the registry said on the way: the
//! digest is fixed before the evidence is made, and the package is checked against that very digest.

mod certify;
mod failure;
mod launch;
mod local;
mod reach;
mod remote;
#[cfg(test)]
mod tests;

use types::config::Config;
use types::digest::Sha256;
use types::hostlink::{Boot, EXIT_KEEP, Workload};

use crate::clock::Clock;
use crate::hostlink::{Files, Level, Link};
use crate::identity::{Identity, Platform};

pub use self::failure::{Failure, Stage};

/// Name of a package's configuration.
const CONFIG: &str = "Enarx.toml";

/// What every step needs.
pub(crate) struct Context<'a> {
    link: &'a Link,
    clock: &'a Clock,
    platform: Platform<'a>,
    reach_roots_pem: &'a str,
}

/// A workload that is ready to run.
struct Prepared {
    config: Config,
    files: Files,
    digest: Sha256,
    /// `None`: nobody vouches for the Keep, and it is anonymous to others.
    identity: Option<Identity>,
}

/// Does what the boot message asks for; the Keep's exit code. Everything worth knowing goes over the link.
pub fn run(boot: Boot, files: Files, link: &Link, clock: &Clock, platform: Platform<'_>) -> i32 {
    let context = Context { link, clock, platform, reach_roots_pem: &boot.reach_roots_pem };
    let prepared = match boot.workload {
        Workload::Local { args, attest, .. } => local::prepare(&context, files, args, attest),
        Workload::Remote { slug, steward, insecure_no_tee } => {
            remote::prepare(&context, &slug, steward.as_deref(), insecure_no_tee)
        }
    };
    let outcome = prepared.and_then(|prepared| launch::run(&context, prepared));
    outcome.unwrap_or_else(|failure| give_up(link, &failure))
}

/// Tells the loader why there is no more to come; the exit code.
pub fn give_up(link: &Link, failure: &Failure) -> i32 {
    link.log(Level::Error, &failure.to_string());
    link.event(failure.event());
    EXIT_KEEP
}

/// The configuration among the files, or what a bare module gets.
fn configuration(files: &[(String, Vec<u8>)], args: Vec<String>) -> Result<Config, Failure> {
    let Some((_, bytes)) = files.iter().find(|(path, _)| path == CONFIG) else {
        return Ok(Config::bare(args));
    };
    if !args.is_empty() {
        return Err(Failure::new(Stage::Config, "arguments were given beside an Enarx.toml")
            .hint("write them into its key `args`, so that the workload's digest covers them"));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Failure::new(Stage::Config, "Enarx.toml is not UTF-8"))?;
    Config::parse(text).map_err(|error| {
        let hint = error.hint.clone().unwrap_or_default();
        Failure::new(Stage::Config, error).hint(hint)
    })
}
