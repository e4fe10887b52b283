//! What most people write by hand: reqwest, eventsource-stream, and serde_json into structs that own their text.
//!
//! No timeouts, no classification, no check that the answer is complete: only what a happy path needs.

use std::pin::Pin;

use anyhow::Result;
use eventsource_stream::{Event, EventStreamError, Eventsource as _};
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};

use super::{Client, KEY, MODEL, PROMPT, Reader, SYSTEM};

/// A client by hand.
#[derive(Debug)]
pub(crate) struct Plain {
    http: reqwest::Client,
    url: String,
}

impl Plain {
    /// A client of the upstream at `base`.
    pub(crate) fn new(base: &str) -> Result<Self> {
        Ok(Self { http: super::http()?, url: format!("{base}/chat/completions") })
    }

    async fn post(&self, stream: bool) -> Result<reqwest::Response> {
        let message =
            |role: &str, content: &str| RequestMessage { role: role.into(), content: content.into() };
        let request = ChatRequest {
            model: MODEL.into(),
            messages: vec![message("system", SYSTEM), message("user", PROMPT)],
            temperature: Some(0.2),
            max_completion_tokens: Some(64),
            stream: stream.then_some(true),
            stream_options: stream.then_some(StreamOptions { include_usage: true }),
        };
        let request = self
            .http
            .post(&self.url)
            .bearer_auth(KEY)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(&request)?);
        Ok(request.send().await?.error_for_status()?)
    }
}

impl Client for Plain {
    type Reader = Events;

    async fn unary(&self) -> Result<usize> {
        let bytes = self.post(false).await?.bytes().await?;
        let answer: ChatCompletion = serde_json::from_slice(&bytes)?;
        let text = answer.choices.into_iter().next().and_then(|choice| choice.message.content);
        Ok(text.unwrap_or_default().len())
    }

    async fn open(&self) -> Result<Events> {
        Ok(Box::pin(self.post(true).await?.bytes_stream().eventsource()))
    }
}

/// The events of an answer.
pub(crate) type Events = Pin<Box<dyn Stream<Item = Result<Event, EventStreamError<reqwest::Error>>>>>;

impl Reader for Events {
    async fn next(&mut self) -> Result<Option<usize>> {
        let Some(event) = StreamExt::next(self).await else { return Ok(None) };
        let event = event?;
        if event.data == "[DONE]" {
            // Many stop here and lose the connection; reading on to the end keeps it.
            let _ = StreamExt::next(self).await;
            return Ok(None);
        }
        let chunk: ChatCompletionChunk = serde_json::from_str(&event.data)?;
        let text = chunk.choices.into_iter().next().and_then(|choice| choice.delta.content);
        Ok(Some(text.unwrap_or_default().len()))
    }
}

#[derive(Debug, Serialize)]
struct ChatRequest {
    model: String,
    messages: Vec<RequestMessage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Serialize)]
struct RequestMessage {
    role: String,
    content: String,
}

#[derive(Debug, Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// Structs as they are written by hand everywhere; filling the members nobody reads here is part of the price.
#[expect(dead_code, reason = "what is measured is filling them")]
mod wire {
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    pub(super) struct ChatCompletion {
        id: String,
        object: String,
        created: u64,
        model: String,
        pub(super) choices: Vec<Choice>,
        usage: Option<Usage>,
        service_tier: Option<String>,
        system_fingerprint: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    pub(super) struct Choice {
        index: u32,
        pub(super) message: Message,
        finish_reason: Option<FinishReason>,
    }

    #[derive(Debug, Deserialize)]
    pub(super) struct Message {
        role: super::Role,
        pub(super) content: Option<String>,
        refusal: Option<String>,
        tool_calls: Option<Vec<ToolCall>>,
    }

    #[derive(Debug, Deserialize)]
    pub(super) struct ChatCompletionChunk {
        id: String,
        object: String,
        created: u64,
        model: String,
        pub(super) choices: Vec<ChunkChoice>,
        usage: Option<Usage>,
        service_tier: Option<String>,
        system_fingerprint: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    pub(super) struct ChunkChoice {
        index: u32,
        pub(super) delta: Delta,
        finish_reason: Option<FinishReason>,
    }

    #[derive(Debug, Deserialize)]
    pub(super) struct Delta {
        role: Option<super::Role>,
        pub(super) content: Option<String>,
        refusal: Option<String>,
        tool_calls: Option<Vec<ToolCallDelta>>,
    }

    #[derive(Debug, Deserialize)]
    struct ToolCall {
        id: String,
        function: Function,
    }

    #[derive(Debug, Deserialize)]
    struct Function {
        name: String,
        arguments: String,
    }

    #[derive(Debug, Deserialize)]
    struct ToolCallDelta {
        index: u32,
        id: Option<String>,
        function: Option<FunctionDelta>,
    }

    #[derive(Debug, Deserialize)]
    struct FunctionDelta {
        name: Option<String>,
        arguments: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    struct Usage {
        prompt_tokens: u64,
        completion_tokens: u64,
        total_tokens: u64,
        prompt_tokens_details: Option<PromptDetails>,
        completion_tokens_details: Option<CompletionDetails>,
    }

    #[derive(Debug, Deserialize)]
    struct PromptDetails {
        cached_tokens: Option<u64>,
        audio_tokens: Option<u64>,
    }

    #[derive(Debug, Deserialize)]
    struct CompletionDetails {
        reasoning_tokens: Option<u64>,
        audio_tokens: Option<u64>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum FinishReason {
        Stop,
        Length,
        ToolCalls,
        ContentFilter,
        FunctionCall,
    }
}

use wire::{ChatCompletion, ChatCompletionChunk};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    System,
    User,
    Assistant,
    Tool,
}
