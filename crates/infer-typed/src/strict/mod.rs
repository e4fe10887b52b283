//! JSON Schema within the rules of strict mode, or every reason why it cannot be.
//!
//! Pure: a schema in, a schema or faults out. The rules are OpenAI's, whose guide to structured outputs was read through
//! public copies on 2026-11-21; other upstreams that enforce schemas take a superset. What the guide does not say is
//! let through, so that an upstream that can do more is not held back.

mod fault;
mod keywords;
mod object;
mod reference;
mod size;
mod union;

use serde_json::{Map, Value};

use fault::Pointer;
pub use fault::{SchemaError, SchemaFault};
use size::Size;

/// The most schemas inside one, and how deep they may stand; far above what a type gives, so that a schema that
/// unfolds without end is refused instead of followed.
const MAX_SCHEMAS: usize = 50_000;
const MAX_DEPTH: usize = 64;

/// Rewrites `schema` by the rules of strict mode, with the same shape.
///
/// Every object is closed and all of its properties are required; an optional one must already take null, which is
/// what a Rust `Option` does, or is simply always given. `oneOf` becomes `anyOf`. Words that only describe are dropped,
/// except titles and descriptions; rules that strict mode cannot enforce and that do not change the shape, such as
/// `minLength`, move into the description, where the model reads them and nobody holds it to them.
///
/// Models write fields in the order of the schema. That is the order of `required`, then of the names; write the result
/// with [`in_order`](crate::in_order) to keep it. The result is a fixed point: rewriting it again changes nothing.
///
/// ```
/// use serde_json::json;
/// let schema = json!({"type": "object", "properties": {"id": {"type": "integer", "format": "uint32"}}});
/// let strict = infer_typed::strict(&schema)?;
/// assert_eq!(strict["required"], json!(["id"]));
/// assert_eq!(strict["additionalProperties"], json!(false));
/// # Ok::<(), infer_typed::SchemaError>(())
/// ```
///
/// # Errors
/// Everything that strict mode cannot say, with its place: maps with free keys, tuples, values of any kind, a root that
/// is not an object, conditions, negations, and sizes above the documented limits.
pub fn strict(schema: &Value) -> Result<Value, SchemaError> {
    let mut walk = Walk { root: schema, faults: Vec::new(), size: Size::default(), left: MAX_SCHEMAS };
    let root = Place { at: Pointer::root(), objects: 0, depth: 0 };
    let mut strict = walk.schema(schema, &root);
    let is_choice = ["anyOf", "oneOf"].iter().any(|word| schema.get(word).is_some());
    if strict.is_object() && !is_choice && strict.get("type") != Some(&Value::from("object")) {
        walk.fault(&root, "the root must be an object; put the value into a struct with one field");
    }
    if let Some(definitions) = schema.get("$defs").and_then(Value::as_object) {
        let definitions = walk.definitions(definitions, &root);
        if let (Some(strict), false) = (strict.as_object_mut(), definitions.is_empty()) {
            strict.insert("$defs".to_owned(), Value::Object(definitions));
        }
    }
    let Walk { mut faults, size, .. } = walk;
    size.check(&mut faults);
    if faults.is_empty() { Ok(strict) } else { Err(SchemaError::new(faults)) }
}

/// Where the walk is: in the document as given, how many objects and how many schemas deep.
#[derive(Clone, Debug)]
struct Place {
    at: Pointer,
    objects: usize,
    depth: usize,
}

impl Place {
    fn is_root(&self) -> bool {
        self.depth == 0
    }

    /// A schema inside, in the same object.
    fn within(&self, at: Pointer) -> Self {
        Self { at, objects: self.objects, depth: self.depth + 1 }
    }
}

/// One pass over a document.
struct Walk<'s> {
    root: &'s Value,
    faults: Vec<SchemaFault>,
    size: Size,
    /// How many more schemas are looked at.
    left: usize,
}

