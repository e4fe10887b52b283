//! Requests of routes that this project does not model, passed on byte for byte.
//!
//! What such a request means is between the caller and the upstream. Only two members of a JSON body are looked at, `model`
//! and `stream`, and only the first is ever replaced: every other byte arrives as it was given.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use serde::Deserialize;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{InferenceError, Priority, RequestId, Routing, RunMeta};

/// A request that is passed on as it is.
///
/// ```
/// use infer_core::{RelayMethod, RelayRequest};
/// let request = RelayRequest::new(RelayMethod::Post, "/responses")
///     .with_json(r#"{"model": "gpt-4o-mini", "input": "Say hello", "stream": true}"#);
/// assert_eq!(request.model.as_deref(), Some("gpt-4o-mini"));
/// assert!(request.is_streaming());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelayRequest {
    /// Our name for the call.
    pub request_id: RequestId,
    /// What is to be done.
    pub method: RelayMethod,
    /// What follows the upstream's base URL, with a slash in front and percent-encoded: `/responses`,
    /// `/files/file-1/content`.
    pub path: String,
    /// What follows the question mark, percent-encoded.
    pub query: Option<String>,
    /// Names in lower case and values, of those in [`RelayRequest::HEADERS`]; others are not sent.
    pub headers: Vec<(String, String)>,
    /// The body; empty where there is none.
    pub body: Bytes,
    /// The model that the request names, which routing and prices go by.
    pub model: Option<String>,
    /// The most time the whole call may take.
    pub deadline: Option<Duration>,
    /// How urgent it is.
    pub priority: Priority,
    /// How a router is to treat the call; never sent.
    pub routing: Routing,
    /// A name for the end user, by which spend is counted; never sent.
    pub user: Option<String>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RelayMethod {
    /// Read something.
    Get,
    /// Make something, or ask for an answer.
    Post,
    /// Replace something.
    Put,
    /// Change something.
    Patch,
    /// Remove something.
    Delete,
}

impl RelayMethod {
    /// The name in a request: `POST`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The method of that name, in upper case.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete]
            .into_iter()
            .find(|method| method.name() == name)
    }

    /// Whether a model is set to work by it, so that an upstream bills what it answers. What is read again was billed when
    /// it was made.
    pub const fn is_billed(self) -> bool {
        matches!(self, Self::Post)
    }
}

impl RelayRequest {
    /// The headers of a caller that are passed on. Credentials are never among them: the upstream's own takes their place.
    pub const HEADERS: [&'static str; 7] = [
        "accept",
        "anthropic-beta",
        "anthropic-version",
        "content-type",
        "idempotency-key",
        "openai-beta",
        "range",
    ];

    /// A request without a body for what stands at `path` below the upstream's base URL.
    pub fn new(method: RelayMethod, path: impl Into<String>) -> Self {
        Self {
            request_id: RequestId::generate(),
            method,
            path: path.into(),
            query: None,
            headers: Vec::new(),
            body: Bytes::new(),
            model: None,
            deadline: None,
            priority: Priority::default(),
            routing: Routing::default(),
            user: None,
        }
    }

    /// A JSON body, and the model it names.
    #[must_use]
    pub fn with_json(self, body: impl Into<Bytes>) -> Self {
        self.with_body("application/json", body)
    }

    /// A body of any type. Of JSON, the model it names becomes that of the request, if it names one.
    #[must_use]
    pub fn with_body(mut self, content_type: impl Into<String>, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self = self.with_header("content-type", content_type);
        if let Some(named) = self.members().and_then(|members| members.name) {
            self.model = Some(named);
        }
        self
    }

    /// What follows the question mark.
    #[must_use]
    pub fn with_query(mut self, query: impl Into<String>) -> Self {
        self.query = Some(query.into());
        self
    }

