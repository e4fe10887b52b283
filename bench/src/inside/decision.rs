//! Leave from the limiter and from the breaker.
//!
//! A call asks each twice, at its beginning and at its end, and each time somebody reads the clock. `floor` is those two
//! looks at the clock alone; with many threads it is the limiter with one.

use std::hint::black_box;
use std::sync::{Barrier, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use futures_util::FutureExt as _;
use infer_core::{BreakerEffect, Priority};
use remote_core::breaker::{Breaker, BreakerConfig};
use remote_core::limit::{Limits, RateLimitConfig};
use tokio::time::Instant;

use crate::clients::Who;
use crate::measure::Meter;
use crate::scenario::Sample;

/// Times that something is decided in one turn.
const TIMES: usize = 40_000;
/// Threads that ask one limiter, and how often each does: for longer than a processor stays with one thread, so that a
/// thread is also interrupted while it holds the lock.
const THREADS: (usize, usize) = (8, 80_000);
/// Tokens that a call asks for, and those it has used.
const TOKENS: (u64, u64) = (120, 90);

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The limiter, with all three limits set.
    Limiter,
    /// The breaker behind a lock, as a runner holds it.
    Breaker,
    /// One limiter, asked by many threads.
    Contended,
}

impl Decision {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; 3] = [Self::Limiter, Self::Breaker, Self::Contended];

    /// One turn of `who`.
    pub(crate) fn turn(self, who: Who) -> Result<Sample> {
        match (self, who) {
            (Self::Contended, Who::Ours) => contended(),
            (Self::Contended, _) | (Self::Limiter, Who::Ours) => alone(&limits(), ask),
            (Self::Breaker, Who::Ours) => alone(&Mutex::new(Breaker::new(BreakerConfig::default())), admit),
            (Self::Limiter | Self::Breaker, _) => alone(&(), |()| {
                black_box(Instant::now());
                black_box(Instant::now());
                Ok(())
            }),
        }
    }
}

/// Limits that never make a call wait.
fn limits() -> Limits {
    Limits::new(&RateLimitConfig {
        requests_per_minute: Some(u32::MAX),
        tokens_per_minute: Some(u32::MAX),
        max_in_flight: Some(1_000_000),
        ..RateLimitConfig::default()
    })
}

fn ask(limits: &Limits) -> Result<()> {
    let permit = limits.acquire(TOKENS.0, Priority::Normal, None).now_or_never();
    permit.context("a call had to wait")??.settle(TOKENS.1);
    Ok(())
}

fn admit(breaker: &Mutex<Breaker>) -> Result<()> {
    let lock = || breaker.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let ticket = lock().admit(now).ok().context("the breaker let nothing through")?;
    let now = Instant::now();
    lock().settle(ticket, Some(BreakerEffect::Success), now, 0.5);
    Ok(())
}

fn alone<T>(asked: &T, decide: impl Fn(&T) -> Result<()>) -> Result<Sample> {
    let meter = Meter::start()?;
    for _ in 0..TIMES {
        decide(asked)?;
    }
    Ok(Sample { cost: meter.stop()?, units: TIMES, ..Sample::default() })
}

/// The time of threads that have ended is in no count, so all stay until the measurement is over.
fn contended() -> Result<Sample> {
    let (limits, gate) = (limits(), Barrier::new(THREADS.0 + 1));
    let work = || {
        gate.wait();
        gate.wait();
        let result = (0..THREADS.1).try_for_each(|_| ask(&limits));
        gate.wait();
        gate.wait();
        result
    };
    let cost = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS.0).map(|_| scope.spawn(work)).collect();
        gate.wait();
        let meter = Meter::start();
        gate.wait();
        gate.wait();
        let cost = meter.and_then(Meter::stop);
        gate.wait();
        for thread in threads {
            ensure!(matches!(thread.join(), Ok(Ok(()))), "a thread failed");
        }
        cost
    })?;
    ensure!(limits.state().in_flight == 0, "a call was not settled");
    Ok(Sample { cost, units: THREADS.0 * THREADS.1, ..Sample::default() })
}
