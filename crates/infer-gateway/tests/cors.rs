//! Web pages that may call, and those that may not.

#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{ADMIN, Scene, Setting};
use reqwest::header::HeaderMap;

const PAGE: &str = "https://app.example";

async fn preflight(scene: &Scene, path: &str, origin: &str) -> (u16, HeaderMap) {
    let request = scene.http.request(reqwest::Method::OPTIONS, format!("{}{path}", scene.url));
    let request = request
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.headers().clone())
}

fn is_marked(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("access-control-"))
}

#[tokio::test]
async fn a_page_that_is_named_may_call_and_read_what_it_needs() {
    let scene = Setting::yaml(&format!("gateway: {{ cors: {{ origins: [{PAGE:?}] }} }}")).start().await;
    let (status, headers) = preflight(&scene, "/v1/chat/completions", PAGE).await;
    assert_eq!((status, headers["access-control-allow-origin"].to_str().unwrap()), (204, PAGE));
    assert_eq!(headers["access-control-allow-headers"], "authorization,content-type");
    assert!(headers["access-control-allow-methods"].to_str().unwrap().contains("POST"));
    assert_eq!(scene.sims[0].calls(), 0);

    let response = scene.chat("m", true).header("origin", PAGE).send().await.unwrap();
    let headers = response.headers();
    assert_eq!(
        (response.status().as_u16(), headers["access-control-allow-origin"].to_str().unwrap()),
        (200, PAGE)
    );
    assert_eq!(headers["vary"], "origin");
    let exposed = headers["access-control-expose-headers"].to_str().unwrap();
    for name in ["x-request-id", "x-served-by", "x-infer-cost-usd", "x-infer-cache", "retry-after"] {
        assert!(exposed.contains(name), "{name} is not in {exposed}");
    }
    // Refusals too, else a page cannot tell why.
    let refused = scene.post("/v1/chat/completions", "{").header("origin", PAGE).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), is_marked(refused.headers())), (400, true));
}

#[tokio::test]
async fn other_pages_and_programs_get_no_marks() {
    let scene = Setting::yaml(&format!("gateway: {{ cors: {{ origins: [{PAGE:?}] }} }}")).start().await;
    for origin in ["https://evil.example", "https://app.example.evil", "http://app.example", "null"] {
        let (status, headers) = preflight(&scene, "/v1/chat/completions", origin).await;
        assert_eq!((status, is_marked(&headers)), (405, false), "{origin}");
    }
    let response = scene.chat("m", false).send().await.unwrap();
    assert!(!is_marked(response.headers()) && !response.headers().contains_key("vary"));
}

#[tokio::test]
async fn it_is_off_unless_set_and_never_there_for_admin() {
    let scene = Scene::new().await;
    assert!(!is_marked(&preflight(&scene, "/v1/chat/completions", PAGE).await.1));

    let yaml = format!("gateway: {{ admin_key: {ADMIN}, cors: {{ origins: [\"*\"] }} }}");
    let scene = Setting::yaml(&yaml).start().await;
    let (status, headers) = preflight(&scene, "/v1/models", PAGE).await;
    assert_eq!((status, headers["access-control-allow-origin"].to_str().unwrap()), (204, "*"));
    for path in ["/admin/keys", "/admin/config", "/admin"] {
        assert!(!is_marked(&preflight(&scene, path, PAGE).await.1), "{path}");
    }
    let response = scene.admin("GET", "/config", "").header("origin", PAGE).send().await.unwrap();
    assert!(!is_marked(response.headers()));
}
