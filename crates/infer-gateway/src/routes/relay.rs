//! Every other route that an upstream has, passed on byte for byte: `POST /v1/responses`, moderations, images, audio, files,
//! batches.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use infer_core::{InferenceError, ModelRunner as _, RelayAnswer, RelayBody, RelayMethod, RelayRequest};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::denial::{Denial, Failure, Shape, for_callers};
use crate::door::{Arrived, Wanted, close, in_time};
use crate::observe::Ending;
use crate::reply;
use crate::state::State;
use crate::watch::Watch;

/// Its name in logs and metrics.
pub(crate) const ENDPOINT: &str = "relay";

/// Names the model of a request whose body does not, such as a form.
const MODEL: &str = "x-infer-model";

/// Passes a request on, by what follows `/v1`.
pub(crate) async fn relay(state: &State, request: Request<Body>, mut watch: Box<Watch>) -> Response<Body> {
    let answered = in_time(state, watch.span(), Box::pin(answer(state, request, &mut watch))).await;
    close(answered, watch, Shape::OpenAi, |answer, watch| respond(answer, watch, state.drain.over()))
}

async fn answer(state: &State, request: Request<Body>, watch: &mut Watch) -> Result<RelayAnswer, Failure> {
    let arrived = Arrived::read(state, request, watch).await?;
    let mut relay = asked(&arrived.head, arrived.body.clone())?;
    let (is_streaming, tokens) = (relay.is_streaming(), relay.input_tokens());
    let wanted = Wanted { model: relay.model.as_deref(), is_streaming, tokens };
    let leave = arrived.admit(state, wanted, watch).await?;
    relay.request_id = leave.id;
    relay.routing = leave.routing;
    relay.priority = leave.priority;
    relay.deadline = Some(leave.time);
    let answer = state.inference.relay(relay).await?;
    watch.answered_by(&answer.meta);
    Ok(answer)
}

/// The request as it is to be passed on.
fn asked(head: &Parts, body: Bytes) -> Result<RelayRequest, Failure> {
    let method = match head.method {
        Method::GET => RelayMethod::Get,
        Method::POST => RelayMethod::Post,
        Method::DELETE => RelayMethod::Delete,
        ref other => {
            let message = format!("{other} is not passed on: there are GET, POST and DELETE");
            return Err(Denial::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).into());
        }
    };
    let (path, query) = asked_for(head);
    let mut relay = RelayRequest::new(method, path);
    if let Some(query) = query {
        relay = relay.with_query(query);
    }
    for (name, value) in &head.headers {
        if let Ok(value) = value.to_str() {
            relay = relay.with_header(name.as_str(), value);
        }
    }
    let kind = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    match kind {
        _ if body.is_empty() => {}
        Some(kind) if !kind.contains("json") => relay = relay.with_body(kind, body),
        _ => relay = relay.with_json(body),
    }
    if relay.model.is_none()
        && let Some(model) = head.headers.get(MODEL).and_then(|value| value.to_str().ok())
    {
        relay = relay.with_model(model);
    }
    Ok(relay)
}

/// What follows the base, without what only Azure's addresses have: whoever is asked adds its own.
fn asked_for(head: &Parts) -> (&str, Option<String>) {
    let (path, query) = (head.uri.path(), head.uri.query());
    match path.strip_prefix("/openai/v1") {
        None => (path.strip_prefix("/v1").unwrap_or_default(), query.map(str::to_owned)),
        Some(rest) => {
            let kept = query.unwrap_or_default().split('&').filter(|part| !part.starts_with("api-version="));
            let kept = kept.collect::<Vec<_>>().join("&");
            (rest, (!kept.is_empty()).then_some(kept))
        }
    }
}

fn respond(answer: RelayAnswer, watch: Box<Watch>, over: WaitForCancellationFutureOwned) -> Response<Body> {
    let RelayAnswer { meta, status, headers, body, .. } = answer;
    let is_events =
        headers.iter().any(|(name, value)| name == "content-type" && value.starts_with("text/event-stream"));
    let passed = Passed { body: Some(body), watch, is_events, status, over: Box::pin(over) };
    let mut response =
        if is_events { reply::events(Body::new(passed)) } else { Response::new(Body::new(passed)) };
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value))
            && name != ALLOW
        {
            response.headers_mut().insert(name, value);
        }
    }
    reply::served_by(response.headers_mut(), &meta.provider);
    reply::failed(response.headers_mut(), &meta.tried);
    response
}

/// A body on its way. One that breaks ends with an error event where it is a stream of events, and with the connection
/// elsewhere: a body that is cut must not look whole.
struct Passed {
    /// None once it has ended.
    body: Option<RelayBody>,
    watch: Box<Watch>,
    is_events: bool,
    status: u16,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Passed {
    fn broken(&mut self, error: InferenceError) -> Poll<Option<Result<Frame<Bytes>, InferenceError>>> {
        self.body = None;
        tracing::warn!(request_id = %self.watch.id(), %error, "answer broken");
        self.watch.end(self.status, Ending::Broken(error.kind().name()));
        if !self.is_events {
            return Poll::Ready(Some(Err(error)));
        }
        Poll::Ready(Some(Ok(Frame::data(error_event(&for_callers(error))))))
    }
}

/// As the Responses interface has it; its clients know it by its name.
fn error_event(error: &InferenceError) -> Bytes {
    let (_, body) = wire_chat::server::write_error(error);
    let text = String::from_utf8_lossy(&body);
    let inner = text.strip_prefix("{\"error\":").and_then(|rest| rest.strip_suffix('}')).unwrap_or("{}");
    format!("event: error\ndata: {{\"type\":\"error\",\"error\":{inner}}}\n\n").into()
}

impl http_body::Body for Passed {
    type Data = Bytes;
    type Error = InferenceError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, InferenceError>>> {
        use std::future::Future as _;

        let this = self.get_mut();
        let Some(body) = this.body.as_mut() else { return Poll::Ready(None) };
        match body.as_mut().poll_next(cx) {
            Poll::Pending => {
                if this.over.as_mut().poll(cx).is_ready() {
                    return this.broken(crate::events::interrupted("the gateway is stopping"));
                }
                Poll::Pending
            }
            Poll::Ready(Some(Ok(bytes))) => {
                this.watch.seen().chunks += 1;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Poll::Ready(Some(Err(error))) => this.broken(error),
            Poll::Ready(None) => {
                this.body = None;
                this.watch.end(this.status, Ending::Answered);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }
}
