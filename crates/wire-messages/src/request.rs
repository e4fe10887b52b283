//! A request as the client writes it.
//!
//! After Anthropic's API reference for creating a message and its Python client's `MessageCreateParams`, read
//! 2026-11-21.

use bytes::Bytes;
use infer_core::{ExecuteBatch, InferenceError, Messages, RawJson, ResponseFormat};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::block::Block;
use crate::foreign;
use crate::json::Members;
use crate::refusal::{check, refused};
use crate::thinking::{Thinking, wish};
use crate::tools::{self, Tool};
use crate::turns::{Conversation, Turn};
use crate::{MESSAGES, MessagesDialect};

/// What a request has beside its messages, more or less.
const HEAD: usize = 1024;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "System::is_empty")]
    system: System<'a>,
    messages: Turns<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<tools::Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
    #[serde(flatten)]
    extra: Unread<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum System<'a> {
    Gathered(&'a [Block<'a>]),
    Received(&'a RawValue),
}

impl System<'_> {
    fn is_empty(&self) -> bool {
        matches!(self, Self::Gathered([]))
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Turns<'a> {
    Gathered(&'a [Turn<'a>]),
    Received(&'a RawValue),
}

#[derive(Serialize)]
struct Metadata<'a> {
    user_id: &'a str,
}

