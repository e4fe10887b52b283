//! The decorator in front of a scripted runner.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use infer_core::{CostEstimate, ExecuteBatch, InferenceError};
use infer_core::{FinishKind, ModelRunner, RunHandle, RunMeta, RunnerInfo, TokenChunk, Usage};
use tokio::sync::{mpsc, oneshot};

use super::*;

/// Hands every call to the test, which answers it when it likes.
#[derive(Debug)]
struct Upstream {
    info: RunnerInfo,
    calls: mpsc::UnboundedSender<Call>,
}

type Answer = Result<Vec<Result<TokenChunk, InferenceError>>, InferenceError>;

#[derive(Debug)]
struct Call {
    batch: ExecuteBatch,
    answer: oneshot::Sender<Answer>,
}

struct Script(VecDeque<Result<TokenChunk, InferenceError>>);

impl futures_core::Stream for Script {
    type Item = Result<TokenChunk, InferenceError>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.pop_front())
    }
}

#[async_trait]
impl ModelRunner for Upstream {
    fn info(&self) -> &RunnerInfo {
        &self.info
    }

    async fn execute(&self, batch: ExecuteBatch) -> Result<RunHandle, InferenceError> {
        let meta = RunMeta::new("up", batch.request_id.clone());
        let (answer, given) = oneshot::channel();
        self.calls.send(Call { batch, answer }).unwrap();
        let chunks = given.await.expect("the test answers")?;
        Ok(RunHandle::streaming(meta, Script(chunks.into())))
    }
}

struct Bench {
    runner: Arc<CachedRunner<Upstream>>,
    calls: mpsc::UnboundedReceiver<Call>,
    now: Arc<AtomicU64>,
}

fn bench_with(config: CacheConfig) -> Bench {
    let now = Arc::new(AtomicU64::new(1_000));
    let clock = {
        let now = Arc::clone(&now);
        Clock::new(move || SystemTime::UNIX_EPOCH + Duration::from_secs(now.load(Ordering::Relaxed)))
    };
    let cache = ResponseCache::in_memory(config, clock).unwrap();
    let (sender, calls) = mpsc::unbounded_channel();
    let upstream = Upstream { info: RunnerInfo::new("test", "up"), calls: sender };
    Bench { runner: Arc::new(CachedRunner::new(upstream, cache)), calls, now }
}

fn bench() -> Bench {
    bench_with(CacheConfig::default())
}

fn ask(text: &str) -> ExecuteBatch {
    ExecuteBatch::new("m", text).with_temperature(0.0)
}

fn pieces(text: &str) -> Vec<Result<TokenChunk, InferenceError>> {
    let mut last = TokenChunk::finish(0, FinishKind::Stop);
    last.usage = Some(Usage::new(3, 2));
    let mut cost = CostEstimate::default();
    cost.output = Usd::from_picos(77);
    last.cost = Some(Box::new(cost));
    let (a, b) = text.split_at(text.len() / 2);
    vec![Ok(TokenChunk::text(0, a)), Ok(TokenChunk::text(0, b)), Ok(last)]
}

impl Bench {
    /// Starts a call in a task of its own.
    fn start(
        &self,
        batch: ExecuteBatch,
    ) -> tokio::task::JoinHandle<Result<(Completion, CacheOutcome), InferenceError>> {
        self.start_with(batch, CacheControl::default())
    }

    fn start_with(
        &self,
        batch: ExecuteBatch,
        control: CacheControl,
    ) -> tokio::task::JoinHandle<Result<(Completion, CacheOutcome), InferenceError>> {
        let runner = Arc::clone(&self.runner);
        tokio::spawn(async move {
            let (run, outcome) = runner.execute_with(batch, &control).await?;
            Ok((run.collect().await?, outcome))
        })
    }

    /// Answers the next call and returns what was asked.
    async fn answer(&mut self, answer: Answer) -> ExecuteBatch {
        let call = self.calls.recv().await.unwrap();
        call.answer.send(answer).ok();
        call.batch
    }

