//! Reads what a token service or the Azure CLI gave.
//!
//! Nothing of it is quoted in errors: any part may be the token.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use infer_core::DecodeKind;
use remote_core::session::{Credential, Secret};
use serde::Deserialize;
use serde_json::Value;

use crate::jwt::seconds;

/// How long a token counts as good that does not say when it ends. 5 min: no token lives shorter by default.
const UNKNOWN_LIFETIME: Duration = Duration::from_secs(300);

/// Why an answer is no token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It cannot be read.
    Unreadable(DecodeKind, String),
    /// It can, and helps nobody.
    Expired(String),
}

/// An answer of a login host or of a service for managed identities.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<Secret>,
    token_type: Option<String>,
    #[serde(default)]
    expires_in: Value,
    #[serde(default)]
    expires_on: Value,
}

/// What `az account get-access-token` prints.
#[derive(Deserialize)]
struct CliAnswer {
    #[serde(rename = "accessToken")]
    access_token: Option<Secret>,
    #[serde(rename = "tokenType")]
    token_type: Option<String>,
    #[serde(default)]
    expires_on: Value,
    #[serde(default, rename = "expiresOn")]
    expires_on_local: Value,
}

/// When a token ends.
enum Expiry {
    In(u64),
    At(SystemTime),
    Unknown,
}

/// The token in the `body` of a success. `expires_in` counts before `expires_on`, both as numbers or as their digits.
pub(crate) fn of_service(body: &[u8], now: SystemTime) -> Result<Credential, Unusable> {
    let answer: TokenAnswer = read(body, "{\"access_token\": \"...\", \"expires_in\": SECONDS}")?;
    let expiry = match (seconds(&answer.expires_in), seconds(&answer.expires_on)) {
        (Some(seconds), _) => Expiry::In(seconds),
        (None, Some(epoch)) => at(epoch),
        (None, None) => Expiry::Unknown,
    };
    credential(answer.access_token, answer.token_type.as_deref(), &expiry, now)
}

/// The token that the CLI `printed` while its time zone was UTC.
///
/// `expires_on` exists since version 2.54.0; `expiresOn` is a local time (Microsoft's page on the command, read
/// 2026-11-21).
pub(crate) fn of_cli(printed: &[u8], now: SystemTime) -> Result<Credential, Unusable> {
    let answer: CliAnswer = read(printed, "{\"accessToken\": \"...\", \"expires_on\": SECONDS}")?;
    let local = || humantime::parse_rfc3339_weak(answer.expires_on_local.as_str()?.trim()).ok();
    let expiry = seconds(&answer.expires_on).map(at).or_else(|| local().map(Expiry::At));
    credential(answer.access_token, answer.token_type.as_deref(), &expiry.unwrap_or(Expiry::Unknown), now)
}

fn read<'a, T: Deserialize<'a>>(text: &'a [u8], shape: &str) -> Result<T, Unusable> {
    let text = text.trim_ascii();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if text.is_empty() {
        return Err(Unusable::Unreadable(DecodeKind::Empty, format!("nothing instead of {shape}")));
    }
    serde_json::from_slice(text).map_err(|error| {
        let (line, column) = (error.line(), error.column()); // its words may quote the token
        Unusable::Unreadable(DecodeKind::Json, format!("line {line} column {column}: is not {shape}"))
    })
}

fn at(epoch: u64) -> Expiry {
    UNIX_EPOCH.checked_add(Duration::from_secs(epoch)).map_or(Expiry::Unknown, Expiry::At)
}

fn credential(
    token: Option<Secret>,
    kind: Option<&str>,
    expiry: &Expiry,
    now: SystemTime,
) -> Result<Credential, Unusable> {
    let unreadable = |kind, what: &str| Err(Unusable::Unreadable(kind, what.to_owned()));
    let Some(token) = token.filter(|token| !token.expose().is_empty()) else {
        return unreadable(DecodeKind::Empty, "there is no access token in it");
    };
    if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return unreadable(DecodeKind::Json, "the access token holds what no HTTP header may");
    }
    if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return unreadable(DecodeKind::Json, "the access token is not of type Bearer");
    }
    let fresh = Credential::new(token);
    let expired = |when: String| {
        Err(Unusable::Expired(format!(
            "gave a token that {when}: check this machine's clock, and ask again once the service has a new one"
        )))
    };
    match *expiry {
        Expiry::In(0) => expired("has no time left".to_owned()),
        Expiry::In(seconds) => Ok(fresh.with_lifetime(Duration::from_secs(seconds))),
        Expiry::At(time) if time <= now => {
            expired(format!("expired at {}", humantime::format_rfc3339_seconds(time.min(year_9999()))))
        }
        Expiry::At(time) => Ok(fresh.with_expiry(time)),
        Expiry::Unknown => Ok(fresh.with_lifetime(UNKNOWN_LIFETIME)),
    }
}

