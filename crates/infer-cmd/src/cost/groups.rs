//! What is asked of the ledger, and its answer in the order in which it is printed.

use std::cmp::Reverse;
use std::time::{Duration, SystemTime};

use infer_core::Usd;
use infer_store::ledger::{Dimension, Group, Period, Query, Report, Sums};

use super::when::{self, When};

const HOUR: Duration = Duration::from_secs(3_600);

/// What spend is added up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum By {
    /// One sum a day
    Day,
    /// One sum an hour, as far back as hours are kept
    Hour,
    /// One sum a month
    Month,
    /// The model asked of the provider
    Model,
    /// The provider
    Provider,
    /// Whose key asked
    Key,
    /// The end user
    User,
    /// The callers' label
    Tag,
    /// The name that was routed
    Route,
}

/// A question that fits together.
#[derive(Clone, Debug)]
pub(super) struct Question {
    period: Option<Period>,
    dimensions: Vec<Dimension>,
    from: Option<SystemTime>,
    to: Option<SystemTime>,
}

/// An answer, the largest sums first in each period.
#[derive(Clone, Debug)]
pub(super) struct Spend {
    question: Question,
    covers: std::ops::Range<SystemTime>,
    pub(super) groups: Vec<Group>,
    pub(super) total: Sums,
}

enum Kind {
    Time(Period),
    Name(Dimension),
}

impl By {
    fn kind(self) -> Kind {
        match self {
            Self::Day => Kind::Time(Period::Day),
            Self::Hour => Kind::Time(Period::Hour),
            Self::Month => Kind::Time(Period::Month),
            Self::Model => Kind::Name(Dimension::Model),
            Self::Provider => Kind::Name(Dimension::Provider),
            Self::Key => Kind::Name(Dimension::Key),
            Self::User => Kind::Name(Dimension::User),
            Self::Tag => Kind::Name(Dimension::Tag),
            Self::Route => Kind::Name(Dimension::Route),
        }
    }
}

impl Question {
    /// Says what does not fit together.
    pub(super) fn new(by: &[By], from: Option<&When>, to: Option<&When>) -> Result<Self, String> {
        let (mut period, mut dimensions) = (None, Vec::new());
        for kind in by.iter().map(|by| by.kind()) {
            match kind {
                Kind::Time(time) if period.is_none_or(|known| known == time) => period = Some(time),
                Kind::Time(_) => {
                    return Err("--by: only one of hour, day and month fits in one report".to_owned());
                }
                Kind::Name(name) if dimensions.contains(&name) => {}
                Kind::Name(name) => dimensions.push(name),
            }
        }
        if let (Some(from), Some(to)) = (from, to)
            && from.start >= to.end
        {
            let (from, to) = (&from.text, &to.text);
            return Err(format!("--from {from} does not lie before the end of --to {to}: exchange them"));
        }
        Ok(Self { period, dimensions, from: from.map(|when| when.start), to: to.map(|when| when.end) })
    }

    pub(super) fn query(&self) -> Query {
        let mut query = Query::new();
        (query.from, query.to, query.period) = (self.from, self.to, self.period);
        query.by.clone_from(&self.dimensions);
        query
    }
}

impl Spend {
    pub(super) fn new(question: Question, report: Report) -> Self {
        let Report { covers, mut groups, total, .. } = report;
        groups.sort_by(|a, b| {
            let key = |group: &Group| (group.start, Reverse((group.sums.cost, group.sums.calls)));
            (key(a), &a.names).cmp(&(key(b), &b.names))
        });
        Self { question, covers, groups, total }
    }

