//! What is measured: how each client is driven, and what one turn of it gives.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _};

use crate::alloc;
use crate::clients::floor::Floor;
use crate::clients::ours::Ours;
use crate::clients::plain::Plain;
use crate::clients::{Client, Reader as _, Who};
use crate::measure::{Cost, Meter, now};
use crate::payload::Route;
use crate::server::Server;

/// Calls in flight where there are many.
const IN_FLIGHT: usize = 16;
/// How long a reader stalls, and after how many pieces.
const STALL: (usize, Duration) = (10, Duration::from_millis(1500));

/// One way to use a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Calls for answers in one piece, one after the other
    Unary,
    /// The same with 16 calls in flight, as in a gateway
    Busy,
    /// Streams whose events arrive many at a time
    Batched,
    /// Streams whose events arrive one by one
    Flushed,
    /// A stream with one event of 4 MiB
    Large,
    /// A reader who stalls while 100,000 events wait
    Stalled,
    /// Calls through everything that stands around an attempt, with a network that answers at once
    Pipeline,
    /// Leave from the limiter and from the breaker, one call after the other and from 8 threads
    Decision,
    /// 100,000 calls that wait in one limiter
    Queue,
    /// Calls through the gateway from 64 connections
    GatewayUnary,
    /// Streams through the gateway whose events arrive one by one
    GatewayPaced,
    /// Streams through the gateway whose events arrive as fast as they can
    GatewayUnpaced,
    /// 1,000 calls a second through the gateway
    GatewayLatency,
    /// What the gateway holds when it is idle, and for each of 2,000 streams that stand open
    GatewayMemory,
    /// Requests of 1 MiB through the gateway
    GatewayLarge,
    /// From the start of the gateway to its first answer
    GatewayStart,
}

/// What one turn of one client gave.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// What it cost.
    pub(crate) cost: Cost,
    /// Calls, or events for a stream.
    pub(crate) units: usize,
    /// From the call to the first piece, on average.
    pub(crate) first: Duration,
    /// The median time of a call, where calls are timed one by one.
    pub(crate) median: Duration,
    /// What one call in a hundred exceeds.
    pub(crate) p99: Duration,
    /// Memory a process held before it was asked for anything, in bytes.
    pub(crate) resident: usize,
    /// Bytes that gathered while the reader stalled, or while calls joined a queue, or streams stood open.
    pub(crate) growth: usize,
    /// Calls that were woken out of their turn, or in vain, or never.
    pub(crate) misled: usize,
}

impl Scenario {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; 16] = [
        Self::Unary,
        Self::Busy,
        Self::Batched,
        Self::Flushed,
        Self::Large,
        Self::Stalled,
        Self::Pipeline,
        Self::Decision,
        Self::Queue,
        Self::GatewayUnary,
        Self::GatewayPaced,
        Self::GatewayUnpaced,
        Self::GatewayLatency,
        Self::GatewayMemory,
        Self::GatewayLarge,
        Self::GatewayStart,
    ];

    /// What the server answers, where it is asked.
    fn route(self) -> Route {
        match self {
            Self::Batched => Route::Batched,
            Self::Flushed => Route::Flushed,
            Self::Large => Route::Large,
            Self::Stalled => Route::Long,
            _ => Route::Unary,
        }
    }

    /// As the table and the command line write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Stalled => "stalled",
            Self::Pipeline => "pipeline",
            Self::Decision => "decision",
            Self::Queue => "queue",
            Self::GatewayUnary => "gateway-unary",
            Self::GatewayPaced => "gateway-paced",
            Self::GatewayUnpaced => "gateway-unpaced",
            Self::GatewayLatency => "gateway-latency",
            Self::GatewayMemory => "gateway-memory",
            Self::GatewayLarge => "gateway-large",
            Self::GatewayStart => "gateway-start",
            _ => self.route().name(),
        }
    }

    /// Whether `name` is its name or begins it, up to a dash.
    pub(crate) fn is_meant_by(self, name: &str) -> bool {
        self.name().strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// How often every client takes its turn in one round. Many short turns: what disturbs the machine disturbs all.
    pub(crate) fn turns(self) -> usize {
        match self {
            Self::Unary | Self::Busy | Self::Pipeline | Self::Decision => 15,
            Self::Batched | Self::Flushed => 5,
            Self::GatewayUnary | Self::GatewayUnpaced => 3,
            _ => 1,
        }
    }

    /// Whether it is the gateway that is measured.
    pub(crate) fn is_of_gateway(self) -> bool {
        self.name().starts_with("gateway")
    }

    /// Calls or streams in one turn.
    fn repeats(self) -> usize {
        match self {
            Self::Unary => 100,
            Self::Busy => 400,
            Self::Batched => 10,
            Self::Flushed => 2,
            Self::Large | Self::Stalled => 1,
            _ => 0,
        }
    }

    /// Whether there is something for `who` to do.
    pub(crate) fn takes_part(self, who: Who) -> bool {
        match self {
            Self::Pipeline | Self::Decision => who != Who::Plain,
            Self::Queue => who == Who::Ours,
            // These look at the process in the middle.
            Self::GatewayUnary
            | Self::GatewayPaced
            | Self::GatewayUnpaced
            | Self::GatewayMemory
            | Self::GatewayStart => who != Who::Floor,
            _ => true,
        }
    }

    /// How many rounds `who` takes part in: what takes seconds is not repeated as often.
    pub(crate) fn rounds(self, who: Who, asked: usize) -> usize {
        match (self, who) {
            (Self::Large, Who::Plain) => 1,
            (Self::Stalled | Self::GatewayMemory, _) => asked.min(3),
            _ => asked,
        }
    }

    /// Whether to run `who` once unmeasured before the first round.
    pub(crate) fn warms_up(self, who: Who) -> bool {
        match self {
            Self::Stalled | Self::GatewayMemory | Self::GatewayStart | Self::GatewayPaced => false,
            Self::Large => who != Who::Plain,
            _ => true,
        }
    }
}

