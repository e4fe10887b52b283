//! Many calls that wait in one limiter, and then start one after the other.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::FutureExt as _;
use infer_core::Priority;
use remote_core::limit::{Limits, RateLimitConfig};

use crate::alloc;
use crate::measure::Meter;
use crate::scenario::Sample;

/// Calls that wait.
const WAITERS: usize = 100_000;
/// Tokens that each asks for and uses.
const TOKENS: u64 = 100;

/// Who was woken, in order.
type Woken = Mutex<VecDeque<usize>>;

/// Takes note of who is woken.
struct Bell {
    number: usize,
    woken: Arc<Woken>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner).push_back(self.number);
    }
}

/// One turn. Without the runtime's bound on how much one task may do at a time, which would wake callers in vain.
pub(crate) async fn turn() -> Result<Sample> {
    tokio::task::unconstrained(async { wait_and_start() }).await
}

fn wait_and_start() -> Result<Sample> {
    let config = RateLimitConfig {
        requests_per_minute: Some(u32::MAX),
        requests_burst: Some(u32::MAX),
        tokens_per_minute: Some(u32::MAX),
        max_in_flight: Some(1),
        max_queue: u32::MAX,
        max_wait: Duration::from_hours(1),
        ..RateLimitConfig::default()
    };
    let limits = Limits::new(&config);
    let woken = Arc::new(Mutex::new(VecDeque::with_capacity(WAITERS)));
    let bell = |number| Waker::from(Arc::new(Bell { number, woken: Arc::clone(&woken) }));
    let bells: Vec<Waker> = (0..WAITERS).map(bell).collect();
    let next = || woken.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let ask = || limits.acquire(TOKENS, Priority::Normal, None);
    let running = ask().now_or_never().context("the first call had to wait")??;

    let meter = Meter::start()?;
    let mut calls: Vec<_> = (0..WAITERS).map(|_| Some(Box::pin(ask()))).collect();
    let before = alloc::held();
    for (call, bell) in calls.iter_mut().zip(&bells) {
        let waits = call.as_mut().is_some_and(|call| poll(call.as_mut(), bell).is_pending());
        ensure!(waits, "a call did not wait");
    }
    let growth = alloc::held() - before;
    ensure!(limits.state().waiting as usize == WAITERS, "a call does not stand in the queue");

    let (mut started, mut misled) = (0, 0);
    running.settle(TOKENS);
    while let Some(number) = next() {
        let (Some(place), Some(bell)) = (calls.get_mut(number), bells.get(number)) else { continue };
        match place.as_mut().map(|call| poll(call.as_mut(), bell)) {
            Some(Poll::Ready(permit)) => {
                misled += usize::from(number != started);
                started += 1;
                *place = None;
                permit?.settle(TOKENS);
            }
            Some(Poll::Pending) | None => misled += 1,
        }
    }
    let cost = meter.stop()?;
    misled += WAITERS - started;
    Ok(Sample { cost, units: WAITERS, growth, misled, ..Sample::default() })
}

fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}
