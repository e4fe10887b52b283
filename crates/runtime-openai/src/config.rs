//! Settings of one upstream.

use std::sync::LazyLock;

use infer_core::InferenceError;
pub use remote_core::session::{Secret, SecretRef};
use remote_core::{Presets, ProviderConfig as _};
use serde::Deserialize;
use wire_chat::ChatDialect;

use crate::OpenAi;

/// OpenAI itself.
pub(crate) const OPENAI: &str = "https://api.openai.com/v1";

remote_core::provider_settings! {
    /// Settings of OpenAI or a compatible upstream. Write the members you change over
    /// [`OpenAiConfig::defaults_for_openai`].
    pub struct OpenAiConfig {
        /// The base URL, with or without a trailing slash; without a path it gets `/v1`. OpenAI when empty.
        #[serde(alias = "base_url")]
        pub endpoint: String,
        /// Sent as `OpenAI-Organization`.
        pub organization: Option<String>,
        /// Sent as `OpenAI-Project`.
        pub project: Option<String>,
        /// What the upstream understands; chosen by its host when absent.
        pub dialect: Option<ChatDialect>,
        /// Which list prices hold.
        pub prices: PriceSource,
        /// The path of a health check, from the root of the host; the list of models when absent.
        pub health_path: Option<String>,
        /// How many inputs one request for vectors may have; larger batches are split. 2048 when absent.
        pub max_embed_inputs: Option<usize>,
    }
    impl "openai" for OpenAi presets include_str!("../presets.json")
}

/// Which list prices hold for an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceSource {
    /// OpenAI's own for OpenAI's own hosts, none elsewhere: a name alone does not make a model OpenAI's.
    #[default]
    Auto,
    /// OpenAI's own, for proxies in front of OpenAI.
    Published,
    /// None: only own prices count.
    None,
}

impl OpenAiConfig {
    /// OpenAI itself, with the key from `api_key`.
    pub fn defaults_for_openai(api_key: SecretRef) -> Self {
        Self { endpoint: OPENAI.into(), api_key, ..Self::default() }
    }

    /// A known upstream by its name, such as `groq` or `llama.cpp`: where it is, the variable its key is in, what it
    /// understands, what its models cost. All of it is data, and any member may be changed.
    ///
    /// ```
    /// use runtime_openai::{OpenAiConfig, config::SecretRef};
    /// let cfg = OpenAiConfig::preset("groq")?;
    /// assert_eq!(cfg.api_key, SecretRef::env("GROQ_API_KEY"));
    /// # Ok::<(), infer_core::InferenceError>(())
    /// ```
    ///
    /// # Errors
    /// [`InferenceError::Config`] for an unknown name, with those that are spelled nearly so and a list of all.
    pub fn preset(name: &str) -> Result<Self, InferenceError> {
        Self::presets().settings(name)
    }

    /// The known upstreams. In a configuration, `preset: groq` beside other settings fills in what they leave out.
    pub fn presets() -> &'static Presets {
        // A test reads every preset, so an empty list is never shipped.
        static PRESETS: LazyLock<Presets> =
            LazyLock::new(|| Presets::parse(OpenAiConfig::PRESETS).unwrap_or_default());
        &PRESETS
    }
}
