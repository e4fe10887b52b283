//! `--json`: one object for an answer, one for a failure.

use infer_core::{Choice, Completion, Health, InferenceError, ListedModel, ToolCall, ToolKind, Usage};
use serde_json::{Value, json};

use crate::answer::Received;
use crate::failure::Failure;
use crate::signals::Stop;

/// The object for an answer.
pub(crate) fn answer(received: &Received, model: &str, is_simulated: bool) -> String {
    let answer = &received.whole;
    let meta = received.meta.as_ref();
    let mut object = parts(answer);
    let more = json!({
        "finish": answer.finish().map(infer_core::FinishReason::as_str),
        "usage": answer.usage.as_ref().map(usage),
        "cost_usd": answer.cost.map(|cost| cost.total().as_usd()),
        "model": answer.served.model.as_deref().unwrap_or(model),
        "request_id": meta.and_then(|meta| meta.upstream_request_id.as_deref()),
        "attempts": meta.map(|meta| meta.attempts),
        "time_to_first_token_ms": received.first_after().map(millis),
        "simulated": is_simulated,
    });
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object.to_string()
}

/// The object for a list of models.
pub(crate) fn models(models: &[ListedModel], upstream: &str, is_simulated: bool) -> String {
    let model = |model: &ListedModel| {
        json!({
            "id": model.id,
            "created": model.created,
            "owned_by": model.owned_by,
            "context_window": model.context_window,
            "max_output_tokens": model.max_output_tokens,
            "shutdown": model.shutdown,
        })
    };
    let models: Vec<_> = models.iter().map(model).collect();
    json!({ "models": models, "upstream": upstream, "simulated": is_simulated }).to_string()
}

/// The object for an upstream that answers.
pub(crate) fn health(health: Health, upstream: &str, is_simulated: bool) -> String {
    let latency = millis(health.latency);
    json!({ "healthy": true, "latency_ms": latency, "upstream": upstream, "simulated": is_simulated })
        .to_string()
}

/// The object for a gateway that is ready.
pub(crate) fn ready(address: &str, latency: std::time::Duration) -> String {
    json!({ "healthy": true, "latency_ms": millis(latency), "gateway": address }).to_string()
}

/// The object for a failure, with what had arrived.
pub(crate) fn failure(failure: &Failure) -> String {
    let nothing = Completion::default();
    let (error, partial) = match failure {
        Failure::Faults(faults) => return json!({ "ok": false, "faults": faults }).to_string(),
        Failure::Store(_) => (local("ledger", &failure.line().unwrap_or_default()), &nothing),
        Failure::Keys(error) => (local("keys", &error.to_string()), &nothing),
        Failure::Usage(what) => (local("config", what), &nothing),
        Failure::Unwell(what) => (local("unwell", what), &nothing),
        Failure::Call { error, partial } => (upstream(error), &**partial),
        Failure::Stopped { stop, partial } => {
            let how = match stop {
                Stop::Interrupt => "stopped by Ctrl-C",
                Stop::Terminate => "stopped by SIGTERM",
            };
            (local("interrupted", how), &**partial)
        }
        Failure::PipeClosed => (local("interrupted", "nobody reads standard output"), &nothing),
        Failure::Output(error) => (local("output", &error.to_string()), &nothing),
    };
    json!({ "error": error, "partial": parts(partial) }).to_string()
}

fn upstream(error: &InferenceError) -> Value {
    let at = error.origin();
    json!({
        "class": error.class().name(),
        "kind": error.kind().name(),
        "message": error.to_string(),
        "status": at.and_then(|at| at.status),
        "retryable": error.is_transient(),
        "retry_after_ms": error.retry_after().map(millis),
        "request_id": at.and_then(|at| at.upstream_request_id.as_deref()),
        "attempts": at.map_or(0, |at| at.attempts),
    })
}

/// An error found here, in the same shape.
fn local(kind: &str, message: &str) -> Value {
    json!({
        "class": "local",
        "kind": kind,
        "message": message,
        "status": null,
        "retryable": false,
        "retry_after_ms": null,
        "request_id": null,
        "attempts": 0,
    })
}

/// What the model said. Text is always text; reasoning and refusal are null where there is none.
fn parts(answer: &Completion) -> Value {
    let nothing = Choice::default();
    let choice = answer.choices.first().unwrap_or(&nothing);
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "text": choice.text,
        "reasoning": given(&choice.reasoning),
        "refusal": given(&choice.refusal),
        "tool_calls": choice.tool_calls.iter().map(call).collect::<Vec<_>>(),
    })
}

fn call(call: &ToolCall) -> Value {
    let kind = match call.kind {
        ToolKind::Custom => "custom",
        _ => "function",
    };
    json!({ "id": call.id, "type": kind, "name": call.name, "arguments": call.arguments })
}

fn usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.billed_output_tokens(),
        "total_tokens": usage.total_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    })
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
