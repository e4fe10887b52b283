//! The collector, as OpenTelemetry's exporters want to reach it: by the transport of every other call.
//!
//! Exporters run on threads of their own, where no timer and no socket of Tokio works, so each request becomes a task
//! of the runtime that telemetry was started in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use remote_core::Transport;
use tokio::runtime::Handle;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

/// The most bytes of an answer that are read; collectors say little.
const MAX_ANSWER: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Collector {
    pub(super) transport: Arc<dyn Transport>,
    pub(super) runtime: Handle,
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    /// Scheme, host and port, for warnings.
    pub(super) origin: String,
    /// Whether the last request failed, so that an outage is told once.
    pub(super) is_down: AtomicBool,
}

impl Collector {
    /// The request as configured. The exporter would add headers from the environment, which is not ours to read.
    fn dress(&self, request: Request<Bytes>) -> Request<Bytes> {
        let (mut head, body) = request.into_parts();
        let given = std::mem::replace(&mut head.headers, self.headers.clone());
        for name in [CONTENT_TYPE, CONTENT_ENCODING] {
            if let Some(value) = given.get(&name) {
                head.headers.insert(name, value.clone());
            }
        }
        Request::from_parts(head, body)
    }

    fn note(&self, fault: Option<&str>) {
        let was_down = self.is_down.swap(fault.is_some(), Ordering::Relaxed);
        let collector = self.origin.as_str();
        match fault {
            Some(fault) if !was_down => {
                tracing::warn!(collector, fault, "telemetry is not delivered; calls go on without it");
            }
            None if was_down => tracing::info!(collector, "telemetry is delivered again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (transport, timeout) = (Arc::clone(&self.transport), self.timeout);
        let request = self.dress(request);
        // The timer is made inside the task: outside of the runtime there is none.
        let work = async move { tokio::time::timeout(timeout, exchange(&*transport, request)).await };
        // Nobody hears what an export itself tells, or every export would cause the next one.
        let sent = self.runtime.spawn(work.with_subscriber(NoSubscriber::new())).await;
        let outcome = match sent {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(format!("no answer within {timeout:?}").into()),
            Err(_) => Err("the runtime that telemetry was started in has ended".into()),
        };
        match &outcome {
            Ok(response) if response.status().is_success() => self.note(None),
            Ok(response) => self.note(Some(response.status().as_str())),
            Err(error) => self.note(Some(&error.to_string())),
        }
        outcome
    }
}

async fn exchange(transport: &dyn Transport, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let (head, mut body) = transport.send(request).await?.into_parts();
    let mut read = BytesMut::new();
    while let Some(bytes) = body.next().await {
        let bytes = bytes?;
        if read.len() + bytes.len() > MAX_ANSWER {
            return Err(format!("the collector's answer is longer than {MAX_ANSWER} bytes").into());
        }
        read.extend_from_slice(&bytes);
    }
    Ok(Response::from_parts(head, read.freeze()))
}