    /// A header, replacing an earlier one of its name. One that is not in [`RelayRequest::HEADERS`] is left out.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        let name = name.to_ascii_lowercase();
        if Self::HEADERS.contains(&name.as_str()) {
            self.headers.retain(|(known, _)| *known != name);
            self.headers.push((name, value.into()));
        }
        self
    }

    /// The model that a body which is not JSON, or a query, names.
    #[must_use]
    pub fn with_model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Our name for the call.
    #[must_use]
    pub fn with_request_id(mut self, id: RequestId) -> Self {
        self.request_id = id;
        self
    }

    /// The most time the whole call may take.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// How urgent it is.
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// How a router is to treat the call.
    #[must_use]
    pub fn with_routing(mut self, routing: Routing) -> Self {
        self.routing = routing;
        self
    }

    /// A name for the end user.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether the body says that it is JSON.
    pub fn is_json(&self) -> bool {
        self.header("content-type").is_some_and(is_json)
    }

    /// Whether events are asked for: `"stream": true` in a JSON body, or by the header `accept`.
    pub fn is_streaming(&self) -> bool {
        self.header("accept").is_some_and(|accept| accept.contains("text/event-stream"))
            || self.members().is_some_and(|members| members.stream)
    }

    /// About how many tokens go in: one for every 4 bytes of a JSON body, rounded up. Of others nobody knows, so 0.
    pub fn input_tokens(&self) -> u64 {
        if self.is_json() { (self.body.len() as u64).div_ceil(4) } else { 0 }
    }

    /// Whether another name cannot be put in place of the model's: it stands in a form, or in a query.
    pub fn has_fixed_model(&self) -> bool {
        self.model.is_some() && self.members().is_none_or(|members| members.span.is_none())
    }

    /// Says whether the body can be understood in one way only.
    ///
    /// # Errors
    /// [`InferenceError::InvalidRequest`] for a JSON body that names its model more than once: what is admitted and paid
    /// for must be what the upstream reads.
    pub fn check(&self) -> Result<(), InferenceError> {
        match self.members().map_or(0, |members| members.names) {
            0 | 1 => Ok(()),
            times => Err(InferenceError::invalid_request(format!(
                "the body names its model {times} times: name it once"
            ))),
        }
    }

    /// The same request for `model`: its name replaces the one in a JSON body, and every other byte stays.
    ///
    /// A request that names no model is left as it is.
    ///
    /// # Errors
    /// As for [`RelayRequest::check`]; [`InferenceError::InvalidRequest`] when another model is named where it cannot be
    /// replaced, as in a form.
    pub fn for_model(mut self, model: &str) -> Result<Self, InferenceError> {
        self.check()?;
        let Some(named) = self.model.as_deref() else { return Ok(self) };
        let members = self.members();
        let in_body = members.as_ref().and_then(|members| members.name.as_deref());
        if in_body.unwrap_or(named) != model {
            let Some(span) = members.and_then(|members| members.span) else {
                let kind = self.header("content-type").unwrap_or("no body").to_owned();
                return Err(InferenceError::invalid_request(format!(
                    "{} {}: the model {named:?} is called {model:?} where it would be sent, and its name cannot be replaced in {kind}: ask for {model:?}",
                    self.method.name(),
                    self.path,
                )));
            };
            let name = serde_json::Value::from(model).to_string();
            let before = self.body.get(..span.start).unwrap_or_default();
            let after = self.body.get(span.end..).unwrap_or_default();
            self.body = [before, name.as_bytes(), after].concat().into();
        }
        self.model = Some(model.to_owned());
        Ok(self)
    }

    /// What a JSON body says; `None` for one that is none.
    fn members(&self) -> Option<Members> {
        if self.body.is_empty() || !self.is_json() {
            return None;
        }
        let mut reader = serde_json::Deserializer::from_slice(&self.body);
        let members = reader.deserialize_map(ReadMembers { start: self.body.as_ptr().addr() }).ok()?;
        reader.end().is_ok().then_some(members)
    }
}

/// Whether a content type is JSON: `application/json; charset=utf-8`, `application/problem+json`.
fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.ends_with("+json")
}

/// What is looked at in a JSON body.
#[derive(Debug, Default, PartialEq, Eq)]
struct Members {
    /// How often `model` stands at its top level.
    names: usize,
    /// The last of them, where it is text.
    name: Option<String>,
    /// Where that stands, quotes included.
    span: Option<Range<usize>>,
    stream: bool,
}

