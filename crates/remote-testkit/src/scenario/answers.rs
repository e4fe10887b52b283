//! Answers that arrive well.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use infer_core::{Completion, ErrorKind, FinishKind, Usage};
use tokio::time::Instant;

use crate::check::{Verdict, ensure, fails, same};
use crate::stage::{FIRST_KEY, PROMPT};
use crate::{Act, Rig, Script, Stage};

/// Holds if `whole` is the one answer `text`, finished, with usage and cost.
fn is_answer(rig: &Rig, whole: &Completion, text: &str) -> Verdict {
    same("choices", whole.choices.len(), 1)?;
    same("the text", whole.text(), text)?;
    same("the finish", whole.finish().map(infer_core::FinishReason::kind), Some(FinishKind::Stop))?;
    let usage = rig.stage.usage();
    let counts = |usage: Usage| (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens);
    same("the usage", whole.usage.map(counts), Some(counts(usage)))?;
    same("the cost", whole.cost, Some(rig.price(&usage)))
}

/// *collected*: an answer in one piece arrives whole; the request carried the prompt and the key.
///
/// # Errors
/// What was otherwise.
pub async fn a_collected_answer_is_whole(stage: Stage) -> Verdict {
    let rig = stage.rig([stage.whole("Hé\n\"you\"")]).await?;
    let run = rig.runner.execute(rig.batch()).await?;
    same("attempts", run.meta().attempts, 1)?;
    is_answer(&rig, &run.collect().await?, "Hé\n\"you\"")?;
    let seen = rig.book.seen();
    let Some(request) = seen.first() else { return Err("no request came".into()) };
    same("the method", request.method.as_str(), "POST")?;
    ensure(String::from_utf8_lossy(&request.body).contains(PROMPT), "the prompt must be in the request")?;
    ensure(request.carries(FIRST_KEY), "the key must be in the request's headers or query")?;
    rig.audit(1)
}

/// *streamed*: pieces are handed over as they come, and add up to the answer.
///
/// # Errors
/// What was otherwise.
pub async fn a_streamed_answer_comes_in_pieces(stage: Stage) -> Verdict {
    let mut script = stage.stream(&["Hé", "llo", " you"]);
    script.body.insert(2, Act::Wait(stage.wait())); // after the first text
    let rig = stage.rig([script]).await?;
    let begun = Instant::now();
    let mut stream = rig.open().await?.into_stream();
    let mut whole = Completion::default();
    let mut times = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        if !chunk.text.is_empty() {
            times.push(begun.elapsed());
        }
        whole.push(chunk);
    }
    same("pieces of text", times.len(), 3)?;
    if stage.is_exact() {
        let wait = stage.wait();
        same("when they came", times, vec![Duration::ZERO, wait, wait])?;
    }
    ensure(stream.next().await.is_none(), "a stream must give nothing after its end")?;
    is_answer(&rig, &whole, "Héllo you")?;
    rig.audit(1)
}

/// *every split*: wherever the network cuts an answer, it is the same answer.
///
/// # Errors
/// The place of the cut, and what was otherwise.
pub async fn every_split_gives_the_same_answer(stage: Stage) -> Verdict {
    for (script, is_stream) in [(stage.stream(&["Hé", "llo"]), true), (stage.whole("Héllo"), false)] {
        let length = script.body_bytes().len();
        // Over a socket the reads may be joined again, so a few cuts show as much as all.
        let step = if stage.is_exact() { 1 } else { 61 };
        let cuts = (0..=length).step_by(step).map(|place| vec![place]);
        let cuts: Vec<Vec<usize>> = cuts.chain([(1..length).collect()]).collect();
        let count = cuts.len();
        let scripts = cuts.clone().into_iter().map(|places| script.clone().split_at(places));
        let rig = stage.rig(scripts.collect::<Vec<_>>()).await?;
        for places in cuts {
            let whole = if is_stream {
                let (whole, end) = rig.drain().await?;
                end.map(|()| whole)
            } else {
                rig.collect().await
            };
            let at = if let [place] = places.as_slice() {
                format!("cut at {place}")
            } else {
                "cut everywhere".into()
            };
            let verdict = whole.map_err(Into::into).and_then(|whole| is_answer(&rig, &whole, "Héllo"));
            verdict.map_err(|found| format!("{at}: {found}"))?;
        }
        rig.audit(count)?;
    }
    Ok(())
}

