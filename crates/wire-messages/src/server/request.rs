//! A request as a server receives it.

use bytes::Bytes;
use infer_core::{ExecuteBatch, Extra, InferenceError, Messages, RawJson, RunMode};
use serde_json::value::RawValue;

use super::conversation::{read_instructions, read_messages};
use super::known::{output_config, response_format, tool, tool_choice, wish};
use super::members::{Fit, body_members, decimal, flag, integer, list, member, members, text, texts};
use crate::MESSAGES;
use crate::json::{Members, string};
use crate::refusal::refused;

/// A request as received.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MessagesRequest {
    /// What is asked.
    pub batch: ExecuteBatch,
}

/// Reads a request, one level deep.
///
/// Messages and `system` stay slices of `body`; they are read when [`Messages::typed`] is asked, `system` first. Members
/// are typed where that loses nothing, otherwise they keep their text: in the `extra` or `Other` of tools, in the `Other`
/// of tool choice and format, or in `extra`, where unknown members go too. `thinking` that an effort cannot say whole
/// stands in both: there for upstreams of this format, as `reasoning_effort` for others. `null` stands for an absent member.
///
/// # Errors
/// [`InferenceError::InvalidRequest`] that names the member in `param` and says what is expected.
pub fn read_request(body: &Bytes) -> Result<MessagesRequest, InferenceError> {
    let mut reader = Reader::default();
    for (name, raw) in body_members(body)?.0 {
        let was_read = reader.member(&name, raw, body)?;
        if !was_read && raw.get() != "null" {
            reader.batch.extra.set(name, raw.into());
        }
    }
    reader.finish()
}

struct Reader<'a> {
    batch: ExecuteBatch,
    model: Option<String>,
    messages: Option<Messages>,
    system: Option<Bytes>,
    thinking: Option<&'a RawValue>,
    output_config: Members<'a>,
    has_limit: bool,
}

impl Default for Reader<'_> {
    fn default() -> Self {
        let mut batch = ExecuteBatch::new(String::new(), Vec::new());
        batch.extra = Extra::received(MESSAGES);
        Self {
            batch,
            model: None,
            messages: None,
            system: None,
            thinking: None,
            output_config: Members::default(),
            has_limit: false,
        }
    }
}

impl<'a> Reader<'a> {
    /// Takes a member; false when it is for `extra`.
    fn member(&mut self, name: &str, raw: &'a RawValue, body: &Bytes) -> Result<bool, InferenceError> {
        let batch = &mut self.batch;
        match name {
            "model" => self.model = text(name, raw)?,
            "messages" => self.messages = messages(raw, body)?,
            "system" => self.system = system(raw, body)?,
            "max_tokens" => {
                let limit = integer(name, raw)?;
                self.has_limit = limit.is_some();
                return Ok(put(limit, |it| batch.max_output_tokens = Some(it)));
            }
            "stream" => {
                batch.mode = match flag(name, raw)? {
                    Some(true) => RunMode::Streaming,
                    _ => RunMode::Collected,
                };
            }
            "temperature" => return Ok(put(decimal(name, raw)?, |it| batch.sampling.temperature = Some(it))),
            "top_p" => return Ok(put(decimal(name, raw)?, |it| batch.sampling.top_p = Some(it))),
            "stop_sequences" => batch.sampling.stop = texts(name, raw)?,
            "tools" if raw.get() == "null" => {}
            "tools" => {
                let tools = list(name, raw)?.into_iter().enumerate();
                batch.tools = tools.map(|(place, raw)| tool(raw, place)).collect::<Result<_, _>>()?;
            }
            "tool_choice" => (batch.tool_choice, batch.parallel_tool_calls) = tool_choice(raw)?,
            "thinking" => self.thinking = Some(raw).filter(|raw| raw.get() != "null"),
            "output_config" => self.output_config = output_config(raw)?,
            "metadata" if raw.get() == "null" => {}
            "metadata" => {
                let labels = members(name, raw)?;
                let only = labels.0.len() == 1;
                batch.user = member(&labels, "user_id").and_then(string).filter(|_| only).map(Into::into);
                return Ok(batch.user.is_some());
            }
            "service_tier" => {
                // The other way round as the client writes it.
                let tier = text(name, raw)?;
                batch.service_tier =
                    tier.map(|tier| if tier == "standard_only" { "default".to_owned() } else { tier });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(mut self) -> Result<MessagesRequest, InferenceError> {
        let mut batch = self.batch;
        batch.model = self.model.ok_or_else(|| refused("model", "is missing"))?;
        batch.messages = self.messages.ok_or_else(|| refused("messages", "is missing"))?;
        if let Some(system) = self.system {
            batch.messages = batch.messages.with_instructions(system, read_instructions);
        }
        if !self.has_limit {
            return Err(refused("max_tokens", "is missing"));
        }
        let config = &mut self.output_config.0;
        if let Some(format) = take(config, "format") {
            batch.response_format = Some(response_format(format));
        }
        let effort = take(config, "effort");
        let wish = wish(self.thinking, effort, batch.max_output_tokens)?;
        batch.reasoning_effort = wish.effort;
        if !wish.is_all {
            config.extend(effort.map(|effort| ("effort".into(), effort)));
            if let Some(thinking) = self.thinking {
                batch.extra.set("thinking", thinking.into());
            }
        }
        if !config.is_empty() {
            let config = RawJson::from_value(&self.output_config)
                .map_err(|_| refused("output_config", "cannot be read"))?;
            batch.extra.set("output_config", config);
        }
        Ok(MessagesRequest { batch })
    }
}

/// Takes every member of this name out and gives the last, `null` being absent.
fn take<'a>(
    members: &mut Vec<(std::borrow::Cow<'a, str>, &'a RawValue)>,
    name: &str,
) -> Option<&'a RawValue> {
    let taken = members.extract_if(.., |(known, _)| known == name).last();
    taken.map(|(_, raw)| raw).filter(|raw| raw.get() != "null")
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
    let inside = json.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or_default();
    if inside.trim_ascii().is_empty() {
        return Err(refused("messages", "must have at least one message"));
    }
    let slice = body.slice_ref(json.as_bytes());
    Ok(Some(Messages::raw(MESSAGES, slice, read_messages)))
}

fn system(raw: &RawValue, body: &Bytes) -> Result<Option<Bytes>, InferenceError> {
    match raw.get() {
        "null" => Ok(None),
        json if json.starts_with(['"', '[']) => Ok(Some(body.slice_ref(json.as_bytes()))),
        _ => Err(refused("system", "must be text or a list of blocks")),
    }
}
