//! Every call is counted once: in the ledger, and in budgets.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::future::join_all;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use inference::config::{Format, Source};
use inference::core::{
    Completion, CostEstimate, EmbedBatch, Embeddings, ErrorKind, ExecuteBatch, FinishKind, InferenceError,
    ModelRunner, Routing, RunHandle, RunMeta, RunnerFactory, RunnerInfo, TokenChunk, Usage, Usd,
};
use inference::store::budget::{Amount, BudgetRule, Payer};
use inference::store::ledger::{Dimension, Query, Report};
use inference::{Drill, DrillFault, Inference};

/// A dollar a token, and as many tokens as the prompt has words and ten more.
#[derive(Debug, Default)]
struct Scripts(Arc<AtomicU64>);

#[derive(Debug)]
struct Script {
    info: RunnerInfo,
    calls: Arc<AtomicU64>,
}

fn dollars(tokens: u64) -> CostEstimate {
    let mut cost = CostEstimate::default();
    cost.input = Usd::from_usd(tokens as f64).unwrap();
    cost
}

#[async_trait]
impl RunnerFactory for Scripts {
    fn kind(&self) -> &'static str {
        "scripted"
    }

    async fn build(&self, name: &str, _: serde_json::Value) -> Result<Arc<dyn ModelRunner>, InferenceError> {
        Ok(Arc::new(Script { info: RunnerInfo::new("scripted", name), calls: Arc::clone(&self.0) }))
    }
}

#[async_trait]
impl ModelRunner for Script {
    fn info(&self) -> &RunnerInfo {
        &self.info
    }

    async fn execute(&self, batch: ExecuteBatch) -> Result<RunHandle, InferenceError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        let meta = RunMeta::new(Arc::clone(&self.info.name), batch.request_id.clone());
        match batch.model.as_str() {
            "fails" => return Err(InferenceError::reported(ErrorKind::InvalidRequest, Box::default(), None)),
            "overloaded" => {
                return Err(InferenceError::reported(ErrorKind::Overloaded, Box::default(), None));
            }
            "silent" => std::future::pending().await,
            _ => {}
        }
        let mut end = TokenChunk::finish(0, FinishKind::Stop);
        (end.usage, end.cost) = (Some(Usage::new(4, 6)), Some(Box::new(dollars(10))));
        let chunks = [TokenChunk::text(0, "one two three"), end];
        if batch.is_streaming() {
            return Ok(RunHandle::streaming(meta, stream::iter(chunks.map(Ok))));
        }
        let mut whole = Completion::default();
        for chunk in chunks {
            whole.push(chunk);
        }
        Ok(RunHandle::collected(meta, whole))
    }

    async fn embed(&self, batch: EmbedBatch) -> Result<Embeddings, InferenceError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut vectors = Embeddings::default();
        vectors.vectors = batch.input.iter().map(|_| vec![1.0]).collect();
        (vectors.usage, vectors.cost) = (Some(Usage::new(3, 0)), Some(dollars(3)));
        Ok(vectors)
    }

    fn estimate(&self, _: &ExecuteBatch) -> Option<CostEstimate> {
        Some(dollars(10))
    }
}

const TWO: &str = "providers: {a: {type: scripted}, b: {type: scripted}}\n";

fn source(rest: &str) -> Source {
    Source::text(format!("{TWO}{rest}"), Format::Yaml)
}

async fn started(rest: &str, data: Option<&tempfile::TempDir>) -> (Inference, Arc<AtomicU64>) {
    let scripts = Scripts::default();
    let calls = Arc::clone(&scripts.0);
    let builder = Inference::builder().with_factory(Arc::new(scripts)).with_source(source(rest));
    let builder = match data {
        Some(data) => builder.with_data(data),
        None => builder,
    };
    (builder.build().await.unwrap(), calls)
}

async fn report(inference: &Inference, by: Dimension) -> Report {
    let ledger = inference.ledger().unwrap();
    ledger.flush().await.unwrap();
    ledger.query(&Query::new().by(by)).unwrap()
}

async fn ask(inference: &Inference, model: &str) -> Result<String, InferenceError> {
    Ok(inference.execute(ExecuteBatch::new(model, "hello")).await?.collect().await?.text().to_owned())
}

