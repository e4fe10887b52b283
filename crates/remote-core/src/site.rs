//! One upstream as its settings describe it: what nearly every provider checks and keeps.
//!
//! A provider that holds a [`Site`] has a name, addresses, headers, prices and a `Debug` that shows
//! none of the operator's secrets; what is left to write is what differs. One that needs more of an address takes the
//! functions of [`address`] instead.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, Request, Uri};
use infer_core::{Capabilities, InferenceError, Price, PriceTable, Rates, RelayRequest, RunnerInfo};
use url::Url;

use crate::address;
use crate::provider::{Call, Operation};
use crate::relay_address;
use crate::session::{Secret, SessionSnapshot};

/// The settings that make a [`Site`]. Those of [`provider_settings!`](crate::provider_settings) hand them over by
/// themselves.
#[derive(Clone, Copy, Debug)]
pub struct SiteSettings<'a> {
    /// The kind of provider: `openai`.
    pub kind: &'static str,
    /// Its name in this process.
    pub name: &'a str,
    /// The base URL that the operator set; empty for [`home`](Self::home).
    pub endpoint: &'a str,
    /// The vendor's own base URL. Its path is that of an endpoint which has none.
    pub home: &'a str,
    /// Further headers.
    pub headers: &'a BTreeMap<String, Secret>,
    /// Further query parameters.
    pub query: &'a BTreeMap<String, Secret>,
    /// The operator's own prices.
    pub price_overrides: &'a BTreeMap<String, Rates>,
}

/// One upstream, checked. `Debug` shows its name and host.
pub struct Site {
    info: RunnerInfo,
    base: Url,
    is_home: bool,
    query: BTreeMap<String, Secret>,
    routes: [Option<Uri>; Operation::ALL.len()],
    headers: HeaderMap,
    key_header: Option<HeaderName>,
    own_prices: PriceTable,
    list_prices: Option<PriceTable>,
}

impl Site {
    /// Checks all settings. `faults` are those that the provider found by itself; they come first in the error.
    ///
    /// # Errors
    /// [`InferenceError::Config`] with every fault at once, without anything that could be a key.
    pub fn check(settings: SiteSettings<'_>, mut faults: Vec<String>) -> Result<Self, InferenceError> {
        let home = address::base_url(settings.home, "")?;
        let given = if settings.endpoint.is_empty() { settings.home } else { settings.endpoint };
        let base = address::base_url(given, home.path()).map_err(|error| faults.push(error.to_string())).ok();
        let headers = address::extra_headers(settings.headers, &mut faults);
        let mut unpriced = Vec::new();
        let own_prices = PriceTable::of_rates(settings.price_overrides.clone(), &mut unpriced);
        faults.extend(unpriced.iter().map(|fault| format!("price_overrides.{fault}")));
        let (Some(base), true) = (base, faults.is_empty()) else {
            return Err(InferenceError::config(faults.join("; ")));
        };
        Ok(Self {
            info: RunnerInfo::new(settings.kind, settings.name),
            is_home: is_at(&base, &home),
            base,
            query: settings.query.clone(),
            routes: Default::default(),
            headers,
            key_header: None,
            own_prices,
            list_prices: None,
        })
    }

    /// Brings the vendor's list prices, as [`PriceTable::parse`] reads them. They hold on the host of
    /// [`SiteSettings::home`] and below it, and nowhere else: a name alone does not make a model the vendor's.
    ///
    /// # Errors
    /// [`InferenceError::Config`] with the first line that cannot be read.
    pub fn with_prices(mut self, list: &str) -> Result<Self, InferenceError> {
        let fault = |error| InferenceError::config(format!("{}: price list: {error}", self.info.provider));
        let list = PriceTable::parse(list).map_err(fault)?;
        self.list_prices = self.is_home.then_some(list);
        Ok(self)
    }

    /// Says what the upstream cannot do; without this it can do everything.
    #[must_use]
    pub fn with_capabilities(mut self, change: impl FnOnce(&mut Capabilities)) -> Self {
        change(&mut self.info.capabilities);
        self
    }

