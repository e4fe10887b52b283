//! What an operator can do, and that nobody else can.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod common;

use common::{ADMIN, Scene, Setting, events, json};
use serde_json::{Value, json};

async fn made(scene: &Scene, spec: &Value) -> String {
    let (status, headers, body) = json(scene.admin("POST", "/keys", &spec.to_string())).await;
    assert_eq!(status, 201, "{body}");
    assert_eq!(headers["cache-control"], "no-store");
    body["secret"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_key_works_from_its_making_to_its_revocation_and_its_secret_is_told_once() {
    let scene = Setting::operated("").start().await;
    assert_eq!(json(scene.chat("m", false)).await.0, 200, "no key is asked for while there is none");
    let secret = made(&scene, &json!({ "name": "team", "tags": ["blue"] })).await;
    let ask = |secret: &str| json(scene.chat("m", false).bearer_auth(secret));
    assert_eq!(json(scene.chat("m", false)).await.0, 401);
    assert_eq!(ask(&secret).await.0, 200);

    let (_, _, listed) = json(scene.admin("GET", "/keys", "")).await;
    let key = &listed["keys"][0];
    assert_eq!(
        (&key["name"], &key["state"], &key["origin"]),
        (&"team".into(), &"active".into(), &"stored".into())
    );
    assert!(!listed.to_string().contains(&secret));

    let (status, _, rotated) = json(scene.admin("POST", "/keys/team/rotate", r#"{"grace": "1h"}"#)).await;
    let second = rotated["secret"].as_str().unwrap();
    assert_eq!((status, ask(&secret).await.0, ask(second).await.0), (200, 200, 200));
    let (_, _, rotated) = json(scene.admin("POST", "/keys/team/rotate", "")).await;
    let third = rotated["secret"].as_str().unwrap();
    assert_eq!(
        (ask(second).await.0, ask(third).await.0),
        (401, 200),
        "without grace the one before ends at once"
    );

    let (status, _, revoked) = json(scene.admin("DELETE", "/keys/team", "")).await;
    assert_eq!((status, &revoked["key"]["state"]), (200, &"revoked".into()));
    let (status, _, body) = ask(third).await;
    assert!(status == 401 && body["error"]["message"].as_str().unwrap().contains("revoked"), "{body}");
    let tries =
        ["POST", "DELETE"].map(|method| if method == "POST" { "/keys/team/rotate" } else { "/keys/nobody" });
    assert_eq!(json(scene.admin("POST", tries[0], "")).await.2["error"]["code"], "key_revoked");
    assert_eq!(json(scene.admin("DELETE", tries[1], "")).await.2["error"]["code"], "key_not_found");
    assert_eq!(json(scene.admin("POST", "/keys", r#"{"name": "team"}"#)).await.0, 409);
}

#[tokio::test]
async fn a_wrong_body_is_refused_by_the_member_that_is_wrong() {
    let scene = Setting::operated("").start().await;
    for (path, body, words) in [
        ("/keys", "{", "EOF"),
        ("/keys", "{}", "name"),
        ("/keys", r#"{"name": "a", "route": []}"#, "route"),
        ("/keys", r#"{"name": "a", "limits": {"concurrency": "x"}}"#, "limits.concurrency"),
        ("/keys", r#"{"name": "a b"}"#, "name: must be"),
        ("/keys", r#"{"name": "a"} x"#, "trailing"),
        ("/keys/a/rotate", r#"{"grace": 5}"#, "grace"),
        ("/drills/a", r#"{"fault": "fire"}"#, "fault"),
        ("/drills/a", r#"{"fault": "refuse", "status": 200}"#, "status: must be"),
        ("/drills/a", r#"{"fault": "timeout", "pieces": 2}"#, "pieces"),
        ("/drills/a", r#"{"fault": "refuse", "share": 2}"#, "share"),
        ("/breakers/a/open", r#"{"for": "long"}"#, "for"),
        ("/breakers/a/open", r#"{"operation": "talk"}"#, "operation"),
        ("/breakers/a/close", r#"{"for": "5m"}"#, "for"),
    ] {
        let (status, _, answer) = json(scene.admin("POST", path, body)).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (400, &"invalid_body".into()),
            "{path} {body}: {answer}"
        );
        assert!(answer["error"]["message"].as_str().unwrap().contains(words), "{words} is not in {answer}");
    }
    let (_, _, answer) =
        json(scene.admin("POST", "/keys", r#"{"name": "a", "limits": {"concurrency": -1}}"#)).await;
    assert_eq!(answer["error"]["param"], "limits.concurrency");
    let large = format!(r#"{{"name": "{}"}}"#, "a".repeat(300_000));
    assert_eq!(json(scene.admin("POST", "/keys", &large)).await.0, 413);
    assert_eq!(json(scene.admin("GET", "/keys", "")).await.2["keys"], json!([]));
}

#[tokio::test]
async fn a_keys_budget_binds_from_its_first_call_on_and_ends_with_the_key() {
    let scene = Setting::operated("").start().await;
    // Every answer of the simulator has tokens, so that the second call finds the budget used up.
    let spec = json!({ "name": "small", "budget": [{ "tokens": 1, "every": "day" }] });
    let secret = made(&scene, &spec).await;
    let (status, _, body) = json(scene.chat("m", false).bearer_auth(&secret)).await;
    assert_eq!((status, &body["error"]["code"]), (429, &"budget_exhausted".into()), "{body}");
    assert_eq!(scene.sims[0].calls(), 0);

    let spec = json!({ "name": "more", "budget": [{ "tokens": 40, "every": "day" }, { "usd": 5.0, "every": "month" }] });
    let secret = made(&scene, &spec).await;
    let ask = || json(scene.chat("m", false).bearer_auth(&secret));
    let mut answered = 0;
    while ask().await.0 == 200 {
        answered += 1;
        assert!(answered < 100, "it never binds");
    }
    assert!(answered > 0);
    let (_, _, budgets) = json(scene.admin("GET", "/budgets", "")).await;
    let budgets = budgets["budgets"].as_array().unwrap();
    assert_eq!(budgets.len(), 3);
    let daily = budgets.iter().find(|budget| budget["name"] == "key:more:tokens:day").unwrap();
    assert_eq!((&daily["per"], &daily["only"]), (&"key".into(), &json!(["more"])));
    let account = &daily["accounts"][0];
    assert_eq!(
        (&account["account"], &account["limit"], &account["reserved"]),
        (&"more".into(), &40.into(), &0.into())
    );
    assert!(account["spent"].as_u64().unwrap() > 0 && account["begins_anew"].is_string());

    json(scene.admin("DELETE", "/keys/more", "")).await;
    let (_, _, budgets) = json(scene.admin("GET", "/budgets", "")).await;
    assert_eq!(budgets["budgets"].as_array().unwrap().len(), 1, "{budgets}");
}

#[tokio::test]
async fn a_breaker_can_be_opened_closed_and_reset_and_everybody_sees_it() {
    let scene = Setting::operated("").start().await;
    let chat = |listed: &Value| {
        let found =
            listed["breakers"].as_array().unwrap().iter().find(|one| one["operation"] == "chat").unwrap();
        (found["provider"].clone(), found["state"].clone(), found["forced"].clone())
    };
    let (status, _, changed) = json(scene.admin("POST", "/breakers/a/open", r#"{"for": "5m"}"#)).await;
    assert_eq!((status, chat(&changed)), (200, ("a".into(), "open".into(), true.into())));
    let (_, _, seen) = json(scene.get("/health/circuit-breakers/a")).await;
    assert_eq!(chat(&seen), chat(&changed));
    let (status, headers, body) = json(scene.chat("m", false)).await;
    assert_eq!((status, &body["error"]["code"]), (503, &"no_healthy_target".into()), "{body}");
    let wait: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((290..=300).contains(&wait), "{wait}");
    assert_eq!(json(scene.get("/readyz")).await.0, 503);

    let (_, _, changed) = json(scene.admin("POST", "/breakers/a/close", "{}")).await;
    assert_eq!(chat(&changed), ("a".into(), "closed".into(), true.into()));
    assert_eq!(json(scene.chat("m", false)).await.0, 200);
    json(scene.admin("POST", "/breakers/a/reset", "")).await;
    let (_, _, listed) = json(scene.admin("GET", "/breakers", "")).await;
    assert_eq!(chat(&listed), ("a".into(), "closed".into(), false.into()));

    for (path, code) in [("/breakers/z/open", "provider_not_found"), ("/breakers/a/melt", "not_found")] {
        let (status, _, body) = json(scene.admin("POST", path, "")).await;
        assert_eq!((status, &body["error"]["code"]), (404, &code.into()));
    }
    assert_eq!(json(scene.get("/health/circuit-breakers/z")).await.0, 404);
}

#[tokio::test]
async fn an_open_breaker_of_the_only_target_passes_on_what_the_upstream_said_last() {
    let breaker = "retry: { attempts: 1 }, circuit_breaker: { consecutive_failures: 2 }";
    let scene = Setting { provider: breaker.to_owned(), ..Setting::operated("") }.start().await;
    let mut said = Value::Null;
    for _ in 0..2 {
        let (status, _, body) = json(scene.chat("sim-error-503", false)).await;
        assert_eq!(status, 503);
        said = body;
    }
    let (status, headers, body) = json(scene.chat("sim-error-503", false)).await;
    assert_eq!((status, &body["error"]["message"]), (503, &said["error"]["message"]), "{body}");
    assert_ne!(body["error"]["code"], "no_healthy_target");
    let wait: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=6).contains(&wait), "{wait}");
    assert_eq!(scene.sims[0].calls(), 2);

    let (_, _, public) = json(scene.get("/health/circuit-breakers")).await;
    let last = &public["breakers"][0]["last_failure"];
    assert_eq!(
        (&last["kind"], &last["status"], &last["message"]),
        (&"overloaded".into(), &503.into(), &Value::Null)
    );
    let (_, _, operators) = json(scene.admin("GET", "/breakers", "")).await;
    assert_eq!(operators["breakers"][0]["last_failure"]["message"], said["error"]["message"]);
}

#[tokio::test]
async fn when_all_of_several_targets_cool_down_there_is_no_healthy_target() {
    let yaml = "routes: { r: { targets: [{ provider: a, model: m }, { provider: b, model: m }] } }\n";
    let sims = vec![upstream_sim::Sim::builder(), upstream_sim::Sim::builder()];
    let scene = Setting { sims, ..Setting::operated(yaml) }.start().await;
    for provider in ["a", "b"] {
        json(scene.admin("POST", &format!("/breakers/{provider}/open"), r#"{"for": "1m"}"#)).await;
    }
    let (status, headers, body) = json(scene.chat("r", false)).await;
    assert_eq!((status, &body["error"]["code"]), (503, &"no_healthy_target".into()));
    assert!(headers.contains_key("retry-after"));
}

#[tokio::test]
async fn a_drill_makes_calls_fail_for_nothing_until_it_is_ended_and_says_so_everywhere() {
    let scene = Setting::operated("").start().await;
    let body = r#"{"fault": "refuse", "status": 429, "retry_after": "7s", "for": "5m"}"#;
    let (status, _, begun) = json(scene.admin("POST", "/drills/a", body)).await;
    assert_eq!(
        (status, &begun["drill"]["fault"], &begun["drill"]["status"]),
        (200, &"refuse".into(), &429.into())
    );
    let (status, headers, _) = json(scene.chat("m", false)).await;
    assert_eq!((status, &headers["retry-after"]), (429, &"7".parse().unwrap()));
    assert_eq!(scene.sims[0].calls(), 0);
    let (_, _, providers) = json(scene.get("/health/providers/a")).await;
    assert_eq!(providers["drill"], "refuse");
    assert_eq!(json(scene.admin("GET", "/drills", "")).await.2["drills"].as_array().unwrap().len(), 1);

    json(scene.admin("POST", "/drills/a", r#"{"fault": "cut", "pieces": 2}"#)).await;
    let (status, pieces) = events(scene.chat("m", true)).await;
    assert!(status == 200 && pieces.last().unwrap().starts_with(r#"{"error""#), "{pieces:?}");

    let (_, _, ended) = json(scene.admin("DELETE", "/drills/a", "")).await;
    assert_eq!(ended, json!({ "drill": null }));
    assert_eq!(json(scene.chat("m", false)).await.0, 200);
    let (_, _, spent) = json(scene.admin("GET", "/usage", "")).await;
    assert_eq!((&spent["total"]["calls"], &spent["total"]["failed"]), (&3.into(), &1.into()), "{spent}");
    assert_eq!(json(scene.admin("POST", "/drills/z", r#"{"fault": "timeout"}"#)).await.0, 404);
}

#[tokio::test]
async fn nobody_but_an_operator_gets_in_and_guessing_is_slow() {
    let keys = "keys:\n  - { name: team, secret: 0123456789abcdef }\n  - { name: boss, secret: fedcba9876543210, admin: true }\n";
    let scene = Setting::operated(keys).start().await;
    let config = |key: &str| scene.get("/admin/config").bearer_auth(key);
    let (status, _, body) = json(scene.get("/admin/config")).await;
    assert_eq!((status, &body["error"]["code"]), (401, &"invalid_admin_key".into()));
    assert_eq!(json(config("0123456789abcdef")).await.0, 401);
    let (status, _, shown) = json(config("fedcba9876543210")).await;
    assert_eq!(status, 200);
    for secret in [ADMIN, "0123456789abcdef", "fedcba9876543210"] {
        assert!(!shown.to_string().contains(secret), "{shown}");
    }
    for _ in 0..20 {
        assert_eq!(json(scene.get("/admin/config")).await.0, 401, "who sends no key guesses none");
    }
    let mut codes = Vec::new();
    for guess in 0..12 {
        let (_, headers, body) = json(config(&format!("guess-number-{guess:04}"))).await;
        codes.push((body["error"]["code"].as_str().unwrap().to_owned(), headers.contains_key("retry-after")));
    }
    assert_eq!(codes[0], ("invalid_admin_key".to_owned(), false));
    assert_eq!(codes[11], ("too_many_attempts".to_owned(), true));
    for path in ["/admin/live", "/admin/overview", "/metrics"] {
        let (_, _, body) = json(scene.get(path).bearer_auth("guess-number-last")).await;
        assert_eq!(body["error"]["code"], "too_many_attempts", "{path} is no way around the wait");
    }
    assert_eq!(json(config(ADMIN)).await.0, 429, "a right guess is as slow as a wrong one");
}

#[tokio::test]
async fn a_page_of_another_origin_changes_nothing() {
    let scene = Setting::operated("").start().await;
    let host = scene.url.trim_start_matches("http://").to_owned();
    let reset =
        |name: &'static str, value: String| scene.admin("POST", "/breakers/a/reset", "").header(name, value);
    for (name, value) in [
        ("sec-fetch-site", "cross-site".to_owned()),
        ("sec-fetch-site", "same-site".to_owned()),
        ("origin", "https://evil.example".to_owned()),
        ("origin", "null".to_owned()),
    ] {
        let (status, _, body) = json(reset(name, value)).await;
        assert_eq!((status, &body["error"]["code"]), (403, &"cross_site".into()));
    }
    assert_eq!(json(reset("origin", format!("http://{host}"))).await.0, 200);
    assert_eq!(json(reset("sec-fetch-site", "same-origin".to_owned())).await.0, 200);
}

#[tokio::test]
async fn without_any_key_only_this_machine_by_its_own_name_gets_in() {
    let scene = Scene::new().await;
    assert_eq!(json(scene.get("/admin/breakers")).await.0, 200);
    let rebound = scene.get("/admin/breakers").header("host", "evil.example:8080");
    let (status, _, body) = json(rebound).await;
    assert_eq!((status, &body["error"]["code"]), (403, &"admin_only_here".into()));
    let (status, _, body) = json(scene.post("/admin/keys", r#"{"name": "a"}"#)).await;
    assert_eq!((status, &body["error"]["code"]), (409, &"keys_not_stored".into()));
    let (status, _, body) = json(scene.get("/admin/usage")).await;
    assert_eq!((status, &body["error"]["code"]), (404, &"no_ledger".into()));
}
