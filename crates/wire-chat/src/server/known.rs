//! The tools, choices and formats that have a name here.
//!
//! Typed only where the value has these members and no others, none of them `null`: anything else keeps its text.

use infer_core::{FunctionTool, InferenceError, JsonSchema, ResponseFormat, ToolChoice, ToolSpec};
use serde_json::value::RawValue;

use super::members::{Fit, Read};
use crate::json::{Members, string};
use crate::request::refused;

/// One of `tools`.
pub(super) fn tool(raw: &RawValue) -> Result<ToolSpec, InferenceError> {
    if !raw.get().starts_with('{') {
        return Err(refused("tools", "must be a list of objects"));
    }
    Ok(function_tool(raw).map_or_else(|| ToolSpec::Other(raw.into()), ToolSpec::Function))
}

pub(super) fn tool_choice(name: &str, raw: &RawValue) -> Result<Option<ToolChoice>, InferenceError> {
    let choice = match raw.get() {
        "null" => return Ok(None),
        "\"auto\"" => ToolChoice::Auto,
        "\"none\"" => ToolChoice::None,
        "\"required\"" => ToolChoice::Required,
        text if text.starts_with(['{', '"']) => {
            function_name(raw).map_or_else(|| ToolChoice::Other(raw.into()), ToolChoice::Function)
        }
        _ => return Err(refused(name, "must be text or an object")),
    };
    Ok(Some(choice))
}

pub(super) fn response_format(name: &str, raw: &RawValue) -> Result<Option<ResponseFormat>, InferenceError> {
    match raw.get() {
        "null" => Ok(None),
        text if text.starts_with('{') => {
            Ok(Some(known_format(raw).unwrap_or_else(|| ResponseFormat::Other(raw.into()))))
        }
        _ => Err(refused(name, "must be an object")),
    }
}

pub(super) fn prediction(name: &str, raw: &RawValue) -> Read<String> {
    match raw.get() {
        "null" => Ok(None),
        text if text.starts_with('{') => {
            let content = || {
                let members = of_type(raw, "content", &["content"])?;
                string(members.get("content")?)
            };
            Ok(Some(content().map_or(Fit::Other, Fit::Typed)))
        }
        _ => Err(refused(name, "must be an object")),
    }
}

fn function_tool(raw: &RawValue) -> Option<FunctionTool> {
    let outer = of_type(raw, "function", &["function"])?;
    let inner = only(outer.get("function")?, &["name", "description", "parameters", "strict"])?;
    let mut tool = FunctionTool::new(string(inner.get("name")?)?);
    tool.description = optional(inner.get("description"), string).ok()?;
    tool.parameters = optional(inner.get("parameters"), |raw| Some(raw.into())).ok()?;
    tool.strict = optional(inner.get("strict"), flag).ok()?;
    Some(tool)
}

fn function_name(raw: &RawValue) -> Option<String> {
    let outer = of_type(raw, "function", &["function"])?;
    string(only(outer.get("function")?, &["name"])?.get("name")?)
}

fn known_format(raw: &RawValue) -> Option<ResponseFormat> {
    if of_type(raw, "text", &[]).is_some() {
        return Some(ResponseFormat::Text);
    }
    if of_type(raw, "json_object", &[]).is_some() {
        return Some(ResponseFormat::JsonObject);
    }
    let outer = of_type(raw, "json_schema", &["json_schema"])?;
    let inner = only(outer.get("json_schema")?, &["name", "description", "schema", "strict"])?;
    let name = string(inner.get("name")?)?;
    let mut schema = JsonSchema::new(name, serde_json::Value::Null);
    schema.description = optional(inner.get("description"), string).ok()?;
    schema.schema = optional(inner.get("schema"), |raw| Some(raw.into())).ok()?;
    schema.strict = optional(inner.get("strict"), flag).ok()?;
    Some(ResponseFormat::JsonSchema(schema))
}

fn flag(raw: &RawValue) -> Option<bool> {
    raw.get().parse().ok()
}

/// The members of an object whose `type` is `kind`, if it has none beside these.
fn of_type<'a>(raw: &'a RawValue, kind: &str, names: &[&str]) -> Option<Members<'a>> {
    let members: Members<'a> = serde_json::from_str(raw.get()).ok()?;
    let is_kind = members.get("type").and_then(string).as_deref() == Some(kind);
    let is_known = |name: &str| name == "type" || names.contains(&name);
    (is_kind && !members.is_cut && members.list.iter().all(|(name, _)| is_known(name))).then_some(members)
}

/// The members of an object, if it has none beside these.
fn only<'a>(raw: &'a RawValue, names: &[&str]) -> Option<Members<'a>> {
    let members: Members<'a> = serde_json::from_str(raw.get()).ok()?;
    let is_known = |name: &str| names.contains(&name);
    (!members.is_cut && members.list.iter().all(|(name, _)| is_known(name))).then_some(members)
}

/// Something in it has no place in the typed value.
struct Unusual;

/// A member that may be absent, but not `null` nor of another type.
fn optional<T>(
    raw: Option<&RawValue>,
    read: impl FnOnce(&RawValue) -> Option<T>,
) -> Result<Option<T>, Unusual> {
    match raw {
        None => Ok(None),
        Some(raw) if raw.get() == "null" => Err(Unusual),
        Some(raw) => read(raw).map(Some).ok_or(Unusual),
    }
}
