//! References inside a schema.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::fault::Pointer;

/// The place that `reference` leads to, without its `#`, where strict mode takes it: the whole schema or a definition.
///
/// OpenAI's guide to structured outputs names these two (found 2026-11-21).
pub(super) fn path(reference: &str) -> Result<Cow<'_, str>, String> {
    let path = reference.strip_prefix('#').map(decoded);
    path.filter(|path| {
        path.is_empty() || path.strip_prefix("/$defs/").is_some_and(|name| !name.contains('/'))
    })
    .ok_or_else(|| format!("refers to `{reference}`; only `#` and `#/$defs/…` can be referred to"))
}

/// What `reference` leads to, and where that is.
pub(super) fn target<'s>(
    root: &'s Value,
    reference: &str,
) -> Result<(&'s Map<String, Value>, Pointer), String> {
    let path = path(reference)?;
    let target = root
        .pointer(&path)
        .and_then(Value::as_object)
        .ok_or_else(|| format!("refers to `{reference}`, which is not there; add the definition"))?;
    Ok((target, Pointer::parse(&path)))
}

/// Undoes percent signs; what is no escape stays as it is.
fn decoded(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        match (first, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(digit(*high) * 16 + digit(*low));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// The value of a hexadecimal digit.
fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reference_leads_to_the_root_or_to_a_definition_and_nowhere_else() {
        let root = json!({"$defs": {"A b": {"type": "null"}, "x/y": {}, "N": {"items": {}}}, "properties": {"p": {}}});
        assert_eq!(target(&root, "#").unwrap().0.len(), 2);
        assert_eq!(target(&root, "#/$defs/A%20b").unwrap().0["type"], "null");
        assert!(target(&root, "#/$defs/x~1y").is_ok());
        for wrong in ["#/properties/p", "#/$defs/none", "other.json#/$defs/A", "#/$defs/N/items", "#/$defs/%"]
        {
            assert!(target(&root, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_percent_sign_that_escapes_nothing_stays() {
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("%4"), "%4");
        assert_eq!(decoded("%zz%41"), "%zzA");
    }
}
