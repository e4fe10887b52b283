//! How large a strict schema may be.

use serde_json::Value;

use super::fault::{Pointer, SchemaFault};

// OpenAI's guide to structured outputs, as read on 2026-08-23 and quoted word by word in a public client's source; the
// text was found there on 2026-11-21. The guide does not say how nesting is counted: definitions are counted each for
// itself here, since a recursive one has no depth, and the root is no nesting. In doubt a schema is let through.
const MAX_PROPERTIES: usize = 5_000;
const MAX_NESTING: usize = 10;
const MAX_TEXT: usize = 120_000;
const MAX_ENUM_VALUES: usize = 1_000;
const LONG_ENUM: usize = 250;
const MAX_LONG_ENUM_TEXT: usize = 15_000;

/// What a schema adds up to.
#[derive(Debug, Default)]
pub(super) struct Size {
    properties: usize,
    text: usize,
    enum_values: usize,
}

impl Size {
    /// Counts a property or a definition by its name.
    pub(super) fn name(&mut self, name: &str) {
        self.text += name.chars().count();
    }

    pub(super) fn property(&mut self, name: &str) {
        self.properties += 1;
        self.name(name);
    }

    pub(super) fn constant(&mut self, value: &Value) {
        self.text += text_of(value);
    }

    pub(super) fn enumeration(&mut self, values: &[Value], at: &Pointer, faults: &mut Vec<SchemaFault>) {
        let text: usize = values.iter().map(text_of).sum();
        self.enum_values += values.len();
        self.text += text;
        if values.len() > LONG_ENUM && values.iter().any(Value::is_string) && text > MAX_LONG_ENUM_TEXT {
            let what = format!(
                "{} values of {text} characters in all; an enum of more than {LONG_ENUM} values may have \
                 {MAX_LONG_ENUM_TEXT}: shorten them or take text",
                values.len()
            );
            faults.push(SchemaFault::new(at, what));
        }
    }

    /// Says which totals are too large.
    pub(super) fn check(&self, faults: &mut Vec<SchemaFault>) {
        let totals = [
            ("properties", self.properties, MAX_PROPERTIES),
            ("characters in names and fixed values", self.text, MAX_TEXT),
            ("enum values", self.enum_values, MAX_ENUM_VALUES),
        ];
        for (what, found, limit) in totals {
            if found > limit {
                let what = format!("{found} {what}, and strict mode takes {limit}: ask in several steps");
                faults.push(SchemaFault::new(&Pointer::root(), what));
            }
        }
    }
}

/// The fault of an object at `depth` levels below the root or its definition.
pub(super) fn nesting_fault(depth: usize, at: &Pointer) -> Option<SchemaFault> {
    let what = format!("more than {MAX_NESTING} objects inside each other: flatten the type");
    // The first one too deep is enough: everything inside it is as well.
    (depth == MAX_NESTING + 1).then(|| SchemaFault::new(at, what))
}

fn text_of(value: &Value) -> usize {
    match value {
        Value::String(text) => text.chars().count(),
        other => other.to_string().len(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::strict;

    fn faults(schema: &serde_json::Value) -> Vec<String> {
        strict(schema).err().map_or_else(Vec::new, |error| {
            error.faults().iter().map(std::string::ToString::to_string).collect()
        })
    }

    fn nested(levels: usize) -> serde_json::Value {
        (0..levels).fold(
            json!({"type": "object", "properties": {}}),
            |inner, _| json!({"type": "object", "properties": {"a": {"type": "array", "items": inner}}}),
        )
    }

    #[test]
    fn ten_objects_below_the_root_pass_and_eleven_do_not() {
        assert_eq!(faults(&nested(10)), Vec::<String>::new());
        let found = faults(&nested(11));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("flatten the type"), "{found:?}");
    }

    #[test]
    fn too_many_properties_are_refused_once() {
        let properties = |count: usize| {
            let all: serde_json::Map<_, _> =
                (0..count).map(|n| (n.to_string(), json!({"type": "string"}))).collect();
            json!({"type": "object", "properties": all})
        };
        assert_eq!(faults(&properties(5_000)), Vec::<String>::new());
        let found = faults(&properties(5_001));
        assert_eq!(found, ["#: 5001 properties, and strict mode takes 5000: ask in several steps"]);
    }

    #[test]
    fn a_long_enum_of_long_words_is_refused_where_it_stands() {
        let of = |count: usize, width: usize| {
            let words: Vec<_> = (0..count).map(|n| format!("{n:0width$}")).collect();
            json!({"type": "object", "properties": {"e": {"type": "string", "enum": words}}})
        };
        assert_eq!(faults(&of(250, 100)), Vec::<String>::new());
        assert_eq!(faults(&of(251, 10)), Vec::<String>::new());
        let found = faults(&of(251, 100));
        assert!(found.len() == 1 && found[0].starts_with("#/properties/e: 251 values"), "{found:?}");
        let found = faults(&of(1_001, 4));
        assert!(found.len() == 1 && found[0].starts_with("#: 1001 enum values"), "{found:?}");
    }

    #[test]
    fn names_and_fixed_values_are_counted_together() {
        let long = "x".repeat(60_001);
        let schema = json!({"type": "object", "properties": {long.clone(): {"const": long}}});
        let found = faults(&schema);
        assert!(found.len() == 1 && found[0].contains("120002 characters"), "{found:?}");
    }
}
