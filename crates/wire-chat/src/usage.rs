//! Token counts, both ways.

use infer_core::{Usage, Usd};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::Count;
use crate::write::Object;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Counts<'a> {
    prompt_tokens: Count,
    completion_tokens: Count,
    total_tokens: Count,
    #[serde(borrow)]
    prompt_tokens_details: Option<&'a RawValue>,
    #[serde(borrow)]
    completion_tokens_details: Option<&'a RawValue>,
    /// Mistral.
    num_cached_tokens: Count,
    /// DeepSeek.
    prompt_cache_hit_tokens: Count,
    /// OpenRouter, in dollars.
    #[serde(borrow)]
    cost: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the names on the wire")]
struct PromptDetails {
    cached_tokens: Count,
    cache_write_tokens: Count,
    audio_tokens: Count,
}

#[derive(Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the names on the wire")]
struct CompletionDetails {
    reasoning_tokens: Count,
    audio_tokens: Count,
    accepted_prediction_tokens: Count,
    rejected_prediction_tokens: Count,
}

/// Reads counts; `None` when there are none in it.
pub(crate) fn read(raw: &RawValue) -> Option<Usage> {
    let counts: Counts<'_> = serde_json::from_str(raw.get()).ok()?;
    counts.prompt_tokens.0.or(counts.completion_tokens.0).or(counts.total_tokens.0)?;
    let prompt: PromptDetails = details(counts.prompt_tokens_details);
    let completion: CompletionDetails = details(counts.completion_tokens_details);
    let or_0 = |count: Count| count.0.unwrap_or(0);
    let mut usage = Usage::default();
    usage.input_tokens = or_0(counts.prompt_tokens);
    usage.output_tokens = or_0(counts.completion_tokens);
    usage.total_tokens = or_0(counts.total_tokens);
    // The same figure under several names, never parts of a sum.
    usage.cached_input_tokens = or_0(prompt.cached_tokens)
        .max(or_0(counts.num_cached_tokens))
        .max(or_0(counts.prompt_cache_hit_tokens));
    usage.cache_write_tokens = or_0(prompt.cache_write_tokens);
    usage.input_audio_tokens = or_0(prompt.audio_tokens);
    usage.reasoning_tokens = or_0(completion.reasoning_tokens);
    usage.output_audio_tokens = or_0(completion.audio_tokens);
    usage.accepted_prediction_tokens = or_0(completion.accepted_prediction_tokens);
    usage.rejected_prediction_tokens = or_0(completion.rejected_prediction_tokens);
    usage.uncounted_output_tokens = uncounted(&usage);
    usage.reported_cost = counts.cost.and_then(|cost| cost.get().parse().ok()).and_then(Usd::from_usd);
    Some(usage)
}

/// Reasoning that the total counts and the output does not: xAI's way (its clients' source, read 2026-11-21).
fn uncounted(usage: &Usage) -> u64 {
    let all = usage.input_tokens.checked_add(usage.output_tokens);
    let all = all.and_then(|sum| sum.checked_add(usage.reasoning_tokens));
    if all == Some(usage.total_tokens) { usage.reasoning_tokens } else { 0 }
}

fn details<'a, T: Default + Deserialize<'a>>(raw: Option<&'a RawValue>) -> T {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// Writes counts the way OpenAI does: everything that is billed as output is inside `completion_tokens`.
pub(crate) fn write(out: &mut Vec<u8>, usage: &Usage) {
    let output = usage.billed_output_tokens();
    let total = match usage.total_tokens {
        0 => usage.input_tokens.saturating_add(output),
        total => total,
    };
    let mut object = Object::begin(out);
    object.value("prompt_tokens", &usage.input_tokens);
    object.value("completion_tokens", &output);
    object.value("total_tokens", &total);
    let mut prompt = Object::begin(object.key("prompt_tokens_details"));
    prompt.value("cached_tokens", &usage.cached_input_tokens);
    if usage.cache_write_tokens > 0 {
        prompt.value("cache_write_tokens", &usage.cache_write_tokens);
    }
    prompt.value("audio_tokens", &usage.input_audio_tokens);
    prompt.end();
    let mut completion = Object::begin(object.key("completion_tokens_details"));
    completion.value("reasoning_tokens", &usage.reasoning_tokens);
    completion.value("audio_tokens", &usage.output_audio_tokens);
    completion.value("accepted_prediction_tokens", &usage.accepted_prediction_tokens);
    completion.value("rejected_prediction_tokens", &usage.rejected_prediction_tokens);
    completion.end();
    if let Some(cost) = usage.reported_cost {
        object.value("cost", &cost.as_usd());
    }
    object.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(json: &str) -> Option<Usage> {
        read(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn the_cache_count_is_read_under_every_name_and_never_summed() {
        let hits = [r#""prompt_cache_hit_tokens":8"#, r#""num_cached_tokens":8"#];
        let both = r#""prompt_cache_hit_tokens":8,"prompt_tokens_details":{"cached_tokens":8}"#;
        for member in hits.into_iter().chain([both]) {
            let usage = usage(&format!(r#"{{"prompt_tokens":18,{member}}}"#)).unwrap();
            assert_eq!(usage.cached_input_tokens, 8, "{member}");
        }
    }

    #[test]
    fn reasoning_outside_the_output_is_told_by_the_total() {
        let json = |total| {
            format!(
                r#"{{"prompt_tokens":100,"completion_tokens":20,"total_tokens":{total},"completion_tokens_details":{{"reasoning_tokens":200}}}}"#
            )
        };
        assert_eq!(usage(&json(320)).unwrap().billed_output_tokens(), 220);
        assert_eq!(usage(&json(120)).unwrap().billed_output_tokens(), 20);
    }

    #[test]
    fn a_usage_without_counts_is_none() {
        for none in ["{}", "\"x\"", "[]", r#"{"total_tokens":null}"#] {
            assert_eq!(usage(none), None, "{none}");
        }
    }
}
