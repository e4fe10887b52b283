//! Bad input, bad answers and bad networks: what is refused, when, and in which words.

use std::fmt::Write as _;
use std::time::Duration;

use crate::rig::{Rig, SECRET, application, config, federated, fixture};
use infer_core::{ErrorKind, InferenceError, TransportKind};
use proptest::prelude::*;
use remote_core::TransportFault;
use remote_entra::{Cloud, EntraConfig};
use remote_testkit::{Act, Logs, Script};
use tokio::time::Instant;

async fn failure(config: &EntraConfig, rig: &Rig) -> InferenceError {
    match config.source_in(Cloud::Public, &rig.around) {
        Ok(source) => source.fetch().await.unwrap_err(),
        Err(error) => error,
    }
}

async fn answered(script: Script) -> InferenceError {
    failure(&application(), &Rig::new([script], [], &[])).await
}

fn machine() -> EntraConfig {
    config(r#"{"type":"managed_identity"}"#)
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_what_to_fix_in_one_line_at_which_host() {
    let error = answered(Script::status(401).body(fixture("token_error_401.json"))).await;
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    let expect = "entra login at https://login.microsoftonline.com answered http 401: the client secret is wrong: it \
                  must be the secret's value, not its id: invalid_client: AADSTS7000215: Invalid client secret";
    assert!(text.starts_with(expect), "{text}");
    assert!(!text.contains('\n') && text.len() < 800);
}

#[tokio::test(start_paused = true)]
async fn a_busy_or_broken_service_is_told_apart_from_a_wrong_credential() {
    let busy = answered(Script::status(429).header("retry-after", "7")).await;
    assert_eq!((busy.kind(), busy.retry_after()), (ErrorKind::RateLimited, Some(Duration::from_secs(7))));
    assert_eq!(answered(Script::status(503)).await.kind(), ErrorKind::Upstream);
    assert_eq!(answered(Script::silence()).await.kind(), ErrorKind::Upstream);
    let cut = Script::status(200).acts([Act::bytes("{\"access"), Act::Break]);
    assert_eq!(answered(cut).await.kind(), ErrorKind::Transport);
    let dns = answered(Script::fault(TransportFault::Before(TransportKind::Dns))).await.to_string();
    assert!(dns.contains("host name not found") && dns.contains("login.microsoftonline.com"), "{dns}");
}

#[tokio::test(start_paused = true)]
async fn a_login_host_that_never_answers_is_given_up_after_half_a_minute() {
    for script in [Script::silence(), Script::status(200).body("{").hang()] {
        let begun = Instant::now();
        let text = answered(script).await.to_string();
        assert_eq!(begun.elapsed(), Duration::from_secs(30));
        assert!(text.contains("no whole answer within 30s"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_over_a_mebibyte_is_not_read_to_its_end() {
    let piece = || Act::bytes(vec![b' '; 1 << 19]);
    let fits = Script::status(200).acts([piece(), Act::bytes(fixture("token_imds.json"))]);
    let rig = Rig::new([fits], [], &[]);
    application().source_in(Cloud::Public, &rig.around).unwrap().fetch().await.unwrap();
    let flood = Script::status(200).acts([piece(), piece(), piece()]).hang();
    let error = answered(flood).await;
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(error.to_string().contains("more than 1048576 bytes"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_not_followed() {
    let rig = Rig::new([Script::status(307).header("location", "https://elsewhere.test/")], [], &[]);
    let text = failure(&application(), &rig).await.to_string();
    assert!(text.contains("redirect is not followed"), "{text}");
    assert_eq!(rig.requests(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_under_a_success_status_is_still_one() {
    let text = answered(Script::json(fixture("token_error_401.json"))).await.to_string();
    assert!(text.contains("answered http 200: the client secret is wrong"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_refused_by_the_source_itself() {
    let error = answered(Script::json(r#"{"access_token":"secret","expires_on":"1795262400"}"#)).await;
    let text = error.to_string();
    assert!(text.contains("expired at 2026-11-21T12:00:00Z") && !text.contains("secret"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_federated_token_that_cannot_serve_is_refused_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let workload = serde_json::json!({
        "type": "workload_identity", "tenant": "t", "client_id": "c", "token_file": path,
    });
    let (workload, rig) = (config(&workload.to_string()), Rig::new([], [], &[]));
    let shown = path.display().to_string();
    let text = failure(&workload, &rig).await.to_string();
    assert!(text.contains("cannot be read") && text.contains(&shown), "{text}");
    for (content, expect) in [
        (federated(r#"{"exp":1795262400}"#), "its token expired 0s ago"),
        (federated(r#"{"exp":1795258800,"sub":"secret"}"#), "its token expired 1h ago, so nothing was sent"),
        (String::new(), "is empty"),
        (" \n".to_owned(), "is empty"),
        ("secret without the shape of a token".to_owned(), "is not a token"),
        (format!("{}\n{}", federated("{}"), federated("{}")), "is not a token"),
        ("e".repeat(70_000), "is larger than 65536 bytes"),
    ] {
        std::fs::write(&path, &content).unwrap();
        let error = failure(&workload, &rig).await;
        let text = error.to_string();
        assert!(text.contains(expect) && text.contains(&shown), "{text}");
        assert!(!text.contains("secret") && !text.contains("eyJ") && !text.contains('\n'), "{text}");
        assert_eq!((error.kind(), rig.requests()), (ErrorKind::Config, (0, 0)));
    }
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(failure(&workload, &rig).await.to_string().contains("is not a token"));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(failure(&workload, &rig).await.to_string().contains("is not a file"));
}

#[tokio::test(start_paused = true)]
async fn names_and_secrets_that_cannot_be_right_are_refused_before_anything_is_sent() {
    let rig = Rig::new([], [], &[]);
    let app = |tenant: &str, client: &str, secret: serde_json::Value| {
        let json = serde_json::json!({
            "type": "client_secret", "tenant": tenant, "client_id": client, "client_secret": secret,
        });
        config(&json.to_string())
    };
    for (config, expect) in [
        (app("a/b", "c", "s3cret!".into()), "tenant: must be"),
        (app("a?b", "c", "s3cret!".into()), "tenant: must be"),
        (app("a#b", "c", "s3cret!".into()), "tenant: must be"),
        (app("a%2f", "c", "s3cret!".into()), "tenant: must be"),
        (app("common", "c", "s3cret!".into()), "tenant: must be one tenant"),
        (app("t", "", "s3cret!".into()), "client_id: must be"),
        (app("t", "c", "".into()), "client_secret: is empty"),
        (app("t", "c", serde_json::Value::Null), "client_secret: is empty"),
        (app("t", "c", "s3cret!\ns3cret!".into()), "client_secret: is empty or holds a line break"),
        (app("t", "c", "s3cret!\u{e9}".into()), "another odd character"),
        (app("t", "c", serde_json::json!({"file": "/no/such/file"})), "cannot be read"),
        (config(r#"{"type":"managed_identity","client_id":"a","object_id":"b"}"#), "not several"),
        (config(r#"{"type":"managed_identity","client_id":"a\nb"}"#), "client_id: must be"),
        (config(r#"{"type":"workload_identity"}"#), "AZURE_TENANT_ID is not set"),
        (config(r#"{"type":"workload_identity","tenant":"t"}"#), "AZURE_CLIENT_ID is not set"),
        (
            config(r#"{"type":"workload_identity","tenant":"t","client_id":"c"}"#),
            "AZURE_FEDERATED_TOKEN_FILE",
        ),
        (config(r#"{"type":"azure_cli","tenant":"--debug"}"#), "tenant: must be"),
    ] {
        let error = failure(&config, &rig).await;
        let text = error.to_string();
        assert!(text.contains(expect) && !text.contains("s3cret"), "{text}");
        assert_eq!((error.kind(), rig.requests()), (ErrorKind::Config, (0, 0)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_environment_that_would_send_secrets_astray_is_refused() {
    for (config, environment, expect) in [
        (application(), vec![("AZURE_AUTHORITY_HOST", "http://login.test")], "AZURE_AUTHORITY_HOST"),
        (
            machine(),
            vec![("IDENTITY_ENDPOINT", "http://example.com/x"), ("IDENTITY_HEADER", "h")],
            "IDENTITY_ENDPOINT",
        ),
        (
            machine(),
            vec![("IDENTITY_ENDPOINT", "http://8.8.8.8/"), ("IDENTITY_HEADER", "h")],
            "IDENTITY_ENDPOINT",
        ),
        (machine(), vec![("IDENTITY_ENDPOINT", "msi"), ("IDENTITY_HEADER", "h")], "IDENTITY_ENDPOINT"),
        (
            machine(),
            vec![("IDENTITY_ENDPOINT", "http://127.0.0.1/"), ("IDENTITY_HEADER", "h\nx")],
            "IDENTITY_HEADER: holds",
        ),
        (
            machine(),
            vec![("IDENTITY_ENDPOINT", "http://localhost/"), ("IMDS_ENDPOINT", "http://localhost/")],
            "Azure Arc",
        ),
    ] {
        let rig = Rig::new([], [], &environment);
        let text = failure(&config, &rig).await.to_string();
        assert!(text.contains(expect), "{text}");
        assert_eq!(rig.requests(), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_machines_service_is_asked_again_as_its_vendor_wants_and_then_left_to_the_session() {
    let (begun, token) = (Instant::now(), Script::json(fixture("token_imds.json")));
    let late = [Script::status(404), Script::status(429), Script::status(500), token];
    let rig = Rig::new([], late, &[]);
    machine().source_in(Cloud::Public, &rig.around).unwrap().fetch().await.unwrap();
    assert_eq!((begun.elapsed(), rig.requests()), (Duration::from_secs(7), (0, 4)));

    let rig = Rig::new([], (0..9).map(|_| Script::status(410)), &[]);
    assert_eq!(failure(&machine(), &rig).await.kind(), ErrorKind::Upstream);
    assert_eq!(rig.requests(), (0, 4));

    for final_answer in [
        Script::status(400).body(fixture("token_imds_400.json")),
        Script::fault(TransportFault::ConnectTimeout),
    ] {
        let rig = Rig::new([], [final_answer], &[]);
        let text = failure(&machine(), &rig).await.to_string();
        assert!(
            text.contains("there is no managed identity here") || text.contains("cannot connect"),
            "{text}"
        );
        assert_eq!(rig.requests(), (0, 1));
    }
    let app = [("IDENTITY_ENDPOINT", "http://localhost:1/"), ("IDENTITY_HEADER", "h")];
    let rig = Rig::new([], [Script::status(500)], &app);
    failure(&machine(), &rig).await;
    assert_eq!(rig.requests(), (0, 1), "nothing is known of such a rule for apps");
}

#[tokio::test(start_paused = true)]
async fn a_default_that_is_configured_and_fails_does_not_fall_back_on_another_identity() {
    let app = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_CLIENT_SECRET", SECRET)];
    let rig = Rig::new([Script::status(401).body(fixture("token_error_401.json"))], [], &app);
    let text = failure(&EntraConfig::default(), &rig).await.to_string();
    assert!(text.contains("AADSTS7000215"), "{text}");
    assert_eq!(rig.requests(), (1, 0));

    let rig = Rig::new([], [Script::status(403).body(r#"{"error":"access_denied"}"#)], &[]);
    let text = failure(&EntraConfig::default(), &rig).await.to_string();
    assert!(text.starts_with("managed identity at http://169.254.169.254 answered http 403"), "{text}");

    let rig = Rig::new([], [], &[app[0], app[1], ("AZURE_CLIENT_SECRET", "one\ntwo")]);
    let text = failure(&EntraConfig::default(), &rig).await.to_string();
    assert!(text.starts_with("environment variable AZURE_CLIENT_SECRET: "), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_default_keeps_to_the_way_that_worked() {
    let token = Script::json(fixture("token_imds.json"));
    let gone = Script::fault(TransportFault::ConnectTimeout);
    let rig = Rig::new([], [token, gone], &[]);
    let source = EntraConfig::default().source_in(Cloud::Public, &rig.around).unwrap();
    source.fetch().await.unwrap();
    let text = source.fetch().await.unwrap_err().to_string();
    assert!(text.starts_with("managed identity: ") && !text.contains("tried"), "{text}");
}

#[test]
fn a_configuration_with_a_misspelt_or_foreign_key_is_refused() {
    for bad in [
        r#"{"type":"default","tenant":"t"}"#,
        r#"{"type":"managed_identity","clientid":"c"}"#,
        r#"{"type":"client_secret","tenant":"t","client_id":"c"}"#,
        r#"{"type":"password"}"#,
        "{}",
    ] {
        assert!(serde_json::from_str::<EntraConfig>(bad).is_err(), "{bad}");
    }
    assert_eq!(config(r#"{"type":"default"}"#), EntraConfig::default());
}

#[tokio::test(start_paused = true)]
async fn no_source_prints_a_secret_whatever_happens() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let proof = federated(r#"{"sub":"secret"}"#);
    std::fs::write(&path, &proof).unwrap();
    let environment = [
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_ID", "c"),
        ("AZURE_CLIENT_SECRET", SECRET),
        ("AZURE_FEDERATED_TOKEN_FILE", path.to_str().unwrap()),
        ("IDENTITY_ENDPOINT", "http://localhost:1/"),
        ("IDENTITY_HEADER", "header-secret"),
    ];
    let logs = Logs::default();
    let _listening = logs.listen();
    let secrets = [SECRET, "p%7Ess", &proof, proof.split('.').nth(1).unwrap(), "header-secret", "eyJ0eXAi"];
    for config in [
        application(),
        machine(),
        config(r#"{"type":"workload_identity"}"#),
        config(r#"{"type":"azure_cli","program":"/no/such/az"}"#),
        EntraConfig::default(),
    ] {
        // A service that repeats what it was sent, as JSON and as text, and one that gives a token.
        let echo = |seen: &remote_testkit::Seen| {
            let body = String::from_utf8_lossy(&seen.body).into_owned();
            let header =
                seen.headers.get("x-identity-header").map(|value| value.to_str().unwrap().to_owned());
            let said = format!("{body} {SECRET} {}", header.unwrap_or_default());
            match seen.number % 3 {
                1 => Script::status(400)
                    .body(serde_json::json!({"error": said, "error_description": said}).to_string()),
                2 => Script::status(403).body(said),
                _ => Script::json(fixture("token_client_credentials.json")),
            }
        };
        let rig = Rig::new([], [], &environment);
        rig.login.otherwise(echo);
        rig.local.otherwise(echo);
        let source = config.source_in(Cloud::Public, &rig.around).unwrap();
        let mut printed = format!("{config:?} {source:?} {:?}", rig.around);
        for _ in 0..3 {
            match source.fetch().await {
                Ok(credential) => write!(printed, "{credential:?}").unwrap(),
                Err(error) => write!(printed, "{error} {error:?}").unwrap(),
            }
        }
        write!(printed, "{source:?} {}", logs.text()).unwrap();
        for secret in secrets {
            // What only managed identities are sent cannot be known to others.
            let is_foreign = secret == SECRET
                && matches!(
                    config,
                    EntraConfig::ManagedIdentity { .. } | EntraConfig::WorkloadIdentity { .. }
                );
            assert!(is_foreign || !printed.contains(secret), "{secret} in {printed}");
        }
    }
    assert!(logs.text().contains("way to Entra tokens chosen"));
}

proptest! {
    /// No answer of a token service makes a source panic, and no token is empty.
    #[test]
    fn any_answer_is_a_token_or_an_error(
        status in 200u16..600,
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..80),
            ".{0,8}".prop_map(|token| serde_json::json!({"access_token": token, "expires_in": 9}).to_string().into()),
        ],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let answer = || Script::status(status).body(body.clone());
            let rig = Rig::new([answer()], [answer(), answer(), answer(), answer()], &[]);
            for config in [application(), machine()] {
                let source = config.source_in(Cloud::Public, &rig.around).unwrap();
                match source.fetch().await {
                    Ok(credential) => prop_assert!(!credential.secret().unwrap().expose().is_empty()),
                    Err(error) => prop_assert!(!error.to_string().contains(char::is_control)),
                }
            }
            Ok(())
        })?;
    }
}
