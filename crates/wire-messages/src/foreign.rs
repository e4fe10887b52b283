//! A request that a server received in another wire format: what of it this format can say.
//!
//! Beside its types it has words of its own format. Those that change nothing are left out, those this format has itself
//! are passed on, since a caller may have written them for it, and any other is refused by its name.

use infer_core::{ExecuteBatch, InferenceError, ResponseFormat, ToolChoice, ToolSpec};

use crate::MESSAGES;
use crate::refusal::refused;

/// Members of OpenAI's without which the answer is the same (its API description, read 2026-11-21).
const HARMLESS: [&str; 6] = [
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "store",
    "stream_options",
];

/// Members of this format that have no field in a batch, or may not fit theirs (Anthropic's API reference, read
/// 2026-11-21).
const OWN: [&str; 20] = [
    "anthropic_beta",
    "anthropic_version",
    "cache_control",
    "container",
    "context_management",
    "diagnostics",
    "fallbacks",
    "inference_geo",
    "max_tokens",
    "mcp_servers",
    "metadata",
    "output_config",
    "output_format",
    "service_tier",
    "speed",
    "stop_sequences",
    "system",
    "thinking",
    "top_k",
    "user_profile_id",
];

/// Refuses what cannot be said here and would be missed.
pub(crate) fn check(batch: &ExecuteBatch) -> Result<(), InferenceError> {
    let Some(wire) = batch.extra.wire().filter(|wire| *wire != MESSAGES) else { return Ok(()) };
    let foreign = |param: &str| {
        let why = format!(
            "as the format `{}` has it cannot be said to this upstream; leave it out, or ask one of that format",
            wire.0
        );
        refused(param, &why)
    };
    if let Some(place) = batch.tools.iter().position(|tool| matches!(tool, ToolSpec::Other(_))) {
        return Err(foreign(&format!("tools[{place}]")));
    }
    if let Some(ToolChoice::Other(_)) = batch.tool_choice {
        return Err(foreign("tool_choice"));
    }
    if let Some(ResponseFormat::Other(_)) = batch.response_format {
        return Err(foreign("response_format"));
    }
    let mut names = batch.extra.iter().map(|(name, _)| name);
    match names.find(|name| !HARMLESS.contains(name) && !OWN.contains(name)) {
        Some(name) => Err(foreign(name)),
        None => Ok(()),
    }
}

/// Whether an extra member of `batch` is another format's word and not written.
pub(crate) fn leaves_out(batch: &ExecuteBatch, name: &str) -> bool {
    batch.extra.is_foreign_to(MESSAGES) && !OWN.contains(&name)
}

#[cfg(test)]
mod tests {
    use infer_core::{Codec, Extra, RawJson, WireFormat};

    use super::*;
    use crate::MessagesCodec;

    fn with(members: &[(&str, &str)]) -> Result<String, InferenceError> {
        let mut batch = ExecuteBatch::new("m", "hi").with_max_output_tokens(5);
        batch.extra = Extra::received(WireFormat::CHAT_COMPLETIONS);
        for (name, value) in members {
            batch.extra.set(*name, RawJson::parse(*value).unwrap());
        }
        MessagesCodec::default().encode(&batch).map(|body| String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn words_of_another_format_are_left_out_passed_on_or_refused_by_name() {
        let body = with(&[("store", "true"), ("top_k", "5"), ("prompt_cache_key", "\"k\"")]).unwrap();
        assert!(body.ends_with(r#""content":"hi"}],"top_k":5}"#), "{body}");
        let error = with(&[("web_search_options", "{}")]).unwrap_err();
        assert_eq!(error.origin().unwrap().param.as_deref(), Some("web_search_options"));
    }
}
