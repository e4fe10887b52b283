//! Who has spent and reserved how much. Time is an argument.
//!
//! # How far a budget can be overshot
//!
//! A call is admitted only while `spent + reserved + estimate` stays within the limit. From then on only calls that are
//! under way can push an account further, each by what it costs beyond its reservation. So
//!
//! `spent ≤ limit + Σ max(0, actual − reserved)` over the calls that were under way when the limit was reached,
//!
//! where a call that took longer than the reservation's time has nothing reserved. Budgets that only warn admit all.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use infer_core::Usd;
use jiff::tz::TimeZone;

use super::config::{Amount, BudgetConfig, BudgetRule, OnExceed, zone};
use super::index::Index;
use super::terms::{Balance, Decision, Exceeded, Holder, Payer, Spend};
use super::window::Window;
use crate::ledger::OTHER_NAME;

/// All budgets of a process.
#[derive(Debug)]
pub struct Machine {
    rules: Vec<Rule>,
    index: Index,
    accounts: HashMap<Spot, Account>,
    reservations: HashMap<u64, Reservation>,
    expiries: BTreeSet<(SystemTime, u64)>,
    next: u64,
    timeout: Duration,
    max_accounts: usize,
    pruned_at: Option<SystemTime>,
}

/// A budget, and whose account of it.
type Spot = (usize, Option<Arc<str>>);

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: Arc<str>,
    pub(crate) config: BudgetRule,
    pub(crate) limit: Amount,
    pub(super) zone: TimeZone,
}

#[derive(Clone, Copy, Debug)]
struct Account {
    window: Window,
    spent: u128,
    reserved: u128,
}

#[derive(Debug)]
struct Reservation {
    expires: SystemTime,
    parts: Vec<(Spot, u128)>,
}

impl Rule {
    pub(crate) fn new(config: &BudgetRule) -> Self {
        Self {
            name: config.name.as_str().into(),
            limit: config.limit(),
            zone: zone(&config.zone).unwrap_or(TimeZone::UTC),
            config: config.clone(),
        }
    }

    /// The account that `payer` has here, if this budget is about them.
    pub(crate) fn account(&self, payer: &Payer) -> Option<Holder> {
        let holder = payer.named(self.config.per)?;
        let only = &self.config.only;
        let fits = |name: &Arc<str>| only.is_empty() || only.iter().any(|only| **only == **name);
        holder.0.as_ref().is_none_or(fits).then_some(holder)
    }

    pub(crate) fn amount(&self, spend: Spend) -> u128 {
        spend.in_unit_of(self.limit)
    }

    pub(crate) fn allowed(&self) -> u128 {
        match self.limit {
            Amount::Usd(usd) => usd.picos(),
            Amount::Tokens(tokens) => tokens,
        }
    }

    pub(crate) fn in_unit(&self, amount: u128) -> Amount {
        match self.limit {
            Amount::Usd(_) => Amount::Usd(Usd::from_picos(amount)),
            Amount::Tokens(_) => Amount::Tokens(amount),
        }
    }

    pub(crate) fn window(&self, now: SystemTime) -> Window {
        Window::around(now, self.config.every, &self.zone)
    }

    fn balance(&self, account: Option<Arc<str>>, holds: Account) -> Balance {
        Balance {
            budget: Arc::clone(&self.name),
            per: self.config.per,
            every: self.config.every,
            account,
            limit: self.limit,
            spent: self.in_unit(holds.spent),
            reserved: self.in_unit(holds.reserved),
            resets_at: holds.window.end,
        }
    }

    /// An account of which others know what it holds.
    #[cfg(feature = "redis")]
    pub(crate) fn standing(
        &self,
        account: Option<Arc<str>>,
        now: SystemTime,
        spent: u128,
        reserved: u128,
    ) -> Balance {
        self.balance(account, Account { window: self.window(now), spent, reserved })
    }

    /// What the operator wants done with a call of `payer` that does not fit.
    pub(crate) fn action(&self, payer: &Payer) -> OnExceed {
        match &self.config.on_exceed {
            // It has been downgraded already; sending it there again would never end.
            OnExceed::Downgrade(route) if payer.route.as_deref() == Some(route) => OnExceed::Warn,
            action => action.clone(),
        }
    }

    pub(crate) fn exceeded(
        &self,
        account: Option<Arc<str>>,
        used: u128,
        window: Window,
        action: OnExceed,
    ) -> Exceeded {
        Exceeded {
            budget: Arc::clone(&self.name),
            account,
            limit: self.limit,
            used: self.in_unit(used),
            resets_at: window.end,
            action,
        }
    }
}

