//! What a token service's refusal means, in one line that names the way out.
//!
//! Microsoft changes its AADSTS codes as it likes and asks programs not to rely on them (its list of codes, read
//! 2026-11-21). So they choose the advice in the text and nothing else; what an error is follows from the status.

use http::StatusCode;
use infer_core::{InferenceError, Origin};
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded::byte_serialize;

use crate::exchange::{Answer, Service};

/// Secrets shorter than this are words that stand everywhere, and are left alone.
const SHORTEST_SECRET: usize = 4;

/// How a machine's service says that it has no such identity.
pub(crate) const NO_IDENTITY: &str = "Identity not found";

/// The shape of OAuth errors.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OAuthError {
    error: Value,
    error_description: Value,
    error_codes: Value,
}

/// The error for `answer`, which is no success. What it says is scrubbed of `secrets` and cut to 512 bytes.
pub(crate) fn refused(service: &Service, answer: &Answer, secrets: &[&str]) -> InferenceError {
    let status = answer.status;
    let error: OAuthError = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = error.error.as_str().map(|code| in_one_line(code, secrets, 64));
    let said = match error.error_description.as_str() {
        Some(said) => in_one_line(said, secrets, 512),
        None => in_one_line(&String::from_utf8_lossy(&answer.body), secrets, 512),
    };
    let is_passing = matches!(status.as_u16(), 404 | 408 | 410 | 500..)
        || matches!(code.as_deref(), Some("temporarily_unavailable" | "server_error"));
    if status == StatusCode::TOO_MANY_REQUESTS || is_passing {
        let at = service.origin(|at| {
            at.status = Some(status.as_u16());
            at.code = code;
            at.message = Some(said);
        });
        let retry_after = answer.retry_after;
        return if status == StatusCode::TOO_MANY_REQUESTS {
            InferenceError::RateLimited { at, retry_after }
        } else {
            InferenceError::Upstream { at, retry_after }
        };
    }
    let (name, endpoint) = (service.name, &service.endpoint);
    let advice = if status.is_redirection() {
        "a redirect is not followed, since it would carry the secret to another host: check the authority"
    } else if said.contains(NO_IDENTITY) {
        "there is no managed identity here, or not the one named: assign it, or choose another type of identity"
    } else {
        number(&error, &said).map_or("", advice)
    };
    let parts = [advice, code.as_deref().unwrap_or_default(), &said];
    let why = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    InferenceError::config(format!("{name} at {endpoint} answered http {}: {why}", status.as_u16()))
}

/// Whether `answer` has the shape that token services give their errors.
pub(crate) fn is_oauth_error(answer: &Answer) -> bool {
    serde_json::from_slice::<OAuthError>(&answer.body).is_ok_and(|error| error.error.is_string())
}

/// The number of the first AADSTS code.
fn number(error: &OAuthError, said: &str) -> Option<u64> {
    let digits = |text: &str| -> String { text.chars().take_while(char::is_ascii_digit).collect() };
    let in_words = said.split_once("AADSTS").and_then(|(_, rest)| digits(rest).parse().ok());
    in_words.or_else(|| error.error_codes.as_array()?.first()?.as_u64())
}

/// What to do about an AADSTS code, from Microsoft's list and its pages on workload identities (read 2026-11-21).
fn advice(number: u64) -> &'static str {
    match number {
        7_000_222 => "the client secret has expired: make a new one and put it in the place of the old",
        7_000_215 | 50_012 => "the client secret is wrong: it must be the secret's value, not its id",
        7_000_216 | 7_000_218 => {
            "the application needs a secret or an assertion: check the kind of credential"
        }
        7_000_112 => "the application is disabled in its tenant: have it enabled",
        700_016 | 7_000_229 => "the application is not in this tenant: check client_id and tenant",
        90_002 | 900_021 | 900_023 => {
            "there is no such tenant: check tenant, and that the cloud is the right one"
        }
        700_024 => {
            "the federated token is not valid now: check that its file is still rotated, and both clocks"
        }
        700_027 | 50_027 => "the federated token's signature does not fit: check its issuer",
        70_021 | 700_211..=700_213 => {
            "no federated credential of the application fits: compare issuer, subject and audience"
        }
        500_011 | 70_011 | 1_002_012 => "the scope is unknown in this tenant: check scope and cloud",
        900_382 => "the tenant belongs to another cloud: check cloud",
        53_003 => "a conditional access policy forbids it: ask whoever administers the tenant",
        50_076 | 50_078 | 50_079 | 50_173 | 70_043 | 70_044 | 700_082 => {
            "the login has expired: run az login"
        }
        _ => "",
    }
}

