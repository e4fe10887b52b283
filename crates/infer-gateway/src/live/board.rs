//! What the dashboard shows, as a machine that takes the time as an argument.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use infer_core::Usd;

use super::ring::{Part, Ring};
use super::spend::{Bill, By, Span, Spend};
use super::times::Times;
use super::view::{
    CallView, Endings, ErrorCount, FirstToken, LiveSnapshot, Series, Since, SpendView, TimesSeries, millis,
};
use crate::observe::{Ending, Seen};

/// How far back the seconds go.
pub(crate) const SECONDS: u64 = 900;
/// Seconds in one part of the times to the first token.
const STEP: u64 = 10;
/// Over how many of the last seconds the quantiles are taken.
const QUANTILES_OVER: u64 = 300;
/// How many calls are kept.
const CALLS: usize = 100;
/// How many names of errors are kept apart. They are of a fixed set, so this is never met.
const MAX_ERRORS: usize = 64;
/// What errors beyond those are counted as.
const OTHER_ERROR: &str = "(other)";

/// What happened in one second.
#[derive(Debug, Default)]
struct Second {
    answered: u32,
    failed: u32,
    broken: u32,
    left: u32,
    input_tokens: u64,
    output_tokens: u64,
    cost: Usd,
    /// Place of the name and count. Empty in nearly every second.
    errors: Vec<(usize, u32)>,
}

impl Part for Second {
    fn clear(&mut self) {
        let mut errors = std::mem::take(&mut self.errors);
        errors.clear();
        *self = Self { errors, ..Self::default() };
    }
}

/// Everything shown, in bounded memory.
#[derive(Debug)]
pub(crate) struct Board {
    started: SystemTime,
    seconds: Ring<Second>,
    times: Ring<Times>,
    errors: Vec<&'static str>,
    today: Spend,
    month: Spend,
    calls: VecDeque<Arc<CallView>>,
    last_call: u64,
}

impl Board {
    /// An empty one.
    #[expect(clippy::cast_possible_truncation, reason = "some hundreds")]
    pub(crate) fn new(started: SystemTime) -> Self {
        Self {
            started,
            seconds: Ring::new(SECONDS as usize),
            times: Ring::new((SECONDS / STEP) as usize),
            errors: Vec::new(),
            today: Spend::new(Span::Day),
            month: Spend::new(Span::Month),
            calls: VecDeque::with_capacity(CALLS),
            last_call: 0,
        }
    }

    /// A request is over. `call` is the same made ready to be shown, which needs no lock.
    pub(crate) fn ended(&mut self, now: SystemTime, seen: &Seen, mut call: CallView) {
        let now = second_of(now);
        let bill = bill_of(seen);
        let error = seen.ending.error().map(|name| self.place_of(name));
        if let Some(second) = self.seconds.part(now) {
            let count = match seen.ending {
                Ending::Answered => &mut second.answered,
                Ending::Failed(_) => &mut second.failed,
                Ending::Broken(_) => &mut second.broken,
                Ending::Left => &mut second.left,
            };
            *count = count.saturating_add(1);
            second.input_tokens = second.input_tokens.saturating_add(bill.input_tokens);
            second.output_tokens = second.output_tokens.saturating_add(bill.output_tokens);
            second.cost = second.cost.saturating_add(bill.cost);
            if let Some(place) = error {
                match second.errors.iter_mut().find(|(known, _)| *known == place) {
                    Some((_, count)) => *count = count.saturating_add(1),
                    None => second.errors.push((place, 1)),
                }
            }
        }
        // What the cache answers says nothing of how fast models are, and a whole answer has no first token.
        if let (Some(time), true, Some(times)) =
            (seen.first_content, seen.streamed && seen.cached != Some(true), self.times.part(now / STEP))
        {
            times.add(time);
        }
        for spend in [&mut self.today, &mut self.month] {
            spend.advance(now);
            spend.add(call.served_model.as_ref(), seen.key.as_ref(), &bill);
        }
        self.last_call += 1;
        call.number = self.last_call;
        if self.calls.len() == CALLS {
            self.calls.pop_front();
        }
        self.calls.push_back(Arc::new(call));
    }

    /// When the day and the month of `now` began.
    pub(crate) fn spans(&mut self, now: SystemTime) -> [(Span, u64); 2] {
        self.advance(second_of(now));
        [(Span::Day, self.today.began()), (Span::Month, self.month.began())]
    }

    /// Takes over what was spent before the process began.
    pub(crate) fn restore(&mut self, span: Span, by: By, name: Option<&Arc<str>>, bill: &Bill) {
        match span {
            Span::Day => self.today.restore(by, name, bill),
            Span::Month => self.month.restore(by, name, bill),
        }
    }

