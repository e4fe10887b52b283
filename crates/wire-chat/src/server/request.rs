//! A chat request as a server receives it.

use std::collections::BTreeMap;

use bytes::Bytes;
use infer_core::{
    ExecuteBatch, Extra, InferenceError, Messages, RawJson, ReasoningEffort, RunMode, WireFormat,
};
use serde_json::value::RawValue;

use super::known::{prediction, response_format, tool, tool_choice};
use super::members::{Fit, decimal, flag, integer, list, members, object, text, texts};
use crate::json::Members;
use crate::message::read_messages;
use crate::request::{is_empty_list, refused};
use crate::write::Object;

/// A request as received.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChatRequest {
    /// What is asked.
    pub batch: ExecuteBatch,
    /// Whether the caller wants the token counts of a streamed answer.
    pub include_usage: bool,
}

/// Reads a chat request, one level deep.
///
/// The messages stay a slice of `body`; they are read when [`Messages::typed`] is asked. Members are typed where that
/// loses nothing, otherwise they keep their text: in the `Other` of tools, tool choice and
/// response format, or `extra`, where unknown members go too. Of `max_tokens` and `max_completion_tokens`
/// together, the smaller counts. `null` stands for an absent member.
///
/// # Errors
/// [`InferenceError::InvalidRequest`] that names the member in `param` and says what is expected.
pub fn read_request(body: &Bytes) -> Result<ChatRequest, InferenceError> {
    let mut reader = Reader::default();
    for (name, raw) in members(body)?.list {
        let was_read = reader.member(&name, raw, body)?;
        if !was_read {
            reader.batch.extra.set(name, raw.into());
        }
    }
    reader.finish()
}

/// The same where the model stands elsewhere, such as in the path: a member `model` is not read.
///
/// # Errors
/// As for [`read_request`].
pub fn read_request_for(body: &Bytes, model: &str) -> Result<ChatRequest, InferenceError> {
    let mut reader = Reader { model: Some(model.to_owned()), ..Reader::default() };
    for (name, raw) in members(body)?.list {
        if name != "model" && !reader.member(&name, raw, body)? {
            reader.batch.extra.set(name, raw.into());
        }
    }
    reader.finish()
}

struct Reader {
    batch: ExecuteBatch,
    model: Option<String>,
    messages: Option<Messages>,
    stream_options: Option<RawJson>,
}

impl Default for Reader {
    fn default() -> Self {
        let mut batch = ExecuteBatch::new(String::new(), Vec::new());
        batch.extra = Extra::received(WireFormat::CHAT_COMPLETIONS);
        Self { batch, model: None, messages: None, stream_options: None }
    }
}