fn spent(inference: &Inference, place: usize) -> Amount {
    inference.balances()[place].spent
}

fn usd(dollars: f64) -> Amount {
    Amount::Usd(Usd::from_usd(dollars).unwrap())
}

#[tokio::test]
async fn every_call_is_one_row_whether_it_was_answered_failed_or_left() {
    let data = tempfile::tempdir().unwrap();
    let limits = "budgets: {limits: [{name: all, every: total, usd: 1000}]}\n";
    let (inference, _) = started(limits, Some(&data)).await;
    let routing = Routing::default().for_key("team").with_tag("night");
    let batch =
        |model: &str| ExecuteBatch::new(model, "hello").with_routing(routing.clone()).with_user("ann");
    inference.execute(batch("a/whole")).await.unwrap();
    let streamed = inference.execute(batch("a/streamed").streaming()).await.unwrap();
    assert_eq!(streamed.into_stream().count().await, 2);
    inference.execute(batch("a/fails")).await.unwrap_err();
    // Left before anything came, and in the middle.
    let mut silent = Box::pin(inference.execute(batch("a/silent")));
    assert!((&mut silent).now_or_never().is_none());
    tokio::task::yield_now().await;
    assert!((&mut silent).now_or_never().is_none());
    drop(silent);
    let mut left = inference.execute(batch("a/left").streaming()).await.unwrap().into_stream();
    left.next().await.unwrap().unwrap();
    drop(left);
    inference.embed(EmbedBatch::new("b/vectors", ["x", "y"]).with_routing(routing.clone())).await.unwrap();

    let rows = report(&inference, Dimension::Model).await;
    let mut counts: Vec<_> =
        rows.groups.iter().map(|group| (group.names[0].clone().unwrap(), group.sums.calls)).collect();
    counts.sort();
    let names = ["fails", "left", "silent", "streamed", "vectors", "whole"];
    assert_eq!(counts, names.map(|name| (name.into(), 1)));
    assert_eq!(rows.total.cost, Usd::from_usd(10.0 + 10.0 + 3.0).unwrap());
    assert_eq!(inference.ledger().unwrap().stats().refused, 0);
    for (by, name) in [(Dimension::Key, "team"), (Dimension::Tag, "night")] {
        let groups = report(&inference, by).await.groups;
        assert_eq!((groups.len(), groups[0].names[0].as_deref()), (1, Some(name)));
    }
    // Budgets count what the rows say, and nothing stays reserved.
    let balance = &inference.balances()[0];
    assert_eq!((balance.spent, balance.reserved), (usd(23.0), usd(0.0)));
}

