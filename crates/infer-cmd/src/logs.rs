//! Logs on standard error, for those who ask.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::upstream::variable;

const ONCE: &str = "warn,infer=debug,infer_core=debug,remote_core=debug,runtime_openai=debug";
const TWICE: &str = "debug,infer=trace,infer_core=trace,remote_core=trace,runtime_openai=trace";

/// Starts logging when `-v` or `RUST_LOG` asks for it; `RUST_LOG` says what to show when both do.
pub(crate) fn start(verbose: u8) -> Result<(), Failure> {
    let filter = match (variable("RUST_LOG")?, verbose) {
        (Some(filter), _) => filter,
        (None, 0) => return Ok(()),
        (None, 1) => ONCE.to_owned(),
        (None, _) => TWICE.to_owned(),
    };
    let filter = EnvFilter::try_new(&filter)
        .map_err(|error| Failure::usage(format!("RUST_LOG: {error}: write it as in RUST_LOG=debug")))?;
    let color = io::stderr().is_terminal() && variable("NO_COLOR")?.is_none();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(color).with_writer(io::stderr);
    // Fails only when logging was started before, and this is the one place.
    _ = logs.try_init();
    Ok(())
}
