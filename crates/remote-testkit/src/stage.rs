//! Where a scenario plays: a runner, an upstream for it, and everything that both left behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use infer_core::{
    Completion, CostEstimate, ErrorKind, ExecuteBatch, InferenceError, ModelRunner, RunHandle, Usage,
};
use remote_core::RemoteConfig;
use remote_core::session::{RemoteSessionActor, SessionHandle};

use crate::check::{Verdict, drain, ensure, same};
use crate::{Keys, Parts, Playbook, Records, Script, ScriptedTransport, Subject, Upstream};

/// The first key of every session.
pub const FIRST_KEY: &str = "sk-first-4c0ffee0123456789";
/// The key after it.
pub const SECOND_KEY: &str = "sk-second-5eaf00d987654321";
/// What every scenario asks, so that it is found in the request.
pub const PROMPT: &str = "Say hello to the conformance suite";

/// How requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// Through a [`ScriptedTransport`], on a paused clock.
    Scripted,
    /// Through the provider's own transport to an [`Upstream`], on the real clock.
    Socket,
}

/// Where a scenario plays.
#[derive(Clone, Debug)]
pub struct Stage {
    pub(crate) subject: Arc<Subject>,
    pub(crate) place: Place,
}

impl Stage {
    /// A stage for `subject`.
    pub fn new(subject: Subject, place: Place) -> Self {
        Self { subject: Arc::new(subject), place }
    }

    /// Whether the clock is paused, so that times are exact.
    pub fn is_exact(&self) -> bool {
        self.place == Place::Scripted
    }

    /// A wait that is noticed: 5 s, or 3 ms on the real clock.
    pub fn wait(&self) -> Duration {
        if self.is_exact() { Duration::from_secs(5) } else { Duration::from_millis(3) }
    }

    /// What every answer used: 1,000 tokens in, 200 of them from a cache, and 20 out.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::new(1000, 20);
        usage.cached_input_tokens = 200;
        usage
    }

    /// A reply that is a whole answer.
    pub fn whole(&self, text: &str) -> Script {
        Script::json(self.subject.wire.whole(text, self.usage()))
    }

    /// A reply that is a stream of these texts.
    pub fn stream(&self, texts: &[&str]) -> Script {
        Script::events(self.subject.wire.stream(texts, self.usage()))
    }

    /// A reply that is a stream which goes on after these texts.
    pub fn beginning(&self, texts: &[&str]) -> Script {
        let wire = &self.subject.wire;
        let texts = texts.iter().map(|text| wire.text(text));
        Script::events([wire.role()].into_iter().chain(texts))
    }

    /// A reply that reports an error.
    pub fn refusal(&self, kind: ErrorKind) -> Script {
        self.subject.wire.refusal(kind, "as scripted")
    }

    /// A runner with the default settings.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn rig(&self, scripts: impl IntoIterator<Item = Script>) -> Verdict<Rig> {
        self.rig_with(|_| (), scripts).await
    }

    /// A runner with settings of its own. On the real clock, waits begin at 1 ms.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn rig_with(
        &self,
        change: impl FnOnce(&mut RemoteConfig),
        scripts: impl IntoIterator<Item = Script>,
    ) -> Verdict<Rig> {
        self.rig_with_keys(change, Keys::new([FIRST_KEY, SECOND_KEY]), scripts).await
    }

    /// The same with keys of its own.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn rig_with_keys(
        &self,
        change: impl FnOnce(&mut RemoteConfig),
        keys: Keys,
        scripts: impl IntoIterator<Item = Script>,
    ) -> Verdict<Rig> {
        let mut config = RemoteConfig::default();
        if !self.is_exact() {
            config.retry.base = Duration::from_millis(1);
            config.retry.throttle_base = Duration::from_millis(1);
            config.rate_limits.default_pause = Duration::from_millis(1);
        }
        change(&mut config);
        let keys = Arc::new(keys);
        let source: Arc<dyn remote_core::session::CredentialSource> = Arc::clone(&keys) as _;
        let session = RemoteSessionActor::bootstrap_with_seed(source, 7).await?;
        let records = Arc::new(Records::default());
        let mut parts = Parts {
            config,
            session: Arc::clone(&session),
            transport: None,
            base_url: "http://upstream.test".to_owned(),
            sink: Arc::clone(&records) as _,
            seed: 7,
        };
        let mut upstream = None;
        let book = match self.place {
            Place::Scripted => {
                let transport = Arc::new(ScriptedTransport::new(scripts));
                let book = Arc::clone(transport.playbook());
                parts.transport = Some(transport);
                book
            }
            Place::Socket => {
                let server = upstream.insert(Upstream::start(scripts).await?);
                parts.base_url = server.base_url();
                Arc::clone(server.playbook())
            }
        };
        let runner = self.subject.runner(parts)?;
        Ok(Rig { stage: self.clone(), runner, session, keys, records, book, upstream })
    }
}

