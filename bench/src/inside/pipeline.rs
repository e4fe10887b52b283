//! Everything that stands around an attempt, with a network that answers at once.
//!
//! `ours` is a call through the runner: breaker, limiter with all three limits set, session, retries, records and their
//! sink. `floor` is the attempt in the middle of it, by hand: encode, fill in a request, send, read, decode.

use std::sync::Arc;

use anyhow::{Result, anyhow, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use infer_core::{Codec as _, ExecuteBatch, Message, ModelRunner as _};
use remote_core::limit::RateLimitConfig;
use remote_core::meter::{MetricsActor, MetricsSink};
use remote_core::session::{SessionHandle, SessionSnapshot};
use remote_core::{ProviderConfig as _, RemoteProvider as _, Transport, TransportBody, TransportError};
use runtime_openai::config::SecretRef;
use runtime_openai::{OpenAi, OpenAiConfig, OpenAiRunner, PriceSource};

use crate::clients::{KEY, MODEL, PROMPT, SYSTEM, Who};
use crate::measure::Meter;
use crate::payload::{self, Route};
use crate::scenario::Sample;

/// Calls in one turn.
const CALLS: usize = 1_000;
/// The name of the provider in its records.
const NAME: &str = "bench";
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A runner and a provider of the same settings, over the same network.
#[derive(Debug)]
pub(crate) struct Pipeline {
    runner: OpenAiRunner,
    provider: OpenAi,
    session: SessionHandle,
    transport: Arc<dyn Transport>,
    metrics: Arc<MetricsActor>,
    uri: Uri,
}

impl Pipeline {
    /// With limits that never make a call wait.
    pub(crate) fn new() -> Result<Self> {
        let config = OpenAiConfig {
            endpoint: "https://api.example.com/v1".into(),
            prices: PriceSource::Published,
            rate_limits: RateLimitConfig {
                requests_per_minute: Some(u32::MAX),
                tokens_per_minute: Some(u32::MAX),
                max_in_flight: Some(1_000_000),
                ..RateLimitConfig::default()
            },
            ..OpenAiConfig::defaults_for_openai(SecretRef::None)
        };
        let session = SessionSnapshot::new(Some(KEY.into()))?.into_handle();
        let transport: Arc<dyn Transport> = Arc::new(AtOnce { body: payload::unary_body().into() });
        let metrics = Arc::new(MetricsActor::default());
        let sink: Arc<dyn MetricsSink> = metrics.clone();
        let runner = OpenAiRunner::builder(config.clone().into_provider(NAME)?, Arc::clone(&session))
            .with_config(config.remote())
            .with_transport(Arc::clone(&transport))
            .with_sink(sink)
            .build()?;
        let provider = config.into_provider(NAME)?;
        let uri = Uri::from_static("https://api.example.com/v1/chat/completions");
        Ok(Self { runner, provider, session, transport, metrics, uri })
    }

    /// One turn of `who`.
    pub(crate) async fn turn(&self, who: Who) -> Result<Sample> {
        let before = self.recorded();
        let mut text = 0;
        let meter = Meter::start()?;
        for _ in 0..CALLS {
            text += if who == Who::Ours { self.whole().await? } else { self.attempt().await? };
        }
        let cost = meter.stop()?;
        let expected = Route::Unary.text_bytes() * CALLS;
        ensure!(text == expected, "{}: {text} bytes of text, not {expected}", who.name());
        let (recorded, expected) = (self.recorded() - before, if who == Who::Ours { 2 * CALLS } else { 0 });
        ensure!(recorded == expected as u64, "{}: {recorded} records, not {expected}", who.name());
        Ok(Sample { cost, units: CALLS, ..Sample::default() })
    }

    /// A call through everything.
    async fn whole(&self) -> Result<usize> {
        Ok(self.runner.execute(batch()).await?.collect().await?.text().len())
    }

    /// The attempt alone.
    async fn attempt(&self) -> Result<usize> {
        let codec = self.provider.codec();
        let mut request = Request::new(codec.encode(&batch())?);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().insert(CONTENT_TYPE, JSON);
        request.headers_mut().insert(ACCEPT, JSON);
        self.provider.authorize(&self.session.load(), &mut request)?;
        let response = self.transport.send(request).await?;
        ensure!(response.status() == StatusCode::OK, "status {}", response.status());
        let mut body = response.into_body();
        let mut whole = Bytes::new();
        while let Some(piece) = body.next().await {
            ensure!(whole.is_empty(), "the body came in pieces");
            whole = piece?;
        }
        let answer = codec.decode_full(&whole).map_err(|fault| anyhow!("{fault:?}"))?;
        Ok(answer.text().len())
    }

    /// Records that have reached the sink: one for each attempt and one for each call.
    fn recorded(&self) -> u64 {
        self.metrics.snapshot().revision
    }
}

fn batch() -> ExecuteBatch {
    ExecuteBatch::new(MODEL, [Message::system(SYSTEM), Message::user(PROMPT)])
        .with_temperature(0.2)
        .with_max_output_tokens(64)
}

/// A network that answers everything at once, in one piece.
#[derive(Debug)]
struct AtOnce {
    body: Bytes,
}

#[async_trait]
impl Transport for AtOnce {
    async fn send(&self, _: Request<Bytes>) -> Result<Response<TransportBody>, TransportError> {
        let body = stream::iter([Ok(self.body.clone())]);
        let mut response = Response::new(Box::pin(body) as TransportBody);
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        Ok(response)
    }
}
