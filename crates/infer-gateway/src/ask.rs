//! What a request asks of the gateway itself, by its headers.
//!
//! | header | means |
//! |---|---|
//! | `x-request-id` | the name of the call, when it is well-formed; else one is made |
//! | `x-provider-priority` | only this provider, by its name in the configuration |
//! | `x-no-failover` | one target, whatever becomes of it |
//! | `x-infer-timeout` | the most time for the whole call: `30s`, or seconds |
//! | `x-infer-priority` | `background`, `normal`, `high` or `critical`, for those who wait |
//! | `x-infer-cache` | `off`: neither read nor kept; `refresh`: asked anew and kept; `any`: also where answers vary |
//! | `x-infer-sticky` | calls with the same value meet the same target on a sticky route |
//! | `x-infer-tag` | a label by which spend is counted as well |

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use infer_core::{Priority, RequestId, Routing};
use infer_store::cache::CacheControl;

use crate::caller::Caller;
use crate::config::GatewayConfig;
use crate::denial::Denial;

/// The longest label, in bytes.
const LONGEST: usize = 128;

/// What the headers ask.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    pub(crate) id: RequestId,
    pub(crate) routing: Routing,
    pub(crate) deadline: Duration,
    pub(crate) priority: Priority,
    pub(crate) cache: CacheControl,
}

/// The name of a request: the client's, where it is well-formed.
pub(crate) fn request_id(headers: &HeaderMap) -> RequestId {
    let told = headers.get("x-request-id").and_then(|value| value.to_str().ok());
    told.and_then(|text| text.parse().ok()).unwrap_or_else(RequestId::generate)
}

/// Reads all of them.
///
/// # Errors
/// 400 that names the header and what it may be.
pub(crate) fn wishes(
    headers: &HeaderMap,
    id: RequestId,
    caller: &Caller,
    config: &GatewayConfig,
) -> Result<Wishes, Denial> {
    let mut routing = Routing::default();
    routing.pin = text(headers, "x-provider-priority")?.map(str::to_owned);
    if flag(headers, "x-no-failover")? {
        routing = routing.without_failover();
    }
    routing.sticky_key = text(headers, "x-infer-sticky")?.map(str::to_owned);
    routing.key = caller.name().cloned();
    let own_tag = caller.key.as_ref().and_then(|key| key.tags.first()).map(String::as_str);
    routing.tag = own_tag.or(text(headers, "x-infer-tag")?).map(Into::into);
    let deadline = match text(headers, "x-infer-timeout")? {
        Some(told) => timeout(told)?.min(config.default_deadline),
        None => config.default_deadline,
    };
    let priority = match text(headers, "x-infer-priority")? {
        None | Some("normal") => Priority::Normal,
        Some("background") => Priority::Background,
        Some("high") => Priority::High,
        Some("critical") => Priority::Critical,
        Some(other) => {
            return Err(bad("x-infer-priority", other, "background, normal, high or critical"));
        }
    };
    let cache = match text(headers, "x-infer-cache")? {
        None => CacheControl::default(),
        Some("off") => CacheControl::off(),
        Some("refresh") => CacheControl::refresh(),
        Some("any") => {
            let mut any = CacheControl::default();
            any.nondeterministic = true;
            any
        }
        Some(other) => return Err(bad("x-infer-cache", other, "off, refresh or any")),
    };
    Ok(Wishes { id, routing, deadline, priority, cache })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Denial> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match value.to_str().map(str::trim) {
        Ok("") => Ok(None),
        Ok(text) if text.len() <= LONGEST => Ok(Some(text)),
        _ => Err(bad(name, "", &format!("at most {LONGEST} visible characters"))),
    }
}

fn flag(headers: &HeaderMap, name: &str) -> Result<bool, Denial> {
    match text(headers, name)? {
        None | Some("false" | "0" | "no") => Ok(false),
        Some("true" | "1" | "yes") => Ok(true),
        Some(other) => Err(bad(name, other, "true or false")),
    }
}

fn timeout(told: &str) -> Result<Duration, Denial> {
    let seconds = told.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let time = seconds.or_else(|| humantime::parse_duration(told).ok()).filter(|time| !time.is_zero());
    time.ok_or_else(|| bad("x-infer-timeout", told, "a time above 0, such as 30s or 1.5"))
}

fn bad(name: &str, got: &str, expected: &str) -> Denial {
    let message = format!("{name}: must be {expected}, got {got:?}");
    Denial::new(StatusCode::BAD_REQUEST, "invalid_header", message).for_good()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&'static str, &str)]) -> Result<Wishes, Denial> {
        let headers = pairs.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_str(value).unwrap())
        });
        let headers: HeaderMap = headers.collect();
        wishes(&headers, request_id(&headers), &Caller { key: None }, &GatewayConfig::default())
    }

    #[test]
    fn headers_say_how_a_call_is_routed() {
        let asked = read(&[
            ("x-request-id", "abc-1"),
            ("x-provider-priority", "azure"),
            ("x-no-failover", "true"),
            ("x-infer-timeout", "1.5"),
            ("x-infer-priority", "high"),
            ("x-infer-cache", "off"),
        ])
        .unwrap();
        assert_eq!((asked.id.as_str(), asked.routing.pin.as_deref()), ("abc-1", Some("azure")));
        assert_eq!(asked.routing.failover, infer_core::Failover::Never);
        assert_eq!((asked.deadline, asked.priority), (Duration::from_millis(1_500), Priority::High));
        assert!(!asked.cache.read && !asked.cache.write);
    }

    #[test]
    fn a_client_cannot_ask_for_more_time_than_the_operator_gives() {
        assert_eq!(read(&[("x-infer-timeout", "2h")]).unwrap().deadline, Duration::from_secs(600));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let long = "x".repeat(200);
        for (name, value) in [
            ("x-no-failover", "maybe"),
            ("x-infer-timeout", "0"),
            ("x-infer-timeout", "soon"),
            ("x-infer-timeout", "-1"),
            ("x-infer-timeout", "1e400"),
            ("x-infer-priority", "urgent"),
            ("x-infer-cache", "yes"),
            ("x-provider-priority", long.as_str()),
        ] {
            let denial = read(&[(name, value)]).unwrap_err();
            assert!(denial.message.starts_with(name), "{denial:?}");
        }
    }

    #[test]
    fn an_odd_request_id_is_replaced_and_not_refused() {
        let asked = read(&[("x-request-id", "no spaces allowed")]).unwrap();
        assert!(asked.id.as_str().starts_with("req-"));
    }
}
