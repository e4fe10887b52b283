//! Sums by time and group, from the buckets of hours and days.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use jiff::tz::TimeZone;
use redb::ReadableDatabase;
use serde::{Deserialize, Serialize};

use super::names::{Dimension, Names};
use super::rollup::{self, Level, OPEN, SEALED};
use super::shared::Shared;
use super::sums::Sums;
use super::{Ledger, LedgerConfig};
use crate::StoreError;
use crate::clock;

/// A question to the ledger.
///
/// ```
/// use infer_store::ledger::{Dimension, Period, Query};
/// let spend = Query::new().by_period(Period::Day).by(Dimension::Model).only(Dimension::Key, ["team-a"]);
/// assert_eq!(spend.by, [Dimension::Model]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Query {
    /// From here on, drawn down to the hour. From the beginning when absent.
    #[serde(with = "clock::moments::maybe")]
    pub from: Option<SystemTime>,
    /// Up to and without here, drawn up to the hour. To the end when absent.
    #[serde(with = "clock::moments::maybe")]
    pub to: Option<SystemTime>,
    /// One group for every period; one for the whole time when absent.
    pub period: Option<Period>,
    /// One group for every name of these, in this order.
    pub by: Vec<Dimension>,
    /// Only rows with one of these names.
    pub only: Vec<(Dimension, Vec<String>)>,
}

/// A stretch of time, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// An hour. Sums by hour are kept for [`LedgerConfig::keep_hours`](super::LedgerConfig::keep_hours).
    Hour,
    /// A day.
    Day,
    /// A calendar month.
    Month,
}

/// An answer of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The time that the sums cover: whole hours around what was asked, whole days where hours are no longer kept.
    pub covers: Range<SystemTime>,
    /// The groups, by period and then by names.
    pub groups: Vec<Group>,
    /// All of them together.
    pub total: Sums,
}

/// One group of a [`Report`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Group {
    /// When its period begins, if periods were asked for.
    #[serde(with = "clock::moments::maybe")]
    pub start: Option<SystemTime>,
    /// Its names in the order asked for; `None` for calls that had none.
    #[serde(with = "texts")]
    pub names: Vec<Option<Arc<str>>>,
    /// What it adds up to.
    pub sums: Sums,
}

impl Query {
    /// Everything in one group.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only this stretch of time.
    #[must_use]
    pub fn between(mut self, from: SystemTime, to: SystemTime) -> Self {
        (self.from, self.to) = (Some(from), Some(to));
        self
    }

    /// Only from here on.
    #[must_use]
    pub fn since(mut self, from: SystemTime) -> Self {
        self.from = Some(from);
        self
    }

    /// One group for every period.
    #[must_use]
    pub fn by_period(mut self, period: Period) -> Self {
        self.period = Some(period);
        self
    }

    /// One group for every name of `dimension`.
    #[must_use]
    pub fn by(mut self, dimension: Dimension) -> Self {
        self.by.push(dimension);
        self
    }

    /// Only rows with one of these names.
    #[must_use]
    pub fn only(mut self, dimension: Dimension, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.only.push((dimension, names.into_iter().map(Into::into).collect()));
        self
    }
}

/// Names as they are written: serde's own way for shared texts is a feature that no other code here needs.
mod texts {
    use std::sync::Arc;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        names: &[Option<Arc<str>>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(names.iter().map(Option::as_deref))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Option<Arc<str>>>, D::Error> {
        let names = Vec::<Option<String>>::deserialize(deserializer)?;
        Ok(names.into_iter().map(|name| name.map(Arc::from)).collect())
    }
}

/// Which buckets answer a question.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    hours: Range<u32>,
    parts: Vec<(Level, Range<u32>)>,
}

impl Ledger {
    /// Answers a question from the sums, in time that depends on groups and periods and not on rows.
    ///
    /// Sees all rows that were acknowledged before. Reads the disk, so call it where blocking is allowed.
    ///
    /// # Errors
    /// Why the ledger cannot be read.
    pub fn query(&self, query: &Query) -> Result<Report, StoreError> {
        answer(&self.handle.shared, query)
    }

