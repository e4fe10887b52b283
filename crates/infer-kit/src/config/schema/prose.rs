//! Documentation of members as plain text.

/// The lines of a doc comment in one piece: links become what they are called.
pub(crate) fn prose(lines: &[&str]) -> String {
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
