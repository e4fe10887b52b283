//! How the gateway says no: its own refusals, and the errors of calls, as a client of either shape expects them.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use infer_core::{ErrorClass, ErrorKind, InferenceError, Origin};
use serde::Serialize;

/// Whether a client should ask again; OpenAI's clients obey it before any rule of their own.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// The most that is kept of a refusal which was plain text, in bytes.
const LONGEST_WORDS: usize = 1024;
/// The wait to the millisecond, for clients that read it.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// The shape of errors that a route's clients expect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `{"error": {"message", "type", "param", "code"}}`.
    #[default]
    OpenAi,
    /// `{"type": "error", "error": {"type", "message"}}`.
    Anthropic,
}

/// A refusal of the gateway's own; no upstream was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// The member of the request that is wrong.
    pub(crate) param: Option<String>,
    /// When asking again can work; true, not a guess.
    pub(crate) retry_after: Option<Duration>,
    /// False where asking again cannot work.
    pub(crate) retry: Option<bool>,
}

impl Denial {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), param: None, retry_after: None, retry: None }
    }

    pub(crate) fn about(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    pub(crate) fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(crate) fn for_good(mut self) -> Self {
        self.retry = Some(false);
        self
    }

    fn kind(&self) -> &'static str {
        match self.status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::FORBIDDEN => "permission_error",
            StatusCode::SERVICE_UNAVAILABLE => "service_unavailable_error",
            status if status.is_client_error() => "invalid_request_error",
            _ => "server_error",
        }
    }
}

/// Why a request has no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The gateway refused it.
    Denied(Denial),
    /// The call failed.
    Call(Box<InferenceError>),
}

impl From<Denial> for Failure {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<InferenceError> for Failure {
    fn from(error: InferenceError) -> Self {
        let error = for_callers(error);
        match own_refusal(&error) {
            Some(denial) => Self::Denied(denial),
            None => Self::Call(Box::new(error)),
        }
    }
}

/// The error without the upstream's address, which is the operator's business: the log has it.
pub(crate) fn for_callers(mut error: InferenceError) -> InferenceError {
    if let Some(at) = error.origin_mut() {
        at.endpoint = None;
    }
    error
}

/// Errors that arose here and not at an upstream, under the names that clients can rely on.
fn own_refusal(error: &InferenceError) -> Option<Denial> {
    let unsaid = Origin::default();
    let at = error.origin().unwrap_or(&unsaid);
    let said = || at.message.clone().unwrap_or_else(|| error.to_string());
    let too_many = StatusCode::TOO_MANY_REQUESTS;
    let denial = match error.kind() {
        ErrorKind::BudgetExhausted => {
            Denial::new(too_many, "budget_exhausted", format!("budget exhausted: {}", said())).for_good()
        }
        ErrorKind::QueueFull => Denial::new(too_many, "queue_full", said()),
        // What the upstream said when it was last asked is the better answer.
        ErrorKind::CircuitOpen if at.status.is_none() => {
            Denial::new(StatusCode::SERVICE_UNAVAILABLE, "no_healthy_target", said())
        }
        _ => return None,
    };
    Some(Denial { retry_after: error.retry_after(), ..denial })
}

impl Failure {
    /// The status it is answered with.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Denied(denial) => denial.status,
            Self::Call(error) => status(error, Shape::OpenAi).0,
        }
    }

    /// Its name in logs and metrics.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Denied(denial) => denial.code,
            Self::Call(error) => error.kind().name(),
        }
    }

    /// The whole answer.
    pub(crate) fn respond(&self, shape: Shape) -> Response<Body> {
        let (status, body, retry_after, retry) = match self {
            Self::Denied(denial) => {
                (denial.status, envelope(denial, shape), denial.retry_after, denial.retry)
            }
            Self::Call(error) => {
                let (status, body) = status(error, shape);
                (status, body, error.retry_after(), worth_asking_again(error))
            }
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        wait(headers, retry_after);
        if let Some(retry) = retry {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static(if retry { "true" } else { "false" }));
        }
        response
    }
}

/// Puts a refusal into words that clients read, where whatever lies below this crate has made one as plain text: a path
/// or a query that cannot be read.
pub(crate) async fn readable(response: Response<Body>) -> Response<Body> {
    let is_json = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let status = response.status();
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let said = axum::body::to_bytes(response.into_body(), LONGEST_WORDS).await.unwrap_or_default();
    let said: String =
        String::from_utf8_lossy(&said).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let message = if said.trim().is_empty() { "the request cannot be read".to_owned() } else { said };
    Failure::Denied(Denial::new(status, "bad_request", message).for_good()).respond(Shape::OpenAi)
}

/// What the upstream said about asking again, and no where the cause does not pass by itself: a client would repeat any 5xx.
fn worth_asking_again(error: &InferenceError) -> Option<bool> {
    match error.origin().and_then(|at| at.should_retry) {
        // Nobody is believed who says that a wrong request or a refused credential may pass.
        Some(true) if matches!(error.class(), ErrorClass::Caller | ErrorClass::Credential) => Some(false),
        None if !error.is_transient() => Some(false),
        told => told,
    }
}

