//! From settings to a runner, without knowing which provider it is.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{InferenceError, ModelRunner};

/// Makes runners of one kind from settings, so that a configuration file needs no code per provider.
///
/// Factories are values: whoever reads a configuration holds a list of them. There is no global registry.
#[async_trait]
pub trait RunnerFactory: Send + Sync + fmt::Debug {
    /// The `type` in a configuration: `openai`.
    fn kind(&self) -> &'static str;

    /// Makes a runner called `name`.
    ///
    /// # Errors
    /// [`InferenceError::Config`] for settings that do not fit, by path, value and way out.
    async fn build(
        &self,
        name: &str,
        settings: serde_json::Value,
    ) -> Result<Arc<dyn ModelRunner>, InferenceError>;
}
