//! A scriptable OpenAI-shaped upstream on loopback, for tests, demonstrations and benchmarks.
