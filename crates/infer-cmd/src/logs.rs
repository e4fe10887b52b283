//! Logs on standard error: for those who ask, and of a server always.

use std::io::{self, IsTerminal as _};

use inference::config::{LogConfig, LogFormat};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::failure::Failure;
use crate::telemetry::Telemetry;
use crate::upstream::variable;

const ONCE: &str = "warn,infer=debug,infer_core=debug,remote_core=debug,runtime_openai=debug";
const TWICE: &str = "debug,infer=trace,infer_core=trace,remote_core=trace,runtime_openai=trace";
/// Of a server: what goes wrong, and a line for each request.
const SERVER: &str = "warn,infer_gateway=info";
/// Fields of a request's span repeat those of its line.
const NO_SPAN: &str = ",infer_gateway::span=off";

/// Starts logging when `-v` or `RUST_LOG` asks for it; `RUST_LOG` says what to show when both do.
pub(crate) fn start(verbose: u8) -> Result<(), Failure> {
    let Some(filter) = asked(verbose)? else { return Ok(()) };
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(color()?).with_writer(io::stderr);
    // Fails only when logging was started before, and this is the one place.
    _ = logs.try_init();
    Ok(())
}

/// Starts the logs of a server, and hands its spans to `telemetry`.
///
/// `RUST_LOG` and `-v` go before what the configuration says.
pub(crate) fn serve(verbose: u8, config: LogConfig, telemetry: &Telemetry) -> Result<(), Failure> {
    let filter = match asked(verbose)? {
        Some(filter) => filter,
        None => {
            let level = config.level.map_or(SERVER, |level| level.as_str());
            EnvFilter::new(format!("{level}{NO_SPAN}"))
        }
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match config.format {
        LogFormat::Text => lines.with_ansi(color()?).boxed(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
    };
    let logs = tracing_subscriber::registry().with(lines.with_filter(filter)).with(telemetry.layer());
    _ = logs.try_init();
    Ok(())
}

/// What the environment or the command line asks to see.
fn asked(verbose: u8) -> Result<Option<EnvFilter>, Failure> {
    let filter = match (variable("RUST_LOG")?, verbose) {
        (Some(filter), _) => filter,
        (None, 0) => return Ok(None),
        (None, 1) => ONCE.to_owned(),
        (None, _) => TWICE.to_owned(),
    };
    let filter = EnvFilter::try_new(&filter)
        .map_err(|error| Failure::usage(format!("RUST_LOG: {error}: write it as in RUST_LOG=debug")))?;
    Ok(Some(filter))
}

fn color() -> Result<bool, Failure> {
    Ok(io::stderr().is_terminal() && variable("NO_COLOR")?.is_none())
}
