//! Whom to ask: OpenAI, a compatible server, or the built-in simulator.

use std::env::{self, VarError};
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use infer_core::InferenceError;
use remote_core::ProviderConfig as _;
use remote_core::meter::{EventSink, Fanout, MetricsSink, Outcome, RunRecord};
use remote_core::session::{RemoteSessionActor, SecretRef};
use runtime_openai::{OpenAiConfig, OpenAiRunner, PriceSource};
use upstream_sim::Sim;

use crate::failure::Failure;
use crate::terminal;

const KEY: &str = "OPENAI_API_KEY";
const BASE_URL: &str = "OPENAI_BASE_URL";
/// Fast enough not to wait for, slow enough to see words arrive.
const WORD_DELAY: Duration = Duration::from_millis(25);

/// Whoever answers.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) runner: OpenAiRunner,
    /// Runs while it is held.
    simulator: Option<Sim>,
}

impl Upstream {
    /// Reads the environment, and starts the simulator when it names nobody to ask.
    pub(crate) async fn find(base_url: Option<&str>) -> Result<Self, Failure> {
        let key = variable(KEY)?;
        let (place, base_url) = match base_url {
            Some(url) => ("--base-url", Some(url.to_owned())),
            None => (BASE_URL, variable(BASE_URL)?),
        };
        if base_url.as_deref().is_some_and(|url| url.trim().is_empty()) {
            return Err(Failure::usage("--base-url is empty: leave it out, or name a server"));
        }
        if key.is_none() && base_url.is_none() {
            return Self::simulated().await;
        }
        let mut config = OpenAiConfig::defaults_for_openai(match key {
            Some(_) => SecretRef::Env { name: KEY.to_owned() },
            None => SecretRef::None,
        });
        config.organization = variable("OPENAI_ORG_ID")?;
        config.project = variable("OPENAI_PROJECT_ID")?;
        let is_own = base_url.is_some();
        if let Some(url) = base_url {
            // "openai" in front of an error would send the reader to the wrong place.
            config.name = Some("upstream".to_owned());
            config.endpoint = url;
        }
        let runner = connect(config).await.map_err(|error| match error {
            InferenceError::Config { what } if is_own => {
                Failure::usage(format!("{place}: {}", what.strip_prefix("base URL ").unwrap_or(&what)))
            }
            error => Failure::call(error),
        })?;
        Ok(Self { runner, simulator: None })
    }

    /// Whether nobody is really asked.
    pub(crate) fn is_simulated(&self) -> bool {
        self.simulator.is_some()
    }

    async fn simulated() -> Result<Self, Failure> {
        let sim = Sim::builder().chunk_delay(WORD_DELAY).start().await;
        let sim =
            sim.map_err(|error| Failure::usage(format!("the built-in simulator cannot start: {error}")))?;
        terminal::note("no OPENAI_API_KEY and no --base-url: answering from the built-in simulator");
        let mut config = OpenAiConfig::defaults_for_openai(SecretRef::None);
        config.name = Some("simulator".to_owned());
        config.endpoint = sim.base_url();
        config.prices = PriceSource::Published;
        let runner = connect(config).await.map_err(Failure::call)?;
        Ok(Self { runner, simulator: Some(sim) })
    }
}

async fn connect(config: OpenAiConfig) -> Result<OpenAiRunner, InferenceError> {
    let session = RemoteSessionActor::bootstrap(config.api_key.clone()).await?;
    let remote = config.remote();
    let provider = config.into_provider(OpenAiConfig::KIND)?;
    let sinks: Vec<Arc<dyn MetricsSink>> = vec![Arc::new(EventSink), Arc::new(Patience)];
    OpenAiRunner::builder(provider, session).with_config(remote).with_sink(Arc::new(Fanout(sinks))).build()
}

/// Tells a person at a terminal that a call is tried again, which can take a minute.
#[derive(Debug)]
struct Patience;

impl MetricsSink for Patience {
    fn record(&self, record: &RunRecord) {
        if let Outcome::Retried(kind) = record.outcome
            && io::stderr().is_terminal()
        {
            terminal::note(&format!("{}: trying again", kind.name().replace('_', " ")));
        }
    }
}

/// An environment variable; one that is empty counts as not set.
pub(crate) fn variable(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.trim().is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(Failure::usage(format!("{name} is not UTF-8: set it again"))),
    }
}
