//! A day of the calendar, as price lists and shutdown notices write it.

use std::fmt;
use std::str::FromStr;

/// A day, ordered by time.
///
/// Knows no clock: whoever asks whether a day has passed says which day it is.
///
/// ```
/// use model_facts::Day;
/// let end: Day = "2026-12-11".parse()?;
/// assert!(end > "2026-11-21".parse()?);
/// assert_eq!(end.to_string(), "2026-12-11");
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day {
    year: u16,
    month: u8,
    of_month: u8,
}

impl FromStr for Day {
    type Err = String;

    /// Reads `YYYY-MM-DD`.
    fn from_str(text: &str) -> Result<Self, String> {
        read(text).ok_or_else(|| format!("not a day: {:?}: write YYYY-MM-DD", glimpse(text)))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.of_month)
    }
}

fn read(text: &str) -> Option<Day> {
    let shaped = text.len() == 10
        && text.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !shaped {
        return None;
    }
    let mut parts = text.split('-');
    let year: u16 = parts.next()?.parse().ok()?;
    let month: u8 = parts.next()?.parse().ok()?;
    let of_month: u8 = parts.next()?.parse().ok()?;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=days).contains(&of_month).then_some(Day { year, month, of_month })
}

/// The beginning of a text that somebody else wrote, for an error of one line.
pub(crate) fn glimpse(text: &str) -> String {
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_no_calendar_has_is_refused() {
        for text in [
            "2026-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-04-31",
            "2026-4-1",
            "",
            "2026-11-2é",
            "1900-02-29",
        ] {
            let error = text.parse::<Day>().unwrap_err();
            assert!(error.contains("write YYYY-MM-DD"), "{error}");
        }
        assert!("2028-02-29".parse::<Day>().is_ok());
        assert!("2000-02-29".parse::<Day>().is_ok());
    }
}
