//! An error as a server writes it.

use bytes::Bytes;
use infer_core::{ErrorClass, ErrorKind, InferenceError, Origin};

use crate::write::Object;

/// Writes an error: the status and OpenAI's envelope.
///
/// What the upstream said survives: status, code, type, param and message, where it said them. Elsewhere the policy
/// table gives the status. An upstream that refused *our* credential is the exception: the caller can do nothing about
/// that, and its words may quote the key, so the caller learns no more than that.
pub fn write_error(error: &InferenceError) -> (u16, Bytes) {
    let policy = error.policy();
    // An open breaker may carry what the upstream said when it was last asked.
    let is_told =
        error.kind() == ErrorKind::CircuitOpen && error.origin().is_some_and(|at| at.status.is_some());
    let is_ours = matches!(policy.class, ErrorClass::Credential | ErrorClass::Local) && !is_told;
    let unsaid = Origin::default();
    let at = error.origin().filter(|_| !is_ours).unwrap_or(&unsaid);
    let from_table = match policy.gateway_status {
        0 => 502,
        status => status,
    };
    let status = at.status.filter(|status| (400..600).contains(status)).unwrap_or(from_table);

    let (kind, code) = words(error.kind());
    let message = match (&at.message, policy.class) {
        (Some(message), _) => message.clone(),
        (None, ErrorClass::Credential) => "the upstream did not accept this server's credential".to_owned(),
        (None, _) => error.to_string(),
    };
    let mut out = Vec::with_capacity(160 + message.len());
    let mut envelope = Object::begin(&mut out);
    let mut inner = Object::begin(envelope.key("error"));
    inner.value("message", &message);
    inner.value("type", at.error_type.as_deref().unwrap_or(kind));
    inner.value("param", &at.param);
    inner.value("code", &at.code.as_deref().or(code));
    inner.end();
    envelope.end();
    (status, out.into())
}

/// OpenAI's words where it has any, ours for what happens in between.
fn words(kind: ErrorKind) -> (&'static str, Option<&'static str>) {
    const CALLER: &str = "invalid_request_error";
    match kind {
        ErrorKind::InvalidRequest => (CALLER, None),
        ErrorKind::RequestTooLarge => (CALLER, Some("payload_too_large")),
        ErrorKind::ContextLengthExceeded => (CALLER, Some("context_length_exceeded")),
        ErrorKind::ContentFiltered => (CALLER, Some("content_filter")),
        ErrorKind::ModelNotFound => (CALLER, Some("model_not_found")),
        ErrorKind::RateLimited => ("rate_limit_error", Some("rate_limit_exceeded")),
        ErrorKind::QueueFull => ("rate_limit_error", Some("queue_full")),
        ErrorKind::QuotaExhausted => ("insufficient_quota", Some("insufficient_quota")),
        ErrorKind::Overloaded => ("service_unavailable_error", Some("server_is_overloaded")),
        ErrorKind::CircuitOpen => ("service_unavailable_error", Some("circuit_open")),
        ErrorKind::Upstream => ("server_error", None),
        other => ("server_error", Some(other.name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault;

    fn reported(kind: ErrorKind, change: impl FnOnce(&mut Origin)) -> InferenceError {
        let mut at = Origin::default();
        change(&mut at);
        InferenceError::reported(kind, Box::new(at), None)
    }

    #[test]
    fn what_the_upstream_said_survives() {
        let error = reported(ErrorKind::InvalidRequest, |at| {
            at.status = Some(422);
            at.code = Some("c".into());
            at.error_type = Some("t".into());
            at.param = Some("p".into());
            at.message = Some("m".into());
        });
        let expect = r#"{"error":{"message":"m","type":"t","param":"p","code":"c"}}"#;
        assert_eq!(write_error(&error), (422, Bytes::from_static(expect.as_bytes())));
    }

    #[test]
    fn a_refused_credential_is_our_fault_and_its_words_stay_here() {
        let error = reported(ErrorKind::Unauthenticated, |at| {
            at.status = Some(401);
            at.message = Some("Incorrect API key provided: sk-abc".into());
        });
        let (status, body) = write_error(&error);
        assert_eq!(status, 500);
        assert!(!String::from_utf8_lossy(&body).contains("sk-abc"));
    }

    #[test]
    fn an_error_that_came_under_a_success_gets_a_status_from_the_table() {
        let error = reported(ErrorKind::RateLimited, |at| at.status = Some(200));
        assert_eq!(write_error(&error).0, 429);
        assert_eq!(write_error(&InferenceError::config("x")).0, 500);
    }

    /// A client of ours behind a server of ours decides as if it had asked the upstream.
    #[test]
    fn what_is_written_reads_back_as_the_same_kind() {
        let kinds = [
            ErrorKind::InvalidRequest,
            ErrorKind::RequestTooLarge,
            ErrorKind::ContextLengthExceeded,
            ErrorKind::ContentFiltered,
            ErrorKind::ModelNotFound,
            ErrorKind::RateLimited,
            ErrorKind::QuotaExhausted,
            ErrorKind::Overloaded,
            ErrorKind::StreamInterrupted,
            ErrorKind::Upstream,
        ];
        for kind in kinds {
            let (status, body) = write_error(&reported(kind, |_| ()));
            let read = fault::read(&body).meaning.or_else(|| ErrorKind::of_status(status));
            assert_eq!(read, Some(kind));
        }
    }
}
