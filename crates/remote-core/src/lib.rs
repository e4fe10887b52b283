//! Everything hard about calling a remote model, done once: streaming, timeouts, classification, sessions.
