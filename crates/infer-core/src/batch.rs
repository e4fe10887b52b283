//! One request to a model, in this project's own words.
//!
//! Every member a caller commonly sets has a field; any other travels in [`ExecuteBatch::extra`].

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Extra, Message, Messages, RawJson, RequestId, Role, Routing, ToolChoice, ToolSpec};

/// How the answer is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunMode {
    /// In one piece.
    #[default]
    Collected,
    /// As it is written.
    Streaming,
}

/// Who goes first when calls must wait for a limit.
///
/// A place further ahead by a fixed time, so that everyone's turn comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Priority {
    /// Work that nobody waits for.
    Background,
    /// The usual.
    #[default]
    Normal,
    /// Somebody waits.
    High,
    /// The operation depends on it.
    Critical,
}

/// How the next token is chosen, and how many answers are wanted. Absent members are left to the upstream.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Sampling {
    /// 0 to 2; some models take only 1.
    pub temperature: Option<f64>,
    /// 0 to 1.
    pub top_p: Option<f64>,
    /// How many answers, from 1.
    pub n: Option<u32>,
    /// Texts that end the answer, at most 4 at most upstreams.
    pub stop: Vec<String>,
    /// For repeatable answers, where the upstream can.
    pub seed: Option<i64>,
    /// -2 to 2.
    pub presence_penalty: Option<f64>,
    /// -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// -100 to 100 by token id.
    pub logit_bias: BTreeMap<String, i32>,
    /// Whether to report the probability of every token.
    pub logprobs: Option<bool>,
    /// How many alternatives to report for every token, 0 to 20; needs `logprobs`.
    pub top_logprobs: Option<u32>,
}

/// How much to think before answering.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReasoningEffort {
    /// Not at all.
    None,
    /// Hardly.
    Minimal,
    /// A little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// More.
    XHigh,
    /// As much as the model can.
    Max,
    /// A word this crate does not know.
    Other(String),
}

impl ReasoningEffort {
    /// The word vendors use.
    pub fn as_str(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
            Self::Other(word) => word,
        }
    }
}

impl From<&str> for ReasoningEffort {
    fn from(word: &str) -> Self {
        match word {
            "none" => Self::None,
            "minimal" => Self::Minimal,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "xhigh" => Self::XHigh,
            "max" => Self::Max,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// What form the answer must have.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ResponseFormat {
    /// Text.
    Text,
    /// Any JSON object; most upstreams want the word JSON in a message.
    JsonObject,
    /// JSON that fits a schema.
    JsonSchema(JsonSchema),
    /// Something this crate has no name for.
    Other(RawJson),
}

/// A JSON Schema for the answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct JsonSchema {
    /// Letters, digits, `_` and `-`, at most 64.
    pub name: String,
    /// What the answer is for.
    pub description: Option<String>,
    /// The schema.
    pub schema: Option<RawJson>,
    /// Whether the upstream must hold the model to it.
    pub strict: Option<bool>,
}

impl JsonSchema {
    /// A schema by name, not strict.
    pub fn new(name: impl Into<String>, schema: impl Into<RawJson>) -> Self {
        Self { name: name.into(), description: None, schema: Some(schema.into()), strict: None }
    }

    /// Asks the upstream to hold the model to it.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = Some(true);
        self
    }
}

impl From<JsonSchema> for ResponseFormat {
    fn from(schema: JsonSchema) -> Self {
        Self::JsonSchema(schema)
    }
}

/// One request to a model.
///
/// ```
/// use infer_core::{ExecuteBatch, Message};
/// let batch = ExecuteBatch::new("gpt-4o-mini", [Message::system("Be brief."), Message::user("Say hello")])
///     .with_temperature(0.2)
///     .with_max_output_tokens(64)
///     .streaming();
/// assert_eq!(batch.sampling.temperature, Some(0.2));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ExecuteBatch {
    /// Our name for the call.
    pub request_id: RequestId,
    /// The model, or a deployment where the upstream names those.
    pub model: String,
    /// The conversation.
    pub messages: Messages,
    /// How the answer is wanted.
    pub mode: RunMode,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The most tokens to write, hidden reasoning included.
    pub max_output_tokens: Option<u32>,
    /// How much to think.
    pub reasoning_effort: Option<ReasoningEffort>,
    /// Tools the model may call.
    pub tools: Vec<ToolSpec>,
    /// Whether and which it must call.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may make several calls at once.
    pub parallel_tool_calls: Option<bool>,
    /// What form the answer must have.
    pub response_format: Option<ResponseFormat>,
    /// The kinds of output wanted, such as `text` and `audio`.
    pub modalities: Vec<String>,
    /// Text the answer is expected to repeat in part, to save time.
    pub prediction: Option<String>,
    /// How the call is to be processed: `auto`, `default`, `flex`, `priority`.
    pub service_tier: Option<String>,
    /// A name for the end user.
    pub user: Option<String>,
    /// Labels kept with a stored call.
    pub metadata: BTreeMap<String, String>,
    /// The most time the whole call may take, attempts and waiting included. No limit when absent.
    pub deadline: Option<Duration>,
    /// Who goes first when calls must wait for a limit.
    pub priority: Priority,
    /// How a router is to treat the call; never sent.
    pub routing: Routing,
    /// Members passed through unread.
    pub extra: Extra,
}