    async fn bought(&mut self, batch: ExecuteBatch, text: &str) -> Completion {
        let call = self.start(batch);
        self.answer(Ok(pieces(text))).await;
        let (completion, outcome) = call.await.unwrap().unwrap();
        assert_eq!(outcome, CacheOutcome::Miss);
        completion
    }

    fn nobody_asks(&mut self) -> bool {
        self.calls.try_recv().is_err()
    }
}

const HIT: CacheOutcome = CacheOutcome::Hit { saved: Some(Usd::from_picos(77)) };

#[tokio::test]
async fn an_equal_call_gets_the_same_answer_free_of_charge_and_without_an_attempt() {
    for (first, second) in [(false, true), (true, false), (true, true), (false, false)] {
        let mut bench = bench();
        let mode = |streams: bool| if streams { ask("hi").streaming() } else { ask("hi") };
        let bought = bench.bought(mode(first), "hello").await;
        assert_eq!(bought.cost.unwrap().total().picos(), 77);
        let (run, outcome) = bench.runner.execute_with(mode(second), &CacheControl::default()).await.unwrap();
        assert_eq!((outcome, run.meta().attempts), (HIT, 0));
        let again = run.collect().await.unwrap();
        assert_eq!(again.cost, Some(CostEstimate::default()));
        assert_eq!((again.usage, &again.choices), (bought.usage, &bought.choices));
        let through_the_trait = bench.runner.execute(mode(second)).await.unwrap();
        assert_eq!(through_the_trait.meta().attempts, 0);
        assert!(bench.nobody_asks());
    }
}

#[tokio::test]
async fn an_answer_is_good_for_its_time_and_for_its_tenant() {
    let mut bench = bench();
    bench.bought(ask("hi"), "hello").await;
    bench.now.fetch_add(3_599, Ordering::Relaxed);
    assert_eq!(bench.start(ask("hi")).await.unwrap().unwrap().1, HIT);
    bench.now.fetch_add(1, Ordering::Relaxed);
    bench.bought(ask("hi"), "hello").await;
    let other = bench.start_with(ask("hi"), CacheControl::default().with_tenant("b"));
    bench.answer(Ok(pieces("for b"))).await;
    assert_eq!(other.await.unwrap().unwrap().0.text(), "for b");
}

#[tokio::test]
async fn calls_that_do_not_want_it_or_may_vary_go_past_the_cache() {
    let mut bench = bench();
    bench.bought(ask("hi"), "hello").await;
    let vary = || ExecuteBatch::new("m", "hi");
    let cases = [
        (ask("hi"), CacheControl::off(), CacheOutcome::Skipped(Skipped::NotWanted)),
        (vary(), CacheControl::default(), CacheOutcome::Skipped(Skipped::Nondeterministic)),
        (vary(), CacheControl { nondeterministic: true, ..CacheControl::default() }, CacheOutcome::Miss),
        (vary().with_seed(1), CacheControl::default(), CacheOutcome::Miss),
        (ask("hi"), CacheControl::refresh(), CacheOutcome::Miss),
    ];
    for (batch, control, expect) in cases {
        let call = bench.start_with(batch, control);
        bench.answer(Ok(pieces("anew"))).await;
        let (completion, outcome) = call.await.unwrap().unwrap();
        assert_eq!((completion.text(), outcome), ("anew", expect));
    }
    let (refreshed, outcome) = bench.start(ask("hi")).await.unwrap().unwrap();
    assert_eq!((refreshed.text(), outcome), ("anew", HIT));
    let unkept = bench.start_with(ask("ho"), CacheControl { write: false, ..CacheControl::default() });
    bench.answer(Ok(pieces("x"))).await;
    unkept.await.unwrap().unwrap();
    bench.bought(ask("ho"), "y").await;
}

