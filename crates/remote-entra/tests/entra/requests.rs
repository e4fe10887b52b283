//! What every source sends, to the letter, and what it makes of the answer.

use crate::rig::{Rig, SECRET, application, config, federated, fixture};
use http::Method;
use remote_core::session::Credential;
use remote_entra::{Audience, Cloud, EntraConfig, FOUNDRY_SCOPE};
use remote_testkit::{Playbook, Script};

const APP: &[(&str, &str)] =
    &[("IDENTITY_ENDPOINT", "http://localhost:42356/msi/token"), ("IDENTITY_HEADER", "header-secret")];

async fn fetch(config: &EntraConfig, audience: impl Into<Audience>, rig: &Rig) -> Credential {
    config.source_in(audience, &rig.around).unwrap().fetch().await.unwrap()
}

fn token(credential: &Credential) -> &str {
    credential.secret().unwrap().expose()
}

/// The body of the only request, which was a form.
fn form(book: &Playbook, uri: &str) -> String {
    let seen = &book.seen()[0];
    assert_eq!((&seen.method, seen.uri.as_str()), (&Method::POST, uri));
    assert_eq!(seen.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(seen.headers["accept"], "application/json");
    assert_eq!(seen.headers.len(), 2);
    String::from_utf8(seen.body.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_secret_is_sent_as_a_form_to_the_tenant() {
    let rig = Rig::new([Script::json(fixture("token_client_credentials.json"))], [], &[]);
    let credential = fetch(&application(), Cloud::Public, &rig).await;
    assert_eq!(token(&credential), "eyJ0eXAi.fixture.token");
    assert!(format!("{credential:?}").contains("3599s"), "{credential:?}");
    assert_eq!(
        form(&rig.login, "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token"),
        "grant_type=client_credentials&client_id=app-1&client_secret=p%7Ess%2Fw%2Brd+very%3Dsecret%261\
         &scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default"
    );
    assert_eq!(rig.requests(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn other_clouds_have_other_login_hosts_and_scopes() {
    for (audience, uri, scope) in [
        (
            Audience::from(Cloud::UsGovernment),
            "https://login.microsoftonline.us/contoso.com/oauth2/v2.0/token",
            "scope=https%3A%2F%2Fcognitiveservices.azure.us%2F.default",
        ),
        (
            Audience::from(Cloud::China),
            "https://login.chinacloudapi.cn/contoso.com/oauth2/v2.0/token",
            "scope=https%3A%2F%2Fcognitiveservices.azure.cn%2F.default",
        ),
        (
            Audience::from(Cloud::Public)
                .with_authority("https://login.own.test")
                .unwrap()
                .with_scope(FOUNDRY_SCOPE)
                .unwrap(),
            "https://login.own.test/contoso.com/oauth2/v2.0/token",
            "scope=https%3A%2F%2Fai.azure.com%2F.default",
        ),
    ] {
        let rig = Rig::new([Script::json(fixture("token_client_credentials.json"))], [], &[]);
        fetch(&application(), audience, &rig).await;
        assert!(form(&rig.login, uri).ends_with(scope));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_secret_in_a_file_is_read_anew_for_every_token() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let place = serde_json::json!({
        "type": "client_secret", "tenant": "t", "client_id": "c", "client_secret": {"file": path},
    });
    let answer = || Script::json(fixture("token_client_credentials.json"));
    let rig = Rig::new([answer(), answer()], [], &[]);
    let source = config(&place.to_string()).source_in(Cloud::Public, &rig.around).unwrap();
    for secret in ["first-secret\n", "second-secret\n"] {
        std::fs::write(&path, secret).unwrap();
        source.fetch().await.unwrap();
        let seen = rig.login.seen();
        let body = String::from_utf8(seen.last().unwrap().body.to_vec()).unwrap();
        assert!(body.contains(&format!("client_secret={}&", secret.trim())), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_is_asked_in_plain_http_for_the_resource_without_the_scopes_ending() {
    for (identity, query) in [
        ("", ""),
        (r#","client_id":"id-1""#, "&client_id=id-1"),
        (r#","object_id":"id-2""#, "&object_id=id-2"),
        (r#","resource_id":"/subscriptions/1/x""#, "&msi_res_id=%2Fsubscriptions%2F1%2Fx"),
        (r#","msi_res_id":"/x""#, "&msi_res_id=%2Fx"),
    ] {
        let rig = Rig::new([], [Script::json(fixture("token_imds.json"))], &[]);
        let config = config(&format!(r#"{{"type":"managed_identity"{identity}}}"#));
        let credential = fetch(&config, Cloud::Public, &rig).await;
        assert_eq!(token(&credential), "eyJ0eXAi.fixture.imds");
        assert!(format!("{credential:?}").contains("86399s"), "{credential:?}");
        let seen = &rig.local.seen()[0];
        assert_eq!(seen.method, Method::GET);
        let uri = "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01\
                   &resource=https%3A%2F%2Fcognitiveservices.azure.com";
        assert_eq!(seen.uri, format!("{uri}{query}"));
        assert_eq!(seen.headers["metadata"], "true");
        assert_eq!((seen.headers.len(), seen.body.len()), (1, 0));
        assert_eq!(rig.requests(), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_is_asked_at_its_own_endpoint_with_its_own_header() {
    for (identity, query) in [
        ("", ""),
        (r#","client_id":"id-1""#, "&client_id=id-1"),
        (r#","object_id":"id-2""#, "&principal_id=id-2"),
        (r#","resource_id":"/x""#, "&mi_res_id=%2Fx"),
    ] {
        let body = r#"{"access_token":"t","expires_on":"1795305600","resource":"r","token_type":"Bearer"}"#;
        let rig = Rig::new([], [Script::json(body)], APP);
        let config = config(&format!(r#"{{"type":"managed_identity"{identity}}}"#));
        let credential = fetch(&config, Cloud::China, &rig).await;
        assert_eq!(token(&credential), "t");
        let seen = &rig.local.seen()[0];
        assert_eq!(seen.method, Method::GET);
        let uri = "http://localhost:42356/msi/token?api-version=2019-08-01\
                   &resource=https%3A%2F%2Fcognitiveservices.azure.cn";
        assert_eq!(seen.uri, format!("{uri}{query}"));
        assert_eq!(seen.headers["x-identity-header"], "header-secret");
        assert!(seen.headers["x-identity-header"].is_sensitive());
        assert_eq!(seen.headers.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_workload_proves_itself_by_the_file_as_it_is_at_that_moment() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let environment = [
        ("AZURE_TENANT_ID", "contoso.com"),
        ("AZURE_CLIENT_ID", "app-1"),
        ("AZURE_FEDERATED_TOKEN_FILE", path.to_str().unwrap()),
        ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/"),
    ];
    let answer = || Script::json(fixture("token_client_credentials.json"));
    let rig = Rig::new([answer(), answer()], [], &environment);
    let source = config(r#"{"type":"workload_identity"}"#).source_in(Cloud::Public, &rig.around).unwrap();
    for (number, claims) in [r#"{"exp":1795262401}"#, r#"{"sub":"without an end"}"#].into_iter().enumerate() {
        let proof = federated(claims);
        std::fs::write(&path, format!("{proof}\n")).unwrap();
        assert_eq!(token(&source.fetch().await.unwrap()), "eyJ0eXAi.fixture.token");
        let seen = &rig.login.seen()[number];
        assert_eq!(seen.uri, "https://login.microsoftonline.us/contoso.com/oauth2/v2.0/token");
        assert_eq!(
            String::from_utf8(seen.body.to_vec()).unwrap(),
            format!(
                "grant_type=client_credentials&client_id=app-1\
                 &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
                 &client_assertion={proof}&scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default"
            )
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_configuration_says_of_a_workload_wins_over_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, federated("{}")).unwrap();
    let environment =
        [("AZURE_TENANT_ID", "env"), ("AZURE_CLIENT_ID", "env"), ("AZURE_FEDERATED_TOKEN_FILE", "/env")];
    let rig = Rig::new([Script::json(fixture("token_client_credentials.json"))], [], &environment);
    let set = serde_json::json!({
        "type": "workload_identity", "tenant": "own", "client_id": "own-app", "token_file": path,
    });
    fetch(&config(&set.to_string()), Cloud::Public, &rig).await;
    let body = form(&rig.login, "https://login.microsoftonline.com/own/oauth2/v2.0/token");
    assert!(body.contains("client_id=own-app&"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_come_in_pieces_and_under_any_content_type() {
    let whole = Script::status(200).header("content-type", "text/html").body(fixture("token_imds.json"));
    let rig = Rig::new([whole.split_at([1, 2, 100])], [], &[]);
    assert_eq!(token(&fetch(&application(), Cloud::Public, &rig).await), "eyJ0eXAi.fixture.imds");
}

#[tokio::test(start_paused = true)]
async fn a_default_takes_the_first_that_is_configured_in_the_documented_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, federated("{}")).unwrap();
    let path = path.to_str().unwrap();
    let app = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c")];
    let all = [app[0], app[1], ("AZURE_CLIENT_SECRET", SECRET), ("AZURE_FEDERATED_TOKEN_FILE", path)];
    let answer = || Script::json(fixture("token_client_credentials.json"));

    let rig = Rig::new([answer()], [answer()], &all);
    fetch(&EntraConfig::default(), Cloud::Public, &rig).await;
    assert_eq!(rig.requests(), (1, 0));
    assert!(String::from_utf8_lossy(&rig.login.seen()[0].body).contains("&client_secret="));

    let rig = Rig::new([answer()], [answer()], &[app[0], app[1], all[3]]);
    fetch(&EntraConfig::default(), Cloud::Public, &rig).await;
    assert_eq!(rig.requests(), (1, 0));
    assert!(String::from_utf8_lossy(&rig.login.seen()[0].body).contains("&client_assertion="));

    let rig = Rig::new([answer()], [answer()], &app);
    fetch(&EntraConfig::default(), Cloud::Public, &rig).await;
    assert_eq!(rig.requests(), (0, 1));
    assert!(rig.local.seen()[0].uri.ends_with("&client_id=c"), "the identity of the environment is meant");
}

#[tokio::test]
async fn the_real_transport_carries_the_same_over_a_socket() {
    let login = remote_testkit::Upstream::start([Script::json(fixture("token_client_credentials.json"))]);
    let login = login.await.unwrap();
    let audience = Audience::from(Cloud::Public).with_authority(&login.base_url()).unwrap();
    let around = crate::rig::with(remote_entra::Surroundings::of_process().unwrap(), &[]);
    let credential = application().source_in(audience, &around).unwrap().fetch().await.unwrap();
    assert_eq!(token(&credential), "eyJ0eXAi.fixture.token");
    let seen = &login.playbook().seen()[0];
    assert_eq!(seen.uri, "/contoso.com/oauth2/v2.0/token");
    assert!(String::from_utf8_lossy(&seen.body).contains("client_secret=p%7Ess%2Fw%2Brd+very%3Dsecret%261&"));

    let app = remote_testkit::Upstream::start([Script::json(fixture("token_imds.json"))]).await.unwrap();
    let endpoint = format!("{}/msi/token", app.base_url());
    let around =
        crate::rig::with(around, &[("IDENTITY_ENDPOINT", &endpoint), ("IDENTITY_HEADER", "header-secret")]);
    let config = config(r#"{"type":"managed_identity"}"#);
    config.source_in(Cloud::Public, &around).unwrap().fetch().await.unwrap();
    assert_eq!(app.playbook().seen()[0].headers["x-identity-header"], "header-secret");
}
