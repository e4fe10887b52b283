//! The Chat Completions and embeddings wire format, client and server side, without I/O.
