//! Attributes as the conventions type them.
//!
//! The bridge from `tracing` writes unsigned numbers and lists as text (tracing-opentelemetry 0.34), which no collector
//! adds up.

use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::SpanData;
use remote_core::meter::genai;

/// What is a whole number.
const NUMBERS: [&str; 7] = [
    genai::USAGE_INPUT_TOKENS,
    genai::USAGE_OUTPUT_TOKENS,
    genai::HTTP_STATUS,
    genai::ATTEMPTS,
    genai::BYTES_OUT,
    genai::BYTES_IN,
    genai::CHUNKS,
];

/// Gives the attributes of `span` and of its events their types.
pub(super) fn retype(span: &mut SpanData) {
    let events = span.events.events.iter_mut().flat_map(|event| &mut event.attributes);
    for attribute in span.attributes.iter_mut().chain(events) {
        if let Some(value) = typed(attribute) {
            attribute.value = value;
        }
    }
}

/// The value with its type; `None` where it has that already, or is not what it should be.
fn typed(attribute: &KeyValue) -> Option<Value> {
    let Value::String(text) = &attribute.value else {
        return None;
    };
    let name = attribute.key.as_str();
    if NUMBERS.contains(&name) {
        return text.as_str().parse().map(Value::I64).ok();
    }
    if name == genai::RESPONSE_FINISH_REASONS {
        let reasons: Vec<String> = serde_json::from_str(text.as_str()).ok()?;
        return Some(Value::Array(Array::String(reasons.into_iter().map(StringValue::from).collect())));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lists_get_their_types_and_all_else_stays() {
        let typed = |name: &'static str, text: &'static str| typed(&KeyValue::new(name, text));
        assert_eq!(typed("gen_ai.usage.input_tokens", "100"), Some(Value::I64(100)));
        let list = Value::Array(Array::String(vec!["stop".into()]));
        assert_eq!(typed("gen_ai.response.finish_reasons", "[\"stop\"]"), Some(list));
        for (name, text) in [
            ("gen_ai.usage.input_tokens", "many"),
            ("gen_ai.usage.input_tokens", "99999999999999999999"),
            ("gen_ai.response.finish_reasons", "stop"),
            ("gen_ai.request.model", "100"),
        ] {
            assert_eq!(typed(name, text), None, "{name} {text}");
        }
    }
}
