//! The trait layer for remote language models: requests, pieces of answers, errors and money.
//!
//! Everything above a network speaks these types, and nothing here knows about networks. The model in one page:
//!
//! - A [`ModelRunner`] runs an [`ExecuteBatch`] and gives a [`RunHandle`]: a provider, a router over providers and a
//!   gateway's client are all runners.
//! - The answer comes as a stream of [`TokenChunk`]s or as one [`Completion`]; folding the first gives the second.
//! - **A stream has exactly one honest end**: `None` after a finish reason, or one [`InferenceError`]. An answer that
//!   was cut never looks whole.
//! - **The commit point** is the first piece of content. [`ModelRunner::execute`] resolves there; before it a call may
//!   be repeated, after it never.
//! - What no type here describes is passed on byte for byte, as a [`RelayRequest`] and its [`RelayAnswer`].
//! - What follows from an error is written in one table, [`ErrorKind::policy`].
//! - Money is counted in whole pico-dollars ([`Usd`]); a model without a known price is unpriced, never free.
//! - A [`Codec`] is a wire format seen from a client: pure functions from bytes to values.
//!
//! ```
//! use infer_core::{ExecuteBatch, InferenceError, ModelRunner};
//!
//! async fn ask(runner: &dyn ModelRunner) -> Result<String, InferenceError> {
//!     let run = runner.execute(ExecuteBatch::new("gpt-4o-mini", "Say hello")).await?;
//!     Ok(run.collect().await?.text().to_owned())
//! }
//! ```

mod batch;
mod cause;
mod chunk;
mod codec;
mod completion;
mod controls;
pub mod cost;
pub mod duration;
mod embed;
mod error;
mod factory;
mod filter;
mod handle;
mod json;
mod listing;
mod message;
mod origin;
mod policy;
mod prices;
pub mod raw;
mod relay;
mod request_id;
mod routing;
mod runner;
mod tool;
mod usage;
mod wire;

pub use batch::{ExecuteBatch, JsonSchema, Priority, ReasoningEffort, ResponseFormat, RunMode, Sampling};
pub use cause::{DecodeKind, TimeoutPhase, TransportKind};
pub use chunk::{Audio, FinishKind, FinishReason, Logprobs, Served, TokenChunk, TokenLogprob};
pub use codec::{Codec, ErrorBody, EventDecoder, Step, WireFault};
pub use completion::{Choice, Completion};
pub use controls::{BreakerPhase, BreakerReport, Controls, LastFailure, LimitReport};
pub use cost::{CostEstimate, Rates, Usd, from_rates};
pub use embed::{EmbedBatch, EmbedInput, Embeddings};
pub use error::{Cause, InferenceError};
pub use factory::RunnerFactory;
pub use filter::{FilterFinding, Filters};
pub use handle::{RateLimits, RunHandle, RunMeta, TokenStream};
pub use json::{Extra, RawJson};
pub use listing::{Health, ListedModel};
pub use message::{
    Content, FileSource, MediaSource, Message, Messages, Part, RawMessages, ReadMessages, Role,
};
pub use origin::Origin;
pub use policy::{BreakerEffect, ErrorClass, ErrorKind, Policy, Retryability};
pub use prices::{LongContext, Price, PriceError, PriceTable};
pub use relay::{RelayAnswer, RelayBody, RelayMethod, RelayRequest};
pub use request_id::RequestId;
pub use routing::{Failover, Routing, Tried};
pub use runner::{Capabilities, ModelRunner, RunnerInfo};
pub use tool::{FunctionTool, ToolCall, ToolCallDelta, ToolChoice, ToolKind, ToolSpec};
pub use usage::Usage;
pub use wire::{Wire, WireFormat};

#[cfg(doctest)] // the examples of the README
#[doc = include_str!("../README.md")]
struct Readme;
