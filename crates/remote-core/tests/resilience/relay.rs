//! Requests that are passed on: bytes unchanged, one honest end, and everything else as for a modelled call.

use std::time::Duration;

use futures_util::StreamExt as _;
use http::Method;
use infer_core::{
    DecodeKind, ErrorKind, FinishKind, InferenceError, ModelRunner as _, RelayAnswer, RelayMethod,
    RelayRequest, TimeoutPhase, Usage,
};
use proptest::prelude::*;
use remote_core::breaker::BreakerState;
use remote_core::meter::{Cost, Outcome, Unpriced};
use remote_core::{Operation, RemoteConfig};

use super::{Act, Rig, Script, assert_nothing_is_held, once, rig, seconds, status};

const CREATED: &str = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r1\",\"model\":\"toy-2\",\"usage\":null}}\n\n";
const DELTA: &str = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"12345678\"}\n\n";
const COMPLETED: &str = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r1\",\"model\":\"toy-2\",\"status\":\"completed\",\"usage\":{\"input_tokens\":30,\"input_tokens_details\":{\"cached_tokens\":10},\"output_tokens\":13,\"output_tokens_details\":{\"reasoning_tokens\":12},\"total_tokens\":43}}}\n\n";
const FAILED: &str = "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"no\"}}}\n\n";

fn bytes(text: impl Into<Vec<u8>>) -> Act {
    Act::Bytes(text.into().leak())
}

fn events<'a>(texts: impl IntoIterator<Item = &'a str>) -> Script {
    Script::stream(texts.into_iter().map(bytes))
}

fn posted() -> RelayRequest {
    RelayRequest::new(RelayMethod::Post, "/responses")
        .with_json(r#"{"model": "toy-model", "input": "hi", "stream": true}"#)
}

/// Everything a body gave, and how it ended.
async fn drain(answer: RelayAnswer) -> (Vec<u8>, Result<(), InferenceError>) {
    let (mut body, mut whole) = (answer.body, Vec::new());
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => whole.extend_from_slice(&piece),
            Err(error) => {
                assert!(body.next().await.is_none(), "something came after the end");
                return (whole, Err(error));
            }
        }
    }
    assert!(body.next().await.is_none(), "something came after the end");
    (whole, Ok(()))
}

async fn relay(
    rig: &Rig,
    request: RelayRequest,
) -> Result<(Vec<u8>, Result<(), InferenceError>), InferenceError> {
    Ok(drain(rig.runner.relay(request).await?).await)
}

#[tokio::test(start_paused = true)]
async fn a_stream_passes_unchanged_and_its_usage_is_paid_for() {
    let rig = rig(once(), [events([": hello\n\n", CREATED, DELTA, COMPLETED])]);
    let answer = rig.runner.relay(posted()).await.unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!(answer.meta.attempts, 1);
    let (body, end) = drain(answer).await;
    end.unwrap();
    assert_eq!(String::from_utf8(body).unwrap(), [": hello\n\n", CREATED, DELTA, COMPLETED].concat());
    let seen = rig.upstream.seen();
    assert_eq!((&seen[0].method, &seen[0].body), (&Method::POST, &posted().body));
    let mut usage = Usage::new(30, 13);
    (usage.cached_input_tokens, usage.reasoning_tokens) = (10, 12);
    let call = &rig.log.calls()[0];
    assert_eq!((call.outcome, call.usage, call.estimated), (Outcome::Completed, Some(usage), false));
    assert_eq!((call.subject.operation, call.served_model()), (Operation::Relay, "toy-2"));
    assert_eq!(call.finish.as_ref().unwrap(), &FinishKind::Stop);
    assert_eq!(call.cost.known().unwrap().total().picos(), 30 * 1_000_000 + 13 * 2_000_000);
    assert_nothing_is_held(&rig);
}

