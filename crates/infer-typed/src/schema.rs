//! The schema of a Rust type, as a request carries it.

use std::fmt;
use std::marker::PhantomData;

use infer_core::{Completion, ExecuteBatch, JsonSchema as WireSchema, ModelRunner, ResponseFormat};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::ask::{Typed, TypedError, read};
use crate::strict::{SchemaError, strict};
use crate::{answer, order, toolbox};

/// The schema of `T`, ready to be sent.
///
/// ```
/// use infer_typed::Schema;
///
/// /// A point on a map.
/// #[derive(schemars::JsonSchema)]
/// struct Point { x: f64, y: f64, label: Option<String> }
///
/// let schema = Schema::of::<Point>()?;
/// assert_eq!((schema.name(), schema.description()), ("Point", Some("A point on a map.")));
/// assert_eq!(schema.json()["required"], serde_json::json!(["x", "y", "label"]));
/// # Ok::<(), infer_typed::SchemaError>(())
/// ```
pub struct Schema<T> {
    name: String,
    description: Option<String>,
    json: Value,
    is_strict: bool,
    of: PhantomData<fn() -> T>,
}

impl Schema<()> {
    /// The schema of `T` by the rules of strict mode, so that the upstream holds the model to it.
    ///
    /// # Errors
    /// Everything about `T` that strict mode cannot say, see [`strict`].
    pub fn of<T: JsonSchema>() -> Result<Schema<T>, SchemaError> {
        let json = strict_of_type::<T>()?;
        Ok(Schema::new(&T::schema_name(), json, true))
    }

    /// The schema of `T` as it is, for upstreams and types that strict mode does not fit. The model is shown it, and
    /// whether the answer fits is seen when it is read.
    pub fn loose<T: JsonSchema>() -> Schema<T> {
        Schema::new(&T::schema_name(), of_type::<T>(), false)
    }
}

impl<T> Schema<T> {
    fn new(name: &str, mut json: Value, is_strict: bool) -> Self {
        // It travels beside the schema, so it would be paid for twice.
        let description = json.as_object_mut().and_then(|schema| schema.remove("description"));
        Self {
            name: toolbox::fitting_name(name),
            description: description.and_then(|text| text.as_str().map(ToOwned::to_owned)),
            json,
            is_strict,
            of: PhantomData,
        }
    }

    /// The name the model sees: the type's, in letters, digits, `_` and `-`, at most 64.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the answer is for: the type's documentation.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The schema. The order of fields is the order of `required`; [`in_order`](crate::in_order) writes it out.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// Whether the upstream is asked to hold the model to it.
    pub fn is_strict(&self) -> bool {
        self.is_strict
    }

    /// Names it otherwise; what does not fit a name is replaced.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        self.name = toolbox::fitting_name(name);
        self
    }

    /// Says what the answer is for.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Keeps the schema and does not ask the upstream to hold the model to it, for upstreams that refuse the question.
    #[must_use]
    pub fn unenforced(mut self) -> Self {
        self.is_strict = false;
        self
    }

    /// The member of a request that asks for this.
    pub fn response_format(&self) -> ResponseFormat {
        let mut schema = WireSchema::new(self.name.clone(), order::in_order(&self.json));
        schema.description.clone_from(&self.description);
        schema.strict = self.is_strict.then_some(true);
        ResponseFormat::JsonSchema(schema)
    }
}

impl<T: DeserializeOwned> Schema<T> {
    /// Reads the first answer of `completion`.
    ///
    /// # Errors
    /// [`TypedError`] when there is no complete answer, or it is no `T`; the completion is in it.
    pub fn read(&self, completion: Completion) -> Result<Typed<T>, TypedError> {
        read(&self.name, completion)
    }

    /// Asks `runner` for a `T`; replaces the batch's response format. Streams are collected.
    ///
    /// Dropping the future cancels the call.
    ///
    /// # Errors
    /// As for [`ask`](crate::ask()), except for [`TypedError::Schema`].
    pub async fn ask(
        &self,
        runner: &dyn ModelRunner,
        mut batch: ExecuteBatch,
    ) -> Result<Typed<T>, TypedError> {
        batch.response_format = Some(self.response_format());
        let mut completion = Completion::default();
        match answer::collect(runner, batch, &mut completion).await {
            Ok(()) => self.read(completion),
            Err(error) if completion == Completion::default() => Err(error.into()),
            Err(source) => Err(TypedError::Interrupted { source, completion: Box::new(completion) }),
        }
    }
}

impl<T> Clone for Schema<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            description: self.description.clone(),
            json: self.json.clone(),
            is_strict: self.is_strict,
            of: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Schema<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema")
            .field("name", &self.name)
            .field("is_strict", &self.is_strict)
            .field("json", &self.json)
            .finish_non_exhaustive()
    }
}

/// The schema of `T` for reading it, in draft 2020-12.
pub(crate) fn of_type<T: JsonSchema + ?Sized>() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}

/// The same by the rules of strict mode, with the fields in the order of the type.
pub(crate) fn strict_of_type<T: JsonSchema + ?Sized>() -> Result<Value, SchemaError> {
    let mut schema = of_type::<T>();
    let writing = SchemaSettings::draft2020_12().for_serialize().into_generator();
    order::take_over(&mut schema, &writing.into_root_schema_for::<T>().to_value());
    strict(&schema)
}
