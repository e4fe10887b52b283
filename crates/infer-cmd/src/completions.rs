//! `infer completions`.

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Failure;

/// Prints the script for `shell`.
pub(crate) fn print(shell: Shell) -> Result<(), Failure> {
    // Collected first: the generator panics when its writer fails, and a closed pipe is no reason to.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "infer", &mut script);
    let mut stdout = io::stdout();
    stdout.write_all(&script).and_then(|()| stdout.flush()).map_err(Failure::from)
}
