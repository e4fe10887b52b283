//! `cargo xtask e2e`: a running gateway, asked as its users ask it.
//!
//! [`parts`] says what is checked, [`scene`] starts what it is checked against, [`tools`] finds or fetches the clients.

mod parts;
mod process;
mod scene;
mod tools;

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};

pub(crate) use self::parts::Part;
use crate::completions;
use crate::steps::Steps;
use crate::workspace::Workspace;

/// Ask a running gateway as its users do: official SDKs, a browser, two gateways over one Redis.
///
/// Builds `infer`, starts `infer serve` with two `infer sim` behind it, and runs the checks of
/// crates/infer-gateway/e2e: OpenAI's Python and Node SDKs, Anthropic's Python SDK, the dashboard
/// in a headless Chromium, and one budget and one limit over two gateways. No key, no money;
/// everything listens on 127.0.0.1 and is stopped at the end. Files and logs are in target/e2e.
///
/// Clients are fetched once, in the versions that requirements.txt and package-lock.json pin, with
/// pip and npm. What a part needs (python3 with venv; node 20 and npm; chromium; redis-server) is
/// installed with apt-get where that is possible. A part that cannot be run is named, and fails
/// the command unless --allow-missing is given.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 all is well, 1 something failed, or was missing, and was named, 2 bad command line."
)]
pub(crate) struct Args {
    /// Only this part; may be repeated
    #[arg(long, value_name = "PART", value_enum)]
    only: Vec<Part>,
    /// Succeed although a part could not be run because something is not installed
    #[arg(long)]
    allow_missing: bool,
    /// Take new pictures for docs/pictures from the dashboard
    #[arg(long)]
    bless: bool,
}

/// What every part needs.
#[derive(Debug)]
struct Ground {
    /// The program under test.
    infer: PathBuf,
    /// crates/infer-gateway/e2e.
    sources: PathBuf,
    /// target/e2e.
    home: PathBuf,
    /// docs/pictures, when they are to be taken anew.
    pictures: Option<PathBuf>,
}

impl Ground {
    /// An empty folder for one part.
    fn folder(&self, part: Part) -> Result<PathBuf> {
        let folder = self.home.join("run").join(part.name());
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn source(&self, file: &str) -> PathBuf {
        self.sources.join(file)
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::load()?;
    Steps::shown(|steps| check(&workspace, steps, args))
}

fn check(workspace: &Workspace, steps: &mut Steps, args: &Args) -> Result<()> {
    let infer = steps.run("build infer", "Repeat with `cargo build -p infer-cmd`.", || {
        completions::build(workspace, &[])
    })?;
    let ground = Ground {
        infer,
        sources: workspace.root.join("crates/infer-gateway/e2e"),
        home: workspace.target().join("e2e"),
        pictures: args.bless.then(|| workspace.root.join("docs/pictures")),
    };
    let (mut failed, mut missing) = (Vec::new(), Vec::new());
    for part in Part::ALL.into_iter().filter(|part| args.only.is_empty() || args.only.contains(part)) {
        let name = part.name();
        let tools = match part.tools(&ground) {
            Ok(tools) => tools,
            Err(error) => {
                steps.skip(name, &format!("{error:#}"));
                missing.push(name);
                continue;
            }
        };
        let again = format!("Repeat with `cargo xtask e2e --only {name}`.");
        if let Err(error) = steps.run(name, &again, || part.run(&ground, &tools)) {
            anstream::eprintln!("{error:#}\n");
            failed.push(name);
        }
    }
    ensure!(failed.is_empty(), "failed: {}; what it said is above", failed.join(", "));
    if !missing.is_empty() && !args.allow_missing {
        bail!(
            "not run, since something is not installed here: {}; the reasons are above, and --allow-missing goes \
             without",
            missing.join(", ")
        );
    }
    Ok(())
}
