//! The page at `/`: files compiled into the program and answered without state.
//!
//! What it shows it asks of `/admin/live`, `/admin/overview` and the same `/v1` that clients use; nothing comes from
//! another host, and no secret is in it.

use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

/// What the page may do: run and ask its own host, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const DRAWING: &str = "image/svg+xml";

/// One file of the page.
#[derive(Debug)]
pub(crate) struct Asset {
    /// Where it is asked for.
    pub(crate) path: &'static str,
    kind: &'static str,
    body: &'static str,
}

macro_rules! assets {
    ($($path:literal $kind:ident $file:literal,)+) => {
        &[$(Asset { path: $path, kind: $kind, body: include_str!($file) }),+]
    };
}

/// Every file. The licence goes with what it is the licence of.
static ASSETS: &[Asset] = assets![
    "/" HTML "page/index.html",
    "/dashboard/style.css" STYLE "page/style.css",
    "/dashboard/icon.svg" DRAWING "page/icon.svg",
    "/dashboard/theme.js" SCRIPT "page/theme.js",
    "/dashboard/app.js" SCRIPT "page/app.js",
    "/dashboard/api.js" SCRIPT "page/api.js",
    "/dashboard/board.js" SCRIPT "page/board.js",
    "/dashboard/calls.js" SCRIPT "page/calls.js",
    "/dashboard/charts.js" SCRIPT "page/charts.js",
    "/dashboard/dom.js" SCRIPT "page/dom.js",
    "/dashboard/format.js" SCRIPT "page/format.js",
    "/dashboard/overview.js" SCRIPT "page/overview.js",
    "/dashboard/playground.js" SCRIPT "page/playground.js",
    "/dashboard/stream.js" SCRIPT "page/stream.js",
    "/dashboard/upkeep.js" SCRIPT "page/upkeep.js",
    "/dashboard/vendor/uplot.js" SCRIPT "vendor/uplot/uPlot.iife.min.js",
    "/dashboard/vendor/uplot.css" STYLE "vendor/uplot/uPlot.min.css",
    "/dashboard/vendor/uplot.txt" TEXT "vendor/uplot/LICENSE",
];

/// Tags by the place of their asset: hashes of the contents, made when the first is asked for.
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let tag = |asset: &Asset| format!("\"{}\"", blake3::hash(asset.body.as_bytes()).to_hex());
    ASSETS.iter().map(tag).collect()
});

/// The routes of the page. They need no key: what they answer is the same for everybody.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    ASSETS.iter().fold(Router::new(), |router, asset| router.route(asset.path, get(answer)))
}

async fn answer(request: Request) -> Response<Body> {
    respond(request.uri().path(), request.headers()).unwrap_or_else(|| {
        let mut missing = Response::new(Body::empty());
        *missing.status_mut() = StatusCode::NOT_FOUND;
        missing
    })
}

/// The answer for `path`; `None` where there is no file.
pub(crate) fn respond(path: &str, asked: &HeaderMap) -> Option<Response<Body>> {
    let (asset, tag) = ASSETS.iter().zip(&*TAGS).find(|(asset, _)| asset.path == path)?;
    let is_known = knows(asked, tag);
    let mut response = Response::new(if is_known { Body::empty() } else { Body::from(asset.body) });
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(ETAG, HeaderValue::from_str(tag).ok()?);
    for (name, value) in [
        (CONTENT_TYPE, asset.kind),
        // Kept and asked after every time, so that a new version is a whole new version.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Some(response)
}

/// Whether the client has the version with this tag already.
fn knows(asked: &HeaderMap, tag: &str) -> bool {
    let lists = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = lists.flat_map(|list| list.split(',')).map(str::trim);
    known.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http_body_util::BodyExt as _;
    use tower_service::Service as _;

    use super::*;

    fn asked(name: http::HeaderName, value: &str) -> HeaderMap {
        [(name, HeaderValue::from_str(value).unwrap())].into_iter().collect()
    }

    #[test]
    fn the_whole_page_is_small() {
        let bytes: usize = ASSETS.iter().map(|asset| asset.body.len()).sum();
        assert!(bytes < 150 * 1024, "{bytes} bytes");
    }

    #[test]
    fn nothing_in_the_page_is_inline_or_comes_from_another_host() {
        for asset in ASSETS.iter().filter(|asset| !asset.path.contains("/vendor/")) {
            let body = asset.body;
            for bad in ["<style", "style=\"", " onclick=", " onload=", "javascript:", "innerHTML", "eval("] {
                assert!(!body.contains(bad), "{} contains {bad}", asset.path);
            }
            let elsewhere = body.replace("http://www.w3.org/2000/svg", "");
            assert!(
                !elsewhere.contains("http://") && !elsewhere.contains("https://"),
                "{} names a host",
                asset.path
            );
        }
        let html = ASSETS[0].body;
        let scripts = html.matches("<script").count();
        assert_eq!(
            scripts,
            html.matches("<script src=").count() + html.matches("<script type=\"module\" src=").count()
        );
    }

    /// Every file is one that the page or another file names, and every file that is named is there.
    #[test]
    fn what_the_page_names_is_what_there_is() {
        let mut named = BTreeSet::from(["/".to_owned(), "/dashboard/vendor/uplot.txt".to_owned()]);
        for asset in ASSETS.iter().filter(|asset| !asset.path.contains("/vendor/")) {
            for word in asset.body.split(['"', '\'']) {
                if let Some(script) = word.strip_prefix("./").and_then(|word| word.strip_suffix(".js")) {
                    named.insert(format!("/dashboard/{script}.js"));
                } else if word.starts_with("dashboard/") {
                    named.insert(format!("/{word}"));
                }
            }
        }
        assert_eq!(named, ASSETS.iter().map(|asset| asset.path.to_owned()).collect());
    }

    #[tokio::test]
    async fn a_file_is_sent_once_and_only_asked_after_from_then_on() {
        let mut routes = routes::<()>();
        let mut ask = |method: &str, path: &str, headers: HeaderMap| {
            let mut request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            *request.headers_mut() = headers;
            routes.call(request)
        };
        let first = ask("GET", "/", HeaderMap::new()).await.unwrap();
        assert_eq!(
            (first.status(), &first.headers()[CONTENT_TYPE]),
            (StatusCode::OK, &HeaderValue::from_static(HTML))
        );
        let policy = first.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"));
        assert_eq!(first.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
        assert!(tag.starts_with('"') && tag.len() > 20);
        assert!(first.into_body().collect().await.unwrap().to_bytes().starts_with(b"<!doctype html>"));
        for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
            let again = ask("GET", "/", asked(IF_NONE_MATCH, &known)).await.unwrap();
            assert_eq!(
                (again.status(), &again.headers()[ETAG]),
                (StatusCode::NOT_MODIFIED, &tag.parse().unwrap())
            );
            assert!(again.into_body().collect().await.unwrap().to_bytes().is_empty());
        }
        let other = ask("GET", "/dashboard/app.js", asked(IF_NONE_MATCH, &tag)).await.unwrap();
        assert_eq!(other.status(), StatusCode::OK);
        assert_eq!(ask("HEAD", "/", HeaderMap::new()).await.unwrap().status(), StatusCode::OK);
        assert_eq!(
            ask("POST", "/", HeaderMap::new()).await.unwrap().status(),
            StatusCode::METHOD_NOT_ALLOWED
        );
        assert_eq!(
            ask("GET", "/dashboard/../Cargo.toml", HeaderMap::new()).await.unwrap().status(),
            StatusCode::NOT_FOUND
        );
    }
}