/// `text` in one line of at most `limit` bytes, without `secrets` and without anything that looks like a token.
pub(crate) fn in_one_line(text: &str, secrets: &[&str], limit: usize) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST_SECRET) {
        let encoded: String = byte_serialize(secret.as_bytes()).collect();
        // The quick look first: `replace` copies.
        for form in [*secret, encoded.as_str()] {
            if text.contains(form) {
                text = text.replace(form, "[redacted]");
            }
        }
    }
    let mut line = String::with_capacity(text.len().min(2 * limit));
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        without_tokens(word, &mut line);
        if line.len() > limit {
            break;
        }
    }
    let line = Origin::excerpt(&line);
    match line.char_indices().map(|(begin, _)| begin).find(|begin| *begin >= limit) {
        Some(end) => line.get(..end).unwrap_or_default().to_owned(),
        None => line,
    }
}

/// Adds `word` to `line`, with every JSON Web Token in it redacted: they begin with an encoded `{"`.
fn without_tokens(word: &str, line: &mut String) {
    let belongs = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut rest = word;
    while let Some(begin) = rest.find("eyJ") {
        let (before, token) = rest.split_at(begin);
        let (token, after) = token.split_at(token.find(|c| !belongs(c)).unwrap_or(token.len()));
        line.push_str(before);
        line.push_str(if token.len() >= 12 { "[redacted]" } else { token });
        rest = after;
    }
    line.push_str(rest);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use infer_core::ErrorKind;
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    use super::*;

    const SERVICE: Service =
        Service { name: "entra", endpoint: String::new(), limit: Duration::from_secs(1) };

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: None,
            body: Zeroizing::new(body.as_bytes().to_vec()),
        }
    }

    fn said(status: u16, body: &str, secrets: &[&str]) -> String {
        refused(&SERVICE, &answer(status, body), secrets).to_string()
    }

    #[test]
    fn known_codes_name_what_to_fix() {
        for (code, fix) in [
            (7_000_222, "make a new one"),
            (7_000_215, "the secret's value, not its id"),
            (700_016, "check client_id and tenant"),
            (90_002, "check tenant"),
            (700_024, "still rotated"),
            (700_213, "issuer, subject and audience"),
            (500_011, "check scope and cloud"),
        ] {
            for body in [
                format!(
                    r#"{{"error":"invalid_client","error_description":"AADSTS{code}: words.\r\nTrace ID: 1"}}"#
                ),
                format!(r#"{{"error":"invalid_client","error_codes":[{code}]}}"#),
            ] {
                let text = said(401, &body, &[]);
                assert!(
                    text.contains(fix) && text.contains("invalid_client") && !text.contains('\n'),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn what_an_error_is_follows_from_the_status_and_the_oauth_code() {
        for (status, body, kind) in [
            (400, "{}", ErrorKind::Config),
            (401, "", ErrorKind::Config),
            (302, "", ErrorKind::Config),
            (400, r#"{"error":"temporarily_unavailable"}"#, ErrorKind::Upstream),
            (404, "", ErrorKind::Upstream),
            (429, "", ErrorKind::RateLimited),
            (503, "<html>", ErrorKind::Upstream),
            (400, r#"{"error":{"code":"x"},"error_description":7}"#, ErrorKind::Config),
        ] {
            assert_eq!(refused(&SERVICE, &answer(status, body), &[]).kind(), kind, "{status} {body}");
        }
        assert!(said(302, "", &[]).contains("redirect is not followed"));
    }

    #[test]
    fn secrets_and_tokens_are_taken_out_before_the_text_is_cut() {
        let secret = "p~ss word/1";
        let long = format!("{}{secret}", "x ".repeat(252));
        for text in
            ["you sent p~ss word/1".to_owned(), "body was client_secret=p%7Ess+word%2F1&x".to_owned(), long]
        {
            let line = in_one_line(&text, &[secret], 512);
            assert!(!line.contains("ss word") && !line.contains("ss+word") && !line.contains("p~"), "{line}");
            assert!(line.len() <= 512);
        }
        let line = in_one_line("got \"eyJhbGciOi.eyJzdWIi.c2ln\", sorry; eyJ stays", &[], 512);
        assert_eq!(line, "got \"[redacted]\", sorry; eyJ stays");
        assert_eq!(in_one_line("a\r\n\u{1b}[31m b", &[], 512), "a [31m b");
    }

    proptest! {
        /// Whatever is said becomes one line of bounded length without the secret.
        #[test]
        fn any_refusal_is_one_bounded_line_without_the_secret(
            before in ".{0,600}", after in ".{0,300}", status in 300u16..600, secret in "[0-9A-Z]{12,40}",
        ) {
            let plain = format!("{before}{secret}{after}");
            let built = serde_json::json!({"error": plain, "error_description": plain}).to_string();
            for body in [plain, built] {
                let text = said(status, &body, &[&secret]);
                prop_assert!(!text.contains(&secret) && !text.contains(char::is_control), "{}", text);
                prop_assert!(text.len() <= 512 + 64 + 256, "{}", text.len());
            }
        }
    }
}
