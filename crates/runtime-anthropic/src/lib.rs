//! Anthropic as a runner.