impl Machine {
    /// Budgets of which nothing is spent.
    ///
    /// # Errors
    /// As for [`BudgetConfig::validate`].
    pub fn new(config: &BudgetConfig) -> Result<Self, crate::StoreError> {
        config.validate()?;
        let rules: Vec<Rule> = config.limits.iter().map(Rule::new).collect();
        Ok(Self {
            index: Index::new(&rules),
            rules,
            accounts: HashMap::new(),
            reservations: HashMap::new(),
            expiries: BTreeSet::new(),
            next: 0,
            timeout: config.reservation_timeout,
            max_accounts: config.max_accounts,
            pruned_at: None,
        })
    }

    pub(super) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Reserves `estimate` in every budget that applies, or in none.
    ///
    /// A budget that is used up refuses even what is expected to cost nothing. Rejecting comes before downgrading.
    pub fn reserve(&mut self, now: SystemTime, payer: &Payer, estimate: Spend) -> Decision {
        self.expire(now);
        let mut parts = Vec::new();
        let mut warnings = Vec::new();
        let mut stopped: Option<Exceeded> = None;
        for place in self.index.about(payer) {
            let Some(spot) = self.spot(now, place, payer) else { continue };
            let account = self.account(now, &spot);
            let Some(rule) = self.rules.get(place) else { continue };
            let amount = rule.amount(estimate);
            let used = account.spent.saturating_add(account.reserved);
            if used >= rule.allowed() || used.saturating_add(amount) > rule.allowed() {
                let exceeded = rule.exceeded(spot.1.clone(), used, account.window, rule.action(payer));
                match &exceeded.action {
                    OnExceed::Warn => warnings.push(exceeded),
                    OnExceed::Reject => return Decision::Exceeded(exceeded),
                    OnExceed::Downgrade(_) => {
                        stopped.get_or_insert(exceeded);
                    }
                }
            }
            parts.push((spot, amount));
        }
        if let Some(exceeded) = stopped {
            return Decision::Exceeded(exceeded);
        }
        for (spot, amount) in &parts {
            if let Some(account) = self.accounts.get_mut(spot) {
                account.reserved = account.reserved.saturating_add(*amount);
            }
        }
        let ticket = self.next;
        self.next += 1;
        let expires = now.checked_add(self.timeout).unwrap_or(now);
        self.expiries.insert((expires, ticket));
        self.reservations.insert(ticket, Reservation { expires, parts });
        Decision::Reserved { ticket, warnings }
    }

    /// Replaces a reservation by what the call of `payer` used. What came after its reservation expired counts too.
    pub fn settle(&mut self, now: SystemTime, ticket: u64, payer: &Payer, actual: Spend) {
        let parts = self.release(ticket);
        let mut places = self.index.about(payer);
        places.extend(parts.iter().flatten().map(|((place, _), _)| *place));
        places.sort_unstable();
        places.dedup();
        for place in places {
            // An account reserved in is charged even if its name would share another one by now.
            let reserved =
                parts.iter().flatten().find(|((rule, _), _)| *rule == place).map(|(spot, _)| spot.clone());
            let Some(spot) = reserved.or_else(|| self.spot(now, place, payer)) else { continue };
            let amount = self.rules.get(place).map_or(0, |rule| rule.amount(actual));
            self.account(now, &spot);
            if let Some(account) = self.accounts.get_mut(&spot) {
                account.spent = account.spent.saturating_add(amount);
            }
        }
    }

    /// Returns a reservation of which nothing was used.
    pub fn refund(&mut self, ticket: u64) {
        self.release(ticket);
    }

    /// Returns the reservations that are too old.
    pub fn expire(&mut self, now: SystemTime) {
        while let Some((expires, ticket)) = self.expiries.first().copied() {
            if expires > now {
                break;
            }
            self.release(ticket);
        }
    }

    /// What every account holds at `now`.
    pub fn balances(&mut self, now: SystemTime) -> Vec<Balance> {
        self.expire(now);
        let spots: Vec<Spot> = self.accounts.keys().cloned().collect();
        let mut balances: Vec<Balance> = spots
            .into_iter()
            .filter_map(|spot| {
                let account = self.account(now, &spot);
                Some(self.rules.get(spot.0)?.balance(spot.1, account))
            })
            .collect();
        balances.sort_by(|a, b| (&a.budget, &a.account).cmp(&(&b.budget, &b.account)));
        balances
    }

    /// What the accounts of `payer` hold at `now`, also those of which nothing is used yet; in the order of the budgets.
    pub fn balances_of(&mut self, now: SystemTime, payer: &Payer) -> Vec<Balance> {
        self.expire(now);
        let places = self.index.about(payer).into_iter();
        places
            .filter_map(|place| {
                let rule = self.rules.get(place)?;
                let spot = (place, rule.account(payer)?.0);
                // Nothing is opened for a mere question.
                let account = if self.accounts.contains_key(&spot) {
                    self.account(now, &spot)
                } else {
                    Account { window: rule.window(now), spent: 0, reserved: 0 }
                };
                Some(self.rules.get(place)?.balance(spot.1, account))
            })
            .collect()
    }

