//! What was spent today and this month, by model and by key. Days and months are those of UTC, as in the ledger.

use std::collections::HashMap;
use std::sync::Arc;

use infer_core::Usd;
use infer_store::ledger::{OTHER_NAME, Sums};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::view::{SpanView, SpendRow};

/// How many names are kept apart; the rest are counted together.
const MAX_NAMES: usize = 200;
/// How many names are shown; the rest are added up.
const SHOWN: usize = 30;

/// A stretch of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Day,
    Month,
}

/// What names are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Model,
    Key,
}

/// What one call adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bill {
    pub(crate) calls: u64,
    pub(crate) failed: u64,
    pub(crate) unpriced: u64,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) cost: Usd,
}

impl Bill {
    fn add(&mut self, more: &Self) {
        self.calls = self.calls.saturating_add(more.calls);
        self.failed = self.failed.saturating_add(more.failed);
        self.unpriced = self.unpriced.saturating_add(more.unpriced);
        self.input_tokens = self.input_tokens.saturating_add(more.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(more.output_tokens);
        self.cost = self.cost.saturating_add(more.cost);
    }

    fn row(&self, name: Option<&str>) -> SpendRow {
        SpendRow {
            name: name.map(str::to_owned),
            calls: self.calls,
            failed: self.failed,
            unpriced: self.unpriced,
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            cost_usd: self.cost.as_usd(),
        }
    }
}

impl From<&Sums> for Bill {
    fn from(sums: &Sums) -> Self {
        Self {
            calls: sums.calls,
            failed: sums.failed,
            unpriced: sums.unpriced,
            input_tokens: sums.input_tokens,
            output_tokens: sums.output_tokens,
            cost: sums.cost,
        }
    }
}

/// The spend of one stretch, which is forgotten when the next begins.
#[derive(Debug)]
pub(crate) struct Spend {
    span: Span,
    began: u64,
    ends: u64,
    total: Bill,
    models: Names,
    keys: Names,
}

impl Spend {
    pub(crate) fn new(span: Span) -> Self {
        Self {
            span,
            began: 0,
            ends: 0,
            total: Bill::default(),
            models: Names::default(),
            keys: Names::default(),
        }
    }

    /// Begins anew if `second` lies in another stretch. A clock that steps back a little begins none.
    pub(crate) fn advance(&mut self, second: u64) {
        let is_far_back = second.saturating_add(self.ends - self.began) < self.began;
        if second < self.ends && !is_far_back {
            return;
        }
        (self.began, self.ends) = around(self.span, second);
        self.total = Bill::default();
        self.models = Names::default();
        self.keys = Names::default();
    }

    /// When the stretch began, in seconds since 1970.
    pub(crate) fn began(&self) -> u64 {
        self.began
    }

    pub(crate) fn add(&mut self, model: Option<&Arc<str>>, key: Option<&Arc<str>>, bill: &Bill) {
        self.total.add(bill);
        self.models.add(model, bill);
        self.keys.add(key, bill);
    }

    /// Takes over what was spent before; the total comes with the models.
    pub(crate) fn restore(&mut self, by: By, name: Option<&Arc<str>>, bill: &Bill) {
        match by {
            By::Model => {
                self.total.add(bill);
                self.models.add(name, bill);
            }
            By::Key => self.keys.add(name, bill),
        }
    }

    pub(crate) fn view(&self) -> SpanView {
        SpanView {
            began: self.began.saturating_mul(1_000),
            total: self.total.row(None),
            by_model: self.models.rows(),
            by_key: self.keys.rows(),
        }
    }
}

/// Bills by name; calls that named nothing have a place of their own.
#[derive(Debug, Default)]
struct Names {
    named: HashMap<Arc<str>, Bill>,
    unnamed: Bill,
    other: Bill,
}

impl Names {
    fn add(&mut self, name: Option<&Arc<str>>, bill: &Bill) {
        let Some(name) = name else { return self.unnamed.add(bill) };
        if let Some(known) = self.named.get_mut(name) {
            known.add(bill);
        } else if self.named.len() < MAX_NAMES && **name != *OTHER_NAME {
            self.named.insert(Arc::clone(name), *bill);
        } else {
            self.other.add(bill);
        }
    }

