//! Every call leaves its rows, whatever becomes of it and whatever runs beside it.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::future::join_all;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use inference::Inference;
use inference::config::{Format, Source};
use inference::core::{
    Completion, CostEstimate, EmbedBatch, Embeddings, ErrorKind, ExecuteBatch, FinishKind, InferenceError,
    ModelRunner, RequestId, Routing, RunHandle, RunMeta, RunnerFactory, RunnerInfo, TokenChunk, TokenStream,
    Usage, Usd,
};
use inference::store::ledger::{Query, RowCost};
use proptest::prelude::*;

const CONFIG: &str = "
providers: {a: {type: scripted}, b: {type: scripted}}
routes:
  fallback: {targets: [{provider: a, model: overloaded}, {provider: b, model: fine, priority: 2}]}
  copied: {targets: [{provider: a, model: m}], shadow: {provider: b, model: copy, rate: 1}}
budgets: {limits: [{name: poor, per: key, only: [broke], every: total, usd: 1}]}
cache: {}
";

/// Ten dollars a call; some models fail, one never answers.
#[derive(Debug, Default)]
struct Scripts(Arc<AtomicU64>);

#[derive(Debug)]
struct Script(RunnerInfo, Arc<AtomicU64>);

fn dollars(count: u64) -> CostEstimate {
    let mut cost = CostEstimate::default();
    cost.input = Usd::from_picos(u128::from(count) * 1_000_000_000_000);
    cost
}

#[async_trait]
impl RunnerFactory for Scripts {
    fn kind(&self) -> &'static str {
        "scripted"
    }

    async fn build(&self, name: &str, _: serde_json::Value) -> Result<Arc<dyn ModelRunner>, InferenceError> {
        Ok(Arc::new(Script(RunnerInfo::new("scripted", name), Arc::clone(&self.0))))
    }
}

#[async_trait]
impl ModelRunner for Script {
    fn info(&self) -> &RunnerInfo {
        &self.0
    }

    async fn execute(&self, batch: ExecuteBatch) -> Result<RunHandle, InferenceError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        let failed = |kind| Err(InferenceError::reported(kind, Box::default(), None));
        match batch.model.as_str() {
            "fails" => return failed(ErrorKind::InvalidRequest),
            "overloaded" => return failed(ErrorKind::Overloaded),
            "silent" => std::future::pending().await,
            _ => {}
        }
        let meta = RunMeta::new(Arc::clone(&self.0.name), batch.request_id.clone());
        let mut end = TokenChunk::finish(0, FinishKind::Stop);
        (end.usage, end.cost) = (Some(Usage::new(4, 6)), Some(Box::new(dollars(10))));
        let chunks = [TokenChunk::text(0, "one two three"), end];
        if batch.is_streaming() {
            let slow = stream::iter(chunks.map(Ok)).then(|chunk| async {
                tokio::task::yield_now().await;
                chunk
            });
            return Ok(RunHandle::streaming(meta, slow));
        }
        let mut whole = Completion::default();
        for chunk in chunks {
            whole.push(chunk);
        }
        Ok(RunHandle::collected(meta, whole))
    }

    async fn embed(&self, batch: EmbedBatch) -> Result<Embeddings, InferenceError> {
        tokio::task::yield_now().await;
        let mut vectors = Embeddings::default();
        vectors.vectors = batch.input.iter().map(|_| vec![1.0]).collect();
        (vectors.usage, vectors.cost) = (Some(Usage::new(3, 0)), Some(dollars(3)));
        Ok(vectors)
    }

    fn estimate(&self, _: &ExecuteBatch) -> Option<CostEstimate> {
        Some(dollars(10))
    }
}

async fn started(config: &str, data: &tempfile::TempDir) -> (Inference, Arc<AtomicU64>) {
    let scripts = Scripts::default();
    let calls = Arc::clone(&scripts.0);
    let source = Source::text(config, Format::Yaml);
    let builder = Inference::builder().with_factory(Arc::new(scripts)).with_source(source).with_data(data);
    (builder.build().await.unwrap(), calls)
}

