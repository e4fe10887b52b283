//! Logs, traces and metrics, as the command line and a configuration want them.

use std::sync::Arc;

use inference::config::ObservabilityConfig;
#[cfg(feature = "otel")]
use inference::otel::{self, Otel};
use remote_core::meter::MetricsSink;
use tracing_subscriber::prelude::*;

use crate::failure::Failure;
use crate::logs;
#[cfg(feature = "otel")]
use crate::terminal;

/// What is told of the work while it runs.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    #[cfg(feature = "otel")]
    otel: Option<Otel>,
}

impl Telemetry {
    /// Starts once in a process, and within its runtime.
    pub(crate) fn start(verbose: u8, wanted: &ObservabilityConfig, is_server: bool) -> Result<Self, Failure> {
        let logs = logs::layer(verbose, wanted.log, is_server)?;
        #[cfg(feature = "otel")]
        {
            let otel = wanted.otel.as_ref().map(otel::start).transpose().map_err(Failure::call)?;
            if logs.is_some() || otel.is_some() {
                let spans = otel.as_ref().map(Otel::layer);
                // Fails only when a subscriber was set before, and this is the one place.
                _ = tracing_subscriber::registry().with(logs).with(spans).try_init();
            }
            Ok(Self { otel })
        }
        #[cfg(not(feature = "otel"))]
        {
            if logs.is_some() {
                // Fails only when a subscriber was set before, and this is the one place.
                _ = tracing_subscriber::registry().with(logs).try_init();
            }
            Ok(Self {})
        }
    }

    /// Whoever else is to be told of calls.
    #[cfg_attr(
        not(feature = "otel"),
        expect(clippy::unused_self, reason = "there is nobody without telemetry")
    )]
    pub(crate) fn sink(&self) -> Option<Arc<dyn MetricsSink>> {
        #[cfg(feature = "otel")]
        let sink = self.otel.as_ref().map(Otel::sink);
        #[cfg(not(feature = "otel"))]
        let sink = None;
        sink
    }

    /// Sends what waits, for as long as the configuration allows.
    #[cfg_attr(
        not(feature = "otel"),
        expect(clippy::unused_async, reason = "there is nothing to send without telemetry")
    )]
    pub(crate) async fn end(self) {
        #[cfg(feature = "otel")]
        if let Some(otel) = self.otel
            && let Err(error) = otel.shutdown().await
        {
            terminal::note(&error.to_string());
        }
    }
}
