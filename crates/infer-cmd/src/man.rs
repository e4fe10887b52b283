//! `infer man`.

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use crate::args::Cli;
use crate::failure::Failure;

/// What the pages name as their origin, whichever command a page is about.
const SOURCE: &str = concat!("infer ", env!("CARGO_PKG_VERSION"));

/// Writes a page for the command and one for each of its subcommands into `folder`, which is made where it is missing.
pub(crate) fn write(folder: &Path) -> Result<(), Failure> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    fs::create_dir_all(folder)
        .and_then(|()| write_below(&command, folder))
        .map_err(|error| Failure::usage(format!("--out {}: cannot be written: {error}", folder.display())))
}

fn write_below(command: &Command, folder: &Path) -> io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        write_below(below, folder)?;
    }
    // Left out, the day would let what follows it move up one place.
    let page = Man::new(command.clone()).date(" ").source(SOURCE).manual("User Commands");
    page.generate_to(folder).map(|_| ())
}
