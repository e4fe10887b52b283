//! Budgets that several processes share.
//!
//! Money is counted in nano-dollars there, since Redis scripts count exactly up to 2^53: each amount is rounded up, so a
//! budget may be used up early by a nano-dollar a call and never late. The overshoot is bounded as for budgets of one
//! process ([`Machine`](crate::budget::Machine)), over the calls of all processes; a call is under way until its settlement
//! has reached Redis, which is a moment after it was given.
//!
//! Windows are worked out by each process from its own clock; processes whose clocks differ count in different windows for
//! as long as the difference lasts. Redis's own clock expires reservations.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use infer_core::RequestId;
use redis::Cmd;
use tokio::sync::{mpsc, oneshot};

use super::balances::is_open;
use super::{Fault, OnOutage, Redis, Repeat, Script};
use crate::StoreError;
use crate::budget::{
    Amount, BudgetConfig, BudgetGate, BudgetPermit, Budgets, Exceeded, OnExceed, Payer, Reserve, Rule, Spend,
};
use crate::clock::micros;

/// The largest amount, well within what a script counts exactly.
const MOST: u64 = 1 << 52;
const PICOS_PER_NANO: u128 = 1_000;
/// For how long an id stays marked as settled, so that a repeated settlement counts once.
const REMEMBERED: Duration = Duration::from_secs(3_600);
/// Longer ones end sooner: a reservation is held by a call, and no call takes a year.
const LONGEST_RESERVATION: Duration = Duration::from_secs(366 * 86_400);
/// Settlements that wait for Redis; beyond it they are counted here alone.
const QUEUE: usize = 65_536;

/// Budgets that several processes share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RedisBudgets {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    redis: Redis,
    terms: RwLock<Arc<Terms>>,
    local: Budgets,
    reserve: Script,
    settle: Arc<Script>,
    settlements: mpsc::Sender<Settlement>,
}

/// The budgets in force.
#[derive(Debug)]
pub(super) struct Terms {
    rules: Vec<Rule>,
    timeout: Duration,
}

/// What is on its way to Redis.
#[derive(Debug)]
enum Settlement {
    /// What a call used.
    Used(Cmd),
    /// Somebody waits until all before it has arrived.
    Flush(oneshot::Sender<()>),
}

/// A budget and the account of a call in it.
pub(super) struct Part<'a> {
    pub(super) rule: &'a Rule,
    pub(super) account: Option<Arc<str>>,
}

