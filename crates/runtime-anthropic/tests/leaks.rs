//! Keys, headers and query values are in nothing that can be printed, whatever the upstream does with them.

use infer_core::{ErrorKind, ExecuteBatch};
use remote_core::session::RemoteSessionActor;
use remote_testkit::{Act, Leaks, MessagesWire, Script, Upstream, Wire as _};
use runtime_anthropic::config::SecretRef;
use runtime_anthropic::{AnthropicConfig, AnthropicRunner, KeyHeader};

const KEY: &str = "sk-ant-leak-9f8e7d6c5b4a3210";
const HEADER: &str = "header-secret-aa55aa55";
const QUERY: &str = "query-secret-77bb77bb";

/// The upstream repeats the key wherever it can.
fn scripts() -> Vec<Script> {
    let wire = MessagesWire::new("claude-sonnet-5");
    let spite = format!("the key {KEY} is wrong");
    let mut scripts: Vec<_> = ErrorKind::ALL.map(|kind| wire.refusal(kind, &spite)).into();
    let error = wire.error_event(ErrorKind::Overloaded, &spite);
    scripts.extend([
        Script::status(502).body(spite.clone()),
        Script::status(307).header("location", format!("/{KEY}")),
        Script::events([wire.role(), wire.text("Hel"), error]),
        Script::events([wire.role(), wire.text("Hel")]).acts([Act::Break]),
        Script::events([wire.role(), wire.malformed()]),
        Script::events(wire.stream(&["Hel", "lo"], infer_core::Usage::new(7, 2))),
    ]);
    scripts
}

#[tokio::test]
async fn no_log_no_error_and_no_debug_output_holds_a_secret() {
    for auth in [KeyHeader::ApiKey, KeyHeader::Bearer] {
        let mut leaks = Leaks::listen();
        let upstream = Upstream::start(scripts()).await.unwrap();
        let mut config = AnthropicConfig::defaults_for_anthropic(SecretRef::inline(KEY));
        config.endpoint = upstream.base_url();
        config.auth = auth;
        config.retry.attempts = 1; // on a real clock, waiting would be all this does
        config.circuit_breaker.consecutive_failures = 1000;
        config.headers.insert("x-secret".into(), HEADER.into());
        config.query.insert("secret".into(), QUERY.into());
        leaks.show(&config);
        let session = RemoteSessionActor::bootstrap(config.api_key.clone()).await.unwrap();
        let runner = AnthropicRunner::new(config, session).unwrap();
        leaks.show(&(&runner, runner.provider(), runner.session()));
        let calls = scripts().len();
        for _ in 0..calls {
            leaks.call(&runner, ExecuteBatch::new("claude-sonnet-5", "hi").streaming()).await;
        }
        let seen = upstream.playbook().seen();
        assert_eq!(seen.len(), calls);
        assert!(seen.iter().all(|request| request.carries(KEY) && request.carries(QUERY)), "{auth:?}");
        drop(upstream);
        leaks.call(&runner, ExecuteBatch::new("m", "nobody is there")).await;
        leaks.none_of(&[KEY, HEADER, QUERY]).unwrap();
    }
}
