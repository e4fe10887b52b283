//! Requests that are passed on byte for byte, around which everything stands that stands around modelled ones.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use infer_core::{InferenceError, RelayAnswer, RelayMethod, RelayRequest, RunMeta};
use tracing::Instrument as _;

use crate::pipeline::{Opened, Pipeline, Plan};
use crate::provider::{Call, RemoteProvider};
use crate::relay_read::RelayReader;
use crate::relay_stream::{BodyKind, RelayStream};
use crate::retry::RetryState;
use crate::run::Run;
use crate::session::SessionSnapshot;
use crate::sse::Framer;
use crate::transport::TransportBody;

/// The headers of an answer that are passed on: those of the body, and those that help to find the call again. None of the
/// connection, no cookie, nothing of limits that are not the caller's.
const ANSWER_HEADERS: [HeaderName; 13] = [
    HeaderName::from_static("accept-ranges"),
    HeaderName::from_static("content-disposition"),
    CONTENT_ENCODING,
    HeaderName::from_static("content-language"),
    CONTENT_LENGTH,
    HeaderName::from_static("content-range"),
    CONTENT_TYPE,
    HeaderName::from_static("etag"),
    HeaderName::from_static("last-modified"),
    HeaderName::from_static("openai-processing-ms"),
    HeaderName::from_static("openai-version"),
    HeaderName::from_static("request-id"),
    HeaderName::from_static("x-request-id"),
];

type Head = (RunMeta, u16, Vec<(String, String)>);

impl<P: RemoteProvider> Pipeline<P> {
    /// Passes a request on, up to its commit point.
    pub(crate) async fn relay(&self, mut request: RelayRequest) -> Result<RelayAnswer, InferenceError> {
        let refused = |error, request: &RelayRequest| {
            self.before_sending(error, Call::Relay(request), &request.request_id)
        };
        request.check().map_err(|error| refused(error, &request))?;
        if let Some(asked) = request.model.clone() {
            let known = self.provider.upstream_model(&asked);
            if known != asked {
                request = request.clone().for_model(known).map_err(|error| refused(error, &request))?;
                request.model = Some(asked);
            }
        }
        let request = &request;
        let timeouts = &self.config.timeouts;
        let head_limit = if request.is_streaming() { timeouts.head_streamed } else { timeouts.head_unary };
        let (call, body) = (Call::Relay(request), request.body.clone());
        let plan = self.plan(call, &request.request_id, body, head_limit, request.deadline);
        let plan = Plan { tokens: request.input_tokens(), priority: request.priority, ..plan };
        let (mut run, span) = self.begin(&plan);
        let work = async {
            let mut retry = self.retries(&plan);
            loop {
                match self.passed_on(&plan, request, &mut run, &mut retry).await {
                    Ok(answer) => break Ok::<_, InferenceError>(answer),
                    Err(error) => self.after(&plan, &mut run, &mut retry, error).await?,
                }
            }
        };
        let ((meta, status, headers), mut stream) = work.instrument(span).await?;
        stream.carry(run);
        Ok(RelayAnswer::new(meta, status, headers, *stream))
    }

    /// One attempt.
    async fn passed_on(
        &self,
        plan: &Plan<'_>,
        request: &RelayRequest,
        run: &mut Run<P>,
        retry: &mut RetryState<'_>,
    ) -> Result<(Head, Box<RelayStream<P>>), InferenceError> {
        let Opened { attempt, response, mut meta } = self.attempt(plan, run, retry).await?;
        let headers = answer_headers(response.headers(), &attempt.session);
        let status = response.status().as_u16();
        let kind = self.body_kind(request, &response);
        let length =
            response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let timeouts = &self.config.timeouts;
        let thinks = request.model.as_deref().is_some_and(|model| self.provider.is_reasoning_model(model));
        let first = match kind {
            // All of it is waited for, as for any answer in one piece.
            BodyKind::Json { .. } => timeouts.head_unary,
            _ if thinks => timeouts.first_content_reasoning,
            _ => timeouts.first_content,
        };
        let body = response.into_body();
        let mut stream = Box::new(RelayStream::new(attempt, body, kind, length, &self.config, first));
        stream.commit(run).await?;
        if run.subject().is_billed || retry.paid() > 0 {
            self.gates.with_budget(|budget| budget.deposit(retry.paid()));
        }
        meta.time_to_first_chunk = Some(plan.started.elapsed());
        Ok(((meta, status, headers), stream))
    }

    fn body_kind(&self, request: &RelayRequest, response: &Response<TransportBody>) -> BodyKind {
        let headers = response.headers();
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match &*kind {
            // Compressed although nobody asked for it, so there is nothing to read.
            _ if headers.contains_key(CONTENT_ENCODING) => BodyKind::Opaque,
            "text/event-stream" => {
                let framer = Framer::new(self.config.limits.max_event_bytes);
                BodyKind::Events(Box::new(framer), RelayReader::new(&request.path))
            }
            kind if kind.ends_with("json") && !kind.ends_with("ndjson") => {
                BodyKind::Json { is_billed: request.method.is_billed() }
            }
            _ => BodyKind::Opaque,
        }
    }
}

/// Writes method and headers; only those that [`RelayRequest::HEADERS`] names, whatever the caller put there.
pub(crate) fn write_head(relayed: &RelayRequest, to: &mut Request<Bytes>) -> Result<(), InferenceError> {
    *to.method_mut() = match relayed.method {
        RelayMethod::Get => Method::GET,
        RelayMethod::Put => Method::PUT,
        RelayMethod::Patch => Method::PATCH,
        RelayMethod::Delete => Method::DELETE,
        _ => Method::POST,
    };
    for (name, value) in &relayed.headers {
        let Some(known) = RelayRequest::HEADERS.iter().find(|known| *known == name) else { continue };
        let value = HeaderValue::from_str(value).map_err(|_| {
            InferenceError::invalid_request(format!("header {known}: its value cannot be sent"))
        })?;
        to.headers_mut().insert(HeaderName::from_static(known), value);
    }
    Ok(())
}

/// What of the head is passed on, without the key should the upstream repeat it.
fn answer_headers(headers: &HeaderMap, session: &SessionSnapshot) -> Vec<(String, String)> {
    let known = headers.iter().filter(|(name, _)| ANSWER_HEADERS.contains(name));
    known
        .filter_map(|(name, value)| {
            let mut value = value.to_str().ok()?.to_owned();
            if let Some(secret) = session.secret() {
                secret.scrub(&mut value);
            }
            Some((name.as_str().to_owned(), value))
        })
        .collect()
}