impl Reader {
    /// Takes a member; false when it is for `extra`.
    fn member(&mut self, name: &str, raw: &RawValue, body: &Bytes) -> Result<bool, InferenceError> {
        let batch = &mut self.batch;
        let sampling = &mut batch.sampling;
        match name {
            "model" => self.model = text(name, raw)?,
            "messages" => self.messages = messages(raw, body)?,
            "stream" => {
                if flag(name, raw)? == Some(true) {
                    self.batch.mode = RunMode::Streaming;
                }
            }
            "stream_options" => self.stream_options = options(name, raw)?,
            "max_tokens" | "max_completion_tokens" => {
                let known = batch.max_output_tokens.unwrap_or(u32::MAX);
                return Ok(put(integer(name, raw)?, |it: u32| batch.max_output_tokens = Some(it.min(known))));
            }
            "temperature" => return Ok(put(decimal(name, raw)?, |it| sampling.temperature = Some(it))),
            "top_p" => return Ok(put(decimal(name, raw)?, |it| sampling.top_p = Some(it))),
            "presence_penalty" => {
                return Ok(put(decimal(name, raw)?, |it| sampling.presence_penalty = Some(it)));
            }
            "frequency_penalty" => {
                return Ok(put(decimal(name, raw)?, |it| sampling.frequency_penalty = Some(it)));
            }
            "n" => return Ok(put(integer(name, raw)?, |it| sampling.n = Some(it))),
            "seed" => return Ok(put(integer(name, raw)?, |it| sampling.seed = Some(it))),
            "top_logprobs" => return Ok(put(integer(name, raw)?, |it| sampling.top_logprobs = Some(it))),
            // Together takes a number here (its API description, read 2026-11-21).
            "logprobs" if raw.get().starts_with(|first: char| first.is_ascii_digit()) => return Ok(false),
            "logprobs" => sampling.logprobs = flag(name, raw)?,
            "stop" => sampling.stop = texts(name, raw)?.unwrap_or_default(),
            "logit_bias" => return Ok(put(object(name, raw)?, |it| sampling.logit_bias = it)),
            "reasoning_effort" => {
                batch.reasoning_effort = text(name, raw)?.as_deref().map(ReasoningEffort::from);
            }
            "tools" if raw.get() == "null" => {}
            "tools" => batch.tools = list(name, raw)?.into_iter().map(tool).collect::<Result<_, _>>()?,
            "tool_choice" => batch.tool_choice = tool_choice(name, raw)?,
            "parallel_tool_calls" => batch.parallel_tool_calls = flag(name, raw)?,
            "response_format" => batch.response_format = response_format(name, raw)?,
            "modalities" => batch.modalities = texts(name, raw)?.unwrap_or_default(),
            "prediction" => {
                return Ok(put(prediction(name, raw)?, |it| batch.prediction = Some(it)));
            }
            "service_tier" => batch.service_tier = text(name, raw)?,
            "user" => batch.user = text(name, raw)?,
            "metadata" => {
                return Ok(put(object::<BTreeMap<String, String>>(name, raw)?, |it| batch.metadata = it));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(mut self) -> Result<ChatRequest, InferenceError> {
        self.batch.model = self.model.ok_or_else(|| refused("model", "is missing"))?;
        self.batch.messages = self.messages.ok_or_else(|| refused("messages", "is missing"))?;
        let mut include_usage = false;
        let rest = match self.stream_options {
            Some(options) if self.batch.is_streaming() => {
                let rest;
                (include_usage, rest) = split_usage(options);
                rest
            }
            options => options,
        };
        if let Some(options) = rest {
            self.batch.extra.set("stream_options", options);
        }
        Ok(ChatRequest { batch: self.batch, include_usage })
    }
}

/// Takes `include_usage` out: whoever writes the request on asks for the counts by its own rule.
pub(super) fn split_usage(options: RawJson) -> (bool, Option<RawJson>) {
    let Ok(Members { list, is_cut: false }) = serde_json::from_str(options.get()) else {
        return (false, Some(options));
    };
    let is_usage = |name: &str| name == "include_usage";
    let Some((_, wish)) = list.iter().find(|(name, _)| is_usage(name)) else {
        return (false, Some(options));
    };
    let mut rest = Vec::with_capacity(options.get().len());
    let mut object = Object::begin(&mut rest);
    for (name, raw) in list.iter().filter(|(name, _)| !is_usage(name)) {
        object.raw(name, raw.get().as_bytes());
    }
    object.end();
    let rest = String::from_utf8(rest).ok().filter(|_| list.len() > 1);
    (wish.get() == "true", rest.and_then(|rest| RawJson::parse(rest).ok()))
}

/// Puts a typed value in its place; false when the member is for `extra`.
fn put<T>(fit: Option<Fit<T>>, set: impl FnOnce(T)) -> bool {
    match fit {
        Some(Fit::Other) => return false,
        Some(Fit::Typed(value)) => set(value),
        None => {}
    }
    true
}

fn messages(raw: &RawValue, body: &Bytes) -> Result<Option<Messages>, InferenceError> {
    let json = raw.get();
    if !json.starts_with('[') {
        return Err(refused("messages", "must be a list of messages"));
    }
    if is_empty_list(json.as_bytes()) {
        return Err(refused("messages", "must have at least one message"));
    }
    let slice = body.slice_ref(json.as_bytes());
    Ok(Some(Messages::raw(WireFormat::CHAT_COMPLETIONS, slice, read_messages)))
}

pub(super) fn options(name: &str, raw: &RawValue) -> Result<Option<RawJson>, InferenceError> {
    match raw.get() {
        "null" => Ok(None),
        text if text.starts_with('{') => Ok(Some(raw.into())),
        _ => Err(refused(name, "must be an object")),
    }
}

#[cfg(test)]
mod tests {
    use infer_core::{ResponseFormat, ToolChoice, ToolSpec};

    use super::*;

    const HI: &str = r#""model":"m","messages":[{"role":"user","content":"hi"}]"#;

    fn read(json: &str) -> Result<ChatRequest, InferenceError> {
        read_request(&Bytes::copy_from_slice(json.as_bytes()))
    }

    fn with(members: &str) -> Result<ChatRequest, InferenceError> {
        read(&format!("{{{HI},{members}}}"))
    }

    #[test]
    fn messages_are_a_slice_of_the_body() {
        let body = Bytes::from(format!("{{{HI}}}"));
        let request = read_request(&body).unwrap();
        let json = request.batch.messages.raw_in(WireFormat::CHAT_COMPLETIONS).unwrap();
        assert!(body.as_ptr_range().contains(&json.as_ptr()));
        assert_eq!(request.batch.messages.typed().unwrap()[0].content.text(), "hi");
    }

    #[test]
    fn a_wrong_type_is_refused_and_the_member_named() {
        let faults = [
            (r#"{"messages":[1]}"#, "model"),
            (r#"{"model":5,"messages":[1]}"#, "model"),
            (r#"{"model":"m"}"#, "messages"),
            (r#"{"model":"m","messages":null}"#, "messages"),
            (r#"{"model":"m","messages":[ ]}"#, "messages"),
            (r#"{"model":"m","messages":"hi"}"#, "messages"),
        ];
        for (json, param) in faults {
            let error = read(json).unwrap_err();
            assert_eq!(error.origin().unwrap().param.as_deref(), Some(param), "{json}");
        }
        let members = [
            r#""temperature":"hot""#,
            r#""n":[]"#,
            r#""seed":{}"#,
            r#""stream":1"#,
            r#""stream_options":[]"#,
            r#""stop":5"#,
            r#""stop":[5]"#,
            r#""tools":{}"#,
            r#""tools":[5]"#,
            r#""tool_choice":5"#,
            r#""response_format":"json""#,
            r#""logprobs":"yes""#,
            r#""logit_bias":[]"#,
            r#""metadata":"x""#,
            r#""user":5"#,
            r#""reasoning_effort":1"#,
            r#""parallel_tool_calls":"no""#,
        ];
        for member in members {
            let name = member.split('"').nth(1);
            let error = with(member).unwrap_err();
            assert_eq!(error.origin().unwrap().param.as_deref(), name, "{member}");
        }
        for body in ["", "[]", "null", "{", "{\"a\":1}}", "\u{feff}5"] {
            assert!(read(body).is_err(), "{body}");
        }
        assert!(read_request(&Bytes::from_static(b"{\"a\":\"\xff\"}")).is_err());
    }

    #[test]
    fn null_stands_for_an_absent_member() {
        let nulls =
            r#""temperature":null,"stop":null,"tools":null,"stream":null,"stream_options":null,"user":null"#;
        let request = with(nulls).unwrap();
        assert!(request.batch.extra.is_empty());
        assert!(!request.batch.is_streaming());
        assert_eq!(request.batch.sampling, infer_core::Sampling::default());
    }

    #[test]
    fn what_does_not_fit_exactly_travels_on_as_it_was_written() {
        let members = [
            r#""max_tokens":5000000000"#,
            r#""max_tokens":1.5"#,
            r#""seed":18446744073709551615"#,
            r#""temperature":1e999"#,
            r#""logprobs":3"#,
            r#""n":-1"#,
            r#""logit_bias":{"5":0.5}"#,
            r#""metadata":{"a":1}"#,
            r#""prediction":{"type":"content","content":[]}"#,
            r#""unknown":[1, 2.50]"#,
            r#""functions":[]"#,
        ];
        for member in members {
            let (name, value) = member.split_once(':').unwrap();
            let request = with(member).unwrap();
            let extra = request.batch.extra.get(name.trim_matches('"')).map(RawJson::get);
            assert_eq!(extra, Some(value), "{member}");
        }
    }

    #[test]
    fn tools_and_formats_with_anything_unusual_keep_their_text() {
        let raw = r#"{"type":"function","function":{"name":"f"},"x":1}"#;
        let request =
            with(&format!(r#""tools":[{raw}],"tool_choice":"any","response_format":{{"type": "grammar"}}"#));
        let batch = request.unwrap().batch;
        let json = |text: &str| RawJson::parse(text).unwrap();
        assert_eq!(batch.tools, [ToolSpec::Other(json(raw))]);
        assert_eq!(batch.tool_choice, Some(ToolChoice::Other(json("\"any\""))));
        assert_eq!(batch.response_format, Some(ResponseFormat::Other(json(r#"{"type": "grammar"}"#))));
    }

    #[test]
    fn the_smaller_of_two_limits_counts() {
        for members in
            [r#""max_tokens":5,"max_completion_tokens":9"#, r#""max_completion_tokens":5,"max_tokens":9"#]
        {
            assert_eq!(with(members).unwrap().batch.max_output_tokens, Some(5));
        }
    }

    #[test]
    fn the_wish_for_counts_is_taken_out_of_the_stream_options() {
        let request = with(r#""stream":true,"stream_options":{"include_usage":true,"x": [1]}"#).unwrap();
        assert!(request.include_usage);
        assert_eq!(request.batch.extra.get("stream_options").unwrap().get(), r#"{"x":[1]}"#);
        let request = with(r#""stream":true,"stream_options":{"include_usage":false}"#).unwrap();
        assert!(!request.include_usage && request.batch.extra.is_empty());
    }

    #[test]
    fn a_request_built_to_hurt_is_refused_and_not_suffered() {
        let many: Vec<String> = (0..100_000).map(|n| format!("\"m{n}\":1")).collect();
        assert!(with(&many.join(",")).is_err());
        let deep = format!(r#"{{"model":"m","messages":{}"#, "[".repeat(1 << 20));
        assert!(read(&deep).is_err());
        let deep = format!(r#""x":{}{}"#, "[".repeat(1 << 20), "]".repeat(1 << 20));
        assert!(with(&deep).is_ok(), "a member nobody reads may be as deep as it likes");
        assert!(with(&format!(r#""tools":[{}]"#, vec!["{}"; 5000].join(","))).is_err());
    }
}