impl Walk<'_> {
    fn fault(&mut self, place: &Place, what: impl Into<String>) {
        self.faults.push(SchemaFault::new(&place.at, what));
    }

    fn definitions(&mut self, definitions: &Map<String, Value>, root: &Place) -> Map<String, Value> {
        let mut strict = Map::new();
        for (name, definition) in definitions {
            self.size.name(name);
            let place = Place { at: root.at.to("$defs").to(name), objects: 0, depth: 1 };
            strict.insert(name.clone(), self.schema(definition, &place));
        }
        strict
    }

    /// The strict form of one schema. Its value is of no use once a fault was found.
    fn schema(&mut self, schema: &Value, place: &Place) -> Value {
        if self.left == 0 || place.depth > MAX_DEPTH {
            if self.left > 0 {
                self.left = 0;
                self.fault(place, "unfolds too far; make the type smaller");
            }
            return Value::Null;
        }
        self.left -= 1;
        if self.left == 0 {
            self.fault(place, "unfolds too far; make the type smaller");
        }
        let schema = match schema {
            Value::Object(schema) => schema,
            Value::Bool(true) => return self.refuse(place, keywords::ANYTHING),
            Value::Bool(false) => return self.refuse(place, "nothing fits here; leave it out"),
            _ => return self.refuse(place, "no schema; it must be an object"),
        };
        let refusals = keywords::refusals(schema);
        let is_refused = !refusals.is_empty();
        for reason in refusals {
            self.fault(place, reason);
        }
        for word in ["$defs", "$id"] {
            if schema.contains_key(word) && !place.is_root() {
                self.fault(place, format!("`{word}` below the root; move it there"));
            }
        }
        let several: Vec<&str> = ["$ref", "anyOf", "oneOf", "allOf"]
            .into_iter()
            .filter(|word| schema.contains_key(*word))
            .collect();
        match several.as_slice() {
            [] => self.plain(schema, place, is_refused),
            ["$ref"] => self.reference(schema, place),
            ["allOf"] => self.all_of(schema, place),
            [word] => self.choice(schema, word, place),
            _ => self.refuse(
                place,
                &format!("`{}` together; give each a field of its own", several.join("` and `")),
            ),
        }
    }

    fn refuse(&mut self, place: &Place, what: &str) -> Value {
        self.fault(place, what);
        Value::Null
    }

    /// A schema that says what fits itself, without references and choices.
    fn plain(&mut self, schema: &Map<String, Value>, place: &Place, is_refused: bool) -> Value {
        let types = match types(schema) {
            Ok(types) => types,
            Err(_) if is_refused => return Value::Null,
            Err(what) => return self.refuse(place, &what),
        };
        let mut strict = described(schema, &types);
        strict.insert(
            "type".to_owned(),
            match types.as_slice() {
                [one] => Value::from(*one),
                several => Value::from(several.to_vec()),
            },
        );
        self.fixed_values(schema, place, &mut strict);
        for (kind, words) in keywords::KEPT {
            for word in words.iter().filter(|_| types.contains(kind)) {
                if let Some(value) = schema.get(*word) {
                    strict.insert((*word).to_owned(), value.clone());
                }
            }
        }
        if let (Some(format), true) = (keywords::known_format(schema), types.contains(&"string")) {
            strict.insert("format".to_owned(), Value::from(format));
        }
        if types.contains(&"array") {
            self.items(schema, place, is_refused, &mut strict);
        }
        if types.contains(&"object") {
            let members = object::members(schema, &place.at);
            self.object(&[schema], &members, place, &mut strict);
        }
        Value::Object(strict)
    }

    fn fixed_values(&mut self, schema: &Map<String, Value>, place: &Place, strict: &mut Map<String, Value>) {
        if let Some(value) = schema.get("const") {
            self.size.constant(value);
            strict.insert("const".to_owned(), value.clone());
        }
        match schema.get("enum") {
            None => {}
            Some(Value::Array(values)) if !values.is_empty() => {
                self.size.enumeration(values, &place.at, &mut self.faults);
                strict.insert("enum".to_owned(), Value::Array(values.clone()));
            }
            Some(_) => self.fault(place, "an enum without values; list at least one"),
        }
    }

    fn items(
        &mut self,
        schema: &Map<String, Value>,
        place: &Place,
        is_refused: bool,
        strict: &mut Map<String, Value>,
    ) {
        match schema.get("items") {
            Some(Value::Array(_)) => self.fault(place, keywords::TUPLE),
            // A tuple says so itself, and has no items or `false`.
            None | Some(Value::Bool(false)) if is_refused => {}
            None => self.fault(place, "a list of anything; say what its items are"),
            Some(items) => {
                let items = self.schema(items, &place.within(place.at.to("items")));
                strict.insert("items".to_owned(), items);
            }
        }
    }
}

/// Title and description, with what can only be asked for.
fn described(schema: &Map<String, Value>, types: &[&str]) -> Map<String, Value> {
    let mut strict = Map::new();
    let text = |word: &str| schema.get(word).and_then(Value::as_str);
    if let Some(title) = text("title") {
        strict.insert("title".to_owned(), Value::from(title));
    }
    let hints = keywords::hints(schema, types);
    let description = match (text("description"), hints.is_empty()) {
        (Some(description), false) => Some(format!("{description} ({})", hints.join(", "))),
        (None, false) => Some(hints.join(", ")),
        (description, true) => description.map(ToOwned::to_owned),
    };
    if let Some(description) = description {
        strict.insert("description".to_owned(), Value::from(description));
    }
    strict
}

/// The types that fit, from `type` or from what else is said; strict mode wants them spelled out.
fn types(schema: &Map<String, Value>) -> Result<Vec<&str>, String> {
    const KNOWN: [&str; 7] = ["string", "number", "integer", "boolean", "object", "array", "null"];
    let mut types: Vec<&str> = Vec::new();
    let mut add = |kind| {
        // One more than there are is enough to find one that is none.
        if types.len() <= KNOWN.len() && !types.contains(&kind) {
            types.push(kind);
        }
    };
    match (schema.get("type"), schema.get("const"), schema.get("enum")) {
        (Some(Value::String(kind)), _, _) => add(kind),
        (Some(Value::Array(kinds)), _, _) => kinds.iter().filter_map(Value::as_str).for_each(add),
        (Some(_), _, _) => return Err("`type` must be a word or a list of words".to_owned()),
        (None, Some(value), _) => add(type_of(value)),
        (None, None, Some(Value::Array(values))) => {
            for value in values {
                add(type_of(value));
            }
        }
        _ if ["properties", "required", "additionalProperties"]
            .iter()
            .any(|word| schema.contains_key(*word)) =>
        {
            add("object");
        }
        _ if schema.contains_key("items") => add("array"),
        _ => {}
    }
    match types.iter().find(|kind| !KNOWN.contains(kind)) {
        Some(unknown) => Err(format!("`{unknown}` is no type; use one of {}", KNOWN.join(", "))),
        None if types.is_empty() => Err(keywords::ANYTHING.to_owned()),
        None => Ok(types),
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests;
