//! What response headers say about limits, waits and names.
//!
//! Formats as the vendors document them and as the official clients read them (read 2026-11-21). What cannot be read is
//! left out: a header never fails a call.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use infer_core::RateLimits;

/// The wait the upstream asks for: `retry-after-ms`, `x-ms-retry-after-ms`, then `retry-after` in seconds or as a date.
///
/// A date counts from the response's own `date` where there is one, else from `now`. Waits that cannot be read, are
/// negative, or are no finite number are ignored; so is a date in the past.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let millis = ["retry-after-ms", "x-ms-retry-after-ms"]
        .into_iter()
        .filter_map(|name| number(headers, name))
        .find_map(|millis| positive_seconds(millis / 1000.0));
    millis.or_else(|| {
        let text = text(headers, "retry-after")?;
        match text.parse::<f64>() {
            Ok(seconds) => positive_seconds(seconds),
            Err(_) => {
                let until = httpdate::parse_http_date(text).ok()?;
                let sent = self::text(headers, "date").and_then(|date| httpdate::parse_http_date(date).ok());
                until.duration_since(sent.unwrap_or(now)).ok().filter(|wait| !wait.is_zero())
            }
        }
    })
}

/// Whether the upstream itself says that asking again is worth it.
pub fn should_retry(headers: &HeaderMap) -> Option<bool> {
    match text(headers, "x-should-retry")? {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// The wait until a limit that is used up is full again; for a 429 that names no wait itself.
pub fn reset_of_what_is_used_up(limits: &RateLimits) -> Option<Duration> {
    let requests = limits.reset_requests.filter(|_| limits.remaining_requests == Some(0));
    let tokens = limits.reset_tokens.filter(|_| limits.remaining_tokens == Some(0));
    requests.max(tokens).filter(|wait| !wait.is_zero())
}

fn positive_seconds(seconds: f64) -> Option<Duration> {
    // Less than a nanosecond is no wait either.
    Duration::try_from_secs_f64(seconds).ok().filter(|wait| !wait.is_zero())
}

/// The upstream's name for the request, by which its support finds it.
pub fn request_id(headers: &HeaderMap) -> Option<&str> {
    const NAMES: [&str; 5] = ["x-request-id", "apim-request-id", "request-id", "x-generation-id", "trace-id"];
    // One pass, as for the limits below; of several, the name that stands first in the list counts.
    let ranked =
        headers.iter().filter(|(name, _)| name.as_str().ends_with("-id")).filter_map(|(name, value)| {
            let rank = NAMES.iter().position(|known| *known == name.as_str())?;
            let text = value.to_str().ok().map(str::trim).filter(|text| !text.is_empty())?;
            Some((rank, text))
        });
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, text)| text)
}

/// The upstream's limits; `None` when it reports none.
///
/// Read are `x-ratelimit-*` and Anthropic's `anthropic-ratelimit-*`, whose `tokens` are those of the tightest of its
/// limits (its page on rate limits, read 2026-11-21); its other counts are not needed beside them. Where a reset is a
/// time, it counts from the response's own `date`, and is left out where there is none.
pub fn rate_limits(headers: &HeaderMap) -> Option<RateLimits> {
    let mut limits = RateLimits::default();
    // One pass: looking up six names that are mostly absent costs more than a call's other headers together.
    for (name, value) in headers {
        let name = name.as_str();
        let figure = name.strip_prefix("x-ratelimit-").or_else(|| name.strip_prefix("anthropic-ratelimit-"));
        let Some(figure) = figure else { continue };
        let Some(text) = value.to_str().ok().map(str::trim) else { continue };
        let count = || text.parse::<f64>().ok().and_then(as_count);
        match figure {
            "limit-requests" | "requests-limit" => limits.limit_requests = count(),
            "limit-tokens" | "tokens-limit" => limits.limit_tokens = count(),
            "remaining-requests" | "requests-remaining" => limits.remaining_requests = count(),
            "remaining-tokens" | "tokens-remaining" => limits.remaining_tokens = count(),
            "reset-requests" => limits.reset_requests = span(text),
            "reset-tokens" => limits.reset_tokens = span(text),
            "requests-reset" => limits.reset_requests = until(text, headers),
            "tokens-reset" => limits.reset_tokens = until(text, headers),
            _ => {}
        }
    }
    if limits == RateLimits::default() {
        return None;
    }
    // -1 stands for "no figure" (seen at Azure), and the rest of that group means nothing then.
    let unknown = |name| number(headers, name).is_some_and(|left| left < 0.0);
    if unknown("x-ratelimit-remaining-tokens") {
        (limits.limit_tokens, limits.remaining_tokens, limits.reset_tokens) = (None, None, None);
    }
    if unknown("x-ratelimit-remaining-requests") {
        (limits.limit_requests, limits.remaining_requests, limits.reset_requests) = (None, None, None);
    }
    (limits != RateLimits::default()).then_some(limits)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
fn as_count(number: f64) -> Option<u64> {
    (0.0..1e18).contains(&number).then_some(number as u64)
}

/// A span of time as rate-limit headers write it: `6m0s`, `8.64s`, `12ms`, or a bare number of seconds.
fn span(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at_checked(letters)?;
        let seconds = match unit {
            "d" => 86_400.0,
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * seconds;
        rest = next;
    }
    Duration::try_from_secs_f64(total).ok().filter(|_| !text.is_empty())
}

/// From the response's `date` to a time as RFC 3339 has it; nothing for a time in the past.
fn until(time: &str, headers: &HeaderMap) -> Option<Duration> {
    let time = humantime::parse_rfc3339(time).ok()?;
    let sent = httpdate::parse_http_date(text(headers, "date")?).ok()?;
    Some(time.duration_since(sent).unwrap_or_default())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|text| !text.is_empty())
}

