//! One call, from the request to the commit point.
//!
//! ```text
//! encode once ─► attempt:
//!     session.load_full()         as late as possible: a call that waited uses the rotated key
//!     endpoint, authorize, send   connect and head timeouts
//!     status ─► body ─► classify ─► refine          on failure
//!     stream: frame ─► decode ─► first content      held back until then: the commit point
//!     unary:  read ─► decode
//! ```
//!
//! This is the shell that owns the clock. Breaker, limiter and retry stand around [`Pipeline::attempt`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use infer_core::{
    Codec, Completion, EmbedBatch, Embeddings, ExecuteBatch, InferenceError, ReasoningEffort, RequestId,
    RunHandle, RunMeta, TimeoutPhase,
};
use tokio::time::{Instant, timeout_at};
use tracing::debug;
use url::Url;

use crate::body;
use crate::config::RemoteConfig;
use crate::context::Attempt;
use crate::headers;
use crate::provider::{Call, RemoteProvider};
use crate::session::SessionHandle;
use crate::stream::MeteredStream;
use crate::transport::{Transport, TransportBody};

/// Everything a call needs, shared by all calls of a runner.
#[derive(Debug)]
pub(crate) struct Pipeline<P> {
    pub(crate) provider: Arc<P>,
    pub(crate) session: SessionHandle,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) config: RemoteConfig,
    /// The last address asked for, as HTTP writes it.
    pub(crate) address: Mutex<Option<(Url, Uri)>>,
}

/// What the head of a response told.
struct Opened<P> {
    attempt: Attempt<P>,
    response: Response<TransportBody>,
    meta: RunMeta,
}

impl<P: RemoteProvider> Pipeline<P> {
    /// Runs a request for an answer to its commit point.
    pub(crate) async fn generate(&self, batch: ExecuteBatch) -> Result<RunHandle, InferenceError> {
        let call = Call::Generate(&batch);
        let body = self.provider.codec().encode(&batch);
        let body = body.map_err(|error| self.before_sending(error, call, &batch.request_id))?;
        let streaming = batch.is_streaming();
        let timeouts = &self.config.timeouts;
        let head = if streaming { timeouts.head_streamed } else { timeouts.head_unary };
        let opened = self.attempt(call, &batch.request_id, batch.deadline, head, body).await?;
        let Opened { attempt, response, mut meta } = opened;

        if !is_event_stream(&response, streaming) {
            let bytes = body::read_whole(&attempt, response.into_body(), &self.config).await?;
            let decoded = self.provider.codec().decode_full(&bytes);
            let mut whole = decoded.map_err(|fault| attempt.fault(fault, 0, false))?;
            whole.cost = self.cost(&whole, &attempt.model);
            meta.time_to_first_chunk = Some(attempt.started.elapsed());
            return Ok(RunHandle::collected(meta, whole));
        }

        let started = attempt.started;
        let thinks_long = match &batch.reasoning_effort {
            Some(effort) => !matches!(effort, ReasoningEffort::None | ReasoningEffort::Minimal),
            None => self.provider.is_reasoning_model(&batch.model),
        };
        let first = if thinks_long { timeouts.first_content_reasoning } else { timeouts.first_content };
        let body = response.into_body();
        let mut stream = MeteredStream::new(attempt, body, &self.config.limits, timeouts, first);
        stream.commit().await?;
        meta.time_to_first_chunk = Some(started.elapsed());
        let run = RunHandle::streaming(meta, stream);
        if streaming {
            return Ok(run);
        }
        // Asked for one piece, answered in many: some upstreams always stream.
        let meta = run.meta().clone();
        Ok(RunHandle::collected(meta, run.collect().await?))
    }

    /// Runs a request for vectors.
    pub(crate) async fn embed(&self, batch: EmbedBatch) -> Result<Embeddings, InferenceError> {
        let call = Call::Embed(&batch);
        let body = self.provider.codec().encode_embed(&batch);
        let body = body.map_err(|error| self.before_sending(error, call, &batch.request_id))?;
        let head = self.config.timeouts.head_unary;
        let opened = self.attempt(call, &batch.request_id, batch.deadline, head, body).await?;
        let Opened { attempt, response, .. } = opened;
        let bytes = body::read_whole(&attempt, response.into_body(), &self.config).await?;
        let decoded = self.provider.codec().decode_embed(&bytes);
        let mut embeddings = decoded.map_err(|fault| attempt.fault(fault, 0, false))?;
        let model = embeddings.model.as_deref().unwrap_or(&attempt.model);
        let price = self.provider.price(model);
        embeddings.cost = embeddings.usage.zip(price).map(|(usage, price)| price.cost(&usage, None));
        Ok(embeddings)
    }