    /// Answers a question to the ledger in `directory`, also while another process has it open: that one is asked then,
    /// on the socket `ledger.sock` beside the file.
    ///
    /// What that process has not written yet is not in the answer. Blocks, for half a minute at most while the other
    /// process is stuck.
    ///
    /// # Errors
    /// As for [`Ledger::open`]; [`StoreError::Locked`] when the process that has it open cannot be asked, because its
    /// system has no such sockets or the path is too long for one.
    pub fn query_at(directory: impl AsRef<Path>, query: &Query) -> Result<Report, StoreError> {
        let directory = directory.as_ref();
        for _ in 0..ATTEMPTS {
            match Self::open(directory, LedgerConfig::default()) {
                Ok(ledger) => {
                    let report = ledger.query(query)?;
                    ledger.close()?;
                    return Ok(report);
                }
                Err(StoreError::Locked { .. }) => {}
                Err(error) => return Err(error),
            }
            #[cfg(unix)]
            if let Some(answer) = super::socket::ask(directory, query) {
                return answer;
            }
        }
        Err(StoreError::Locked { path: directory.to_owned() })
    }
}

/// How often to look whether a process that had the ledger open, and does not listen, has ended meanwhile.
const ATTEMPTS: usize = 3;

/// The report for `query`.
pub(super) fn answer(shared: &Shared, query: &Query) -> Result<Report, StoreError> {
    let plan = plan(query, shared.hours_from.load(Ordering::Acquire));
    let groups = gather(shared, query, &plan)?;
    let names = shared.names.read().unwrap_or_else(PoisonError::into_inner);
    let mut total = Sums::default();
    let mut groups: Vec<Group> = groups
        .into_iter()
        .map(|((start, numbers), sums)| {
            total.add(&sums);
            let of = |(dimension, number): (&Dimension, u32)| names.name(*dimension as usize, number);
            Group {
                start: query.period.map(|_| clock::hour_start(start)),
                names: query.by.iter().zip(numbers).map(of).collect(),
                sums,
            }
        })
        .collect();
    groups.sort_unstable_by(|a, b| (a.start, &a.names).cmp(&(b.start, &b.names)));
    Ok(Report {
        covers: clock::hour_start(plan.hours.start)..clock::hour_start(plan.hours.end),
        groups,
        total,
    })
}

/// Sums by the start of the period and the numbers of the names asked for.
type Gathered = HashMap<(u32, rollup::Group), Sums>;

fn gather(shared: &Shared, query: &Query, plan: &Plan) -> Result<Gathered, StoreError> {
    let Some(wanted) = wanted(query, &shared.names.read().unwrap_or_else(PoisonError::into_inner)) else {
        return Ok(Gathered::new());
    };
    let database = shared.database()?;
    let scanned = || -> Result<Gathered, redb::Error> {
        let read = database.begin_read()?;
        let (open, sealed) = (read.open_table(OPEN)?, read.open_table(SEALED)?);
        let mut groups = Gathered::new();
        let mut months = Months::default();
        for (level, buckets) in &plan.parts {
            rollup::scan(&open, &sealed, *level, buckets.clone(), |bucket, group, sums| {
                let named = |dimension: Dimension| group.get(dimension as usize).copied().unwrap_or_default();
                if !wanted.iter().all(|(dimension, allowed)| allowed.contains(&named(*dimension))) {
                    return;
                }
                let mut numbers = rollup::Group::default();
                for (place, dimension) in numbers.iter_mut().zip(&query.by) {
                    *place = named(*dimension);
                }
                let hour = level.first_hour(bucket);
                let start = match query.period {
                    None => 0,
                    Some(Period::Hour) => hour,
                    Some(Period::Day) => hour / 24 * 24,
                    Some(Period::Month) => months.start(hour),
                };
                groups.entry((start, numbers)).or_default().add(sums);
            })?;
        }
        Ok(groups)
    };
    scanned().map_err(|error| shared.fault(&error))
}

