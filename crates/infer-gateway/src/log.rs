//! One line of the log for every request that is over.

use std::time::Duration;

use tracing::field::display;

use crate::observe::{Ending, Observer, Seen};

/// Writes one event of `tracing` for every request, with the target `infer_gateway::log`: whatever listens there writes it as
/// text or as JSON.
///
/// Answers, refusals and clients that left are told at `INFO`; statuses from 500 on and answers that broke at `WARN`. What
/// is not known has no field. Prompts, answers and keys are in none; of a key there is its name.
#[derive(Clone, Copy, Debug, Default)]
pub struct AccessLog;

/// What a client may call a model in the log, in characters.
const MAX_MODEL: usize = 128;

impl Observer for AccessLog {
    fn ended(&self, seen: &Seen) {
        // The level is part of what `tracing` keeps for each place in the code, so there are two places.
        macro_rules! write_at {
            ($level:expr) => {
                tracing::event!(
                    $level,
                    request_id = seen.request_id.as_str(),
                    endpoint = seen.endpoint,
                    status = seen.status,
                    ending = seen.ending.name(),
                    error = seen.ending.error(),
                    key = seen.key.as_deref(),
                    model = seen.model.as_deref().map(shown),
                    provider = seen.provider.as_deref(),
                    served_model = seen.served_model.as_deref(),
                    streamed = seen.streamed,
                    cached = seen.cached,
                    attempts = seen.attempts,
                    tried = tried(seen),
                    duration_ms = millis(seen.total),
                    first_content_ms = seen.first_content.map(millis),
                    overhead_ms = millis(seen.overhead),
                    queued_ms = millis(seen.queued),
                    chunks = seen.chunks,
                    input_tokens = seen.usage.map(|usage| usage.input_tokens),
                    output_tokens = seen.usage.map(|usage| usage.output_tokens),
                    cost_usd = seen.cost.map(|cost| cost.total().as_usd()),
                    began = %humantime::format_rfc3339_millis(seen.began),
                    "request"
                )
            };
        }
        let is_fault = matches!(seen.ending, Ending::Broken(_)) || seen.status >= 500;
        if is_fault {
            write_at!(tracing::Level::WARN);
        } else {
            write_at!(tracing::Level::INFO);
        }
    }
}

/// A name that a client chose, fit for a line.
pub(crate) fn shown(model: &str) -> String {
    model.chars().take(MAX_MODEL).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Whom the answer was not from, and why: `azure;timeout,openai;overloaded`.
fn tried(seen: &Seen) -> Option<tracing::field::DisplayValue<String>> {
    let each = seen.tried.iter().map(|tried| format!("{};{}", tried.provider, tried.kind.name()));
    (!seen.tried.is_empty()).then(|| display(each.collect::<Vec<_>>().join(",")))
}

/// To the microsecond; more is noise.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
