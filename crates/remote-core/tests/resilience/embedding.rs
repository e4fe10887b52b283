//! Batches of vectors that are too large for one request.

use std::sync::{Arc, Mutex};

use infer_core::{EmbedBatch, Embeddings, ErrorKind, InferenceError, ModelRunner as _, Usage};
use remote_core::RemoteConfig;
use remote_core::meter::Outcome;
use tokio::time::Instant;

use super::{Rig, Script, assert_nothing_is_held, once, seconds, session, status};

/// An upstream that takes three inputs at a time and answers each with the number in it.
fn threes(config: RemoteConfig, change: impl Fn(usize, Script) -> Script + Send + Sync + 'static) -> Rig {
    Rig::new(config, session(), 7, move |nth, seen| {
        let text = String::from_utf8(seen.body.to_vec()).unwrap();
        let digits = |line: &str| line.chars().filter(char::is_ascii_digit).collect::<String>();
        let numbers: Vec<_> = text.lines().map(digits).collect();
        change(nth, Script::whole(numbers.join(" ").leak()))
    })
}

async fn embed(rig: &Rig, inputs: usize) -> Result<Embeddings, InferenceError> {
    rig.runner.embed(EmbedBatch::new("threes", (0..inputs).map(|number| number.to_string()))).await
}

#[tokio::test(start_paused = true)]
async fn a_large_batch_is_split_and_put_back_in_order_and_its_costs_add_up() {
    // The first part answers last.
    let slow = |nth, script: Script| Script { head_after: seconds(10 - nth as u64), ..script };
    let rig = threes(once(), slow);
    let answer = embed(&rig, 8).await.unwrap();
    let expected: Vec<_> = (0..8_u8).map(|number| vec![f32::from(number)]).collect();
    assert_eq!((answer.vectors, answer.usage), (expected, Some(Usage::new(8, 0))));
    assert_eq!(answer.cost.unwrap().total().picos(), 8 * 1_000_000);
    let calls = rig.log.calls();
    let mut names: Vec<_> = calls.iter().map(|call| call.subject.request_id.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((rig.upstream.seen().len(), names.len()), (3, 3));
    let sum: u128 = calls.iter().map(|call| call.cost.known().unwrap().total().picos()).sum();
    assert_eq!(sum, answer.cost.unwrap().total().picos());
    assert_nothing_is_held(&rig);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fits_is_one_request_by_the_name_of_its_caller() {
    let rig = threes(once(), |_, script| script);
    let batch = EmbedBatch::new("threes", ["1", "2", "3"]);
    let id = batch.request_id.clone();
    rig.runner.embed(batch).await.unwrap();
    assert_eq!(rig.log.calls()[0].subject.request_id, id);
    assert_eq!(rig.upstream.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_part_is_tried_again_by_itself_and_one_that_fails_ends_the_others() {
    let rig = threes(RemoteConfig::default(), |nth, fine| if nth == 1 { status(503) } else { fine });
    assert_eq!(embed(&rig, 9).await.unwrap().vectors.len(), 9);
    assert_eq!(rig.upstream.seen().len(), 4);

    let slow = |nth, fine: Script| match nth {
        1 => status(400),
        _ => Script { head_after: seconds(100), ..fine },
    };
    let rig = threes(RemoteConfig::default(), slow);
    let begun = Instant::now();
    assert_eq!(embed(&rig, 60).await.unwrap_err().kind(), ErrorKind::InvalidRequest);
    assert_eq!((begun.elapsed(), rig.upstream.seen().len()), (seconds(0), 2));
    let left = rig.log.calls().iter().filter(|call| call.outcome == Outcome::Cancelled).count();
    assert_eq!((left, rig.upstream.open()), (1, 0));
    assert_nothing_is_held(&rig);
}

#[tokio::test(start_paused = true)]
async fn at_most_four_parts_are_under_way_at_a_time_and_the_deadline_is_that_of_all() {
    let most = Arc::new(Mutex::new(Vec::new()));
    let times = Arc::clone(&most);
    let rig = threes(once(), move |_, fine| {
        times.lock().unwrap().push(Instant::now());
        Script { head_after: seconds(10), ..fine }
    });
    let begun = Instant::now();
    embed(&rig, 27).await.unwrap();
    assert_eq!(begun.elapsed(), seconds(30));
    let at = |time: u64| most.lock().unwrap().iter().filter(|at| **at - begun == seconds(time)).count();
    assert_eq!([at(0), at(10), at(20)], [4, 4, 1]);

    let inputs = (0..27).map(|number| number.to_string());
    let batch = EmbedBatch::new("threes", inputs).with_deadline(seconds(15));
    let begun = Instant::now();
    let error = rig.runner.embed(batch).await.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::DeadlineExceeded, seconds(15)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_too_few_vectors_is_an_error_and_not_a_shift() {
    let rig = threes(once(), |nth, fine| if nth == 1 { Script::whole("7") } else { fine });
    let error = embed(&rig, 6).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(error.to_string().contains("1 vectors for 3 inputs"), "{error}");
}
