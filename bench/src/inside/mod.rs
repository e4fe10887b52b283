//! What a call costs inside this process, without a server.

pub(crate) mod decision;
pub(crate) mod pipeline;
pub(crate) mod queue;