#[tokio::test(start_paused = true)]
async fn it_resolves_with_the_first_whole_event_and_hands_over_whole_events_only() {
    let (head, tail) = DELTA.split_at(40);
    let script = Script::stream([
        bytes(": wait\n\n"),
        Act::Wait(seconds(3)),
        bytes([CREATED, head].concat()),
        Act::Wait(seconds(3)),
        bytes([tail, COMPLETED].concat()),
    ]);
    let rig = rig(once(), [script]);
    let begun = tokio::time::Instant::now();
    let mut answer = rig.runner.relay(posted()).await.unwrap();
    assert!((3.0..4.0).contains(&begun.elapsed().as_secs_f64()));
    let mut pieces = Vec::new();
    while let Some(piece) = answer.body.next().await {
        pieces.extend_from_slice(&piece.unwrap());
        // The beginning of the second event came with the first one, and waits for its end.
        let is_later = pieces.len() > [": wait\n\n", CREATED].concat().len();
        assert_eq!(begun.elapsed() >= seconds(6), is_later);
    }
    assert_eq!(String::from_utf8(pieces).unwrap(), [": wait\n\n", CREATED, DELTA, COMPLETED].concat());
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_first_event_is_repeated_and_leaves_no_trace() {
    for first in ["event: error\ndata: {\"type\":\"error\",\"code\":\"x\",\"message\":\"no\"}\n\n", FAILED] {
        let rig = rig(RemoteConfig::default(), [events([first]), events([CREATED, COMPLETED])]);
        let answer = rig.runner.relay(posted()).await.unwrap();
        assert_eq!(answer.meta.attempts, 2);
        let (body, end) = drain(answer).await;
        end.unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), [CREATED, COMPLETED].concat());
        assert_eq!(rig.log.attempts()[0].outcome, Outcome::Retried(ErrorKind::Upstream));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_cut_before_its_last_event_is_interrupted() {
    let cut = &COMPLETED[..COMPLETED.len() - 20];
    for script in [
        events([CREATED, DELTA]),
        events([CREATED, DELTA, cut]),
        events([CREATED, DELTA, ": x\n\n"]),
        Script::stream([bytes(CREATED), bytes(DELTA), Act::Break]),
    ] {
        let rig = rig(RemoteConfig::default(), [script]);
        let (body, end) = relay(&rig, posted()).await.unwrap();
        let error = end.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StreamInterrupted);
        assert!(error.origin().unwrap().chunks > 0 && !error.fails_over());
        let body = String::from_utf8(body).unwrap();
        assert!(body.starts_with(&[CREATED, DELTA].concat()) && body.ends_with("\n\n"), "{body}");
        assert_eq!(rig.upstream.seen().len(), 1);
        assert_eq!(rig.log.calls()[0].outcome, Outcome::Failed(ErrorKind::StreamInterrupted));
        // 8 bytes were written, and a token is about 4 of them.
        assert_eq!(rig.log.calls()[0].usage.unwrap().output_tokens, 2);
        assert_nothing_is_held(&rig);
    }
}