impl ExecuteBatch {
    /// Asks `model`; `messages` is a prompt or a list of [`Message`]s.
    pub fn new(model: impl Into<String>, messages: impl Into<Messages>) -> Self {
        Self {
            request_id: RequestId::generate(),
            model: model.into(),
            messages: messages.into(),
            mode: RunMode::Collected,
            sampling: Sampling::default(),
            max_output_tokens: None,
            reasoning_effort: None,
            tools: Vec::new(),
            tool_choice: None,
            parallel_tool_calls: None,
            response_format: None,
            modalities: Vec::new(),
            prediction: None,
            service_tier: None,
            user: None,
            metadata: BTreeMap::new(),
            deadline: None,
            priority: Priority::Normal,
            routing: Routing::default(),
            extra: Extra::new(),
        }
    }

    /// Whether the answer is wanted as it is written.
    pub fn is_streaming(&self) -> bool {
        self.mode == RunMode::Streaming
    }

    /// How many answers are wanted.
    pub fn choices(&self) -> u32 {
        self.sampling.n.unwrap_or(1).max(1)
    }

    /// Wants the answer as it is written.
    #[must_use]
    pub fn streaming(mut self) -> Self {
        self.mode = RunMode::Streaming;
        self
    }

    /// Puts instructions in front of the conversation. Raw messages stay as they are.
    #[must_use]
    pub fn with_system(mut self, instructions: impl Into<String>) -> Self {
        if let Messages::Typed(messages) = &mut self.messages {
            messages.insert(0, Message::new(Role::System, instructions.into()));
        }
        self
    }

    /// Names the call.
    #[must_use]
    pub fn with_request_id(mut self, id: RequestId) -> Self {
        self.request_id = id;
        self
    }

    /// 0 to 2; some models take only 1.
    #[must_use]
    pub fn with_temperature(mut self, temperature: f64) -> Self {
        self.sampling.temperature = Some(temperature);
        self
    }

    /// 0 to 1.
    #[must_use]
    pub fn with_top_p(mut self, top_p: f64) -> Self {
        self.sampling.top_p = Some(top_p);
        self
    }

    /// How many answers, from 1.
    #[must_use]
    pub fn with_n(mut self, n: u32) -> Self {
        self.sampling.n = Some(n);
        self
    }

    /// Texts that end the answer.
    #[must_use]
    pub fn with_stop(mut self, stop: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.sampling.stop = stop.into_iter().map(Into::into).collect();
        self
    }

    /// For repeatable answers, where the upstream can.
    #[must_use]
    pub fn with_seed(mut self, seed: i64) -> Self {
        self.sampling.seed = Some(seed);
        self
    }

    /// -2 to 2 each.
    #[must_use]
    pub fn with_penalties(mut self, presence: f64, frequency: f64) -> Self {
        self.sampling.presence_penalty = Some(presence);
        self.sampling.frequency_penalty = Some(frequency);
        self
    }

    /// Makes a token likelier or rarer, -100 to 100.
    #[must_use]
    pub fn with_logit_bias(mut self, token: impl Into<String>, bias: i32) -> Self {
        self.sampling.logit_bias.insert(token.into(), bias);
        self
    }

    /// Reports the probability of every token and of `top` alternatives.
    #[must_use]
    pub fn with_logprobs(mut self, top: u32) -> Self {
        self.sampling.logprobs = Some(true);
        self.sampling.top_logprobs = (top > 0).then_some(top);
        self
    }

    /// The most tokens to write, hidden reasoning included.
    #[must_use]
    pub fn with_max_output_tokens(mut self, tokens: u32) -> Self {
        self.max_output_tokens = Some(tokens);
        self
    }

    /// How much to think.
    #[must_use]
    pub fn with_reasoning_effort(mut self, effort: impl Into<ReasoningEffort>) -> Self {
        self.reasoning_effort = Some(effort.into());
        self
    }

    /// Tools the model may call.
    #[must_use]
    pub fn with_tools(mut self, tools: impl IntoIterator<Item = ToolSpec>) -> Self {
        self.tools.extend(tools);
        self
    }

    /// Whether and which tool it must call.
    #[must_use]
    pub fn with_tool_choice(mut self, choice: ToolChoice) -> Self {
        self.tool_choice = Some(choice);
        self
    }

    /// Whether it may make several calls at once.
    #[must_use]
    pub fn with_parallel_tool_calls(mut self, parallel: bool) -> Self {
        self.parallel_tool_calls = Some(parallel);
        self
    }

    /// What form the answer must have.
    #[must_use]
    pub fn with_response_format(mut self, format: impl Into<ResponseFormat>) -> Self {
        self.response_format = Some(format.into());
        self
    }

    /// The kinds of output wanted, such as `text` and `audio`.
    #[must_use]
    pub fn with_modalities(mut self, modalities: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.modalities = modalities.into_iter().map(Into::into).collect();
        self
    }

    /// Text the answer is expected to repeat in part.
    #[must_use]
    pub fn with_prediction(mut self, text: impl Into<String>) -> Self {
        self.prediction = Some(text.into());
        self
    }

    /// How the call is to be processed.
    #[must_use]
    pub fn with_service_tier(mut self, tier: impl Into<String>) -> Self {
        self.service_tier = Some(tier.into());
        self
    }

    /// A name for the end user.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// A label kept with a stored call.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// The most time the whole call may take.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Who goes first when calls must wait for a limit.
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// How a router is to treat the call.
    #[must_use]
    pub fn with_routing(mut self, routing: Routing) -> Self {
        self.routing = routing;
        self
    }

    /// A member passed through unread.
    #[must_use]
    pub fn with_extra(mut self, name: impl Into<String>, value: impl Into<RawJson>) -> Self {
        self.extra.set(name, value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effort_words_survive_both_ways() {
        for word in ["none", "minimal", "low", "medium", "high", "xhigh", "max", "ludicrous"] {
            assert_eq!(ReasoningEffort::from(word).as_str(), word);
        }
    }
}
