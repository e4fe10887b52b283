//! Tokens of Microsoft Entra in place of a key.

#![cfg(feature = "entra")]
#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use infer_core::{ExecuteBatch, ModelRunner as _};
use remote_core::session::RemoteSessionActor;
use remote_core::{ProviderConfig as _, RemoteRunner};
use remote_entra::Surroundings;
use remote_testkit::{Script, ScriptedTransport};
use runtime_azure::config::SecretRef;
use runtime_azure::{AzureCloud, AzureConfig};
use serde_json::json;

const TENANT: &str = "contoso.onmicrosoft.com";

fn config(more: &serde_json::Value) -> AzureConfig {
    let mut settings = json!({
        "resource": "res", "deployment": "dep",
        "entra": {
            "type": "client_secret", "tenant": TENANT,
            "client_id": "00000000-0000-4000-8000-00000000000a", "client_secret": "not-a-real-one"
        }
    });
    let members = settings.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    serde_json::from_value(settings).unwrap()
}

fn token(text: &str) -> Script {
    Script::json(json!({"token_type": "Bearer", "expires_in": 3599, "access_token": text}).to_string())
}

fn answer() -> Script {
    let choice = json!({"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"});
    Script::json(json!({"model": "gpt-4o-2024-11-20", "choices": [choice]}).to_string())
}

#[tokio::test(start_paused = true)]
async fn a_token_is_sent_as_bearer_and_a_refused_one_is_replaced_once() {
    let config = config(&json!({}));
    let login = Arc::new(ScriptedTransport::new([token("eyJ-first"), token("eyJ-second")]));
    let around = Surroundings::new(login.clone(), login.clone());
    let identity = config.entra.clone().unwrap();
    let source = identity.source_in(config.audience().unwrap(), &around).unwrap();
    let session = RemoteSessionActor::bootstrap(source).await.unwrap();

    let refusal =
        r#"{"error":{"code":"Unauthorized","message":"Access token is missing, invalid, or has expired."}}"#;
    let azure = Arc::new(ScriptedTransport::new([Script::status(401).body(refusal), answer()]));
    let remote = config.remote();
    let provider = config.into_provider("azure").unwrap();
    let builder = RemoteRunner::builder(provider, session).with_config(remote);
    let runner = builder.with_transport(azure.clone()).build().unwrap();
    let whole = runner.execute(ExecuteBatch::new("m", "hi")).await.unwrap().collect().await.unwrap();
    assert_eq!(whole.text(), "hi");

    let seen = azure.playbook().seen();
    let sent: Vec<_> = seen.iter().map(|one| one.headers.get("authorization").unwrap()).collect();
    assert_eq!(sent, ["Bearer eyJ-first", "Bearer eyJ-second"]);
    assert!(seen.iter().all(|one| !one.headers.contains_key("api-key")));
    let asked = login.playbook().seen();
    let login_uri = format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token");
    assert!(asked.len() == 2 && asked.iter().all(|one| one.uri == login_uri), "{asked:?}");
}

#[test]
fn a_token_is_for_what_the_cloud_the_version_and_the_settings_say() {
    for (settings, scope) in [
        (json!({}), "https://ai.azure.com/.default"),
        (json!({"api_version": "v1"}), "https://ai.azure.com/.default"),
        (json!({"api_version": "2024-10-21"}), "https://cognitiveservices.azure.com/.default"),
        (json!({"cloud": "us_government"}), "https://cognitiveservices.azure.us/.default"),
        (
            json!({"cloud": "china", "api_version": "2024-10-21"}),
            "https://cognitiveservices.azure.cn/.default",
        ),
        (json!({"token_scope": "api://gateway/.default"}), "api://gateway/.default"),
    ] {
        assert_eq!(config(&settings).audience().unwrap().scope(), scope, "{settings}");
    }
    let error = config(&json!({"token_scope": "api://gateway"})).audience().unwrap_err().to_string();
    assert!(error.starts_with("scope: "), "{error}");
}

#[test]
fn a_key_beside_an_identity_is_refused_before_a_token_is_fetched() {
    let config = AzureConfig { api_key: SecretRef::inline("azure-key-0123456789"), ..config(&json!({})) };
    for error in [config.credentials().unwrap_err(), config.into_provider("azure").unwrap_err()] {
        let error = error.to_string();
        assert!(error.contains("api_key and entra") && !error.contains("0123456789"), "{error}");
    }
}

#[test]
fn an_identity_that_cannot_be_one_is_refused_when_it_is_read() {
    let bad =
        json!({"entra": {"type": "client_secret", "tenant": "a b", "client_id": "x", "client_secret": "y"}});
    let error = config(&bad).credentials().unwrap_err().to_string();
    assert!(error.contains("tenant"), "{error}");
    let china = AzureConfig { cloud: AzureCloud::China, ..config(&json!({})) };
    assert!(china.credentials().is_ok());
}