/// A row as far as scenes tell: the provider, the outcome, dollars, the key.
type Left = (Option<String>, String, u64, Option<String>);

async fn rows(inference: &Inference) -> Vec<Left> {
    let ledger = inference.ledger().unwrap();
    ledger.flush().await.unwrap();
    let mut rows = Vec::new();
    let each = |_, row: inference::store::LedgerRow| {
        let picos = match &row.cost {
            RowCost::Priced(usd) => usd.picos(),
            // Nothing was bought, or, of what was left in the middle, nobody knows the price.
            _ => 0,
        };
        let dollars = u64::try_from(picos / 1_000_000_000_000).unwrap();
        rows.push((row.provider, row.outcome.as_str().to_owned(), dollars, row.key));
        std::ops::ControlFlow::Continue(())
    };
    ledger.rows(each).unwrap();
    rows
}

/// One thing that callers do.
#[derive(Clone, Copy, Debug)]
enum Act {
    Whole,
    Streamed,
    /// A stream left after its first piece.
    Leave,
    /// A stream that is read to its end after everything else, or left then.
    Hold(bool),
    Fail,
    FallBack,
    OverBudget,
    NoRoute,
    /// Out of time before anything is sent.
    Late,
    /// A call left before its answer begins.
    Silent,
    /// The same beside an equal call that waits for it and is left first.
    Wait,
    /// An answer, and the same again from the cache, whole or in pieces.
    Cached(bool),
    Vectors,
    NoVectors,
    /// Past all routes.
    Direct(bool),
}

const ACTS: [Act; 18] = [
    Act::Whole,
    Act::Streamed,
    Act::Leave,
    Act::Hold(true),
    Act::Hold(false),
    Act::Fail,
    Act::FallBack,
    Act::OverBudget,
    Act::NoRoute,
    Act::Late,
    Act::Silent,
    Act::Wait,
    Act::Cached(false),
    Act::Cached(true),
    Act::Vectors,
    Act::NoVectors,
    Act::Direct(false),
    Act::Direct(true),
];

/// Polls until it waits for something that will not come.
async fn stuck(future: &mut (impl Future<Output = ()> + Unpin)) {
    for _ in 0..20 {
        assert!(future.now_or_never().is_none());
        tokio::task::yield_now().await;
    }
}