struct ReadMembers {
    /// Where the body begins.
    start: usize,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Name {
    Model,
    Stream,
    #[serde(other)]
    Other,
}

impl<'de> Visitor<'de> for ReadMembers {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key::<Name>()? {
            match name {
                Name::Model => {
                    let value = map.next_value::<&RawValue>()?.get();
                    members.names += 1;
                    members.name = serde_json::from_str(value).ok();
                    let at = value.as_ptr().addr().saturating_sub(self.start);
                    members.span = members.name.is_some().then_some(at..at + value.len());
                }
                Name::Stream => members.stream = map.next_value::<&RawValue>()?.get() == "true",
                Name::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(members)
    }
}

/// Bytes of an answer as they come, ended by `None` where the answer is whole, or by one error.
pub type RelayBody = Pin<Box<dyn Stream<Item = Result<Bytes, InferenceError>> + Send>>;

/// An answer that is passed on as it is. Dropping it, or its body, cancels the call and closes its connection.
#[non_exhaustive]
pub struct RelayAnswer {
    /// What is known about the run.
    pub meta: RunMeta,
    /// The HTTP status, from 200 to 299.
    pub status: u16,
    /// Names in lower case and values; none that concerns the connection or sets a cookie.
    pub headers: Vec<(String, String)>,
    /// The body. Of an event stream, what came before an error or the end are whole events.
    pub body: RelayBody,
}

impl RelayAnswer {
    /// An answer.
    pub fn new(
        meta: RunMeta,
        status: u16,
        headers: Vec<(String, String)>,
        body: impl Stream<Item = Result<Bytes, InferenceError>> + Send + 'static,
    ) -> Self {
        Self { meta, status, headers, body: Box::pin(body) }
    }

    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The whole body.
    ///
    /// # Errors
    /// Whatever ends it early; what had arrived is lost then.
    pub async fn collect(mut self) -> Result<Bytes, InferenceError> {
        let mut whole = Vec::new();
        while let Some(piece) = std::future::poll_fn(|cx| self.body.as_mut().poll_next(cx)).await {
            whole.extend_from_slice(&piece?);
        }
        Ok(whole.into())
    }
}

impl fmt::Debug for RelayAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayAnswer")
            .field("meta", &self.meta)
            .field("status", &self.status)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn posted(body: impl Into<Bytes>) -> RelayRequest {
        RelayRequest::new(RelayMethod::Post, "/responses").with_json(body)
    }