/// Effort and format, and whatever else the caller wants beside them.
struct OutputConfig<'a> {
    effort: Option<&'a str>,
    format: Option<Format<'a>>,
    beside: Members<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Format<'a> {
    Schema { r#type: &'static str, schema: &'a RawJson },
    Raw(&'a RawJson),
}

impl Serialize for OutputConfig<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(effort) = self.effort {
            map.serialize_entry("effort", effort)?;
        }
        if let Some(format) = &self.format {
            map.serialize_entry("format", format)?;
        }
        for (name, value) in &self.beside.0 {
            let is_said = match &**name {
                "effort" => self.effort.is_some(),
                "format" => self.format.is_some(),
                _ => false,
            };
            if !is_said {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

/// Members passed through, except those the batch itself has a value for.
struct Unread<'a> {
    batch: &'a ExecuteBatch,
    has_system: bool,
    has_output_config: bool,
}

impl Serialize for Unread<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.batch.extra.iter().filter(|(name, _)| !self.is_owned(name)) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Unread<'_> {
    fn is_owned(&self, name: &str) -> bool {
        let batch = self.batch;
        match name {
            "model" | "messages" | "stream" => true,
            // Another format's wish for the counts of a stream, which this one sends always.
            "stream_options" => true,
            "max_tokens" => batch.max_output_tokens.is_some(),
            "system" => self.has_system,
            "output_config" => self.has_output_config,
            "tools" => !batch.tools.is_empty(),
            "tool_choice" => {
                batch.tool_choice.is_some()
                    || (batch.parallel_tool_calls == Some(false) && !batch.tools.is_empty())
            }
            "temperature" => batch.sampling.temperature.is_some(),
            "top_p" => batch.sampling.top_p.is_some(),
            "stop_sequences" => !batch.sampling.stop.is_empty(),
            "metadata" => user_id(batch).is_some(),
            "service_tier" => batch.service_tier.is_some(),
            _ => foreign::leaves_out(batch, name),
        }
    }
}

/// Writes the body in one pass. Absent members are left out.
pub(crate) fn write_request(
    batch: &ExecuteBatch,
    dialect: &MessagesDialect,
) -> Result<Bytes, InferenceError> {
    check(batch)?;
    foreign::check(batch)?;
    let received = batch.messages.raw_in(MESSAGES);
    let gathered = match received {
        Some(_) => Conversation::default(),
        None => Conversation::gather(batch.messages.typed()?, dialect.late_system)?,
    };
    let turns = match received {
        Some(json) => Turns::Received(list(json)?),
        None => Turns::Gathered(&gathered.turns),
    };
    let instructions = match &batch.messages {
        Messages::Raw(raw) if received.is_some() => raw.instructions(),
        _ => None,
    };
    let system = match instructions {
        Some(json) => System::Received(
            serde_json::from_slice(json)
                .map_err(|_| refused("system", "must be text or a list of blocks"))?,
        ),
        None => System::Gathered(&gathered.system),
    };
    if matches!(turns, Turns::Gathered([])) {
        let why = "there is nothing to answer; add a user message with some content";
        return Err(refused("messages", why));
    }
    let size = HEAD + received.map_or(gathered.size(), Bytes::len) + instructions.map_or(0, Bytes::len);
    let given_limit = batch.extra.get("max_tokens");
    let max_tokens = match (batch.max_output_tokens, given_limit) {
        (None, Some(_)) => None,
        (given, _) => Some(given.unwrap_or(dialect.default_max_tokens)),
    };
    let limit = max_tokens.or_else(|| given_limit?.get().parse().ok());
    let wish = wish(batch, dialect, limit)?;
    let output_config = output_config(batch, wish.effort)?;
    let body = Body {
        model: &batch.model,
        max_tokens,
        messages: turns,
        tools: batch.tools.iter().map(Tool).collect(),
        tool_choice: tools::choice(batch)?,
        thinking: wish.thinking,
        temperature: batch.sampling.temperature,
        top_p: batch.sampling.top_p,
        stop_sequences: &batch.sampling.stop,
        metadata: user_id(batch).map(|user_id| Metadata { user_id }),
        service_tier: service_tier(batch)?,
        stream: batch.is_streaming().then_some(true),
        extra: Unread { batch, has_system: !system.is_empty(), has_output_config: output_config.is_some() },
        output_config,
        system,
    };
    let mut out = Vec::with_capacity(size);
    serde_json::to_writer(&mut out, &body)
        .map_err(|error| InferenceError::invalid_request(format!("request cannot be written: {error}")))?;
    Ok(out.into())
}

/// Messages received in this format, which must be a list with something in it.
fn list(json: &Bytes) -> Result<&RawValue, InferenceError> {
    let raw: Option<&RawValue> = serde_json::from_slice(json).ok();
    let inside = raw.and_then(|raw| raw.get().strip_prefix('[')?.strip_suffix(']'));
    match (raw, inside.map(str::trim_ascii)) {
        (Some(_), Some("")) => {
            Err(refused("messages", "there is nothing to answer; add a user message with some content"))
        }
        (Some(raw), Some(_)) => Ok(raw),
        _ => Err(refused("messages", "must be a list of messages")),
    }
}

/// Nothing is written when the batch says nothing; what the caller wrote is then passed through as it is.
fn output_config<'a>(
    batch: &'a ExecuteBatch,
    effort: Option<&'a str>,
) -> Result<Option<OutputConfig<'a>>, InferenceError> {
    let format = match &batch.response_format {
        None | Some(ResponseFormat::Text) => None,
        Some(ResponseFormat::JsonSchema(schema)) => {
            let schema = schema.schema.as_ref().ok_or_else(|| {
                refused("response_format", "this upstream needs the schema itself, and none is given")
            })?;
            Some(Format::Schema { r#type: "json_schema", schema })
        }
        Some(ResponseFormat::Other(raw)) => Some(Format::Raw(raw)),
        _ => {
            let why = "this upstream writes JSON only to a schema; give one, or ask for JSON in the prompt";
            return Err(refused("response_format", why));
        }
    };
    if effort.is_none() && format.is_none() {
        return Ok(None);
    }
    let beside = match batch.extra.get("output_config") {
        None => Members::default(),
        Some(raw) => {
            serde_json::from_str(raw.get()).map_err(|_| refused("output_config", "must be an object"))?
        }
    };
    Ok(Some(OutputConfig { effort, format, beside }))
}

fn user_id(batch: &ExecuteBatch) -> Option<&str> {
    batch.user.as_deref().or_else(|| batch.metadata.get("user_id").map(String::as_str))
}

/// `default` is another vendor's word for `standard_only` (both API references, read 2026-11-21).
fn service_tier(batch: &ExecuteBatch) -> Result<Option<&str>, InferenceError> {
    match batch.service_tier.as_deref() {
        Some("default") => Ok(Some("standard_only")),
        Some(tier @ ("flex" | "priority")) => {
            let why =
                format!("takes `auto`, which uses priority where it is bought, or `default`, got `{tier}`");
            Err(refused("service_tier", &why))
        }
        tier => Ok(tier),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use infer_core::{JsonSchema, Message};

    fn json(text: &str) -> RawJson {
        RawJson::parse(text).unwrap()
    }

    fn encoded(batch: &ExecuteBatch) -> String {
        let body = write_request(batch, &MessagesDialect::default()).unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    fn refusal(batch: &ExecuteBatch) -> (String, String) {
        let error = write_request(batch, &MessagesDialect::default()).unwrap_err();
        (error.origin().unwrap().param.clone().unwrap_or_default(), error.to_string())
    }

    fn received(json: &'static str) -> Messages {
        Messages::raw(MESSAGES, Bytes::from_static(json.as_bytes()), |_| {
            Err(InferenceError::invalid_request("nobody reads them"))
        })
    }

    #[test]
    fn everything_a_batch_says_has_its_member() {
        let batch = ExecuteBatch::new("claude-opus-5", [Message::system("rules"), Message::user("hi")])
            .with_max_output_tokens(99)
            .with_temperature(0.5)
            .with_top_p(0.9)
            .with_stop(["END"])
            .with_user("u-1")
            .with_service_tier("default")
            .with_reasoning_effort("high")
            .with_response_format(JsonSchema::new("s", json(r#"{"type": "object"}"#)))
            .with_extra("top_k", json("4"))
            .streaming();
        let expect = concat!(
            r#"{"model":"claude-opus-5","max_tokens":99,"system":[{"type":"text","text":"rules"}],"#,
            r#""messages":[{"role":"user","content":"hi"}],"thinking":{"type":"adaptive"},"#,
            r#""output_config":{"effort":"high","format":{"type":"json_schema","schema":{"type": "object"}}},"#,
            r#""temperature":0.5,"top_p":0.9,"stop_sequences":["END"],"metadata":{"user_id":"u-1"},"#,
            r#""service_tier":"standard_only","stream":true,"top_k":4}"#,
        );
        assert_eq!(encoded(&batch), expect);
    }

    #[test]
    fn what_the_batch_says_wins_over_an_extra_member_of_the_same_name() {
        let batch = ExecuteBatch::new("m", "hi")
            .with_temperature(0.5)
            .with_max_output_tokens(5)
            .with_extra("temperature", json("2"))
            .with_extra("max_tokens", json("9"))
            .with_extra("stream", json("true"))
            .with_extra("stream_options", json("{}"))
            .with_extra("cache_control", json(r#"{"type":"ephemeral"}"#));
        let expect = r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}],"temperature":0.5,"cache_control":{"type":"ephemeral"}}"#;
        assert_eq!(encoded(&batch), expect);
        let unlimited = ExecuteBatch::new("m", "hi").with_extra("max_tokens", json("9"));
        assert!(encoded(&unlimited).ends_with(r#""content":"hi"}],"max_tokens":9}"#));
    }

    #[test]
    fn the_output_config_of_the_caller_is_kept_beside_ours() {
        let config = json(r#"{"effort":"low","task_budget":{"total": 5}}"#);
        let batch = ExecuteBatch::new("claude-opus-5", "hi").with_extra("output_config", config);
        assert!(encoded(&batch).ends_with(r#""output_config":{"effort":"low","task_budget":{"total": 5}}}"#));
        let merged = encoded(&batch.clone().with_reasoning_effort("high"));
        assert!(
            merged.contains(r#""output_config":{"effort":"high","task_budget":{"total": 5}}"#),
            "{merged}"
        );
        assert_eq!(merged.matches("output_config").count(), 1);
        let odd = ExecuteBatch::new("claude-opus-5", "hi").with_reasoning_effort("high");
        assert_eq!(refusal(&odd.with_extra("output_config", json("5"))).0, "output_config");
    }

    #[test]
    fn a_budget_is_a_share_of_whichever_limit_is_sent() {
        let batch = ExecuteBatch::new("claude-sonnet-4-5", "hi").with_reasoning_effort("medium");
        let budget = |tokens: u32| format!(r#""thinking":{{"type":"enabled","budget_tokens":{tokens}}}"#);
        assert!(encoded(&batch).contains(&budget(2048)));
        assert!(encoded(&batch.clone().with_extra("max_tokens", json("10000"))).contains(&budget(5000)));
        assert_eq!(refusal(&batch.with_max_output_tokens(1000)).0, "reasoning_effort");
    }

    #[test]
    fn received_messages_are_copied_byte_for_byte_with_their_instructions_beside_them() {
        let messages = "[ {\"role\":\"user\", \"content\":[ ], \"odd\": 1.0} ]";
        let mut batch = ExecuteBatch::new("m", "").with_extra("system", json("\"rules\""));
        batch.messages = received(messages);
        let expect = format!(r#"{{"model":"m","max_tokens":4096,"messages":{messages},"system":"rules"}}"#);
        assert_eq!(encoded(&batch), expect);
        for bad in ["", "{}", "[", "[ ]", "[] []"] {
            batch.messages = received(bad);
            assert_eq!(refusal(&batch).0, "messages", "{bad}");
        }
    }

    #[test]
    fn messages_received_in_another_format_are_converted() {
        let mut batch = ExecuteBatch::new("m", "");
        let chat = infer_core::WireFormat::CHAT_COMPLETIONS;
        batch.messages = Messages::raw(chat, Bytes::from_static(b"[]"), |_| Ok(vec![Message::user("read")]));
        assert!(encoded(&batch).contains(r#""messages":[{"role":"user","content":"read"}]"#));
    }

    #[test]
    fn a_request_without_anything_to_answer_is_refused_by_name() {
        let silent = [Message::system("rules"), Message::user(""), Message::assistant("")];
        for batch in [ExecuteBatch::new("m", vec![]), ExecuteBatch::new("m", silent)] {
            assert_eq!(refusal(&batch).0, "messages");
        }
    }

    #[test]
    fn formats_and_tiers_the_upstream_has_no_word_for_are_refused_with_the_way_out() {
        let batch = || ExecuteBatch::new("m", "hi");
        let mut bare = JsonSchema::new("s", json("{}"));
        bare.schema = None;
        for format in [ResponseFormat::JsonObject, bare.into()] {
            let (param, text) = refusal(&batch().with_response_format(format));
            assert_eq!(param, "response_format");
            assert!(text.contains("schema"), "{text}");
        }
        assert!(!encoded(&batch().with_response_format(ResponseFormat::Text)).contains("output_config"));
        let (param, text) = refusal(&batch().with_service_tier("flex"));
        assert_eq!(param, "service_tier");
        assert!(text.contains("flex") && text.contains("auto"), "{text}");
        assert!(encoded(&batch().with_service_tier("auto")).contains(r#""service_tier":"auto""#));
    }

    #[test]
    fn a_user_is_named_once() {
        let batch = ExecuteBatch::new("m", "hi").with_metadata("user_id", "a");
        let batch = batch.with_extra("metadata", json(r#"{"user_id":"b"}"#));
        let body = encoded(&batch);
        assert!(body.contains(r#""metadata":{"user_id":"a"}"#) && !body.contains("\"b\""), "{body}");
        assert!(encoded(&batch.with_user("c")).contains(r#""metadata":{"user_id":"c"}"#));
    }

    #[test]
    fn a_large_prompt_fits_into_what_was_reserved_for_it() {
        let text = "a line of usual length, as prompts have them, with an end\n".repeat(1 << 12);
        let batch = ExecuteBatch::new("m", text.clone());
        let gathered =
            Conversation::gather(batch.messages.typed().unwrap(), MessagesDialect::default().late_system);
        let body = encoded(&batch);
        assert!(gathered.unwrap().size() + HEAD >= body.len());
        let read: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(read["messages"][0]["content"], text);
    }
}
