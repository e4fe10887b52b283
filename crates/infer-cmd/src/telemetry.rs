//! What `infer serve` exports over OTLP, in builds that can.

use std::sync::Arc;

use inference::config::ObservabilityConfig;
use inference::remote::meter::MetricsSink;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::failure::Failure;

/// Traces and metrics on their way to a collector; none where the configuration says nothing of one.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    #[cfg(feature = "otel")]
    otel: Option<inference::otel::Otel>,
}

impl Telemetry {
    /// Begins to export.
    #[cfg(feature = "otel")]
    pub(crate) fn start(config: &ObservabilityConfig) -> Result<Self, Failure> {
        let otel = config.otel.as_ref().map(inference::otel::start).transpose().map_err(Failure::call)?;
        Ok(Self { otel })
    }

    /// Begins nothing; a configuration that wants more was refused when it was read.
    #[cfg(not(feature = "otel"))]
    #[expect(clippy::unnecessary_wraps, reason = "starting can fail in builds that export")]
    pub(crate) fn start(_: &ObservabilityConfig) -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// Takes the spans of the program.
    pub(crate) fn layer<S>(&self) -> Option<impl Layer<S> + Send + Sync + use<S>>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        #[cfg(feature = "otel")]
        return self.otel.as_ref().map(inference::otel::Otel::layer);
        #[cfg(not(feature = "otel"))]
        {
            let Self {} = self;
            None::<tracing_subscriber::layer::Identity>
        }
    }

    /// Takes the records of calls.
    pub(crate) fn sink(&self) -> Option<Arc<dyn MetricsSink>> {
        #[cfg(feature = "otel")]
        return self.otel.as_ref().map(inference::otel::Otel::sink);
        #[cfg(not(feature = "otel"))]
        {
            let Self {} = self;
            None
        }
    }

    /// Sends what waits.
    pub(crate) async fn end(self) {
        #[cfg(feature = "otel")]
        if let Some(otel) = self.otel
            && let Err(error) = otel.shutdown().await
        {
            crate::terminal::note(&format!("telemetry: {error}"));
        }
        #[cfg(not(feature = "otel"))]
        std::future::ready(()).await;
    }
}
