//! `infer sim`.

use std::io::{self, Write as _};
use std::time::Duration;

use upstream_sim::Sim;

use crate::args::SimArgs;
use crate::failure::Failure;
use crate::signals::Signals;

/// Runs the simulator until it is stopped.
pub(crate) async fn run(args: &SimArgs, signals: &mut Signals) -> Result<(), Failure> {
    let sim = Sim::builder()
        .port(args.port)
        .seed(args.seed)
        .chunk_delay(Duration::from_millis(args.delay))
        .start()
        .await
        .map_err(|error| {
            let port = args.port;
            Failure::usage(format!("--port {port}: cannot listen on 127.0.0.1: {error}; 0 takes a free port"))
        })?;
    let url = sim.base_url();
    let mut stdout = io::stdout();
    writeln!(stdout, "{url}\n\nTry:  infer chat --base-url {url} \"Hello\"")
        .and_then(|()| stdout.flush())
        .map_err(Failure::from)?;
    Err(Failure::stopped(signals.stop().await))
}
