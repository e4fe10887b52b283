//! Entra tokens as credentials.
