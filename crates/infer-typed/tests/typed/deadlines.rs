//! Time: deadlines, tools at once, and leaving early. The clock is paused, so nothing really waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use infer_core::{ExecuteBatch, InferenceError, Message, Origin, Role, ToolCall};
use infer_typed::{ToolLoop, ToolLoopCause, Toolbox};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::script::{Reply, Script, calls, says};

#[derive(Deserialize, JsonSchema)]
struct Nap {
    seconds: u64,
}

/// Counts itself as running while it lives.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A tool that sleeps; `running` counts those at it, `most` the most there were at once.
fn naps(running: &Arc<AtomicUsize>, most: &Arc<AtomicUsize>) -> Toolbox<'static> {
    let (running, most) = (Arc::clone(running), Arc::clone(most));
    Toolbox::new().with("nap", "Sleeps", move |nap: Nap| {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        async move {
            let _here = Running::new(&running);
            most.fetch_max(running.load(Ordering::SeqCst), Ordering::SeqCst);
            sleep(Duration::from_secs(nap.seconds)).await;
            Ok::<_, String>(nap.seconds)
        }
    })
}

fn nap(id: &str, seconds: u64) -> ToolCall {
    ToolCall::function(id, "nap", format!(r#"{{"seconds": {seconds}}}"#))
}

fn question() -> ExecuteBatch {
    ExecuteBatch::new("m", "Rest")
}

fn told(messages: &[Message]) -> Vec<String> {
    messages
        .iter()
        .filter(|message| message.role == Role::Tool)
        .map(|message| message.content.text())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_the_deadline_is_each_calls_own_unless_the_batch_has_less() {
    let tools = naps(&Arc::default(), &Arc::default());
    let script = || Script::of([calls([nap("1", 4)]), says("ok")]);
    let runner = script();
    let limit = Duration::from_secs(10);
    ToolLoop::new(&runner, &tools).with_deadline(limit).run(question()).await.unwrap();
    let given: Vec<_> = runner.asked().into_iter().map(|batch| batch.deadline.unwrap().as_secs()).collect();
    assert_eq!(given, [10, 6]);

    let runner = script();
    let batch = question().with_deadline(Duration::from_secs(7));
    ToolLoop::new(&runner, &tools).with_deadline(limit).run(batch).await.unwrap();
    let given: Vec<_> = runner.asked().into_iter().map(|batch| batch.deadline.unwrap().as_secs()).collect();
    assert_eq!(given, [7, 6]);

    let runner = script();
    ToolLoop::new(&runner, &tools).run(question()).await.unwrap();
    assert!(runner.asked().iter().all(|batch| batch.deadline.is_none()));
}

#[tokio::test(start_paused = true)]
async fn tools_are_dropped_when_the_time_is_up_and_finished_ones_are_kept() {
    let (running, most) = (Arc::default(), Arc::default());
    let tools = naps(&running, &most);
    let runner = Script::of([calls([nap("slow", 60), nap("quick", 1), nap("slow too", 60)])]);
    let started = Instant::now();
    let error = ToolLoop::new(&runner, &tools)
        .with_parallel(3)
        .with_deadline(Duration::from_secs(5))
        .run(question())
        .await
        .unwrap_err();
    assert!(matches!(error.cause, ToolLoopCause::Deadline { source: None, .. }), "{error}");
    assert_eq!(started.elapsed().as_secs(), 5);
    assert_eq!((running.load(Ordering::SeqCst), most.load(Ordering::SeqCst)), (0, 3));
    assert_eq!(
        told(&error.so_far.messages),
        ["not finished: the time is up", "1", "not finished: the time is up"]
    );
    assert_eq!(error.so_far.calls.len(), 1);
    assert_eq!(error.so_far.calls[0].took.as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_late_is_left_and_its_own_word_on_the_deadline_is_kept() {
    let tools = naps(&Arc::default(), &Arc::default());
    let limit = Duration::from_secs(5);
    let runner = Script::new([Reply::Late(Duration::from_secs(60), says("too late"))]);
    let started = Instant::now();
    let error = ToolLoop::new(&runner, &tools).with_deadline(limit).run(question()).await.unwrap_err();
    assert!(matches!(error.cause, ToolLoopCause::Deadline { source: None, .. }), "{error}");
    assert_eq!((started.elapsed(), error.so_far.rounds), (limit, 0));

    let exceeded = || InferenceError::DeadlineExceeded { at: Box::new(Origin::default()), limit };
    let runner = Script::new([Reply::Error(exceeded()), Reply::Error(exceeded())]);
    let error = ToolLoop::new(&runner, &tools).with_deadline(limit).run(question()).await.unwrap_err();
    assert!(matches!(error.cause, ToolLoopCause::Deadline { source: Some(_), .. }), "{error}");
    let batch = question().with_deadline(Duration::from_secs(1));
    let error = ToolLoop::new(&runner, &tools).with_deadline(limit).run(batch).await.unwrap_err();
    assert!(matches!(error.cause, ToolLoopCause::Inference(_)), "the batch's own deadline: {error}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_once_the_time_is_up() {
    let tools = naps(&Arc::default(), &Arc::default());
    let runner = Script::of([calls([nap("1", 5)])]);
    let limit = Duration::from_secs(5);
    let error = ToolLoop::new(&runner, &tools).with_deadline(limit).run(question()).await.unwrap_err();
    assert!(matches!(error.cause, ToolLoopCause::Deadline { .. }), "{error}");
    assert_eq!(runner.asked().len(), 1);
    assert_eq!(told(&error.so_far.messages).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn calls_run_one_by_one_or_as_many_at_once_as_allowed_and_are_answered_in_order() {
    for (parallel, seconds) in [(1, 10), (2, 6), (4, 4), (0, 10)] {
        let (running, most) = (Arc::default(), Arc::default());
        let tools = naps(&running, &most);
        let runner = Script::of([calls([nap("a", 4), nap("b", 3), nap("c", 2), nap("d", 1)]), says("ok")]);
        let started = Instant::now();
        let run = ToolLoop::new(&runner, &tools).with_parallel(parallel).run(question()).await.unwrap();
        assert_eq!(most.load(Ordering::SeqCst), parallel.max(1));
        assert!(started.elapsed().as_secs() <= seconds, "{parallel} at once: {:?}", started.elapsed());
        assert_eq!(told(&run.messages), ["4", "3", "2", "1"]);
        let took: Vec<_> = run.calls.iter().map(|record| record.took.as_secs()).collect();
        assert_eq!(took, [4, 3, 2, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn leaving_drops_the_tools_that_run() {
    let (running, most) = (Arc::default(), Arc::default());
    let tools = naps(&running, &most);
    let runner = Script::of([calls([nap("1", 60), nap("2", 60)])]);
    let run = ToolLoop::new(&runner, &tools).with_parallel(2);
    let left = tokio::time::timeout(Duration::from_secs(1), run.run(question())).await;
    assert!(left.is_err());
    assert_eq!((running.load(Ordering::SeqCst), most.load(Ordering::SeqCst)), (0, 2));
}

/// A loop can be spawned: its future may move between threads.
#[tokio::test]
async fn a_run_can_be_spawned() {
    let handle = tokio::spawn(async {
        let runner = Script::of([says("ok")]);
        let tools = naps(&Arc::default(), &Arc::default());
        ToolLoop::new(&runner, &tools).run(question()).await.unwrap().rounds
    });
    assert_eq!(handle.await.unwrap(), 1);
}
