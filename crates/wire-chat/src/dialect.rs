//! How the upstreams that speak this wire format differ in what they accept.
//!
//! Only what changes the bytes of a request is here, as data that a configuration can hold. What they send back is read
//! tolerantly, without being told.

use std::collections::BTreeMap;

use infer_core::InferenceError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What to write for one upstream. The default suits most compatible servers.
///
/// Nothing that was asked for disappears unseen. A member that an upstream refuses, or takes and ignores, is named in
/// [`unsupported`](Self::unsupported), and a request that has it is refused before it is sent, unless
/// [`on_unsupported`](Self::on_unsupported) says otherwise. Left out without a word are only
///
/// - members that do not change the answer: `user`, `safety_identifier`, `metadata`, `store`, `prediction`,
///   `prompt_cache_key`, `prompt_cache_retention`, `stream_options`, `messages.name`, `tools.strict`, and
///   `encoding_format` of vectors;
/// - values that hold anyway: `n` of 1, `logprobs` of false, `top_logprobs` and penalties of 0, `tool_choice` of auto,
///   `parallel_tool_calls` of true or without tools, `response_format` of text, `modalities` of text alone,
///   `service_tier` of auto or default.
///
/// ```
/// use infer_core::{Codec, ExecuteBatch};
/// use wire_chat::{ChatCodec, ChatDialect, DeveloperRole, TokenLimit};
/// let old_server = ChatDialect::compatible()
///     .with_token_limit(TokenLimit::MaxTokens)
///     .with_stream_usage(false)
///     .with_developer_role(DeveloperRole::AsSystem)
///     .with_unsupported(["seed"]);
/// let batch = ExecuteBatch::new("llama3", "Hi").with_seed(1);
/// let error = ChatCodec::new(old_server).encode(&batch).unwrap_err();
/// assert_eq!(error.origin().unwrap().param.as_deref(), Some("seed"));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ChatDialect {
    /// The member that carries the limit on output tokens.
    pub token_limit: TokenLimit,
    /// Whether a streamed answer is asked for its token counts. On by default, since a stream is not counted at most
    /// upstreams otherwise; Mistral refuses the member (its published schema, read 2026-11-21).
    pub stream_usage: bool,
    /// What becomes of `developer` messages.
    pub developer_role: DeveloperRole,
    /// Members of a request that the upstream refuses, or takes and ignores, by their names on the wire. `messages.name`
    /// and `tools.strict` are those of messages and tools.
    pub unsupported: Vec<String>,
    /// The same for some of its models.
    pub unsupported_by_model: Vec<ModelRule>,
    /// What becomes of a request that asks for something unsupported.
    pub on_unsupported: OnUnsupported,
    /// Members that go by another name there: `seed` is `random_seed` at Mistral (its published schema, read 2026-11-21).
    pub renamed: BTreeMap<String, String>,
    /// Which temperatures it takes; any when absent.
    pub temperature: Option<Bounds>,
    /// The word for a tool choice that must call some tool; `required` when absent.
    pub required_word: Option<String>,
    /// What the ids of tool calls may look like.
    pub tool_call_ids: ToolCallIds,
    /// How an assistant's reasoning is sent back in later turns.
    pub reasoning: ReasoningReturn,
    /// In which form pictures are taken.
    pub images: ImageForm,
    /// How token probabilities are asked for.
    pub logprobs: LogprobsForm,
    /// Members added to every request that does not say them itself; `null` adds nothing.
    pub extra: BTreeMap<String, Value>,
    /// Requests for vectors.
    pub embeddings: EmbedDialect,
}

/// The member that carries the limit on output tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TokenLimit {
    /// By the model's name: `max_completion_tokens` where [`is_reasoning_model`] says so, else `max_tokens`.
    #[default]
    Auto,
    /// The newer name, which reasoning models insist on.
    MaxCompletionTokens,
    /// The older name, the only one many servers know.
    MaxTokens,
}

/// What becomes of `developer` messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeveloperRole {
    /// They stay.
    #[default]
    Keep,
    /// They are sent as `system`, for servers that know no other name for instructions.
    AsSystem,
}

/// What becomes of a request that asks for something its upstream does not support.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnUnsupported {
    /// It is refused before it is sent, and the error names the member.
    #[default]
    Refuse,
    /// The member is left out: the answer will not be what was asked for. Pictures are refused all the same.
    Drop,
    /// The member is sent, for upstreams that have learned it since.
    Send,
}

/// Members that some models do not support.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelRule {
    /// A model is meant if its name contains one of these and none of `except`.
    pub models: Vec<String>,
    /// Parts of the names of models that are not meant after all.
    pub except: Vec<String>,
    /// The members, named as in [`ChatDialect::unsupported`].
    pub members: Vec<String>,
}

