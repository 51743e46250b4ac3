// SPDX-License-Identifier: Apache-2.0

//! `enarx deploy`: a workload out of a registry, by the 13 steps of ARCHITECTURE.md.

use clap::Args;
use types::hostlink::Workload;
use types::slug::Slug;

use crate::cli::{Global, KeepArgs, ReachArgs};
use crate::failure::{EXIT_USAGE, Failure, Outcome};
use crate::keeps::{self, Show, Start};
use crate::{output, reach};

const EXAMPLES: &str = "\
Examples:
  enarx deploy store.example.com/team/app:1.2.0
  enarx deploy store.example.com/team/app:1.2.0@sha256:…    exactly these bytes, whatever the registry says
  enarx deploy --simulate snp localhost:8443/demo/app:0.1.0 --ca-bundle ca.pem   (development)

The Keep starts empty, proves to Steward what it is and what it will run, gets a certificate, fetches the workload with
it, checks every byte, and runs it.

Ends with the workload's exit code; 134: it trapped, 137: it reached a limit, 125: the Keep failed.";

/// Arguments of `enarx deploy`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DeployArgs {
    /// The workload: host/user/repo:tag, optionally with the digest it must have
    pub slug: Slug,
    /// Where and how.
    #[command(flatten)]
    pub keep: KeepArgs,
    /// Go on without any evidence: no certificate, and only public packages (for development)
    #[arg(long, env = "ENARX_INSECURE_NO_TEE", conflicts_with = "simulate")]
    pub insecure_no_tee: bool,
    /// URL of Steward, if the package names none
    #[arg(long, value_name = "URL", env = "ENARX_STEWARD")]
    pub steward: Option<String>,
    /// How to reach Drawbridge and Steward.
    #[command(flatten)]
    pub reach: ReachArgs,
}

/// Deploys the workload.
///
/// # Errors
/// See the exit codes.
pub fn run(args: &DeployArgs, global: &Global) -> Outcome {
    if let Some(url) = args.steward.as_deref().filter(|url| !url.starts_with("https://")) {
        return Err(Failure::new(format!("cannot use {url:?} as Steward"))
            .why("a Steward has an https URL")
            .next("for example --steward https://attest.example.com")
            .code(EXIT_USAGE));
    }
    let start = Start::from_args(&args.keep, !args.insecure_no_tee)?;
    let style = output::stderr_style();
    if !args.keep.json {
        if start.simulate.is_some() {
            output::talk(&format!(
                "{}: simulated silicon: nothing protects this Keep from this machine",
                style.warn("warning")
            ));
        }
        if args.insecure_no_tee {
            output::talk(&format!(
                "{}: no TEE: nothing protects this Keep, and it can prove nothing",
                style.warn("warning")
            ));
        }
    }
    let workload = Workload::Remote {
        slug: args.slug.clone(),
        steward: args.steward.clone(),
        insecure_no_tee: args.insecure_no_tee,
    };
    let show = Show { json: args.keep.json, steps: true, level: global.log_filter };
    keeps::run(start, workload, Vec::new(), reach::roots_pem(&args.reach)?, show)
}
