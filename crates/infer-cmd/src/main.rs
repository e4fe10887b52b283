//! The `infer` command.

mod answer;
mod args;
mod chat;
mod completions;
mod config;
mod cost;
mod failure;
mod health;
mod image;
mod interactive;
mod json;
mod keys;
mod logs;
mod look;
mod man;
mod models;
mod output;
mod prompt;
mod ready;
mod request;
mod serve;
mod signals;
mod sim;
mod summary;
mod telemetry;
mod terminal;
mod upstream;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::args::{Cli, Command, ConfigCommand};
use crate::cost::Format;
use crate::failure::Failure;
use crate::signals::Signals;
use crate::upstream::Given;

/// That of a static build, where the system brings none that is fit for a server.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let json = match &cli.command {
        Command::Chat(args) => args.json,
        Command::Models(args) => args.json,
        Command::Health(args) => args.ask.json,
        Command::Config(ConfigCommand::Check(args) | ConfigCommand::Show(args)) => args.json,
        Command::Cost(args) => args.format == Format::Json,
        Command::Keys(command) => command.is_json(),
        Command::Config(ConfigCommand::Schema)
        | Command::Serve(_)
        | Command::Sim(_)
        | Command::Completions { .. }
        | Command::Man { .. } => false,
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if json {
                terminal::print(&json::failure(&failure));
            }
            match &failure {
                // As compilers have it, so that editors find the places.
                Failure::Faults(faults) => terminal::plain(&terminal::clean(&format!("{faults}\n"))),
                failure => failure.line().iter().for_each(|line| terminal::note(line)),
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let runtime = threads(&cli.command)
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(format!("cannot start: {error}")))?;
    let result = runtime.block_on(async {
        let mut signals =
            Signals::listen().map_err(|error| Failure::usage(format!("cannot start: {error}")))?;
        let given = {
            let is_server = matches!(cli.command, Command::Serve(_));
            Given::read(cli.command.config()?.as_deref(), cli.verbose, is_server)?
        };
        let result = match cli.command {
            Command::Chat(chat) => chat::run(*chat, &given, &mut signals).await,
            Command::Models(args) => models::run(&args, &given, &mut signals).await,
            Command::Health(args) => health::run(&args, &given, &mut signals).await,
            Command::Config(command) => config::run(command, &mut signals).await,
            Command::Cost(args) => cost::run(args, &mut signals).await,
            Command::Serve(args) => serve::run(&args, &given, &mut signals).await,
            Command::Keys(command) => keys::run(command, &mut signals).await,
            Command::Sim(sim) => sim::run(&sim, &mut signals).await,
            Command::Completions { shell } => completions::print(shell),
            Command::Man { out } => man::write(&out),
        };
        given.end(&mut signals).await;
        result
    });
    // A thread may still wait for a line on standard input or for a reader of standard output: do not wait for it.
    runtime.shutdown_background();
    result
}

/// A server takes all cores; whatever a person waits for needs one.
fn threads(command: &Command) -> tokio::runtime::Builder {
    let Command::Serve(args) = command else { return tokio::runtime::Builder::new_current_thread() };
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    match args.threads.map_or_else(cores, usize::from) {
        1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            runtime.worker_threads(threads);
            runtime
        }
    }
}

/// Help and version go to standard output and are no failure; the rest is a usage error.
fn usage(error: &clap::Error) -> ExitCode {
    // A closed pipe is all that can go wrong here, and there is nobody left to tell.
    _ = error.print();
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return ExitCode::SUCCESS;
    }
    let args: Vec<_> = std::env::args_os().skip(1).take_while(|arg| arg != "--").collect();
    let wants_json = args.iter().any(|arg| arg == "--json" || arg == "--format=json")
        || args.windows(2).any(|pair| pair == ["--format", "json"]);
    if wants_json {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        terminal::print(&json::failure(&Failure::usage(line)));
    }
    ExitCode::from(2)
}
