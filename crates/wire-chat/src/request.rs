//! A request as the client writes it.

use bytes::Bytes;
use infer_core::{
    Content, ExecuteBatch, InferenceError, Message, Messages, Part, ReasoningEffort, ResponseFormat,
    ToolChoice, ToolSpec, WireFormat,
};
use serde::Serialize;

use crate::foreign;
use crate::json::Members;
use crate::message::write_messages;
use crate::outline::{Outline, check_images};
use crate::style::Style;
use crate::write::{self, Object};
use crate::{ChatDialect, LogprobsForm};

const WIRE: WireFormat = WireFormat::CHAT_COMPLETIONS;
/// What a request has beside its messages, more or less.
const HEAD: usize = 512;

/// A refusal that names the member.
pub(crate) fn refused(param: &str, why: &str) -> InferenceError {
    let mut error = InferenceError::invalid_request(format!("{param}: {why}"));
    if let Some(at) = error.origin_mut() {
        at.param = Some(param.to_owned());
    }
    error
}

/// Writes the body in one pass. Absent members are left out: many servers misread `null`.
pub(crate) fn write_request(batch: &ExecuteBatch, dialect: &ChatDialect) -> Result<Bytes, InferenceError> {
    check(batch)?;
    foreign::check(batch, dialect)?;
    let outline = Outline::of(batch, dialect)?;
    let mut out = Vec::with_capacity(HEAD + size(&batch.messages));
    let mut body = Body { object: Object::begin(&mut out), outline: &outline };
    body.object.value("model", &batch.model);
    messages(body.object.key("messages"), &batch.messages, dialect)?;
    body.some(dialect.token_limit_name(&batch.model), batch.max_output_tokens.as_ref());
    sampling(&mut body, batch, dialect);
    body.some("reasoning_effort", batch.reasoning_effort.as_ref().map(ReasoningEffort::as_str).as_ref());
    tools(&mut body, batch, dialect);
    body.with("response_format", batch.response_format.as_ref(), response_format);
    body.some("modalities", Some(&batch.modalities).filter(|kinds| !kinds.is_empty()));
    body.with("prediction", batch.prediction.as_ref(), |out, text| {
        let mut prediction = Object::begin(out);
        prediction.value("type", "content");
        prediction.value("content", text);
        prediction.end();
    });
    body.some("service_tier", batch.service_tier.as_ref());
    body.some("user", batch.user.as_ref());
    body.some("metadata", Some(&batch.metadata).filter(|labels| !labels.is_empty()));
    if batch.is_streaming() && outline.writes("stream") {
        body.object.value("stream", &true);
        if outline.writes("stream_options") {
            stream_options(&mut body.object, batch, dialect);
        }
    }
    for (name, value) in batch.extra.iter() {
        let is_left_out = is_owned(batch, name) || foreign::leaves_out(batch, dialect, name);
        if !is_left_out && !outline.is_said_again(batch, name) {
            body.with(name, Some(value), |out, value| out.extend_from_slice(value.get().as_bytes()));
        }
    }
    for (name, value) in dialect.extra.iter().filter(|(_, value)| !value.is_null()) {
        let is_given = batch.extra.get(name).is_some() && !foreign::leaves_out(batch, dialect, name);
        if !is_owned(batch, name) && !is_given {
            body.object.value(name, value);
        }
    }
    body.object.end();
    Ok(out.into())
}

/// The members of a request, as far as the dialect writes them and by its names.
struct Body<'a> {
    object: Object<'a>,
    outline: &'a Outline<'a>,
}

impl Body<'_> {
    fn some<T: Serialize>(&mut self, name: &str, member: Option<&T>) {
        self.with(name, member, write::value);
    }

    fn with<T>(&mut self, name: &str, member: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
        if let Some(member) = member.filter(|_| self.outline.writes(name)) {
            write(self.object.key(self.outline.name(name)), member);
        }
    }
}

fn check(batch: &ExecuteBatch) -> Result<(), InferenceError> {
    let numbers = [
        ("temperature", batch.sampling.temperature),
        ("top_p", batch.sampling.top_p),
        ("presence_penalty", batch.sampling.presence_penalty),
        ("frequency_penalty", batch.sampling.frequency_penalty),
    ];
    for (name, number) in numbers {
        if number.is_some_and(|number| !number.is_finite()) {
            return Err(refused(name, "must be a finite number"));
        }
    }
    let says_nothing = match &batch.messages {
        Messages::Typed(messages) => messages.iter().all(is_empty),
        // Unread, so only a list without messages is seen here.
        raw => raw.raw_in(WIRE).is_some_and(|json| is_empty_list(json)),
    };
    if says_nothing {
        return Err(refused("messages", "there is nothing to answer; add a message with some content"));
    }
    Ok(())
}

