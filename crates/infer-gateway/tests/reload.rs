//! A configuration, keys or a certificate that change under a running gateway.

#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{ADMIN, Setting, json};
use infer_gateway::{Gateway, GatewayConfig, TlsConfig};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_reloads_under_load_fail_no_call() {
    let scene = Arc::new(Setting::operated("").start().await);
    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let (scene, over) = (Arc::clone(&scene), Arc::clone(&over));
            tokio::spawn(async move {
                let mut calls = 0;
                while calls < 5 || !over.load(Ordering::Relaxed) {
                    let response = scene.chat("m", caller % 2 == 0).send().await.unwrap();
                    assert_eq!(response.status(), 200);
                    let text = response.text().await.unwrap();
                    assert!(!text.contains("\"error\""), "{text}");
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    for turn in 0..20 {
        // Every other time the provider itself begins anew.
        scene.rewrite(|text| match turn % 2 {
            0 => text
                .replace("attempts: 1 }", "attempts: 2 }")
                .replace("admin_key", "max_body_bytes: 1000000, admin_key"),
            _ => text.replace("attempts: 2 }", "attempts: 1 }").replace("max_body_bytes: 1000000, ", ""),
        });
        let (status, _, body) = json(scene.admin("POST", "/reload", "")).await;
        assert_eq!(
            (status, &body["built"], &body["not_applied"]),
            (200, &json!(["a"]), &json!([])),
            "{body}"
        );
        assert_eq!(body["sections"], json!(["gateway"]));
    }
    over.store(true, Ordering::Relaxed);
    for caller in callers {
        assert!(caller.await.unwrap() >= 5);
    }
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_every_fault_is_told() {
    let scene = Setting::operated("").start().await;
    scene.rewrite(|text| {
        text.replace("admin_key", "max_body_bytes: 5, drain: soon, admin_key").replace("routes:", "rotues:")
    });
    let (status, _, body) = json(scene.admin("POST", "/reload", "")).await;
    assert_eq!((status, &body["error"]["code"]), (422, &"config_invalid".into()));
    let faults: Vec<&str> = body["error"]["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["path"].as_str().unwrap())
        .collect();
    assert!(faults.contains(&"gateway.drain") && faults.contains(&"rotues"), "{body}");
    assert!(body["error"]["faults"][0]["line"].is_u64());
    assert!(!body.to_string().contains(ADMIN));
    assert_eq!(json(scene.chat("m", false)).await.0, 200);
}

#[tokio::test]
async fn settings_change_at_work_and_those_of_the_listener_are_named() {
    let scene = Setting::operated("").start().await;
    let long = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{}"}}]}}"#, "x".repeat(4096));
    assert_eq!(json(scene.post("/v1/chat/completions", &long)).await.0, 200);
    scene.rewrite(|text| {
        text.replace(
            "admin_key",
            "max_body_bytes: 2048, listen: \"127.0.0.1:1\", admission: { max_connections: 7 }, admin_key",
        )
    });
    let (_, _, body) = json(scene.admin("POST", "/reload", "")).await;
    assert_eq!(body["needs_restart"], json!(["gateway.listen", "gateway.admission.max_connections"]));
    assert_eq!(json(scene.post("/v1/chat/completions", &long)).await.0, 413);
    let (_, _, body) = json(scene.admin("POST", "/reload", "")).await;
    assert_eq!(body["needs_restart"].as_array().unwrap().len(), 2, "it is still so");

    // An admin key that changes holds at once.
    scene.rewrite(|text| text.replace(ADMIN, "another-admin-key-here"));
    assert_eq!(json(scene.admin("POST", "/reload", "")).await.0, 200);
    assert_eq!(json(scene.admin("POST", "/reload", "")).await.0, 401);
}

#[tokio::test]
async fn keys_of_the_file_come_and_go_with_it_and_so_do_their_budgets() {
    let scene = Setting::operated("").start().await;
    let ask = |secret: &'static str| json(scene.chat("m", false).bearer_auth(secret));
    scene.rewrite(|text| {
        text + "keys:\n  - { name: a, secret: aaaaaaaaaaaaaaaa }\n  - { name: b, secret: bbbbbbbbbbbbbbbb, budget: [{ tokens: 1, every: day }] }\n"
    });
    json(scene.admin("POST", "/reload", "")).await;
    assert_eq!((ask("aaaaaaaaaaaaaaaa").await.0, json(scene.chat("m", false)).await.0), (200, 401));
    let (status, _, body) = ask("bbbbbbbbbbbbbbbb").await;
    assert_eq!((status, &body["error"]["code"]), (429, &"budget_exhausted".into()));
    scene.rewrite(|text| text.replace("  - { name: a, secret: aaaaaaaaaaaaaaaa }\n", ""));
    // Told by the reload itself, without the route.
    scene.inference.reload().await.unwrap();
    while ask("aaaaaaaaaaaaaaaa").await.0 == 200 {}
    let (_, _, listed) = json(scene.admin("GET", "/keys", "")).await;
    let names: Vec<&Value> = listed["keys"].as_array().unwrap().iter().map(|key| &key["name"]).collect();
    assert_eq!(names, ["b"]);
    let (status, _, body) = json(scene.admin("DELETE", "/keys/b", "")).await;
    assert_eq!((status, &body["error"]["code"]), (409, &"key_in_config".into()));
}

#[tokio::test]
async fn a_gateway_without_a_file_says_that_there_is_nothing_to_reload() {
    let scene = Setting::yaml(&format!("gateway: {{ admin_key: {ADMIN} }}")).start().await;
    let (status, _, body) = json(scene.admin("POST", "/reload", "")).await;
    assert_eq!(status, 422);
    assert!(body["error"]["message"].as_str().unwrap().contains("no file"), "{body}");
}

/// Writes a certificate for `localhost` and its key; says whether there is a tool for that.
fn certificate(directory: &Path, name: &str) -> bool {
    let path = |end: &str| directory.join(format!("{name}.{end}"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(path("key"))
        .arg("-out")
        .arg(path("pem"))
        .output();
    made.is_ok_and(|made| made.status.success())
}

/// Clients that know one certificate each.
fn client(directory: &Path, name: &str) -> reqwest::Client {
    let pem = std::fs::read(directory.join(format!("{name}.pem"))).unwrap();
    let root = reqwest::Certificate::from_pem(&pem).unwrap();
    // A connection that is kept would have been made with the certificate before.
    reqwest::Client::builder().no_proxy().tls_certs_only([root]).pool_max_idle_per_host(0).build().unwrap()
}

#[tokio::test]
async fn a_certificate_that_is_replaced_is_shown_to_new_connections_and_a_broken_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    if !certificate(at, "old") || !certificate(at, "new") {
        eprintln!(
            "skipped: a_certificate_that_is_replaced_is_shown_to_new_connections_and_a_broken_one_is_not: no openssl"
        );
        return;
    }
    let put = |name: &str| {
        std::fs::copy(at.join(format!("{name}.key")), at.join("live.key")).unwrap();
        std::fs::copy(at.join(format!("{name}.pem")), at.join("live.pem")).unwrap();
    };
    put("old");
    let scene = Setting::default().start().await;
    let mut config = GatewayConfig::default();
    config.listen = "127.0.0.1:0".parse().unwrap();
    config.tls = Some(TlsConfig { cert: at.join("live.pem"), key: at.join("live.key"), client_ca: None });
    let gateway = Gateway::builder(scene.inference.clone(), config).bind().await.unwrap();
    let url = format!("https://localhost:{}/healthz", gateway.address().port());
    let served = tokio::spawn(gateway.serve(std::future::pending()));
    let (old, new) = (client(at, "old"), client(at, "new"));
    assert_eq!(old.get(&url).send().await.unwrap().status(), 200);
    assert!(new.get(&url).send().await.is_err());

    std::fs::write(at.join("live.pem"), "no certificate").unwrap();
    assert_eq!(old.get(&url).send().await.unwrap().status(), 200);
    put("new");
    // As soon as the files are quiet; this never ends if it is not noticed.
    while new.get(&url).send().await.is_err() {}
    assert!(old.get(&url).send().await.is_err());
    served.abort();
}