    #[test]
    fn the_model_is_replaced_in_place_however_it_is_written() {
        for (body, expect) in [
            (r#"{"model":"a","input":"x"}"#, r#"{"model":"b\"é","input":"x"}"#),
            (
                " {\n \"input\" : {\"model\":\"a\"} ,\"mod\\u0065l\" :\t\"a\" , \"n\":1.00}\n",
                " {\n \"input\" : {\"model\":\"a\"} ,\"mod\\u0065l\" :\t\"b\\\"é\" , \"n\":1.00}\n",
            ),
            (r#"{"model":"\u0061"}"#, r#"{"model":"b\"é"}"#),
        ] {
            let request = posted(body);
            assert_eq!(request.model.as_deref(), Some("a"), "{body}");
            let moved = request.for_model("b\"é").unwrap();
            assert_eq!((&*moved.body, moved.model.as_deref()), (expect.as_bytes(), Some("b\"é")));
        }
    }

    #[test]
    fn a_body_for_the_model_it_names_is_the_same_body() {
        let request = posted(r#"{"model":"\u0061"}"#);
        let same = request.clone().for_model("a").unwrap();
        assert_eq!(same, request);
        assert_eq!(same.body.as_ptr(), request.body.as_ptr());
    }

    #[test]
    fn a_model_that_is_named_twice_is_refused_for_every_target() {
        let request = posted(r#"{"model":"cheap","model":"dear"}"#);
        for target in ["cheap", "dear", "other"] {
            let error = request.clone().for_model(target).unwrap_err().to_string();
            assert!(error.contains("names its model 2 times"), "{error}");
        }
        assert!(request.check().is_err() && posted(r#"{"model":"a","x":{"model":"b"}}"#).check().is_ok());
    }

    #[test]
    fn what_cannot_be_replaced_goes_only_where_it_has_that_name() {
        let form = RelayRequest::new(RelayMethod::Post, "/audio/transcriptions")
            .with_body("multipart/form-data; boundary=x", "--x--")
            .with_model("whisper-1");
        assert_eq!(form.clone().for_model("whisper-1").unwrap().body, form.body);
        let error = form.clone().for_model("whisper-eu").unwrap_err();
        assert!(matches!(error, InferenceError::InvalidRequest { .. }), "{error}");
        assert!(form.has_fixed_model() && !posted(r#"{"model":"a"}"#).has_fixed_model());
        let text = error.to_string();
        assert!(text.contains("whisper-eu") && text.contains("multipart/form-data"), "{text}");
        assert_eq!(form.input_tokens(), 0);
        let nameless = RelayRequest::new(RelayMethod::Get, "/files");
        assert_eq!(nameless.clone().for_model("any").unwrap(), nameless);
    }

    #[test]
    fn events_are_asked_for_by_the_body_or_by_a_header() {
        assert!(posted(r#"{"stream":true}"#).is_streaming());
        for body in [r#"{"stream":false}"#, r#"{"x":{"stream":true}}"#, r#"{"stream":true"#, "[true]", ""] {
            assert!(!posted(body).is_streaming(), "{body}");
        }
        let get = RelayRequest::new(RelayMethod::Get, "/responses/r");
        assert!(get.with_header("Accept", "text/event-stream").is_streaming());
    }

    #[test]
    fn credentials_of_a_caller_are_not_kept() {
        let request = RelayRequest::new(RelayMethod::Get, "/files")
            .with_header("Authorization", "Bearer sk-1")
            .with_header("x-api-key", "sk-1")
            .with_header("Cookie", "sk-1")
            .with_header("OpenAI-Beta", "a")
            .with_header("openai-beta", "b");
        assert_eq!(request.headers, [("openai-beta".to_owned(), "b".to_owned())]);
    }

    #[test]
    fn methods_are_found_by_their_names() {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            assert_eq!(RelayMethod::of_name(method).unwrap().name(), method);
        }
        assert_eq!(RelayMethod::of_name("CONNECT"), None);
    }

    proptest! {
        /// Whatever else stands in an object, replacing its model keeps all of it, and going back gives the bytes that were.
        #[test]
        fn a_splice_keeps_every_other_byte(
            before in prop::collection::vec(("[a-k]{1,6}", "[ -!#-\\[\\]-~]{0,12}"), 0..4),
            after in prop::collection::vec(("[a-k]{1,6}", "[ -!#-\\[\\]-~]{0,12}"), 0..4),
            space in "[ \t\n]{0,3}",
            names in ("[a-z0-9./-]{1,12}", "\\PC{0,12}"),
        ) {
            let member = |(name, value): &(String, String)| format!("{space}\"{name}\"{space}:\"{value}\"");
            let head: String = before.iter().map(|pair| member(pair) + ",").collect();
            let tail: String = after.iter().map(|pair| ",".to_owned() + &member(pair)).collect();
            let body = |name: &str| {
                format!("{{{head}\"model\"{space}:{space}{}{space}{tail}}}", serde_json::Value::from(name))
            };
            let request = posted(body(&names.0));
            let there = request.clone().for_model(&names.1).unwrap();
            let expect = body(&names.1);
            prop_assert_eq!(&*there.body, expect.as_bytes());
            prop_assert_eq!(there.for_model(&names.0).unwrap(), request);
        }

        /// Bytes of any kind are passed on or refused.
        #[test]
        fn arbitrary_bodies_are_passed_on_or_refused(body in prop::collection::vec(any::<u8>(), 0..200), to in "\\PC{0,8}") {
            let request = posted(body);
            let _ = request.is_streaming();
            if let Ok(moved) = request.clone().for_model(&to) {
                prop_assert!(moved.model.is_none() && moved.body == request.body || moved.model.as_deref() == Some(&*to));
            }
        }
    }
}
