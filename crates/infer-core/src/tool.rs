//! Tools a model may call, and the calls it makes.

use crate::{Extra, RawJson};

/// A tool the model may call.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ToolSpec {
    /// A function with JSON arguments.
    Function(FunctionTool),
    /// A tool this crate has no name for, as the upstream wants it written.
    Other(RawJson),
}

/// A function with JSON arguments.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FunctionTool {
    /// Letters, digits, `_` and `-`, at most 64.
    pub name: String,
    /// When and how to use it.
    pub description: Option<String>,
    /// JSON Schema of the arguments; none means no arguments.
    pub parameters: Option<RawJson>,
    /// Whether the upstream must hold the model to the schema.
    pub strict: Option<bool>,
    /// Members passed through unread.
    pub extra: Extra,
}

impl ToolSpec {
    /// A function; `parameters` is a JSON Schema object.
    ///
    /// ```
    /// use infer_core::{ExecuteBatch, RawJson, ToolSpec};
    ///
    /// let city = RawJson::parse(r#"{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}"#)?;
    /// let batch = ExecuteBatch::new("gpt-4o-mini", "Weather in Oslo?")
    ///     .with_tools([ToolSpec::function("get_weather", "The weather now.", city)]);
    /// assert_eq!(batch.tools.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn function(
        name: impl Into<String>,
        description: impl Into<String>,
        parameters: impl Into<RawJson>,
    ) -> Self {
        Self::Function(FunctionTool {
            name: name.into(),
            description: Some(description.into()),
            parameters: Some(parameters.into()),
            strict: None,
            extra: Extra::new(),
        })
    }

    /// Asks the upstream to hold the model to the schema. Has no effect on other kinds of tools.
    #[must_use]
    pub fn strict(mut self) -> Self {
        if let Self::Function(function) = &mut self {
            function.strict = Some(true);
        }
        self
    }
}

impl FunctionTool {
    /// A function without description or arguments.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), description: None, parameters: None, strict: None, extra: Extra::new() }
    }
}

/// Whether and which tool the model must call.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ToolChoice {
    /// The model decides.
    Auto,
    /// No calls.
    None,
    /// At least one call.
    Required,
    /// This function.
    Function(String),
    /// Something this crate has no name for.
    Other(RawJson),
}

/// A complete call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToolCall {
    /// The upstream's name for the call; some send none.
    pub id: Option<String>,
    /// The tool.
    pub name: String,
    /// The arguments exactly as sent: JSON text for functions, which may be invalid, and free text for custom tools.
    pub arguments: String,
    /// What kind of tool is called.
    pub kind: ToolKind,
}

impl ToolCall {
    /// A function call.
    pub fn function(id: impl Into<String>, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        Self { id: Some(id.into()), name: name.into(), arguments: arguments.into(), kind: ToolKind::Function }
    }

    /// A call of a free-text tool.
    pub fn custom(id: impl Into<String>, name: impl Into<String>, input: impl Into<String>) -> Self {
        Self { kind: ToolKind::Custom, ..Self::function(id, name, input) }
    }
}

/// What kind of tool is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToolKind {
    /// JSON arguments.
    #[default]
    Function,
    /// Free text.
    Custom,
}

/// A piece of a call, as it streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToolCallDelta {
    /// Which call of the choice, from 0.
    pub index: u32,
    /// Given once, with the first piece.
    pub id: Option<String>,
    /// Given once, with the first piece.
    pub name: Option<String>,
    /// More of the arguments; a piece may end inside an escape.
    pub arguments: String,
    /// What kind of tool is called; repeated on every piece.
    pub kind: ToolKind,
}

impl ToolCallDelta {
    /// A piece of call `index` with nothing in it yet.
    pub fn new(index: u32) -> Self {
        Self { index, ..Self::default() }
    }
}
