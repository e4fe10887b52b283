//! Error replies as OpenAI and the proxies in front of it send them (its error codes page, read 2026-11-21).

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::reply::Reply;

/// One error body.
pub(crate) struct Fault {
    message: String,
    kind: &'static str,
    param: Option<&'static str>,
    code: Option<&'static str>,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>, kind: &'static str, code: Option<&'static str>) -> Self {
        Self { message: message.into(), kind, param: None, code }
    }

    /// The request is wrong.
    pub(crate) fn invalid(message: impl Into<String>, code: Option<&'static str>) -> Self {
        Self::new(message, "invalid_request_error", code)
    }

    pub(crate) fn on(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    /// `{"error":{…}}`.
    pub(crate) fn body(&self) -> Bytes {
        let Self { message, kind, param, code } = self;
        let error = json!({ "message": message, "type": kind, "param": param, "code": code });
        Bytes::from(json!({ "error": error }).to_string())
    }

    pub(crate) fn reply(&self, status: StatusCode) -> Reply {
        Reply::json(status, self.body())
    }
}

impl Reply {
    pub(crate) fn not_found(method: &http::Method, path: &str) -> Self {
        let message = format!("Invalid URL ({method} {path})");
        Fault::invalid(message, Some("unknown_url")).reply(StatusCode::NOT_FOUND)
    }

    pub(crate) fn method_not_allowed(method: &http::Method, path: &str) -> Self {
        let message = format!("Not allowed to {method} on {path}.");
        Fault::invalid(message, Some("method_not_supported")).reply(StatusCode::METHOD_NOT_ALLOWED)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("Request body is larger than {limit} bytes.");
        Fault::invalid(message, None).reply(StatusCode::PAYLOAD_TOO_LARGE)
    }

    pub(crate) fn no_model(model: &str) -> Self {
        let shown: String = model.chars().take(100).collect();
        let message = format!("The model `{shown}` does not exist or you do not have access to it.");
        Fault::invalid(message, Some("model_not_found")).reply(StatusCode::NOT_FOUND)
    }

    /// What OpenAI sends with this status.
    pub(crate) fn of_status(status: u16, retry_after: Option<Duration>) -> Self {
        let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let reply = match status {
            404 => Self::no_model("sim-error-404"),
            502 | 504 | 520..=524 => Self::whole(code, "text/html; charset=utf-8", page(code)),
            _ => of_status(status).reply(code),
        };
        match retry_after {
            Some(wait) => reply.header("retry-after", &wait.as_secs().to_string()),
            None => reply,
        }
    }

    pub(crate) fn quota() -> Self {
        let message = "You exceeded your current quota, please check your plan and billing details.";
        Fault::new(message, "insufficient_quota", Some("insufficient_quota"))
            .reply(StatusCode::TOO_MANY_REQUESTS)
    }

    pub(crate) fn context() -> Self {
        let message = "This model's maximum context length is 128000 tokens. However, your messages resulted in \
                       200000 tokens. Please reduce the length of the messages.";
        Fault::invalid(message, Some("context_length_exceeded")).on("messages").reply(StatusCode::BAD_REQUEST)
    }

    /// As Azure words it: OpenAI itself has no such refusal on this route.
    pub(crate) fn filter() -> Self {
        let hit = json!({ "filtered": true, "severity": "high" });
        let body: Value = json!({ "error": {
            "message": "The response was filtered due to the prompt triggering the content management policy.",
            "type": null,
            "param": "prompt",
            "code": "content_filter",
            "status": 400,
            "innererror": {
                "code": "ResponsibleAIPolicyViolation",
                "content_filter_result": { "violence": hit },
            },
        } });
        Self::json(StatusCode::BAD_REQUEST, body.to_string())
    }

    pub(crate) fn html() -> Self {
        Self::whole(StatusCode::OK, "text/html; charset=utf-8", page(StatusCode::OK))
    }

    pub(crate) fn echo_key(authorization: Option<&str>) -> Self {
        let message = format!("Incorrect API key provided: {}.", authorization.unwrap_or("none"));
        Fault::invalid(message, Some("invalid_api_key")).reply(StatusCode::UNAUTHORIZED)
    }
}

/// The upstream broke while it worked.
pub(crate) fn server_error() -> Fault {
    Fault::new(
        "The server had an error while processing your request. Sorry about that!",
        "server_error",
        Some("server_error"),
    )
}

fn of_status(status: u16) -> Fault {
    match status {
        400 => Fault::invalid("Invalid value for 'messages'.", Some("invalid_value")).on("messages"),
        401 => Fault::invalid("Incorrect API key provided.", Some("invalid_api_key")),
        403 => Fault::new(
            "Country, region, or territory not supported",
            "request_forbidden",
            Some("unsupported_country_region_territory"),
        ),
        408 => Fault::invalid("Request timed out.", None),
        409 => Fault::invalid("The resource is locked by another request.", None),
        413 => Fault::invalid("Request body is too large.", None),
        429 => Fault::new(
            "Rate limit reached for requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 1s.",
            "requests",
            Some("rate_limit_exceeded"),
        ),
        500 => server_error(),
        503 | 529 => Fault::new(
            "The engine is currently overloaded, please try again later.",
            "service_unavailable_error",
            Some("server_is_overloaded"),
        ),
        501.. => Fault::new(format!("The simulator was asked for status {status}."), "server_error", None),
        _ => Fault::invalid(format!("The simulator was asked for status {status}."), None),
    }
}

fn page(status: StatusCode) -> String {
    format!(
        "<!DOCTYPE html>\n<html><head><title>{status}</title></head>\n<body><h1>{status}</h1>\
         <p>A web page where a model's answer should be.</p></body></html>\n"
    )
}