/// A runner and its upstream.
#[derive(Debug)]
#[non_exhaustive]
pub struct Rig {
    /// Where it stands.
    pub stage: Stage,
    /// The runner.
    pub runner: Arc<dyn ModelRunner>,
    /// Its credential.
    pub session: SessionHandle,
    /// Where that comes from.
    pub keys: Arc<Keys>,
    /// What it recorded.
    pub records: Arc<Records>,
    /// What the upstream saw.
    pub book: Arc<Playbook>,
    /// The upstream, where there is a socket.
    pub upstream: Option<Upstream>,
}

impl Rig {
    /// A request for an answer in one piece.
    pub fn batch(&self) -> ExecuteBatch {
        ExecuteBatch::new(&self.stage.subject.model, PROMPT)
    }

    /// Asks for an answer in one piece.
    ///
    /// # Errors
    /// That of the call.
    pub async fn collect(&self) -> Result<Completion, InferenceError> {
        self.runner.execute(self.batch()).await?.collect().await
    }

    /// Asks for a stream.
    ///
    /// # Errors
    /// That of the call, before the first content.
    pub async fn open(&self) -> Result<RunHandle, InferenceError> {
        self.runner.execute(self.batch().streaming()).await
    }

    /// Asks for a stream and reads it to its end.
    ///
    /// # Errors
    /// When the stream goes on after its end; how it ended is the second part of the result.
    pub async fn drain(&self) -> Verdict<(Completion, Result<(), InferenceError>)> {
        match self.open().await {
            Ok(run) => drain(&mut run.into_stream()).await,
            Err(error) => Ok((Completion::default(), Err(error))),
        }
    }

    /// What usage costs at the subject's rates.
    pub fn price(&self, usage: &Usage) -> CostEstimate {
        infer_core::from_rates(&self.stage.subject.rates, usage)
    }

    /// Holds if the upstream has seen so many requests.
    ///
    /// # Errors
    /// With both numbers.
    pub fn saw(&self, requests: usize) -> Verdict {
        same("requests seen by the upstream", self.book.seen().len(), requests)
    }

    /// Holds if the books are in order after `calls` calls, all of which are over: a record for every call and for every
    /// request, nothing asked that no script foresaw, and every call's cost is the sum over its attempts.
    ///
    /// # Errors
    /// What is not.
    pub fn audit(&self, calls: usize) -> Verdict {
        same("requests without a script", self.book.unscripted(), 0)?;
        let (attempts, records) = (self.records.attempts(), self.records.calls());
        same("records of calls", records.len(), calls)?;
        let seen = self.book.seen().len();
        let sent = attempts.len();
        // Over a socket, a call can be given up before its request arrives.
        let all_seen = if self.stage.is_exact() { sent == seen } else { sent >= seen };
        ensure(all_seen, format!("{seen} requests were seen and {sent} attempts recorded"))?;
        let mut sums = BTreeMap::new();
        for attempt in &attempts {
            let sum = sums.entry(attempt.subject.request_id.to_string()).or_insert((0, None::<CostEstimate>));
            sum.0 += 1;
            if let Some(cost) = attempt.cost.known() {
                sum.1 = Some(sum.1.unwrap_or_default().saturating_add(*cost));
            }
        }
        for call in &records {
            let (count, cost) = sums.remove(&call.subject.request_id.to_string()).unwrap_or_default();
            same("attempts of a call", call.attempts, count)?;
            same("the cost of a call and the sum over its attempts", call.cost.known().copied(), cost)?;
        }
        ensure(sums.is_empty(), "every attempt must belong to a call")
    }
}
