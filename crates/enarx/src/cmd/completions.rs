// SPDX-License-Identifier: Apache-2.0

//! `enarx completions SHELL`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::Outcome;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  enarx completions bash > ~/.local/share/bash-completion/completions/enarx
  enarx completions zsh > \"${fpath[1]}/_enarx\"
  enarx completions fish > ~/.config/fish/completions/enarx.fish";

/// Arguments of `enarx completions`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the completions.
///
/// # Errors
/// If standard output cannot be written.
pub fn run(args: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "enarx", &mut script);
    output::data(&String::from_utf8_lossy(&script))?;
    Ok(0)
}
