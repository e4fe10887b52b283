//! Answers of models, in the shape that the client's route has: the way that all of them share.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use infer_core::{Completion, ExecuteBatch, InferenceError, RunHandle};
use infer_store::cache::CacheOutcome;
use tokio::time::Instant;

use crate::ask::{Wishes, wishes};
use crate::caller::caller;
use crate::denial::{Failure, Shape};
use crate::drain::stopping;
use crate::events::{Events, Format, Terms};
use crate::observe::Ending;
use crate::state::State;
use crate::watch::Watch;
use crate::{intake, reply};

/// What a request of some shape asks.
pub(crate) struct Asked<H> {
    pub(crate) batch: ExecuteBatch,
    /// What only the shape knows, for the way back.
    pub(crate) how: H,
}

/// A shape of requests and answers.
pub(crate) trait Dialect: Send + Sync + 'static {
    /// Its name in logs and metrics.
    const ENDPOINT: &'static str;
    /// The shape of its errors.
    const SHAPE: Shape;
    /// What only the shape knows, for the way back.
    type How: Send + Sync + 'static;
    /// How it writes a stream.
    type Stream: Format;

    /// Reads a request.
    ///
    /// # Errors
    /// What is wrong with it, by the member's name.
    fn read(&self, body: &Bytes) -> Result<Asked<Self::How>, InferenceError>;

    /// Writes a whole answer.
    fn whole(completion: &Completion, how: &Self::How) -> Bytes;

    /// Writes a stream.
    fn stream(how: Self::How) -> Self::Stream;
}

/// Takes a request from its head to its answer.
pub(crate) async fn generate<D: Dialect>(
    state: &State,
    dialect: &D,
    request: Request<Body>,
    mut watch: Watch,
) -> Response<Body> {
    let answered = tokio::select! {
        answered = answer(state, dialect, request, &mut watch) => answered,
        () = state.drain.over() => Err(stopping().into()),
    };
    let id = watch.id().clone();
    let mut response = match answered {
        Ok(Answer::Whole(response)) => {
            watch.end(200, Ending::Answered);
            response
        }
        Ok(Answer::Stream(begin)) => begin(watch),
        Err(failure) => refuse(&mut watch, &failure, D::SHAPE),
    };
    reply::name(response.headers_mut(), &id);
    response
}

/// Answers with a failure.
pub(crate) fn refuse(watch: &mut Watch, failure: &Failure, shape: Shape) -> Response<Body> {
    let mut response = failure.respond(shape);
    if let Failure::Call(error) = failure {
        tracing::info!(request_id = %watch.id(), %error, "call failed");
        if let Some(at) = error.origin() {
            reply::failed(response.headers_mut(), &at.tried);
            watch.failed_at(at);
        }
    }
    watch.end(failure.status().as_u16(), Ending::Failed(failure.code()));
    response
}

enum Answer {
    Whole(Response<Body>),
    Stream(Box<dyn FnOnce(Watch) -> Response<Body> + Send>),
}

async fn answer<D: Dialect>(
    state: &State,
    dialect: &D,
    request: Request<Body>,
    watch: &mut Watch,
) -> Result<Answer, Failure> {
    let config = state.config();
    let (head, body) = request.into_parts();
    let caller = caller(state, &head.headers)?;
    watch.seen().key = caller.name().cloned();
    let wishes = wishes(&head.headers, watch.id().clone(), &caller, &config)?;
    let body = intake::read(&head.headers, body, config.max_body_bytes, config.body_timeout).await?;
    let Asked { mut batch, how } = dialect.read(&body)?;
    watch.seen().model = Some(batch.model.clone());
    watch.seen().streamed = batch.is_streaming();
    caller.may_use(&batch.model)?;

    let deadline = Instant::now() + wishes.deadline;
    let tokens = body.len() as u64 / 4 + u64::from(batch.max_output_tokens.unwrap_or(0));
    let waiting = Instant::now();
    let admitted = state.admission().admit(caller.key.as_deref(), tokens, wishes.priority, deadline).await?;
    watch.admitted(admitted, waiting.elapsed());
    let cache = ask(&mut batch, wishes, deadline);

    let streaming = batch.is_streaming();
    watch.asked();
    let inference = state.inference.clone();
    let mut call = Box::pin(async move { inference.execute_with(batch, &cache).await });
    if !streaming {
        let (run, cached) = call.await?;
        return whole::<D>(run, cached, &how, watch).await;
    }
    let terms = Terms { keep_alive: config.keep_alive, over: state.drain.over() };
    match tokio::time::timeout(config.early_head, &mut call).await {
        Ok(run) => {
            let (run, cached) = run?;
            Ok(begin::<D>(run, cached, how, terms, watch))
        }
        Err(_) => {
            let pending = Box::pin(async move {
                let (run, cached) = call.await?;
                let meta = run.meta().clone();
                let note = move |watch: &mut Watch| {
                    watch.answered_by(&meta);
                    watch.cached(cached);
                };
                Ok((run.into_stream(), Box::new(note) as Box<dyn FnOnce(&mut Watch) + Send>))
            });
            Ok(Answer::Stream(Box::new(move |watch| {
                let events = Events::waiting(pending, D::stream(how), watch, terms);
                reply::events(Body::new(events))
            })))
        }
    }
}

/// Puts what the headers ask into the call.
fn ask(batch: &mut ExecuteBatch, wishes: Wishes, deadline: Instant) -> infer_store::cache::CacheControl {
    batch.request_id = wishes.id;
    batch.routing = wishes.routing;
    batch.priority = wishes.priority;
    batch.deadline = Some(deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)));
    wishes.cache
}

async fn whole<D: Dialect>(
    run: RunHandle,
    cached: Option<CacheOutcome>,
    how: &D::How,
    watch: &mut Watch,
) -> Result<Answer, Failure> {
    let meta = run.meta().clone();
    let completion = run.collect().await?;
    watch.answered_by(&meta);
    watch.cached(cached);
    let seen = watch.seen();
    seen.served_model.clone_from(&completion.served.model);
    watch.used(completion.usage, completion.cost);
    let mut response = reply::json(D::whole(&completion, how));
    let headers = response.headers_mut();
    reply::served_by(headers, &meta.provider);
    reply::failed(headers, &meta.tried);
    reply::cost(headers, completion.cost);
    reply::cache(headers, cached);
    Ok(Answer::Whole(response))
}

fn begin<D: Dialect>(
    run: RunHandle,
    cached: Option<CacheOutcome>,
    how: D::How,
    terms: Terms,
    watch: &mut Watch,
) -> Answer {
    let meta = run.meta().clone();
    watch.answered_by(&meta);
    watch.cached(cached);
    let stream = run.into_stream();
    Answer::Stream(Box::new(move |watch| {
        let events = Events::running(stream, D::stream(how), watch, terms);
        let mut response = reply::events(Body::new(events));
        let headers = response.headers_mut();
        reply::served_by(headers, &meta.provider);
        reply::failed(headers, &meta.tried);
        reply::cache(headers, cached);
        response
    }))
}
