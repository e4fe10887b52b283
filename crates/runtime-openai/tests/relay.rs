//! Recorded Responses bodies, passed on: byte for byte, with the usage, the price and the error they tell of.

use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt as _;
use infer_core::{ErrorKind, FinishKind, FinishReason, ModelRunner as _, RelayMethod, RelayRequest, Usage};
use remote_core::meter::Outcome;
use remote_core::session::SessionSnapshot;
use remote_core::{ProviderConfig as _, RemoteProvider as _, RemoteRunner};
use remote_testkit::{Act, Records, Script, ScriptedTransport};
use runtime_openai::OpenAiConfig;
use runtime_openai::config::SecretRef;

fn usage(output: u64) -> Usage {
    let mut usage = Usage::new(30, output);
    (usage.cached_input_tokens, usage.reasoning_tokens) = (10, 12);
    usage
}

#[tokio::test]
async fn recorded_responses_pass_byte_for_byte_and_are_counted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire-chat/tests/data/openai");
    let (done, failed) = (Outcome::Completed, Outcome::Failed);
    for (file, expect, outcome, finish, ends_well) in [
        ("responses_ok.json", Some(usage(25)), done, Some(FinishKind::Stop), true),
        ("responses_incomplete.json", Some(usage(25)), done, Some(FinishKind::Length), true),
        ("responses_stream.sse", Some(usage(13)), done, Some(FinishKind::Stop), true),
        ("responses_stream_failed.sse", None, failed(ErrorKind::Upstream), Some(FinishKind::Error), true),
        ("responses_stream_error_event.sse", None, failed(ErrorKind::RateLimited), None, false),
    ] {
        let body = std::fs::read(folder.join(file)).unwrap();
        let kind =
            if file.contains("stream") { "text/event-stream; charset=utf-8" } else { "application/json" };
        for size in [1, 7, body.len()] {
            let pieces = body.chunks(size).map(|piece| Act::bytes(piece.to_vec()));
            let script = Script::status(200).header("content-type", kind).acts(pieces);
            let transport = Arc::new(ScriptedTransport::new([script]));
            let records = Arc::new(Records::default());
            let provider =
                OpenAiConfig::defaults_for_openai(SecretRef::None).into_provider("openai").unwrap();
            let session = SessionSnapshot::new(Some("sk-fixture-key-1234".into())).unwrap().into_handle();
            let runner = RemoteRunner::builder(provider, session)
                .with_transport(Arc::clone(&transport) as _)
                .with_sink(Arc::clone(&records) as _)
                .build()
                .unwrap();
            let request = RelayRequest::new(RelayMethod::Post, "/responses")
                .with_json(r#"{"model":"gpt-5","input":"ping","stream":true}"#);
            let mut answer = runner.relay(request).await.unwrap();
            let (mut passed, mut end) = (Vec::new(), None);
            while let Some(piece) = answer.body.next().await {
                match piece {
                    Ok(piece) => passed.extend_from_slice(&piece),
                    Err(error) => end = Some(error),
                }
            }
            assert_eq!(String::from_utf8(passed).unwrap().as_bytes(), body, "{file}");
            assert_eq!(end.is_none(), ends_well, "{file}: {end:?}");
            assert!(end.is_none_or(|error| error.origin().unwrap().chunks > 0), "{file}");
            let seen = transport.playbook().seen();
            assert_eq!(seen.first().unwrap().uri, "https://api.openai.com/v1/responses");
            let calls = records.calls();
            let call = calls.first().unwrap();
            assert_eq!((call.outcome, call.served_model()), (outcome, "gpt-5-2025-08-07"), "{file}");
            assert_eq!(call.finish.as_ref().map(FinishReason::kind), finish, "{file}");
            let price = runner.provider().price("gpt-5-2025-08-07").unwrap();
            if let Some(expect) = expect {
                assert_eq!((call.usage, call.estimated), (Some(expect), false), "{file}");
                assert_eq!(call.cost.known().copied(), Some(price.cost(&expect, None)), "{file}");
            }
        }
    }
}
