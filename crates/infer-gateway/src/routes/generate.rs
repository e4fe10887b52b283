//! Answers of models, in the shape that the client's route has: the way that all of them share.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use infer_core::{Completion, ExecuteBatch, InferenceError, RunHandle};
use infer_store::cache::CacheOutcome;
use tracing::Instrument as _;

use crate::denial::{Failure, Shape};
use crate::door::{Arrived, Wanted, close, in_time};
use crate::events::{Events, Format, Terms};
use crate::observe::Ending;
use crate::reply;
use crate::state::State;
use crate::watch::Watch;

/// What a request of some shape asks.
pub(crate) struct Asked<H> {
    pub(crate) batch: Box<ExecuteBatch>,
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
    mut watch: Box<Watch>,
) -> Response<Body> {
    let span = watch.span();
    let answered = in_time(state, span, Box::pin(answer(state, dialect, request, &mut watch))).await;
    close(answered, watch, D::SHAPE, |answer, mut watch| match answer {
        Answer::Whole(response) => {
            watch.end(200, Ending::Answered);
            response
        }
        Answer::Stream(begin) => begin(watch),
    })
}

enum Answer {
    Whole(Response<Body>),
    Stream(Box<dyn FnOnce(Box<Watch>) -> Response<Body> + Send>),
}

async fn answer<D: Dialect>(
    state: &State,
    dialect: &D,
    request: Request<Body>,
    watch: &mut Watch,
) -> Result<Answer, Failure> {
    let arrived = Arrived::read(state, request, watch).await?;
    let Asked { mut batch, how } = dialect.read(&arrived.body)?;
    let streaming = batch.is_streaming();
    let tokens = arrived.body.len() as u64 / 4 + u64::from(batch.max_output_tokens.unwrap_or(0));
    let config = Arc::clone(&arrived.config);
    let wanted = Wanted { model: Some(&batch.model), is_streaming: streaming, tokens };
    let leave = arrived.admit(state, wanted, watch).await?;
    batch.request_id = leave.id;
    batch.routing = leave.routing;
    batch.priority = leave.priority;
    batch.deadline = Some(leave.time);

    let (inference, cache) = (state.inference.clone(), leave.cache);
    // Also when it goes on within a stream, it is a part of this request.
    let mut call = Box::pin(async move { inference.execute_with(*batch, &cache).await }.in_current_span());
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

async fn whole<D: Dialect>(
    run: RunHandle,
    cached: Option<CacheOutcome>,
    how: &D::How,
    watch: &mut Watch,
) -> Result<Answer, Failure> {
    let (meta, completion) = run.into_whole().await?;
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