/// Says when to ask again, in whole seconds that are not too few, and exactly.
fn wait(headers: &mut HeaderMap, wait: Option<Duration>) {
    let Some(wait) = wait else { return };
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    headers.insert(RETRY_AFTER, seconds.into());
    let exact = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    headers.insert(RETRY_AFTER_MS, exact.into());
}

fn status(error: &InferenceError, shape: Shape) -> (StatusCode, Bytes) {
    let (status, body) = match shape {
        Shape::OpenAi => wire_chat::server::write_error(error),
        Shape::Anthropic => wire_messages::server::write_error(error),
    };
    (StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY), body)
}

fn envelope(denial: &Denial, shape: Shape) -> Bytes {
    #[derive(Serialize)]
    struct OpenAi<'a> {
        error: Words<'a>,
    }
    #[derive(Serialize)]
    struct Words<'a> {
        message: &'a str,
        r#type: &'static str,
        param: Option<&'a str>,
        code: &'static str,
    }
    #[derive(Serialize)]
    struct Anthropic<'a> {
        r#type: &'static str,
        error: Said<'a>,
    }
    #[derive(Serialize)]
    struct Said<'a> {
        r#type: &'static str,
        message: &'a str,
    }
    let (kind, message) = (denial.kind(), denial.message.as_str());
    let written = match shape {
        Shape::OpenAi => {
            let param = denial.param.as_deref();
            let error = Words { message, r#type: kind, param, code: denial.code };
            serde_json::to_vec(&OpenAi { error })
        }
        Shape::Anthropic => {
            let kind = match denial.status {
                StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
                StatusCode::NOT_FOUND => "not_found_error",
                StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
                status if status.is_server_error() => "api_error",
                _ => kind,
            };
            serde_json::to_vec(&Anthropic { r#type: "error", error: Said { r#type: kind, message } })
        }
    };
    written.unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(error: InferenceError) -> Response<Body> {
        Failure::from(error).respond(Shape::OpenAi)
    }

    #[test]
    fn a_budget_refusal_says_that_asking_again_is_no_use() {
        let mut at = Origin::default();
        at.message = Some("budget \"team\" is used up".to_owned());
        let error = InferenceError::reported(ErrorKind::BudgetExhausted, Box::new(at), None);
        let response = failed(error);
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["x-should-retry"], "false");
        assert!(!response.headers().contains_key("retry-after"));
    }

    #[test]
    fn what_does_not_pass_by_itself_is_not_to_be_asked_again_whatever_its_status() {
        let reported = |kind, told| {
            let mut at = Origin::default();
            at.should_retry = told;
            let response = failed(InferenceError::reported(kind, Box::new(at), None));
            response.headers().get("x-should-retry").map(|value| value.to_str().unwrap().to_owned())
        };
        let no = Some("false".to_owned());
        assert_eq!(reported(ErrorKind::Unauthenticated, None), no, "a 500 that clients would repeat");
        assert_eq!(reported(ErrorKind::Unauthenticated, Some(true)), no);
        assert_eq!(reported(ErrorKind::QuotaExhausted, None), no, "a 429 that clients would repeat");
        assert_eq!(reported(ErrorKind::Overloaded, None), None);
        assert_eq!(reported(ErrorKind::Overloaded, Some(false)), no, "what the upstream said survives");
        assert_eq!(reported(ErrorKind::QuotaExhausted, Some(true)), Some("true".to_owned()));
    }

    #[tokio::test]
    async fn the_upstreams_address_stays_here() {
        let mut at = Origin::default();
        at.endpoint = Some("http://10.0.0.7:8000/v1".into());
        let response = failed(InferenceError::reported(ErrorKind::Upstream, Box::new(at), None));
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        assert!(!String::from_utf8_lossy(&body).contains("10.0.0.7"), "{body:?}");
    }

    #[test]
    fn the_wait_is_never_said_too_short() {
        let error =
            InferenceError::QueueFull { at: Box::default(), retry_after: Duration::from_millis(1_001) };
        let response = failed(error);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.headers()["retry-after-ms"], "1001");
        let error = InferenceError::QueueFull { at: Box::default(), retry_after: Duration::from_nanos(1) };
        let response = failed(error);
        assert_eq!(
            (&response.headers()["retry-after"], &response.headers()["retry-after-ms"]),
            (&1.into(), &1.into())
        );
    }

    #[test]
    fn an_open_breaker_gives_what_the_upstream_said_last_where_that_is_known() {
        let open = |status| {
            let mut at = Origin::default();
            at.status = status;
            InferenceError::CircuitOpen { at: Box::new(at), retry_after: Duration::from_secs(3) }
        };
        assert!(
            matches!(Failure::from(open(None)), Failure::Denied(denial) if denial.code == "no_healthy_target")
        );
        let told = failed(open(Some(529)));
        assert_eq!((told.status().as_u16(), &told.headers()["retry-after"]), (529, &HeaderValue::from(3)));
    }
}
