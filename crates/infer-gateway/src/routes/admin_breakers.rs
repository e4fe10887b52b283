//! Breakers: what they are doing, and what an operator makes them do.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use http::StatusCode;
use infer_core::{BreakerReport, Controls, ModelRunner, duration};
use serde::Deserialize;
use serde_json::{Value, json};

use super::admin::{Answer, bad, read};
use super::health::no_provider;
use super::models::to_json;
use crate::denial::{Denial, Failure};
use crate::state::State;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// For how long it stays open; until told otherwise when absent.
    #[serde(default, rename = "for", with = "duration::optional")]
    time: Option<Duration>,
    /// Which breaker; all of the provider when absent.
    #[serde(default)]
    operation: Option<String>,
}

/// The breakers of every provider, or of the one called `name`. Upstreams' own words are for operators.
pub(super) fn list(state: &State, name: Option<&str>, has_words: bool) -> Vec<Value> {
    let providers = state.inference.config().providers.into_keys();
    let wanted = providers.filter(|provider| name.is_none_or(|name| name == provider));
    let shown = |provider: String| {
        let runner = state.inference.provider(&provider);
        let reports = runner.as_deref().and_then(ModelRunner::controls).map(Controls::breakers);
        let reports = reports.unwrap_or_default();
        reports.into_iter().map(|report| shown(&provider, &report, has_words)).collect::<Vec<_>>()
    };
    wanted.flat_map(shown).collect()
}

fn shown(provider: &str, report: &BreakerReport, has_words: bool) -> Value {
    let mut shown = json!({
        "provider": provider,
        "operation": report.operation,
        "state": report.state.name(),
        "forced": report.forced,
        "next_try_ms": report.next_try.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
    });
    if let (Some(last), Value::Object(members)) = (&report.last_failure, &mut shown) {
        let mut failure = json!({ "kind": last.kind.name(), "status": last.status });
        if let (true, Value::Object(words)) = (has_words, &mut failure) {
            words.insert("code".to_owned(), json!(last.code));
            words.insert("message".to_owned(), json!(last.message));
        }
        members.insert("last_failure".to_owned(), failure);
    }
    shown
}

/// Opens, closes or resets the breakers of a provider.
pub(super) async fn change(state: &State, provider: &str, change: &str, request: Request) -> Answer {
    let Change { time, operation } = read(state, request).await?;
    let runner: Arc<dyn ModelRunner> =
        state.inference.provider(provider).ok_or_else(|| no_provider(state, provider))?;
    let controls = runner.controls().ok_or_else(|| {
        let message = format!("the provider {provider:?} has no breakers");
        Denial::new(StatusCode::NOT_FOUND, "no_breakers", message)
    })?;
    let operation = operation.as_deref();
    if time.is_some() && change != "open" {
        return Err(bad("for: only an open breaker has a time").about("for").into());
    }
    let changed = match change {
        "open" => controls.force_open(operation, time),
        "close" => controls.force_closed(operation),
        "reset" => controls.reset(operation),
        other => return Err(no_such_change(other)),
    };
    if changed == 0 {
        let known: Vec<_> = controls.breakers().iter().map(|report| report.operation).collect();
        let message = format!("operation: must be one of {}", known.join(", "));
        return Err(bad(message).about("operation").into());
    }
    tracing::warn!(provider, operation, change, ?time, "breaker changed by an operator");
    Ok(to_json(&json!({ "breakers": list(state, Some(provider), true) })))
}

fn no_such_change(change: &str) -> Failure {
    let shown: String = change.chars().take(40).collect();
    let message = format!("a breaker can be told to open, close or reset, not {shown:?}");
    Denial::new(StatusCode::NOT_FOUND, "not_found", message).for_good().into()
}
