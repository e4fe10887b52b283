//! Logs on standard error: for those who ask, and of a server always.

use std::io::{self, IsTerminal as _};

use inference::config::{LogConfig, LogFormat};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use crate::failure::Failure;
use crate::upstream::variable;

const ONCE: &str = "warn,infer=debug,infer_core=debug,remote_core=debug,runtime_openai=debug";
const TWICE: &str = "debug,infer=trace,infer_core=trace,remote_core=trace,runtime_openai=trace";
/// Of a server: what goes wrong, and a line for each request.
const SERVER: &str = "warn,infer_gateway=info";
/// Fields of a request's span repeat those of its line.
const NO_SPAN: &str = ",infer_gateway::span=off";

/// Logs when `RUST_LOG`, `-v` or the configuration asks for it, the first of them says what is shown, and of a server always.
pub(crate) fn layer<S>(
    verbose: u8,
    wanted: LogConfig,
    is_server: bool,
) -> Result<Option<Box<dyn Layer<S> + Send + Sync>>, Failure>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let filter = match (variable("RUST_LOG")?, verbose, wanted.level) {
        (Some(filter), _, _) => filter,
        (None, 0, None) if is_server => format!("{SERVER}{NO_SPAN}"),
        (None, 0, None) => return Ok(None),
        (None, 0, Some(level)) => format!("{level}{NO_SPAN}"),
        (None, 1, _) => ONCE.to_owned(),
        (None, _, _) => TWICE.to_owned(),
    };
    let filter = targets(&filter)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    Ok(Some(match wanted.format {
        LogFormat::Json => {
            let lines =
                lines.json().flatten_event(true).with_current_span(!is_server).with_span_list(!is_server);
            lines.with_filter(filter).boxed()
        }
        LogFormat::Text => {
            let color = io::stderr().is_terminal() && variable("NO_COLOR")?.is_none();
            lines.with_ansi(color).with_filter(filter).boxed()
        }
    }))
}

fn targets(filter: &str) -> Result<Targets, Failure> {
    let refused = |why: &dyn std::fmt::Display| {
        Failure::usage(format!("RUST_LOG: {why}: write it as in RUST_LOG=warn,remote_core=debug"))
    };
    // It would be taken for the name of a target, and match nothing.
    if filter.contains(['[', '{']) {
        return Err(refused(&format_args!(
            "{filter:?} names spans or fields, and only targets are filtered"
        )));
    }
    filter.parse().map_err(|error| refused(&error))
}
