//! What a provider must say about itself: its wire format and its [`Site`]. Everything else is done here.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri};
use infer_core::{
    Codec, EmbedBatch, ErrorBody, ErrorKind, ExecuteBatch, InferenceError, ModelRunner, Price, RelayRequest,
    RunnerFactory,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::RemoteConfig;
use crate::meter::{EventSink, MetricsSink};
use crate::presets::Presets;
use crate::runner::RemoteRunner;
use crate::session::{CredentialSource, RemoteSessionActor, SessionHandle, SessionSnapshot};
use crate::settings::MemberDocs;
use crate::site::Site;

/// What is asked of an upstream.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Call<'a> {
    /// An answer.
    Generate(&'a ExecuteBatch),
    /// Vectors.
    Embed(&'a EmbedBatch),
    /// The models that can be asked for.
    Models,
    /// Whether it answers.
    Health,
    /// Whatever the request says, passed on as it is.
    Relay(&'a RelayRequest),
}

/// The kinds of calls. Each has a breaker of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Answers.
    Generate = 0,
    /// Vectors.
    Embed = 1,
    /// Lists of models.
    Models = 2,
    /// Signs of life.
    Health = 3,
    /// Requests that are passed on as they are.
    Relay = 4,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 5] = [Self::Generate, Self::Embed, Self::Models, Self::Health, Self::Relay];

    /// The name in logs and metrics; of those that OpenTelemetry knows, its own.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Generate => "chat",
            Self::Embed => "embeddings",
            Self::Models => "models",
            Self::Health => "health",
            Self::Relay => "relay",
        }
    }

    /// Whether an upstream bills it and counts it against its limits.
    pub const fn is_billed(self) -> bool {
        matches!(self, Self::Generate | Self::Embed | Self::Relay)
    }
}

impl Call<'_> {
    /// What kind of call it is.
    pub fn operation(&self) -> Operation {
        match self {
            Self::Generate(_) => Operation::Generate,
            Self::Embed(_) => Operation::Embed,
            Self::Models => Operation::Models,
            Self::Health => Operation::Health,
            Self::Relay(_) => Operation::Relay,
        }
    }

    /// The model asked for; empty where none is.
    pub fn model(&self) -> &str {
        match self {
            Self::Generate(batch) => &batch.model,
            Self::Embed(batch) => &batch.model,
            Self::Relay(request) => request.model.as_deref().unwrap_or_default(),
            Self::Models | Self::Health => "",
        }
    }
}

/// One kind of upstream: where it is, how it is asked, what its errors mean, what it costs.
///
/// Its [`Site`] answers all of it but the wire format; a provider writes the methods in which it differs.
///
/// Nothing here is async: whatever needs the network to authorise a call belongs in the session. So a provider is
/// tested as plain functions.
pub trait RemoteProvider: Send + Sync + fmt::Debug + 'static {
    /// The wire format.
    type Codec: Codec;

    /// The wire format.
    fn codec(&self) -> &Self::Codec;

    /// Who and where this is. Constant for the life of the provider.
    fn site(&self) -> &Site;

    /// Where `call` goes; where its [`Site`] says, unless told. Asked for every attempt, and cloning a [`Uri`] is cheap: make
    /// it once.
    ///
    /// # Errors
    /// [`InferenceError::InvalidRequest`] when it cannot go anywhere, such as for a route the upstream has not.
    fn endpoint(&self, call: Call<'_>) -> Result<Uri, InferenceError> {
        self.site().endpoint(call)
    }

    /// Writes the credential into `request`, which is complete otherwise, so a signature over it is possible; as
    /// [`Site::sign`] does, unless told.
    ///
    /// # Errors
    /// Any; the request is not sent then.
    fn authorize(
        &self,
        session: &SessionSnapshot,
        request: &mut Request<Bytes>,
    ) -> Result<(), InferenceError> {
        self.site().sign(session, request);
        Ok(())
    }

    /// Says more precisely what an error means; `None` keeps what the wire format or the status said.
    fn refine(&self, _fault: &Fault<'_>) -> Option<ErrorKind> {
        None
    }

    /// The price of `model`, or `None` when it is not known; what its [`Site`] knows, unless told. Unknown is never free.
    fn price(&self, model: &str) -> Option<&Price> {
        self.site().price(model)
    }

    /// What the upstream calls `model` in the body of a request that is passed on; the same unless told.
    fn upstream_model<'a>(&'a self, model: &'a str) -> &'a str {
        model
    }

    /// How much may stand in one request for vectors; larger batches are split. No limit unless told.
    fn embed_limits(&self, _model: &str) -> EmbedLimits {
        EmbedLimits::default()
    }

    /// Whether `model` thinks for minutes before it answers unless told otherwise, so that the longer timeout applies.
    fn is_reasoning_model(&self, _model: &str) -> bool {
        false
    }
}

