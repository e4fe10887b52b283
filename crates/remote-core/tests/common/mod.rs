//! A provider with a toy wire format, and a transport that plays scripts, for tests of the pipeline alone.
//!
//! The toy format: every event is `text`, `!end` (a finish), `!role` (nothing a caller would notice), `!use IN OUT`
//! (usage), `!error CODE` (an error inside a success), `!bad` (cannot be read) or `!done`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use infer_core::{
    Choice, Codec, Completion, DecodeKind, ErrorBody, ErrorKind, EventDecoder, ExecuteBatch, FinishKind,
    InferenceError, Price, Rates, RunnerInfo, Step, TokenChunk, Usage, WireFault,
};
use remote_core::session::SessionSnapshot;
use remote_core::{
    Call, Fault, RemoteConfig, RemoteProvider, RemoteRunner, Transport, TransportBody, TransportError,
    TransportFault,
};
use url::Url;

pub(crate) const KEY: &str = "sk-very-secret-key";

#[derive(Debug)]
pub(crate) struct Toy {
    info: RunnerInfo,
    codec: ToyCodec,
    price: Price,
}

#[derive(Debug)]
pub(crate) struct ToyCodec;

impl Codec for ToyCodec {
    type Decoder = ToyDecoder;

    fn encode(&self, batch: &ExecuteBatch) -> Result<Bytes, InferenceError> {
        if batch.model == "refuse" {
            return Err(InferenceError::invalid_request("model: must not be refuse"));
        }
        Ok(Bytes::from(format!("{{\"model\":\"{}\"}}", batch.model)))
    }

    fn decode_full(&self, body: &Bytes) -> Result<Completion, WireFault> {
        let text = std::str::from_utf8(body).map_err(|_| WireFault::malformed(DecodeKind::Utf8, "body"))?;
        if text.starts_with('<') {
            return Err(WireFault::malformed(DecodeKind::ContentType, "a web page"));
        }
        if let Some(code) = text.strip_prefix("!error ") {
            return Err(reported(code));
        }
        let mut whole = Completion::default();
        let mut choice = Choice::new(0);
        text.clone_into(&mut choice.text);
        choice.finish = Some(FinishKind::Stop.into());
        whole.choices.push(choice);
        whole.usage = Some(Usage::new(1000, 10));
        Ok(whole)
    }

    fn decoder(&self) -> ToyDecoder {
        ToyDecoder { finished: false }
    }

    fn error_body(&self, body: &[u8]) -> ErrorBody {
        let text = String::from_utf8_lossy(body).into_owned();
        let mut said = ErrorBody::default();
        said.code = text.strip_prefix("code ").map(ToOwned::to_owned);
        said.message = Some(text);
        said
    }
}

fn reported(code: &str) -> WireFault {
    let mut said = ErrorBody::default();
    said.code = Some(code.to_owned());
    said.meaning = (code == "overloaded").then_some(ErrorKind::Overloaded);
    WireFault::Reported(Box::new(said))
}

pub(crate) struct ToyDecoder {
    finished: bool,
}

impl EventDecoder for ToyDecoder {
    fn event(&mut self, name: &str, data: &Bytes, out: &mut Vec<TokenChunk>) -> Result<Step, WireFault> {
        let text =
            String::from_utf8(data.to_vec()).map_err(|_| WireFault::malformed(DecodeKind::Utf8, "event"))?;
        let mut chunk = TokenChunk::default();
        chunk.wire = Some(data.clone());
        if name == "error" {
            return Err(reported("named"));
        }
        match text.as_str() {
            "!role" => {}
            "!end" => {
                self.finished = true;
                chunk.finish = Some(FinishKind::Stop.into());
            }
            "!bad" => return Err(WireFault::malformed(DecodeKind::Json, "event")),
            "!done" if self.finished => return Ok(Step::Done),
            "!done" => return Err(WireFault::Truncated),
            text => {
                if let Some(code) = text.strip_prefix("!error ") {
                    return Err(reported(code));
                } else if let Some(counts) = text.strip_prefix("!use ") {
                    let mut counts = counts.split(' ').map(|count| count.parse().unwrap());
                    chunk.usage = Some(Usage::new(counts.next().unwrap(), counts.next().unwrap()));
                } else {
                    text.clone_into(&mut chunk.text);
                }
            }
        }
        out.push(chunk);
        Ok(Step::More)
    }

    fn finish(&mut self) -> Result<(), WireFault> {
        if self.finished { Ok(()) } else { Err(WireFault::Truncated) }
    }
}

impl RemoteProvider for Toy {
    type Codec = ToyCodec;

    fn info(&self) -> &RunnerInfo {
        &self.info
    }

    fn codec(&self) -> &ToyCodec {
        &self.codec
    }

    fn endpoint(&self, _: Call<'_>) -> Result<Url, InferenceError> {
        Ok(Url::parse("http://toy.test:8080/v1/chat?api-key=sk-in-query").unwrap())
    }

    fn authorize(
        &self,
        session: &SessionSnapshot,
        request: &mut Request<Bytes>,
    ) -> Result<(), InferenceError> {
        if let Some(bearer) = session.bearer() {
            request.headers_mut().insert("authorization", bearer);
        }
        Ok(())
    }

