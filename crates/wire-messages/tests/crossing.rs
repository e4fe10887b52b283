//! Requests and answers that cross between this format and Chat Completions, both ways, as in a gateway.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod frames;

use std::path::Path;

use bytes::Bytes;
use frames::frames;
use infer_core::{Codec, Completion, EventDecoder, InferenceError, TokenChunk};
use serde_json::{Value, json};
use wire_chat::{ChatCodec, ChatDialect, server as chat};
use wire_messages::server::{EventWriter, read_request, write_message};
use wire_messages::{MessagesCodec, MessagesDecoder};

fn to_chat(request: &Value) -> Result<Value, InferenceError> {
    let batch = read_request(&request.to_string().into()).unwrap().batch;
    let body = ChatCodec::new(ChatDialect::openai()).encode(&batch)?;
    Ok(serde_json::from_slice(&body).unwrap())
}

fn to_messages(request: &Value) -> Result<Value, InferenceError> {
    let batch = chat::read_request(&request.to_string().into()).unwrap().batch;
    let body = MessagesCodec::default().encode(&batch)?;
    Ok(serde_json::from_slice(&body).unwrap())
}

fn schema() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}})
}

#[test]
fn what_an_agent_asks_in_this_format_reaches_a_chat_upstream_in_its_own_words() {
    let mark = json!({"type": "ephemeral"});
    let request = json!({
        "model": "gpt-x", "max_tokens": 32000, "stream": true, "temperature": 1.0, "stop_sequences": ["END"],
        "system": [{"type": "text", "text": "Be brief.", "cache_control": mark}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?", "cache_control": mark},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                {"type": "document", "title": "a.pdf",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"}}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rom"}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sun", "is_error": false},
                {"type": "text", "text": "And?", "cache_control": mark}]},
        ],
        "tools": [{"name": "weather", "description": "now", "input_schema": schema(), "cache_control": mark}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "thinking": {"type": "enabled", "budget_tokens": 31999},
        "metadata": {"user_id": "u-1"}, "service_tier": "standard_only",
        "context_management": {"edits": []},
        "output_config": {"format": {"type": "json_schema", "schema": schema()}},
    });
    let function = json!({"name": "weather", "description": "now", "parameters": schema()});
    let expect = json!({
        "model": "gpt-x", "max_completion_tokens": 32000, "stream": true,
        "stream_options": {"include_usage": true}, "temperature": 1.0, "stop": ["END"],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0x"}}]},
            {"role": "assistant", "content": "Let me look.", "tool_calls": [{"id": "toolu_1", "type": "function",
                "function": {"name": "weather", "arguments": "{\"city\":\"Rom\"}"}}]},
            {"role": "tool", "content": "sun", "tool_call_id": "toolu_1"},
            {"role": "user", "content": "And?"},
        ],
        "tools": [{"type": "function", "function": function}],
        "tool_choice": "auto", "parallel_tool_calls": false, "reasoning_effort": "high",
        "response_format": {"type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema(), "strict": true}},
        "user": "u-1", "service_tier": "default",
    });
    assert_eq!(to_chat(&request).unwrap(), expect);
}

#[test]
fn what_a_chat_upstream_cannot_be_told_is_refused_by_name() {
    let hi = json!([{"role": "user", "content": "hi"}]);
    let with = |name: &str, value: Value| {
        let mut request = json!({"model": "m", "max_tokens": 9, "messages": hi});
        request[name] = value;
        to_chat(&request).unwrap_err().origin().unwrap().param.clone().unwrap()
    };
    assert_eq!(with("container", json!("c")), "container");
    assert_eq!(with("mcp_servers", json!([{}])), "mcp_servers");
    assert_eq!(with("tools", json!([{"type": "web_search_20250305", "name": "web_search"}])), "tools[0]");
    let block =
        json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "search_result"}]}]);
    assert_eq!(with("messages", block), "messages[0].content[1]");
}

#[test]
fn what_an_application_asks_of_a_chat_reaches_this_format_in_its_own_words() {
    let request = json!({
        "model": "claude-opus-5", "max_completion_tokens": 500, "stream": true, "stop": "END", "user": "u",
        "stream_options": {"include_usage": true}, "store": false, "prompt_cache_key": "k",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}}]},
            {"role": "assistant", "content": null, "refusal": null, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
                {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": schema(), "strict": true}}],
        "tool_choice": "required", "parallel_tool_calls": false, "reasoning_effort": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "city", "schema": schema()}},
    });
    let expect = json!({
        "model": "claude-opus-5", "max_tokens": 500, "stream": true, "stop_sequences": ["END"],
        "metadata": {"user_id": "u"},
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "c2", "name": "f", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "one"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "two"}]},
        ],
        "tools": [{"name": "f", "input_schema": schema(), "strict": true}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": schema()}},
    });
    assert_eq!(to_messages(&request).unwrap(), expect);
    let mut audio = request.clone();
    audio["web_search_options"] = json!({});
    let error = to_messages(&audio).unwrap_err();
    assert_eq!(error.origin().unwrap().param.as_deref(), Some("web_search_options"));
}

