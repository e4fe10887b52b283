//! Whom to ask: OpenAI, a compatible server, or the built-in simulator.

use std::env::{self, VarError};
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use infer_core::{InferenceError, ModelRunner};
use inference::config::{ObservabilityConfig, Process, Source};
use inference::{Inference, InferenceBuilder};
use remote_core::ProviderConfig as _;
use remote_core::meter::{EventSink, Fanout, MetricsSink, Outcome, RunRecord};
use remote_core::session::{RemoteSessionActor, SecretRef};
use runtime_openai::{OpenAiConfig, OpenAiRunner, PriceSource};
use upstream_sim::Sim;

use crate::args::Whom;
use crate::config::reader;
use crate::failure::Failure;
use crate::signals::Signals;
use crate::telemetry::Telemetry;
use crate::terminal;

const KEY: &str = "OPENAI_API_KEY";
const BASE_URL: &str = "OPENAI_BASE_URL";
const PRESET: &str = "INFER_PRESET";
/// What the settings call the address where it cannot be read.
const BASE_URL_FAULT: &str = "base URL ";
/// Fast enough not to wait for, slow enough to see words arrive.
const WORD_DELAY: Duration = Duration::from_millis(25);

/// What `--config` names, and the telemetry that it asks for.
#[derive(Debug)]
pub(crate) struct Given {
    /// Read once, since it may be a pipe.
    source: Option<Source>,
    telemetry: Telemetry,
}

impl Given {
    /// Reads the configuration, if there is one, and starts logs and telemetry.
    pub(crate) fn read(config: Option<&Path>, verbose: u8, is_server: bool) -> Result<Self, Failure> {
        let (source, wanted) = match config {
            Some(file) => {
                let source = Source::file(file).map_err(|faults| Failure::call(faults.into()))?;
                let config = reader().read(&source, &Process);
                let config = config.map_err(|faults| Failure::call(faults.into()))?;
                (Some(source), config.observability)
            }
            None => (None, ObservabilityConfig::default()),
        };
        Ok(Self { source, telemetry: Telemetry::start(verbose, &wanted, is_server)? })
    }

    /// Whoever is to be told of calls.
    pub(crate) fn sink(&self) -> Arc<dyn MetricsSink> {
        let sinks: [Option<Arc<dyn MetricsSink>>; 2] = [Some(Arc::new(Patience)), self.telemetry.sink()];
        Arc::new(Fanout(sinks.into_iter().flatten().collect()))
    }

    /// Ends telemetry; a person who stops the command once more does not wait for it.
    pub(crate) async fn end(self, signals: &mut Signals) {
        tokio::select! {
            biased;
            _ = signals.stop() => {}
            () = self.telemetry.end() => {}
        }
    }
}

/// Whoever answers.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) runner: Arc<dyn ModelRunner>,
    /// The model that a configuration names for calls that name none.
    pub(crate) default_model: Option<String>,
    /// What a file describes, where there is one.
    configured: Option<Inference>,
    /// Runs while it is held.
    simulator: Option<Sim>,
}

impl Upstream {
    /// Reads the environment, and starts the simulator when it names nobody to ask.
    pub(crate) async fn find(whom: &Whom, given: &Given) -> Result<Self, Failure> {
        if whom.base_url.as_deref().is_some_and(|url| url.trim().is_empty()) {
            return Err(Failure::usage("--base-url is empty: leave it out, or name a server"));
        }
        if let Some(source) = &given.source {
            return Self::configured(source, given.sink()).await;
        }
        if let Some(name) = whom.preset()? {
            return Self::known(&name, whom.base_url.as_deref()).await;
        }
        let key = variable(KEY)?;
        let (place, base_url) = match &whom.base_url {
            Some(url) => ("--base-url", Some(url.clone())),
            None => (BASE_URL, variable(BASE_URL)?),
        };
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
        Self::at(config, is_own.then_some(place)).await
    }

    /// Waits until what calls used is counted where the configuration wants it.
    pub(crate) async fn flush(&self) {
        if let Some(inference) = &self.configured {
            inference.flush().await;
        }
    }

    /// All that a configuration describes, as one upstream.
    async fn configured(source: &Source, sink: Arc<dyn MetricsSink>) -> Result<Self, Failure> {
        let builder =
            infer_gateway::sections().into_iter().fold(Inference::builder(), InferenceBuilder::with_section);
        let inference = builder.with_source(source.clone()).with_sink(sink);
        let inference = inference.build().await.map_err(Failure::call)?;
        let default_model = inference.config().default_model();
        let runner = inference.clone().into_runner();
        Ok(Self { runner, default_model, configured: Some(inference), simulator: None })
    }

    /// A known upstream, in its own place or in that of a stand-in.
    async fn known(name: &str, base_url: Option<&str>) -> Result<Self, Failure> {
        let mut config = OpenAiConfig::preset(name).map_err(Failure::call)?;
        if name == "openai" {
            config.organization = variable("OPENAI_ORG_ID")?;
            config.project = variable("OPENAI_PROJECT_ID")?;
        }
        if let Some(url) = base_url {
            url.clone_into(&mut config.endpoint);
        }
        Self::at(config, base_url.map(|_| "--base-url")).await
    }

    /// `place` is where the base URL was given, if it was.
    async fn at(config: OpenAiConfig, place: Option<&str>) -> Result<Self, Failure> {
        let runner = connect(config).await.map_err(|error| match (error, place) {
            (InferenceError::Config { what }, Some(place)) if what.starts_with(BASE_URL_FAULT) => {
                Failure::usage(format!("{place}: {}", what.strip_prefix(BASE_URL_FAULT).unwrap_or(&what)))
            }
            (error, _) => Failure::call(error),
        })?;
        Ok(Self { runner: Arc::new(runner), default_model: None, configured: None, simulator: None })
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
        Ok(Self { runner: Arc::new(runner), default_model: None, configured: None, simulator: Some(sim) })
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

impl Whom {
    /// The preset to use: the flag's, else the environment's, which an explicit base URL or configuration outranks.
    pub(crate) fn preset(&self) -> Result<Option<String>, Failure> {
        match (&self.preset, self.base_url.is_some() || self.config.is_some()) {
            (Some(name), _) => Ok(Some(name.clone())),
            (None, true) => Ok(None),
            (None, false) => match variable(PRESET)? {
                Some(name) => preset(&name).map(Some).map_err(|failure| {
                    Failure::usage(format!("{PRESET}: {}", failure.line().unwrap_or_default()))
                }),
                None => Ok(None),
            },
        }
    }
}

/// The own name of the preset that goes by `name`.
pub(crate) fn preset(name: &str) -> Result<String, Failure> {
    match OpenAiConfig::presets().find(name) {
        Ok((name, _)) => Ok(name.to_owned()),
        Err(InferenceError::Config { what }) => Err(Failure::usage(what)),
        Err(error) => Err(Failure::call(error)),
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
