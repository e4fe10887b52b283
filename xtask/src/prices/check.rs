//! What every price table must hold to.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::table::PriceFile;

/// From this age on a table is remarked on.
const REMARKABLE_DAYS: u32 = 180;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether a file, relative to the root, is a provider's price table.
pub(super) fn is_table(file: &str) -> bool {
    match file.split('/').collect::<Vec<_>>().as_slice() {
        ["crates", _, "prices.tsv"] => true,
        ["crates", _, "prices", name] => {
            Path::new(name).extension().is_some_and(|extension| extension == "tsv")
        }
        _ => false,
    }
}

/// A table that is in order.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) models: usize,
    pub(super) age: Days,
}

/// How long ago a table was read.
#[derive(Clone, Debug)]
pub(super) struct Days {
    count: u64,
    as_of: String,
}

/// What follows from an age.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Age {
    Fresh,
    Remarkable(String),
    TooOld(String),
}

impl Days {
    /// What follows where `most` days are allowed; without it nothing is too old.
    pub(super) fn of(&self, most: Option<u32>) -> Age {
        let Self { count, as_of } = self;
        let read = format!("read {count} days ago, on {as_of}");
        match most {
            Some(most) if *count > u64::from(most) => {
                Age::TooOld(format!("{read}, and {most} are allowed: read the prices again and update it"))
            }
            None if *count > u64::from(REMARKABLE_DAYS) => {
                Age::Remarkable(format!("{read}: prices may have changed"))
            }
            _ => Age::Fresh,
        }
    }
}

/// Holds one table to the rules.
///
/// # Errors
/// The first fault, as `file:line: what and how to mend it`.
pub(super) fn check(file: &str, text: &str, today: SystemTime) -> Result<Checked, String> {
    let table = PriceFile::parse(text).map_err(|error| format!("{file}:{}: {}", error.line, error.what))?;
    let written = table.write();
    if text != written {
        let line = text.lines().zip(written.lines()).position(|(is, should)| is != should);
        let line = line.unwrap_or_else(|| text.lines().count().min(written.lines().count()));
        let should = written.lines().nth(line).unwrap_or_default();
        return Err(format!(
            "{file}:{}: out of order or not in the shortest form, {should:?} belongs here: \
             `cargo xtask prices update {file} --from {file} --write` writes it so",
            line + 1
        ));
    }
    let prices = table.prices();
    if prices.is_empty() {
        return Err(format!("{file}: has no price: a provider without prices needs no table"));
    }
    let as_of = prices.as_of();
    let read = day(as_of).ok_or_else(|| format!("{file}: as-of: there is no day {as_of}"))?;
    // A day ahead is today somewhere on Earth.
    if read > today + DAY {
        return Err(format!("{file}: as-of: {as_of} is yet to come"));
    }
    let count = today.duration_since(read).unwrap_or_default().as_secs() / DAY.as_secs();
    Ok(Checked { models: prices.len(), age: Days { count, as_of: as_of.to_owned() } })
}

/// The beginning of a day, in UTC; `None` for one that no calendar has.
pub(super) fn day(text: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(&format!("{text}T00:00:00Z")).ok()
}

/// The time by which ages are counted.
#[expect(
    clippy::disallowed_methods,
    reason = "xtask is a shell: the age of a table is counted from its clock"
)]
pub(super) fn today() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# source: x\n# as-of: 2026-03-01\na\tstandard\t1\t-\t-\t2\nb\tstandard\t1\t-\t-\t2\n";

    fn checked(text: &str, today: &str) -> Result<Checked, String> {
        check("p.tsv", text, day(today).unwrap())
    }

    #[test]
    fn only_tables_of_crates_are_looked_at() {
        for table in ["crates/a/prices.tsv", "crates/a/prices/global.tsv"] {
            assert!(is_table(table), "{table}");
        }
        for other in
            ["xtask/templates/both/prices.tsv", "crates/a/tests/prices.tsv", "crates/a/prices/notes.md"]
        {
            assert!(!is_table(other), "{other}");
        }
    }

    #[test]
    fn each_fault_is_named_with_its_place_and_the_way_out() {
        for (from, to, part) in [
            ("# source: x\n", "", "p.tsv:1: needs a line `# source: …`"),
            ("# as-of: 2026-03-01\n", "", "needs a line `# as-of"),
            ("b\tstandard", "a\tstandard", "p.tsv:4: a: standard row given twice"),
            ("a\tstandard\t1", "c\tstandard\t1", "p.tsv:3: out of order"),
            ("a\tstandard\t1\t", "a\tstandard\t1.0\t", "p.tsv:3: out of order or not in the shortest form"),
            ("# source: x\n# as-of: 2026-03-01\n", "# source: x\n\n# as-of: 2026-03-01\n", "p.tsv:2: "),
            ("2026-03-01", "2026-02-30", "there is no day 2026-02-30"),
            ("2026-03-01", "2026-03-04", "2026-03-04 is yet to come"),
        ] {
            let bad = GOOD.replace(from, to);
            assert_ne!(bad, GOOD, "{from:?} is not in the table");
            let fault = checked(&bad, "2026-03-02").unwrap_err();
            assert!(fault.contains(part), "{part}: {fault}");
        }
        let empty = "# source: x\n# as-of: 2026-03-01\n";
        assert!(checked(empty, "2026-03-02").unwrap_err().contains("has no price"));
        let cut = GOOD.trim_end();
        assert!(checked(cut, "2026-03-02").unwrap_err().contains("p.tsv:5: "), "the last line has no end");
    }

    #[test]
    fn age_fails_only_when_asked_and_is_remarked_on_after_half_a_year() {
        let age = |today: &str, most| checked(GOOD, today).unwrap().age.of(most);
        assert_eq!(age("2026-03-01", Some(0)), Age::Fresh);
        assert_eq!(age("2026-02-28", Some(0)), Age::Fresh);
        assert_eq!(age("2026-08-28", None), Age::Fresh);
        assert!(matches!(age("2026-08-29", None), Age::Remarkable(text) if text.contains("181 days ago")));
        assert_eq!(age("2026-03-31", Some(30)), Age::Fresh);
        assert!(matches!(age("2026-04-01", Some(30)), Age::TooOld(text) if text.contains("31 days ago")));
        assert_eq!(age("2027-03-01", Some(1000)), Age::Fresh);
    }
}