/// How much may stand in one request for vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EmbedLimits {
    /// Inputs.
    pub inputs: usize,
    /// Tokens of all inputs together. Counted here as one for every 3 bytes of text, which is more than most texts have.
    pub tokens: u64,
}

impl EmbedLimits {
    /// So many inputs, with so many tokens together.
    pub const fn new(inputs: usize, tokens: u64) -> Self {
        Self { inputs, tokens }
    }
}

impl Default for EmbedLimits {
    fn default() -> Self {
        Self::new(usize::MAX, u64::MAX)
    }
}

/// An error as the upstream reported it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Fault<'a> {
    /// The status of the response; a success for errors inside a 200.
    pub status: StatusCode,
    /// The headers of the response.
    pub headers: &'a HeaderMap,
    /// The body as the wire format reads it.
    pub body: &'a ErrorBody,
}

/// Settings that make a provider.
pub trait ProviderConfig: DeserializeOwned + fmt::Debug + Send + Sync + 'static {
    /// The `type` in a configuration: `openai`.
    const KIND: &'static str;
    /// The provider made from them.
    type Provider: RemoteProvider;
    /// The settings that a member `preset` may name, as [`Presets::parse`](crate::Presets::parse) reads them; none
    /// unless told.
    const PRESETS: &'static str = "{}";
    /// What each setting is for, by which schemas help whoever writes them; nothing unless told.
    const DOCS: MemberDocs = &[];

    /// Reads settings as a configuration has them. A member `preset` lays [one of them](Self::PRESETS) under the rest.
    ///
    /// # Errors
    /// [`InferenceError::Config`] with the path of what cannot be read; unknown keys are errors.
    fn from_settings(settings: Value) -> Result<Self, InferenceError> {
        settings_at("", settings)
    }

    /// The settings that all providers share.
    fn remote(&self) -> RemoteConfig;

    /// Where the credentials come from; a [`SecretRef`](crate::session::SecretRef) is such a source.
    ///
    /// # Errors
    /// [`InferenceError::Config`] for settings that do not fit.
    fn credentials(&self) -> Result<Arc<dyn CredentialSource>, InferenceError>;

    /// Makes the provider; `name` is its name in this process where the settings give none.
    ///
    /// # Errors
    /// [`InferenceError::Config`] for settings that do not fit, all faults at once.
    fn into_provider(self, name: &str) -> Result<Self::Provider, InferenceError>;

    /// Makes the runner; what becomes of its calls is told to `sink`.
    ///
    /// [`provider_settings!`](crate::provider_settings) writes this into the provider's crate, so that its calls are compiled
    /// there and not in every program.
    ///
    /// # Errors
    /// As for [`RemoteRunner::new`].
    fn into_runner(
        self,
        name: &str,
        session: SessionHandle,
        sink: Arc<dyn MetricsSink>,
    ) -> Result<Arc<dyn ModelRunner>, InferenceError> {
        RemoteRunner::shared(self, name, session, sink)
    }
}

/// Reads settings that stand at `place` of a configuration, and the preset they may name.
fn settings_at<C: ProviderConfig>(place: &str, settings: Value) -> Result<C, InferenceError> {
    let filled = Presets::parse(C::PRESETS)?.fill(settings).map_err(|error| match error {
        InferenceError::Config { what } if !place.is_empty() => {
            InferenceError::config(format!("{place}.{what}"))
        }
        error => error,
    })?;
    read_settings(place, filled)
}

/// Reads settings that name no preset and stand at `place` of a configuration.
pub(crate) fn read_settings<C: ProviderConfig>(place: &str, settings: Value) -> Result<C, InferenceError> {
    serde_path_to_error::deserialize(settings).map_err(|error| {
        let path = error.path().to_string();
        let parts = [place, if path == "." { "" } else { &path }];
        let path = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
        let colon = if path.is_empty() { "" } else { ": " };
        InferenceError::config(format!("{path}{colon}{}", error.inner()))
    })
}

/// Makes runners of one provider from settings, key included.
pub struct RemoteFactory<C>(PhantomData<fn() -> C>);

impl<C> RemoteFactory<C> {
    /// A factory; it holds nothing.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<C> Default for RemoteFactory<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: ProviderConfig> fmt::Debug for RemoteFactory<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteFactory({})", C::KIND)
    }
}

#[async_trait]
impl<C: ProviderConfig> RunnerFactory for RemoteFactory<C> {
    fn kind(&self) -> &'static str {
        C::KIND
    }

    async fn build(&self, name: &str, settings: Value) -> Result<Arc<dyn ModelRunner>, InferenceError> {
        let config: C = settings_at(&format!("providers.{name}"), settings)?;
        let session = RemoteSessionActor::bootstrap(config.credentials()?).await?;
        config.into_runner(name, session, Arc::new(EventSink))
    }
}
