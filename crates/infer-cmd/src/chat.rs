//! `infer chat`.

use crate::answer::{Received, Show, ask};
use crate::args::ChatArgs;
use crate::failure::Failure;
use crate::output::{Printer, remark};
use crate::prompt::{self, Prompt};
use crate::request::Request;
use crate::signals::Signals;
use crate::upstream::{Given, Upstream};
use crate::{interactive, json, summary, terminal};

/// Asks once, or talks.
pub(crate) async fn run(args: ChatArgs, given: &Given, signals: &mut Signals) -> Result<(), Failure> {
    let request = Request::read(&args)?;
    let prompt = tokio::select! {
        biased;
        stop = signals.stop() => return Err(Failure::stopped(stop)),
        prompt = prompt::read(&args) => prompt?,
    };
    let upstream = Upstream::find(&args.whom, given).await?;
    let request = request.to(&upstream)?;
    let message = match prompt {
        Prompt::Ask(message) => message,
        Prompt::Talk(images) => {
            let talked = interactive::run(&args, &request, &upstream, images, signals).await;
            upstream.flush().await;
            return talked;
        }
    };
    let batch = request.batch(args.system.as_deref(), &[message]);
    let mut printer = Printer::new();
    let mut received = Received::start();
    let work = async {
        let mut show = if args.json { Show::Nothing } else { Show::Pieces(&mut printer) };
        ask(&upstream.runner, batch, &mut show, &mut received).await?;
        if args.json {
            printer.line(&json::answer(&received, &request.model, upstream.is_simulated())).await?;
        } else {
            printer.end().await?;
        }
        Ok(())
    };
    let outcome = tokio::select! {
        biased;
        stop = signals.stop() => Err(Failure::stopped(stop)),
        outcome = work => outcome,
    };
    upstream.flush().await;
    if let Err(failure) = outcome {
        printer.break_off().await;
        return Err(failure.with_partial(received.whole));
    }
    close(&args, &request, &upstream, &received);
    Ok(())
}

/// What a person should know once an answer is whole.
pub(crate) fn close(args: &ChatArgs, request: &Request<'_>, upstream: &Upstream, received: &Received) {
    if let Some(remark) = remark(&received.whole, args.max_tokens) {
        terminal::note(&remark);
    }
    if !args.quiet && !args.json {
        let line = summary::line(received, &request.model, upstream.is_simulated(), !args.no_stream);
        terminal::dim(&line);
        terminal::plain("\n");
    }
}
