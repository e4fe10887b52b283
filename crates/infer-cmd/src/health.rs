//! `infer health`.

use infer_core::ModelRunner as _;

use crate::args::HealthArgs;
use crate::failure::Failure;
use crate::json;
use crate::output::Printer;
use crate::ready;
use crate::signals::Signals;
use crate::upstream::{Given, Upstream};

/// Asks once.
pub(crate) async fn run(args: &HealthArgs, given: &Given, signals: &mut Signals) -> Result<(), Failure> {
    if let Some(gateway) = &args.gateway {
        return ready::run(gateway, args.ca.as_deref(), args.ask.json, signals).await;
    }
    let args = &args.ask;
    let upstream = Upstream::find(&args.whom, given).await?;
    let health = tokio::select! {
        biased;
        stop = signals.stop() => return Err(Failure::stopped(stop)),
        health = upstream.runner.health() => health.map_err(Failure::call)?,
    };
    let name = &upstream.runner.info().name;
    let line = if args.json {
        json::health(health, name, upstream.is_simulated())
    } else {
        format!("{name} answers, after {:.0} ms", health.latency.as_secs_f64() * 1e3)
    };
    Ok(Printer::new().line(&line).await?)
}