/// Does it, and says which rows must be left: provider, outcome, dollars. What is held open comes back.
async fn act(
    inference: &Inference,
    act: Act,
    number: usize,
    id: &RequestId,
) -> (Vec<(Option<&'static str>, &'static str, u64)>, Option<(TokenStream, bool)>) {
    let key = if matches!(act, Act::OverBudget) { "broke" } else { "team" };
    let routing = Routing::default().for_key(key);
    let batch = |model: &str| {
        ExecuteBatch::new(model, format!("hello {number}"))
            .with_routing(routing.clone())
            .with_request_id(id.clone())
    };
    let vectors = |model: &str| EmbedBatch::new(model, ["x"]).with_routing(routing.clone());
    let kind = async |batch| inference.execute(batch).await.unwrap_err().kind();
    let answered = (Some("a"), "answered", 10);
    let rows = match act {
        Act::Whole => {
            inference.execute(batch("a/m")).await.unwrap();
            vec![answered]
        }
        Act::Streamed => {
            let run = inference.execute(batch("a/m").streaming()).await.unwrap();
            assert_eq!(run.into_stream().count().await, 2);
            vec![answered]
        }
        Act::Leave => {
            let run = inference.execute(batch("a/m").streaming()).await.unwrap();
            run.into_stream().next().await.unwrap().unwrap();
            vec![(Some("a"), "left", 0)]
        }
        Act::Hold(whole) => {
            let run = inference.execute(batch("a/m").streaming()).await.unwrap();
            let row = if whole { answered } else { (Some("a"), "left", 0) };
            return (vec![row], Some((run.into_stream(), whole)));
        }
        Act::Fail => {
            assert_eq!(kind(batch("a/fails")).await, ErrorKind::InvalidRequest);
            vec![(Some("a"), "invalid_request", 0)]
        }
        Act::FallBack => {
            inference.execute(batch("fallback")).await.unwrap();
            vec![(Some("a"), "overloaded", 0), (Some("b"), "answered", 10)]
        }
        Act::OverBudget => {
            assert_eq!(kind(batch("a/m")).await, ErrorKind::BudgetExhausted);
            vec![(None, "budget_exhausted", 0)]
        }
        Act::NoRoute => {
            assert_eq!(kind(batch("nowhere")).await, ErrorKind::ModelNotFound);
            vec![(None, "model_not_found", 0)]
        }
        Act::Late => {
            let batch = batch("a/silent").with_deadline(std::time::Duration::ZERO);
            assert_eq!(kind(batch).await, ErrorKind::DeadlineExceeded);
            vec![(None, "deadline_exceeded", 0)]
        }
        Act::Silent => {
            stuck(&mut Box::pin(inference.execute(batch("a/silent")).map(drop))).await;
            vec![(Some("a"), "left", 0)]
        }
        Act::Wait => {
            let equal = || Box::pin(inference.execute(batch("a/silent").with_temperature(0.0)).map(drop));
            let (mut first, mut second) = (equal(), equal());
            stuck(&mut first).await;
            stuck(&mut second).await;
            drop(second);
            vec![(Some("a"), "left", 0), (None, "left", 0)]
        }
        Act::Cached(streaming) => {
            let batch = || batch("a/m").with_temperature(0.0);
            inference.execute(batch()).await.unwrap();
            let again = if streaming { batch().streaming() } else { batch() };
            let run = inference.execute(again).await.unwrap();
            assert_eq!(run.meta().attempts, 0);
            assert_eq!(run.collect().await.unwrap().text(), "one two three");
            vec![answered, (None, "cached", 0)]
        }
        Act::Vectors => {
            inference.embed(vectors("b/m")).await.unwrap();
            vec![(Some("b"), "answered", 3)]
        }
        Act::NoVectors => {
            let error = inference.embed(vectors("nowhere")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ModelNotFound);
            vec![(None, "model_not_found", 0)]
        }
        Act::Direct(streaming) => {
            let batch = if streaming { batch("m").streaming() } else { batch("m") };
            let run = inference.provider("a").unwrap().execute(batch).await.unwrap();
            assert_eq!(run.collect().await.unwrap().text(), "one two three");
            vec![answered]
        }
    };
    (rows, None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Of calls at the same time, some of them under one name, each leaves exactly the rows of what became of it, the sums
    /// agree with the rows, and no place stays taken.
    #[test]
    fn every_call_leaves_exactly_its_rows(
        acts in prop::collection::vec((prop::sample::select(&ACTS[..]), any::<bool>()), 1..25),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let data = tempfile::tempdir().unwrap();
            let (inference, _) = started(CONFIG, &data).await;
            let shared: RequestId = "same".parse().unwrap();
            let done = acts.iter().enumerate().map(|(number, (what, is_shared))| {
                let id = if *is_shared { shared.clone() } else { RequestId::generate() };
                let inference = &inference;
                async move { (*what, act(inference, *what, number, &id).await) }
            });
            let (mut expect, mut held) = (Vec::new(), Vec::new());
            for (what, (rows, open)) in join_all(done).await {
                let key = if matches!(what, Act::OverBudget) { "broke" } else { "team" };
                expect.extend(rows.into_iter().map(|(provider, outcome, dollars)| {
                    (provider.map(str::to_owned), outcome.to_owned(), dollars, Some(key.to_owned()))
                }));
                held.extend(open);
            }
            assert_eq!(inference.ledger().unwrap().stats().reserved, held.len());
            for (stream, whole) in held {
                if whole {
                    assert_eq!(stream.count().await, 2);
                }
            }
            let mut left = rows(&inference).await;
            left.sort();
            expect.sort();
            assert_eq!(left, expect);
            let ledger = inference.ledger().unwrap();
            let total = ledger.query(&Query::new()).unwrap().total;
            let failed = |outcome: &str| !["answered", "cached", "left"].contains(&outcome);
            assert_eq!(total.calls, expect.len() as u64);
            assert_eq!(total.failed, expect.iter().filter(|row| failed(&row.1)).count() as u64);
            assert_eq!(total.cost, dollars(expect.iter().map(|row| row.2).sum()).total());
            let stats = ledger.stats();
            assert_eq!((stats.reserved, stats.waiting, stats.refused, stats.failed), (0, 0, 0, 0));
        });
    }
}

