//! What calls cost and how they went.
//!
//! The shell fills a [`CallTimer`] and one [`AttemptTimer`] for each request it sends; what comes out is a [`RunRecord`]
//! for each attempt and one for the call, handed to a [`MetricsSink`]. [`MetricsActor`] is the sink that adds up,
//! [`EventSink`] the one that writes to `tracing`, by the names in [`genai`].
//!
//! **What is counted once.** A cost stands on the record of the attempt that caused it, and the record of the call
//! carries the sum over its attempts. So whoever adds up spend adds up calls, or attempts, never both.
//!
//! Nothing here reads a clock, waits, or keeps text of a prompt or an answer.
//!
//! ```
//! use infer_core::{Price, Rates, RequestId, TokenChunk};
//! use remote_core::Operation;
//! use remote_core::meter::{CallTimer, MetricsActor, MetricsSink, Outcome, Subject};
//! # use std::time::{Duration, SystemTime};
//! # let now = tokio::time::Instant::now();
//! let mut subject = Subject::new("openai", "openai-eu", Operation::Generate, "gpt-4o", RequestId::generate());
//! subject.prompt_bytes = 400;
//! let mut call = CallTimer::begin(subject, SystemTime::UNIX_EPOCH, now);
//! let mut attempt = call.attempt(now);
//! attempt.head(now, 200);
//! attempt.chunk(now + Duration::from_secs(1), &TokenChunk::text(0, "Hello there"));
//!
//! // The caller leaves here, so what was used is estimated: 100 tokens read, 3 written.
//! let (sink, price) = (MetricsActor::default(), Price::flat(Rates::new(2.5, 10.0)));
//! sink.record(call.settle(attempt, now, Outcome::Cancelled, Some(&price)));
//! sink.record(&call.finish(now, Outcome::Cancelled));
//! assert_eq!(sink.snapshot().spend().to_string(), "$0.00028");
//! ```

mod actor;
mod call;
pub mod genai;
mod histogram;
mod record;
mod sink;
mod snapshot;
mod timer;
mod trace;
mod trace_context;

pub use actor::{MAX_MODELS, MetricsActor, OTHER};
pub use call::CallTimer;
pub use histogram::{BOUNDS, Histogram};
pub use record::{Account, Cost, Gaps, Outcome, RunRecord, Scope, Subject, Timing, Unpriced};
pub use sink::{EventSink, Fanout, MetricsSink, NullSink};
pub use snapshot::{MetricsSnapshot, Outcomes, SeriesSnapshot, Stats, Tokens};
pub use timer::AttemptTimer;
pub use trace::{call_span, complete_span, emit};
pub use trace_context::TraceContext;
