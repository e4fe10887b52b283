//! The tools, choices, formats and wishes for reasoning that have a name here.
//!
//! Typed only where that loses nothing: anything else keeps its text.

use infer_core::{
    Extra, FunctionTool, InferenceError, JsonSchema, RawJson, ReasoningEffort, ResponseFormat, ToolChoice,
    ToolSpec,
};
use serde_json::value::RawValue;

use super::members::{member, members};
use crate::MESSAGES;
use crate::json::{Members, string};
use crate::refusal::refused;

/// The name of a schema, which this format has none for and others want one for.
const SCHEMA_NAME: &str = "answer";

/// One of `tools`: a function of the caller's, or one that Anthropic runs or defines, which keeps its text.
pub(super) fn tool(raw: &RawValue, place: usize) -> Result<ToolSpec, InferenceError> {
    let members = members(&format!("tools[{place}]"), raw)?;
    Ok(function_tool(&members).map_or_else(|| ToolSpec::Other(raw.into()), ToolSpec::Function))
}

fn function_tool(members: &Members<'_>) -> Option<FunctionTool> {
    let is_own = |raw: &RawValue| string(raw).as_deref() == Some("custom");
    if !member(members, "type").is_none_or(is_own) {
        return None;
    }
    let mut tool = FunctionTool::new(string(member(members, "name")?)?);
    tool.extra = Extra::received(MESSAGES);
    for (name, raw) in members.0.iter().filter(|(_, raw)| raw.get() != "null") {
        match &**name {
            "type" | "name" => {}
            "description" => tool.description = Some(string(raw)?.into_owned()),
            "input_schema" => tool.parameters = Some(RawJson::from(*raw)).filter(is_object),
            "strict" => tool.strict = Some(raw.get().parse().ok()?),
            _ => tool.extra.set(&**name, RawJson::from(*raw)),
        }
    }
    tool.parameters.is_some().then_some(tool)
}

fn is_object(raw: &RawJson) -> bool {
    raw.get().starts_with('{')
}

/// The choice, and whether several calls may come at once.
pub(super) fn tool_choice(raw: &RawValue) -> Result<(Option<ToolChoice>, Option<bool>), InferenceError> {
    if raw.get() == "null" {
        return Ok((None, None));
    }
    let members = members("tool_choice", raw)?;
    let known = known_choice(&members);
    let single = member(&members, "disable_parallel_tool_use").is_some_and(|raw| raw.get() == "true");
    Ok(match known {
        Some(choice) => (Some(choice), single.then_some(false)),
        None => (Some(ToolChoice::Other(raw.into())), None),
    })
}

fn known_choice(members: &Members<'_>) -> Option<ToolChoice> {
    let is_known = |name: &str| matches!(name, "type" | "name" | "disable_parallel_tool_use");
    let is_flag = |raw: &RawValue| matches!(raw.get(), "true" | "false");
    let has_known = members.0.iter().all(|(name, _)| is_known(name))
        && member(members, "disable_parallel_tool_use").is_none_or(is_flag);
    let name = member(members, "name").map(string);
    match (&*string(member(members, "type")?)?, name) {
        _ if !has_known => None,
        ("auto", None) => Some(ToolChoice::Auto),
        ("any", None) => Some(ToolChoice::Required),
        ("none", None) => Some(ToolChoice::None),
        ("tool", Some(Some(name))) => Some(ToolChoice::Function(name.into_owned())),
        _ => None,
    }
}

/// The member `format` of `output_config`. What it says the upstream holds the model to always.
pub(super) fn response_format(raw: &RawValue) -> ResponseFormat {
    let known = || {
        let members: Members<'_> = serde_json::from_str(raw.get()).ok()?;
        let is_known = members.0.iter().all(|(name, _)| matches!(&**name, "type" | "schema"));
        let is_schema = string(member(&members, "type")?)? == "json_schema";
        let schema = RawJson::from(member(&members, "schema")?);
        (is_known && is_schema && is_object(&schema)).then_some(JsonSchema::new(SCHEMA_NAME, schema).strict())
    };
    known().map_or_else(|| ResponseFormat::Other(raw.into()), ResponseFormat::JsonSchema)
}

/// A wish for reasoning, as far as a batch can say it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Wish {
    pub(super) effort: Option<ReasoningEffort>,
    /// Whether the effort says all of it, so that `thinking` and the word beside it need not be kept.
    pub(super) is_all: bool,
}

/// Reads `thinking`, and the `effort` beside it in `output_config`.
pub(super) fn wish(
    thinking: Option<&RawValue>,
    effort: Option<&RawValue>,
    max_tokens: Option<u32>,
) -> Result<Wish, InferenceError> {
    let word = effort.and_then(string);
    let Some(raw) = thinking else {
        return Ok(Wish { effort: word.as_deref().map(Into::into), is_all: false });
    };
    let members = members("thinking", raw)?;
    let is_bare = members.0.len() == 1;
    let kind = member(&members, "type").and_then(string);
    Ok(match (kind.as_deref(), word.as_deref()) {
        (Some("disabled"), _) => {
            Wish { effort: Some(ReasoningEffort::None), is_all: is_bare && effort.is_none() }
        }
        // Words that the format does not have, and would be written as others.
        (_, Some(word @ ("none" | "minimal"))) => Wish { effort: Some(word.into()), is_all: false },
        (kind, Some(word)) => Wish { effort: Some(word.into()), is_all: is_bare && kind == Some("adaptive") },
        (Some("enabled"), None) => {
            let budget = member(&members, "budget_tokens").and_then(|raw| raw.get().parse().ok());
            Wish { effort: budget.map(|budget| share(budget, max_tokens)), is_all: false }
        }
        _ => Wish::default(),
    })
}

