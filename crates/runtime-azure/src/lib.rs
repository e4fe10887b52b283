//! Azure OpenAI as a runner.