/// A range of numbers; what is absent does not bound it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bounds {
    /// The number itself is outside.
    pub above: Option<f64>,
    /// The least.
    pub min: Option<f64>,
    /// The most.
    pub max: Option<f64>,
}

/// What the ids of tool calls may look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ToolCallIds {
    /// Anything.
    #[default]
    Any,
    /// Nine letters and digits; others are mapped to such, the same id always to the same, in calls and in their
    /// results. Some of Mistral's models insist (public reports, read 2026-11-21).
    NineAlphanumerics,
}

/// How an assistant's reasoning is sent back in later turns.
///
/// Reasoning that stands in the text itself, between `<think>` marks as at MiniMax, is part of the text both ways and not
/// touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReasoningReturn {
    /// Typed messages say it in `reasoning_content`, raw ones as they came.
    #[default]
    AsGiven,
    /// Not at all.
    Omit,
    /// In `reasoning_content`, which DeepSeek insists on between tool calls (its documents, read 2026-11-21).
    ReasoningContent,
    /// In `reasoning`.
    Reasoning,
}

/// In which form pictures are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ImageForm {
    /// Inside the request or by URL.
    #[default]
    Any,
    /// Only inside the request, as Ollama does (its source, read 2026-11-21).
    Inline,
}

/// How token probabilities are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LogprobsForm {
    /// By a flag and a number of alternatives.
    #[default]
    Flag,
    /// By the number alone, under the flag's name, as at Together (its API description, read 2026-11-21).
    Count,
}

/// What to write for vectors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbedDialect {
    /// Whether there are any in this wire format.
    pub offered: bool,
    /// Members of a request for vectors that the upstream refuses, or takes and ignores, by their names on the wire.
    pub unsupported: Vec<String>,
    /// Members of a request for vectors that go by another name there.
    pub renamed: BTreeMap<String, String>,
}

impl Default for EmbedDialect {
    fn default() -> Self {
        Self { offered: true, unsupported: Vec::new(), renamed: BTreeMap::new() }
    }
}

impl Default for ChatDialect {
    fn default() -> Self {
        Self {
            token_limit: TokenLimit::default(),
            stream_usage: true,
            developer_role: DeveloperRole::default(),
            unsupported: Vec::new(),
            unsupported_by_model: Vec::new(),
            on_unsupported: OnUnsupported::default(),
            renamed: BTreeMap::new(),
            temperature: None,
            required_word: None,
            tool_call_ids: ToolCallIds::default(),
            reasoning: ReasoningReturn::default(),
            images: ImageForm::default(),
            logprobs: LogprobsForm::default(),
            extra: BTreeMap::new(),
            embeddings: EmbedDialect::default(),
        }
    }
}

impl ChatDialect {
    /// OpenAI itself, where every current model takes `max_completion_tokens` (its API description 2.3.0, read
    /// 2026-11-21) and no reasoning is sent back.
    pub fn openai() -> Self {
        Self::default()
            .with_token_limit(TokenLimit::MaxCompletionTokens)
            .with_reasoning(ReasoningReturn::Omit)
    }

    /// The dated version of Azure OpenAI that `api_version` names; `None` for the v1 routes, by `v1` or nothing.
    ///
    /// Any date is taken, as there are newer ones than are known here: one that the service does not know, or no more, is
    /// answered with 404.
    ///
    /// # Errors
    /// [`InferenceError::Config`] when it is neither.
    pub fn azure_version(api_version: &str) -> Result<Option<&str>, InferenceError> {
        let date = api_version.strip_suffix("-preview").unwrap_or(api_version);
        match date.replace(|digit: char| digit.is_ascii_digit(), "0").as_str() {
            _ if matches!(api_version, "" | "v1") => Ok(None),
            "0000-00-00" => Ok(Some(api_version)),
            _ => Err(InferenceError::config(format!(
                "api_version {api_version:?}: write a date, such as 2024-02-01, 2024-06-01, 2024-10-21 or \
                 2025-04-01-preview, or v1 for the routes without one"
            ))),
        }
    }

    /// Azure OpenAI, by its dated [version](Self::azure_version) or, with `None`, by its v1 routes. Versions before 2024-09-01 have neither the newer
    /// name of the limit on tokens nor token counts of streams (Microsoft's documents, read 2026-11-21).
    pub fn azure(version: Option<&str>) -> Self {
        let is_old = version.is_some_and(|version| version < "2024-09-01");
        let limit = if is_old { TokenLimit::MaxTokens } else { TokenLimit::MaxCompletionTokens };
        Self::openai().with_token_limit(limit).with_stream_usage(!is_old)
    }

