//! A request that a server received in another wire format: what of it this format can say.
//!
//! What the request says in types is written like any other. Beside that it has words of its own format, which nobody
//! here would understand: those that change nothing are left out, those that both formats share are passed on, and any
//! other is refused by its name.

use infer_core::{
    Content, ExecuteBatch, InferenceError, Messages, Part, RawJson, ResponseFormat, ToolChoice, ToolSpec,
    WireFormat,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ChatDialect;
use crate::dialect::OnUnsupported;
use crate::json::string;
use crate::request::refused;

const WIRE: WireFormat = WireFormat::CHAT_COMPLETIONS;

/// Members of Anthropic's without which the answer is the same: marks and hints for its caches, its speed and its logs, and
/// wishes for reasoning, which stand in `reasoning_effort` too (its API reference, read 2026-11-21).
const HARMLESS: [&str; 12] = [
    "anthropic_beta",
    "anthropic_version",
    "betas",
    "cache_control",
    "context_management",
    "diagnostics",
    "fallback_credit_token",
    "metadata",
    "output_config",
    "speed",
    "thinking",
    "user_profile_id",
];
/// The same for one tool.
const HARMLESS_OF_TOOLS: [&str; 4] =
    ["cache_control", "defer_loading", "eager_input_streaming", "input_examples"];
/// Members that many servers of this format take with the same meaning.
const SHARED: [&str; 1] = ["top_k"];

/// Refuses what cannot be said here and would be missed.
pub(crate) fn check(batch: &ExecuteBatch, dialect: &ChatDialect) -> Result<(), InferenceError> {
    if dialect.on_unsupported == OnUnsupported::Send {
        return Ok(());
    }
    check_messages(&batch.messages)?;
    for (place, tool) in batch.tools.iter().enumerate() {
        if let ToolSpec::Function(function) = tool
            && function.extra.is_foreign_to(WIRE)
        {
            let mut names = function.extra.iter().map(|(name, _)| name);
            if let Some(name) = names.find(|name| !HARMLESS_OF_TOOLS.contains(name)) {
                return Err(foreign(&format!("tools[{place}].{name}"), name, batch.extra.wire()));
            }
        }
    }
    if !batch.extra.is_foreign_to(WIRE) {
        return Ok(());
    }
    let wire = batch.extra.wire();
    for (place, tool) in batch.tools.iter().enumerate() {
        if let ToolSpec::Other(raw) = tool {
            return Err(foreign(&format!("tools[{place}]"), &kind(raw), wire));
        }
    }
    if let Some(ToolChoice::Other(raw)) = &batch.tool_choice {
        return Err(foreign("tool_choice", &kind(raw), wire));
    }
    if let Some(ResponseFormat::Other(raw)) = &batch.response_format {
        return Err(foreign("response_format", &kind(raw), wire));
    }
    let drops = dialect.on_unsupported == OnUnsupported::Drop;
    let mut names = batch.extra.iter().map(|(name, _)| name);
    match names.find(|name| !drops && !HARMLESS.contains(name) && !SHARED.contains(name)) {
        Some(name) => Err(foreign(name, name, wire)),
        None => Ok(()),
    }
}

/// Whether an extra member of `batch` is another format's word and not written.
pub(crate) fn leaves_out(batch: &ExecuteBatch, dialect: &ChatDialect, name: &str) -> bool {
    let is_sent = match dialect.on_unsupported {
        OnUnsupported::Send => !HARMLESS.contains(&name),
        _ => SHARED.contains(&name),
    };
    batch.extra.is_foreign_to(WIRE) && !is_sent
}

fn check_messages(messages: &Messages) -> Result<(), InferenceError> {
    let Some(wire) = messages.wire().filter(|wire| *wire != WIRE) else { return Ok(()) };
    for (at, message) in messages.typed()?.iter().enumerate() {
        let Content::Parts(parts) = &message.content else { continue };
        for (place, part) in parts.iter().enumerate() {
            if let Part::Other(raw) = part {
                return Err(foreign(&format!("messages[{at}].content[{place}]"), &kind(raw), Some(wire)));
            }
        }
    }
    Ok(())
}

fn foreign(param: &str, word: &str, wire: Option<WireFormat>) -> InferenceError {
    let format = wire.map_or("another", |wire| wire.0);
    refused(
        param,
        &format!(
            "`{word}` of the format `{format}` cannot be said to this upstream; leave it out, or ask one of that format"
        ),
    )
}

/// What it calls itself.
fn kind(raw: &RawJson) -> String {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(borrow)]
        r#type: &'a RawValue,
    }
    let typed: Option<Typed<'_>> = serde_json::from_str(raw.get()).ok();
    let word = typed.and_then(|typed| string(typed.r#type)).unwrap_or_else(|| "this".to_owned());
    word.chars().filter(|letter| !letter.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use infer_core::{Codec, Extra, FunctionTool, Message};

    use super::*;
    use crate::ChatCodec;

    fn raw(json: &str) -> RawJson {
        RawJson::parse(json).unwrap()
    }

    /// As a server of the Messages format would have read it.
    fn received() -> ExecuteBatch {
        let mut batch = ExecuteBatch::new("m", "hi");
        batch.extra = Extra::received(WireFormat::MESSAGES);
        batch
    }

    fn written(batch: &ExecuteBatch) -> String {
        String::from_utf8(ChatCodec::default().encode(batch).unwrap().to_vec()).unwrap()
    }

    fn param(batch: &ExecuteBatch) -> Option<String> {
        ChatCodec::default().encode(batch).unwrap_err().origin().unwrap().param.clone()
    }

    #[test]
    fn harmless_words_of_another_format_are_left_out_and_shared_ones_stay() {
        let mut batch = received();
        for name in HARMLESS {
            batch.extra.set(name, raw("{}"));
        }
        batch.extra.set("top_k", raw("5"));
        let mut tool = FunctionTool::new("f");
        tool.extra = Extra::received(WireFormat::MESSAGES);
        tool.extra.set("cache_control", raw("{}"));
        let expect = concat!(
            r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"#,
            r#""tools":[{"type":"function","function":{"name":"f"}}],"top_k":5}"#,
        );
        assert_eq!(written(&batch.with_tools([ToolSpec::Function(tool)])), expect);
    }

    #[test]
    fn words_of_another_format_that_would_be_missed_are_refused_by_name() {
        let mut container = received();
        container.extra.set("container", raw("\"c\""));
        assert_eq!(param(&container).as_deref(), Some("container"));
        let search = ToolSpec::Other(raw(r#"{"type":"web_search_20250305"}"#));
        assert_eq!(param(&received().with_tools([search])).as_deref(), Some("tools[0]"));
        let choice = ToolChoice::Other(raw(r#"{"type":"novel"}"#));
        assert_eq!(param(&received().with_tool_choice(choice)).as_deref(), Some("tool_choice"));
        let format = ResponseFormat::Other(raw(r#"{"type":"novel"}"#));
        assert_eq!(param(&received().with_response_format(format)).as_deref(), Some("response_format"));
        let mut tool = FunctionTool::new("f");
        tool.extra = Extra::received(WireFormat::MESSAGES);
        tool.extra.set("allowed_callers", raw("[]"));
        let tools = received().with_tools([ToolSpec::Function(tool)]);
        assert_eq!(param(&tools).as_deref(), Some("tools[0].allowed_callers"));

        let mut batch = received();
        batch.messages = Messages::raw(WireFormat::MESSAGES, Bytes::from_static(b"[]"), |_| {
            let block = RawJson::parse(r#"{"type":"search_result"}"#).map_err(|_| refused("x", "y"))?;
            Ok(vec![Message::user([Part::text("a"), Part::Other(block)])])
        });
        assert_eq!(param(&batch).as_deref(), Some("messages[0].content[1]"));
    }

    #[test]
    fn an_operator_may_have_the_rest_dropped_or_sent() {
        let mut batch = received();
        batch.extra.set("container", raw("\"c\""));
        batch.extra.set("thinking", raw("{}"));
        for (then, is_sent) in [(OnUnsupported::Drop, false), (OnUnsupported::Send, true)] {
            let codec = ChatCodec::new(ChatDialect::default().with_on_unsupported(then));
            let body = codec.encode(&batch).unwrap();
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(json.get("container").is_some(), is_sent);
            assert!(json.get("thinking").is_none());
        }
    }

    #[test]
    fn what_a_caller_wrote_for_this_upstream_is_passed_through() {
        let batch = ExecuteBatch::new("m", "hi").with_extra("thinking", raw("{}"));
        assert!(written(&batch).contains(r#""thinking":{}"#));
    }
}
