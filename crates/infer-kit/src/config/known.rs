//! What somebody may have meant.

/// The known name nearest to `given`, if one is near enough to have been meant.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Long names are not what a person mistyped, and comparing them costs their product.
    if given.len() > 64 {
        return None;
    }
    let given = given.to_ascii_lowercase();
    known
        .into_iter()
        .filter(|name| name.len() <= 64)
        .map(|name| (distance(&given, name), name))
        .filter(|(distance, name)| *distance <= 1 + given.len().max(name.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn distance(given: &str, name: &str) -> usize {
    // `timeout` for `timeouts.total`, `key` for `api_key`: a part that was left out is nearer than letters say.
    let within = given.len() >= 3 && (name.contains(given) || name.len() >= 3 && given.contains(name));
    let letters = strsim::damerau_levenshtein(given, name);
    if within { letters.min(2) } else { letters }
}

/// `unknown key; did you mean timeout?`, or all that is known where nothing is near.
pub(crate) fn unknown<'a>(what: &str, given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<_> = known.into_iter().collect();
    match nearest(given, known.iter().copied()) {
        Some(near) => format!("unknown {what}; did you mean {near}?"),
        None if known.is_empty() => format!("unknown {what}: there is none"),
        None => format!("unknown {what}: known are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_the_one_that_was_meant() {
        let known = ["timeouts", "retry", "rate_limits", "api_key", "endpoint", "base_url"];
        for (given, meant) in [
            ("timeuot", Some("timeouts")),
            ("TIMEOUTS", Some("timeouts")),
            ("key", Some("api_key")),
            ("apikey", Some("api_key")),
            ("ratelimits", Some("rate_limits")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, known), meant, "{given}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), known), None);
        assert_eq!(unknown("kind", "zzz", ["a", "b"]), "unknown kind: known are a, b");
    }
}
