//! Questions and answers as lines of JSON: one line asks; the answer is the time it covers, a line for each group, and the
//! total, which says that nothing is missing.

use std::ops::Range;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::query::{Group, Query, Report};
use super::sums::Sums;
use crate::clock;

/// The longest line, in bytes; the longest names there are fit several times.
pub(super) const MAX_LINE: usize = 64 << 10;
/// The most groups in one answer.
const MAX_GROUPS: usize = 1 << 22;

/// A line of an answer.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Covers {
        #[serde(with = "clock::moments")]
        from: SystemTime,
        #[serde(with = "clock::moments")]
        to: SystemTime,
    },
    Group(Group),
    Total(Sums),
    Error(String),
}

/// The line that asks.
pub(super) fn question(query: &Query) -> Vec<u8> {
    let mut line = serde_json::to_vec(query).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Reads a line that asks, or says what is wrong with it.
pub(super) fn read_question(line: &[u8]) -> Result<Query, String> {
    if line.last() != Some(&b'\n') {
        return Err(format!("a question is one line of at most {MAX_LINE} bytes"));
    }
    serde_json::from_slice(line).map_err(|error| format!("not a question: {error}"))
}

/// The lines of an answer, a few at a time.
pub(super) fn answer(report: Result<Report, String>) -> impl Iterator<Item = Vec<u8>> {
    let lines: Box<dyn Iterator<Item = Line> + Send> = match report {
        Ok(Report { covers, groups, total }) => {
            let first = Line::Covers { from: covers.start, to: covers.end };
            let groups = groups.into_iter().map(Line::Group);
            Box::new(std::iter::once(first).chain(groups).chain([Line::Total(total)]))
        }
        Err(what) => Box::new(std::iter::once(Line::Error(what))),
    };
    lines.map(|line| {
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    })
}

/// An answer that is being read.
#[derive(Debug, Default)]
pub(super) struct Answer {
    covers: Option<Range<SystemTime>>,
    groups: Vec<Group>,
}

impl Answer {
    /// Takes the next line; the report once it is the last one, or what is wrong.
    pub(super) fn take(&mut self, line: &[u8]) -> Result<Option<Report>, String> {
        match serde_json::from_slice(line).map_err(|error| format!("not an answer: {error}"))? {
            Line::Covers { from, to } => self.covers = Some(from..to),
            Line::Group(_) if self.groups.len() >= MAX_GROUPS => {
                return Err(format!("the answer has more than {MAX_GROUPS} groups: ask for fewer"));
            }
            Line::Group(group) => self.groups.push(group),
            Line::Total(total) => {
                let covers = self.covers.take().ok_or("not an answer: it covers no time")?;
                return Ok(Some(Report { covers, groups: std::mem::take(&mut self.groups), total }));
            }
            Line::Error(what) => return Err(what),
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use infer_core::Usd;
    use proptest::prelude::*;

    use super::*;
    use crate::clock::moment;
    use crate::ledger::{Dimension, Period};

    proptest! {
        /// A report comes back as it was, whatever its names and sums, and is not whole before its last line.
        #[test]
        fn a_report_survives_its_lines(
            ends in (any::<u64>(), any::<u64>()),
            groups in prop::collection::vec(
                (prop::option::of(any::<u64>()), prop::collection::vec(prop::option::of(any::<String>()), 0..4), any::<[u64; 3]>(), any::<u128>()),
                0..5,
            ),
        ) {
            let groups = groups.into_iter().map(|(start, names, counts, picos)| {
                let mut sums = Sums::default();
                [sums.calls, sums.unpriced, sums.reasoning_tokens] = counts;
                sums.cost = Usd::from_picos(picos);
                let names = names.into_iter().map(|name| name.map(Arc::from)).collect();
                Group { start: start.map(moment), names, sums }
            });
            let mut report = Report { covers: moment(ends.0)..moment(ends.1), groups: groups.collect(), total: Sums::default() };
            report.total.calls = 7;
            let lines: Vec<_> = answer(Ok(report.clone())).collect();
            let mut read = Answer::default();
            let (last, before) = lines.split_last().unwrap();
            for line in before {
                prop_assert_eq!(read.take(line), Ok(None));
            }
            prop_assert_eq!(read.take(last), Ok(Some(report)));
        }

        /// Any line is read or refused.
        #[test]
        fn lines_of_anything_are_refused_without_a_panic(line: Vec<u8>) {
            prop_assert!(Answer::default().take(&line).is_err());
            prop_assert!(read_question(&line).is_err());
        }
    }

    #[test]
    fn a_question_survives_its_line_and_an_unknown_member_is_refused() {
        let query = Query::new()
            .between(moment(1), moment(1 << 50))
            .by_period(Period::Month)
            .by(Dimension::Key)
            .only(Dimension::Model, ["a\nb", "ü"]);
        for query in [query, Query::new()] {
            let line = question(&query);
            assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
            assert_eq!(read_question(&line), Ok(query));
        }
        let told = read_question(b"{\"bye\":[]}\n").unwrap_err();
        assert!(told.contains("unknown field `bye`"), "{told}");
        assert!(read_question(b"{}").unwrap_err().contains("one line"));
    }
}
