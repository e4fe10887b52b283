//! One call, from the request to the commit point.
//!
//! ```text
//! encode once ─► loop {
//!     breaker.peek                fail fast, take nothing
//!     limits.acquire              requests, tokens and calls at once, all or none
//!     breaker.admit               binding; a probe never waits in the queue
//!     session.load_full()         as late as possible: a call that waited uses the rotated key
//!     authorize, send             connect and head timeouts
//!     status ─► body ─► classify ─► refine          on failure
//!     stream: frame ─► decode ─► first content      held back until then: the commit point
//!     unary:  read ─► decode
//!     failed ─► settle, teach the limits, decide: wait and go on, refresh the key and go on, or give up
//! }
//! ```
//!
//! This is the shell that owns the clock. Everything that decides is a pure machine elsewhere.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use infer_core::{
    Codec, Completion, ExecuteBatch, InferenceError, Priority, ReasoningEffort, RequestId, RunHandle,
    RunMeta, TimeoutPhase,
};
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument as _, debug};

use crate::body;
use crate::config::RemoteConfig;
use crate::context::Attempt;
use crate::headers;
use crate::meter::{Account, CallTimer, Subject, call_span};
use crate::provider::{Call, Operation, RemoteProvider};
use crate::retry::RetryState;
use crate::run::{Gates, Run};
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
    pub(crate) gates: Arc<Gates>,
}

/// What does not change over the attempts of one call.
pub(crate) struct Plan<'a> {
    pub(crate) call: Call<'a>,
    pub(crate) request_id: &'a RequestId,
    pub(crate) body: Bytes,
    /// Tokens to reserve.
    pub(crate) tokens: u64,
    pub(crate) priority: Priority,
    /// How long to wait for a head.
    pub(crate) head_limit: Duration,
    pub(crate) started: Instant,
    pub(crate) deadline: Option<(Instant, Duration)>,
}

/// A response whose head told success.
pub(crate) struct Opened<P> {
    pub(crate) attempt: Attempt<P>,
    pub(crate) response: Response<TransportBody>,
    pub(crate) meta: RunMeta,
}

impl<P: RemoteProvider> Pipeline<P> {
    /// Runs a request for an answer to its commit point.
    pub(crate) async fn generate(&self, batch: Box<ExecuteBatch>) -> Result<RunHandle, InferenceError> {
        let call = Call::Generate(&batch);
        let body = self.provider.codec().encode(&batch);
        let body = body.map_err(|error| self.before_sending(error, call, &batch.request_id))?;
        let timeouts = &self.config.timeouts;
        let head_limit = if batch.is_streaming() { timeouts.head_streamed } else { timeouts.head_unary };
        let output = u64::from(batch.max_output_tokens.unwrap_or(0)) * u64::from(batch.choices());
        let plan = self.plan(call, &batch.request_id, body, head_limit, batch.deadline);
        let plan = Plan { tokens: plan.tokens.saturating_add(output), priority: batch.priority, ..plan };
        let (mut run, span) = self.begin(&plan);
        let work = async {
            let mut retry = self.retries(&plan);
            loop {
                match self.answer(&plan, &batch, &mut run, &mut retry).await {
                    Ok(answer) => break Ok::<_, InferenceError>(answer),
                    Err(error) => self.after(&plan, &mut run, &mut retry, error).await?,
                }
            }
        };
        let answer = work.instrument(span).await?;
        match answer {
            Answer::Whole(meta, whole) => Ok(RunHandle::collected(meta, whole)),
            Answer::Stream(meta, mut stream) => {
                stream.carry(run);
                let handle = RunHandle::streaming(meta, *stream);
                if batch.is_streaming() {
                    return Ok(handle);
                }
                // Asked for one piece, answered in many: some upstreams always stream.
                let (meta, whole) = Box::pin(handle.into_whole()).await?;
                Ok(RunHandle::collected(meta, whole))
            }
        }
    }