#[tokio::test(start_paused = true)]
async fn other_streams_end_by_their_own_rules() {
    let chat = "data: {\"choices\":[]}\n\n";
    for (path, body, is_whole) in [
        ("/completions", vec![chat, "data: [DONE]\n\n"], true),
        ("/completions", vec![chat], false),
        ("/images/generations", vec!["data: {\"type\":\"image_generation.partial_image\"}\n\n"], false),
        ("/images/generations", vec!["data: {\"type\":\"image_generation.completed\"}\n\n"], true),
        ("/audio/speech", vec!["data: {\"type\":\"speech.audio.delta\"}\n\n"], false),
        ("/threads", vec!["event: thread.created\ndata: {}\n\n"], true),
        ("/threads", vec!["event: thread.created\ndata: {}\n\n", "data: {"], false),
        ("/responses/r", vec!["data: {\"type\":\"new\"}\n\n"], false),
    ] {
        let rig = rig(once(), [events(body.clone())]);
        let (_, end) = relay(&rig, RelayRequest::new(RelayMethod::Post, path)).await.unwrap();
        assert_eq!(end.is_ok(), is_whole, "{path} {body:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_failed_is_whole_for_its_reader_and_a_failure_for_the_breaker() {
    let mut config = once();
    config.circuit_breaker.consecutive_failures = 1;
    let rig = rig(config, [events([CREATED, DELTA, FAILED])]);
    let (body, end) = relay(&rig, posted()).await.unwrap();
    end.unwrap();
    assert!(body.ends_with(FAILED.as_bytes()));
    let call = &rig.log.calls()[0];
    assert_eq!((call.outcome, call.attempts), (Outcome::Failed(ErrorKind::Upstream), 1));
    assert_eq!(rig.runner.breaker_state(Operation::Relay).0, BreakerState::Open);
    assert_eq!(rig.runner.breaker_state(Operation::Generate).0, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_error_event_is_passed_on_and_ends_the_stream() {
    let error = "event: error\ndata: {\"type\":\"error\",\"code\":\"overloaded\",\"message\":\"no\"}\n\n";
    let rig = rig(RemoteConfig::default(), [events([CREATED, error, COMPLETED])]);
    let (body, end) = relay(&rig, posted()).await.unwrap();
    assert_eq!(String::from_utf8(body).unwrap(), [CREATED, error].concat());
    assert_eq!(end.unwrap_err().kind(), ErrorKind::Upstream);
    assert_eq!(rig.upstream.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_json_answer_is_passed_on_whole_and_paid_for_by_either_vocabulary() {
    for (body, usage) in [
        (
            r#"{ "model": "toy-3", "usage": {"prompt_tokens": 5, "completion_tokens": 7}, "error": null }"#,
            Usage::new(5, 7),
        ),
        (
            r#"{"model":"toy-3","usage":{"input_tokens":5,"output_tokens":7,"total_tokens":12}}"#,
            Usage::new(5, 7),
        ),
    ] {
        let broken = Script::status(200, [bytes(&body[..9]), Act::Break]);
        let broken = Script { headers: vec![("content-type", "application/json")], ..broken };
        let rig = rig(RemoteConfig::default(), [broken, Script::whole(body)]);
        let (passed, end) = relay(&rig, posted()).await.unwrap();
        end.unwrap();
        assert_eq!(passed, body.as_bytes());
        let attempts = rig.log.attempts();
        assert_eq!(
            (attempts.len(), attempts[1].usage, attempts[1].served_model()),
            (2, Some(usage), "toy-3")
        );
        assert_eq!(attempts[0].outcome, Outcome::Retried(ErrorKind::StreamInterrupted));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_under_a_success_is_repeated_unless_it_is_only_read_again() {
    let failed = r#"{"object":"response","status":"failed","error":{"code":"server_error","message":"no"}}"#;
    let fine = r#"{"object":"response","error":null}"#;
    let rig =
        rig(RemoteConfig::default(), [Script::whole(failed), Script::whole(fine), Script::whole(failed)]);
    assert_eq!(relay(&rig, posted()).await.unwrap().0, fine.as_bytes());
    let again = RelayRequest::new(RelayMethod::Get, "/responses/r1");
    assert_eq!(relay(&rig, again).await.unwrap().0, failed.as_bytes());
    assert_eq!(rig.upstream.seen().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_read_again_is_free_and_waits_for_no_limit() {
    let mut config = once();
    config.rate_limits.max_in_flight = Some(1);
    let body = r#"{"usage":{"input_tokens":5,"output_tokens":7}}"#;
    let rig = rig(config, [events([CREATED, COMPLETED]), Script::whole(body)]);
    let held = rig.runner.relay(posted()).await.unwrap();
    relay(&rig, RelayRequest::new(RelayMethod::Get, "/responses/r1")).await.unwrap().1.unwrap();
    let call = &rig.log.calls()[0];
    assert_eq!(
        (call.usage, call.cost.known().unwrap().total().picos(), call.unpriced_attempts),
        (None, 0, 0)
    );
    assert_eq!(rig.upstream.seen()[1].method, Method::GET);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_counted_is_unpriced_and_says_why() {
    let rig =
        rig(once(), [Script::whole(r#"{"results":[]}"#), Script::status(200, [bytes([0, 159, 146, 150])])]);
    let (_, end) = relay(&rig, RelayRequest::new(RelayMethod::Post, "/moderations")).await.unwrap();
    end.unwrap();
    let (sound, end) = relay(&rig, RelayRequest::new(RelayMethod::Post, "/audio/speech")).await.unwrap();
    end.unwrap();
    assert_eq!(sound, [0, 159, 146, 150]);
    for call in rig.log.calls() {
        assert_eq!((call.cost, call.unpriced_attempts), (Cost::Unpriced(Unpriced::NoUsage), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_shorter_than_its_head_said_is_interrupted() {
    let short = Script::status(200, [bytes("abc"), bytes("de")]);
    let short = Script { headers: vec![("content-length", "6"), ("set-cookie", "a=b")], ..short };
    let whole = Script { headers: vec![("content-length", "5")], ..short.clone() };
    let rig = rig(once(), [short, whole]);
    let request = || RelayRequest::new(RelayMethod::Get, "/files/f/content");
    let answer = rig.runner.relay(request()).await.unwrap();
    assert_eq!(answer.headers, [("content-length".to_owned(), "6".to_owned())]);
    let (body, end) = drain(answer).await;
    assert_eq!((&body[..], end.unwrap_err().kind()), (&b"abcde"[..], ErrorKind::StreamInterrupted));
    assert!(relay(&rig, request()).await.unwrap().1.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_is_an_answer() {
    let rig = rig(once(), [Script::status(204, [])]);
    let answer = rig.runner.relay(RelayRequest::new(RelayMethod::Delete, "/files/f")).await.unwrap();
    assert_eq!(answer.status, 204);
    assert!(answer.collect().await.unwrap().is_empty());
    assert_eq!(rig.upstream.seen()[0].method, Method::DELETE);
    assert_nothing_is_held(&rig);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_keeps_what_the_upstream_said_and_passing_ones_are_repeated() {
    let refused = Script::status(400, [bytes("code too_long")]);
    let busy = Script { headers: vec![("retry-after", "2")], ..status(503) };
    let rig = rig(RemoteConfig::default(), [busy, events([CREATED, COMPLETED]), refused]);
    assert!(relay(&rig, posted()).await.unwrap().1.is_ok());
    let seen = rig.upstream.seen();
    assert!((seen[1].at - seen[0].at) >= seconds(2));
    let error = rig.runner.relay(posted()).await.unwrap_err();
    let at = error.origin().unwrap();
    assert_eq!(
        (error.kind(), at.status, at.code.as_deref()),
        (ErrorKind::ContextLengthExceeded, Some(400), Some("too_long"))
    );
    assert_eq!((at.model.as_deref(), at.message.as_deref()), (Some("toy-model"), Some("code too_long")));
}

#[tokio::test(start_paused = true)]
async fn silence_is_noticed_in_every_phase() {
    for (script, phase) in [
        (Script { head_after: seconds(61), ..events([CREATED]) }, TimeoutPhase::Head),
        (
            Script::stream([
                bytes(": x\n\n"),
                Act::Wait(seconds(80)),
                bytes(": x\n\n"),
                Act::Wait(seconds(80)),
            ]),
            TimeoutPhase::FirstContent,
        ),
        (Script::stream([bytes(CREATED), Act::Hang]), TimeoutPhase::IdleBytes),
    ] {
        let rig = rig(once(), [script]);
        let error = match relay(&rig, posted()).await {
            Ok((_, end)) => end.unwrap_err(),
            Err(error) => error,
        };
        assert!(matches!(&error, InferenceError::Timeout { phase: found, .. } if *found == phase), "{error}");
        assert_nothing_is_held(&rig);
    }
    let rig = rig(once(), [Script::stream([bytes(CREATED), Act::Hang])]);
    let (_, end) = relay(&rig, posted().with_deadline(Duration::from_secs(5))).await.unwrap();
    assert_eq!(end.unwrap_err().kind(), ErrorKind::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_stays_open_after_the_last_event_spoils_nothing() {
    let rig = rig(once(), [Script::stream([bytes(CREATED), bytes(COMPLETED), Act::Hang])]);
    assert!(relay(&rig, posted()).await.unwrap().1.is_ok());
    assert_eq!(rig.log.calls()[0].outcome, Outcome::Completed);
}

#[tokio::test(start_paused = true)]
async fn sizes_are_limited() {
    let mut config = once();
    (config.limits.max_event_bytes, config.limits.max_body_bytes) = (1 << 10, 1 << 10);
    let long = "x".repeat(600);
    let json = Script {
        headers: vec![("content-type", "application/json")],
        ..Script::status(200, [bytes(&*long), bytes(&*long)])
    };
    let comments = vec![": 0123456789\n\n"; 100];
    let rig = rig(config, [events([CREATED, "data: ", &long, &long]), events(comments), json]);
    let (body, end) = relay(&rig, posted()).await.unwrap();
    assert_eq!(body, CREATED.as_bytes());
    assert!(matches!(end.unwrap_err(), InferenceError::Decode { kind: DecodeKind::EventTooLarge, .. }));
    let error = rig.runner.relay(posted()).await.unwrap_err();
    assert!(matches!(error, InferenceError::Decode { kind: DecodeKind::EventTooLarge, .. }), "{error}");
    // What is too large to be looked at is passed on all the same.
    let (body, end) = relay(&rig, posted()).await.unwrap();
    assert_eq!((body.len(), end.is_ok()), (1200, true));
    assert_eq!(rig.log.calls()[2].cost, Cost::Unpriced(Unpriced::NoUsage));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_frees_everything_and_pays_for_an_estimate() {
    let rig = rig(
        once(),
        [Script::stream([bytes(CREATED), bytes(DELTA), Act::Hang]), events([CREATED, COMPLETED])],
    );
    let mut answer = rig.runner.relay(posted()).await.unwrap();
    for expect in [CREATED, DELTA] {
        assert_eq!(answer.body.next().await.unwrap().unwrap(), expect);
    }
    drop(answer);
    assert_nothing_is_held(&rig);
    let call = &rig.log.calls()[0];
    assert_eq!((call.outcome, call.estimated), (Outcome::Cancelled, true));
    let prompt = (posted().body.len() as u64).div_ceil(4);
    assert_eq!(call.usage, Some(Usage::new(prompt, 2)));
    let mut answer = rig.runner.relay(posted()).await.unwrap();
    answer.body.next().await.unwrap().unwrap();
    answer.body.next().await.unwrap().unwrap();
    drop(answer);
    assert_eq!(rig.log.calls()[1].outcome, Outcome::Completed);
}

#[tokio::test(start_paused = true)]
async fn it_is_never_sent_twice_at_a_time() {
    let mut config = once();
    config.retry.attempts = 3;
    config.hedge.after = Some(seconds(1));
    let rig = rig(config, [Script { head_after: seconds(30), ..events([CREATED, COMPLETED]) }]);
    assert!(relay(&rig, posted()).await.unwrap().1.is_ok());
    assert_eq!(rig.upstream.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_two_readers_would_read_differently_is_not_sent() {
    let rig = rig(once(), []);
    let error = rig.runner.relay(posted().with_json(r#"{"model":"a","model":"b"}"#)).await.unwrap_err();
    assert_eq!(error.origin().unwrap().provider.as_deref(), Some("toy-1"));
    let odd = posted().with_header("accept", "a\nb");
    assert_eq!(rig.runner.relay(odd).await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    assert!(rig.upstream.seen().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// However the network cuts it, and whatever line ends and comments it has, a stream is passed on byte for byte.
    #[test]
    fn any_split_of_a_stream_passes_unchanged(
        cuts in prop::collection::vec(0_usize..700, 0..12),
        ends in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        comments in prop::collection::vec(any::<bool>(), 3),
    ) {
        let texts = [CREATED, DELTA, COMPLETED].iter().zip(comments);
        let body: String = texts.map(|(text, comment)| if comment { ": x\n".to_owned() + text } else { (*text).to_owned() }).collect();
        let body = body.replace('\n', ends);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(body.len())).chain([0, body.len()]).collect();
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|pair| bytes(&body[pair[0]..pair[1]])).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (passed, end, usage) = runtime.block_on(async {
            let rig = rig(once(), [Script::stream(pieces)]);
            let (passed, end) = relay(&rig, posted()).await.unwrap();
            (passed, end, rig.log.calls()[0].usage)
        });
        prop_assert_eq!(String::from_utf8(passed).unwrap(), body);
        prop_assert!(end.is_ok(), "{:?}", end);
        prop_assert_eq!(usage.unwrap().total_tokens, 43);
    }

    /// Bytes of any kind are passed on or end in an error, and what was passed on is how they began.
    #[test]
    fn arbitrary_bytes_are_passed_on_or_end_in_an_error(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6),
        kind in prop::sample::select(vec!["text/event-stream", "application/json", "audio/mpeg"]),
        path in prop::sample::select(vec!["/responses", "/other"]),
    ) {
        let body = pieces.concat();
        let script = Script { headers: vec![("content-type", kind)], ..Script::status(200, pieces.into_iter().map(bytes)) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let ended = runtime.block_on(async {
            let rig = rig(once(), [script]);
            let ended = relay(&rig, RelayRequest::new(RelayMethod::Post, path)).await;
            assert_nothing_is_held(&rig);
            ended
        });
        match ended {
            Ok((passed, Ok(()))) => prop_assert_eq!(passed, body),
            Ok((passed, Err(_))) => prop_assert!(body.starts_with(&passed)),
            Err(_) => {}
        }
    }
}
