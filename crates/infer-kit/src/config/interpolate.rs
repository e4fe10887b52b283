//! `${VAR}`, `${VAR:-default}` and `${file:/path}` in values.
//!
//! It works on values that are parsed already, so whatever a variable holds stays one value: text with a colon, a line
//! break or a bracket in it cannot become structure. Keys are left alone.

use std::path::Path;

use super::fault::Fault;
use super::surroundings::Surroundings;
use super::tree::{Node, Value, join, join_index};

/// The longest file that `${file:…}` takes in: keys and certificates fit.
const LONGEST_FILE: u64 = 1 << 20;

/// How deep defaults may stand in defaults.
const DEEPEST: usize = 8;

/// Fills every text below `node`; what cannot be filled is broken and reported.
pub(crate) fn fill(node: &mut Node, path: &str, around: &dyn Surroundings, faults: &mut Vec<Fault>) {
    match &mut node.value {
        Value::Text(text) if text.contains('$') => match expand(text, around, 0) {
            Ok((filled, is_filled)) => {
                *text = filled;
                node.is_filled |= is_filled;
            }
            Err(message) => {
                faults.push(Fault::new(&node.place, path, message));
                node.value = Value::Broken;
            }
        },
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                fill(item, &join_index(path, index), around, faults);
            }
        }
        Value::Table(entries) => {
            for (key, entry) in entries {
                fill(entry, &join(path, &key.name), around, faults);
            }
        }
        _ => {}
    }
}

/// The text with everything filled in, and whether anything was.
fn expand(text: &str, around: &dyn Surroundings, depth: usize) -> Result<(String, bool), String> {
    let mut out = String::with_capacity(text.len());
    let mut is_filled = false;
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if let Some(after) = from.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some(inside) = from.strip_prefix("${") {
            let end =
                closing(inside).ok_or("has a ${ without a }: close it, or write $${ for the characters")?;
            let (name, after) = inside.split_at(end);
            out.push_str(&value(name, around, depth)?);
            is_filled = true;
            rest = after.strip_prefix('}').unwrap_or(after);
        } else {
            out.push('$');
            rest = from.strip_prefix('$').unwrap_or(from);
        }
    }
    out.push_str(rest);
    Ok((out, is_filled))
}

/// Where the brace closes that was open before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}

/// What stands for the inside of `${…}`.
fn value(inside: &str, around: &dyn Surroundings, depth: usize) -> Result<String, String> {
    if let Some(path) = inside.strip_prefix("file:") {
        let text = around
            .file(Path::new(path), LONGEST_FILE)
            .map_err(|error| format!("file {path} cannot be read: {error}"))?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        return Ok(text.strip_suffix('\r').unwrap_or(text).to_owned());
    }
    let (name, default) =
        inside.split_once(":-").map_or((inside, None), |(name, default)| (name, Some(default)));
    if !is_name(name) {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
        return Err(format!(
            "${{{shown}}} names no variable: write ${{NAME}}, ${{NAME:-default}} or ${{file:/path}}, and $$ for a dollar"
        ));
    }
    let found = around.variable(name);
    match (found, default) {
        // As in a shell, an empty variable gives way to the default.
        (Some(found), None) => Ok(found),
        (Some(found), Some(_)) if !found.is_empty() => Ok(found),
        (_, Some(default)) if depth < DEEPEST => expand(default, around, depth + 1).map(|(text, _)| text),
        (_, Some(_)) => Err(format!("has more than {DEEPEST} defaults in each other")),
        (None, None) => {
            Err(format!("environment variable {name} is not set: export it or write ${{{name}:-default}}"))
        }
    }
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn expanded(text: &str) -> Result<(String, bool), String> {
        let around: BTreeMap<String, String> = [("KEY", "sk-1"), ("EMPTY", ""), ("MONEY", "${KEY} $$")]
            .map(|(a, b)| (a.into(), b.into()))
            .into();
        expand(text, &around, 0)
    }

    #[test]
    fn variables_defaults_and_dollars_are_told_apart() {
        for (text, expect) in [
            ("plain", "plain"),
            ("${KEY}", "sk-1"),
            ("a ${KEY} b ${KEY}", "a sk-1 b sk-1"),
            ("${NONE:-}", ""),
            ("${NONE:-d: {x} #}", "d: {x} #"),
            ("${NONE:-${KEY}}", "sk-1"),
            ("${NONE:-${NEITHER:-z}}", "z"),
            ("${EMPTY}", ""),
            ("${EMPTY:-d}", "d"),
            ("$${KEY}", "${KEY}"),
            ("$$$$", "$$"),
            ("costs $5", "costs $5"),
            ("$", "$"),
            // What a variable holds is not looked at again.
            ("${MONEY}", "${KEY} $$"),
        ] {
            assert_eq!(expanded(text).unwrap().0, expect, "{text}");
        }
        assert!(!expanded("$$").unwrap().1 && expanded("${NONE:-}").unwrap().1);
    }

    #[test]
    fn what_cannot_be_filled_is_named_with_the_way_out() {
        for (text, part) in [
            ("${NONE}", "environment variable NONE is not set: export it or write ${NONE:-default}"),
            ("${KEY", "has a ${ without a }"),
            ("${}", "${} names no variable"),
            ("${1X}", "${1X} names no variable"),
            ("${A B}", "${A B} names no variable"),
            ("${file:/nowhere}", "file /nowhere cannot be read"),
        ] {
            let error = expanded(text).unwrap_err();
            assert!(error.contains(part) && !error.contains("sk-1"), "{text}: {error}");
        }
        let deep = "${N:-".repeat(100) + &"}".repeat(100);
        assert!(expanded(&deep).unwrap_err().contains("defaults in each other"));
    }
}