/// The pieces of a stream in `folder` of the fixtures.
fn pieces(file: &str, decoder: &mut impl EventDecoder) -> Vec<TokenChunk> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let mut chunks = Vec::new();
    for event in frames(&std::fs::read(path).unwrap()) {
        decoder.event(&event.name, &event.data, &mut chunks).unwrap();
    }
    chunks
}

fn fold(chunks: impl IntoIterator<Item = TokenChunk>) -> Completion {
    let mut whole = Completion::default();
    for chunk in chunks {
        whole.push(chunk);
    }
    whole
}

#[test]
fn a_chat_upstreams_stream_is_read_by_a_client_of_this_format() {
    let events = [
        json!({"id": "c", "model": "g", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}),
        json!({"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]}),
        json!({"choices": [{"index": 0, "delta": {"content": "Hi"}}]}),
        json!({"choices": [{"index": 0, "delta": {"tool_calls": [
            {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}]}}]}),
        json!({"choices": [{"index": 0, "delta": {"tool_calls": [
            {"index": 0, "function": {"arguments": "{\"a\":1}"}}]}}]}),
        json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
        json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}}),
    ];
    let codec = ChatCodec::default();
    let (mut decoder, mut writer) = (codec.decoder(), EventWriter::new("asked"));
    let mut body = Vec::new();
    for event in events {
        let mut chunks = Vec::new();
        decoder.event("", &Bytes::from(event.to_string()), &mut chunks).unwrap();
        for chunk in &chunks {
            body.extend(writer.write(chunk).unwrap_or_default());
        }
    }
    body.extend(writer.end().unwrap());
    let mut decoder = MessagesDecoder::default();
    let mut chunks = Vec::new();
    for event in frames(&body) {
        decoder.event(&event.name, &event.data, &mut chunks).unwrap();
    }
    decoder.finish().unwrap();
    let whole = fold(chunks);
    let choice = &whole.choices[0];
    assert_eq!((choice.reasoning.as_str(), choice.text.as_str()), ("hm", "Hi"));
    assert_eq!(choice.tool_calls, [infer_core::ToolCall::function("call_1", "f", "{\"a\":1}")]);
    assert_eq!(choice.finish.as_ref().unwrap().as_str(), "tool_use");
    assert_eq!((whole.usage.unwrap().input_tokens, whole.usage.unwrap().output_tokens), (7, 5));
    assert_eq!((whole.served.id.as_deref(), whole.served.model.as_deref()), (Some("c"), Some("g")));
}

#[test]
fn a_stream_of_this_format_is_read_by_a_client_of_a_chat() {
    for (file, finish) in
        [("text.sse", "stop"), ("tools_parallel.sse", "tool_calls"), ("thinking.sse", "stop")]
    {
        let chunks = pieces(&format!("tests/data/stream/{file}"), &mut MessagesDecoder::default());
        let mut writer = chat::ChunkWriter::new("asked", true);
        let mut decoder = ChatCodec::default().decoder();
        let mut read = Vec::new();
        for event in chunks.iter().filter_map(|chunk| writer.write(chunk)) {
            let data = event.strip_prefix(b"data: ").unwrap().trim_ascii().to_vec();
            assert!(!data.windows(9).any(|part| part == b"\"message_"), "{file}: an event of another format");
            decoder.event("", &data.into(), &mut read).unwrap();
        }
        decoder.finish().unwrap();
        let (whole, read) = (fold(chunks), fold(read));
        assert_eq!(read.text(), whole.text(), "{file}");
        assert_eq!(read.choices[0].tool_calls, whole.choices[0].tool_calls, "{file}");
        assert_eq!(read.finish().unwrap().as_str(), finish, "{file}");
        assert_eq!(read.usage.unwrap().total_tokens, whole.usage.unwrap().total_tokens, "{file}");
    }
}

#[test]
fn whole_answers_cross_in_the_words_of_whoever_asked() {
    let body = json!({
        "id": "c", "model": "g", "choices": [{"index": 0, "finish_reason": "length",
            "message": {"role": "assistant", "content": "Hi"}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 3}},
    });
    let whole = ChatCodec::default().decode_full(&body.to_string().into()).unwrap();
    let answer: Value = serde_json::from_slice(&write_message(&whole, "asked")).unwrap();
    assert_eq!(answer["content"], json!([{"type": "text", "text": "Hi"}]));
    assert_eq!((&answer["stop_reason"], &answer["type"]), (&json!("max_tokens"), &json!("message")));
    assert_eq!(answer["usage"]["input_tokens"], 4);
    assert_eq!(answer["usage"]["cache_read_input_tokens"], 3);

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/answer/tools_parallel.json");
    let whole = MessagesCodec::default().decode_full(&std::fs::read(path).unwrap().into()).unwrap();
    let answer: Value = serde_json::from_slice(&chat::write_completion(&whole, "asked")).unwrap();
    assert_eq!(
        (&answer["object"], &answer["choices"][0]["finish_reason"]),
        (&json!("chat.completion"), &json!("tool_calls"))
    );
    assert!(answer["choices"][0]["message"]["tool_calls"].as_array().unwrap().len() > 1);
}
