//! Budgets that several processes share.
//!
//! Money is counted in nano-dollars there, since Redis scripts count exactly up to 2^53: each amount is rounded up, so a
//! budget may be used up early by a nano-dollar a call and never late. The overshoot is bounded as for budgets of one
//! process ([`Machine`](crate::budget::Machine)), over the calls of all processes; a call is under way until its settlement
//! has reached Redis, which is a moment after it was given.
//!
//! Windows are worked out by each process from its own clock; processes whose clocks differ count in different windows for
//! as long as the difference lasts. Redis's own clock expires reservations.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use infer_core::RequestId;
use redis::Script;
use tokio::sync::mpsc;

use super::{Fault, OnOutage, Redis};
use crate::StoreError;
use crate::budget::{
    Amount, BudgetConfig, BudgetGate, BudgetPermit, Budgets, Exceeded, OnExceed, Payer, Reserve, Rule, Spend,
};
use crate::clock::micros;

/// The largest amount, well within what a script counts exactly.
const MOST: u128 = 1 << 52;
const PICOS_PER_NANO: u128 = 1_000;
/// For how long an id stays marked as settled, so that a repeated settlement counts once.
const REMEMBERED: Duration = Duration::from_secs(3_600);
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
    rules: Vec<Rule>,
    timeout: Duration,
    local: Budgets,
    reserve: Script,
    settlements: mpsc::Sender<Settlement>,
}

/// What a call used, on its way to Redis.
#[derive(Debug)]
struct Settlement {
    keys: Vec<String>,
    args: Vec<String>,
}

/// A budget and the account of a call in it.
struct Part<'a> {
    rule: &'a Rule,
    account: Option<Arc<str>>,
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
        tokio::spawn(settle_all(redis.clone(), queue));
        let inner = Inner {
            redis,
            rules: config.limits.iter().map(Rule::new).collect(),
            timeout: config.reservation_timeout,
            local,
            reserve: Script::new(include_str!("reserve.lua")),
            settlements,
        };
        Ok(Self { inner: Arc::new(inner) })
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
        let parts = inner.parts(&payer);
        let keys: Vec<String> = parts.iter().flat_map(|part| inner.keys(part, now)).collect();
        let mut args = vec![id.to_string(), inner.timeout.as_millis().to_string()];
        for part in &parts {
            let refuses = part.rule.action(&payer) != OnExceed::Warn;
            args.extend([up(part.rule, estimate), down(part.rule), u8::from(refuses).to_string()]);
        }
        if parts.is_empty() {
            return Ok(Reserve::Reserved(BudgetPermit::new(Vec::new(), |_| ())));
        }
        let answer: Vec<String> = match inner.redis.run(&inner.reserve, &keys, &args).await {
            Ok(answer) => answer,
            Err(error) if inner.redis.config().on_outage == OnOutage::Closed => return Err(error),
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

impl Inner {
    fn parts(&self, payer: &Payer) -> Vec<Part<'_>> {
        let part = |rule| {
            let holder = Rule::account(rule, payer)?;
            Some(Part { rule, account: holder.0 })
        };
        self.rules.iter().filter_map(part).collect()
    }

    /// What is spent in the window, the reservations by expiry, and their amounts.
    fn keys(&self, part: &Part<'_>, now: SystemTime) -> [String; 3] {
        let name = format!("budget:{}:{}", part.rule.name, part.account.as_deref().unwrap_or_default());
        let window = micros(part.rule.window(now).start) / 1_000_000;
        [
            self.redis.key(&format!("{name}:spent:{window}")),
            self.redis.key(&format!("{name}:held")),
            self.redis.key(&format!("{name}:amounts")),
        ]
    }

    fn settle(&self, id: &RequestId, payer: &Payer, actual: Spend) {
        let now = self.local.clock().now();
        let parts = self.parts(payer);
        let mut keys: Vec<String> = parts.iter().flat_map(|part| self.keys(part, now)).collect();
        keys.push(self.redis.key(&format!("settled:{id}")));
        let mut args = vec![id.to_string(), REMEMBERED.as_millis().to_string()];
        for part in &parts {
            // A day longer than the window, for processes whose clocks are behind.
            let end = part.rule.window(now).end.map_or(0, |end| micros(end) / 1_000 + 86_400_000);
            args.extend([up(part.rule, actual), end.to_string()]);
        }
        if self.settlements.try_send(Settlement { keys, args }).is_err() {
            tracing::warn!(%id, "redis: too many settlements wait, one is counted in this process only");
        }
    }
}

fn up(rule: &Rule, spend: Spend) -> String {
    let amount = rule.amount(spend);
    let shared = match rule.limit {
        Amount::Usd(_) => amount.div_ceil(PICOS_PER_NANO),
        Amount::Tokens(_) => amount,
    };
    shared.min(MOST).to_string()
}

fn down(rule: &Rule) -> String {
    let shared = match rule.limit {
        Amount::Usd(_) => rule.allowed() / PICOS_PER_NANO,
        Amount::Tokens(_) => rule.allowed(),
    };
    shared.min(MOST).to_string()
}

fn from_shared(rule: &Rule, used: u128) -> u128 {
    match rule.limit {
        Amount::Usd(_) => used.saturating_mul(PICOS_PER_NANO),
        Amount::Tokens(_) => used,
    }
}

/// Sends settlements one by one, each until it has arrived. Ends when all permits and handles are gone.
async fn settle_all(redis: Redis, mut queue: mpsc::Receiver<Settlement>) {
    let script = Script::new(include_str!("settle.lua"));
    while let Some(next) = queue.recv().await {
        while let Err(fault) = redis.try_run::<i64>(&script, &next.keys, &next.args).await {
            if let Fault::Refused(error) = fault {
                tracing::error!(%error, "redis: a settlement is refused and counted in this process only");
                break;
            }
            if queue.is_closed() {
                tracing::warn!("redis: away at the end, what calls used is counted in the local ledger only");
                return;
            }
            tokio::time::sleep(redis.config().retry_after.max(Duration::from_millis(10))).await;
        }
    }
}
