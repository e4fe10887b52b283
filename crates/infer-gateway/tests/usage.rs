//! What who calls may know of its own spend.

mod common;

use common::{Scene, Setting, json};
use serde_json::{Value, json};

const KEYS: &str = "keys:\n  - { name: a, secret: aaaaaaaaaaaaaaaa, budget: [{ tokens: 1000, every: day }] }\n  - { name: b, secret: bbbbbbbbbbbbbbbb }\nbudgets: { limits: [{ name: all, every: total, usd: 100 }] }\n";

#[tokio::test]
async fn a_key_sees_its_own_calls_and_budgets_and_nobody_elses() {
    let scene = Setting { data: true, ..Setting::yaml(KEYS) }.start().await;
    for (model, key) in [("gpt-4o-mini", 'a'), ("gpt-4o", 'a'), ("gpt-4o-mini", 'b')] {
        let secret = key.to_string().repeat(16);
        assert_eq!(json(scene.chat(model, false).bearer_auth(secret)).await.0, 200);
    }
    let (status, _, usage) = json(scene.get("/v1/usage").bearer_auth("a".repeat(16))).await;
    assert_eq!((status, &usage["key"], &usage["recorded"]), (200, &"a".into(), &true.into()), "{usage}");
    for time in ["today", "month"] {
        assert_eq!(usage[time]["calls"], 2);
        let models = usage[time]["by_model"].as_array().unwrap();
        assert_eq!(models.len(), 2, "{usage}");
        let tokens =
            |of: &Value| of["input_tokens"].as_u64().unwrap() + of["output_tokens"].as_u64().unwrap();
        assert_eq!(models.iter().map(tokens).sum::<u64>(), tokens(&usage[time]));
        // The simulator has no price, and what is not known is not nothing.
        assert!(models.iter().all(|model| model["cost_usd"].is_null() && model["unpriced"] == 1), "{usage}");
    }
    let budgets = usage["budgets"].as_array().unwrap();
    assert_eq!((budgets.len(), &budgets[0]["budget"]), (1, &"key:a:tokens:day".into()));
    let number = |name: &str| budgets[0][name].as_u64().unwrap();
    assert_eq!(number("limit"), number("spent") + number("left"));
    assert!(number("spent") > 0 && budgets[0]["begins_anew"].as_str().unwrap().ends_with("T00:00:00Z"));

    let (_, _, other) = json(scene.get("/v1/usage").bearer_auth("b".repeat(16))).await;
    assert_eq!((&other["today"]["calls"], &other["budgets"]), (&1.into(), &json!([])));
    assert_eq!(json(scene.get("/v1/usage")).await.0, 401);
}

#[tokio::test]
async fn where_nothing_is_recorded_it_says_so_and_still_tells_the_budgets() {
    let scene = Setting::yaml(KEYS).start().await;
    let (status, _, usage) = json(scene.get("/v1/usage").bearer_auth("a".repeat(16))).await;
    assert_eq!((status, &usage["recorded"]), (200, &false.into()));
    assert!(usage["note"].as_str().unwrap().contains("not recorded") && usage.get("today").is_none());
    assert_eq!(usage["budgets"][0]["left"], 1000);
}

#[tokio::test]
async fn without_keys_the_usage_is_everybodys() {
    let scene = Setting { data: true, ..Setting::yaml("") }.start().await;
    json(scene.chat("gpt-4o-mini", false)).await;
    let (_, _, usage) = json(scene.get("/v1/usage")).await;
    assert_eq!((&usage["key"], &usage["month"]["calls"]), (&Value::Null, &1.into()));
}

#[tokio::test]
async fn an_operator_asks_by_day_and_name_and_is_told_what_cannot_be_asked() {
    let scene = Setting::operated(KEYS).start().await;
    for key in ["a", "a", "b"] {
        json(scene.chat("gpt-4o-mini", false).bearer_auth(key.repeat(16))).await;
    }
    let ask = |query: &str| json(scene.admin("GET", &format!("/usage?{query}"), ""));
    let (status, _, spent) = ask("by=day,key&from=2026-01-01").await;
    assert_eq!(status, 200, "{spent}");
    let groups = spent["groups"].as_array().unwrap();
    assert_eq!(
        groups.iter().map(|group| (&group["key"], &group["calls"])).collect::<Vec<_>>(),
        [(&"a".into(), &2.into()), (&"b".into(), &1.into())] as [(&Value, &Value); 2]
    );
    assert!(groups[0]["day"].as_str().unwrap().ends_with("T00:00:00Z"));
    assert_eq!(
        (&spent["from"], &spent["to"], &spent["total"]["calls"]),
        (&"2026-01-01T00:00:00Z".into(), &Value::Null, &3.into())
    );
    for (query, param) in
        [("by=price", "by"), ("from=soon", "from"), ("until=2026-01-01", "until"), ("by=day&by=hour", "by")]
    {
        let (status, _, body) = ask(query).await;
        assert_eq!((status, &body["error"]["param"]), (400, &param.into()), "{body}");
    }
    let (_, _, empty) = ask("to=2020-01-01").await;
    assert_eq!((&empty["groups"], &empty["total"]["calls"]), (&json!([]), &0.into()));
}

#[tokio::test]
async fn usage_is_not_for_strangers_of_a_gateway_with_keys() {
    let scene: Scene = Setting::yaml(KEYS).start().await;
    let (status, _, body) = json(scene.get("/v1/usage").bearer_auth("c".repeat(16))).await;
    assert_eq!((status, &body["error"]["code"]), (401, &"invalid_api_key".into()));
}
