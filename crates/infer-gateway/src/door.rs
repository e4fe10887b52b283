//! The way in and the way out, the same for every route that asks an upstream: who asks, what the headers wish, the body, the
//! turn; and at the end an answer or a refusal under the name of the request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use infer_core::{Priority, RequestId, Routing};
use infer_store::cache::CacheControl;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::ask::{Wishes, wishes};
use crate::caller::{Caller, caller};
use crate::config::GatewayConfig;
use crate::denial::{Failure, Shape};
use crate::drain::stopping;
use crate::observe::Ending;
use crate::state::State;
use crate::watch::Watch;
use crate::{intake, reply};

/// A request that has arrived whole.
pub(crate) struct Arrived {
    pub(crate) head: Parts,
    pub(crate) body: Bytes,
    /// The settings that hold for it to its end.
    pub(crate) config: Arc<GatewayConfig>,
    caller: Caller,
    wishes: Wishes,
}

/// What a request wants, as its route reads it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// None where it names none; a key that may not use everything is refused then.
    pub(crate) model: Option<&'a str>,
    pub(crate) is_streaming: bool,
    /// The tokens it is expected to use.
    pub(crate) tokens: u64,
}

/// What goes with a call whose turn it is.
#[derive(Debug)]
pub(crate) struct Leave {
    pub(crate) id: RequestId,
    pub(crate) routing: Routing,
    pub(crate) priority: Priority,
    pub(crate) cache: CacheControl,
    /// The time that is left for it, above zero.
    pub(crate) time: Duration,
}

impl Arrived {
    /// Reads whose request it is, what its headers wish, and then its body.
    ///
    /// # Errors
    /// 401 for the key, 400 for a header, and whatever is wrong with the body.
    pub(crate) async fn read(
        state: &State,
        request: Request<Body>,
        watch: &mut Watch,
    ) -> Result<Self, Failure> {
        let config = state.config();
        let (head, body) = request.into_parts();
        let caller = caller(state, &head.headers)?;
        watch.seen().key = caller.name().cloned();
        let wishes = wishes(&head.headers, watch.id().clone(), &caller, &config)?;
        let body = intake::read(&head.headers, body, config.max_body_bytes, config.body_timeout).await?;
        Ok(Self { head, body, config, caller, wishes })
    }

    /// Waits for the turn of the call, which `watch` holds to its end.
    ///
    /// # Errors
    /// 403 for a model that the key may not use; 429, 503 or 504 when the turn does not come.
    pub(crate) fn admit<'a>(
        self,
        state: &'a State,
        wanted: Wanted<'a>,
        watch: &'a mut Watch,
    ) -> impl Future<Output = Result<Leave, Failure>> + Send + 'a {
        let Self { caller, wishes, .. } = self;
        // Head and body need not wait with it.
        turn(state, wanted, (caller, wishes), watch)
    }
}

async fn turn(
    state: &State,
    wanted: Wanted<'_>,
    (caller, wishes): (Caller, Wishes),
    watch: &mut Watch,
) -> Result<Leave, Failure> {
    watch.seen().model = wanted.model.map(str::to_owned);
    watch.seen().streamed = wanted.is_streaming;
    caller.may_use(wanted.model.unwrap_or_default())?;

    let waiting = Instant::now();
    let deadline = waiting + wishes.deadline;
    let Wishes { id, routing, priority, cache, .. } = wishes;
    let admitted = state.admission().admit(caller.key.as_deref(), wanted.tokens, priority, deadline).await?;
    watch.admitted(admitted, waiting.elapsed());
    watch.asked();
    let time = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    Ok(Leave { id, routing, priority, cache, time })
}

/// Runs what answers a request, in the request's span, until the gateway's own time is up: dropped then, it takes the call of
/// the upstream with it.
///
/// # Errors
/// Its own; 503 `draining`.
pub(crate) async fn in_time<T>(
    state: &State,
    span: tracing::Span,
    answer: Pin<Box<impl Future<Output = Result<T, Failure>>>>,
) -> Result<T, Failure> {
    let answer = async {
        tokio::select! {
            answered = answer => answered,
            () = state.drain.over() => Err(stopping().into()),
        }
    };
    answer.instrument(span).await
}

/// Writes an answer, or the refusal, under the name of the request.
pub(crate) fn close<T>(
    answered: Result<T, Failure>,
    mut watch: Box<Watch>,
    shape: Shape,
    write: impl FnOnce(T, Box<Watch>) -> Response<Body>,
) -> Response<Body> {
    let id = watch.id().clone();
    let mut response = match answered {
        Ok(answer) => write(answer, watch),
        Err(failure) => refuse(&mut watch, &failure, shape),
    };
    reply::name(response.headers_mut(), &id);
    response
}

fn refuse(watch: &mut Watch, failure: &Failure, shape: Shape) -> Response<Body> {
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