    /// Where each budget stood in `old`; none for those that are new or count something else now.
    pub(super) fn known_from(&self, old: &[Rule]) -> Vec<Option<usize>> {
        let counts_the_same = |new: &Rule, old: &Rule| {
            let (a, b) = (&new.config, &old.config);
            (&a.name, a.per, a.every, &a.zone, &a.only) == (&b.name, b.per, b.every, &b.zone, &b.only)
                && std::mem::discriminant(&new.limit) == std::mem::discriminant(&old.limit)
        };
        let places: HashMap<&str, usize> =
            old.iter().enumerate().map(|(place, rule)| (&*rule.name, place)).collect();
        let before = |new: &Rule| {
            let place = *places.get(&*new.name)?;
            old.get(place).is_some_and(|old| counts_the_same(new, old)).then_some(place)
        };
        self.rules.iter().map(before).collect()
    }

    /// Goes on where `old` was, with what calls under way have reserved there.
    pub(super) fn take_over(&mut self, old: Self) {
        let places: HashMap<usize, usize> = (0..)
            .zip(self.known_from(&old.rules))
            .filter_map(|(place, before)| Some((before?, place)))
            .collect();
        let moved = |(place, holder): Spot| Some((*places.get(&place)?, holder));
        let accounts = old.accounts.into_iter();
        self.accounts.extend(accounts.filter_map(|(spot, account)| Some((moved(spot)?, account))));
        self.reservations = old.reservations;
        for reservation in self.reservations.values_mut() {
            let parts = std::mem::take(&mut reservation.parts).into_iter();
            reservation.parts = parts.filter_map(|(spot, amount)| Some((moved(spot)?, amount))).collect();
        }
        (self.expiries, self.next) = (old.expiries, old.next);
    }

    /// Takes over what was spent before this process began.
    pub(super) fn restore(&mut self, now: SystemTime, place: usize, account: Option<Arc<str>>, spent: Spend) {
        let spot = self.place(now, (place, account));
        let amount = self.rules.get(place).map_or(0, |rule| rule.amount(spent));
        self.account(now, &spot);
        if let Some(account) = self.accounts.get_mut(&spot) {
            account.spent = account.spent.saturating_add(amount);
        }
    }

    fn release(&mut self, ticket: u64) -> Option<Vec<(Spot, u128)>> {
        let reservation = self.reservations.remove(&ticket)?;
        self.expiries.remove(&(reservation.expires, ticket));
        for (spot, amount) in &reservation.parts {
            if let Some(account) = self.accounts.get_mut(spot) {
                account.reserved = account.reserved.saturating_sub(*amount);
            }
        }
        Some(reservation.parts)
    }

    fn spot(&mut self, now: SystemTime, place: usize, payer: &Payer) -> Option<Spot> {
        let holder = self.rules.get(place)?.account(payer)?;
        Some(self.place(now, (place, holder.0)))
    }

    /// The account itself, or the shared one when there is no room for another.
    fn place(&mut self, now: SystemTime, spot: Spot) -> Spot {
        if spot.1.is_none() || self.accounts.contains_key(&spot) || self.accounts.len() < self.max_accounts {
            return spot;
        }
        // Looking through all accounts is dear, so a flood of names does it once a minute.
        let is_due = self
            .pruned_at
            .is_none_or(|at| now.duration_since(at).map_or(true, |since| since >= Duration::from_secs(60)));
        if is_due {
            self.pruned_at = Some(now);
            self.accounts.retain(|_, account| {
                account.reserved > 0 || (account.spent > 0 && !account.window.is_over(now))
            });
        }
        if self.accounts.len() < self.max_accounts { spot } else { (spot.0, Some(OTHER_NAME.into())) }
    }

    /// The account at `now`, opened or begun anew if need be.
    fn account(&mut self, now: SystemTime, spot: &Spot) -> Account {
        let Some(rule) = self.rules.get(spot.0) else {
            return Account { window: Window { start: now, end: None }, spent: 0, reserved: 0 };
        };
        let fresh = || Account { window: rule.window(now), spent: 0, reserved: 0 };
        let account = self.accounts.entry(spot.clone()).or_insert_with(fresh);
        if account.window.is_over(now) {
            // Set right after having been far ahead, the clock must not hand out a second allowance.
            let spent = if account.window.is_far_ahead(now) { account.spent } else { 0 };
            *account = Account { window: rule.window(now), spent, reserved: account.reserved };
        }
        *account
    }
}
