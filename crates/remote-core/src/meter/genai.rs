//! Names of attributes by OpenTelemetry's conventions for generative AI.
//!
//! Their status is *development*: names may still change, as `gen_ai.system` became `gen_ai.provider.name`. They stand
//! here because no crate has them (the conventions' own repository, read 2026-11-21). Names under `infer.` are ours.

/// What is asked for: `chat`, `embeddings`.
pub const OPERATION_NAME: &str = "gen_ai.operation.name";
/// The kind of provider: `openai`.
pub const PROVIDER_NAME: &str = "gen_ai.provider.name";
/// The model asked for.
pub const REQUEST_MODEL: &str = "gen_ai.request.model";
/// The model that answered.
pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
/// The upstream's name for the answer.
pub const RESPONSE_ID: &str = "gen_ai.response.id";
/// Why the answer ended, as a list: `["stop"]`.
pub const RESPONSE_FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
/// Tokens read.
pub const USAGE_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Tokens written.
pub const USAGE_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// The kind of error, [`ErrorKind::name`](infer_core::ErrorKind::name).
pub const ERROR_TYPE: &str = "error.type";
/// The upstream's host.
pub const SERVER_ADDRESS: &str = "server.address";
/// The status of the response.
pub const HTTP_STATUS: &str = "http.response.status_code";

/// A histogram of tokens by `gen_ai.token.type`, for whoever exports metrics.
pub const METRIC_TOKEN_USAGE: &str = "gen_ai.client.token.usage";
/// A histogram of seconds, for whoever exports metrics.
pub const METRIC_OPERATION_DURATION: &str = "gen_ai.client.operation.duration";

/// The provider's name in this process.
pub const PROVIDER: &str = "infer.provider";
/// Our name for the call.
pub const REQUEST_ID: &str = "infer.request_id";
/// The upstream's name for the attempt.
pub const UPSTREAM_REQUEST_ID: &str = "infer.upstream_request_id";
/// [`Outcome::name`](super::Outcome::name).
pub const OUTCOME: &str = "infer.outcome";
/// Why a call was not tried again.
pub const STOP: &str = "infer.stop";
/// Attempts made.
pub const ATTEMPTS: &str = "infer.attempts";
/// Seconds in the queue.
pub const QUEUED: &str = "infer.queued_s";
/// Seconds to the head.
pub const HEAD: &str = "infer.head_s";
/// Seconds to the first content.
pub const FIRST_CONTENT: &str = "infer.first_content_s";
/// Seconds to the end.
pub const TOTAL: &str = "infer.total_s";
/// The longest silence between pieces of content, in seconds.
pub const MAX_GAP: &str = "infer.max_gap_s";
/// Bytes of request bodies.
pub const BYTES_OUT: &str = "infer.bytes_out";
/// Bytes of response bodies.
pub const BYTES_IN: &str = "infer.bytes_in";
/// Pieces decoded.
pub const CHUNKS: &str = "infer.chunks";
/// How the upstream processed the call.
pub const SERVICE_TIER: &str = "infer.service_tier";
/// The cost, in dollars.
pub const COST: &str = "infer.cost_usd";
/// Why there is no cost.
pub const UNPRICED: &str = "infer.unpriced";
/// Whether tokens were counted here.
pub const ESTIMATED: &str = "infer.estimated";
