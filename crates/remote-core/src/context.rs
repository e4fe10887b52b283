//! What every error of one attempt has in common.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode, Uri};
use infer_core::{
    DecodeKind, ErrorBody, ErrorKind, InferenceError, Origin, TimeoutPhase, TransportKind, WireFault,
};
use tokio::time::Instant;

use crate::address;
use crate::headers;
use crate::meter::Subject;
use crate::provider::{Fault, RemoteProvider};
use crate::session::SessionSnapshot;
use crate::sse::FrameError;
use crate::transport::{TransportError, TransportFault};

/// One attempt: who asks whom, since when, with which credential.
pub(crate) struct Attempt<P> {
    pub(crate) provider: Arc<P>,
    pub(crate) session: Arc<SessionSnapshot>,
    pub(crate) uri: Uri,
    /// What is asked, shared with the call's records.
    pub(crate) subject: Arc<Subject>,
    pub(crate) upstream_request_id: Option<String>,
    pub(crate) started: Instant,
    /// Which attempt of the call this is, from 1.
    pub(crate) number: u32,
    /// When the call must be over, and the limit that says so.
    pub(crate) deadline: Option<(Instant, Duration)>,
}

impl<P: RemoteProvider> Attempt<P> {
    /// An origin with everything known; the key is taken out of whatever the upstream said.
    fn origin(&self, chunks: u64, fill: impl FnOnce(&mut Origin)) -> Box<Origin> {
        let mut at = Box::<Origin>::default();
        fill(&mut at);
        at.upstream_request_id.clone_from(&self.upstream_request_id);
        at.provider = Some(Arc::clone(&self.provider.site().info().name));
        at.endpoint = Some(address::origin(&self.uri).into());
        at.model = Some(self.subject.model.clone());
        at.request_id = Some(self.subject.request_id.clone());
        at.attempts = self.number;
        at.elapsed = self.started.elapsed();
        at.chunks = chunks;
        if let Some(secret) = self.session.secret() {
            let at = &mut *at;
            let said = [
                &mut at.message,
                &mut at.code,
                &mut at.error_type,
                &mut at.param,
                &mut at.upstream_request_id,
            ];
            for text in said.into_iter().flatten().chain(&mut at.filtered) {
                secret.scrub(text);
            }
        }
        at
    }

    /// Takes note of the upstream's name for the attempt, which may repeat the key.
    pub(crate) fn name(&mut self, upstream_request_id: Option<&str>) {
        self.upstream_request_id = upstream_request_id.map(ToOwned::to_owned);
        if let (Some(name), Some(secret)) = (&mut self.upstream_request_id, self.session.secret()) {
            secret.scrub(name);
        }
    }

    /// An error the upstream reported, by the status of its response or inside a success.
    pub(crate) fn reported(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: ErrorBody,
        hint: Option<Duration>,
        chunks: u64,
    ) -> InferenceError {
        let fault = Fault { status, headers, body: &body };
        let kind = self
            .provider
            .refine(&fault)
            .or(body.meaning)
            .or_else(|| body.status.and_then(ErrorKind::of_status))
            .or_else(|| ErrorKind::of_status(status.as_u16()))
            .unwrap_or(ErrorKind::Upstream);
        let retry_after = hint.or(body.retry_after);
        let at = self.origin(chunks, |at| {
            at.status = body.status.or(Some(status.as_u16()));
            at.code = body.code;
            at.error_type = body.error_type;
            at.param = body.param;
            at.filtered = body.filtered;
            at.message = body.message.as_deref().map(Origin::excerpt);
            at.should_retry = headers::should_retry(headers);
        });
        match kind {
            ErrorKind::Transport => {
                InferenceError::Transport { at, kind: TransportKind::Redirect, source: None }
            }
            ErrorKind::Decode => InferenceError::Decode {
                at,
                kind: DecodeKind::ContentType,
                detail: "the status is no answer".to_owned(),
            },
            kind => InferenceError::reported(kind, at, retry_after),
        }
    }

    /// An answer under a success status that is none.
    pub(crate) fn fault(&self, fault: WireFault, chunks: u64, streamed: bool) -> InferenceError {
        match fault {
            WireFault::Reported(body) => {
                let known = body.status;
                let mut error = self.reported(StatusCode::OK, &HeaderMap::new(), *body, None, chunks);
                if let (true, Some(at)) = (streamed, error.origin_mut()) {
                    at.status = known; // the 200 belongs to the stream, not to the error in it
                }
                error
            }
            WireFault::Malformed { kind, detail } => self.decode(kind, detail, chunks),
            WireFault::Truncated => self.interrupted(None, chunks),
            _ => self.decode(DecodeKind::Json, "unknown fault".to_owned(), chunks),
        }
    }

    pub(crate) fn decode(&self, kind: DecodeKind, detail: String, chunks: u64) -> InferenceError {
        InferenceError::Decode { at: self.origin(chunks, |_| ()), kind, detail }
    }

    pub(crate) fn frame(&self, error: FrameError, limit: usize, chunks: u64) -> InferenceError {
        match error {
            FrameError::TooLarge => {
                self.decode(DecodeKind::EventTooLarge, format!("more than {limit} bytes"), chunks)
            }
            FrameError::NotUtf8 => self.decode(DecodeKind::Utf8, "in an event".to_owned(), chunks),
        }
    }

    pub(crate) fn interrupted(&self, source: Option<TransportError>, chunks: u64) -> InferenceError {
        let source = source.map(|error| error.source.unwrap_or_else(|| "the body broke off".into()));
        InferenceError::StreamInterrupted { at: self.origin(chunks, |_| ()), source }
    }

    pub(crate) fn timeout(&self, phase: TimeoutPhase, limit: Duration, chunks: u64) -> InferenceError {
        InferenceError::Timeout { at: self.origin(chunks, |_| ()), phase, limit }
    }

    pub(crate) fn deadline_exceeded(&self, limit: Duration, chunks: u64) -> InferenceError {
        InferenceError::DeadlineExceeded { at: self.origin(chunks, |_| ()), limit }
    }

    /// No head came.
    pub(crate) fn transport(&self, error: TransportError, connect: Duration) -> InferenceError {
        match error.fault {
            TransportFault::ConnectTimeout => self.timeout(TimeoutPhase::Connect, connect, 0),
            TransportFault::Before(kind) => {
                InferenceError::Transport { at: self.origin(0, |_| ()), kind, source: error.source }
            }
            TransportFault::Body => self.interrupted(Some(error), 0),
        }
    }

    /// Fills in what an error made by a lower layer could not know.
    pub(crate) fn complete(&self, mut error: InferenceError) -> InferenceError {
        if let Some(at) = error.origin_mut() {
            let known = std::mem::take(at);
            *at = *self.origin(known.chunks, |_| ());
            at.message = known.message;
            at.param = known.param;
            at.attempts = 0;
        }
        error
    }
}