#[tokio::test]
async fn equal_calls_at_the_same_time_are_bought_once() {
    let mut bench = bench();
    let calls: Vec<_> = (0..20)
        .map(|number| {
            let batch = ask("hi");
            bench.start(if number % 2 == 0 { batch.streaming() } else { batch })
        })
        .collect();
    bench.answer(Ok(pieces("hello"))).await;
    let mut misses = 0;
    for call in calls {
        let (completion, outcome) = call.await.unwrap().unwrap();
        assert_eq!(completion.text(), "hello");
        misses += u32::from(outcome == CacheOutcome::Miss);
    }
    assert_eq!(misses, 1);
    assert!(bench.nobody_asks());
    assert_eq!(bench.runner.flights.count(), 0);
}

#[tokio::test]
async fn a_call_that_fails_or_is_left_hands_over_to_the_next() {
    let mut bench = bench();
    let left = bench.start(ask("hi"));
    let first = bench.calls.recv().await.unwrap();
    let failing = bench.start(ask("hi"));
    tokio::task::yield_now().await;
    let last = bench.start(ask("hi"));
    left.abort();
    assert!(left.await.unwrap_err().is_cancelled());
    drop(first);
    bench.answer(Err(InferenceError::invalid_request("no"))).await;
    bench.answer(Ok(pieces("hello"))).await;
    assert!(failing.await.unwrap().is_err());
    assert_eq!(last.await.unwrap().unwrap().0.text(), "hello");
    assert_eq!(bench.runner.flights.count(), 0);
}

#[tokio::test]
async fn a_stream_that_is_left_or_breaks_keeps_nothing_and_the_next_goes_ahead() {
    let mut bench = bench();
    for breaks in [false, true] {
        let runner = Arc::clone(&bench.runner);
        let first = tokio::spawn(async move { runner.execute(ask("hi").streaming()).await });
        let mut script = pieces("hello");
        if breaks {
            script.insert(2, Err(InferenceError::invalid_request("cut")));
        }
        bench.answer(Ok(script)).await;
        let run = first.await.unwrap().unwrap();
        let waiting = bench.start(ask("hi"));
        tokio::task::yield_now().await;
        assert!(bench.nobody_asks(), "it waits for the stream");
        if breaks {
            assert!(run.collect().await.is_err());
        } else {
            drop(run);
        }
        bench.answer(Ok(pieces(""))).await;
        assert_eq!(waiting.await.unwrap().unwrap().1, CacheOutcome::Miss);
    }
    bench.bought(ask("hi"), "hello").await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_kept_opens_the_gate_for_all_who_wait() {
    let mut bench = bench();
    let calls: Vec<_> = (0..5).map(|_| bench.start(ask("hi"))).collect();
    let cut = || Ok(vec![Ok(TokenChunk::text(0, "hel")), Ok(TokenChunk::finish(0, FinishKind::Length))]);
    bench.answer(cut()).await;
    // All others are under way before any of them is answered.
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(bench.calls.recv().await.unwrap());
    }
    for other in others {
        other.answer.send(cut()).ok();
    }
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().1, CacheOutcome::Miss);
    }
    bench.bought(ask("hi"), "hello").await;
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_an_equal_call_longer_than_allowed_and_the_deadline_shrinks() {
    let mut bench = bench();
    let _slow = bench.start(ask("hi"));
    let held = bench.calls.recv().await.unwrap();
    let patient = bench.start(ask("hi").with_deadline(Duration::from_secs(100)));
    let asked = bench.answer(Ok(pieces("hello"))).await;
    assert_eq!(asked.deadline, Some(Duration::from_secs(70)));
    assert_eq!(patient.await.unwrap().unwrap().1, CacheOutcome::Miss);
    drop(held);
}

#[tokio::test]
async fn an_answer_that_is_too_large_passes_and_is_not_kept() {
    let mut bench = bench_with(CacheConfig { max_entry_bytes: 2_000, ..CacheConfig::default() });
    let long = "x".repeat(3_000);
    for _ in 0..2 {
        assert_eq!(bench.bought(ask("hi").streaming(), &long).await.text(), long);
        assert_eq!(bench.bought(ask("hi"), &long).await.text(), long);
    }
}