    /// Who this is.
    pub fn info(&self) -> &RunnerInfo {
        &self.info
    }

    /// The base URL, without a slash at its end.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Sends calls of one kind to `path` below the base URL, with the operator's query parameters.
    ///
    /// # Errors
    /// As for [`address::route`].
    pub fn with_route(self, operation: Operation, path: &str) -> Result<Self, InferenceError> {
        let uri = address::route(&self.base, path, &self.query)?;
        Ok(self.with_uri(operation, uri))
    }

    /// The same with a `path` from the root of the host, whatever the path of the base URL is.
    ///
    /// # Errors
    /// As for [`address::route`].
    pub fn with_root_route(self, operation: Operation, path: &str) -> Result<Self, InferenceError> {
        let uri = address::from_root(&self.base, path, &self.query)?;
        Ok(self.with_uri(operation, uri))
    }

    /// Sends calls of one kind to an address that is made already.
    #[must_use]
    pub fn with_uri(mut self, operation: Operation, uri: Uri) -> Self {
        if let Some(route) = self.routes.get_mut(operation as usize) {
            *route = Some(uri);
        }
        self
    }

    /// Adds a query parameter to every address that is made from now on, instead of the operator's own of that name.
    #[must_use]
    pub fn with_query(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.query.insert(name.into(), value.into());
        self
    }

    /// Sends the key alone in `header`, and not as `Authorization: Bearer`.
    #[must_use]
    pub fn with_key_in(mut self, header: HeaderName) -> Self {
        self.key_header = Some(header);
        self
    }

    /// Whether the base URL is on the vendor's own host, or on one below it.
    pub fn is_home(&self) -> bool {
        self.is_home
    }

    /// Where `call` goes. Cheap.
    ///
    /// # Errors
    /// [`InferenceError::InvalidRequest`] for a kind of call without a [route](Self::with_route).
    pub fn endpoint(&self, call: Call<'_>) -> Result<Uri, InferenceError> {
        if let Call::Relay(request) = call {
            return self.relay("", request);
        }
        let operation = call.operation();
        self.routes.get(operation as usize).cloned().flatten().ok_or_else(|| {
            let (kind, word) = (self.info.provider, operation.name());
            InferenceError::invalid_request(format!("{kind} has no route for {word}: ask another provider"))
        })
    }

    /// The address that `parts` of a path lead to below the base URL, with the operator's query parameters: for calls that
    /// name a part of their own address. What a part holds stays in it, slashes included.
    ///
    /// # Errors
    /// [`InferenceError::InvalidRequest`] for a part that would lead elsewhere: none, or dots alone. Else as for
    /// [`address::route`].
    pub fn address(&self, parts: &[&str]) -> Result<Uri, InferenceError> {
        if let Some(part) = parts.iter().find(|part| matches!(**part, "" | "." | "..")) {
            let kind = self.info.provider;
            let what =
                format!("{kind} has nothing by the name of {part:?}: check the model that was asked for");
            return Err(InferenceError::invalid_request(what));
        }
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        address::route(&url, "", &self.query)
    }

    /// Where a request that is passed on goes: to its own path below the base URL and `below`, with its own query after the
    /// operator's parameters. `below` is empty or a path with a slash in front.
    ///
    /// # Errors
    /// [`InferenceError::InvalidRequest`] for a path or a query that would lead elsewhere.
    pub fn relay(&self, below: &str, request: &RelayRequest) -> Result<Uri, InferenceError> {
        relay_address::relayed(&self.base, below, &self.query, request)
    }

    /// Writes the operator's headers into `request`.
    pub fn add_headers(&self, request: &mut Request<Bytes>) {
        let headers = request.headers_mut();
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
    }

    /// Writes the operator's headers, and the key if there is one: as `Authorization: Bearer`, or
    /// [in a header of its own](Self::with_key_in).
    pub fn sign(&self, session: &SessionSnapshot, request: &mut Request<Bytes>) {
        self.add_headers(request);
        let signed = match &self.key_header {
            Some(header) => session.header_value().map(|key| (header.clone(), key)),
            None => session.bearer().map(|bearer| (AUTHORIZATION, bearer)),
        };
        if let Some((header, value)) = signed {
            request.headers_mut().insert(header, value);
        }
    }