/// *usage in the tail*: usage reported after the finish counts, and usage that is not reported is not made up.
///
/// # Errors
/// What was otherwise.
pub async fn usage_in_the_tail_is_counted(stage: Stage) -> Verdict {
    let wire = &stage.subject.wire;
    let silent = Script::events([wire.role(), wire.text("hi"), wire.finish(), wire.done()]);
    let rig = stage.rig([stage.stream(&["hi"]), silent]).await?;
    let (whole, end) = rig.drain().await?;
    end?;
    is_answer(&rig, &whole, "hi")?;
    let (whole, end) = rig.drain().await?;
    end?;
    same("usage that nobody reported", whole.usage, None)?;
    same("the cost of unknown usage", whole.cost, None)?;
    let calls = rig.records.calls();
    same(
        "recorded usage",
        calls.iter().map(|call| call.usage.is_some()).collect::<Vec<_>>(),
        vec![true, false],
    )?;
    rig.audit(2)
}

/// *empty choices*: events without choices are no fault, wherever they stand; a whole answer without any is one.
///
/// # Errors
/// What was otherwise.
pub async fn empty_choices_are_neither_an_answer_nor_a_fault(stage: Stage) -> Verdict {
    let wire = &stage.subject.wire;
    let mut events = wire.empty_events();
    for event in wire.stream(&["Hé", "llo"], stage.usage()) {
        let is_last = event == wire.done();
        events.push(event);
        if !is_last {
            events.extend(wire.empty_events());
        }
    }
    let nothing = Script::json(wire.whole_empty());
    let rig = stage.rig([Script::events(events), nothing]).await?;
    let (whole, end) = rig.drain().await?;
    end?;
    is_answer(&rig, &whole, "Héllo")?;
    fails("a whole answer without choices", rig.collect().await, ErrorKind::Decode)?;
    rig.saw(2)?;
    rig.audit(2)
}

/// *unknown fields*: what a later version of the format adds changes nothing.
///
/// # Errors
/// What was otherwise.
pub async fn unknown_fields_are_passed_over(stage: Stage) -> Verdict {
    let wire = &stage.subject.wire;
    let changed = |bytes: &Bytes| wire.with_unknown(bytes);
    let events: Vec<Bytes> = wire.stream(&["Hé", "llo"], stage.usage()).iter().map(changed).collect();
    let whole = changed(&wire.whole("Héllo", stage.usage()));
    let rig = stage.rig([Script::events(events), Script::json(whole)]).await?;
    let (streamed, end) = rig.drain().await?;
    end?;
    is_answer(&rig, &streamed, "Héllo")?;
    is_answer(&rig, &rig.collect().await?, "Héllo")?;
    rig.audit(2)
}

/// *cost equals `from_rates`*: an answer, its last piece with usage and its record cost what the usage costs, exactly.
///
/// # Errors
/// What was otherwise.
pub async fn the_cost_is_the_usage_at_the_rates(stage: Stage) -> Verdict {
    let rig = stage.rig([stage.whole("hi"), stage.stream(&["hi"])]).await?;
    let expected = Some(rig.price(&stage.usage()));
    ensure(
        expected.is_some_and(|cost| cost.total().picos() > 0),
        "the rates of the subject must not be zero",
    )?;
    same("the cost of a whole answer", rig.collect().await?.cost, expected)?;
    let mut stream = rig.open().await?.into_stream();
    let mut cost = None;
    while let Some(chunk) = stream.next().await {
        cost = chunk?.cost.map(|cost| *cost).or(cost);
    }
    same("the cost of a stream", cost, expected)?;
    for record in rig.records.calls().iter().chain(&rig.records.attempts()) {
        same("the cost in a record", record.cost.known().copied(), expected)?;
        ensure(!record.estimated, "usage that the upstream reported is no estimate")?;
    }
    rig.audit(2)
}
