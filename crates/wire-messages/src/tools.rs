//! Tools and the choice among them, as the client writes them.

use infer_core::{ExecuteBatch, InferenceError, RawJson, ToolChoice, ToolSpec};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::refusal::refused;

/// One tool.
pub(crate) struct Tool<'a>(pub(crate) &'a ToolSpec);

impl Serialize for Tool<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ToolSpec::Function(tool) => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("name", &tool.name)?;
                if let Some(description) = &tool.description {
                    map.serialize_entry("description", description)?;
                }
                match &tool.parameters {
                    Some(schema) if schema.as_raw().get() != RawValue::NULL.get() => {
                        map.serialize_entry("input_schema", schema)?;
                    }
                    // The member is required, also for a tool without arguments.
                    _ => map.serialize_entry("input_schema", &NoArguments { r#type: "object" })?,
                }
                if let Some(strict) = tool.strict {
                    map.serialize_entry("strict", &strict)?;
                }
                for (name, value) in tool.extra.iter().filter(|(name, _)| !OWN.contains(name)) {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
            ToolSpec::Other(raw) => raw.serialize(serializer),
            _ => serializer.serialize_unit(),
        }
    }
}

/// The members of a tool that have a field.
const OWN: [&str; 4] = ["name", "description", "input_schema", "strict"];

#[derive(Serialize)]
struct NoArguments {
    r#type: &'static str,
}

/// The member `tool_choice`.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Choice<'a> {
    Raw(&'a RawJson),
    Known(Known<'a>),
}

#[derive(Serialize)]
pub(crate) struct Known<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disable_parallel_tool_use: Option<bool>,
}

/// The choice `batch` asks for. Whether several calls may come at once is a part of it here.
pub(crate) fn choice(batch: &ExecuteBatch) -> Result<Option<Choice<'_>>, InferenceError> {
    let one_at_a_time = (batch.parallel_tool_calls == Some(false)).then_some(true);
    let known =
        |kind, name| Choice::Known(Known { r#type: kind, name, disable_parallel_tool_use: one_at_a_time });
    Ok(Some(match &batch.tool_choice {
        Some(ToolChoice::Auto) => known("auto", None),
        Some(ToolChoice::Required) => known("any", None),
        Some(ToolChoice::Function(name)) => known("tool", Some(name)),
        Some(ToolChoice::None) => {
            Choice::Known(Known { r#type: "none", name: None, disable_parallel_tool_use: None })
        }
        Some(ToolChoice::Other(_)) if one_at_a_time.is_some() => {
            let why = "write `disable_parallel_tool_use` into the tool choice, which is given as it is sent";
            return Err(refused("parallel_tool_calls", why));
        }
        Some(ToolChoice::Other(raw)) => Choice::Raw(raw),
        None if one_at_a_time.is_some() && !batch.tools.is_empty() => known("auto", None),
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use infer_core::FunctionTool;

    fn json(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    fn written(batch: &ExecuteBatch) -> String {
        choice(batch).unwrap().map_or("absent".to_owned(), |choice| json(&choice))
    }

    #[test]
    fn a_tool_without_arguments_still_has_a_schema() {
        let mut bare = FunctionTool::new("now");
        assert_eq!(
            json(&Tool(&ToolSpec::Function(bare.clone()))),
            r#"{"name":"now","input_schema":{"type":"object"}}"#
        );
        bare.parameters = Some(RawJson::parse("null").unwrap());
        bare.strict = Some(true);
        let expect = r#"{"name":"now","input_schema":{"type":"object"},"strict":true}"#;
        assert_eq!(json(&Tool(&ToolSpec::Function(bare))), expect);
    }

    #[test]
    fn a_tool_of_the_upstreams_own_is_written_as_it_was_given() {
        let raw =
            r#"{"type": "web_search_20250305", "name":"web_search","cache_control":{"type":"ephemeral"}}"#;
        assert_eq!(json(&Tool(&ToolSpec::Other(RawJson::parse(raw).unwrap()))), raw);
    }

    #[test]
    fn the_choice_and_the_wish_for_single_calls_are_one_member() {
        let batch = ExecuteBatch::new("m", "hi").with_tools([ToolSpec::Function(FunctionTool::new("f"))]);
        let with = |choice| batch.clone().with_tool_choice(choice);
        assert_eq!(written(&batch), "absent");
        assert_eq!(written(&with(ToolChoice::Auto)), r#"{"type":"auto"}"#);
        assert_eq!(written(&with(ToolChoice::Required)), r#"{"type":"any"}"#);
        assert_eq!(written(&with(ToolChoice::Function("f".into()))), r#"{"type":"tool","name":"f"}"#);
        assert_eq!(written(&with(ToolChoice::None).with_parallel_tool_calls(false)), r#"{"type":"none"}"#);
        let single = r#"{"type":"auto","disable_parallel_tool_use":true}"#;
        assert_eq!(written(&batch.clone().with_parallel_tool_calls(false)), single);
        assert_eq!(written(&batch.clone().with_parallel_tool_calls(true)), "absent");
        assert_eq!(written(&ExecuteBatch::new("m", "hi").with_parallel_tool_calls(false)), "absent");
        let raw = with(ToolChoice::Other(RawJson::parse(r#"{"type": "any"}"#).unwrap()));
        assert_eq!(written(&raw), r#"{"type": "any"}"#);
        assert!(choice(&raw.with_parallel_tool_calls(false)).is_err());
    }
}
