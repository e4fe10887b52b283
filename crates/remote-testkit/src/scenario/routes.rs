//! The calls beside answers: vectors, lists of models, signs of life.

use std::time::Duration;

use infer_core::{EmbedBatch, ErrorKind, Usage};
use remote_core::meter::Outcome;

use crate::check::{Verdict, ensure, fails, same};
use crate::stage::FIRST_KEY;
use crate::{Rig, Script, Stage};

/// Holds if the first request was a GET that carried the key and no body.
fn was_asked(rig: &Rig) -> Verdict {
    let seen = rig.book.seen();
    let Some(request) = seen.first() else { return Err("no request came".into()) };
    same("the method", request.method.as_str(), "GET")?;
    same("bytes of the body", request.body.len(), 0)?;
    ensure(request.carries(FIRST_KEY), "the key must be in the request's headers or query")
}

/// *models*: the list comes in its order, is asked for without a body, and costs nothing.
///
/// # Errors
/// What was otherwise.
pub async fn models_are_listed(stage: Stage) -> Verdict {
    let Some(list) = stage.subject.wire.models(&["one/two:3", "b"]) else {
        return Err("the wire has no list of models: skip this, with the reason".into());
    };
    let rig = stage.rig([Script::json(list)]).await?;
    let models = rig.runner.models().await?;
    let names: Vec<_> = models.iter().map(|model| model.id.as_str()).collect();
    same("the models", names, vec!["one/two:3", "b"])?;
    was_asked(&rig)?;
    rig.audit(1)
}

/// *health*: an upstream is asked once, whatever comes of it, and the time that takes is measured.
///
/// # Errors
/// What was otherwise.
pub async fn health_is_asked_once(stage: Stage) -> Verdict {
    let body = stage.subject.wire.models(&["a"]).unwrap_or_default();
    let refusal = stage.refusal(ErrorKind::Overloaded);
    let rig = stage.rig([Script::json(body).after(stage.wait()), refusal]).await?;
    let health = rig.runner.health().await?;
    if stage.is_exact() {
        same("the latency", health.latency, stage.wait())?;
    } else {
        ensure(health.latency >= Duration::from_millis(1), "the latency must be measured")?;
    }
    was_asked(&rig)?;
    fails("an upstream that is overloaded", rig.runner.health().await, ErrorKind::Overloaded)?;
    rig.saw(2)?;
    let ends: Vec<_> = rig.records.calls().iter().map(|call| call.outcome).collect();
    same("the recorded ends", ends, vec![Outcome::Completed, Outcome::Failed(ErrorKind::Overloaded)])?;
    rig.audit(2)
}

/// *vectors in order*: vectors belong to their inputs, in whatever order they came, and cost what their usage says.
///
/// # Errors
/// What was otherwise.
pub async fn vectors_belong_to_their_inputs(stage: Stage) -> Verdict {
    let vectors = [vec![0.5, -1.0], vec![0.25, 2.0], vec![-0.125, 0.0]];
    let usage = Usage::new(300, 0);
    let Some(answer) = stage.subject.wire.vectors(&vectors, usage) else {
        return Err("the wire has no vectors: skip this, with the reason".into());
    };
    let rig = stage.rig([Script::json(answer)]).await?;
    let batch = EmbedBatch::new(stage.subject.model.clone(), ["one", "two", "three"]);
    let got = rig.runner.embed(batch).await?;
    same("the vectors", got.vectors, vectors.to_vec())?;
    same("the usage", got.usage.map(|usage| usage.input_tokens), Some(300))?;
    same("the cost", got.cost, Some(rig.price(&usage)))?;
    let seen = rig.book.seen();
    let Some(request) = seen.first() else { return Err("no request came".into()) };
    let body = String::from_utf8_lossy(&request.body);
    ensure(["one", "two", "three"].iter().all(|text| body.contains(text)), "every input must be sent")?;
    rig.audit(1)
}
