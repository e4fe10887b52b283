//! Tools as async functions with typed arguments.

use std::fmt::{self, Display};
use std::future::Future;
use std::pin::Pin;

use infer_core::{FunctionTool, Origin, ToolSpec};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::answer::{Misfit, one_line, parse};
use crate::order::in_order;
use crate::schema::{of_type, strict_of_type};
use crate::strict::{SchemaError, SchemaFault};

/// Whether upstreams are asked to hold the model to the schemas of arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strictness {
    /// For every tool whose arguments strict mode can say.
    #[default]
    WherePossible,
    /// For every tool; one whose arguments strict mode cannot say is an error.
    Always,
    /// For none, with the schemas as the types give them.
    Never,
}

/// Why a call brought no result.
#[derive(Debug)]
pub(crate) enum ToolFailure {
    Arguments(Misfit),
    Tool(String),
}

type Answer<'t> = Pin<Box<dyn Future<Output = Result<String, ToolFailure>> + Send + 't>>;

struct Tool<'t> {
    name: String,
    description: String,
    schema: Value,
    strict: Result<Value, SchemaError>,
    call: Box<dyn Fn(&str) -> Answer<'t> + Send + Sync + 't>,
}

/// Tools a model may call, each an async function.
///
/// ```
/// use infer_typed::Toolbox;
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct City { name: String }
///
/// let tools = Toolbox::new().with("weather", "The weather of a city", async |city: City| {
///     Ok::<_, std::convert::Infallible>(format!("{}: rain", city.name))
/// });
/// assert_eq!(tools.specs()?.len(), 1);
/// # Ok::<(), infer_typed::ToolboxError>(())
/// ```
#[derive(Default)]
pub struct Toolbox<'t> {
    tools: Vec<Tool<'t>>,
    strictness: Strictness,
}

impl<'t> Toolbox<'t> {
    /// No tools yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tool: its name (letters, digits, `_` and `-`, at most 64), when and how to use it, and what it does.
    ///
    /// Arguments of type `()` mean that there are none. A result that is text is told as it is, any other as JSON. An
    /// error is told to the model, which may try again or do without. A panic is not caught: it ends the whole loop.
    ///
    /// Whatever is wrong with the tool is reported by [`Toolbox::specs`].
    #[must_use]
    pub fn with<A, O, E, F, R>(
        mut self,
        name: impl Into<String>,
        description: impl Into<String>,
        tool: F,
    ) -> Self
    where
        A: DeserializeOwned + JsonSchema + 't,
        O: Serialize + 't,
        E: Display + 't,
        F: Fn(A) -> R + Send + Sync + 't,
        R: Future<Output = Result<O, E>> + Send + 't,
    {
        let schema = of_type::<A>();
        let takes_nothing = is_nothing(&schema);
        let call = Box::new(move |arguments: &str| -> Answer<'t> {
            let arguments = if takes_nothing { "null" } else { filled(arguments) };
            match parse::<A>(arguments) {
                Err(misfit) => Box::pin(std::future::ready(Err(ToolFailure::Arguments(misfit)))),
                Ok(arguments) => {
                    let result = tool(arguments);
                    Box::pin(async move { told(&result.await.map_err(failed)?) })
                }
            }
        });
        let strict = strict_of_type::<A>();
        self.tools.push(Tool { name: name.into(), description: description.into(), schema, strict, call });
        self
    }

    /// Asks upstreams to hold the model to the schemas, or not.
    #[must_use]
    pub fn with_strictness(mut self, strictness: Strictness) -> Self {
        self.strictness = strictness;
        self
    }

    /// The tools as a request declares them.
    ///
    /// # Errors
    /// Everything that is wrong with any of them: a name that is none or is taken, arguments that are no object, and
    /// with [`Strictness::Always`] what strict mode cannot say.
    pub fn specs(&self) -> Result<Vec<ToolSpec>, ToolboxError> {
        let mut faults = Vec::new();
        let mut specs = Vec::new();
        for (index, tool) in self.tools.iter().enumerate() {
            if fitting_name(&tool.name) != tool.name {
                let name = Origin::excerpt(&tool.name);
                faults.push(format!("`{name}`: a name is 1 to 64 letters, digits, `_` or `-`"));
            }
            if self.tools.iter().take(index).any(|earlier| earlier.name == tool.name) {
                faults.push(format!("`{}`: declared twice; rename one", tool.name));
            }
            match tool.spec(self.strictness) {
                Ok(spec) => specs.push(ToolSpec::Function(spec)),
                Err(wrong) => faults.extend(wrong.iter().map(|fault| format!("`{}` at {fault}", tool.name))),
            }
        }
        if faults.is_empty() { Ok(specs) } else { Err(ToolboxError { faults }) }
    }

    /// The result of the tool `name`; `None` when there is none of this name.
    pub(crate) async fn call(&self, name: &str, arguments: &str) -> Option<Result<String, ToolFailure>> {
        let tool = self.tools.iter().find(|tool| tool.name == name)?;
        Some((tool.call)(arguments).await)
    }

    /// The names, for a message.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.tools.iter().map(|tool| tool.name.as_str()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