impl RedisBudgets {
    /// Shares the budgets of `config`; `local` are the same budgets in this process, which decide while Redis is away and
    /// know what this process spent.
    ///
    /// Needs a running Tokio runtime.
    ///
    /// # Errors
    /// A wrong configuration.
    pub fn new(redis: Redis, config: &BudgetConfig, local: Budgets) -> Result<Self, StoreError> {
        config.validate()?;
        let (settlements, queue) = mpsc::channel(QUEUE);
        let settle = Arc::new(Script::new(include_str!("settle.lua")));
        tokio::spawn(settle_all(redis.clone(), Arc::clone(&settle), queue));
        let inner = Inner {
            redis,
            terms: RwLock::new(Arc::new(Terms::new(config))),
            local,
            reserve: Script::new(include_str!("reserve.lua")),
            settle,
            settlements,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Puts other budgets in force. Those that count the same as before under the same name keep what is spent and
    /// reserved, whatever their limit is now. Calls under way settle in the new. The budgets of this process are replaced by
    /// whoever has them.
    ///
    /// # Errors
    /// A wrong configuration; what was in force stays.
    pub fn replace(&self, config: &BudgetConfig) -> Result<(), StoreError> {
        config.validate()?;
        *self.inner.terms.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Terms::new(config));
        Ok(())
    }

    /// Counts what a call used that had reserved nothing.
    pub fn charge(&self, payer: &Payer, actual: Spend) {
        self.inner.settle(&RequestId::generate(), payer, actual);
        self.inner.local.charge(payer, actual);
    }

    /// Waits until everything that was settled so far is counted in Redis. While Redis is away that is not before it is
    /// back; whoever cannot wait sets a time limit.
    pub async fn flush(&self) {
        let (told, arrived) = oneshot::channel();
        if self.inner.settlements.send(Settlement::Flush(told)).await.is_ok() {
            // Whoever would tell is gone only when nobody counts any more.
            let _ = arrived.await;
        }
    }

    pub(super) fn redis(&self) -> &Redis {
        &self.inner.redis
    }

    pub(super) fn local(&self) -> &Budgets {
        &self.inner.local
    }

    pub(super) fn now(&self) -> SystemTime {
        self.inner.local.clock().now()
    }

    pub(super) fn terms(&self) -> Arc<Terms> {
        self.inner.terms()
    }

    pub(super) fn keys(&self, part: &Part<'_>, now: SystemTime) -> [String; 3] {
        self.inner.keys(part, now)
    }

    /// The key of the names of a budget's accounts in its window.
    pub(super) fn accounts_key(&self, rule: &Rule, now: SystemTime) -> String {
        self.inner.accounts_key(rule, now)
    }

    fn permit(
        &self,
        id: RequestId,
        payer: Payer,
        warnings: Vec<Exceeded>,
        local: Option<BudgetPermit>,
    ) -> BudgetPermit {
        let inner = Arc::clone(&self.inner);
        BudgetPermit::new(warnings, move |actual| {
            inner.settle(&id, &payer, actual.unwrap_or_default());
            match (local, actual) {
                (Some(local), Some(actual)) => local.settle(actual),
                (None, Some(actual)) => inner.local.charge(&payer, actual),
                (_, None) => {}
            }
        })
    }
}

#[async_trait]
impl BudgetGate for RedisBudgets {
    async fn reserve(&self, payer: Payer, estimate: Spend) -> Result<Reserve, StoreError> {
        let inner = &self.inner;
        let (now, id) = (inner.local.clock().now(), RequestId::generate());
        let terms = inner.terms();
        let parts = terms.parts(&payer);
        if parts.is_empty() {
            return Ok(Reserve::Reserved(BudgetPermit::new(Vec::new(), |_| ())));
        }
        let mut call = inner.reserve.call(3 * parts.len());
        for part in &parts {
            call.arg(&inner.keys(part, now));
        }
        call.arg(id.as_str()).arg(u64::try_from(terms.timeout.as_millis()).unwrap_or(u64::MAX));
        for part in &parts {
            let refuses = part.rule.action(&payer) != OnExceed::Warn;
            call.arg(up(part.rule, estimate)).arg(down(part.rule)).arg(u8::from(refuses));
        }
        let answer: Vec<String> = match inner.redis.run(&inner.reserve, &call, Repeat::Once).await {
            Ok(answer) => answer,
            Err(error) if inner.redis.config().on_outage == OnOutage::Closed => return Err(error.into()),
            Err(_) => {
                return Ok(match inner.local.try_reserve(payer.clone(), estimate) {
                    Reserve::Reserved(mut local) => {
                        let warnings = std::mem::take(&mut local.warnings);
                        Reserve::Reserved(self.permit(id, payer, warnings, Some(local)))
                    }
                    exceeded @ Reserve::Exceeded(_) => exceeded,
                });
            }
        };
        let mut exceeded: Vec<Exceeded> = parts
            .iter()
            .zip(answer.iter().skip(1))
            .filter_map(|(part, used)| {
                let used = used.parse().ok().map(|used| from_shared(part.rule, used))?;
                let action = part.rule.action(&payer);
                Some(part.rule.exceeded(part.account.clone(), used, part.rule.window(now), action))
            })
            .collect();
        if answer.first().is_some_and(|stopped| stopped == "0") {
            return Ok(Reserve::Reserved(self.permit(id, payer, exceeded, None)));
        }
        // Rejecting comes before downgrading; warnings stop nobody.
        exceeded.retain(|exceeded| exceeded.action != OnExceed::Warn);
        let place = exceeded.iter().position(|exceeded| exceeded.action == OnExceed::Reject).unwrap_or(0);
        match exceeded.into_iter().nth(place) {
            Some(exceeded) => Ok(Reserve::Exceeded(exceeded)),
            None => Err(StoreError::Redis { detail: "an answer that does not fit the question".to_owned() }),
        }
    }
}

impl Terms {
    fn new(config: &BudgetConfig) -> Self {
        Self {
            rules: config.limits.iter().map(Rule::new).collect(),
            timeout: config.reservation_timeout.min(LONGEST_RESERVATION),
        }
    }

    pub(super) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    pub(super) fn parts(&self, payer: &Payer) -> Vec<Part<'_>> {
        let part = |rule| {
            let holder = Rule::account(rule, payer)?;
            Some(Part { rule, account: holder.0 })
        };
        self.rules.iter().filter_map(part).collect()
    }
}