    /// Sends one request and reads the head; anything but success is classified.
    async fn attempt(
        &self,
        call: Call<'_>,
        request_id: &RequestId,
        deadline: Option<Duration>,
        head_limit: Duration,
        body: Bytes,
    ) -> Result<Opened<P>, InferenceError> {
        let started = Instant::now();
        let url = self.provider.endpoint(call).map_err(|e| self.before_sending(e, call, request_id))?;
        let limit = deadline.into_iter().chain(self.config.timeouts.total).min();
        let mut attempt = Attempt {
            provider: Arc::clone(&self.provider),
            session: self.session.load_full(),
            url,
            model: call.model().to_owned(),
            request_id: request_id.clone(),
            upstream_request_id: None,
            started,
            deadline: limit.and_then(|limit| Some((started.checked_add(limit)?, limit))),
        };
        let request = self.request(&attempt, call, body).map_err(|error| attempt.complete(error))?;

        let head_due = started + head_limit;
        let due = attempt.deadline.map_or(head_due, |(deadline, _)| deadline.min(head_due));
        debug!(provider = %self.provider.info().name, model = %attempt.model, request_id = %request_id, "sending");
        let response = match timeout_at(due, self.transport.send(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(attempt.transport(error, self.config.timeouts.connect)),
            Err(_) => {
                return Err(match attempt.deadline {
                    Some((deadline, limit)) if deadline <= head_due => attempt.deadline_exceeded(limit, 0),
                    _ => attempt.timeout(TimeoutPhase::Head, head_limit, 0),
                });
            }
        };

        attempt.upstream_request_id = headers::request_id(response.headers()).map(ToOwned::to_owned);
        debug!(request_id = %request_id, status = response.status().as_u16(), "response head");
        if response.status() != StatusCode::OK {
            return Err(self.refused(&attempt, response).await);
        }
        let mut meta = RunMeta::new(Arc::clone(&self.provider.info().name), request_id.clone());
        meta.upstream_request_id.clone_from(&attempt.upstream_request_id);
        meta.time_to_head = Some(started.elapsed());
        meta.rate_limits = headers::rate_limits(response.headers()).map(Box::new);
        Ok(Opened { attempt, response, meta })
    }

    fn request(
        &self,
        attempt: &Attempt<P>,
        call: Call<'_>,
        body: Bytes,
    ) -> Result<Request<Bytes>, InferenceError> {
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
        let streaming = matches!(call, Call::Generate(batch) if batch.is_streaming());
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri(&attempt.url)?;
        let headers = request.headers_mut();
        headers.reserve(8);
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(ACCEPT, if streaming { EVENTS } else { JSON });
        self.provider.authorize(&attempt.session, &mut request)?;
        Ok(request)
    }

    fn uri(&self, url: &Url) -> Result<Uri, InferenceError> {
        let mut last = self.address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, uri)) = last.as_ref().filter(|(known, _)| known == url) {
            return Ok(uri.clone());
        }
        let uri: Uri = url.as_str().parse().map_err(|_| {
            let origin = url.origin().ascii_serialization();
            InferenceError::config(format!("endpoint: {origin} with its path is no URL that HTTP can carry"))
        })?;
        *last = Some((url.clone(), uri.clone()));
        Ok(uri)
    }

    /// Reads what an unsuccessful response says.
    #[expect(
        clippy::disallowed_methods,
        reason = "this shell owns the clock; a date in a header is a wall-clock time"
    )]
    async fn refused(&self, attempt: &Attempt<P>, response: Response<TransportBody>) -> InferenceError {
        let (head, body) = response.into_parts();
        let hint = headers::retry_after(&head.headers, std::time::SystemTime::now());
        let bytes = body::read_error(attempt, body, &self.config).await;
        let said = self.provider.codec().error_body(&bytes);
        attempt.reported(head.status, &head.headers, said, hint, 0)
    }

    fn cost(&self, whole: &Completion, asked: &str) -> Option<infer_core::CostEstimate> {
        let model = whole.served.model.as_deref().unwrap_or(asked);
        let price = self.provider.price(model)?;
        Some(price.cost(whole.usage.as_ref()?, whole.served.service_tier.as_deref()))
    }

    /// Says whose call failed before anything was sent.
    fn before_sending(
        &self,
        mut error: InferenceError,
        call: Call<'_>,
        request_id: &RequestId,
    ) -> InferenceError {
        if let Some(at) = error.origin_mut() {
            at.provider = Some(Arc::clone(&self.provider.info().name));
            at.model = Some(call.model().to_owned());
            at.request_id = Some(request_id.clone());
        }
        error
    }
}

/// Whether the body is a stream of events. What says nothing about itself is taken for what was asked.
fn is_event_stream(response: &Response<TransportBody>, streaming: bool) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("text/event-stream") {
        return true;
    }
    if !streaming {
        return false;
    }
    let is_json = kind
        .len()
        .checked_sub(4)
        .and_then(|at| kind.get(at..))
        .is_some_and(|end| end.eq_ignore_ascii_case("json"));
    !is_json && !kind.eq_ignore_ascii_case("text/html")
}