    /// One attempt at an answer.
    async fn answer(
        &self,
        plan: &Plan<'_>,
        batch: &ExecuteBatch,
        run: &mut Run<P>,
        retry: &mut RetryState<'_>,
    ) -> Result<Answer<P>, InferenceError> {
        let streaming = batch.is_streaming();
        let Opened { attempt, response, mut meta } = self.attempt(plan, run, retry).await?;
        if !is_event_stream(&response, streaming) {
            let mut whole = self.read(&attempt, response, run, P::Codec::decode_full).await?;
            let finish = whole.finish().cloned();
            let settled = self.completed(run, retry, whole.usage, std::mem::take(&mut whole.served), finish);
            (whole.served, whole.cost) = (settled.served, settled.cost);
            meta.time_to_first_chunk = Some(settled.now - plan.started);
            return Ok(Answer::Whole(meta, whole));
        }
        let timeouts = &self.config.timeouts;
        let thinks_long = match &batch.reasoning_effort {
            Some(effort) => !matches!(effort, ReasoningEffort::None | ReasoningEffort::Minimal),
            None => self.provider.is_reasoning_model(&batch.model),
        };
        let first = if thinks_long { timeouts.first_content_reasoning } else { timeouts.first_content };
        let body = response.into_body();
        let mut stream = Box::new(MeteredStream::new(attempt, body, &self.config.limits, timeouts, first));
        stream.commit(run).await?;
        self.gates.with_budget(|budget| budget.deposit(retry.paid()));
        meta.time_to_first_chunk = Some(plan.started.elapsed());
        Ok(Answer::Stream(meta, stream))
    }