    fn refine(&self, fault: &Fault<'_>) -> Option<ErrorKind> {
        (fault.body.code.as_deref() == Some("too_long")).then_some(ErrorKind::ContextLengthExceeded)
    }

    fn price(&self, model: &str) -> Option<&Price> {
        (model != "unpriced").then_some(&self.price)
    }
}

/// One move of a script.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Bytes(&'static [u8]),
    Wait(Duration),
    Break,
    Hang,
}

pub(crate) fn event(data: &'static str) -> Act {
    Act::Bytes(format!("data: {data}\n\n").leak().as_bytes())
}

pub(crate) fn wait(seconds: u64) -> Act {
    Act::Wait(Duration::from_secs(seconds))
}

/// What the upstream does with one request.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) head_after: Duration,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: Vec<Act>,
    pub(crate) fails: Option<TransportFault>,
}

impl Script {
    pub(crate) fn stream(body: impl IntoIterator<Item = Act>) -> Self {
        Self { headers: vec![("content-type", "text/event-stream")], ..Self::status(200, body) }
    }

    pub(crate) fn whole(body: &'static str) -> Self {
        let headers = vec![("content-type", "application/json")];
        Self { headers, ..Self::status(200, [Act::Bytes(body.as_bytes())]) }
    }

    pub(crate) fn status(status: u16, body: impl IntoIterator<Item = Act>) -> Self {
        let body = body.into_iter().collect();
        Self { head_after: Duration::ZERO, status, headers: Vec::new(), body, fails: None }
    }
}

#[derive(Debug, Default)]
pub(crate) struct ScriptedTransport {
    scripts: Mutex<VecDeque<Script>>,
    pub(crate) seen: Mutex<Vec<(String, HeaderMap, Bytes)>>,
    /// Bodies dropped before their end.
    pub(crate) dropped: Arc<Mutex<u32>>,
}

/// Counts a body that is dropped before it is over.
struct Guard(Arc<Mutex<u32>>, bool);

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.1 {
            *self.0.lock().unwrap() += 1;
        }
    }
}

#[async_trait]
impl Transport for ScriptedTransport {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<TransportBody>, TransportError> {
        let (head, body) = request.into_parts();
        self.seen.lock().unwrap().push((head.uri.to_string(), head.headers, body));
        let script = self.scripts.lock().unwrap().pop_front().expect("no script for this request");
        tokio::time::sleep(script.head_after).await;
        if let Some(fault) = script.fails {
            return Err(TransportError::new(fault, "scripted"));
        }
        let guard = Guard(Arc::clone(&self.dropped), false);
        let acts = futures_util::stream::unfold(
            (script.body.into_iter(), guard),
            |(mut acts, mut guard)| async move {
                loop {
                    match acts.next() {
                        Some(Act::Bytes(bytes)) => {
                            return Some((Ok(Bytes::from_static(bytes)), (acts, guard)));
                        }
                        Some(Act::Wait(time)) => tokio::time::sleep(time).await,
                        Some(Act::Break) => {
                            return Some((
                                Err(TransportError::new(TransportFault::Body, "reset")),
                                (acts, guard),
                            ));
                        }
                        Some(Act::Hang) => std::future::pending().await,
                        None => {
                            guard.1 = true;
                            drop(guard);
                            return None;
                        }
                    }
                }
            },
        );
        let mut response = Response::new(Box::pin(acts) as TransportBody);
        *response.status_mut() = StatusCode::from_u16(script.status).unwrap();
        for (name, value) in script.headers {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        Ok(response)
    }
}

/// A runner that makes one attempt per call.
pub(crate) fn runner(
    scripts: impl IntoIterator<Item = Script>,
) -> (RemoteRunner<Toy>, Arc<ScriptedTransport>) {
    runner_with(once(), scripts)
}

/// Settings without retries.
pub(crate) fn once() -> RemoteConfig {
    let mut config = RemoteConfig::default();
    config.retry.attempts = 1;
    config
}

pub(crate) fn runner_with(
    config: RemoteConfig,
    scripts: impl IntoIterator<Item = Script>,
) -> (RemoteRunner<Toy>, Arc<ScriptedTransport>) {
    let transport = Arc::new(ScriptedTransport::default());
    transport.scripts.lock().unwrap().extend(scripts);
    let toy = Toy {
        info: RunnerInfo::new("toy", "toy-1"),
        codec: ToyCodec,
        price: Price::flat(Rates::new(1.0, 2.0)),
    };
    let session = SessionSnapshot::new(Some(KEY.into())).unwrap().into_handle();
    let runner = RemoteRunner::builder(toy, session)
        .with_config(config)
        .with_transport(Arc::clone(&transport) as Arc<dyn Transport>)
        .build()
        .unwrap();
    (runner, transport)
}

pub(crate) fn streaming() -> ExecuteBatch {
    ExecuteBatch::new("toy-model", "hi").streaming()
}

/// Everything a stream gave, and how it ended.
pub(crate) async fn drain(mut stream: infer_core::TokenStream) -> (Completion, Result<(), InferenceError>) {
    let mut whole = Completion::default();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => whole.push(chunk),
            Err(error) => {
                assert!(stream.next().await.is_none(), "something came after the end");
                return (whole, Err(error));
            }
        }
    }
    assert!(stream.next().await.is_none(), "something came after the end");
    (whole, Ok(()))
}