fn is_empty(message: &Message) -> bool {
    let is_silent = match &message.content {
        Content::Empty => true,
        Content::Text(text) => text.is_empty(),
        Content::Parts(parts) => parts.iter().all(|part| matches!(part, Part::Text(text) if text.is_empty())),
        _ => false,
    };
    is_silent && message.tool_calls.is_empty()
}

/// Whether `json`, known to be a list, has nothing in it.
pub(crate) fn is_empty_list(json: &[u8]) -> bool {
    let mut rest = json.iter().filter(|byte| !byte.is_ascii_whitespace());
    (rest.next(), rest.next()) == (Some(&b'['), Some(&b']'))
}

fn messages(out: &mut Vec<u8>, messages: &Messages, dialect: &ChatDialect) -> Result<(), InferenceError> {
    let style = Style::of(dialect);
    match messages.raw_in(WIRE) {
        Some(json) if !style.changes(json) => out.extend_from_slice(json),
        _ => {
            let typed = messages.typed()?;
            check_images(typed, dialect)?;
            write_messages(out, typed, style);
        }
    }
    Ok(())
}

/// About how long the messages will be, so that a large prompt is written once and not moved.
fn size(messages: &Messages) -> usize {
    match messages {
        Messages::Typed(messages) => messages.iter().map(|message| 64 + content_size(&message.content)).sum(),
        raw => raw.raw_in(WIRE).map_or(0, Bytes::len),
    }
}

fn content_size(content: &Content) -> usize {
    use infer_core::{FileSource, MediaSource};
    let escaped = |text: &str| text.len() + text.len() / 16;
    let part = |part: &Part| match part {
        Part::Text(text) | Part::Refusal(text) => escaped(text),
        Part::Image { source: MediaSource::Base64 { data, .. } | MediaSource::Url(data), .. }
        | Part::Audio { data, .. }
        | Part::File(FileSource::Data { data, .. }) => data.len(),
        Part::Other(raw) => raw.get().len(),
        _ => 0,
    };
    match content {
        Content::Text(text) => escaped(text),
        Content::Parts(parts) => parts.iter().map(|each| 64 + part(each)).sum(),
        _ => 0,
    }
}

fn sampling(body: &mut Body<'_>, batch: &ExecuteBatch, dialect: &ChatDialect) {
    let sampling = &batch.sampling;
    body.some("temperature", sampling.temperature.as_ref());
    body.some("top_p", sampling.top_p.as_ref());
    body.some("n", sampling.n.as_ref());
    body.some("stop", Some(&sampling.stop).filter(|stop| !stop.is_empty()));
    body.some("seed", sampling.seed.as_ref());
    body.some("presence_penalty", sampling.presence_penalty.as_ref());
    body.some("frequency_penalty", sampling.frequency_penalty.as_ref());
    body.some("logit_bias", Some(&sampling.logit_bias).filter(|bias| !bias.is_empty()));
    if dialect.logprobs == LogprobsForm::Count {
        // 0 would say no.
        let count = sampling.top_logprobs.unwrap_or_default().max(1);
        return body.some("logprobs", sampling.logprobs.filter(|wanted| *wanted).map(|_| count).as_ref());
    }
    body.some("logprobs", sampling.logprobs.as_ref());
    body.some("top_logprobs", sampling.top_logprobs.as_ref());
}

fn tools(body: &mut Body<'_>, batch: &ExecuteBatch, dialect: &ChatDialect) {
    let with_strict = body.outline.writes("tools.strict");
    body.with("tools", Some(&batch.tools).filter(|tools| !tools.is_empty()), |out, tools| {
        write::list(out, tools, |out, each| tool(out, each, with_strict));
    });
    body.with("tool_choice", batch.tool_choice.as_ref(), |out, choice| {
        tool_choice(out, choice, dialect.required_word.as_deref().unwrap_or("required"));
    });
    body.some("parallel_tool_calls", batch.parallel_tool_calls.as_ref());
}

