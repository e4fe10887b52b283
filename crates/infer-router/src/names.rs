//! Names that were perhaps meant.

/// Similarity from which on a name is worth proposing, 0 to 1.
const NEAR: f64 = 0.82;

/// How long a name may be for others to be compared with it: a stranger chooses it.
const LONGEST: usize = 128;

/// `; did you mean "a" or "b"?`, or nothing.
pub(crate) fn near<S: AsRef<str>>(name: &str, known: impl IntoIterator<Item = S>) -> String {
    if name.len() > LONGEST {
        return String::new();
    }
    let mut scored: Vec<(f64, S)> = known
        .into_iter()
        .map(|other| (strsim::jaro_winkler(name, other.as_ref()), other))
        .filter(|(score, other)| *score >= NEAR && other.as_ref() != name)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.as_ref().cmp(b.1.as_ref())));
    let names: Vec<_> = scored.iter().take(3).map(|(_, other)| format!("{:?}", other.as_ref())).collect();
    if names.is_empty() { String::new() } else { format!("; did you mean {}?", names.join(" or ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_met_with_the_nearest_names_and_a_strange_name_with_none() {
        let known = ["gpt-4o", "gpt-4o-mini", "claude-sonnet", "llama"];
        assert_eq!(near("gpt4o", known), "; did you mean \"gpt-4o\" or \"gpt-4o-mini\"?");
        assert_eq!(near("clade-sonnet", known), "; did you mean \"claude-sonnet\"?");
        assert_eq!(near("whisper", known), "");
        assert_eq!(near(&"g".repeat(1 << 20), known), "");
    }
}
