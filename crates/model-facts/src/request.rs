//! How many tokens a whole request has: its texts, and what stands around them.
//!
//! Knows what messages are made of and not how texts are counted, so that the estimate and the exact count agree on all
//! the rest.

use infer_core::{Content, ExecuteBatch, Message, Messages, Part, ResponseFormat, ToolCall, ToolSpec};

use crate::estimate_tokens;

/// Tokens of a picture, whatever its size: what a square of 1024 pixels costs at `gpt-4o` in high detail.
///
/// The same picture costs 1,024 tokens at `gpt-4.1`, 1,659 at `gpt-4.1-mini`, and many times that at `gpt-4o-mini` (OpenAI's
/// guide to images, as quoted by public pages read 2026-11-21): for requests with many pictures leave room.
pub const IMAGE_TOKENS: u64 = 765;

/// Tokens of a picture that is asked for in low detail at `gpt-4o`, from the same guide.
pub const LOW_DETAIL_IMAGE_TOKENS: u64 = 85;

/// Tokens of a file: about one page of text and its picture. How many pages it has cannot be seen from outside, so a
/// request with files counts too little.
pub const FILE_TOKENS: u64 = 1_500;

/// Around a message, its role included, and the start of the answer (OpenAI's cookbook on counting tokens, as quoted in
/// tiktoken-rs 0.12.1, read 2026-11-21).
const MESSAGE_TOKENS: u64 = 4;
const NAME_TOKENS: u64 = 1;
const ANSWER_TOKENS: u64 = 3;
/// Around the name and the arguments of a call, and around a tool; no vendor publishes either.
const CALL_TOKENS: u64 = 3;
const TOOL_TOKENS: u64 = 8;
/// Sound in is ten tokens a second (OpenAI's guide to realtime costs, read 2026-11-21); a second is taken as 24,000
/// samples of two bytes, or as MP3 of 128 kbit.
const WAV_BYTES_PER_TOKEN: u64 = 4_800;
const MP3_BYTES_PER_TOKEN: u64 = 1_600;

/// About how many input tokens `batch` has, see [`estimate_tokens`].
///
/// Counted are messages with what stands around them, tools, and the schema of the answer. Pictures and files count as
/// [`IMAGE_TOKENS`], [`LOW_DETAIL_IMAGE_TOKENS`] and [`FILE_TOKENS`], sound by its length in bytes. Members passed through
/// unread are not counted. Raw messages that cannot be read count as the text they are.
///
/// ```
/// use infer_core::ExecuteBatch;
/// let tokens = model_facts::estimate_request(&ExecuteBatch::new("gpt-4o", "Say hello"));
/// assert_eq!(tokens, 2 + 4 + 3);
/// ```
pub fn estimate_request(batch: &ExecuteBatch) -> u64 {
    let messages = match (batch.messages.typed(), &batch.messages) {
        (Ok(messages), _) => estimate_messages(messages),
        (Err(_), Messages::Raw(raw)) => match std::str::from_utf8(raw.json()) {
            Ok(text) => estimate_tokens(text),
            Err(_) => (raw.json().len() as u64).div_ceil(4),
        },
        (Err(_), _) => 0,
    };
    messages.saturating_add(frame(batch, &estimate_tokens))
}

/// About how many input tokens `messages` have, the start of the answer included; see [`estimate_request`].
pub fn estimate_messages(messages: &[Message]) -> u64 {
    conversation(messages, &estimate_tokens)
}

/// A way to count the tokens of a text.
pub(crate) type Count<'a> = &'a dyn Fn(&str) -> u64;

/// The messages and the start of the answer.
pub(crate) fn conversation(messages: &[Message], count: Count<'_>) -> u64 {
    messages.iter().map(|one| message(one, count)).fold(ANSWER_TOKENS, u64::saturating_add)
}

/// Everything of a request that is not a message.
pub(crate) fn frame(batch: &ExecuteBatch, count: Count<'_>) -> u64 {
    let tools = batch.tools.iter().map(|one| tool(one, count)).fold(0, u64::saturating_add);
    let format = match &batch.response_format {
        Some(ResponseFormat::JsonSchema(schema)) => {
            count(&schema.name)
                + schema.description.as_deref().map_or(0, count)
                + schema.schema.as_ref().map_or(0, |schema| count(schema.get()))
        }
        Some(ResponseFormat::Other(json)) => count(json.get()),
        _ => 0,
    };
    tools.saturating_add(format)
}

fn message(message: &Message, count: Count<'_>) -> u64 {
    let content = match &message.content {
        Content::Text(text) => count(text),
        Content::Parts(parts) => parts.iter().map(|one| part(one, count)).fold(0, u64::saturating_add),
        _ => 0,
    };
    let name = message.name.as_deref().map_or(0, |name| NAME_TOKENS + count(name));
    let refusal = message.refusal.as_deref().map_or(0, count);
    let reasoning = message.reasoning.as_deref().map_or(0, count);
    let blocks = message.reasoning_blocks.iter().map(|block| count(block.get()));
    let calls = message.tool_calls.iter().map(|one| call(one, count));
    blocks.chain(calls).fold(MESSAGE_TOKENS + content + name + refusal + reasoning, u64::saturating_add)
}

fn part(part: &Part, count: Count<'_>) -> u64 {
    match part {
        Part::Text(text) | Part::Refusal(text) => count(text),
        Part::Image { detail, .. } if detail.as_deref() == Some("low") => LOW_DETAIL_IMAGE_TOKENS,
        Part::Image { .. } => IMAGE_TOKENS,
        Part::Audio { data, format } => {
            let bytes = data.len() as u64 / 4 * 3;
            bytes.div_ceil(if format == "mp3" { MP3_BYTES_PER_TOKEN } else { WAV_BYTES_PER_TOKEN })
        }
        Part::File(_) => FILE_TOKENS,
        Part::Other(json) => count(json.get()),
        _ => 0,
    }
}

fn call(call: &ToolCall, count: Count<'_>) -> u64 {
    CALL_TOKENS + count(&call.name) + count(&call.arguments)
}

fn tool(tool: &ToolSpec, count: Count<'_>) -> u64 {
    match tool {
        ToolSpec::Function(function) => {
            TOOL_TOKENS
                + count(&function.name)
                + function.description.as_deref().map_or(0, count)
                + function.parameters.as_ref().map_or(0, |schema| count(schema.get()))
        }
        ToolSpec::Other(json) => TOOL_TOKENS + count(json.get()),
        _ => TOOL_TOKENS,
    }
}
