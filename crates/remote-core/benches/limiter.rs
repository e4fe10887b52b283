//! What the limiter costs: a decision alone and among threads, and a long queue in bytes and in order.
//!
//! `cargo test --release -p remote-core --bench limiter -- --ignored --nocapture --test-threads 1`

#![expect(clippy::unwrap_used, reason = "a measurement")]

use std::hint::black_box;
use std::task::{Context, Waker};
use std::time::Duration;

use infer_core::Priority;
use remote_core::limit::{Ask, LimitTable, Limiter, Limits, RateLimitConfig, Reserve};
use tokio::time::Instant;

/// Not the paused clock.
#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn real_now() -> std::time::Instant {
    std::time::Instant::now()
}

const CALLS: u32 = 2_000_000;

fn wide_open() -> RateLimitConfig {
    RateLimitConfig {
        requests_per_minute: Some(u32::MAX),
        tokens_per_minute: Some(u32::MAX),
        max_in_flight: Some(1_000_000),
        max_wait: Duration::from_secs(3600),
        max_queue: u32::MAX,
        ..RateLimitConfig::default()
    }
}

/// Nanoseconds a call, the least of five runs.
fn measure(mut run: impl FnMut()) -> f64 {
    let runs = (0..5).map(|_| {
        let began = Instant::now();
        run();
        began.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    });
    runs.fold(f64::MAX, f64::min)
}

/// Asks and ends, which never waits.
fn call(limits: &Limits) {
    let mut call = std::pin::pin!(limits.acquire(black_box(1), Priority::Normal, None));
    match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        std::task::Poll::Ready(permit) => permit.unwrap().settle(black_box(1)),
        std::task::Poll::Pending => unreachable!("the limits are wide open"),
    }
}

#[test]
#[ignore = "a measurement, for release builds"]
fn decisions() {
    let mut limiter = Limiter::new(&wide_open());
    let mut now = 0;
    let machine = measure(|| {
        for _ in 0..CALLS {
            now += 1000;
            let ask = Ask { tokens: black_box(1), priority: Priority::Normal, deadline: None };
            let Reserve::Ready(grant) = limiter.reserve(now, ask, ()) else { unreachable!("wide open") };
            limiter.settle(now, grant, black_box(1));
            black_box(limiter.next_wake(now));
        }
    });
    let clock = measure(|| {
        for _ in 0..CALLS {
            black_box(Instant::now());
        }
    });
    let limits = Limits::new(&wide_open());
    let shell = measure(|| (0..CALLS).for_each(|_| call(&limits)));
    let table = LimitTable::new(wide_open());
    let named = measure(|| (0..CALLS).for_each(|_| drop(black_box(table.limits("gpt-4o-mini")))));
    println!("machine: reserve and settle        {machine:6.1} ns");
    println!("clock: one reading                 {clock:6.1} ns");
    println!("shell: acquire and settle          {shell:6.1} ns, {:.1} ns each", shell / 2.0);
    println!("table: limits by name              {named:6.1} ns");
    for threads in [1, 2, 4, 8] {
        let wall = measure(|| {
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| (0..CALLS / threads).for_each(|_| call(&limits)));
                }
            });
        });
        println!("{threads} threads: acquire and settle       {wall:6.1} ns a call, all together");
    }
    let state = limits.state();
    assert_eq!((state.in_flight, state.waiting), (0, 0));
}

/// Resident memory in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test(start_paused = true)]
#[ignore = "a measurement, for release builds"]
async fn a_hundred_thousand_waiters() {
    const WAITERS: u32 = 100_000;
    let config =
        RateLimitConfig { requests_per_minute: Some(60_000), requests_burst: Some(1), ..wide_open() };
    let limits = Limits::new(&config);
    call(&limits);
    let mut waiting = Vec::with_capacity(WAITERS as usize);
    let size = size_of_val(&limits.acquire(1, Priority::Normal, None));
    waiting.resize_with(WAITERS as usize, || Some(Box::pin(limits.acquire(1, Priority::Normal, None))));
    let mut cx = Context::from_waker(Waker::noop());
    let before = resident();
    let began = real_now();
    for call in waiting.iter_mut().flatten() {
        assert!(call.as_mut().poll(&mut cx).is_pending());
    }
    let joined = began.elapsed() / WAITERS;
    let bytes = (resident() - before) / u64::from(WAITERS);
    println!(
        "a waiter: {bytes} bytes resident in queue and timer, {size} in its own future, joins in {joined:?}"
    );
    assert_eq!(limits.state().waiting, WAITERS);
    waiting.clear();
    assert_eq!(limits.state().waiting, 0);

    let order = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..WAITERS)
        .map(|id| {
            let (limits, order) = (limits.clone(), std::sync::Arc::clone(&order));
            tokio::spawn(async move {
                drop(limits.acquire(1, Priority::Normal, None).await.unwrap());
                order.lock().unwrap().push(id);
            })
        })
        .collect();
    let began = real_now();
    for task in tasks {
        task.await.unwrap();
    }
    let order = order.lock().unwrap();
    assert!(order.is_sorted() && order.len() == WAITERS as usize);
    println!("{WAITERS} waiters started in order, {:?} each", began.elapsed() / WAITERS);
}
