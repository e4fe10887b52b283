//! Answers that are cut, slow or wrong.

use std::time::Duration;

use futures_util::StreamExt as _;
use infer_core::ModelRunner as _;
use infer_core::{ErrorKind, InferenceError, TimeoutPhase, TokenChunk};

use super::{Act, Script, ask, assert_nothing_is_held, event, once, rig, seconds, streaming};

const ANSWER: &str =
    "data: !role\n\ndata: Hel\n\ndata: lo, you\n\ndata: !end\n\ndata: !use 10 2\n\ndata: !done\n\n";

/// What came of `body`: the text, whether a finish came, and how it ended.
async fn outcome(body: Vec<Act>) -> (String, bool, Option<InferenceError>) {
    let rig = rig(once(), [Script::stream(body)]);
    let (mut text, mut finished, mut end) = (String::new(), false, None);
    match rig.runner.execute(streaming()).await {
        Ok(run) => {
            let mut stream = run.into_stream();
            while let Some(chunk) = stream.next().await {
                match chunk {
                    Ok(TokenChunk { text: more, finish, .. }) => {
                        text.push_str(&more);
                        finished |= finish.is_some();
                    }
                    Err(error) => end = Some(error),
                }
            }
        }
        Err(error) => end = Some(error),
    }
    assert_nothing_is_held(&rig);
    assert_eq!((rig.log.attempts().len(), rig.log.calls().len()), (1, 1));
    (text, finished, end)
}

/// Whole means that the model said so: nothing that is cut before that ends without an error.
#[tokio::test(start_paused = true)]
async fn an_answer_cut_at_any_byte_never_looks_whole() {
    let said = ANSWER.find("!end").unwrap() + "!end\n\n".len();
    for cut in 0..ANSWER.len() {
        for end in [None, Some(Act::Break)] {
            let is_reset = end.is_some();
            let head = Act::Bytes(&ANSWER.as_bytes()[..cut]);
            let (text, finished, error) = outcome([head].into_iter().chain(end).collect()).await;
            assert!("Hello, you".starts_with(&text), "{cut}: {text}");
            if cut < said {
                let error = error.unwrap();
                assert_eq!(error.kind(), ErrorKind::StreamInterrupted, "{cut}");
                assert!(!finished, "{cut}");
            } else {
                assert_eq!(
                    (text.as_str(), finished, error.is_some()),
                    ("Hello, you", true, is_reset),
                    "{cut}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_reads_the_same_however_it_is_cut_into_reads() {
    for cut in 0..ANSWER.len() {
        let (head, tail) = ANSWER.as_bytes().split_at(cut);
        let acts = vec![Act::Bytes(head), Act::Wait(Duration::from_millis(10)), Act::Bytes(tail)];
        let (text, finished, error) = outcome(acts).await;
        assert_eq!((text.as_str(), finished, error.is_none()), ("Hello, you", true, true), "{cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_longer_than_every_timeout_that_is_never_idle_ends_well() {
    let pieces = (0..100).flat_map(|_| [event("a"), Act::Wait(seconds(80))]);
    let rig = rig(once(), [Script::stream(pieces.chain([event("!end")]))]);
    let begun = tokio::time::Instant::now();
    let (_, whole) = ask(&rig).await.unwrap();
    assert_eq!(whole.text().len(), 100);
    assert!(begun.elapsed() >= seconds(8000));
    assert_nothing_is_held(&rig);
}

#[tokio::test(start_paused = true)]
async fn an_error_event_in_the_middle_or_after_the_finish_ends_the_answer_with_it() {
    for (acts, text) in [
        (vec![event("a"), event("!error overloaded"), event("b")], "a"),
        (vec![event("a"), event("!end"), event("!error overloaded")], "a"),
    ] {
        let (found, _, error) = outcome(acts).await;
        assert_eq!((found.as_str(), error.unwrap().kind()), (text, ErrorKind::Overloaded));
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_after_its_timeout_is_not_waited_for() {
    let late = Script { head_after: seconds(61), ..super::fine() };
    let rig = rig(once(), [late]);
    let error = ask(&rig).await.unwrap_err();
    assert!(matches!(error, InferenceError::Timeout { phase: TimeoutPhase::Head, .. }), "{error}");
    assert_nothing_is_held(&rig);
}