    /// What there is to show, without what `since` says is known already.
    pub(crate) fn snapshot(&mut self, now: SystemTime, since: &Since, in_flight: u64) -> LiveSnapshot {
        let second = second_of(now);
        self.advance(second);
        // Numbers that this board never gave are those of another process.
        let known_call = since.call.filter(|call| *call <= self.last_call).unwrap_or(0);
        let calls = self.calls.iter().rev().take_while(|call| call.number > known_call);
        LiveSnapshot {
            started: millis(self.started),
            now: millis(now),
            in_flight,
            series: self.series(second, since.second),
            endings: self.endings(second),
            errors: self.mix(second),
            first_token: self.first_token(second),
            spend: SpendView { today: self.today.view(), month: self.month.view() },
            calls: calls.map(Arc::clone).collect(),
        }
    }

    fn advance(&mut self, second: u64) {
        self.seconds.part(second);
        self.times.part(second / STEP);
        self.today.advance(second);
        self.month.advance(second);
    }

    fn place_of(&mut self, error: &'static str) -> usize {
        if let Some(place) = self.errors.iter().position(|known| *known == error) {
            return place;
        }
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        }
        self.errors.len() - 1
    }

    fn last(&self, second: u64) -> impl Iterator<Item = (u64, &Second)> {
        self.seconds.between((second + 1).saturating_sub(SECONDS), second)
    }

    fn series(&self, second: u64, since: Option<u64>) -> Series {
        let from = since.unwrap_or(0).max((second + 1).saturating_sub(SECONDS)).min(second);
        let mut series = Series { from, ..Series::default() };
        for (_, part) in self.seconds.between(from, second) {
            let errors = part.failed.saturating_add(part.broken);
            series.requests.push(part.answered.saturating_add(part.left).saturating_add(errors));
            series.errors.push(errors);
            series.input_tokens.push(part.input_tokens);
            series.output_tokens.push(part.output_tokens);
            series.cost_usd.push(part.cost.as_usd());
        }
        series
    }

    fn endings(&self, second: u64) -> Endings {
        let mut endings = Endings::default();
        for (_, part) in self.last(second) {
            endings.answered += u64::from(part.answered);
            endings.failed += u64::from(part.failed);
            endings.broken += u64::from(part.broken);
            endings.left += u64::from(part.left);
        }
        endings
    }

    /// The most frequent first.
    fn mix(&self, second: u64) -> Vec<ErrorCount> {
        let mut counts = vec![0_u64; self.errors.len()];
        for (place, count) in self.last(second).flat_map(|(_, part)| &part.errors) {
            if let Some(sum) = counts.get_mut(*place) {
                *sum += u64::from(*count);
            }
        }
        let name_of =
            |place: usize, name: &'static str| if place + 1 == MAX_ERRORS { OTHER_ERROR } else { name };
        let names = self.errors.iter().enumerate().map(|(place, name)| name_of(place, name));
        let mut mix: Vec<_> = names
            .zip(counts)
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| ErrorCount { name, count })
            .collect();
        mix.sort_by(|a, b| b.count.cmp(&a.count).then(a.name.cmp(b.name)));
        mix
    }

    fn first_token(&self, second: u64) -> FirstToken {
        let last = second / STEP;
        let from = (last + 1).saturating_sub(SECONDS / STEP);
        let mut over = Times::default();
        let mut series =
            TimesSeries { from: from * STEP, step: STEP, p50_ms: Vec::new(), p95_ms: Vec::new() };
        for (number, times) in self.times.between(from, last) {
            series.p50_ms.push(times.quantile(0.5).map(super::view::fraction));
            series.p95_ms.push(times.quantile(0.95).map(super::view::fraction));
            if number + QUANTILES_OVER / STEP > last {
                over.merge(times);
            }
        }
        FirstToken {
            over_seconds: QUANTILES_OVER,
            count: over.count(),
            p50_ms: over.quantile(0.5).map(super::view::fraction),
            p95_ms: over.quantile(0.95).map(super::view::fraction),
            series,
        }
    }
}

/// Tokens of an answer from the cache were not bought again and count as none, as in the ledger.
fn bill_of(seen: &Seen) -> Bill {
    let is_cached = seen.cached == Some(true);
    let usage = seen.usage.filter(|_| !is_cached).unwrap_or_default();
    Bill {
        calls: 1,
        failed: u64::from(seen.ending.error().is_some()),
        unpriced: u64::from(seen.usage.is_some() && seen.cost.is_none() && !is_cached),
        input_tokens: usage.input_tokens,
        output_tokens: usage.billed_output_tokens(),
        cost: seen.cost.map(|cost| cost.total()).unwrap_or_default(),
    }
}

fn second_of(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
