//! What an upstream says about when to come back.

use super::{Script, ask, assert_nothing_is_held, gaps, is_within, rig, status};
use remote_core::RemoteConfig;

type Headers = Vec<(&'static str, &'static str)>;

fn throttled(headers: Headers) -> Script {
    Script { headers, ..status(429) }
}

/// The seconds after which a call comes back that was throttled with `headers`, once for each of some seeds.
async fn comes_back(headers: Headers, least: f64, most: f64) {
    for seed in 0..8 {
        let headers = headers.clone();
        let rig = super::Rig::new(RemoteConfig::default(), super::session(), seed, move |nth, _| match nth {
            0 => throttled(headers.clone()),
            _ => super::fine(),
        });
        let (meta, whole) = ask(&rig).await.unwrap();
        assert_eq!((meta.attempts, whole.text()), (2, "fine"));
        let gap = gaps(&rig)[0];
        assert!(is_within(gap, least, most), "came back after {gap}s instead of {least}s to {most}s");
        assert_nothing_is_held(&rig);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_of_0_is_no_hint_and_the_default_pause_holds() {
    comes_back(vec![("retry-after", "0")], 1.0, 1.0).await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_of_1_is_a_floor() {
    comes_back(vec![("retry-after", "1")], 1.0, 1.1).await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_as_a_date_counts_from_the_upstreams_own_clock() {
    let headers =
        vec![("date", "Sat, 21 Nov 2026 00:00:00 GMT"), ("retry-after", "Sat, 21 Nov 2026 00:00:20 GMT")];
    comes_back(headers, 20.0, 22.0).await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_that_is_negative_or_garbage_is_no_hint() {
    for text in ["-5", "soon", "NaN", "1e400", "Sat, 99 Nov 2026 00:00:20 GMT"] {
        comes_back(vec![("retry-after", text)], 1.0, 1.0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_both_headers_the_finer_one_counts() {
    comes_back(vec![("retry-after", "20"), ("retry-after-ms", "1500")], 1.5, 1.65).await;
    comes_back(vec![("retry-after-ms", "garbage"), ("retry-after", "2")], 2.0, 2.2).await;
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_of_a_day_ends_the_call_at_once_and_the_error_says_so() {
    let rig = rig(RemoteConfig::default(), [throttled(vec![("retry-after", "86400")])]);
    let begun = tokio::time::Instant::now();
    let error = ask(&rig).await.unwrap_err();
    assert!(begun.elapsed().is_zero());
    assert_eq!(error.retry_after(), Some(super::seconds(86_400)));
    let text = error.to_string();
    assert!(text.contains("rate limited") && text.contains("asks to wait 86400s"), "{text}");
    assert!(text.contains("retry.max_hint"), "{text}");
    assert_eq!(rig.upstream.seen().len(), 1);
    assert!(rig.log.calls()[0].stop.as_deref().unwrap().contains("86400s"));
    assert_nothing_is_held(&rig);
}
