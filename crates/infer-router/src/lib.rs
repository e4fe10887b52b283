//! Routes over runners.