/// The three clients, pointed at what a scenario needs.
#[derive(Debug)]
pub(crate) struct Clients {
    scenario: Scenario,
    ours: Ours,
    floor: Floor,
    plain: Plain,
}

impl Clients {
    /// Clients with connections of their own.
    pub(crate) fn new(scenario: Scenario, server: &Server) -> Result<Self> {
        let base = server.base(scenario.route());
        // In this order: see `clients::http`.
        Ok(Self { scenario, ours: Ours::new(&base)?, floor: Floor::new(&base)?, plain: Plain::new(&base)? })
    }

    /// One turn of one client.
    pub(crate) async fn turn(&self, who: Who) -> Result<Sample> {
        match who {
            Who::Floor => self.drive(&self.floor, who).await,
            Who::Plain => self.drive(&self.plain, who).await,
            Who::Ours => self.drive(&self.ours, who).await,
        }
    }

    async fn drive<C: Client>(&self, client: &C, who: Who) -> Result<Sample> {
        let (route, repeats) = (self.scenario.route(), self.scenario.repeats());
        let mut seen = Seen::default();
        let meter = Meter::start()?;
        match self.scenario {
            Scenario::Busy => seen.text += at_once(client, repeats).await?,
            Scenario::Unary => {
                for _ in 0..repeats {
                    seen.text += client.unary().await?;
                }
            }
            _ => {
                for _ in 0..repeats {
                    seen.read(client, self.scenario == Scenario::Stalled).await?;
                }
            }
        }
        let cost = meter.stop()?;
        if who != Who::Floor {
            let expected = route.text_bytes() * repeats;
            ensure!(seen.text == expected, "{}: {} bytes of text, not {expected}", who.name(), seen.text);
            let expected = if route == Route::Unary { 0 } else { route.pieces() * repeats };
            ensure!(seen.with_text == expected, "{}: {} texts, not {expected}", who.name(), seen.with_text);
        }
        let units = if route == Route::Unary { repeats } else { route.events() * repeats };
        let first = seen.first / u32::try_from(repeats)?;
        Ok(Sample { cost, units, first, growth: seen.growth, ..Sample::default() })
    }
}

/// Makes `calls` calls, never more than [`IN_FLIGHT`] at once; gives the bytes of text in all.
async fn at_once<C: Client>(client: &C, calls: usize) -> Result<usize> {
    let calls = futures_util::stream::iter(0..calls).map(|_| client.unary());
    calls.buffer_unordered(IN_FLIGHT).try_fold(0, |sum, text| async move { Ok(sum + text) }).await
}

/// What a reader has seen in all streams of a turn.
#[derive(Debug, Default)]
struct Seen {
    text: usize,
    pieces: usize,
    with_text: usize,
    first: Duration,
    growth: usize,
}

impl Seen {
    async fn read<C: Client>(&mut self, client: &C, stalls: bool) -> Result<()> {
        let started = now();
        let before = self.pieces;
        let mut reader = client.open().await?;
        while let Some(text) = reader.next().await? {
            if self.pieces == before {
                self.first += started.elapsed();
            }
            self.pieces += 1;
            self.text += text;
            self.with_text += usize::from(text > 0);
            if stalls && self.pieces - before == STALL.0 {
                alloc::reset_peak();
                let held = alloc::held();
                tokio::time::sleep(STALL.1).await;
                self.growth = alloc::peak() - held;
            }
        }
        Ok(())
    }
}
