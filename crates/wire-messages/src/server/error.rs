//! An error as a server writes it.

use bytes::Bytes;
use infer_core::{ErrorClass, ErrorKind, InferenceError, Origin};
use serde::Serialize;

use crate::fault;

#[derive(Serialize)]
struct Envelope<'a> {
    r#type: &'static str,
    error: Inner<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Inner<'a> {
    r#type: &'a str,
    message: &'a str,
}

/// Anthropic's types of errors (its page on errors, read 2026-11-21).
const TYPES: [&str; 11] = [
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "conflict_error",
    "request_too_large",
    "rate_limit_error",
    "timeout_error",
    "api_error",
    "overloaded_error",
];

/// Writes an error: the status and Anthropic's envelope, with our name for the call where it has one.
///
/// What the upstream said survives: its status, its message, and its type where that is one of this format. Elsewhere
/// the policy table gives the status, except for two that this format's clients know by another: 529 for an upstream
/// without capacity and 402 for money that is used up. An upstream that refused *our* credential is the exception: the
/// caller can do nothing about that, and its words may quote the key, so the caller learns no more than that.
pub fn write_error(error: &InferenceError) -> (u16, Bytes) {
    let policy = error.policy();
    let is_ours = matches!(policy.class, ErrorClass::Credential | ErrorClass::Local);
    let unsaid = Origin::default();
    let at = error.origin().filter(|_| !is_ours).unwrap_or(&unsaid);
    let from_table = match (error.kind(), policy.gateway_status) {
        (ErrorKind::Overloaded, _) => 529,
        (ErrorKind::QuotaExhausted | ErrorKind::BudgetExhausted, _) => 402,
        (_, 0) => 502,
        (_, status) => status,
    };
    let status = at.status.filter(|status| (400..600).contains(status)).unwrap_or(from_table);
    let message = match (&at.message, policy.class) {
        (Some(message), _) => message.clone(),
        (None, ErrorClass::Credential) => "the upstream did not accept this server's credential".to_owned(),
        (None, _) => error.to_string(),
    };
    let message = marked(error.kind(), message);
    // OpenAI calls nearly everything an `invalid_request_error`; clients here tell a missing model by its own type.
    let is_general = |said: &str| said == "invalid_request_error" && word(error.kind()) != said;
    let said = at.error_type.as_deref().filter(|said| TYPES.contains(said) && !is_general(said));
    let envelope = Envelope {
        r#type: "error",
        error: Inner { r#type: said.unwrap_or_else(|| word(error.kind())), message: &message },
        request_id: error.origin().and_then(|at| at.request_id.as_ref()).map(infer_core::RequestId::as_str),
    };
    let body = serde_json::to_vec(&envelope).unwrap_or_default();
    (status, body.into())
}

/// Two kinds have no type here: clients know them by the words Anthropic uses for them.
fn marked(kind: ErrorKind, message: String) -> String {
    let mark = match kind {
        ErrorKind::ContextLengthExceeded => "prompt is too long",
        ErrorKind::ContentFiltered => "blocked by content filtering policy",
        _ => return message,
    };
    if fault::by_text(&message) == Some(kind) { message } else { format!("{mark}: {message}") }
}

fn word(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest | ErrorKind::ContextLengthExceeded | ErrorKind::ContentFiltered => {
            "invalid_request_error"
        }
        ErrorKind::RequestTooLarge => "request_too_large",
        ErrorKind::ModelNotFound => "not_found_error",
        ErrorKind::RateLimited | ErrorKind::QueueFull => "rate_limit_error",
        ErrorKind::QuotaExhausted | ErrorKind::BudgetExhausted => "billing_error",
        ErrorKind::Overloaded | ErrorKind::CircuitOpen => "overloaded_error",
        ErrorKind::Timeout | ErrorKind::DeadlineExceeded => "timeout_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(kind: ErrorKind, change: impl FnOnce(&mut Origin)) -> InferenceError {
        let mut at = Origin::default();
        change(&mut at);
        InferenceError::reported(kind, Box::new(at), None)
    }

    #[test]
    fn what_the_upstream_said_survives_in_this_formats_words() {
        let error = |kind: &str| {
            reported(ErrorKind::InvalidRequest, |at| {
                at.status = Some(422);
                at.error_type = Some(kind.into());
                at.message = Some("m".into());
            })
        };
        let expect = |kind: &str| {
            (422, Bytes::from(format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"m"}}}}"#)))
        };
        assert_eq!(write_error(&error("permission_error")), expect("permission_error"));
        assert_eq!(write_error(&error("insufficient_quota")), expect("invalid_request_error"));
        let missing = reported(ErrorKind::ModelNotFound, |at| {
            at.status = Some(404);
            at.error_type = Some("invalid_request_error".into());
        });
        let body = String::from_utf8(write_error(&missing).1.into()).unwrap();
        assert!(body.contains(r#""type":"not_found_error""#), "what OpenAI calls a missing model: {body}");
    }

    #[test]
    fn a_refused_credential_is_our_fault_and_its_words_stay_here() {
        let error = reported(ErrorKind::Unauthenticated, |at| {
            at.status = Some(401);
            at.message = Some("invalid x-api-key sk-abc".into());
        });
        let (status, body) = write_error(&error);
        assert_eq!(status, 500);
        let body = String::from_utf8_lossy(&body).into_owned();
        assert!(!body.contains("sk-abc") && body.contains("api_error"), "{body}");
    }

    #[test]
    fn our_name_for_the_call_is_told() {
        let id = infer_core::RequestId::generate();
        let error = reported(ErrorKind::Upstream, |at| at.request_id = Some(id.clone()));
        let json: serde_json::Value = serde_json::from_slice(&write_error(&error).1).unwrap();
        assert_eq!(json["request_id"], id.as_str());
    }

    /// A client of ours behind a server of ours decides as if it had asked the upstream.
    #[test]
    fn what_is_written_reads_back_as_the_same_kind() {
        let kinds = [
            (ErrorKind::InvalidRequest, 400),
            (ErrorKind::ContextLengthExceeded, 400),
            (ErrorKind::ContentFiltered, 400),
            (ErrorKind::RequestTooLarge, 413),
            (ErrorKind::ModelNotFound, 404),
            (ErrorKind::RateLimited, 429),
            (ErrorKind::QuotaExhausted, 402),
            (ErrorKind::Overloaded, 529),
            (ErrorKind::Upstream, 502),
        ];
        for (kind, expect) in kinds {
            let (status, body) = write_error(&reported(kind, |at| at.status = Some(200)));
            let read = fault::read(&body).meaning.or_else(|| ErrorKind::of_status(status));
            assert_eq!((read, status), (Some(kind), expect));
        }
    }
}