impl Inner {
    fn terms(&self) -> Arc<Terms> {
        Arc::clone(&self.terms.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is spent in the window, the reservations by expiry, and their amounts.
    fn keys(&self, part: &Part<'_>, now: SystemTime) -> [String; 3] {
        let (rule, account) = (part.rule, part.account.as_deref().unwrap_or_default());
        let (name, window) = (named(rule), window(rule, now));
        [
            self.redis.key(&format!("{name}:{account}:spent:{window}")),
            self.redis.key(&format!("{name}:{account}:held")),
            self.redis.key(&format!("{name}:{account}:amounts")),
        ]
    }

    fn accounts_key(&self, rule: &Rule, now: SystemTime) -> String {
        // Not within the names of accounts, which may be any.
        let (name, window) = (named(rule), window(rule, now));
        self.redis.key(&format!("accounts:{window}:{name}"))
    }

    fn settle(&self, id: &RequestId, payer: &Payer, actual: Spend) {
        let now = self.local.clock().now();
        let terms = self.terms();
        let parts = terms.parts(payer);
        if parts.is_empty() {
            return;
        }
        let mut call = self.settle.call(4 * parts.len() + 1);
        for part in &parts {
            call.arg(&self.keys(part, now)).arg(self.accounts_key(part.rule, now));
        }
        call.arg(self.redis.key(&format!("settled:{id}")));
        call.arg(id.as_str()).arg(u64::try_from(REMEMBERED.as_millis()).unwrap_or(u64::MAX));
        for part in &parts {
            // A day longer than the window, for processes whose clocks are behind.
            let end = part.rule.window(now).end.map_or(0, |end| micros(end) / 1_000 + 86_400_000);
            // Others are listed by the budget itself.
            let name = part.account.as_deref().filter(|_| is_open(part.rule)).unwrap_or_default();
            call.arg(up(part.rule, actual)).arg(end).arg(name);
        }
        if self.settlements.try_send(Settlement::Used(call)).is_err() {
            tracing::warn!(%id, "redis: too many settlements wait, one is counted in this process only");
        }
    }
}

/// One that counts something else is another budget.
fn named(rule: &Rule) -> String {
    let unit = match rule.limit {
        Amount::Usd(_) => "usd",
        Amount::Tokens(_) => "tokens",
    };
    format!("budget:{}:{unit}:{:?}", rule.name, rule.config.every)
}

/// When it began, in seconds since 1970.
fn window(rule: &Rule, now: SystemTime) -> u64 {
    micros(rule.window(now).start) / 1_000_000
}

fn up(rule: &Rule, spend: Spend) -> u64 {
    let amount = rule.amount(spend);
    let shared = match rule.limit {
        Amount::Usd(_) => amount.div_ceil(PICOS_PER_NANO),
        Amount::Tokens(_) => amount,
    };
    u64::try_from(shared).unwrap_or(MOST).min(MOST)
}

fn down(rule: &Rule) -> u64 {
    let shared = match rule.limit {
        Amount::Usd(_) => rule.allowed() / PICOS_PER_NANO,
        Amount::Tokens(_) => rule.allowed(),
    };
    u64::try_from(shared).unwrap_or(MOST).min(MOST)
}

pub(super) fn from_shared(rule: &Rule, used: u128) -> u128 {
    match rule.limit {
        Amount::Usd(_) => used.saturating_mul(PICOS_PER_NANO),
        Amount::Tokens(_) => used,
    }
}

/// Sends settlements one by one, each until it has arrived. Ends when all permits and handles are gone.
async fn settle_all(redis: Redis, script: Arc<Script>, mut queue: mpsc::Receiver<Settlement>) {
    while let Some(next) = queue.recv().await {
        let call = match next {
            Settlement::Used(call) => call,
            Settlement::Flush(told) => {
                // Whoever asked may have gone.
                let _ = told.send(());
                continue;
            }
        };
        while let Err(fault) = redis.run::<i64>(&script, &call, Repeat::Once).await {
            if let Fault::Refused(error) = fault {
                tracing::error!(%error, "redis: a settlement is refused and counted in this process only");
                break;
            }
            if queue.is_closed() {
                tracing::warn!("redis: away at the end, what calls used is counted in the local ledger only");
                return;
            }
            tokio::time::sleep(redis.pause()).await;
        }
    }
}