#[tokio::test]
async fn a_call_that_fails_over_is_a_row_at_each_target() {
    let data = tempfile::tempdir().unwrap();
    let routes = "routes: {m: {targets: [{provider: a, model: overloaded}, {provider: b, model: fine, priority: 2}]}}\n";
    let (inference, _) = started(routes, Some(&data)).await;
    ask(&inference, "m").await.unwrap();
    let rows = report(&inference, Dimension::Provider).await;
    let sums: Vec<_> =
        rows.groups.iter().map(|g| (g.names[0].clone().unwrap(), g.sums.calls, g.sums.failed)).collect();
    assert!(sums.contains(&("a".into(), 1, 1)) && sums.contains(&("b".into(), 1, 0)), "{sums:?}");
    let routes = report(&inference, Dimension::Route).await.groups;
    assert_eq!((routes.len(), routes[0].names[0].as_deref()), (1, Some("m")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_budget_binds_calls_at_the_same_time_and_says_which_it_is() {
    let limits = "budgets: {limits: [{name: daily, every: total, usd: 100}]}\n";
    let (inference, calls) = started(limits, None).await;
    let asked = (0..64).map(|_| {
        let inference = inference.clone();
        tokio::spawn(async move { ask(&inference, "a/m").await })
    });
    let answers: Vec<_> = join_all(asked).await.into_iter().map(Result::unwrap).collect();
    // Ten dollars a call fit ten times.
    let answered = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!((answered, calls.load(Ordering::Relaxed)), (10, 10));
    assert_eq!(spent(&inference, 0), usd(100.0));
    let error = ask(&inference, "a/m").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BudgetExhausted);
    assert!(!error.is_transient() && error.to_string().contains("budget daily"), "{error}");
    assert_eq!(calls.load(Ordering::Relaxed), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_budget_sends_calls_at_the_same_time_to_the_cheaper_route() {
    let config = "routes:\n  dear: {targets: [{provider: a, model: m}]}\n  cheap: {targets: [{provider: b, model: m}]}\n\
        budgets: {limits: [{name: dear, per: provider, only: [a], every: total, usd: 50, on_exceed: {downgrade: cheap}}]}\n";
    let data = tempfile::tempdir().unwrap();
    let (inference, _) = started(config, Some(&data)).await;
    let asked = (0..32).map(|_| {
        let inference = inference.clone();
        tokio::spawn(async move { ask(&inference, "dear").await.unwrap() })
    });
    for answer in join_all(asked).await {
        assert_eq!(answer.unwrap(), "one two three");
    }
    let rows = report(&inference, Dimension::Provider).await;
    let mut sums: Vec<_> = rows.groups.iter().map(|g| (g.names[0].clone().unwrap(), g.sums.calls)).collect();
    sums.sort();
    assert_eq!(sums, [("a".into(), 5), ("b".into(), 27)]);
}

#[tokio::test]
async fn an_answer_from_the_cache_asks_nobody_costs_nothing_and_is_a_row() {
    let data = tempfile::tempdir().unwrap();
    let (inference, calls) = started("cache: {}\n", Some(&data)).await;
    let batch = || ExecuteBatch::new("a/m", "hello").with_temperature(0.0);
    assert_eq!(inference.execute(batch()).await.unwrap().meta().attempts, 1);
    let hit = inference.execute(batch()).await.unwrap();
    assert_eq!(hit.meta().attempts, 0);
    assert_eq!(hit.collect().await.unwrap().text(), "one two three");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    // Another key has answers of its own.
    let other = batch().with_routing(Routing::default().for_key("other"));
    inference.execute(other).await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    let total = report(&inference, Dimension::Model).await.total;
    assert_eq!((total.calls, total.cached), (3, 1));
    assert_eq!((total.cost, total.tokens()), (Usd::from_usd(20.0).unwrap(), 20));
}

#[tokio::test]
async fn a_reload_keeps_what_was_spent_and_a_new_process_goes_on_with_it() {
    let limits = |usd: u32| format!("budgets: {{limits: [{{name: all, every: total, usd: {usd}}}]}}\n");
    let data = tempfile::tempdir().unwrap();
    let (inference, _) = started(&limits(10), Some(&data)).await;
    let held = inference.execute(ExecuteBatch::new("a/m", "hello").streaming()).await.unwrap();
    assert_eq!(ask(&inference, "a/m").await.unwrap_err().kind(), ErrorKind::BudgetExhausted);
    inference.apply(&source(&limits(20))).await.unwrap();
    // What is under way stays reserved, and counts where it settles.
    ask(&inference, "a/m").await.unwrap();
    held.collect().await.unwrap();
    assert_eq!(spent(&inference, 0), usd(20.0));
    assert_eq!(ask(&inference, "a/m").await.unwrap_err().kind(), ErrorKind::BudgetExhausted);
    // A budget that is new begins with what the ledger knows.
    let more = "budgets: {limits: [{name: b, per: provider, every: total, usd: 100}]}\n";
    inference.apply(&source(more)).await.unwrap();
    assert_eq!(spent(&inference, 0), usd(20.0));
    // Where the ledger is stays where it is, and nothing of the rest is put in force.
    let error = inference.apply(&source("ledger: {queue_rows: 9}\n")).await.unwrap_err().to_string();
    assert!(error.contains("ledger.queue_rows: is fixed once the ledger is open"), "{error}");
    assert_eq!(inference.balances().len(), 1);
    drop(inference);
    let (again, _) = started(&limits(20), Some(&data)).await;
    assert_eq!(spent(&again, 0), usd(20.0));
    assert_eq!(ask(&again, "a/m").await.unwrap_err().kind(), ErrorKind::BudgetExhausted);
}

#[tokio::test]
async fn a_downgrade_to_a_route_that_is_not_there_is_refused_by_its_path() {
    let limits = "budgets: {limits: [{name: all, every: total, usd: 1, on_exceed: {downgrade: chaep}}]}\n";
    let builder = Inference::builder().with_factory(Arc::new(Scripts::default())).with_source(source(limits));
    let error = builder.build().await.unwrap_err().to_string();
    assert!(
        error.contains("2:77: budgets.limits[0].on_exceed.downgrade: there is no route \"chaep\": add it"),
        "{error}"
    );
}

#[tokio::test]
async fn a_cache_on_disk_keeps_its_answers_when_its_settings_change_and_when_it_moves_in_and_out_of_memory() {
    let data = tempfile::tempdir().unwrap();
    let (inference, calls) = started("cache: {disk_bytes: 2000000}\n", Some(&data)).await;
    let ask = async || {
        let batch = ExecuteBatch::new("a/m", "hello").with_temperature(0.0);
        inference.execute(batch).await.unwrap().collect().await.unwrap();
        calls.load(Ordering::Relaxed)
    };
    assert_eq!(ask().await, 1);
    for settings in ["{disk_bytes: 4000000}", "{disk_bytes: 4000000, ttl: 2h}"] {
        inference.apply(&source(&format!("cache: {settings}\n"))).await.unwrap();
        assert_eq!(inference.config().cache.unwrap().disk_bytes, 4_000_000);
    }
    // Memory alone knows nothing of the disk, which is closed, and opened again by the next.
    inference.apply(&source("cache: {}\n")).await.unwrap();
    assert_eq!((ask().await, ask().await), (2, 2));
    inference.apply(&source("cache: {disk_bytes: 2000000}\n")).await.unwrap();
    assert_eq!(ask().await, 2, "the answer from the beginning");
}

#[tokio::test]
async fn limits_of_the_ledger_change_at_work_and_what_cannot_says_why() {
    let data = tempfile::tempdir().unwrap();
    let (inference, _) = started("ledger: {keep_rows: 5days}\n", Some(&data)).await;
    let changed =
        "ledger: {keep_rows: 9days, keep_hours: 60days, max_groups_per_hour: 7, max_groups_per_day: 8}\n";
    inference.apply(&source(changed)).await.unwrap();
    let ledger = inference.ledger().unwrap().config();
    assert_eq!(ledger, inference.config().ledger);
    assert_eq!((ledger.max_groups_per_hour, ledger.max_groups_per_day), (7, 8));
    let error =
        inference.apply(&source("ledger: {queue_rows: 9, max_names: 9}\n")).await.unwrap_err().to_string();
    for key in ["ledger.queue_rows", "ledger.max_names"] {
        assert!(error.contains(&format!("{key}: is fixed once the ledger is open: start anew")), "{error}");
    }
    assert_eq!(inference.ledger().unwrap().config(), ledger);

    let inference = Inference::builder().with_factory(Arc::new(Scripts::default()));
    let at = |name: &str| source(&format!("data: {}\n", data.path().join(name).display()));
    let inference = inference.with_source(at("one")).build().await.unwrap();
    let error = inference.apply(&at("two")).await.unwrap_err().to_string();
    assert!(error.contains("data: cannot change at work, since rows of calls in flight belong"), "{error}");
}

#[tokio::test]
async fn a_drill_fails_its_share_of_calls_unasked_and_for_nothing_and_others_step_in() {
    let data = tempfile::tempdir().unwrap();
    let routes = "routes: {r: {targets: [{provider: a, model: m}, {provider: b, model: m}]}}\n";
    let (inference, calls) = started(routes, Some(&data)).await;
    let mut drill = Drill::new(DrillFault::Refuse { status: 503, retry_after: None });
    drill.share = 0.5;
    inference.drill("a", Some(drill)).unwrap();
    let on = inference.drills();
    assert_eq!((on.len(), on[0].provider.as_str(), on[0].drill.share), (1, "a", 0.5));
    let mut refused = 0;
    for _ in 0..4 {
        match ask(&inference, "a/m").await {
            Ok(_) => {}
            Err(error) => {
                let at = error.origin().unwrap();
                assert_eq!(
                    (error.kind(), at.status, at.provider.as_deref()),
                    (ErrorKind::Overloaded, Some(503), Some("a"))
                );
                refused += 1;
            }
        }
    }
    assert_eq!((refused, calls.load(Ordering::Relaxed)), (2, 2));
    let failed = report(&inference, Dimension::Provider).await.total;
    assert_eq!((failed.calls, failed.failed, failed.cost), (4, 2, dollars(20).total()));

    inference.drill("a", Some(Drill::new(DrillFault::Timeout))).unwrap();
    let run = inference.execute(ExecuteBatch::new("r", "hello")).await.unwrap();
    assert_eq!((&*run.meta().provider, run.meta().tried[0].kind), ("b", ErrorKind::Timeout));
    let error = inference.embed(EmbedBatch::new("a/m", ["one"])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);

    inference.drill("a", None).unwrap();
    assert!(inference.drills().is_empty());
    ask(&inference, "a/m").await.unwrap();
    assert!(inference.drill("c", None).unwrap_err().to_string().contains("no provider"));
}

#[tokio::test]
async fn a_drill_cuts_a_stream_after_so_many_pieces_and_survives_a_reload() {
    let (inference, _) = started("", None).await;
    inference.drill("a", Some(Drill::new(DrillFault::Cut { pieces: 1 }))).unwrap();
    inference
        .apply(&Source::text(TWO.replace("a: {type: scripted}", "a: {type: scripted, x: 1}"), Format::Yaml))
        .await
        .unwrap();
    let run = inference.execute(ExecuteBatch::new("a/m", "hello").streaming()).await.unwrap();
    let pieces: Vec<_> = run.into_stream().collect().await;
    assert_eq!(pieces.len(), 2);
    let error = pieces[1].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.origin().unwrap().chunks), (ErrorKind::StreamInterrupted, 1));
    assert_eq!(ask(&inference, "a/m").await.unwrap_err().kind(), ErrorKind::StreamInterrupted);
}

fn of_key(name: &str, usd: f64) -> BudgetRule {
    serde_json::from_value(serde_json::json!({
        "name": format!("key:{name}:usd:total"), "per": "key", "only": [name], "every": "total", "usd": usd,
    }))
    .unwrap()
}

#[tokio::test]
async fn budgets_of_keys_bind_beside_those_of_the_configuration_and_keep_what_is_spent() {
    let data = tempfile::tempdir().unwrap();
    let limits = "budgets: {limits: [{name: all, every: total, usd: 1000}]}\n";
    let (inference, _) = started(limits, Some(&data)).await;
    let asks = |key: &'static str| {
        let batch = ExecuteBatch::new("a/m", "hello").with_routing(Routing::default().for_key(key));
        inference.execute(batch)
    };
    asks("old").await.unwrap();
    inference.set_key_rules(vec![of_key("team", 25.0), of_key("old", 10.0)]).await.unwrap();
    // What the ledger has of a key from before its budget counts.
    assert_eq!(asks("old").await.unwrap_err().kind(), ErrorKind::BudgetExhausted);
    asks("team").await.unwrap();
    asks("team").await.unwrap();
    assert_eq!(asks("team").await.unwrap_err().kind(), ErrorKind::BudgetExhausted);
    asks("other").await.unwrap();

    // A reload of the configuration leaves them in force, and a raised limit goes on from what is spent.
    let before = inference.reloads();
    inference.apply(&source("budgets: {limits: [{name: all, every: total, usd: 2000}]}\n")).await.unwrap();
    assert!(before.has_changed().unwrap());
    assert_eq!(asks("team").await.unwrap_err().kind(), ErrorKind::BudgetExhausted);
    inference.set_key_rules(vec![of_key("team", 30.0)]).await.unwrap();
    asks("team").await.unwrap();
    let held = inference.balances_of(&Payer::key("team"));
    let held: Vec<_> = held.iter().map(|held| (&*held.budget, held.spent)).collect();
    assert_eq!(held, [("all", usd(50.0)), ("key:team:usd:total", usd(30.0))]);

    // A rule that does not fit leaves those in force.
    let mut taken = of_key("team", 99.0);
    taken.name = "all".to_owned();
    inference.set_key_rules(vec![taken]).await.unwrap_err();
    assert_eq!(asks("team").await.unwrap_err().kind(), ErrorKind::BudgetExhausted);
    assert_eq!(inference.budget_rules().len(), 2);
}
