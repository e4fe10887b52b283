//! A request as the client writes it.

use bytes::Bytes;
use infer_core::{
    Content, ExecuteBatch, InferenceError, Message, Messages, Part, ReasoningEffort, ResponseFormat,
    ToolChoice, ToolSpec, WireFormat,
};

use crate::json::Members;
use crate::message::write_messages;
use crate::write::{self, Object};
use crate::{ChatDialect, DeveloperRole};

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
    let mut out = Vec::with_capacity(HEAD + size(&batch.messages));
    let mut object = Object::begin(&mut out);
    object.value("model", &batch.model);
    messages(object.key("messages"), &batch.messages, dialect.developer_role)?;
    let limit = dialect.token_limit_name(&batch.model);
    object.some(limit, batch.max_output_tokens.as_ref());
    sampling(&mut object, batch);
    object.some("reasoning_effort", batch.reasoning_effort.as_ref().map(ReasoningEffort::as_str).as_ref());
    if !batch.tools.is_empty() {
        write::list(object.key("tools"), &batch.tools, tool);
    }
    if let Some(choice) = &batch.tool_choice {
        tool_choice(object.key("tool_choice"), choice);
    }
    object.some("parallel_tool_calls", batch.parallel_tool_calls.as_ref());
    if let Some(format) = &batch.response_format {
        response_format(object.key("response_format"), format);
    }
    if !batch.modalities.is_empty() {
        object.value("modalities", &batch.modalities);
    }
    if let Some(text) = &batch.prediction {
        let mut prediction = Object::begin(object.key("prediction"));
        prediction.value("type", "content");
        prediction.value("content", text);
        prediction.end();
    }
    object.some("service_tier", batch.service_tier.as_ref());
    object.some("user", batch.user.as_ref());
    if !batch.metadata.is_empty() {
        object.value("metadata", &batch.metadata);
    }
    if batch.is_streaming() {
        object.value("stream", &true);
        stream_options(&mut object, batch, dialect);
    }
    for (name, value) in batch.extra.iter().filter(|(name, _)| !is_owned(batch, name)) {
        object.raw(name, value.get().as_bytes());
    }
    object.end();
    Ok(out.into())
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

fn messages(out: &mut Vec<u8>, messages: &Messages, developer: DeveloperRole) -> Result<(), InferenceError> {
    match messages.raw_in(WIRE) {
        Some(json) if developer == DeveloperRole::Keep || !mentions_developer(json) => {
            out.extend_from_slice(json);
        }
        _ => write_messages(out, messages.typed()?, developer),
    }
    Ok(())
}

fn mentions_developer(json: &[u8]) -> bool {
    std::str::from_utf8(json).is_ok_and(|json| json.contains("\"developer\""))
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

fn sampling(object: &mut Object<'_>, batch: &ExecuteBatch) {
    let sampling = &batch.sampling;
    object.some("temperature", sampling.temperature.as_ref());
    object.some("top_p", sampling.top_p.as_ref());
    object.some("n", sampling.n.as_ref());
    if !sampling.stop.is_empty() {
        object.value("stop", &sampling.stop);
    }
    object.some("seed", sampling.seed.as_ref());
    object.some("presence_penalty", sampling.presence_penalty.as_ref());
    object.some("frequency_penalty", sampling.frequency_penalty.as_ref());
    if !sampling.logit_bias.is_empty() {
        object.value("logit_bias", &sampling.logit_bias);
    }
    object.some("logprobs", sampling.logprobs.as_ref());
    object.some("top_logprobs", sampling.top_logprobs.as_ref());
}

fn tool(out: &mut Vec<u8>, tool: &ToolSpec) {
    match tool {
        ToolSpec::Function(tool) => {
            let mut object = Object::begin(out);
            object.value("type", "function");
            let mut function = Object::begin(object.key("function"));
            function.value("name", &tool.name);
            function.some("description", tool.description.as_ref());
            function.some("parameters", tool.parameters.as_ref());
            function.some("strict", tool.strict.as_ref());
            function.end();
            object.end();
        }
        ToolSpec::Other(raw) => out.extend_from_slice(raw.get().as_bytes()),
        _ => out.extend_from_slice(b"{}"),
    }
}

fn tool_choice(out: &mut Vec<u8>, choice: &ToolChoice) {
    match choice {
        ToolChoice::None => write::value(out, "none"),
        ToolChoice::Required => write::value(out, "required"),
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
    let sampling = &batch.sampling;
    match name {
        "model" | "messages" | "stream" => true,
        "stream_options" => batch.is_streaming(),
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