fn number(headers: &HeaderMap, name: &str) -> Option<f64> {
    text(headers, name)?.parse::<f64>().ok().filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_finer_header_is_read_first_and_nonsense_is_ignored() {
        let wait = |pairs: &[(&'static str, &str)]| {
            retry_after(&headers(pairs), SystemTime::UNIX_EPOCH).map(|wait| wait.as_millis())
        };
        assert_eq!(wait(&[("retry-after-ms", "1290"), ("retry-after", "2")]), Some(1290));
        assert_eq!(wait(&[("retry-after-ms", "soon"), ("retry-after", "2")]), Some(2000));
        assert_eq!(wait(&[("retry-after", "0.5")]), Some(500));
        for nothing in ["0", "-1", "-0", "1e-12", "nan", "inf", "1e300", "later", ""] {
            assert_eq!(wait(&[("retry-after", nothing)]), None, "{nothing}");
        }
        let date = ("date", "Sat, 21 Nov 2026 00:00:00 GMT");
        assert_eq!(wait(&[date, ("retry-after", "Sat, 21 Nov 2026 00:00:20 GMT")]), Some(20_000));
        assert_eq!(wait(&[date, ("retry-after", "Fri, 20 Nov 2026 00:00:20 GMT")]), None);
    }

    #[test]
    fn spans_are_read_in_every_spelling() {
        for (text, millis) in [
            ("12ms", 12),
            ("1s", 1000),
            ("8.64s", 8640),
            ("6m0s", 360_000),
            ("2m59.56s", 179_560),
            ("1h2m3s", 3_723_000),
            ("10", 10_000),
            ("0", 0),
        ] {
            assert_eq!(span(text).unwrap().as_millis(), millis, "{text}");
        }
        for bad in ["", "s", "1x", "1.2.3s", "-1s", "1e400s"] {
            assert_eq!(span(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_upstreams_own_word_is_read_and_a_used_up_limit_names_a_wait() {
        assert_eq!(should_retry(&headers(&[("x-should-retry", "false")])), Some(false));
        assert_eq!(should_retry(&headers(&[("x-should-retry", "perhaps")])), None);
        let told = [
            ("x-ratelimit-remaining-requests", "5"),
            ("x-ratelimit-reset-requests", "1h"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "7.66s"),
        ];
        let limits = rate_limits(&headers(&told)).unwrap();
        assert_eq!(reset_of_what_is_used_up(&limits), Some(Duration::from_millis(7660)));
        assert_eq!(reset_of_what_is_used_up(&RateLimits::default()), None);
    }

    #[test]
    fn limits_that_are_full_again_at_a_time_are_read_from_when_the_answer_was_sent() {
        let told = [
            ("date", "Sat, 21 Nov 2026 12:00:00 GMT"),
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "49"),
            ("anthropic-ratelimit-requests-reset", "2026-11-21T11:59:59Z"),
            ("anthropic-ratelimit-tokens-limit", "96000"),
            ("anthropic-ratelimit-tokens-remaining", "0"),
            ("anthropic-ratelimit-tokens-reset", "2026-11-21T12:00:07.5Z"),
            ("anthropic-ratelimit-output-tokens-remaining", "7"),
        ];
        let limits = rate_limits(&headers(&told)).unwrap();
        assert_eq!((limits.limit_requests, limits.remaining_requests), (Some(50), Some(49)));
        assert_eq!((limits.limit_tokens, limits.remaining_tokens), (Some(96_000), Some(0)));
        assert_eq!(limits.reset_requests, Some(Duration::ZERO));
        assert_eq!(limits.reset_tokens, Some(Duration::from_millis(7500)));
        assert_eq!(reset_of_what_is_used_up(&limits), limits.reset_tokens);
        let undated = rate_limits(&headers(&told[1..])).unwrap();
        assert_eq!((undated.reset_tokens, undated.remaining_tokens), (None, Some(0)));
        for odd in ["soon", "", "12s", "2026-11-21", "2026-13-21T12:00:07Z", "0000-00-00T00:00:00Z"] {
            let told = [told[0], ("anthropic-ratelimit-tokens-reset", odd)];
            assert_eq!(rate_limits(&headers(&told)), None, "{odd}");
        }
        assert_eq!(rate_limits(&headers(&[("anthropic-ratelimit-unified-status", "allowed")])), None);
    }

    #[test]
    fn minus_one_is_no_figure() {
        let found = rate_limits(&headers(&[
            ("x-ratelimit-limit-tokens", "-1"),
            ("x-ratelimit-remaining-tokens", "-1"),
            ("x-ratelimit-reset-tokens", "0"),
        ]));
        assert_eq!(found, None);
        let found = rate_limits(&headers(&[("x-ratelimit-remaining-requests", "59")])).unwrap();
        assert_eq!(found.remaining_requests, Some(59));
    }
}
