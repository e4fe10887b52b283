//! The key is in nothing that can be printed.
//!
//! The conformance suite sees to logs and to what an upstream repeats; here are settings, addresses and refusals.

use infer_core::{ExecuteBatch, TransportKind};
use remote_core::session::RemoteSessionActor;
use remote_core::{ProviderConfig as _, RemoteRunner, TransportFault};
use remote_testkit::{Leaks, Script, ScriptedTransport};
use runtime_azure::AzureConfig;
use runtime_azure::config::SecretRef;

const KEY: &str = "azure-leak-9f8e7d6c5b4a3210";
const HEADER: &str = "header-secret-aa55aa55";
const QUERY: &str = "query-secret-77bb77bb";

#[tokio::test]
async fn no_log_no_error_and_no_debug_output_holds_a_secret() {
    for (version, bearer) in [("2024-10-21", false), ("", false), ("", true)] {
        let mut config = AzureConfig::new("res", "dep", SecretRef::inline(KEY));
        (config.api_version, config.bearer, config.retry.attempts) = (version.into(), bearer, 1);
        config.headers.insert("ocp-apim-subscription-key".into(), HEADER.into());
        config.query.insert("secret".into(), QUERY.into());
        let mut leaks = Leaks::listen();
        leaks.show(&(&config, config.credentials().unwrap()));

        let spiteful = format!(r#"{{"statusCode":401,"message":"the key {KEY} is wrong"}}"#);
        let filter = format!(
            r#"{{"error":{{"code":"content_filter","innererror":{{"content_filter_result":{{"{KEY}":{{"filtered":true}}}}}}}}}}"#
        );
        let scripts = [
            Script::status(401).body(spiteful.clone()).header("apim-request-id", KEY),
            Script::status(400).body(filter),
            Script::status(403).body(spiteful),
            Script::status(404).body(KEY),
            Script::fault(TransportFault::Before(TransportKind::Closed)),
        ];
        let calls = scripts.len();
        let transport = std::sync::Arc::new(ScriptedTransport::new(scripts));
        let session = RemoteSessionActor::bootstrap(config.api_key.clone()).await.unwrap();
        let remote = config.remote();
        let provider = config.into_provider("azure").unwrap();
        let builder = RemoteRunner::builder(provider, session).with_config(remote);
        let runner = builder.with_transport(transport.clone()).build().unwrap();
        leaks.show(&(&runner, runner.provider(), runner.session()));
        for _ in 0..calls {
            leaks.call(&runner, ExecuteBatch::new("m", "hi")).await;
        }
        assert!(transport.playbook().seen().iter().all(|one| one.carries(KEY) && one.uri.contains(QUERY)));
        leaks.none_of(&[KEY, HEADER, QUERY]).unwrap();
    }
}

#[test]
fn settings_that_are_refused_do_not_show_their_secrets() {
    let mut config = AzureConfig::new("a.b", "dep", SecretRef::inline(KEY));
    config.headers.insert("bad name".into(), HEADER.into());
    config.query.insert("secret".into(), QUERY.into());
    let error = config.clone().into_provider("azure").unwrap_err().to_string();
    (config.resource, config.endpoint) = (String::new(), format!("https://user:{KEY}@host/?key={QUERY}"));
    let error = format!("{error} {}", config.into_provider("azure").unwrap_err());
    assert!(error.contains("user name or password"), "{error}");
    assert!(![KEY, HEADER, QUERY].iter().any(|secret| error.contains(secret)), "{error}");
}
