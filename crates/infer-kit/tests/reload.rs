//! What a reload may and may not do to calls.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use inference::config::{Format, Section, Source};
use inference::core::{
    ExecuteBatch, InferenceError, ModelRunner, RunHandle, RunMeta, RunnerFactory, RunnerInfo, TokenChunk,
};
use inference::{Inference, ReloadError, Reloaded};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

/// Makes runners that say what their settings tell them to, and counts them.
#[derive(Debug, Default)]
struct Scripts {
    built: Mutex<BTreeMap<String, u64>>,
    /// Streams wait here between their first piece and the rest, when their prompt says so.
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Scripts {
    fn built(&self, name: &str) -> u64 {
        self.built.lock().unwrap().get(name).copied().unwrap_or(0)
    }
}

#[async_trait]
impl RunnerFactory for Scripts {
    fn kind(&self) -> &'static str {
        "scripted"
    }

    async fn build(
        &self,
        name: &str,
        settings: serde_json::Value,
    ) -> Result<Arc<dyn ModelRunner>, InferenceError> {
        if settings["broken"] == true {
            return Err(InferenceError::config(format!("providers.{name}.broken: is set")));
        }
        *self.built.lock().unwrap().entry(name.to_owned()).or_default() += 1;
        let says = settings["says"].as_str().unwrap_or("nothing").to_owned();
        let info = RunnerInfo::new("scripted", name);
        Ok(Arc::new(Script { info, says, gate: Arc::clone(&self.gate) }))
    }
}

#[derive(Debug)]
struct Script {
    info: RunnerInfo,
    says: String,
    gate: Arc<Gate>,
}

#[async_trait]
impl ModelRunner for Script {
    fn info(&self) -> &RunnerInfo {
        &self.info
    }

    async fn execute(&self, batch: ExecuteBatch) -> Result<RunHandle, InferenceError> {
        tokio::task::yield_now().await;
        let meta = RunMeta::new(Arc::clone(&self.info.name), batch.request_id.clone());
        let gate = (batch.model == "slow").then(|| Arc::clone(&self.gate));
        let first = TokenChunk::text(0, format!("{} ", self.says));
        let rest = async move {
            if let Some(gate) = gate {
                let _pass = gate.0.acquire().await.unwrap();
            }
            Ok(TokenChunk::text(0, batch.model))
        };
        let end = stream::iter([Ok(TokenChunk::finish(0, inference::core::FinishKind::Stop))]);
        Ok(RunHandle::streaming(meta, stream::iter([Ok(first)]).chain(stream::once(rest)).chain(end)))
    }
}

fn yaml(a: &str, b: &str) -> String {
    format!(
        "providers:\n  a: {{type: scripted, says: {a}}}\n  b: {{type: scripted, says: {b}}}\nroutes:\n  m:\n    targets: \
         [{{provider: a, model: x}}, {{provider: b, model: y}}]\n"
    )
}

fn source(text: &str) -> Source {
    Source::text(text, Format::Yaml).named("llm.yaml")
}

/// An outcome that can be kept.
fn told(outcome: &Result<Reloaded, ReloadError>) -> Result<Reloaded, String> {
    match outcome {
        Ok(reloaded) => Ok(reloaded.clone()),
        Err(error) => Err(error.to_string()),
    }
}

async fn started(scripts: &Arc<Scripts>, text: &str) -> Inference {
    let factory: Arc<dyn RunnerFactory> = scripts.clone();
    Inference::builder().with_factory(factory).with_source(source(text)).build().await.unwrap()
}