/// The numbers of the names asked for; `None` when a name is unknown to all rows, so that nothing can fit.
fn wanted(query: &Query, names: &Names) -> Option<Vec<(Dimension, Vec<u32>)>> {
    let numbers = |(dimension, texts): &(Dimension, Vec<String>)| {
        let known: Vec<u32> =
            texts.iter().filter_map(|name| names.known(*dimension, super::names::kept(name))).collect();
        (!known.is_empty()).then_some((*dimension, known))
    };
    query.only.iter().map(numbers).collect()
}

/// Days where they are whole, hours at the edges; outwards to whole days where hours are no longer kept.
fn plan(query: &Query, hours_from: u32) -> Plan {
    const END: u32 = 24 * (u32::MAX / 24 - 1);
    let up = |hour: u32| hour.div_ceil(24).saturating_mul(24).min(END);
    let down = |hour: u32| hour / 24 * 24;
    let mut start = query.from.map_or(0, clock::hour);
    let mut end = query.to.map_or(END, |to| {
        let hour = clock::hour(to);
        if clock::hour_start(hour) < to { hour + 1 } else { hour }
    });
    if query.period == Some(Period::Hour) {
        start = start.max(hours_from);
        end = end.max(start);
        return Plan { hours: start..end, parts: vec![(Level::Hour, start..end)] };
    }
    // `hours_from` begins a day, so a day is kept by the hour as a whole or not at all.
    if start < hours_from {
        start = down(start);
    }
    if end < hours_from {
        end = up(end);
    }
    end = end.max(start);
    let (first, last) = (up(start).min(end), down(end).max(start));
    let parts = if first >= last {
        // No whole day lies between; of one that is no longer kept by the hour both ends are the day's.
        vec![(Level::Hour, start..end)]
    } else {
        vec![(Level::Hour, start..first), (Level::Day, first / 24..last / 24), (Level::Hour, last..end)]
    };
    Plan { hours: start..end, parts }
}

/// The first hours of calendar months, each worked out once.
#[derive(Default)]
struct Months(BTreeMap<u32, u32>);

impl Months {
    fn start(&mut self, hour: u32) -> u32 {
        let day = hour / 24;
        *self.0.entry(day).or_insert_with(|| {
            let first = jiff::Timestamp::try_from(clock::hour_start(day.saturating_mul(24)))
                .and_then(|at| at.to_zoned(TimeZone::UTC).first_of_month())
                .map(|month| SystemTime::from(month.timestamp()));
            first.map_or(0, clock::hour)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Every hour from the start to the end is counted exactly once, by its hour or by its day, and hours that are
        /// no longer kept only by their day.
        #[test]
        fn a_plan_covers_every_hour_once(from in 0_u32..400, length in 0_u32..400, kept_from in 0_u32..17) {
            let hours_from = kept_from * 24;
            let query = Query::new().between(clock::hour_start(from), clock::hour_start(from + length));
            let plan = plan(&query, hours_from);
            let mut covered = Vec::new();
            for (level, buckets) in &plan.parts {
                for bucket in buckets.clone() {
                    match level {
                        Level::Hour => {
                            prop_assert!(bucket >= hours_from);
                            covered.push(bucket);
                        }
                        Level::Day => covered.extend(bucket * 24..bucket * 24 + 24),
                    }
                }
            }
            prop_assert_eq!(covered, plan.hours.clone().collect::<Vec<_>>());
            prop_assert!(plan.hours.start <= from && plan.hours.end >= from + length);
            if from >= hours_from {
                prop_assert_eq!(plan.hours, from..from + length);
            }
        }
    }

    #[test]
    fn a_month_begins_at_its_first_hour_in_utc() {
        let hour = |text: &str| clock::hour(text.parse::<jiff::Timestamp>().unwrap().into());
        let mut months = Months::default();
        assert_eq!(months.start(hour("2024-02-29T23:00:00Z")), hour("2024-02-01T00:00:00Z"));
        assert_eq!(months.start(hour("1970-01-01T05:00:00Z")), 0);
    }
}