    /// The operator's own price of `model`, else the listed one; `None` when neither knows it.
    pub fn price(&self, model: &str) -> Option<&Price> {
        self.own_prices.price(model).or_else(|| self.list_prices.as_ref()?.price(model))
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.base.origin().ascii_serialization();
        f.debug_struct("Site").field("name", &self.info.name).field("host", &host).finish_non_exhaustive()
    }
}

/// Whether `base` is on the host of `home`, or on one below it.
fn is_at(base: &Url, home: &Url) -> bool {
    match (base.host_str(), home.host_str()) {
        (Some(host), Some(home)) => format!(".{host}").ends_with(&format!(".{home}")),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# source: a test\n# as-of: 2026-11-21\nm\tstandard\t1\t-\t-\t2\n";

    struct Given {
        endpoint: &'static str,
        headers: BTreeMap<String, Secret>,
        query: BTreeMap<String, Secret>,
        prices: BTreeMap<String, Rates>,
    }

    fn given(endpoint: &'static str) -> Given {
        let empty = BTreeMap::new;
        Given { endpoint, headers: empty(), query: empty(), prices: BTreeMap::new() }
    }

    fn check(given: &Given, faults: Vec<String>) -> Result<Site, InferenceError> {
        let settings = SiteSettings {
            kind: "toy",
            name: "mine",
            endpoint: given.endpoint,
            home: "https://api.toy.example/v3",
            headers: &given.headers,
            query: &given.query,
            price_overrides: &given.prices,
        };
        Site::check(settings, faults)?.with_prices(LIST)
    }

    #[test]
    fn an_endpoint_without_a_path_gets_that_of_the_vendor_and_none_is_the_vendor() {
        for (endpoint, expect) in [
            ("", "https://api.toy.example/v3/chat"),
            ("http://localhost:1", "http://localhost:1/v3/chat"),
            ("http://localhost:1/other/", "http://localhost:1/other/chat"),
        ] {
            let site = check(&given(endpoint), Vec::new()).unwrap();
            let site = site.with_route(Operation::Models, "/chat").unwrap();
            assert_eq!(site.endpoint(Call::Models).unwrap(), expect);
        }
    }

    #[test]
    fn a_call_without_a_route_is_refused_by_the_name_of_its_kind() {
        let site = check(&given(""), Vec::new()).unwrap().with_route(Operation::Models, "/models").unwrap();
        assert!(site.endpoint(Call::Models).is_ok());
        let error = site.endpoint(Call::Health).unwrap_err().to_string();
        assert!(error.contains("toy has no route for health"), "{error}");
    }

    #[test]
    fn an_upstream_can_do_everything_but_what_it_says_it_cannot() {
        let site = check(&given(""), Vec::new()).unwrap();
        assert_eq!(site.info().capabilities, Capabilities::ALL);
        let can = site.with_capabilities(|can| can.tools = false).info().capabilities;
        assert!(!can.tools && can.streaming);
    }

    #[test]
    fn a_name_in_an_address_stays_one_part_of_it_or_is_refused() {
        let mut given = given("http://localhost:1/base");
        given.query.insert("v".into(), "1 2".into());
        let site = check(&given, Vec::new()).unwrap();
        let found = site.address(&["d", "a/b?c#d%2f\u{e9} .", "chat"]).unwrap();
        assert_eq!(found, "http://localhost:1/base/d/a%2Fb%3Fc%23d%252f%C3%A9%20./chat?v=1+2");
        assert_eq!(site.address(&["%2e%2e"]).unwrap().path(), "/base/%252e%252e");
        let site = site.with_query("v", "3");
        assert_eq!(site.address(&["d"]).unwrap(), "http://localhost:1/base/d?v=3");
        for bad in ["", ".", ".."] {
            let error = site.address(&["d", bad]).unwrap_err();
            assert!(matches!(error, InferenceError::InvalidRequest { .. }), "{error}");
        }
    }

    #[test]
    fn list_prices_hold_on_the_vendors_hosts_and_own_ones_everywhere() {
        for (endpoint, is_priced) in [
            ("", true),
            ("https://eu.api.toy.example", true),
            ("https://api.toy.example.evil.example", false),
            ("https://xapi.toy.example", false),
            ("http://localhost:1", false),
        ] {
            let mut given = given(endpoint);
            assert_eq!(check(&given, Vec::new()).unwrap().price("m").is_some(), is_priced, "{endpoint}");
            given.prices.insert("m".into(), Rates::new(7.0, 8.0));
            let own = check(&given, Vec::new()).unwrap();
            assert_eq!(own.price("m").unwrap().standard, Rates::new(7.0, 8.0), "{endpoint}");
            assert_eq!(own.price("unknown"), None);
        }
    }

    #[test]
    fn a_price_list_that_cannot_be_read_is_a_fault_wherever_the_upstream_is() {
        for endpoint in ["", "http://localhost:1"] {
            let site = check(&given(endpoint), Vec::new()).unwrap();
            let error = site.with_prices("m\tstandard\tfree\n").unwrap_err().to_string();
            assert!(error.contains("toy: price list: "), "{error}");
        }
    }

    #[test]
    fn every_fault_is_named_at_once_and_the_providers_own_come_first() {
        let mut given = given("htps://x");
        given.headers.insert("bad name".into(), "sk-secret".into());
        given.prices.insert("m".into(), Rates::new(-1.0, 0.0));
        let error = check(&given, vec!["region: must not be empty".into()]).unwrap_err().to_string();
        let places: Vec<_> = ["region", "htps://x", "bad name", "price_overrides.m.input_per_mtok_usd"]
            .iter()
            .map(|part| error.find(part).unwrap_or_else(|| panic!("{part} missing in {error}")))
            .collect();
        assert!(places.is_sorted() && !error.contains("sk-secret"), "{error}");
    }

    #[test]
    fn a_request_is_signed_once_and_an_operators_header_replaces_what_stood_there() {
        let mut given = given("");
        given.headers.insert("X-Team".into(), "blue".into());
        given.headers.insert("Accept".into(), "text/plain".into());
        let site = check(&given, Vec::new()).unwrap();
        let mut request = Request::builder().header("accept", "*/*").body(Bytes::new()).unwrap();
        let session = SessionSnapshot::new(Some("sk-1".into())).unwrap();
        site.sign(&session, &mut request);
        let headers = request.headers();
        assert_eq!(
            (&headers["authorization"], &headers["x-team"]),
            (&"Bearer sk-1".parse().unwrap(), &"blue".parse().unwrap())
        );
        assert_eq!(headers.get_all("accept").iter().collect::<Vec<_>>(), ["text/plain"]);
        assert!(headers["authorization"].is_sensitive() && headers["x-team"].is_sensitive());
        let mut request = Request::new(Bytes::new());
        site.sign(&SessionSnapshot::new(None).unwrap(), &mut request);
        assert!(!request.headers().contains_key("authorization"));

        let site = site.with_key_in(HeaderName::from_static("x-key"));
        site.sign(&session, &mut request);
        let headers = request.headers();
        assert_eq!((&headers["x-key"], headers.len()), (&"sk-1".parse().unwrap(), 3), "{headers:?}");
        assert!(headers["x-key"].is_sensitive());
    }

    #[test]
    fn nothing_that_can_be_printed_shows_a_header_or_a_query() {
        let mut given = given("");
        given.headers.insert("x-key".into(), "secret-a".into());
        given.query.insert("key".into(), "secret-b".into());
        let site = check(&given, Vec::new()).unwrap();
        let site = site.with_route(Operation::Health, "/chat").unwrap();
        assert!(site.endpoint(Call::Health).unwrap().to_string().contains("secret-b"));
        assert!(!format!("{site:?}").contains("secret-"), "{site:?}");
    }
}