/// A budget as a word: the shares of the output limit that the client writes for the words.
fn share(budget: u64, max_tokens: Option<u32>) -> ReasoningEffort {
    let limit = u64::from(max_tokens.unwrap_or(u32::MAX)).max(1);
    match budget.saturating_mul(8) / limit {
        0..=2 => ReasoningEffort::Low,
        3..=4 => ReasoningEffort::Medium,
        _ => ReasoningEffort::High,
    }
}

/// The members of `output_config`, which must be an object.
pub(super) fn output_config(raw: &RawValue) -> Result<Members<'_>, InferenceError> {
    if raw.get() == "null" {
        return Ok(Members::default());
    }
    let config = members("output_config", raw)?;
    match member(&config, "effort") {
        Some(effort) if string(effort).is_none() => Err(refused("output_config.effort", "must be text")),
        _ => Ok(config),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_tool_of_the_callers_is_a_function_whatever_hints_it_has() {
        let json = r#"{"type":"custom","name":"f","description":null,"input_schema":{"type": "object"},"cache_control":{"type":"ephemeral"}}"#;
        let ToolSpec::Function(tool) = tool(raw(json), 0).unwrap() else { panic!("{json}") };
        assert_eq!((tool.name.as_str(), &tool.description), ("f", &None));
        assert_eq!(tool.parameters.unwrap().get(), r#"{"type": "object"}"#);
        assert_eq!(tool.extra.get("cache_control").unwrap().get(), r#"{"type":"ephemeral"}"#);
        assert_eq!((tool.extra.get("type"), tool.extra.wire()), (None, Some(MESSAGES)));
    }

    #[test]
    fn a_tool_that_is_no_function_keeps_its_text() {
        let odd = [
            r#"{"type": "bash_20250124","name":"bash"}"#,
            r#"{"name":"f"}"#,
            r#"{"name":"f","input_schema":[]}"#,
            r#"{"name":5,"input_schema":{}}"#,
            r#"{"name":"f","input_schema":{},"strict":"yes"}"#,
        ];
        for json in odd {
            assert_eq!(tool(raw(json), 0).unwrap(), ToolSpec::Other(RawJson::parse(json).unwrap()));
        }
        assert_eq!(tool(raw("5"), 3).unwrap_err().origin().unwrap().param.as_deref(), Some("tools[3]"));
    }

    #[test]
    fn a_choice_is_read_with_the_wish_for_single_calls_in_it() {
        let of = |json: &str| tool_choice(raw(json)).unwrap();
        assert_eq!(of(r#"{"type":"any"}"#), (Some(ToolChoice::Required), None));
        let single = r#"{"type":"tool","name":"f","disable_parallel_tool_use":true}"#;
        assert_eq!(of(single), (Some(ToolChoice::Function("f".into())), Some(false)));
        assert_eq!(of("null"), (None, None));
        for odd in [r#"{"type":"tool"}"#, r#"{"type":"auto","x":1}"#, "{}"] {
            assert_eq!(of(odd), (Some(ToolChoice::Other(RawJson::parse(odd).unwrap())), None));
        }
        assert!(tool_choice(raw("\"auto\"")).is_err());
    }

    #[test]
    fn a_wish_for_reasoning_is_known_by_its_effort_or_its_share() {
        let of = |thinking: &str, effort: Option<&str>| {
            let wish = wish(Some(raw(thinking)), effort.map(raw), Some(16_000)).unwrap();
            (wish.effort.map(|effort| effort.as_str().to_owned()), wish.is_all)
        };
        let word = |word: &str, is_all| (Some(word.to_owned()), is_all);
        assert_eq!(of(r#"{"type":"disabled"}"#, None), word("none", true));
        assert_eq!(of(r#"{"type":"adaptive"}"#, Some("\"xhigh\"")), word("xhigh", true));
        assert_eq!(of(r#"{"type":"adaptive","display":"x"}"#, Some("\"low\"")), word("low", false));
        assert_eq!(of(r#"{"type":"adaptive"}"#, None), (None, false));
        for (budget, expect) in [(1024, "low"), (8000, "medium"), (15_999, "high")] {
            let enabled = format!(r#"{{"type":"enabled","budget_tokens":{budget}}}"#);
            assert_eq!(of(&enabled, None), word(expect, false));
        }
        let alone = wish(None, Some(raw("\"max\"")), None).unwrap();
        assert_eq!(alone, Wish { effort: Some(ReasoningEffort::Max), is_all: false });
    }
}