async fn say(inference: &Inference, model: &str) -> Result<String, InferenceError> {
    let run = inference.execute(ExecuteBatch::new(model, "hello")).await?;
    Ok(run.collect().await?.text().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_call_fails_over_a_hundred_reloads_and_what_did_not_change_is_built_once() {
    let scripts = Arc::new(Scripts::default());
    let inference = started(&scripts, &yaml("same", "v0")).await;
    let (calls, ends) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let (inference, calls, ends) = (inference.clone(), Arc::clone(&calls), Arc::clone(&ends));
            tokio::spawn(async move {
                while !ends.load(Ordering::Relaxed) {
                    let model = if caller % 2 == 0 { "m" } else { "b/z" };
                    let text = say(&inference, model).await.unwrap();
                    let said = matches!(text.split_once(' '), Some(("same", "x") | (_, "y" | "z")));
                    assert!(said, "{text}");
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for version in 1..=100 {
        let before = calls.load(Ordering::Relaxed);
        let reloaded = inference.apply(&source(&yaml("same", &format!("v{version}")))).await.unwrap();
        assert_eq!((reloaded.kept, reloaded.built), (vec!["a".to_owned()], vec!["b".to_owned()]));
        // Calls run between any two reloads.
        while calls.load(Ordering::Relaxed) < before + 8 {
            tokio::task::yield_now().await;
        }
    }
    ends.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!((scripts.built("a"), scripts.built("b")), (1, 101));
    assert_eq!(say(&inference, "b/z").await.unwrap(), "v100 z");
}

#[tokio::test]
async fn a_call_in_flight_finishes_on_a_provider_that_is_gone() {
    let scripts = Arc::new(Scripts::default());
    let inference = started(&scripts, &yaml("old", "b")).await;
    let run = inference.execute(ExecuteBatch::new("a/slow", "hello").streaming()).await.unwrap();
    let mut answer = run.into_stream();
    assert_eq!(answer.next().await.unwrap().unwrap().text, "old ");
    let reloaded = inference.apply(&source("providers: {b: {type: scripted, says: b}}")).await.unwrap();
    assert_eq!(reloaded.removed, ["a"]);
    assert_eq!(say(&inference, "m").await.unwrap(), "b m");
    assert!(inference.provider("a").is_none());
    scripts.gate.0.add_permits(1);
    assert_eq!(answer.next().await.unwrap().unwrap().text, "slow");
    assert!(answer.next().await.unwrap().unwrap().finish.is_some());
    assert!(answer.next().await.is_none());
}

#[tokio::test]
async fn a_broken_configuration_is_reported_and_nothing_of_it_is_applied() {
    let scripts = Arc::new(Scripts::default());
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let (factory, list): (Arc<dyn RunnerFactory>, _) = (scripts.clone(), Arc::clone(&outcomes));
    let inference = Inference::builder()
        .with_factory(factory)
        .with_source(source(&yaml("one", "two")))
        .with_listener(move |outcome| {
            list.lock().unwrap().push(told(outcome));
        })
        .build()
        .await
        .unwrap();
    for (text, expect) in [
        ("", "llm.yaml:1:1: is empty"),
        (
            "providers: {a: {type: scripted}}\nroutes: {m: {targets: [{provider: c}]}}",
            "llm.yaml:2:35: routes.m.targets[0].provider: there is no provider",
        ),
        (
            "providers: {a: {type: scripted, says: new}, b: {type: scripted, broken: true}}",
            "providers.b.broken: is set",
        ),
    ] {
        let error = inference.apply(&source(text)).await.unwrap_err();
        assert!(error.to_string().contains(expect), "{error}");
        assert_eq!(say(&inference, "a/x").await.unwrap(), "one x");
        assert_eq!(inference.config().providers.len(), 2);
    }
    let error = inference.reload().await.unwrap_err();
    assert!(matches!(error, ReloadError::Runner(_)) && error.to_string().contains("no file"), "{error}");
    assert!(inference.watch().is_err());
    let outcomes = outcomes.lock().unwrap();
    assert_eq!(outcomes.len(), 4);
    assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
}

#[tokio::test]
async fn a_call_without_a_model_gets_the_configured_one() {
    let scripts = Arc::new(Scripts::default());
    let inference = started(&scripts, &format!("{}model: {{provider: b, model: q}}\n", yaml("a", "b"))).await;
    assert_eq!(say(&inference, "").await.unwrap(), "b q");
    // Providers that have the same model share its calls, the one of the best priority first.
    let shared = "providers:\n  a: {type: scripted, says: a, model: gpt-4, priority: 2}\n  b: {type: scripted, says: b, model: gpt-4, weight: 0.5}\n";
    inference.apply(&source(shared)).await.unwrap();
    assert_eq!(say(&inference, "gpt-4").await.unwrap(), "b gpt-4");
    assert_eq!(say(&inference, "").await.unwrap(), "b gpt-4");
    let error = say(&inference, "gpt-5").await.unwrap_err().to_string();
    assert!(error.contains("gpt-5"), "{error}");
    // A single provider without a model of its own gets every name.
    inference.apply(&source("providers: {a: {type: scripted, says: a}}")).await.unwrap();
    assert_eq!(say(&inference, "any/thing").await.unwrap(), "a any/thing");
}

#[tokio::test]
async fn budgets_that_come_with_a_reload_are_kept_from_then_on() {
    let scripts = Arc::new(Scripts::default());
    let inference = started(&scripts, &yaml("x", "y")).await;
    say(&inference, "m").await.unwrap();
    let limits = "budgets: {limits: [{name: all, every: total, tokens: 1}]}\n";
    inference.apply(&source(&format!("{}{limits}", yaml("x", "y")))).await.unwrap();
    let error = say(&inference, "m").await.unwrap_err();
    assert_eq!(error.kind(), inference::core::ErrorKind::BudgetExhausted);
    inference.apply(&source(&yaml("x", "y"))).await.unwrap();
    say(&inference, "m").await.unwrap();
}

type Told = mpsc::UnboundedReceiver<Result<Reloaded, String>>;

async fn watched(path: &Path) -> (Inference, Told) {
    let (tell, heard) = mpsc::unbounded_channel();
    let factory: Arc<dyn RunnerFactory> = Arc::new(Scripts::default());
    let inference = Inference::builder()
        .with_factory(factory)
        .with_file(path)
        .with_listener(move |outcome| {
            let _ = tell.send(told(outcome));
        })
        .build()
        .await
        .unwrap();
    (inference, heard)
}

async fn next(told: &mut Told) -> Result<Reloaded, String> {
    timeout(Duration::from_secs(30), told.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_file_that_changes_is_read_again_also_when_it_is_replaced_and_broken_in_between() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("llm.yaml");
    std::fs::write(&path, yaml("a", "one")).unwrap();
    let (inference, mut told) = watched(&path).await;
    let watch = inference.watch().unwrap();

    std::fs::write(&path, yaml("a", "two")).unwrap();
    assert_eq!(next(&mut told).await.unwrap().built, ["b"]);
    assert_eq!(say(&inference, "b/q").await.unwrap(), "two q");

    std::fs::write(&path, "providers:\n  a: {type: scriptd}\n").unwrap();
    let error = next(&mut told).await.unwrap_err();
    assert!(error.contains("llm.yaml:2:13: providers.a.type: must be one of"), "{error}");
    assert_eq!(say(&inference, "b/q").await.unwrap(), "two q");

    let other = dir.path().join("llm.yaml.new");
    std::fs::write(&other, yaml("a", "three")).unwrap();
    std::fs::rename(&other, &path).unwrap();
    assert_eq!(next(&mut told).await.unwrap().kept, ["a"]);
    assert_eq!(say(&inference, "b/q").await.unwrap(), "three q");
    drop(watch);
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn a_file_that_is_named_in_the_configuration_reloads_it_when_it_is_rotated() {
    let dir = tempfile::tempdir().unwrap();
    let keys = tempfile::tempdir().unwrap();
    let (path, key) = (dir.path().join("llm.yaml"), keys.path().join("key"));
    let naming = |key: &Path| yaml("fixed", &format!("\"${{file:{}}}\"", key.display()));
    std::fs::write(&key, "one\n").unwrap();
    std::fs::write(&path, naming(&key)).unwrap();
    let (inference, mut told) = watched(&path).await;
    let _watch = inference.watch().unwrap();
    assert_eq!(say(&inference, "b/q").await.unwrap(), "one q");

    std::fs::write(&key, "two\n").unwrap();
    assert_eq!(next(&mut told).await.unwrap().built, ["b"]);
    assert_eq!(say(&inference, "b/q").await.unwrap(), "two q");

    // As agents rotate secrets: another file takes its place.
    std::fs::write(keys.path().join("key.new"), "three").unwrap();
    std::fs::rename(keys.path().join("key.new"), &key).unwrap();
    assert_eq!(next(&mut told).await.unwrap().kept, ["a"]);
    assert_eq!(say(&inference, "b/q").await.unwrap(), "three q");

    // A file that is not there yet is waited for, in a directory that was not watched before.
    let elsewhere = tempfile::tempdir().unwrap();
    let key = elsewhere.path().join("key");
    std::fs::write(&path, naming(&key)).unwrap();
    let error = next(&mut told).await.unwrap_err();
    assert!(error.contains("providers.b.says: file ") && error.contains("cannot be read"), "{error}");
    assert_eq!(say(&inference, "b/q").await.unwrap(), "three q");
    std::fs::write(&key, "four").unwrap();
    assert_eq!(next(&mut told).await.unwrap().built, ["b"]);
    assert_eq!(say(&inference, "b/q").await.unwrap(), "four q");
}

#[cfg(unix)]
#[tokio::test]
async fn a_mounted_secret_whose_directory_is_swapped_by_a_link_reloads() {
    use std::os::unix::fs::symlink;

    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (version, key) in [("v1", "one"), ("v2", "two"), ("v3", "three")] {
        std::fs::create_dir(at(version)).unwrap();
        std::fs::write(at(version).join("key"), key).unwrap();
    }
    symlink("v1", at("data")).unwrap();
    symlink("data/key", at("key")).unwrap();
    let config = tempfile::tempdir().unwrap();
    let path = config.path().join("llm.yaml");
    std::fs::write(&path, yaml("fixed", &format!("\"${{file:{}}}\"", at("key").display()))).unwrap();
    let (inference, mut told) = watched(&path).await;
    let _watch = inference.watch().unwrap();
    for (version, said) in [("v2", "two q"), ("v3", "three q")] {
        symlink(version, at("data.new")).unwrap();
        std::fs::rename(at("data.new"), at("data")).unwrap();
        assert_eq!(next(&mut told).await.unwrap().built, ["b"]);
        assert_eq!(say(&inference, "b/q").await.unwrap(), said);
    }
}

#[tokio::test]
async fn an_added_section_is_seen_after_a_reload_and_one_that_is_wrong_changes_nothing() {
    let section = Section::of("limits", |limits: &BTreeMap<String, u32>| match limits.get("calls") {
        Some(0) => Err(InferenceError::config("limits.calls: must be above 0, got 0")),
        _ => Ok(()),
    });
    let scripts = Arc::new(Scripts::default());
    let factory: Arc<dyn RunnerFactory> = scripts.clone();
    let text = |calls: u32| format!("{}limits: {{calls: {calls}}}\n", yaml("one", "two"));
    let builder = Inference::builder().with_factory(factory).with_section(section);
    let inference = builder.with_source(source(&text(1))).build().await.unwrap();
    let calls = || inference.config().section::<BTreeMap<String, u32>>().unwrap()["calls"];
    assert_eq!(calls(), 1);
    assert_eq!(inference.apply(&source(&text(1))).await.unwrap().sections, Vec::<String>::new());
    let reloaded = inference.apply(&source(&text(2))).await.unwrap();
    assert_eq!((reloaded.sections, calls()), (vec!["limits".to_owned()], 2));
    let error = inference.apply(&source(&text(0))).await.unwrap_err().to_string();
    assert!(error.ends_with("limits.calls: must be above 0, got 0") && calls() == 2, "{error}");
}
