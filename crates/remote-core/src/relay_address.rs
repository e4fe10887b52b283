//! Where a request that is passed on goes. Its path and query are a caller's, so nothing of them may lead elsewhere.

use std::collections::BTreeMap;

use http::Uri;
use infer_core::{InferenceError, RelayRequest};
use url::{Url, form_urlencoded};

use crate::address;
use crate::session::Secret;

/// The address of `request` below `base` and `below`: its path as it was written, then the operator's query parameters and
/// its own.
pub(crate) fn relayed(
    base: &Url,
    below: &str,
    query: &BTreeMap<String, Secret>,
    request: &RelayRequest,
) -> Result<Uri, InferenceError> {
    check_path(&request.path)?;
    let uri = address::route(base, &format!("{below}{}", request.path), query)?;
    let Some(asked) = request.query.as_deref().filter(|asked| !asked.is_empty()) else { return Ok(uri) };
    check_query(asked, query)?;
    let joint = if uri.query().is_some() { '&' } else { '?' };
    format!("{uri}{joint}{asked}")
        .parse()
        .map_err(|_| InferenceError::invalid_request("the path with its query is longer than HTTP can carry"))
}

/// Only a path that stays what it is wherever it is read: plain parts, no dots that climb, no second slash.
fn check_path(path: &str) -> Result<(), InferenceError> {
    let refuse = |why: &str| {
        let shown: String = path.chars().take(80).collect();
        Err(InferenceError::invalid_request(format!("path {shown:?}: {why}: write it like /responses")))
    };
    let Some(parts) = path.strip_prefix('/') else { return refuse("must begin with a slash") };
    for part in parts.split('/') {
        let Some(plain) = decoded(part) else { return refuse("holds what must be percent-encoded") };
        if plain.iter().any(u8::is_ascii_control) {
            return refuse("holds a control character");
        }
        let mut names = plain.split(|byte| matches!(byte, b'/' | b'\\'));
        if names.any(|name| matches!(name, b"" | b"." | b"..")) {
            return refuse("has a part that is empty or leads elsewhere");
        }
    }
    Ok(())
}

/// What a part of a path stands for; `None` for one that is not written as RFC 3986 has it.
fn decoded(part: &str) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(part.len());
    let mut bytes = part.bytes();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) => byte,
            _ => return None,
        });
    }
    Some(plain)
}

/// Only what a query may hold, and no parameter that the operator has set: it could hold a key or a version.
fn check_query(asked: &str, set: &BTreeMap<String, Secret>) -> Result<(), InferenceError> {
    let is_fine = |byte: u8| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte);
    if !asked.bytes().all(is_fine) {
        return Err(InferenceError::invalid_request("the query holds what must be percent-encoded"));
    }
    match form_urlencoded::parse(asked.as_bytes()).find(|(name, _)| set.contains_key(&**name)) {
        Some((name, _)) => Err(InferenceError::invalid_request(format!(
            "the query sets {name:?}, which the configuration of this provider sets: leave it out"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use infer_core::RelayMethod;
    use proptest::prelude::*;

    use super::*;

    fn get(path: &str) -> RelayRequest {
        RelayRequest::new(RelayMethod::Get, path)
    }

    fn sent(request: &RelayRequest) -> Result<Uri, InferenceError> {
        let base = address::base_url("https://host/base/v1", "").unwrap();
        let query = [("api-version".to_owned(), Secret::from("v 1"))].into();
        relayed(&base, "", &query, request)
    }

    #[test]
    fn a_path_goes_below_the_base_url_as_it_was_written() {
        for (path, expect) in [
            ("/responses", "/base/v1/responses"),
            ("/files/file-1/content", "/base/v1/files/file-1/content"),
            ("/files/a%2Fb%C3%A9@x:1", "/base/v1/files/a%2Fb%C3%A9@x:1"),
        ] {
            assert_eq!(sent(&get(path)).unwrap().path(), expect);
        }
        let uri = sent(&get("/files").with_query("limit=2&after=a%20b")).unwrap();
        assert_eq!(uri.query(), Some("api-version=v+1&limit=2&after=a%20b"));
    }

    #[test]
    fn a_path_or_query_that_leads_elsewhere_is_refused() {
        for bad in [
            "",
            "files",
            "//evil.example",
            "/a//b",
            "/",
            "/a/",
            "/..",
            "/a/../b",
            "/%2e%2e/x",
            "/a/.%2E",
            "/a%2f..%2fb",
            "/a%5c..%5cb",
            "/a\\b",
            "/a b",
            "/a?b",
            "/a#b",
            "/%",
            "/%0d%0a",
            "/a%zz",
            "https://evil.example",
            "/a@b:1/..",
            "/é",
        ] {
            let error = sent(&get(bad)).unwrap_err();
            assert!(matches!(error, InferenceError::InvalidRequest { .. }), "{bad}: {error}");
        }
        for bad in ["api-version=other", "x=1&api%2Dversion=2", "a#b", "a b", "a\r\nb", "é"] {
            let error = sent(&get("/files").with_query(bad)).unwrap_err().to_string();
            assert!(!error.contains("v 1"), "{bad}: {error}");
        }
    }

    proptest! {
        /// Whatever a caller writes, the host and the base path stay, and nothing but its own path is below them.
        #[test]
        fn no_path_leaves_the_base_url(path in "(/[a-z.%2eF/\\\\?#@:]{0,12}){0,3}", query in "[ -~]{0,20}") {
            if let Ok(uri) = sent(&get(&path).with_query(query)) {
                prop_assert_eq!(uri.host(), Some("host"));
                prop_assert_eq!(uri.path(), format!("/base/v1{path}"));
                prop_assert!(uri.query().unwrap().starts_with("api-version=v+1"));
            }
        }
    }
}
