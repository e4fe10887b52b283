//! How the upstreams that speak this wire format differ in what they accept.
//!
//! Only what changes the bytes of a request is here. What they send back is read tolerantly, without being told.

use serde::{Deserialize, Serialize};

/// What to write for one upstream. The default suits most compatible servers.
///
/// ```
/// use wire_chat::{ChatDialect, DeveloperRole, TokenLimit};
/// let old_server = ChatDialect::compatible()
///     .with_token_limit(TokenLimit::MaxTokens)
///     .with_stream_usage(false)
///     .with_developer_role(DeveloperRole::AsSystem);
/// assert_ne!(old_server, ChatDialect::openai());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

impl Default for ChatDialect {
    fn default() -> Self {
        Self {
            token_limit: TokenLimit::default(),
            stream_usage: true,
            developer_role: DeveloperRole::default(),
        }
    }
}

impl ChatDialect {
    /// OpenAI itself, where every current model takes `max_completion_tokens` (its API description 2.3.0, read
    /// 2026-11-21).
    pub fn openai() -> Self {
        Self::default().with_token_limit(TokenLimit::MaxCompletionTokens)
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
