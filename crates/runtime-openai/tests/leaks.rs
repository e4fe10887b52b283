//! The key is in nothing that can be printed, whatever the upstream does with it.

use infer_core::{EmbedBatch, ExecuteBatch, ModelRunner as _};
use remote_core::session::RemoteSessionActor;
use remote_testkit::Leaks;
use runtime_openai::config::SecretRef;
use runtime_openai::{OpenAiConfig, OpenAiRunner};
use upstream_sim::Sim;

const KEY: &str = "sk-leak-9f8e7d6c5b4a3210";
const HEADER: &str = "header-secret-aa55aa55";
const QUERY: &str = "query-secret-77bb77bb";

#[tokio::test]
async fn no_log_no_error_and_no_debug_output_holds_a_secret() {
    let mut leaks = Leaks::listen(); // also to what the HTTP client writes
    let sim = Sim::builder().seed(1).start().await.unwrap();
    let mut config = OpenAiConfig::defaults_for_openai(SecretRef::inline(KEY));
    config.endpoint = sim.base_url();
    config.retry.attempts = 1; // on a real clock, waiting would be all this does
    config.headers.insert("x-secret".into(), HEADER.into());
    config.query.insert("secret".into(), QUERY.into());
    leaks.show(&config);
    let session = RemoteSessionActor::bootstrap(config.api_key.clone()).await.unwrap();
    let runner = OpenAiRunner::new(config, session).unwrap();
    leaks.show(&(&runner, runner.provider(), runner.session()));

    let models = [
        "gpt-4o-mini",
        "sim-echo-key",
        "sim-error-401",
        "sim-error-429",
        "sim-error-500",
        "sim-html",
        "sim-200-error",
        "sim-redirect",
        "sim-cut",
        "sim-error-midway",
        "sim-error-first",
        "sim-utf8",
    ];
    for model in models {
        leaks.call(&runner, ExecuteBatch::new(model, "hi")).await;
        leaks.call(&runner, ExecuteBatch::new(model, "hi").streaming()).await;
    }
    let vectors = runner.embed(EmbedBatch::new("text-embedding-3-small", ["x"])).await.unwrap();
    assert_eq!(vectors.vectors.len(), 1);
    drop(sim);
    leaks.call(&runner, ExecuteBatch::new("m", "nobody is there")).await;
    leaks.none_of(&[KEY, HEADER, QUERY]).unwrap();
}
