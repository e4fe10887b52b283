//! Measures what this workspace costs its users, beside the HTTP client alone and beside code written by hand.
//!
//! Three clients ask one server, which is a process of its own, for the same answers: `floor` receives bytes and throws
//! them away, `plain` is what most people write by hand, `ours` is this workspace. They take turns, so that what disturbs
//! the machine disturbs all three, and what each has read is checked, so that nobody is fast by leaving something out.
//!
//! The gateway is measured as a process between this one and the server: `floor` is the server itself, `plain` is nginx as a
//! reverse proxy, `ours` is `infer serve`.
//!
//! What a call costs inside this process is measured without a server: `ours` is the piece that is measured, and `floor`
//! what remains when it is left out.
//!
//! ```text
//! cargo xtask bench                          everything; prints a table
//! cargo xtask bench -- --only unary          one scenario
//! cargo xtask bench -- --only gateway        those whose names begin so
//! cargo xtask bench -- --check               fails when a target is missed
//! ```

mod alloc;
mod clients;
mod gateway;
mod inside;
mod measure;
mod payload;
mod report;
mod scenario;
mod server;
mod table;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use clients::Who;
use gateway::Middle;
use inside::decision::Decision;
use inside::pipeline::Pipeline;
use inside::queue;
use report::Samples;
use scenario::{Clients, Sample, Scenario};
use server::Server;
use table::Row;

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

/// Measure what a call and a piece of an answer cost
///
/// CPU is the time of this process on a processor, kernel included; the server runs in another process. Numbers are
/// medians over rounds, with the least and the most in brackets: where those are far apart the machine was busy.
#[derive(Clone, Debug, Parser)]
#[command(
    after_help = "Exit codes: 0 measured, 1 failed or --check found a missed target, 2 bad command line."
)]
struct Args {
    /// How often every client takes its turn
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Only the scenario of this name, or all whose names begin with it and a dash; may be given several times
    #[arg(long, value_name = "NAME", value_parser = known)]
    only: Vec<String>,
    /// Only this client, to profile it; may be given several times
    #[arg(long, value_name = "NAME")]
    client: Vec<Who>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Fail when a target is missed
    #[arg(long)]
    check: bool,
    /// Be the server; used by this program itself
    #[arg(long, hide = true)]
    server: bool,
}

impl Args {
    /// Whether `who` is to take turns.
    fn asks(&self, who: Who) -> bool {
        self.client.is_empty() || self.client.contains(&who)
    }
}

/// A name that means a scenario.
fn known(name: &str) -> Result<String, String> {
    if Scenario::ALL.iter().any(|scenario| scenario.is_meant_by(name)) {
        return Ok(name.to_owned());
    }
    let names: Vec<_> = Scenario::ALL.iter().map(|scenario| scenario.name()).collect();
    Err(format!("there is no such scenario, only {}", names.join(", ")))
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if args.server {
        server::run()?;
        return Ok(ExitCode::SUCCESS);
    }
    let server = Server::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut rows = Vec::new();
    for scenario in Scenario::ALL {
        if args.only.is_empty() || args.only.iter().any(|name| scenario.is_meant_by(name)) {
            eprintln!("measuring {} ...", scenario.name());
            rows.extend(runtime.block_on(measure(&args, scenario, &server))?);
        }
    }
    if args.json {
        println!("{}", table::json(&rows)?);
    } else {
        print!("{}", table::text(&rows));
    }
    let missed = rows.iter().filter(|row| row.is_met() == Some(false)).count();
    if args.check && missed > 0 {
        eprintln!("{missed} missed");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// The lines of the table for one scenario.
async fn measure(args: &Args, scenario: Scenario, server: &Server) -> Result<Vec<Row>> {
    let samples = match scenario {
        Scenario::Pipeline => {
            let pipeline = Pipeline::new()?;
            take_turns(args, scenario, async |who| pipeline.turn(who).await).await?
        }
        Scenario::Decision => {
            let mut rows = Vec::new();
            for decision in Decision::ALL {
                let samples = take_turns(args, scenario, async |who| decision.turn(who)).await?;
                rows.push(report::decision(decision, &samples));
            }
            return Ok(rows);
        }
        Scenario::Queue => take_turns(args, scenario, async |_| queue::turn().await).await?,
        scenario if scenario.is_of_gateway() => {
            let middle = Middle::new(scenario, server)?;
            if !gateway::has(Who::Plain) {
                eprintln!("nginx is not installed, so there is nothing to compare with");
            }
            let mut args = args.clone();
            args.client = Who::ALL.into_iter().filter(|who| args.asks(*who) && gateway::has(*who)).collect();
            take_turns(&args, scenario, async |who| middle.turn(scenario, who).await).await?
        }
        _ => {
            let clients = Clients::new(scenario, server)?;
            take_turns(args, scenario, async |who| clients.turn(who).await).await?
        }
    };
    Ok(report::rows(scenario, &samples))
}

/// All rounds of one scenario; who goes first changes with every turn.
async fn take_turns(
    args: &Args,
    scenario: Scenario,
    turn_of: impl AsyncFn(Who) -> Result<Sample>,
) -> Result<Samples> {
    let takes_part = |who| scenario.takes_part(who) && args.asks(who);
    let mut samples = Samples::default();
    for who in Who::ALL.into_iter().filter(|who| takes_part(*who) && scenario.warms_up(*who)) {
        turn_of(who).await?;
    }
    for round in 0..usize::from(args.rounds) {
        let mut turns = Samples::default();
        for turn in 0..scenario.turns() {
            for who in Who::ALL.into_iter().cycle().skip((round + turn) % Who::ALL.len()).take(Who::ALL.len())
            {
                if takes_part(who) && round < scenario.rounds(who, usize::from(args.rounds)) {
                    turns.add(who, turn_of(who).await?);
                }
            }
        }
        samples.add_round(turns);
    }
    Ok(samples)
}