#[tokio::test]
async fn a_refused_call_is_a_row_with_all_it_said_of_itself() {
    let data = tempfile::tempdir().unwrap();
    let (inference, calls) = started(CONFIG, &data).await;
    let routing = Routing::default().for_key("broke").with_tag("night");
    let batch = ExecuteBatch::new("fallback", "hello").with_routing(routing).with_user("ann");
    let id = batch.request_id.clone();
    inference.execute(batch).await.unwrap_err();
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    let ledger = inference.ledger().unwrap();
    ledger.flush().await.unwrap();
    let mut found = Vec::new();
    let each = |_, row| {
        found.push(row);
        std::ops::ControlFlow::Continue(())
    };
    ledger.rows(each).unwrap();
    let [row] = <[_; 1]>::try_from(found).unwrap();
    assert_eq!(
        (row.key.as_deref(), row.user.as_deref(), row.tag.as_deref()),
        (Some("broke"), Some("ann"), Some("night"))
    );
    assert_eq!(
        (row.route.as_deref(), row.model.as_str(), row.provider),
        (Some("fallback"), "fallback", None)
    );
    assert_eq!(
        (row.cost, row.usage, row.request_id.as_str()),
        (RowCost::Nothing, Usage::default(), id.as_str())
    );
}

#[tokio::test]
async fn a_copy_is_a_row_of_its_own() {
    let data = tempfile::tempdir().unwrap();
    let (inference, _) = started(CONFIG, &data).await;
    inference.execute(ExecuteBatch::new("copied", "hello")).await.unwrap();
    while inference.router().shadows_in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    let left = rows(&inference).await;
    let row = |provider: &str| (Some(provider.to_owned()), "answered".to_owned(), 10, None);
    assert_eq!(left, [row("a"), row("b")]);
}

const ONE_PLACE: &str = "providers: {a: {type: scripted}}\nledger: {queue_rows: 1, max_wait: 0s";

#[tokio::test]
async fn without_room_for_its_row_a_call_is_refused_before_anything_is_sent() {
    let data = tempfile::tempdir().unwrap();
    let (inference, calls) = started(&format!("{ONE_PLACE}}}"), &data).await;
    let held = inference.execute(ExecuteBatch::new("a/m", "hello").streaming()).await.unwrap();
    let refused = inference.execute(ExecuteBatch::new("a/m", "hello")).await.unwrap_err();
    assert_eq!((refused.kind(), refused.is_transient()), (ErrorKind::QueueFull, true));
    assert!(refused.to_string().contains("ledger: no room for another row"), "{refused}");
    let refused = inference.embed(EmbedBatch::new("a/m", ["x"])).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::QueueFull);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    held.collect().await.unwrap();
    inference.ledger().unwrap().flush().await.unwrap();
    inference.execute(ExecuteBatch::new("a/m", "hello")).await.unwrap();
    assert_eq!(rows(&inference).await.len(), 2);
    let stats = inference.ledger().unwrap().stats();
    assert_eq!((stats.turned_away, stats.refused), (2, 0));
}

#[tokio::test]
async fn where_calls_go_on_without_room_their_rows_are_counted_as_lost() {
    let data = tempfile::tempdir().unwrap();
    let (inference, _) = started(&format!("{ONE_PLACE}, when_full: lose}}"), &data).await;
    let held = inference.execute(ExecuteBatch::new("a/m", "hello").streaming()).await.unwrap();
    inference.execute(ExecuteBatch::new("a/m", "hello")).await.unwrap();
    held.collect().await.unwrap();
    assert_eq!(rows(&inference).await.len(), 1);
    let stats = inference.ledger().unwrap().stats();
    assert_eq!((stats.turned_away, stats.refused, stats.written), (0, 1, 1));
}
