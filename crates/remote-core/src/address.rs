//! Addresses and headers as operators write them, checked once.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use infer_core::InferenceError;
use url::Url;

use crate::session::Secret;

/// A base URL as people write it: with or without a trailing slash, and with `default_path` where it has none. A full
/// chat address is cut back to its base. The result has no trailing slash.
///
/// # Errors
/// [`InferenceError::Config`] that names the value, without anything in it that could be a key, and what would fit.
pub fn base_url(text: &str, default_path: &str) -> Result<Url, InferenceError> {
    let text = text.trim();
    let refuse = |why: &str| {
        let shown =
            text.rsplit('@').next().and_then(|rest| rest.split(['?', '#']).next()).unwrap_or_default();
        let shown: String = shown.chars().filter(|c| !c.is_control()).take(80).collect();
        InferenceError::config(format!(
            "base URL {shown:?}: {why}: write it like https://api.openai.com/v1 or http://localhost:11434/v1"
        ))
    };
    let mut url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("must not hold a user name or password: the key goes into api_key"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse(
            "must not hold a query or fragment: query parameters have a setting of their own",
        ));
    }
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/chat/completions").unwrap_or(path).trim_end_matches('/');
    let path = if path.is_empty() { default_path } else { path }.to_owned();
    url.set_path(&path);
    Ok(url)
}

/// `https://NAME.DOMAIN`, for vendors that give each customer a host: `name` is what the setting `key` says.
///
/// # Errors
/// [`InferenceError::Config`] when `name` is not 2 to 64 letters, digits and hyphens.
pub fn below(key: &str, name: &str, domain: &str) -> Result<String, InferenceError> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if (2..=64).contains(&name.len()) && name.bytes().all(is_part) {
        return Ok(format!("https://{name}.{domain}"));
    }
    Err(InferenceError::config(format!(
        "{key} {name:?}: must be 2 to 64 letters, digits and hyphens, what its address has before .{domain}: a whole \
         address goes into endpoint"
    )))
}

/// Headers an operator adds, marked sensitive; what is no header goes into `faults` by name, never by value.
pub fn extra_headers(given: &BTreeMap<String, Secret>, faults: &mut Vec<String>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        match (HeaderName::try_from(name), HeaderValue::from_str(value.expose())) {
            (Ok(name), Ok(mut value))
                if !matches!(name.as_str(), "content-length" | "host" | "transfer-encoding") =>
            {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
            _ => faults
                .push(format!("headers.{name:?}: this name with its value is no header that can be set")),
        }
    }
    headers
}

/// `base` with `path` and further query parameters.
///
/// # Errors
/// [`InferenceError::Config`] when HTTP cannot carry it, such as one longer than 64 KiB.
pub fn route(base: &Url, path: &str, query: &BTreeMap<String, Secret>) -> Result<Uri, InferenceError> {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    for (name, value) in query {
        url.query_pairs_mut().append_pair(name, value.expose());
    }
    url.as_str().parse().map_err(|_| {
        let origin = url.origin().ascii_serialization();
        InferenceError::config(format!("endpoint: {origin} with its path is no URL that HTTP can carry"))
    })
}

/// `path` from the root of `base`'s host, whatever its own path is.
///
/// # Errors
/// As for [`route`].
pub fn from_root(base: &Url, path: &str, query: &BTreeMap<String, Secret>) -> Result<Uri, InferenceError> {
    let mut root = base.clone();
    root.set_path("");
    route(&root, path, query)
}

/// Scheme, host and port, without anything that could be a key.
pub fn origin(uri: &Uri) -> String {
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", uri.scheme_str().unwrap_or("http"), uri.host().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customers_name_is_one_part_of_a_host_or_is_refused_with_what_an_address_has() {
        assert_eq!(below("resource", "My-res1", "vendor.test").unwrap(), "https://My-res1.vendor.test");
        for bad in ["", "a", "a.b", "a/b", "a@b", "a\nb", "m\u{fc}", &"a".repeat(65)] {
            let error = below("resource", bad, "vendor.test").unwrap_err().to_string();
            let says = format!("resource {bad:?}: must be 2 to 64 letters");
            assert!(error.starts_with(&says) && error.contains(".vendor.test"), "{error}");
        }
    }

    #[test]
    fn every_spelling_of_a_base_url_means_the_same() {
        for (given, expect) in [
            ("https://api.openai.com/v1", "https://api.openai.com/v1"),
            ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
            ("https://api.openai.com", "https://api.openai.com/v1"),
            ("https://api.openai.com//", "https://api.openai.com/v1"),
            ("https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1"),
            (" http://localhost:11434/v1\n", "http://localhost:11434/v1"),
            ("https://openrouter.ai/api/v1/", "https://openrouter.ai/api/v1"),
        ] {
            assert_eq!(base_url(given, "/v1").unwrap().as_str(), expect, "{given:?}");
        }
    }

    #[test]
    fn what_is_no_base_url_is_named_with_the_way_out_and_without_a_key() {
        for bad in [
            "",
            "localhost:11434/v1",
            "ftp://host/v1",
            "not a url",
            "https://user:sk-key@host/v1",
            "https://sk-key@host:port/v1",
            "https://host/v1?api-key=sk-key",
            "http://",
        ] {
            let error = base_url(bad, "/v1").unwrap_err().to_string();
            assert!(error.contains("https://api.openai.com/v1") && !error.contains("sk-key"), "{error}");
        }
    }

    #[test]
    fn a_header_that_cannot_be_sent_is_named_without_its_value() {
        let given = [("x-ok", "v"), ("bad name", "secret-a"), ("x-bad", "secret\nb"), ("Host", "secret-c")];
        let given = given.map(|(name, value)| (name.to_owned(), Secret::from(value))).into();
        let mut faults = Vec::new();
        let headers = extra_headers(&given, &mut faults);
        assert_eq!((headers.len(), faults.len()), (1, 3));
        assert!(!faults.join(" ").contains("secret") && !format!("{headers:?}").contains("\"v\""));
    }

    #[test]
    fn query_parameters_are_encoded() {
        let base = base_url("https://host/a", "/v1").unwrap();
        let query = [("k&".to_owned(), Secret::from("a b#"))].into();
        let uri = route(&base, "/chat", &query).unwrap();
        assert_eq!(uri, "https://host/a/chat?k%26=a+b%23");
        assert_eq!(origin(&uri), "https://host");
        assert_eq!(from_root(&base, "/health", &query).unwrap(), "https://host/health?k%26=a+b%23");
    }

    #[test]
    fn an_address_that_http_cannot_carry_is_refused_without_its_query() {
        let base = base_url("https://host/a", "/v1").unwrap();
        let query = [("key".to_owned(), Secret::from("sk-".repeat(30_000)))].into();
        let error = route(&base, "/chat", &query).unwrap_err().to_string();
        assert!(error.contains("https://host ") && !error.contains("sk-"), "{error}");
    }
}
