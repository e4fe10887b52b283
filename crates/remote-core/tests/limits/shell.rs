//! The async shell on a paused clock: who waits, who is woken, and what dropping does.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, poll, stream};
use infer_core::{Priority, RateLimits};
use remote_core::limit::{Limits, RateLimitConfig, Refused};
use tokio::time::{Instant, advance};

fn requests(per_minute: u32, burst: u32) -> RateLimitConfig {
    RateLimitConfig {
        requests_per_minute: Some(per_minute),
        requests_burst: Some(burst),
        max_wait: Duration::from_secs(3600),
        ..RateLimitConfig::default()
    }
}

fn slots(max_in_flight: u32) -> RateLimitConfig {
    RateLimitConfig { max_in_flight: Some(max_in_flight), ..RateLimitConfig::default() }
}

async fn normal(limits: &Limits) -> Result<remote_core::limit::Permit, Refused> {
    limits.acquire(10, Priority::Normal, None).await
}

#[tokio::test(start_paused = true)]
async fn ten_callers_at_one_a_minute_start_a_minute_apart_in_order() {
    let limits = Limits::new(&requests(1, 1));
    let began = Instant::now();
    let calls = (0..10).map(|id| {
        let limits = limits.clone();
        tokio::spawn(async move {
            drop(normal(&limits).await.unwrap());
            (id, began.elapsed().as_secs())
        })
    });
    let calls: Vec<_> = calls.collect();
    for (at, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap(), (at, at as u64 * 60));
    }
    assert_eq!((limits.state().in_flight, limits.state().waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_too_long_is_refused_at_once_with_the_wait() {
    let limits = Limits::new(&RateLimitConfig { max_wait: Duration::from_secs(30), ..requests(1, 1) });
    let _running = normal(&limits).await.unwrap();
    let refused = normal(&limits).now_or_never().unwrap().unwrap_err();
    assert_eq!(refused, Refused::QueueFull { wait: Duration::from_secs(60) });
    let limits = Limits::new(&requests(1, 1));
    drop(normal(&limits).await.unwrap());
    let soon = Instant::now() + Duration::from_secs(5);
    let refused = limits.acquire(1, Priority::Critical, Some(soon)).now_or_never().unwrap().unwrap_err();
    assert_eq!(refused, Refused::QueueFull { wait: Duration::from_secs(60) });
    let refused = limits.acquire(1, Priority::Normal, Some(Instant::now())).await.unwrap_err();
    assert_eq!(refused, Refused::Deadline);
}

#[tokio::test(start_paused = true)]
async fn a_running_call_that_does_not_end_is_waited_for_no_longer_than_allowed() {
    let limits = Limits::new(&slots(1));
    let began = Instant::now();
    let running = normal(&limits).await.unwrap();
    let deadline = began + Duration::from_secs(7);
    let (patient, hasty) = tokio::join!(
        normal(&limits),
        limits.acquire(1, Priority::Normal, Some(deadline)).map(|result| {
            assert_eq!(began.elapsed().as_secs(), 7);
            result
        })
    );
    assert_eq!(hasty.unwrap_err(), Refused::Deadline);
    assert!(matches!(patient.unwrap_err(), Refused::QueueFull { .. }));
    assert_eq!(began.elapsed().as_secs(), 30);
    assert_eq!((limits.state().in_flight, limits.state().waiting), (1, 0));
    drop(running);
    assert_eq!(limits.state().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_waiting_call_frees_its_place_at_once_and_wakes_the_next() {
    let limits = Limits::new(&slots(1));
    let running = normal(&limits).await.unwrap();
    let mut first = Box::pin(normal(&limits));
    assert!(poll!(first.as_mut()).is_pending());
    let next = limits.clone();
    let second = tokio::spawn(async move { normal(&next).await.unwrap().settle(3) });
    tokio::task::yield_now().await;
    assert_eq!(limits.state().waiting, 2);
    drop(running);
    drop(first);
    second.await.unwrap();
    assert_eq!((limits.state().in_flight, limits.state().waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_permit_gives_back_what_was_not_used_and_charges_what_was_used_on_top() {
    let config = RateLimitConfig { tokens_per_minute: Some(600), ..requests(60, 5) };
    let limits = Limits::new(&config);
    let left = || (limits.state().requests_left.unwrap(), limits.state().tokens_left.unwrap());
    let acquire = || limits.acquire(100, Priority::Normal, None);
    acquire().await.unwrap().settle(40);
    assert_eq!(left(), (4, 560));
    drop(acquire().await.unwrap());
    assert_eq!(left(), (3, 560));
    acquire().await.unwrap().settle(260);
    assert_eq!(left(), (2, 300));
    let mut told = RateLimits::default();
    (told.remaining_requests, told.remaining_tokens) = (Some(1), Some(1_000));
    limits.learn(&told);
    assert_eq!(left(), (1, 300));
}

#[tokio::test(start_paused = true)]
async fn without_limits_calls_pass_and_pauses_still_hold() {
    let limits = Limits::new(&RateLimitConfig::default());
    let began = Instant::now();
    let many: Vec<_> = stream::iter(0..1000).then(|_| normal(&limits)).collect().await;
    assert!(many.iter().all(Result::is_ok));
    limits.throttled(Some(Duration::from_secs(3)));
    limits.throttled(None);
    let (first, second) = tokio::join!(normal(&limits), normal(&limits));
    assert_eq!(began.elapsed().as_secs(), 3);
    assert_eq!(limits.state().in_flight, 1002);
    drop((many, first, second));
    assert_eq!(limits.state().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_pause_beyond_their_patience_refuses_all_who_wait_at_once() {
    let limits = Limits::new(&RateLimitConfig { max_wait: Duration::from_secs(30), ..requests(60, 1) });
    drop(normal(&limits).await.unwrap());
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let limits = limits.clone();
            tokio::spawn(async move { normal(&limits).await.map(drop) })
        })
        .collect();
    tokio::task::yield_now().await;
    let began = Instant::now();
    limits.throttled(Some(Duration::from_secs(60)));
    for call in calls {
        assert!(
            matches!(call.await.unwrap().unwrap_err(), Refused::QueueFull { wait } if wait.as_secs() >= 60)
        );
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// The consumer of a stream of calls makes a call itself while the others, which stand before it, are not polled.
#[tokio::test(start_paused = true)]
async fn calls_that_are_not_polled_do_not_hold_up_the_others() {
    let limits = Limits::new(&requests(60, 1));
    let began = Instant::now();
    let calls = (0..5).map(|_| async { normal(&limits).await.map(drop) });
    let mut calls = Box::pin(stream::iter(calls).buffer_unordered(5));
    let mut done = 0;
    while let Some(call) = calls.next().await {
        call.unwrap();
        drop(normal(&limits).await.unwrap());
        done += 1;
    }
    assert_eq!(done, 5);
    // Each waits no longer than if those before it had started in time.
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_more_important_start_first_and_the_others_still_start() {
    let limits = Limits::new(&requests(60, 1));
    drop(normal(&limits).await.unwrap());
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let classes = [Priority::Background, Priority::Normal, Priority::High, Priority::Critical];
    let calls: Vec<_> = classes
        .into_iter()
        .map(|priority| {
            let (limits, order) = (limits.clone(), Arc::clone(&order));
            tokio::spawn(async move {
                drop(limits.acquire(1, priority, None).await.unwrap());
                order.lock().unwrap().push(priority);
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert!(order.lock().unwrap().iter().rev().copied().eq(classes));
}

#[tokio::test(start_paused = true)]
async fn after_a_throttle_the_rate_halves_and_rises_again_while_calls_succeed() {
    let limits = Limits::new(&requests(600, 10));
    limits.throttled(Some(Duration::from_secs(1)));
    assert_eq!(limits.state().sixteenths, 8);
    let mut seconds = 0;
    while limits.state().sixteenths < 16 {
        normal(&limits).await.unwrap().settle(10);
        advance(Duration::from_secs(1)).await;
        seconds += 1;
    }
    assert!((40..50).contains(&seconds), "{seconds}");
}

/// Law: whoever drops what, wherever, all is given back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_is_given_back_when_many_threads_drop_at_any_point() {
    let limits = Limits::new(&slots(3));
    let calls: Vec<_> = (0..2000_u64)
        .map(|id| {
            let limits = limits.clone();
            tokio::spawn(async move {
                let mut call = Box::pin(normal(&limits));
                if id % 3 == 0 {
                    // Whatever it is now, it is dropped.
                    let _ = poll!(call.as_mut());
                    return;
                }
                let Ok(permit) = call.await else { return };
                tokio::task::yield_now().await;
                if id % 2 == 0 {
                    permit.settle(id);
                }
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!((limits.state().in_flight, limits.state().waiting), (0, 0));
}
