//! Azure's recorded answers, served over a socket with their status and headers, through the whole pipeline.
//!
//! The fixtures belong to `wire-chat`, which holds the decoder to them byte by byte. Here status, headers, framing and
//! refinement come in: what a caller sees must be what the index says.

use remote_core::session::RemoteSessionActor;
use remote_testkit::check::Verdict;
use remote_testkit::fixtures::Fixtures;
use runtime_azure::config::SecretRef;
use runtime_azure::{AzureConfig, AzureRunner};

async fn runner(base_url: String, api_version: &str) -> Verdict<AzureRunner> {
    let mut config = AzureConfig {
        endpoint: base_url,
        deployment: "dep".into(),
        api_version: api_version.into(),
        api_key: SecretRef::inline("azure-fixture-key-1234"),
        ..AzureConfig::default()
    };
    config.retry.attempts = 1; // on a real clock, waiting would be all this does
    let session = RemoteSessionActor::bootstrap(config.api_key.clone()).await?;
    Ok(AzureRunner::new(config, session)?)
}

#[tokio::test]
async fn every_fixture_comes_out_as_its_index_says_by_either_form() {
    let all = Fixtures::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../wire-chat/tests/data")).unwrap();
    for version in ["2024-10-21", "v1"] {
        // Token endpoints speak another language.
        let is_azure = |file: &str| file.starts_with("azure/") && !file.contains("/token_");
        let played = all.play(is_azure, async |url| runner(url, version).await).await.unwrap();
        assert!(played > 20, "only {played} fixtures were read");
    }
}

#[tokio::test]
async fn a_fixture_that_comes_out_otherwise_is_named() {
    let folder = std::env::temp_dir().join(format!("runtime-azure-fixtures-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let answer = r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}"#;
    std::fs::write(folder.join("a.json"), answer).unwrap();
    let mut found = Vec::new();
    for expect in
        [r#"{"text":"hi"}"#, r#"{"text":"ho"}"#, r#"{"outcome":"error"}"#, r#"{"usage":{"prompt_tokens":1}}"#]
    {
        let head = r#""file":"a.json","kind":"chat","http":{"headers":{"content-type":"application/json"}}"#;
        std::fs::write(folder.join("index.json"), format!(r#"{{"files":[{{{head},"expect":{expect}}}]}}"#))
            .unwrap();
        let all = Fixtures::read(&folder).unwrap();
        found.push(
            all.play(|_| true, async |url| runner(url, "").await).await.map_err(|wrong| wrong.to_string()),
        );
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(found.remove(0), Ok(1));
    assert!(
        found.iter().all(|found| found.as_ref().is_err_and(|wrong| wrong.contains("a.json: "))),
        "{found:?}"
    );
}
