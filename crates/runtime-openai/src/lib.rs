//! OpenAI, and every upstream that speaks Chat Completions, as a ModelRunner.