/// The last moment that can be written as a date.
fn year_9999() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(253_402_300_799)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_795_219_200; // 2026-11-21

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(NOW)
    }

    fn service(body: &str) -> Result<String, Unusable> {
        of_service(body.as_bytes(), now()).map(|credential| format!("{credential:?}"))
    }

    #[test]
    fn a_lifetime_counts_before_an_end_and_digits_count_as_numbers() {
        for (body, expiry) in [
            (r#"{"access_token":"t","expires_in":3599,"expires_on":1}"#, "In(3599s)"),
            (r#"{"access_token":"t","expires_in":"86399"}"#, "In(86399s)"),
            (r#"{"access_token":"t","expires_in":3599.9}"#, "In(3599s)"),
            (r#"{"access_token":"t","expires_in":"soon","expires_on":"1795305600"}"#, "At("),
            (r#"{"access_token":"t","expires_on":1795305600,"token_type":"bearer"}"#, "At("),
            (r#"{"access_token":"t"}"#, "In(300s)"),
            (r#"{"access_token":"t","expires_on":"11/05/2027 15:18:31 +00:00"}"#, "In(300s)"),
            (
                "\u{feff}{\"access_token\":\"t\",\"expires_in\":18446744073709551615}",
                "In(18446744073709551615s)",
            ),
            (r#"{"access_token":"t","expires_on":18446744073709551615}"#, "In(300s)"),
        ] {
            let read = service(body).unwrap();
            assert!(read.contains(expiry), "{body}: {read}");
        }
    }

    #[test]
    fn a_token_that_has_ended_is_refused_with_its_end() {
        for (body, end) in [
            (r#"{"access_token":"t","expires_in":0}"#, "no time left"),
            (r#"{"access_token":"t","expires_in":"-5"}"#, "no time left"),
            (r#"{"access_token":"t","expires_on":"1795219200"}"#, "expired at 2026-11-21T00:00:00Z"),
            (r#"{"access_token":"t","expires_on":0}"#, "expired at 1970-01-01T00:00:00Z"),
        ] {
            let Err(Unusable::Expired(text)) = service(body) else { panic!("{body}") };
            assert!(text.contains(end), "{text}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_and_never_quoted() {
        for body in [
            "",
            " \n",
            "<html>secret</html>",
            r#"{"access_token":""}"#,
            r#"{"access_token":null}"#,
            r#"{"access_token":["secret"]}"#,
            r#"{"access_token":"secret token","expires_in":9}"#,
            r#"{"access_token":"secret\ntoken","expires_in":9}"#,
            r#"{"access_token":"secret","token_type":"pop","expires_in":9}"#,
            r#"{"access_token":"secret","expires_in":9"#,
            r#"{"expires_in":9}"#,
            "[]",
            "null",
        ] {
            let Err(Unusable::Unreadable(_, text)) = service(body) else { panic!("{body}") };
            assert!(!text.contains("secret") && !text.contains('\n'), "{text}");
        }
    }

    #[test]
    fn the_cli_tells_the_end_as_a_number_or_as_a_time() {
        let read = |text: &str| of_cli(text.as_bytes(), now()).map(|credential| format!("{credential:?}"));
        let number =
            r#"{"accessToken":"t","expiresOn":"2020-01-01 00:00:00.000000","expires_on":1795305600}"#;
        let time = r#"{"accessToken":"t","expiresOn":"2026-11-22 00:00:00.000000","tokenType":"Bearer"}"#;
        assert_eq!(read(number).unwrap(), read(time).unwrap());
        assert!(read(r#"{"accessToken":"t","expiresOn":"soon"}"#).unwrap().contains("In(300s)"));
        let old = read(r#"{"accessToken":"t","expiresOn":"2026-11-20 23:59:59.5"}"#);
        assert!(matches!(old, Err(Unusable::Expired(text)) if text.contains("2026-11-20T23:59:59Z")));
    }

    proptest! {
        /// No bytes make a reader panic, and no token is empty, unfit for a header, or without an end.
        #[test]
        fn any_answer_is_a_token_with_an_end_or_a_fault(
            noise in proptest::collection::vec(any::<u8>(), 0..64),
            token in ".{0,12}",
            expiry in prop_oneof![
                Just(Value::Null), any::<u64>().prop_map(Value::from), any::<i64>().prop_map(Value::from),
                any::<f64>().prop_map(Value::from), ".{0,20}".prop_map(Value::from),
            ],
        ) {
            let built = serde_json::json!({
                "access_token": token, "accessToken": token, "expires_in": expiry, "expires_on": expiry,
                "expiresOn": expiry,
            });
            for body in [noise, built.to_string().into_bytes()] {
                for read in [of_service(&body, now()), of_cli(&body, now())] {
                    let Ok(credential) = read else { continue };
                    let token = credential.secret().unwrap().expose().to_owned();
                    prop_assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
                    let printed = format!("{credential:?}");
                    prop_assert!(printed.contains("expiry: Some"), "{}", printed);
                }
            }
        }
    }
}