    pub(crate) fn retries(&self, plan: &Plan<'_>) -> RetryState<'_> {
        RetryState::new(&self.config.retry, plan.started, plan.deadline.map(|(due, _)| due))
    }

    pub(crate) fn plan<'a>(
        &self,
        call: Call<'a>,
        request_id: &'a RequestId,
        body: Bytes,
        head_limit: Duration,
        deadline: Option<Duration>,
    ) -> Plan<'a> {
        let started = Instant::now();
        let limit = deadline.into_iter().chain(self.config.timeouts.total).min();
        let deadline = limit.and_then(|limit| Some((started.checked_add(limit)?, limit)));
        let tokens = (body.len() as u64).div_ceil(4);
        Plan { call, request_id, body, tokens, priority: Priority::Normal, head_limit, started, deadline }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this shell owns the clock; a record says when a call began"
    )]
    pub(crate) fn begin(&self, plan: &Plan<'_>) -> (Box<Run<P>>, tracing::Span) {
        let info = self.provider.site().info();
        let mut subject = Subject::new(
            info.provider,
            Arc::clone(&info.name),
            plan.call.operation(),
            plan.call.model(),
            plan.request_id.clone(),
        );
        subject.prompt_bytes = plan.body.len() as u64;
        if let Call::Relay(request) = plan.call {
            subject.is_billed = request.method.is_billed();
            subject.prompt_bytes = request.input_tokens().saturating_mul(4);
        }
        subject.account = match plan.call {
            Call::Generate(batch) => Account::of(&batch.routing, batch.user.as_deref()),
            Call::Embed(batch) => Account::of(&batch.routing, batch.user.as_deref()),
            Call::Relay(request) => Account::of(&request.routing, request.user.as_deref()),
            Call::Models | Call::Health => Account::default(),
        };
        let span = call_span(&subject);
        let timer = CallTimer::begin(subject, std::time::SystemTime::now(), plan.started);
        (Box::new(Run::new(Arc::clone(&self.provider), Arc::clone(&self.gates), timer, span.clone())), span)
    }

    /// Waits for leave, sends one request and reads the head; anything but success is classified.
    pub(crate) async fn attempt(
        &self,
        plan: &Plan<'_>,
        run: &mut Run<P>,
        retry: &mut RetryState<'_>,
    ) -> Result<Opened<P>, InferenceError> {
        let admission = self.admit(plan, run).await?;
        let mut attempt = self.begin_attempt(plan, run, retry.begin())?;
        let request =
            self.request(&attempt, plan.call, plan.body.clone()).map_err(|error| attempt.complete(error))?;

        let now = Instant::now();
        run.begin_attempt(admission, attempt.session.generation(), now);
        run.note(|timer| timer.sent(plan.body.len()));
        let head_due = now + plan.head_limit;
        let due = plan.deadline.map_or(head_due, |(deadline, _)| deadline.min(head_due));
        debug!(provider = %self.provider.site().info().name, model = %attempt.subject.model, request_id = %plan.request_id, attempt = attempt.number, "sending");
        let response = match timeout_at(due, self.send(plan, run, retry, &mut attempt, request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(attempt.transport(error, self.config.timeouts.connect)),
            Err(_) => {
                run.note(crate::meter::AttemptTimer::assume_read);
                return Err(match plan.deadline {
                    Some((deadline, limit)) if deadline <= head_due => attempt.deadline_exceeded(limit, 0),
                    _ => attempt.timeout(TimeoutPhase::Head, plan.head_limit, 0),
                });
            }
        };

        let headed = Instant::now();
        let status = response.status();
        attempt.name(headers::request_id(response.headers()));
        let rate_limits = headers::rate_limits(response.headers());
        run.note(|timer| {
            timer.head(headed, status.as_u16());
            timer.named(attempt.upstream_request_id.clone());
        });
        if let (Some(told), Some(limits)) = (&rate_limits, run.limits()) {
            limits.learn(told);
        }
        debug!(request_id = %plan.request_id, status = status.as_u16(), "response head");
        let is_relayed = plan.call.operation() == Operation::Relay && status.is_success();
        if status != StatusCode::OK && !is_relayed {
            // Rare, and large.
            return Err(Box::pin(self.refused(&attempt, response)).await);
        }
        let mut meta = RunMeta::new(Arc::clone(&self.provider.site().info().name), plan.request_id.clone());
        meta.upstream_request_id.clone_from(&attempt.upstream_request_id);
        meta.attempts = attempt.number;
        meta.time_to_head = Some(headed - plan.started);
        meta.rate_limits = rate_limits.map(Box::new);
        Ok(Opened { attempt, response, meta })
    }

    /// What all errors of the next attempt will have in common; takes the credential as it is now.
    pub(crate) fn begin_attempt(
        &self,
        plan: &Plan<'_>,
        run: &Run<P>,
        number: u32,
    ) -> Result<Attempt<P>, InferenceError> {
        let call = plan.call;
        let uri = self.provider.endpoint(call).map_err(|e| self.before_sending(e, call, plan.request_id))?;
        Ok(Attempt {
            provider: Arc::clone(&self.provider),
            session: self.session.load_full(),
            uri,
            subject: Arc::clone(run.subject()),
            upstream_request_id: None,
            started: plan.started,
            deadline: plan.deadline,
            number,
        })
    }

    pub(crate) fn request(
        &self,
        attempt: &Attempt<P>,
        call: Call<'_>,
        body: Bytes,
    ) -> Result<Request<Bytes>, InferenceError> {
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
        let streaming = matches!(call, Call::Generate(batch) if batch.is_streaming());
        let asks = matches!(call, Call::Models | Call::Health);
        let mut request = Request::new(body);
        request.uri_mut().clone_from(&attempt.uri);
        request.headers_mut().reserve(6);
        if let Call::Relay(relayed) = call {
            crate::relay::write_head(relayed, &mut request)?;
        } else {
            *request.method_mut() = if asks { Method::GET } else { Method::POST };
            if !asks {
                request.headers_mut().insert(CONTENT_TYPE, JSON);
            }
            request.headers_mut().insert(ACCEPT, if streaming { EVENTS } else { JSON });
        }
        let headers = request.headers_mut();
        if let Some(context) = self.gates.sink.trace_context() {
            context.write(headers);
        }
        headers.extend(attempt.session.headers().iter().map(|(name, value)| (name.clone(), value.clone())));
        self.provider.authorize(&attempt.session, &mut request)?;
        Ok(request)
    }

    /// Reads what an unsuccessful response says.
    #[expect(
        clippy::disallowed_methods,
        reason = "this shell owns the clock; a date in a header is a wall-clock time"
    )]
    async fn refused(&self, attempt: &Attempt<P>, response: Response<TransportBody>) -> InferenceError {
        let (head, body) = response.into_parts();
        let hint = headers::retry_after(&head.headers, std::time::SystemTime::now()).or_else(|| {
            let limits = headers::rate_limits(&head.headers).filter(|_| head.status.as_u16() == 429)?;
            headers::reset_of_what_is_used_up(&limits)
        });
        let bytes = body::read_error(attempt, body, &self.config).await;
        let said = self.provider.codec().error_body(&bytes);
        attempt.reported(head.status, &head.headers, said, hint, 0)
    }

    /// Says whose call failed before anything was sent.
    pub(crate) fn before_sending(
        &self,
        mut error: InferenceError,
        call: Call<'_>,
        request_id: &RequestId,
    ) -> InferenceError {
        if let Some(at) = error.origin_mut() {
            at.provider = Some(Arc::clone(&self.provider.site().info().name));
            at.model = Some(call.model().to_owned());
            at.request_id = Some(request_id.clone());
        }
        error
    }
}

#[expect(clippy::large_enum_variant, reason = "made and moved once a call")]
enum Answer<P: RemoteProvider> {
    Whole(RunMeta, Completion),
    Stream(RunMeta, Box<MeteredStream<P>>),
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
