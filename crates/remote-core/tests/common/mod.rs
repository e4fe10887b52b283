//! A transport that plays one script after the other, for tests of the pipeline alone.

mod script;
mod toy;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, Request, Response};
use infer_core::{Completion, InferenceError};
use remote_core::session::SessionSnapshot;
use remote_core::{RemoteConfig, RemoteRunner, Transport, TransportBody, TransportError};

use self::script::play;
pub(crate) use self::script::{Act, Script, event};
use self::toy::Toy;
pub(crate) use self::toy::streaming;

pub(crate) const KEY: &str = "sk-very-secret-key";

pub(crate) fn wait(seconds: u64) -> Act {
    Act::Wait(Duration::from_secs(seconds))
}

#[derive(Debug, Default)]
pub(crate) struct ScriptedTransport {
    scripts: Mutex<VecDeque<Script>>,
    pub(crate) seen: Mutex<Vec<(String, HeaderMap, Bytes)>>,
    /// Bodies dropped before their end.
    pub(crate) dropped: Arc<Mutex<u32>>,
}

#[async_trait]
impl Transport for ScriptedTransport {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<TransportBody>, TransportError> {
        let (head, body) = request.into_parts();
        self.seen.lock().unwrap().push((head.uri.to_string(), head.headers, body));
        let script = self.scripts.lock().unwrap().pop_front().expect("no script for this request");
        play(script, Arc::clone(&self.dropped)).await
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
    let session = SessionSnapshot::new(Some(KEY.into())).unwrap().into_handle();
    let runner = RemoteRunner::builder(Toy::new(), session)
        .with_config(config)
        .with_transport(Arc::clone(&transport) as Arc<dyn Transport>)
        .build()
        .unwrap();
    (runner, transport)
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