    /// The dearest first; what is not shown by name comes last.
    fn rows(&self) -> Vec<SpendRow> {
        let mut named: Vec<_> = self.named.iter().map(|(name, bill)| (Some(&**name), *bill)).collect();
        if self.unnamed.calls > 0 {
            named.push((None, self.unnamed));
        }
        named.sort_by(|(a_name, a), (b_name, b)| {
            (b.cost, b.calls).cmp(&(a.cost, a.calls)).then_with(|| a_name.cmp(b_name))
        });
        let mut other = self.other;
        for (_, bill) in named.drain(SHOWN.min(named.len())..) {
            other.add(&bill);
        }
        if other.calls > 0 {
            named.push((Some(OTHER_NAME), other));
        }
        named.into_iter().map(|(name, bill)| bill.row(name)).collect()
    }
}

/// The stretch around `second`, in seconds since 1970; without its end.
fn around(span: Span, second: u64) -> (u64, u64) {
    const DAY: u64 = 86_400;
    let day = second - second % DAY;
    if span == Span::Month {
        let first = i64::try_from(second)
            .ok()
            .and_then(|second| Timestamp::from_second(second).ok())
            .and_then(|at| at.to_zoned(TimeZone::UTC).first_of_month().ok())
            .and_then(|first| first.start_of_day().ok());
        let next = first.as_ref().and_then(|first| first.checked_add(1.month()).ok());
        let seconds = |at: jiff::Zoned| u64::try_from(at.timestamp().as_second()).ok();
        if let (Some(first), Some(next)) = (first.and_then(seconds), next.and_then(seconds)) {
            return (first, next);
        }
    }
    // Outside the calendar's years there are still days.
    (day, day.saturating_add(DAY))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> u64 {
        text.parse::<Timestamp>().unwrap().as_second().try_into().unwrap()
    }

    fn bill(cost: u128) -> Bill {
        Bill { calls: 1, cost: Usd::from_picos(cost), ..Bill::default() }
    }

    #[test]
    fn a_day_and_a_month_begin_anew_at_midnight_of_utc_and_a_small_step_back_begins_none() {
        let (mut day, mut month) = (Spend::new(Span::Day), Spend::new(Span::Month));
        for spend in [&mut day, &mut month] {
            spend.advance(at("2026-11-30T23:59:59Z"));
            spend.add(None, None, &bill(1));
            assert_eq!(spend.view().total.calls, 1);
        }
        assert_eq!((day.began(), month.began()), (at("2026-11-30T00:00:00Z"), at("2026-11-01T00:00:00Z")));
        for spend in [&mut day, &mut month] {
            spend.advance(at("2026-12-01T00:00:00Z"));
            assert_eq!(spend.view().total.calls, 0);
            spend.add(None, None, &bill(1));
            spend.advance(at("2026-11-30T23:59:58Z"));
            assert_eq!(spend.view().total.calls, 1);
        }
        month.advance(at("2025-01-05T00:00:00Z"));
        assert_eq!((month.view().total.calls, month.began()), (0, at("2025-01-01T00:00:00Z")));
    }

    #[test]
    fn what_the_ledger_had_is_counted_once_in_the_total() {
        let mut spend = Spend::new(Span::Day);
        let name: Arc<str> = "m".into();
        spend.restore(By::Model, Some(&name), &bill(5));
        spend.restore(By::Key, None, &bill(5));
        spend.add(Some(&name), None, &bill(2));
        let view = spend.view();
        assert_eq!((view.total.calls, view.by_model[0].calls, view.by_key[0].calls), (2, 2, 2));
        assert_eq!((view.by_model[0].name.as_deref(), &view.by_key[0].name), (Some("m"), &None));
    }

    proptest! {
        /// However many names there are, the rows are few and add up to the total.
        #[test]
        fn rows_are_few_and_add_up_to_the_total(names in proptest::collection::vec(0_u32..400, 0..600)) {
            let mut spend = Spend::new(Span::Day);
            for name in &names {
                let name: Option<Arc<str>> = (*name > 0).then(|| name.to_string().into());
                spend.add(name.as_ref(), name.as_ref(), &bill(u128::from(names.len() as u64)));
            }
            let view = spend.view();
            prop_assert!(spend.models.named.len() <= MAX_NAMES && view.by_model.len() <= SHOWN + 1);
            prop_assert_eq!(view.by_model.iter().map(|row| row.calls).sum::<u64>(), names.len() as u64);
            prop_assert_eq!(&view.by_model, &view.by_key);
            let shown = view.by_model.iter().filter(|row| row.name.as_deref() != Some(OTHER_NAME));
            prop_assert!(shown.is_sorted_by(|a, b| a.cost_usd >= b.cost_usd));
        }
    }
}
