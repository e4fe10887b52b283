//! Acme's side of the wire format, written apart from the codec, so that both cannot share a mistake.

use bytes::Bytes;
use infer_core::{ErrorKind, Usage};
use remote_testkit::{Script, Wire};
use serde_json::{Value, json};

use crate::MODEL;

/// Acme as it answers (its API reference, read 2000-01-01).
#[derive(Debug)]
pub(crate) struct AcmeWire;

fn event(value: &Value) -> Bytes {
    format!("data: {value}\n\n").into()
}

fn body(value: &Value) -> Bytes {
    value.to_string().into()
}

fn tokens(usage: Usage) -> Value {
    json!({"input": usage.input_tokens, "cached": usage.cached_input_tokens, "output": usage.output_tokens})
}

/// Acme's status and code for a kind of error.
fn words(kind: ErrorKind) -> (u16, &'static str) {
    match kind {
        ErrorKind::ContextLengthExceeded => (400, "prompt_too_long"),
        ErrorKind::ContentFiltered => (400, "filtered"),
        ErrorKind::ModelNotFound => (404, "no_such_model"),
        ErrorKind::Unauthenticated => (401, "bad_key"),
        ErrorKind::PermissionDenied => (403, "not_allowed"),
        ErrorKind::RateLimited => (429, "slow_down"),
        ErrorKind::QuotaExhausted => (429, "no_credit"),
        ErrorKind::RequestTooLarge => (429, "request_too_large"),
        ErrorKind::Overloaded => (503, "overloaded"),
        ErrorKind::Upstream => (500, "internal"),
        _ => (400, "bad_request"),
    }
}

impl Wire for AcmeWire {
    fn whole(&self, text: &str, usage: Usage) -> Bytes {
        body(&json!({"id": "a1", "model": MODEL, "text": text, "end": "stop", "tokens": tokens(usage)}))
    }

    fn whole_empty(&self) -> Bytes {
        body(&json!({"id": "a1", "model": MODEL}))
    }

    fn role(&self) -> Bytes {
        event(&json!({"id": "a1", "model": MODEL}))
    }

    fn text(&self, text: &str) -> Bytes {
        event(&json!({"text": text}))
    }

    fn finish(&self) -> Bytes {
        event(&json!({"end": "stop"}))
    }

    fn usage(&self, usage: Usage) -> Bytes {
        event(&json!({"tokens": tokens(usage)}))
    }

    fn done(&self) -> Bytes {
        event(&json!({"last": true}))
    }

    fn empty_events(&self) -> Vec<Bytes> {
        let empty = [json!({}), json!({"text": ""}), json!({"text": null}), json!({"ping": 1})];
        let comment = Bytes::from_static(b": keep-alive\n\n");
        empty.iter().map(event).chain([comment]).collect()
    }

    fn malformed(&self) -> Bytes {
        Bytes::from_static(b"data: {\"text\":\"lo\n\n")
    }

    fn error_event(&self, kind: ErrorKind, message: &str) -> Bytes {
        event(&json!({"error": {"code": words(kind).1, "message": message}}))
    }

    fn refusal(&self, kind: ErrorKind, message: &str) -> Script {
        let (status, code) = words(kind);
        let error = json!({"error": {"code": code, "message": message}});
        Script::status(status).header("content-type", "application/json").body(body(&error))
    }

    fn models(&self, ids: &[&str]) -> Option<Bytes> {
        Some(body(&json!({"models": ids})))
    }

    fn vectors(&self, vectors: &[Vec<f32>], usage: Usage) -> Option<Bytes> {
        Some(body(&json!({"vectors": vectors, "tokens": tokens(usage)})))
    }

    fn with_unknown(&self, bytes: &Bytes) -> Bytes {
        let text = String::from_utf8_lossy(bytes);
        text.replace('{', r#"{"x_future":[1,null,"b"],"#).replace(",}", "}").into()
    }
}
