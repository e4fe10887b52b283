//! The gateway beside nginx and beside nobody: three ways to the same upstream, each a process of its own.
//!
//! This process only asks. `floor` is the upstream itself, `plain` is nginx as a reverse proxy that passes bytes on, `ours`
//! is `infer serve` with everything on that it does for a call: a key, a limit of that key, the ledger on disk, the
//! dashboard's numbers. What is counted is the process in the middle.

mod load;
mod process;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::clients::Who;
use crate::measure::{Cost, now, scheduled};
use crate::payload::Route;
use crate::scenario::{Sample, Scenario};
use crate::server::Server;

use load::{Ask, Asker};
use process::{KEY, Proxy, Setup, has_nginx};

/// Connections that ask at once.
const CONNECTIONS: usize = 64;
/// Streams that stand open while memory is looked at.
const OPEN: usize = 2_000;
/// Requests a second where nobody waits for the answer before the next.
const RATE: u32 = 1_000;
/// The length of what is asked, in bytes: ordinary, and large.
const PROMPT: (usize, usize) = (400, 1 << 20);

/// Who stands between this process and the upstream.
#[derive(Debug)]
pub(crate) struct Middle {
    setup: Setup,
    upstream: u16,
    nginx: Option<Proxy>,
    ours: Option<Proxy>,
}

impl Middle {
    /// Starts who is needed for a scenario; nginx only where it is installed.
    pub(crate) fn new(scenario: Scenario, server: &Server) -> Result<Self> {
        let setup = Setup::new(server.port())?;
        // What is measured from its start is started by the turn.
        let fresh = matches!(scenario, Scenario::GatewayMemory | Scenario::GatewayStart);
        let mut middle = Self { setup, upstream: server.port(), nginx: None, ours: None };
        if !fresh {
            middle.nginx = has_nginx().then(|| middle.setup.nginx()).transpose()?;
            middle.ours = Some(middle.setup.gateway()?);
        }
        Ok(middle)
    }

    /// One turn of one way.
    pub(crate) async fn turn(&self, scenario: Scenario, who: Who) -> Result<Sample> {
        match scenario {
            Scenario::GatewayUnary => self.burst(who, Route::Unary, 4_000).await,
            Scenario::GatewayPaced => self.burst(who, Route::Paced, CONNECTIONS).await,
            Scenario::GatewayUnpaced => self.burst(who, Route::Flushed, CONNECTIONS).await,
            Scenario::GatewayLatency => {
                let asker = self.asker(who, Route::Unary, PROMPT.0)?;
                summed(load::open_loop(&asker, RATE, 2 * RATE as usize).await?)
            }
            Scenario::GatewayLarge => {
                let asker = self.asker(who, Route::Unary, PROMPT.1)?;
                summed(load::one_by_one(&asker, 40).await?)
            }
            Scenario::GatewayMemory => self.memory(who).await,
            _ => self.start(who),
        }
    }

    /// What `repeats` requests cost the one in the middle.
    async fn burst(&self, who: Who, route: Route, repeats: usize) -> Result<Sample> {
        let asker = self.asker(who, route, PROMPT.0)?;
        let proxy = self.proxy(who).context("there is nobody in the middle to measure")?;
        let mut connections = asker.connections(CONNECTIONS).await?;
        let (before, slept) = scheduled(proxy.id())?;
        let started = now();
        load::closed_loop(&asker, &mut connections, repeats).await?;
        let wall = started.elapsed();
        let (after, sleeps) = scheduled(proxy.id())?;
        let cpu = after.saturating_sub(before);
        let units = if route == Route::Unary { repeats } else { repeats * route.events() };
        let cost = Cost { cpu, wall, sleeps: sleeps.saturating_sub(slept), ..Cost::default() };
        Ok(Sample { cost, units, ..Sample::default() })
    }

    /// How much memory a new process holds, and how much more once streams stand open.
    async fn memory(&self, who: Who) -> Result<Sample> {
        let proxy = if who == Who::Plain { self.setup.nginx()? } else { self.setup.gateway()? };
        let idle = proxy.resident_bytes()?;
        let asker = asker_at(who, proxy.port(), Route::Silent, PROMPT.0);
        let streams = asker.open_streams(OPEN).await?;
        let growth = proxy.resident_bytes()?.saturating_sub(idle);
        ensure!(streams.len() == OPEN, "{} streams stand open, not {OPEN}", streams.len());
        Ok(Sample { units: OPEN, growth, resident: idle, ..Sample::default() })
    }

    /// How long it takes from the start of the process to its first answer.
    fn start(&self, who: Who) -> Result<Sample> {
        let proxy = if who == Who::Plain { self.setup.nginx()? } else { self.setup.gateway()? };
        Ok(Sample { units: 1, median: proxy.ready_after(), ..Sample::default() })
    }

    fn proxy(&self, who: Who) -> Option<&Proxy> {
        match who {
            Who::Floor => None,
            Who::Plain => self.nginx.as_ref(),
            Who::Ours => self.ours.as_ref(),
        }
    }

    fn asker(&self, who: Who, route: Route, prompt_bytes: usize) -> Result<Asker> {
        let port = match who {
            Who::Floor => self.upstream,
            _ => self.proxy(who).with_context(|| format!("{} does not run", who.name()))?.port(),
        };
        Ok(asker_at(who, port, route, prompt_bytes))
    }
}

/// Whether `who` can be asked on this machine.
pub(crate) fn has(who: Who) -> bool {
    who != Who::Plain || has_nginx()
}

/// One who asks `who` at `port`.
fn asker_at(who: Who, port: u16, route: Route, prompt_bytes: usize) -> Asker {
    // The gateway finds the upstream's route by the model, the others by the path.
    let path = match who {
        Who::Ours => "/v1/chat/completions".to_owned(),
        _ => format!("/{}/v1/chat/completions", route.name()),
    };
    Asker::new(port, &Ask { path: &path, route, prompt_bytes, key: KEY })
}

/// The median and the 99th percentile of times.
fn summed(mut times: Vec<Duration>) -> Result<Sample> {
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().context("no time was measured");
    Ok(Sample { units: times.len(), median: at(50)?, p99: at(99)?, ..Sample::default() })
}
