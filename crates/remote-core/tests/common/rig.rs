//! A runner with an upstream that decides by request, and a log of every record.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, Method, Request, Response};
use remote_core::meter::{MetricsSink, RunRecord, Scope};
use remote_core::session::SessionHandle;
use remote_core::{RemoteConfig, RemoteRunner, Transport, TransportBody, TransportError};
use tokio::time::Instant;

use super::script::{Script, play};
use super::toy::Toy;

/// A request as the upstream saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) bearer: String,
    pub(crate) method: Method,
    pub(crate) body: Bytes,
}

type Respond = dyn Fn(usize, &Seen) -> Script + Send + Sync;

/// Answers the nth request, from 0, as it is told to.
pub(crate) struct Upstream {
    respond: Box<Respond>,
    seen: Mutex<Vec<Seen>>,
    /// Requests whose head is pending or whose body is held.
    open: Arc<()>,
}

impl Upstream {
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Requests whose head somebody waits for, or whose body somebody holds.
    pub(crate) fn open(&self) -> usize {
        Arc::strong_count(&self.open) - 1
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Upstream")
    }
}

#[async_trait]
impl Transport for Upstream {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<TransportBody>, TransportError> {
        let key = |headers: &HeaderMap| headers.get("authorization")?.to_str().ok().map(ToOwned::to_owned);
        let asked = Seen {
            at: Instant::now(),
            bearer: key(request.headers()).unwrap_or_default(),
            method: request.method().clone(),
            body: request.body().clone(),
        };
        let open = Arc::clone(&self.open);
        let number = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(asked.clone());
            seen.len() - 1
        };
        let (head, body) = play((self.respond)(number, &asked), Arc::default()).await?.into_parts();
        let pieces = body.map(move |piece| {
            let _held = &open;
            piece
        });
        Ok(Response::from_parts(head, Box::pin(pieces)))
    }
}

/// Keeps every record.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Vec<RunRecord>>);

impl Log {
    pub(crate) fn calls(&self) -> Vec<RunRecord> {
        self.those(|record| record.scope == Scope::Call)
    }

    pub(crate) fn attempts(&self) -> Vec<RunRecord> {
        self.those(|record| record.scope != Scope::Call)
    }

    fn those(&self, which: impl Fn(&RunRecord) -> bool) -> Vec<RunRecord> {
        self.0.lock().unwrap().iter().filter(|record| which(record)).cloned().collect()
    }
}

impl MetricsSink for Log {
    fn record(&self, record: &RunRecord) {
        self.0.lock().unwrap().push(record.clone());
    }
}

/// A runner, what it talks to, and what it writes down.
pub(crate) struct Rig {
    pub(crate) runner: RemoteRunner<Toy>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) log: Arc<Log>,
}

impl Rig {
    pub(crate) fn new(
        config: RemoteConfig,
        session: SessionHandle,
        seed: u64,
        respond: impl Fn(usize, &Seen) -> Script + Send + Sync + 'static,
    ) -> Self {
        let respond = Box::new(respond);
        let upstream = Arc::new(Upstream { respond, seen: Mutex::default(), open: Arc::default() });
        let log = Arc::new(Log::default());
        let runner = RemoteRunner::builder(Toy::new(), session)
            .with_config(config)
            .with_transport(Arc::clone(&upstream) as Arc<dyn Transport>)
            .with_sink(Arc::clone(&log) as Arc<dyn MetricsSink>)
            .with_seed(seed)
            .build()
            .unwrap();
        Self { runner, upstream, log }
    }
}
