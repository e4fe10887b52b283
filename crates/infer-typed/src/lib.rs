//! Typed answers and typed tools, over any runner.
#![doc = include_str!("../README.md")]

mod answer;
mod ask;
mod call_ids;
mod order;
mod schema;
mod strict;
mod tool_loop;
mod tool_run;
mod toolbox;

pub use ask::{Typed, TypedError, ask};
pub use order::in_order;
pub use schema::Schema;
pub use strict::{SchemaError, SchemaFault, strict};
pub use tool_loop::ToolLoop;
pub use tool_run::{CallOutcome, CallRecord, ToolLoopCause, ToolLoopError, ToolRun};
pub use toolbox::{Strictness, Toolbox, ToolboxError};