    /// What it is added up by: the period, then the names.
    pub(super) fn by(&self) -> Vec<&'static str> {
        let period = self.question.period.map(|period| match period {
            Period::Hour => "hour",
            Period::Day => "day",
            Period::Month => "month",
        });
        period.into_iter().chain(self.question.dimensions.iter().map(|name| name.name())).collect()
    }

    /// What a group is called in each of these; `None` for calls that had no such name.
    pub(super) fn labels(&self, group: &Group) -> Vec<Option<String>> {
        let start = group.start.zip(self.question.period).map(|(start, period)| match period {
            Period::Hour => when::hour(start),
            Period::Day => when::short(start),
            Period::Month => when::month(start),
        });
        let names = group.names.iter().map(|name| name.as_deref().map(str::to_owned));
        start.map(Some).into_iter().chain(names).collect()
    }

    /// Where the sums begin and end; `None` for an open end.
    pub(super) fn ends(&self) -> (Option<SystemTime>, Option<SystemTime>) {
        let is_open = self.question.from.is_none() && self.covers.start == SystemTime::UNIX_EPOCH;
        ((!is_open).then_some(self.covers.start), self.question.to.map(|_| self.covers.end))
    }

    /// What a person should know about the sums.
    pub(super) fn remarks(&self) -> Vec<String> {
        let (covers, asked) = (&self.covers, &self.question);
        let mut remarks = Vec::new();
        if self.groups.is_empty() {
            remarks.push("there are no calls in this time".to_owned());
        }
        if covers.start > asked.from.unwrap_or(SystemTime::UNIX_EPOCH) {
            let start = when::short(covers.start);
            remarks.push(format!("hours are kept from {start} on: --by day has what was before"));
        }
        let is_far =
            |early: SystemTime, late: SystemTime| late.duration_since(early).is_ok_and(|gap| gap >= HOUR);
        if asked.from.is_some_and(|from| is_far(covers.start, from))
            || asked.to.is_some_and(|to| is_far(to, covers.end))
        {
            let (start, end) = (when::short(covers.start), when::short(covers.end));
            remarks.push(format!(
                "these are whole days, from {start} up to {end}: hours that old are no longer kept"
            ));
        }
        if self.total.unpriced > 0 {
            let Sums { unpriced, calls, .. } = self.total;
            remarks.push(format!("unpriced: {unpriced} of {calls} calls, whose cost is in no sum"));
        }
        remarks
    }
}

/// What is known of a cost; `None` where nothing is, which is not the same as $0.
pub(super) fn known(sums: &Sums) -> Option<Usd> {
    (sums.cost > Usd::ZERO || sums.unpriced == 0).then_some(sums.cost)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Spend by these, one group a row: its names, its calls, how many of them are unpriced, and its cost in
    /// pico-dollars.
    pub(in crate::cost) fn spend(by: &[By], rows: &[(&[&str], u64, u64, u128)]) -> Spend {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let ledger =
            infer_store::Ledger::open(directory.path(), infer_store::LedgerConfig::default()).unwrap();
        for (names, calls, unpriced, picos) in rows {
            for call in 0..*calls {
                let mut row = infer_store::LedgerRow::new(SystemTime::UNIX_EPOCH, names[0], "r");
                row.key = names.get(1).map(|key| (*key).to_owned());
                row.usage = infer_core::Usage::new(10, 2);
                row.cost = match call {
                    call if call < *unpriced => infer_store::ledger::RowCost::Unpriced("no price".into()),
                    call if call == *unpriced => {
                        infer_store::ledger::RowCost::Priced(Usd::from_picos(*picos))
                    }
                    _ => infer_store::ledger::RowCost::Nothing,
                };
                ledger.offer(row).unwrap();
            }
        }
        runtime.block_on(ledger.flush()).unwrap();
        let question = Question::new(by, None, None).unwrap();
        let report = ledger.query(&question.query()).unwrap();
        Spend::new(question, report)
    }

    #[test]
    fn the_largest_sums_come_first_and_what_is_unpriced_has_no_known_cost() {
        let spend = spend(
            &[By::Model],
            &[(&["a"], 1, 0, 5), (&["b"], 1, 0, 50), (&["c"], 2, 2, 0), (&["d"], 1, 0, 0)],
        );
        let known: Vec<_> = spend
            .groups
            .iter()
            .map(|group| (spend.labels(group).remove(0).unwrap(), known(&group.sums)))
            .collect();
        let usd = |picos| Some(Usd::from_picos(picos));
        let expect = [("b", usd(50)), ("a", usd(5)), ("c", None), ("d", usd(0))];
        assert_eq!(known, expect.map(|(name, cost)| (name.to_owned(), cost)));
        assert_eq!(spend.remarks(), ["unpriced: 2 of 5 calls, whose cost is in no sum"]);
    }

    #[test]
    fn periods_and_ends_must_fit_together() {
        assert!(Question::new(&[By::Day, By::Hour], None, None).unwrap_err().contains("only one of"));
        assert!(Question::new(&[By::Day, By::Model, By::Day, By::Model], None, None).is_ok());
        let (first, second) = (When::parse("2026-11-01").unwrap(), When::parse("2026-11-02").unwrap());
        assert!(Question::new(&[], Some(&second), Some(&first)).unwrap_err().contains("--from 2026-11-02"));
        assert!(Question::new(&[], Some(&first), Some(&first)).is_ok(), "a day is not empty");
        let moment = When::parse("2026-11-01T00:00Z").unwrap();
        assert!(Question::new(&[], Some(&moment), Some(&moment)).is_err());
    }
}