#[tokio::test]
async fn memory_stays_within_its_bound() {
    let config = CacheConfig { memory_bytes: 1 << 20, ..CacheConfig::default() };
    let cache = ResponseCache::in_memory(config, Clock::system()).unwrap();
    let mut kept = 0;
    for number in 0..4_000_u32 {
        let mut completion = Completion::default();
        let mut choice = infer_core::Choice::new(0);
        choice.text = "x".repeat(1_000);
        completion.choices.push(choice);
        let key = cache.secret().key("s", None, &ask(&number.to_string())).unwrap();
        kept += u32::from(cache.keep(key, completion, None));
        assert!(cache.inner.memory.weight() <= 1 << 20);
    }
    assert_eq!(kept, 4_000);
    let mutex = Mutex::new(0_usize);
    cache.inner.memory.iter().for_each(|_| *mutex.lock().unwrap() += 1);
    assert!(mutex.into_inner().unwrap() > 300, "the room is used");
}

#[tokio::test]
async fn an_answer_on_disk_is_found_by_the_next_process() {
    let directory = tempfile::tempdir().unwrap();
    let config = CacheConfig { disk_bytes: 1 << 20, ..CacheConfig::default() };
    let open = || ResponseCache::open(directory.path(), config.clone(), Clock::system()).unwrap();
    let mut completion = Completion::default();
    completion.choices.push(infer_core::Choice::new(0));
    let cache = open();
    let key = cache.secret().key("s", None, &ask("hi")).unwrap();
    assert!(cache.keep(key, completion.clone(), None));
    drop(cache);
    let cache = open();
    assert_eq!(cache.secret().key("s", None, &ask("hi")), Some(key));
    assert_eq!(cache.find(key).await.unwrap().completion.choices, completion.choices);
    assert!(cache.find_in_memory(key).is_some(), "what was found is in memory now");
}

#[tokio::test]
async fn a_cache_with_other_settings_goes_on_with_what_is_on_disk_in_the_room_it_now_has() {
    let directory = tempfile::tempdir().unwrap();
    let config = CacheConfig { disk_bytes: 1 << 20, ..CacheConfig::default() };
    let open = || ResponseCache::open(directory.path(), config.clone(), Clock::system()).unwrap();
    let mut completion = Completion::default();
    completion.push(TokenChunk::text(0, "x".repeat(600_000)));
    let cache = open();
    let key = |cache: &ResponseCache, prompt: &str| cache.secret().key("s", None, &ask(prompt)).unwrap();
    let first = key(&cache, "first");
    assert!(cache.keep(first, completion.clone(), None));
    drop(cache);

    let cache = open();
    let larger = CacheConfig { disk_bytes: 2 << 20, ttl: Duration::from_secs(60), ..config.clone() };
    let changed = cache.with_config(larger.clone()).unwrap().unwrap();
    assert_eq!((changed.config(), key(&changed, "first")), (&larger, first));
    assert!(changed.find(first).await.is_some());
    assert!(cache.with_config(CacheConfig::default()).unwrap().is_none(), "not on disk any more");
    assert!(cache.with_config(CacheConfig { memory_bytes: 0, ..config.clone() }).is_err());
    let memory = ResponseCache::in_memory(CacheConfig::default(), Clock::system()).unwrap();
    assert!(memory.with_config(config.clone()).unwrap().is_none(), "nothing on disk to go on with");

    // There is room for three such answers now, and for a single one after that.
    assert!(changed.keep(key(&changed, "second"), completion.clone(), None));
    drop((cache, changed));
    let cache = open().with_config(larger).unwrap().unwrap();
    assert!(cache.find(first).await.is_some() && cache.find(key(&cache, "second")).await.is_some());
    let smaller = cache.with_config(config.clone()).unwrap().unwrap();
    assert!(smaller.keep(key(&smaller, "third"), completion, None));
    drop((cache, smaller));
    let cache = open();
    assert!(cache.find(first).await.is_none() && cache.find(key(&cache, "third")).await.is_some());
}