fn tool(out: &mut Vec<u8>, tool: &ToolSpec, with_strict: bool) {
    match tool {
        ToolSpec::Function(tool) => {
            let mut object = Object::begin(out);
            object.value("type", "function");
            let mut function = Object::begin(object.key("function"));
            function.value("name", &tool.name);
            function.some("description", tool.description.as_ref());
            function.some("parameters", tool.parameters.as_ref());
            function.some("strict", tool.strict.filter(|_| with_strict).as_ref());
            function.end();
            for (name, value) in tool.extra.iter().filter(|_| !tool.extra.is_foreign_to(WIRE)) {
                object.raw(name, value.get().as_bytes());
            }
            object.end();
        }
        ToolSpec::Other(raw) => out.extend_from_slice(raw.get().as_bytes()),
        _ => out.extend_from_slice(b"{}"),
    }
}

fn tool_choice(out: &mut Vec<u8>, choice: &ToolChoice, required: &str) {
    match choice {
        ToolChoice::None => write::value(out, "none"),
        ToolChoice::Required => write::value(out, required),
        ToolChoice::Function(name) => {
            let mut object = Object::begin(out);
            object.value("type", "function");
            let mut function = Object::begin(object.key("function"));
            function.value("name", name);
            function.end();
            object.end();
        }
        ToolChoice::Other(raw) => out.extend_from_slice(raw.get().as_bytes()),
        _ => write::value(out, "auto"),
    }
}

fn response_format(out: &mut Vec<u8>, format: &ResponseFormat) {
    if let ResponseFormat::Other(raw) = format {
        return out.extend_from_slice(raw.get().as_bytes());
    }
    let mut object = Object::begin(out);
    match format {
        ResponseFormat::JsonObject => object.value("type", "json_object"),
        ResponseFormat::JsonSchema(schema) => {
            object.value("type", "json_schema");
            let mut inner = Object::begin(object.key("json_schema"));
            inner.value("name", &schema.name);
            inner.some("description", schema.description.as_ref());
            inner.some("schema", schema.schema.as_ref());
            inner.some("strict", schema.strict.as_ref());
            inner.end();
        }
        _ => object.value("type", "text"),
    }
    object.end();
}

/// What the caller asks for stands; the counts are added when the dialect wants them and the caller says nothing.
fn stream_options(object: &mut Object<'_>, batch: &ExecuteBatch, dialect: &ChatDialect) {
    let given = batch.extra.get("stream_options");
    let members = given.and_then(|raw| serde_json::from_str::<Members<'_>>(raw.get()).ok());
    let Some(Members { list, is_cut: false }) = members else {
        match given {
            Some(raw) => object.raw("stream_options", raw.get().as_bytes()),
            None if dialect.stream_usage => object.raw("stream_options", br#"{"include_usage":true}"#),
            None => {}
        }
        return;
    };
    let mut options = Object::begin(object.key("stream_options"));
    if dialect.stream_usage && !list.iter().any(|(name, _)| name == "include_usage") {
        options.value("include_usage", &true);
    }
    for (name, value) in &list {
        options.raw(name, value.get().as_bytes());
    }
    options.end();
}

/// Whether the batch itself says this member, so that an extra one must not.
fn is_owned(batch: &ExecuteBatch, name: &str) -> bool {
    match name {
        "model" | "messages" | "stream" => true,
        "stream_options" => batch.is_streaming(),
        _ => has(batch, name),
    }
}

/// Whether the batch has a value for this member.
pub(crate) fn has(batch: &ExecuteBatch, name: &str) -> bool {
    let sampling = &batch.sampling;
    match name {
        // Two names of one limit.
        "max_tokens" | "max_completion_tokens" => batch.max_output_tokens.is_some(),
        "temperature" => sampling.temperature.is_some(),
        "top_p" => sampling.top_p.is_some(),
        "n" => sampling.n.is_some(),
        "stop" => !sampling.stop.is_empty(),
        "seed" => sampling.seed.is_some(),
        "presence_penalty" => sampling.presence_penalty.is_some(),
        "frequency_penalty" => sampling.frequency_penalty.is_some(),
        "logit_bias" => !sampling.logit_bias.is_empty(),
        "logprobs" => sampling.logprobs.is_some(),
        "top_logprobs" => sampling.top_logprobs.is_some(),
        "reasoning_effort" => batch.reasoning_effort.is_some(),
        "tools" => !batch.tools.is_empty(),
        "tool_choice" => batch.tool_choice.is_some(),
        "parallel_tool_calls" => batch.parallel_tool_calls.is_some(),
        "response_format" => batch.response_format.is_some(),
        "modalities" => !batch.modalities.is_empty(),
        "prediction" => batch.prediction.is_some(),
        "service_tier" => batch.service_tier.is_some(),
        "user" => batch.user.is_some(),
        "metadata" => !batch.metadata.is_empty(),
        _ => false,
    }
}
