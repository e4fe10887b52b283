//! Headers that say how long to wait and how much is left.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use infer_core::{ErrorKind, InferenceError, RateLimits};
use remote_core::headers::{rate_limits, request_id, reset_of_what_is_used_up, retry_after, should_retry};

/// Headers, one `name: value` a line, give waits and counts that can be worked with: no wait of nothing, no count that was
/// negative, and the same again when they are written in the plainest way.
///
/// # Panics
/// When that does not hold.
pub fn header_tables(input: &[u8]) {
    let headers = headers(input);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_219_200);
    if let Some(wait) = retry_after(&headers, now) {
        assert!(!wait.is_zero(), "a wait of nothing");
        is_printed_on_one_line(wait);
        if let Ok(seconds) = HeaderValue::from_str(&wait.as_secs_f64().to_string()) {
            let plain = HeaderMap::from_iter([(HeaderName::from_static("retry-after"), seconds)]);
            let again = retry_after(&plain, now).unwrap_or_default();
            assert!(is_near(wait, again), "{wait:?} is read as {again:?}");
        }
    }
    assert!(
        plain_seconds(&headers).is_none_or(|seconds| {
            let read = retry_after(&headers, now);
            read == (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
        }),
        "a plain number of seconds is read as another"
    );
    if let Some(limits) = rate_limits(&headers) {
        assert_ne!(limits, RateLimits::default(), "limits that say nothing");
        counts_are_counts(&headers, &limits);
        for reset in [limits.reset_requests, limits.reset_tokens].into_iter().flatten() {
            let text = format!("{}s{}ns", reset.as_secs(), reset.subsec_nanos());
            let again = read_reset(&text);
            assert!(again.is_some_and(|again| is_near(reset, again)), "{reset:?} is read as {again:?}");
        }
        if let Some(wait) = reset_of_what_is_used_up(&limits) {
            assert!(!wait.is_zero(), "a wait of nothing");
            is_printed_on_one_line(wait);
        }
    }
    assert!(request_id(&headers).is_none_or(|id| !id.trim().is_empty()), "an empty name");
    should_retry(&headers);
}

/// The headers that can be; lines without a colon, such as a status line, are none.
fn headers(input: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n').take(256) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// What `retry-after` says where it is the only word and a plain number.
fn plain_seconds(headers: &HeaderMap) -> Option<u32> {
    let is_only = !headers.contains_key("retry-after-ms") && !headers.contains_key("x-ms-retry-after-ms");
    let text = headers.get("retry-after").filter(|_| is_only)?.to_str().ok()?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn counts_are_counts(headers: &HeaderMap, limits: &RateLimits) {
    let pairs = [
        ("x-ratelimit-remaining-requests", limits.remaining_requests),
        ("x-ratelimit-remaining-tokens", limits.remaining_tokens),
    ];
    for (name, count) in pairs {
        let number = |value: &HeaderValue| value.to_str().ok()?.trim().parse::<f64>().ok();
        let mut said = headers.get_all(name).iter().map(number).peekable();
        if said.peek().is_some() && said.all(|number| number.is_some_and(|number| number < 0.0)) {
            assert_eq!(count, None, "{name} is negative");
        }
    }
    let counts =
        [limits.limit_requests, limits.limit_tokens, limits.remaining_requests, limits.remaining_tokens];
    assert!(counts.into_iter().flatten().all(|count| count < 1_000_000_000_000_000_000), "{counts:?}");
}

/// What is read of a reset written like this.
fn read_reset(text: &str) -> Option<Duration> {
    let value = HeaderValue::from_str(text).ok()?;
    let headers = HeaderMap::from_iter([(HeaderName::from_static("x-ratelimit-reset-tokens"), value)]);
    rate_limits(&headers)?.reset_tokens
}

/// Equal but for what a 64-bit float cannot tell apart.
fn is_near(one: Duration, other: Duration) -> bool {
    let difference = one.abs_diff(other).as_secs_f64();
    difference <= 1e-9 || difference <= one.as_secs_f64() * 1e-12
}

fn is_printed_on_one_line(wait: Duration) {
    let error = InferenceError::reported(ErrorKind::RateLimited, Box::default(), Some(wait));
    let line = error.to_string();
    assert!(line.lines().count() == 1 && line.len() < 512, "{line}");
}
