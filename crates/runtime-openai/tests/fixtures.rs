//! Every recorded shape, served over a socket with its status and headers, through the whole pipeline.
//!
//! The fixtures belong to `wire-chat`, which holds the decoder to them byte by byte. Here status, headers, framing and
//! refinement come in: what a caller sees must be what the index says.

use remote_core::session::RemoteSessionActor;
use remote_testkit::check::Verdict;
use remote_testkit::fixtures::Fixtures;
use runtime_openai::config::SecretRef;
use runtime_openai::{OpenAiConfig, OpenAiRunner};

async fn runner(base_url: String) -> Verdict<OpenAiRunner> {
    let mut config = OpenAiConfig::defaults_for_openai(SecretRef::inline("sk-fixture-key-1234"));
    config.endpoint = format!("{base_url}/v1");
    config.retry.attempts = 1; // on a real clock, waiting would be all this does
    let session = RemoteSessionActor::bootstrap(config.api_key.clone()).await?;
    Ok(OpenAiRunner::new(config, session)?)
}

#[tokio::test]
async fn every_fixture_comes_out_as_its_index_says() {
    let all = Fixtures::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../wire-chat/tests/data")).unwrap();
    // Token endpoints speak another language.
    let played = all.play(|file| !file.contains("/token_"), runner).await.unwrap();
    assert!(played > 150, "only {played} fixtures were read");
}