    /// Any other server; the default.
    pub fn compatible() -> Self {
        Self::default()
    }

    /// The member that carries the limit on output tokens.
    #[must_use]
    pub fn with_token_limit(mut self, limit: TokenLimit) -> Self {
        self.token_limit = limit;
        self
    }

    /// Whether a streamed answer is asked for its token counts.
    #[must_use]
    pub fn with_stream_usage(mut self, ask: bool) -> Self {
        self.stream_usage = ask;
        self
    }

    /// What becomes of `developer` messages.
    #[must_use]
    pub fn with_developer_role(mut self, role: DeveloperRole) -> Self {
        self.developer_role = role;
        self
    }

    /// Further members that the upstream does not support.
    #[must_use]
    pub fn with_unsupported(mut self, members: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.unsupported.extend(members.into_iter().map(Into::into));
        self
    }

    /// What becomes of a request that asks for something unsupported.
    #[must_use]
    pub fn with_on_unsupported(mut self, then: OnUnsupported) -> Self {
        self.on_unsupported = then;
        self
    }

    /// How an assistant's reasoning is sent back.
    #[must_use]
    pub fn with_reasoning(mut self, reasoning: ReasoningReturn) -> Self {
        self.reasoning = reasoning;
        self
    }

    /// The name of the limit's member for `model`.
    pub(crate) fn token_limit_name(&self, model: &str) -> &'static str {
        match self.token_limit {
            TokenLimit::MaxTokens => "max_tokens",
            TokenLimit::Auto if !is_reasoning_model(model) => "max_tokens",
            TokenLimit::Auto | TokenLimit::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// Whether the name is that of an OpenAI model that thinks before it answers: `o1`, `o3`, `o4` and the like, `gpt-5` and
/// every later `gpt-N`, except the `-chat` variants (OpenAI's model pages, read 2026-11-21).
///
/// A vendor in front (`openai/o3`) and a fine-tuning mark (`ft:`) are looked through.
pub fn is_reasoning_model(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let name = name.strip_prefix("ft:").unwrap_or(name);
    if let Some(version) = name.strip_prefix('o') {
        return family(version).is_some();
    }
    let Some(version) = name.strip_prefix("gpt-") else { return false };
    // Azure writes gpt-3.5 without the dot.
    family(version).is_some_and(|family| family >= 5 && family != 35) && !name.contains("-chat")
}

/// The number a version begins with, if it ends there or at a mark.
fn family(version: &str) -> Option<u32> {
    let end = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    let (number, rest) = version.split_at(end);
    if rest.starts_with(char::is_alphanumeric) { None } else { number.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasoning_models_are_told_by_name() {
        let yes =
            ["o1", "o1-mini", "o3-2025-04-16", "o4-mini", "gpt-5", "gpt-5-mini", "gpt-5.1", "gpt-6-astra"];
        for model in yes.into_iter().chain(["gpt-10", "openai/gpt-5.2", "ft:o4-mini:org::id"]) {
            assert!(is_reasoning_model(model), "{model}");
        }
        let no = ["gpt-4o", "gpt-4.1", "gpt-35-turbo", "gpt-3.5-turbo", "gpt-oss-120b", "gpt-5-chat-latest"];
        for model in no.into_iter().chain(["gpt-5.1-chat-latest", "omni", "olmo-7b", "o", "gpt-", "", "/"]) {
            assert!(!is_reasoning_model(model), "{model}");
        }
    }

    #[test]
    fn the_limit_goes_by_the_name_the_model_takes() {
        let auto = ChatDialect::compatible();
        assert_eq!(auto.token_limit_name("o3"), "max_completion_tokens");
        assert_eq!(auto.token_limit_name("llama3"), "max_tokens");
        assert_eq!(ChatDialect::openai().token_limit_name("gpt-4o"), "max_completion_tokens");
        let old = auto.with_token_limit(TokenLimit::MaxTokens);
        assert_eq!(old.token_limit_name("o3"), "max_tokens");
    }

    #[test]
    fn a_dialect_reads_from_configuration_and_refuses_unknown_words() {
        let read = serde_json::from_str::<ChatDialect>;
        let dialect = read(r#"{"token_limit":"max_tokens","developer_role":"as_system"}"#).unwrap();
        assert_eq!(dialect.token_limit, TokenLimit::MaxTokens);
        assert!(dialect.stream_usage);
        assert!(read(r#"{"token_limits":"auto"}"#).is_err());
    }
}
