//! The key is in nothing that can be printed, whatever the upstream does with it.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use infer_core::{EmbedBatch, ExecuteBatch, ModelRunner as _};
use remote_core::session::RemoteSessionActor;
use runtime_openai::config::SecretRef;
use runtime_openai::{OpenAiConfig, OpenAiRunner};
use tracing_subscriber::util::SubscriberInitExt as _;
use upstream_sim::Sim;

const KEY: &str = "sk-leak-9f8e7d6c5b4a3210";
const HEADER: &str = "header-secret-aa55aa55";
const QUERY: &str = "query-secret-77bb77bb";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error with everything it holds.
fn whole_error(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let _ = write!(text, "{error} {error:?} ");
        next = error.source();
    }
    text
}

#[tokio::test]
async fn no_log_no_error_and_no_debug_output_holds_a_secret() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish()
        .init(); // with the bridge from `log`, which the HTTP client writes to

    let sim = Sim::builder().seed(1).start().await.unwrap();
    let mut config = OpenAiConfig::defaults_for_openai(SecretRef::inline(KEY));
    config.endpoint = sim.base_url();
    config.retry.attempts = 1; // on a real clock, waiting would be all this does
    config.headers.insert("x-secret".into(), HEADER.into());
    config.query.insert("secret".into(), QUERY.into());
    let mut printed = format!("{config:?}");
    let session = RemoteSessionActor::bootstrap(config.api_key.clone()).await.unwrap();
    let runner = OpenAiRunner::new(config, session).unwrap();
    let _ = write!(printed, "{runner:?} {:?} {:?}", runner.provider(), runner.session());

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
        for streaming in [false, true] {
            let mut batch = ExecuteBatch::new(model, "hi");
            if streaming {
                batch = batch.streaming();
            }
            let _ = write!(printed, "{batch:?}");
            match runner.execute(batch).await {
                Err(error) => printed += &whole_error(&error),
                Ok(run) => {
                    let _ = write!(printed, "{run:?}");
                    let mut stream = run.into_stream();
                    while let Some(chunk) = stream.next().await {
                        match chunk {
                            Ok(chunk) => drop(write!(printed, "{chunk:?}")),
                            Err(error) => printed += &whole_error(&error),
                        }
                    }
                }
            }
        }
    }
    let vectors = runner.embed(EmbedBatch::new("text-embedding-3-small", ["x"])).await.unwrap();
    assert_eq!(vectors.vectors.len(), 1);
    drop(sim);
    printed += &whole_error(&runner.execute(ExecuteBatch::new("m", "nobody is there")).await.unwrap_err());

    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(logged.contains("TRACE") && logged.contains("sending"), "the log was not listened to: {logged}");
    assert!(printed.contains("[redacted]"), "the upstream that repeats the key was not asked");
    for secret in [KEY, HEADER, QUERY] {
        for (place, text) in [("printed", &printed), ("logged", &logged)] {
            let at = text.find(secret);
            assert!(
                at.is_none(),
                "{place}: {:?}",
                text.get(at.unwrap().saturating_sub(200)..at.unwrap() + 40)
            );
        }
    }
}
