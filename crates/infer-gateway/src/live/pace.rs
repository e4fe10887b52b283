//! How long a budget will last if it goes on as it did since its window began.

use std::time::{Duration, SystemTime};

use infer_store::budget::{Amount, Balance, Every};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::Serialize;

use super::view::millis;

/// One account of a budget. Amounts are dollars or tokens, as `unit` says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct BudgetView {
    pub(crate) name: String,
    /// Whose account it is, where the budget has several.
    pub(crate) account: Option<String>,
    pub(crate) limit: f64,
    pub(crate) spent: f64,
    /// Held for calls under way.
    pub(crate) reserved: f64,
    pub(crate) unit: Unit,
    /// When it begins anew; never when absent.
    pub(crate) renews_at: Option<u64>,
    /// When it will be used up at the pace of its window so far. Absent when it renews before that, when nothing is
    /// spent, and where the pace is not known.
    pub(crate) lasts_until: Option<u64>,
}

/// What a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Usd,
    Tokens,
}

impl From<&Balance> for BudgetView {
    /// Without [`BudgetView::lasts_until`], which needs to know when the window began.
    fn from(balance: &Balance) -> Self {
        let unit = match balance.limit {
            Amount::Usd(_) => Unit::Usd,
            Amount::Tokens(_) => Unit::Tokens,
        };
        Self {
            name: balance.budget.to_string(),
            account: balance.account.as_deref().map(str::to_owned),
            limit: number(balance.limit),
            spent: number(balance.spent),
            reserved: number(balance.reserved),
            unit,
            renews_at: balance.resets_at.map(millis),
            lasts_until: None,
        }
    }
}

impl BudgetView {
    /// The account with how long it will last, where the budget begins anew `every` so often.
    pub(crate) fn new(balance: &Balance, every: Every, now: SystemTime) -> Self {
        let mut view = Self::from(balance);
        if let Some(ends) = balance.resets_at
            && let Some(began) = began(ends, every)
        {
            view.lasts_until = lasts_until(view.limit, view.spent, began, now, ends).map(millis);
        }
        view
    }
}

fn number(amount: Amount) -> f64 {
    match amount {
        Amount::Usd(usd) => usd.as_usd(),
        Amount::Tokens(tokens) => tokens as f64,
    }
}

/// When the window that ends at `ends` began. Days in which clocks change are an hour off, which no pace shows.
fn began(ends: SystemTime, every: Every) -> Option<SystemTime> {
    match every {
        Every::Hour => ends.checked_sub(Duration::from_secs(3_600)),
        Every::Day => ends.checked_sub(Duration::from_secs(86_400)),
        Every::Month => {
            // The end is midnight of the first in the budget's zone, and zones are at most 14 hours ahead of UTC and 12
            // behind. So 14 hours later it is the first or the second in UTC too.
            let end = Timestamp::try_from(ends).ok()?.to_zoned(TimeZone::UTC);
            let within = end.checked_add(14.hours()).ok()?;
            let days = within.checked_sub(1.month()).ok()?.days_in_month();
            ends.checked_sub(Duration::from_secs(86_400 * u64::try_from(days).ok()?))
        }
        Every::Total => None,
    }
}

/// When `limit` will be used up, if what was spent since `began` goes on at the same pace; `now` when it is. `None` when
/// the budget renews before that, and when nothing is spent.
pub(crate) fn lasts_until(
    limit: f64,
    spent: f64,
    began: SystemTime,
    now: SystemTime,
    renews_at: SystemTime,
) -> Option<SystemTime> {
    if spent >= limit {
        return Some(now);
    }
    let elapsed = now.duration_since(began).ok()?.as_secs_f64();
    // Not a number or endless where nothing is spent.
    let left = Duration::try_from_secs_f64(elapsed * (limit - spent) / spent).ok()?;
    now.checked_add(left).filter(|until| *until < renews_at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> SystemTime {
        text.parse::<Timestamp>().unwrap().into()
    }

    fn day(hours: u64) -> SystemTime {
        at("2026-11-21T00:00:00Z") + Duration::from_secs(hours * 3_600)
    }

    #[test]
    fn half_spent_in_a_quarter_of_the_day_lasts_until_half_of_it() {
        assert_eq!(lasts_until(10.0, 5.0, day(0), day(6), day(24)), Some(day(12)));
    }

    #[test]
    fn a_budget_that_renews_first_lasts_and_one_that_is_used_up_ends_now() {
        assert_eq!(lasts_until(10.0, 2.0, day(0), day(6), day(24)), None);
        assert_eq!(lasts_until(10.0, 0.0, day(0), day(6), day(24)), None);
        assert_eq!(lasts_until(10.0, 0.0, day(0), day(0), day(24)), None);
        assert_eq!(lasts_until(10.0, 10.5, day(0), day(6), day(24)), Some(day(6)));
        assert_eq!(lasts_until(10.0, 5.0, day(8), day(6), day(24)), None, "a clock before the window");
    }

    #[test]
    fn a_month_began_as_many_days_before_its_end_as_it_has() {
        for (ends, began_at) in [
            ("2026-12-01T00:00:00Z", "2026-11-01T00:00:00Z"),
            ("2026-03-01T00:00:00Z", "2026-02-01T00:00:00Z"),
            // Midnight in Kiritimati and in Honolulu.
            ("2026-11-30T10:00:00Z", "2026-10-31T10:00:00Z"),
            ("2026-12-01T10:00:00Z", "2026-11-01T10:00:00Z"),
        ] {
            assert_eq!(began(at(ends), Every::Month), Some(at(began_at)), "{ends}");
        }
        assert_eq!(began(at("2026-12-01T00:00:00Z"), Every::Total), None);
    }

    proptest! {
        /// The more is spent by now, the sooner it ends; never before now and never at or after it renews.
        #[test]
        fn spending_faster_never_lasts_longer(
            limit in 0.000_001_f64..1e12, share in 0.0_f64..2.0, more in 0.0_f64..1.0, hour in 0_u64..24,
        ) {
            let until = |spent: f64| lasts_until(limit, spent, day(0), day(hour), day(24)).unwrap_or(day(24));
            let (slow, fast) = (until(limit * share), until(limit * (share + more)));
            prop_assert!(fast <= slow && day(hour) <= fast && slow <= day(24));
        }
    }
}