impl Tool<'_> {
    fn spec(&self, strictness: Strictness) -> Result<FunctionTool, Vec<SchemaFault>> {
        let mut spec = FunctionTool::new(&self.name);
        spec.description = Some(self.description.clone());
        if is_nothing(&self.schema) {
            return Ok(spec);
        }
        let strict = match strictness {
            Strictness::Never => None,
            Strictness::WherePossible => self.strict.as_ref().ok(),
            Strictness::Always => Some(self.strict.as_ref().map_err(|error| error.faults().to_vec())?),
        };
        spec.strict = strict.is_some().then_some(true);
        let schema = strict.unwrap_or(&self.schema);
        if schema.get("type") != Some(&Value::from("object")) {
            return Err(vec![SchemaFault {
                pointer: "#".to_owned(),
                what: "arguments must be an object; take a struct with named fields".to_owned(),
            }]);
        }
        spec.parameters = Some(in_order(schema));
        Ok(spec)
    }
}

impl fmt::Debug for Toolbox<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.tools.iter().map(|tool| tool.name.as_str()).collect();
        f.debug_struct("Toolbox").field("tools", &names).field("strictness", &self.strictness).finish()
    }
}

/// Tools that cannot be declared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tools cannot be declared: {}", one_line(&faults.join("; ")))]
pub struct ToolboxError {
    faults: Vec<String>,
}

impl ToolboxError {
    /// What is wrong, one line a fault, at least one.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }
}

/// `name` in the letters upstreams take: `[a-zA-Z0-9_-]{1,64}` (OpenAI's API reference, read 2026-11-21).
pub(crate) fn fitting_name(name: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    let name: String = name.chars().map(|letter| if fits(letter) { letter } else { '_' }).take(64).collect();
    if name.is_empty() { "answer".to_owned() } else { name }
}

fn is_nothing(schema: &Value) -> bool {
    schema.get("type") == Some(&Value::from("null"))
}

/// Some upstreams send no text where a tool needs no arguments.
fn filled(arguments: &str) -> &str {
    if arguments.trim().is_empty() { "{}" } else { arguments }
}

fn failed(error: impl Display) -> ToolFailure {
    ToolFailure::Tool(error.to_string())
}

fn told(result: &impl Serialize) -> Result<String, ToolFailure> {
    let json = serde_json::to_string(result)
        .map_err(|error| ToolFailure::Tool(format!("the result cannot be written as JSON: {error}")))?;
    // Text loses its quotes and escapes: a model reads it better without.
    Ok(if json.starts_with('"') { serde_json::from_str(&json).unwrap_or(json) } else { json })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_letters_that_upstreams_take() {
        assert_eq!(fitting_name("Vec<of Größe>"), "Vec_of_Gr__e_");
        assert_eq!(fitting_name(&"x".repeat(70)).len(), 64);
        assert_eq!(fitting_name(""), "answer");
    }

    #[test]
    fn text_is_told_without_quotes_and_the_rest_as_json() {
        assert_eq!(told(&"a \"b\"\n").unwrap(), "a \"b\"\n");
        assert_eq!(told(&(1, "x")).unwrap(), "[1,\"x\"]");
        assert!(told(&std::collections::BTreeMap::from([((1, 2), 3)])).is_err());
    }
}
