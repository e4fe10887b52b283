//! The pipeline against scripts, on a paused clock.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod common;

use std::time::Duration;

use common::{Act, KEY, Script, drain, event, once, runner, runner_with, streaming, wait};
use futures_util::{FutureExt as _, StreamExt as _};
use infer_core::{
    DecodeKind, ErrorKind, ExecuteBatch, InferenceError, ModelRunner, Retryability, TimeoutPhase,
    TransportKind, Usd,
};
use remote_core::TransportFault;

fn kind(result: Result<(), InferenceError>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[tokio::test(start_paused = true)]
async fn a_streamed_answer_is_handed_over_whole_and_priced() {
    let script = Script::stream([
        event("!role"),
        event("Hel"),
        event("lo"),
        event("!end"),
        event("!use 1000 2"),
        event("!done"),
    ]);
    let (runner, transport) = runner([script]);
    let run = runner.execute(streaming()).await.unwrap();
    assert_eq!(run.meta().attempts, 1);
    let (whole, end) = drain(run.into_stream()).await;
    end.unwrap();
    assert_eq!(whole.text(), "Hello");
    assert_eq!(whole.cost.unwrap().total(), Usd::from_picos(1000 * 1_000_000 + 2 * 2_000_000));
    let seen = transport.seen.lock().unwrap();
    let (_, headers, body) = &seen[0];
    assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(headers["accept"], "text/event-stream");
    assert_eq!(&body[..], b"{\"model\":\"toy-model\"}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_one_piece_replays_as_a_stream() {
    let (runner, _) = runner([Script::whole("all of it"), Script::whole("all of it")]);
    let whole = runner.execute(ExecuteBatch::new("toy-model", "hi")).await.unwrap().collect().await.unwrap();
    assert_eq!((whole.text(), whole.cost.unwrap().total().picos()), ("all of it", 1_020_000_000));
    // A stream was asked for and JSON came.
    let (again, end) = drain(runner.execute(streaming()).await.unwrap().into_stream()).await;
    end.unwrap();
    assert_eq!(again.choices, whole.choices);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_not_asked_for_is_collected() {
    let (runner, _) = runner([Script::stream([event("a"), event("b"), event("!end")])]);
    let whole = runner.execute(ExecuteBatch::new("toy-model", "hi")).await.unwrap().collect().await.unwrap();
    assert_eq!(whole.text(), "ab");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_price_is_no_price() {
    let (runner, _) = runner([Script::whole("x")]);
    let whole = runner.execute(ExecuteBatch::new("unpriced", "hi")).await.unwrap().collect().await.unwrap();
    assert_eq!(whole.cost, None);
    assert!(whole.usage.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_dies_before_its_first_content_hands_nothing_over_and_may_be_repeated() {
    for acts in [
        vec![event("!role")],
        vec![event("!role"), Act::Break],
        vec![event("!role"), event("!error overloaded")],
        vec![Act::Bytes(b"data: !ro")],
        vec![Act::Bytes(b": keep-alive\n\n")],
        vec![],
    ] {
        let (runner, _) = runner([Script::stream(acts.clone())]);
        let error = runner.execute(streaming()).await.unwrap_err();
        assert_eq!(error.origin().unwrap().chunks, 0, "{acts:?}");
        assert_eq!(error.retryability(), Retryability::Backoff, "{acts:?}: {error}");
        assert!(error.fails_over());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_dies_after_content_keeps_what_arrived_and_is_never_repeated() {
    for (acts, expect) in [
        (vec![], ErrorKind::StreamInterrupted),
        (vec![Act::Break], ErrorKind::StreamInterrupted),
        (vec![event("!done")], ErrorKind::StreamInterrupted),
        (vec![Act::Bytes(b"data: tail without its end")], ErrorKind::StreamInterrupted),
        (vec![event("!error overloaded")], ErrorKind::Overloaded),
        (vec![event("!error what")], ErrorKind::Upstream),
        (vec![Act::Bytes(b"event: error\ndata: x\n\n")], ErrorKind::Upstream),
        (vec![event("!bad")], ErrorKind::Decode),
        (vec![Act::Bytes(b"data: \xff\n\n")], ErrorKind::Decode),
    ] {
        let script = [vec![event("some "), event("text")], acts.clone()].concat();
        let (runner, _) = runner([Script::stream(script)]);
        let (whole, end) = drain(runner.execute(streaming()).await.unwrap().into_stream()).await;
        let error = end.unwrap_err();
        assert_eq!(whole.text(), "some text", "{acts:?}");
        assert_eq!(error.kind(), expect, "{acts:?}");
        assert_eq!(error.origin().unwrap().chunks, 2, "{acts:?}");
        assert_eq!(error.retryability(), Retryability::Never);
        assert!(!error.fails_over());
    }
}

/// What comes in one read with an error is still handed over, and counted.
#[tokio::test(start_paused = true)]
async fn pieces_that_arrive_together_with_an_error_are_handed_over_before_it() {
    let script = Script::stream([Act::Bytes(b"data: a\n\ndata: b\n\ndata: !bad\n\ndata: lost\n\n")]);
    let (runner, _) = runner([script]);
    let (whole, end) = drain(runner.execute(streaming()).await.unwrap().into_stream()).await;
    let error = end.unwrap_err();
    assert_eq!((whole.text(), error.origin().unwrap().chunks), ("ab", 2));
}

#[tokio::test(start_paused = true)]
async fn a_finish_without_a_last_word_is_a_normal_end_and_nothing_after_the_last_word_counts() {
    let ends = [vec![event("!end")], vec![event("!end"), event("!done"), event("lost"), event("!bad")]];
    for acts in ends {
        let (runner, _) = runner([Script::stream([vec![event("a")], acts].concat())]);
        let (whole, end) = drain(runner.execute(streaming()).await.unwrap().into_stream()).await;
        end.unwrap();
        assert_eq!(whole.text(), "a");
    }
}

#[tokio::test(start_paused = true)]
async fn every_wait_has_its_own_limit_and_its_own_error() {
    use TimeoutPhase::{FirstContent, Head, IdleBytes, IdleContent};
    let keep_alive = || Act::Bytes(b": still here\n\n");
    let chatter = || (0..40).flat_map(|_| [wait(30), keep_alive()]).collect::<Vec<_>>();
    let late_head = Script { head_after: Duration::from_secs(61), ..Script::stream([event("x")]) };
    for (script, phase, seconds) in [
        (late_head, Head, 60),
        (Script::stream([Act::Hang]), IdleBytes, 90),
        (Script::stream(chatter()), FirstContent, 120),
        (Script::stream([event("x"), Act::Hang]), IdleBytes, 90),
        (Script::stream([vec![event("x")], chatter()].concat()), IdleContent, 300),
    ] {
        let begun = tokio::time::Instant::now();
        let (runner, transport) = runner([script.clone()]);
        let result = async {
            let (_, end) = drain(runner.execute(streaming()).await?.into_stream()).await;
            end
        };
        let error = result.await.unwrap_err();
        let InferenceError::Timeout { phase: found, limit, .. } = &error else { unreachable!("{error}") };
        assert_eq!((*found, limit.as_secs()), (phase, seconds), "{script:?}");
        assert_eq!(begun.elapsed().as_secs(), seconds, "{script:?}");
        assert!(error.to_string().contains(phase.key()), "{error}");
        if phase != Head {
            assert_eq!(*transport.dropped.lock().unwrap(), 1, "the connection stays open: {script:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_longer_than_every_limit_but_never_idle_is_fine() {
    let acts = (0..600).flat_map(|_| [wait(10), event("x")]).chain([event("!end")]).collect::<Vec<_>>();
    let (runner, _) = runner([Script::stream(acts)]);
    let (whole, end) = drain(runner.execute(streaming()).await.unwrap().into_stream()).await;
    end.unwrap();
    assert_eq!(whole.text().len(), 600);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_is_slow_to_ask_does_not_make_the_upstream_late() {
    let acts = [event("a"), Act::Bytes(b": alive\n\n"), event("b"), event("!end")];
    let (runner, _) = runner([Script::stream(acts)]);
    let mut stream = runner.execute(streaming()).await.unwrap().into_stream();
    assert_eq!(stream.next().await.unwrap().unwrap().text, "a");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(stream.next().await.unwrap().unwrap().text, "b");
    let (_, end) = drain(stream).await;
    end.unwrap();
}

/// Bytes that are always ready never let the task wait, so a timer alone would not fire.
#[tokio::test]
async fn a_flood_of_keep_alives_does_not_hide_that_no_output_comes() {
    let mut config = once();
    config.timeouts.first_content = Duration::from_millis(50);
    let flood = vec![Act::Bytes(b": x\n\n"); 3_000_000];
    let (runner, _) = runner_with(config, [Script::stream(flood)]);
    let error = runner.execute(streaming()).await.unwrap_err();
    assert!(matches!(error, InferenceError::Timeout { phase: TimeoutPhase::FirstContent, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_call_ends_it_in_every_phase() {
    let late_head = Script { head_after: Duration::from_secs(61), ..Script::stream([]) };
    let scripts =
        [late_head, Script::stream([Act::Hang]), Script::stream([event("x"), Act::Hang]), Script::whole("")];
    for mut script in scripts {
        if script.headers[0].1 == "application/json" {
            script.body = vec![Act::Bytes(b"begin"), Act::Hang];
        }
        let begun = tokio::time::Instant::now();
        let (runner, _) = runner([script]);
        let batch = streaming().with_deadline(Duration::from_secs(20));
        let result = async { drain(runner.execute(batch).await?.into_stream()).await.1 };
        assert_eq!(kind(result.await), ErrorKind::DeadlineExceeded);
        assert_eq!(begun.elapsed().as_secs(), 20);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_or_a_body_over_its_limit_is_refused() {
    let mut config = once();
    config.limits.max_event_bytes = 2000;
    config.limits.max_body_bytes = 2000;
    let long: &'static str = "x".repeat(3000).leak();
    let endless_role = vec![event("!role"); 1000];
    for (script, expect) in [
        (Script::stream([event(long)]), DecodeKind::EventTooLarge),
        (
            Script::stream([Act::Bytes(long.as_bytes()), Act::Bytes(long.as_bytes())]),
            DecodeKind::EventTooLarge,
        ),
        (Script::stream(endless_role), DecodeKind::EventTooLarge),
        (Script::whole(long), DecodeKind::BodyTooLarge),
    ] {
        let (runner, _) = runner_with(config.clone(), [script]);
        let error = runner.execute(streaming()).await.unwrap_err();
        assert!(matches!(&error, InferenceError::Decode { kind, .. } if *kind == expect), "{error}");
        assert!(error.to_string().contains("raise limits."), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_read_and_classified() {
    let said = |text: &'static str| [Act::Bytes(text.as_bytes())];
    for (status, text, expect) in [
        (400, "no", ErrorKind::InvalidRequest),
        (400, "code too_long", ErrorKind::ContextLengthExceeded),
        (401, "", ErrorKind::Unauthenticated),
        (402, "", ErrorKind::QuotaExhausted),
        (404, "", ErrorKind::ModelNotFound),
        (429, "", ErrorKind::RateLimited),
        (500, "", ErrorKind::Upstream),
        (503, "", ErrorKind::Overloaded),
        (204, "", ErrorKind::Upstream),
    ] {
        let mut script = Script::status(status, said(text));
        script.headers = vec![("retry-after", "7"), ("x-request-id", "up-1")];
        let (runner, _) = runner([script]);
        let error = runner.execute(streaming()).await.unwrap_err();
        assert_eq!(error.kind(), expect, "{status}");
        let at = error.origin().unwrap();
        assert_eq!((at.status, at.upstream_request_id.as_deref()), (Some(status), Some("up-1")));
        assert_eq!(at.endpoint.as_deref(), Some("http://toy.test:8080"));
        if matches!(expect, ErrorKind::RateLimited | ErrorKind::Overloaded) {
            assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_refused_and_says_why() {
    let mut script = Script::status(307, []);
    script.headers = vec![("location", "https://elsewhere.test/")];
    let (runner, transport) = runner([script]);
    let error = runner.execute(streaming()).await.unwrap_err();
    assert!(matches!(error, InferenceError::Transport { kind: TransportKind::Redirect, .. }));
    assert!(error.to_string().contains("redirect refused") && !error.to_string().contains("elsewhere"));
    assert_eq!(error.retryability(), Retryability::Never);
    assert_eq!(transport.seen.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_connection_is_told_apart_from_no_answer() {
    for (fault, expect) in [
        (TransportFault::ConnectTimeout, ErrorKind::Timeout),
        (TransportFault::Before(TransportKind::Dns), ErrorKind::Transport),
        (TransportFault::Before(TransportKind::Closed), ErrorKind::Transport),
    ] {
        let script = Script { fails: Some(fault), ..Script::stream([]) };
        let (runner, _) = runner([script]);
        let error = runner.execute(streaming()).await.unwrap_err();
        assert_eq!(error.kind(), expect);
        assert_eq!(error.retryability(), Retryability::Backoff);
        assert!(std::error::Error::source(&error).is_some() || expect == ErrorKind::Timeout);
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_upstream_says_is_cut_and_the_key_is_taken_out_of_it() {
    let body: &'static str = format!("your key {KEY} is wrong {}", "x".repeat(100_000)).leak();
    let mut script = Script::status(401, [Act::Bytes(body.as_bytes())]);
    script.headers = vec![("x-request-id", KEY)];
    let (runner, _) = runner([script]);
    let error = runner.execute(streaming()).await.unwrap_err();
    let printed = format!("{error} {error:?} {:?}", runner.session());
    assert!(printed.contains("your key [redacted] is wrong"), "{printed}");
    assert!(!printed.contains("very-secret") && !printed.contains("sk-in-query"), "{printed}");
    assert!(printed.len() < 3000);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_written_is_refused_before_anything_is_sent() {
    let (runner, transport) = runner([]);
    let error = runner.execute(ExecuteBatch::new("refuse", "hi")).await.unwrap_err();
    assert_eq!(error.to_string(), "toy-1: request refused: model: must not be refuse (model refuse)");
    assert!(transport.seen.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_or_its_stream_closes_the_connection_at_once() {
    let (runner, transport) = runner([Script::stream([Act::Hang]), Script::stream([event("x"), Act::Hang])]);
    let mut call = Box::pin(runner.execute(streaming()));
    assert!((&mut call).now_or_never().is_none());
    tokio::task::yield_now().await;
    assert!((&mut call).now_or_never().is_none());
    drop(call);
    assert_eq!(*transport.dropped.lock().unwrap(), 1);

    let mut stream = runner.execute(streaming()).await.unwrap().into_stream();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    assert_eq!(*transport.dropped.lock().unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_in_flight_keeps_its_key_and_the_next_one_uses_the_new_one() {
    let slow = Script::stream([event("a"), wait(10), event("b"), event("!end")]);
    let (runner, transport) = runner([slow, Script::whole("x")]);
    let stream = runner.execute(streaming()).await.unwrap().into_stream();
    remote_core::session::rotate(runner.session(), Some("sk-the-next-key".into())).unwrap();
    runner.execute(streaming()).await.unwrap();
    let (whole, end) = drain(stream).await;
    end.unwrap();
    assert_eq!(whole.text(), "ab");
    let seen = transport.seen.lock().unwrap();
    let keys: Vec<_> =
        seen.iter().map(|(_, headers, _)| headers["authorization"].to_str().unwrap()).collect();
    assert_eq!(keys, [format!("Bearer {KEY}").as_str(), "Bearer sk-the-next-key"]);
}

#[tokio::test(start_paused = true)]
async fn a_prediction_counts_input_by_bytes_and_output_by_its_limit() {
    let (runner, _) = runner([]);
    let batch = ExecuteBatch::new("toy-model", "12345678").with_max_output_tokens(10).with_n(2);
    let cost = runner.estimate(&batch).unwrap();
    assert_eq!((cost.input.picos(), cost.output.picos()), (2 * 1_000_000, 20 * 2_000_000));
    assert_eq!(runner.estimate(&ExecuteBatch::new("unpriced", "x")), None);
}
