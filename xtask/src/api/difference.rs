//! What came and what went between two texts whose lines stand in no order that matters.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The lines that only one text has, at most `shown` of them; none when there are no such lines.
///
/// Old and new of one item stand together, since they begin alike.
pub(super) fn between(old: &str, new: &str, shown: usize) -> Option<String> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for line in items(old) {
        *counts.entry(line).or_default() -= 1;
    }
    for line in items(new) {
        *counts.entry(line).or_default() += 1;
    }
    counts.retain(|_, count| *count != 0);
    if counts.is_empty() {
        return None;
    }
    let came = counts.values().filter(|count| **count > 0).count();
    let mut text = format!("{came} came, {} went", counts.len() - came);
    for (line, count) in counts.iter().take(shown) {
        _ = write!(text, "\n  {} {line}", if *count > 0 { '+' } else { '-' });
    }
    if let Some(more @ 1..) = counts.len().checked_sub(shown) {
        _ = write!(text, "\n  … and {more} more");
    }
    Some(text)
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with('#') || line.starts_with("#["))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_signature_shows_both_of_its_lines_together() {
        let old = "# head\npub fn a::b(x: u32)\npub fn a::c()\npub struct a::D\n";
        let new = "# another head\npub fn a::b(x: u64)\npub fn a::c()\npub struct a::D\n#[non_exhaustive] pub enum a::E\n";
        let shown = between(old, new, 9).unwrap();
        let expected = "2 came, 1 went\n  + #[non_exhaustive] pub enum a::E\n  - pub fn a::b(x: u32)\n  + pub fn a::b(x: u64)";
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_same_lines_in_another_order_are_no_difference() {
        assert_eq!(between("a\nb\n", "b\na", 9), None);
    }

    #[test]
    fn no_more_lines_are_shown_than_asked_for_and_the_rest_is_counted() {
        let new: Vec<String> = (0..30).map(|n| format!("pub fn a::f{n:02}()")).collect();
        let shown = between("", &new.join("\n"), 20).unwrap();
        assert_eq!(shown.lines().count(), 22);
        assert!(shown.starts_with("30 came, 0 went\n") && shown.ends_with("… and 10 more"), "{shown}");
    }
}
