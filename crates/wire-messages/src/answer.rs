//! A whole answer.

use std::borrow::Cow;

use bytes::Bytes;
use infer_core::{Choice, Completion, DecodeKind, RawJson, ToolCall, WireFault};
use serde_json::value::RawValue;

use crate::MESSAGES;
use crate::dto::{Answer, RawBlock, is_truthy, object, reported, said, utf8};
use crate::finish::{explanation, finish};
use crate::json::{filled, string};
use crate::open::{arguments, too_many_calls};
use crate::usage::Tally;

/// The most tool calls of one answer; no model makes a tenth of that.
pub(crate) const MAX_CALLS: usize = 1024;

/// Reads an answer that came in one piece.
pub(crate) fn read(body: &Bytes) -> Result<Completion, WireFault> {
    let text = utf8(body, "body")?;
    match text.as_bytes().first() {
        None => return Err(WireFault::malformed(DecodeKind::Empty, "no body")),
        Some(b'<') => return Err(WireFault::malformed(DecodeKind::ContentType, "a web page")),
        Some(_) => {}
    }
    let answer: Answer<'_> = object(text, "body")?;
    if filled(answer.r#type).as_deref() == Some("error") || answer.error.is_some_and(is_truthy) {
        return Err(reported(text));
    }
    let Some(content) = answer.content else {
        return Err(WireFault::malformed(DecodeKind::Empty, "no content"));
    };
    let mut choice = Choice::new(0);
    match string(content) {
        // Not Anthropic's way; a server may take the short form of requests for one of answers.
        Some(text) => choice.text = text.into_owned(),
        None => {
            let blocks: Vec<&RawValue> = serde_json::from_str(content.get())
                .map_err(|_| WireFault::malformed(DecodeKind::Json, "content is not a list"))?;
            blocks.into_iter().try_for_each(|raw| add(&mut choice, raw))?;
        }
    }
    choice.finish = finish(answer.stop_reason);
    choice.refusal = explanation(choice.finish.as_ref(), answer.stop_details);
    let mut tally = Tally::default();
    let mut whole = Completion::default();
    whole.usage = tally.learn(answer.usage);
    whole.served = answer.served();
    whole.served.service_tier = tally.service_tier;
    whole.choices.push(choice);
    whole.wire = Some(body.clone());
    whole.wire_format = Some(MESSAGES);
    Ok(whole)
}

/// Adds one block. What the upstream did itself, and kinds of blocks added later, stay in `wire`.
fn add(choice: &mut Choice, raw: &RawValue) -> Result<(), WireFault> {
    let block: RawBlock<'_> = object(raw.get(), "content block")?;
    match filled(block.r#type).as_deref() {
        Some("text") => choice.text.push_str(&said(block.text, "text")?),
        Some("thinking") => {
            choice.reasoning.push_str(&said(block.thinking, "thinking")?);
            choice.reasoning_blocks.push(RawJson::from(raw));
        }
        Some("redacted_thinking") => choice.reasoning_blocks.push(RawJson::from(raw)),
        Some("tool_use") if choice.tool_calls.len() == MAX_CALLS => return Err(too_many_calls()),
        Some("tool_use") => {
            let mut call = ToolCall::default();
            call.id = filled(block.id).map(Cow::into_owned);
            call.name = said(block.name, "name")?.into_owned();
            call.arguments = block.input.map(arguments).unwrap_or_default();
            if call.arguments.is_empty() {
                "{}".clone_into(&mut call.arguments);
            }
            choice.tool_calls.push(call);
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> Result<Completion, WireFault> {
        read(&Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn what_is_no_answer_says_why() {
        let kinds = [
            ("", DecodeKind::Empty),
            (" \n", DecodeKind::Empty),
            ("<html>", DecodeKind::ContentType),
            ("null", DecodeKind::Json),
            ("[1]", DecodeKind::Json),
            (r#"{"content":[{"type""#, DecodeKind::Json),
            (r#"{"content":5}"#, DecodeKind::Json),
            (r#"{"content":[5]}"#, DecodeKind::Json),
            (r#"{"content":[{"type":"text","text":5}]}"#, DecodeKind::Json),
            (r#"{"content":null}"#, DecodeKind::Empty),
            ("{}", DecodeKind::Empty),
        ];
        for (body, expect) in kinds {
            match of(body).unwrap_err() {
                WireFault::Malformed { kind, .. } => assert_eq!(kind, expect, "{body}"),
                other => panic!("{body}: {other:?}"),
            }
        }
        assert!(matches!(
            read(&Bytes::from_static(b"{\"a\":\"\xff\"}")),
            Err(WireFault::Malformed { kind: DecodeKind::Utf8, .. })
        ));
    }

    #[test]
    fn an_answer_that_says_nothing_is_still_an_answer() {
        let whole = of(r#"{"content":[],"stop_reason":null}"#).unwrap();
        assert_eq!(whole.choices, [Choice::new(0)]);
        assert_eq!(of(r#"{"content":"short"}"#).unwrap().text(), "short");
    }

    #[test]
    fn an_error_under_a_success_is_reported() {
        for body in
            [r#"{"type":"error","error":{"type":"overloaded_error"}}"#, r#"{"error":"x","content":[]}"#]
        {
            assert!(matches!(of(body), Err(WireFault::Reported(_))), "{body}");
        }
        assert!(of(r#"{"error":null,"content":[]}"#).is_ok());
    }

    #[test]
    fn too_many_calls_are_refused() {
        let body = |n: usize| {
            format!(r#"{{"content":[{}]}}"#, vec![r#"{"type":"tool_use","name":"f"}"#; n].join(","))
        };
        assert_eq!(of(&body(MAX_CALLS)).unwrap().choices[0].tool_calls.len(), MAX_CALLS);
        assert!(of(&body(MAX_CALLS + 1)).is_err());
    }
}
