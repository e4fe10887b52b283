//! What members are for, as plain text.

use remote_core::MemberDocs;
use serde_json::Value as Json;

/// Writes what `docs` say into the schema of a table, whose members go by `aliases` as well.
pub(crate) fn describe(schema: &mut Json, aliases: &[(&str, &str)], docs: MemberDocs) {
    let Some(Json::Object(members)) = schema.get_mut("properties") else { return };
    for (name, member) in members {
        let own = aliases.iter().find(|(alias, _)| alias == name).map_or(name.as_str(), |(_, own)| own);
        let text = docs.iter().find(|(known, _)| *known == own).map(|(_, lines)| prose(lines));
        if let (Some(text), Some(member)) = (text.filter(|text| !text.is_empty()), member.as_object_mut()) {
            member.insert("description".to_owned(), Json::from(text));
        }
    }
}

/// The lines of a doc comment in one piece: links become what they are called.
fn prose(lines: &[&str]) -> String {
    let text: Vec<_> = lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    unlinked(&text.join(" "))
}

/// `[text](target)` and ``[`text`]`` as `text`.
fn unlinked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('[') {
        out.push_str(before);
        let Some((name, after)) = from.split_once(']') else {
            out.push('[');
            rest = from;
            continue;
        };
        let target = after.strip_prefix('(').and_then(|target| target.split_once(')'));
        rest = match target {
            Some((_, after)) => after,
            None if name.starts_with('`') => after,
            // Brackets that are no link stay.
            None => {
                out.push('[');
                rest = from;
                continue;
            }
        };
        out.push_str(name);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_what_they_are_called_and_other_brackets_stay() {
        for (lines, text) in [
            (
                &[" The key. See", " [`Secret`](crate::Secret) and [`Other`].", ""][..],
                "The key. See `Secret` and `Other`.",
            ),
            (&[" A list [1, 2] of", " [words](x), and [ open"], "A list [1, 2] of words, and [ open"),
            (&[""], ""),
        ] {
            assert_eq!(prose(lines), text);
        }
    }
}
