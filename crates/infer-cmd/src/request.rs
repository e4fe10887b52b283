//! From flags to a request.

use std::path::Path;

use infer_core::{ExecuteBatch, JsonSchema, Message, RawJson, ResponseFormat};
use serde_json::Value;

use crate::args::ChatArgs;
use crate::failure::Failure;
use crate::upstream::{Upstream, variable};

const DEFAULT_MODEL: &str = "gpt-4o-mini";

/// Everything that is the same for every request of one command.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    args: &'a ChatArgs,
    /// The model asked for.
    pub(crate) model: String,
    format: Option<ResponseFormat>,
}

impl<'a> Request<'a> {
    /// Checks the flags that name files or come from the environment.
    pub(crate) fn read(args: &'a ChatArgs) -> Result<Self, Failure> {
        let model = match &args.model {
            Some(model) if model.trim().is_empty() => {
                return Err(Failure::usage("--model is empty: name a model, such as gpt-4o-mini"));
            }
            Some(model) => model.clone(),
            None => match (variable("INFER_MODEL")?, args.whom.preset()?) {
                (Some(model), _) => model,
                // Whatever it says is known once it is read.
                (None, _) if args.whom.config.is_some() => String::new(),
                (None, Some(preset)) if preset != "openai" => {
                    let way_out = format!("infer models --preset {preset} lists them");
                    return Err(Failure::usage(format!("{preset} needs a --model: {way_out}")));
                }
                (None, _) => DEFAULT_MODEL.to_owned(),
            },
        };
        let format = args.response_format.as_deref().map(response_format).transpose()?;
        Ok(Self { args, model, format })
    }

    /// The same for this upstream, whose configuration may say which model is meant when nobody else did.
    pub(crate) fn to(mut self, upstream: &Upstream) -> Result<Self, Failure> {
        if self.model.is_empty() {
            self.model = upstream.default_model.clone().ok_or_else(|| {
                Failure::usage("the configuration names no model: set model in it, or name one with --model")
            })?;
        }
        Ok(self)
    }

    /// The request that carries the conversation so far on.
    pub(crate) fn batch(&self, system: Option<&str>, messages: &[Message]) -> ExecuteBatch {
        let args = self.args;
        let mut batch = ExecuteBatch::new(self.model.clone(), messages.to_vec());
        if let Some(system) = system {
            batch = batch.with_system(system);
        }
        if let Some(effort) = args.effort.as_deref() {
            batch = batch.with_reasoning_effort(effort);
        }
        if let Some(time) = args.timeout {
            batch = batch.with_deadline(time);
        }
        if !args.no_stream {
            batch = batch.streaming();
        }
        batch.sampling.temperature = args.temperature;
        batch.sampling.seed = args.seed;
        batch.sampling.stop.clone_from(&args.stop);
        batch.max_output_tokens = args.max_tokens;
        batch.response_format.clone_from(&self.format);
        batch
    }
}

fn response_format(wanted: &str) -> Result<ResponseFormat, Failure> {
    if wanted == "json" {
        return Ok(ResponseFormat::JsonObject);
    }
    let fault = |what: &str| Failure::usage(format!("--response-format {wanted}: {what}"));
    let text = std::fs::read_to_string(wanted)
        .map_err(|error| fault(&format!("is neither \"json\" nor a file that can be read: {error}")))?;
    let schema: Value =
        serde_json::from_str(&text).map_err(|error| fault(&format!("is not JSON: {error}")))?;
    if !schema.is_object() {
        return Err(fault("is not a JSON Schema: it must be an object"));
    }
    // Upstreams refuse to enforce a schema whose objects are open, so one that is not closed is sent as a hint.
    let is_closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    let raw = RawJson::parse(text.trim()).map_err(|error| fault(&format!("is not JSON: {error}")))?;
    let schema = JsonSchema::new(schema_name(wanted), raw);
    Ok(if is_closed { schema.strict() } else { schema }.into())
}

/// The file's name as far as a schema may be called that.
fn schema_name(path: &str) -> String {
    let stem = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = stem.split('.').next().unwrap_or_default();
    let name: String = stem
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() || char == '-' { char } else { '_' })
        .take(64)
        .collect();
    if name.is_empty() { "answer".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_named_after_its_file() {
        assert_eq!(schema_name("/tmp/my receipt.schema.json"), "my_receipt");
        assert_eq!(schema_name("/tmp/.json"), "answer");
        assert_eq!(schema_name(&"x".repeat(100)).len(), 64);
    }
}
