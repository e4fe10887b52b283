//! What is publicly known of language models.
