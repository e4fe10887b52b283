//! Patterns for names of models and routes: `*` stands for any text, also none.

/// Whether `name` fits `pattern`, in time that grows with their lengths and not with their product.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').map_or(("", rest), |(middle, end)| (middle, end));
    // The first place where a part fits leaves the most for those after it.
    for part in middle.split('*').filter(|part| !part.is_empty()) {
        match left.split_once(part) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The slow and obvious reading.
    fn model(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|skip| model(rest, &name[skip..])),
            Some((first, rest)) => {
                name.split_first().is_some_and(|(n, left)| n == first && model(rest, left))
            }
        }
    }

    proptest! {
        /// A pattern fits what the slow reading says, whatever stars it has.
        #[test]
        fn stars_stand_for_any_text(pattern in "[ab*]{0,8}", name in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &name), model(pattern.as_bytes(), name.as_bytes()));
        }
    }

    #[test]
    fn a_pattern_without_stars_is_the_name_itself() {
        assert!(matches("gpt-4o", "gpt-4o") && !matches("gpt-4o", "gpt-4o-mini"));
        assert!(matches("gpt-4o*", "gpt-4o-mini") && matches("*/fast", "team/fast") && matches("*", ""));
    }
}
