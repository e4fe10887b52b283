//! Where calls are counted: in budgets before and after, in the ledger after; `call.rs` has the room for it before.
//!
//! The record of a call is the one source of what it used. It is told here by whatever ran the call, also when the caller
//! left; a reservation only waits for it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use infer_core::{ExecuteBatch, RequestId, Routing, Usage};
use infer_router::gate::{Gate, Permit, Plea, Request, Spent, Verdict};
use infer_store::budget::{BudgetPermit, Exceeded, OnExceed, Payer, Reserve, Spend};
use infer_store::ledger::{LedgerRow, Outcome, RowCost};
use infer_store::{Budgets, Clock, Ledger};
use remote_core::breaker::BreakerChange;
use remote_core::meter::{self, Account, Cost, MetricsSink, RunRecord, Scope, TraceContext, Unpriced};

use crate::call::Call;
use crate::recorded::input_tokens;
use crate::shared::{Shared, Turn};

/// The budgets and the ledger of one [`Inference`](crate::Inference).
pub(crate) struct Books {
    pub(crate) budgets: Budgets,
    pub(crate) ledger: Option<Ledger>,
    /// What other processes have a say in.
    pub(crate) shared: Arc<Shared>,
    clock: Clock,
    /// What tries under way have used so far, by call, provider and model. Several are equal where calls share a name.
    open: Mutex<HashMap<Try, Vec<Entry>>>,
    next: Mutex<u64>,
}

type Try = (String, Arc<str>, String);

#[derive(Debug)]
struct Entry {
    number: u64,
    used: Option<Spend>,
}

impl Books {
    pub(crate) fn new(budgets: Budgets, ledger: Option<Ledger>) -> Arc<Self> {
        Arc::new(Self {
            budgets,
            ledger,
            shared: Arc::default(),
            clock: Clock::system(),
            open: Mutex::default(),
            next: Mutex::default(),
        })
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// Hands in the row of a try: for the call on whose behalf it was made, which has room for it.
    fn write(&self, row: LedgerRow, id: &RequestId) {
        match (Call::under_way(self), &self.ledger) {
            (Some(call), _) => call.write(row),
            (None, Some(ledger)) if id.is_shadow() => ledger.write_beyond(row),
            (None, Some(ledger)) => {
                // Only a runner that spawns what it asks of another gets here. The ledger logs and counts what it loses.
                let _ = ledger.offer(row);
            }
            (None, None) => {}
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Try, Vec<Entry>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, name: &Try) -> u64 {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next += 1;
        self.open().entry(name.clone()).or_default().push(Entry { number: *next, used: None });
        *next
    }

    fn leave(&self, name: &Try, number: u64) -> Option<Spend> {
        let mut open = self.open();
        let entries = open.get_mut(name)?;
        let place = entries.iter().position(|entry| entry.number == number)?;
        let entry = entries.swap_remove(place);
        if entries.is_empty() {
            open.remove(name);
        }
        entry.used
    }

    /// Adds to what a try has used; says whether there is such a try.
    fn add(&self, record: &RunRecord, provider: &Arc<str>, used: Spend) -> bool {
        let id = record.subject.request_id.as_str();
        // Parts of a batch of vectors are calls of their own, and one try.
        let whole = id.rsplit_once('.').filter(|(_, part)| part.bytes().all(|byte| byte.is_ascii_digit()));
        let mut open = self.open();
        if open.is_empty() {
            return false;
        }
        [Some(id), whole.map(|(whole, _)| whole)].into_iter().flatten().any(|id| {
            let name = (id.to_owned(), Arc::clone(provider), record.subject.model.clone());
            let Some(entries) = open.get_mut(&name) else { return false };
            let place = entries.iter().position(|entry| entry.used.is_none()).unwrap_or(0);
            let Some(entry) = entries.get_mut(place) else { return false };
            entry.used = Some(entry.used.map_or(used, |before| sum(before, used)));
            true
        })
    }

    fn settle(&self, record: &RunRecord, provider: &Arc<str>) {
        if record.scope != Scope::Call || !record.subject.operation.is_billed() {
            return;
        }
        let cost = record.cost.known().map(infer_core::CostEstimate::total);
        let tokens = record.usage.map_or(0, |usage| tokens(&usage));
        let used = Spend::new(cost.unwrap_or_default(), tokens);
        let account = &record.subject.account;
        if !self.add(record, provider, used) {
            self.shared.charge(&self.budgets, &payer(account, provider), used);
        }
        let mut row =
            LedgerRow::new(self.clock.now(), &*record.subject.model, record.subject.request_id.as_str());
        fill(&mut row, account);
        row.provider = Some(provider.to_string());
        row.served_model.clone_from(&record.served.model);
        row.usage = record.usage.unwrap_or_default();
        row.cost = match record.cost {
            Cost::Known(cost) => RowCost::Priced(cost.total()),
            // What failed before an answer began is billed by nobody.
            Cost::Unpriced(Unpriced::Failed) => RowCost::Nothing,
            Cost::Unpriced(reason) => RowCost::Unpriced(reason.name().to_owned()),
            _ => RowCost::Unpriced("unknown".to_owned()),
        };
        row.estimated = record.estimated;
        row.upstream_request_id.clone_from(&record.upstream_request_id);
        row.outcome = match record.outcome {
            meter::Outcome::Failed(kind) | meter::Outcome::Retried(kind) => Outcome::failed(kind),
            meter::Outcome::Cancelled => Outcome::Left,
            _ => Outcome::Answered,
        };
        self.write(row, &record.subject.request_id);
    }
}

fn sum(a: Spend, b: Spend) -> Spend {
    Spend::new(a.cost.saturating_add(b.cost), a.tokens.saturating_add(b.tokens))
}

/// Says whose a row is.
pub(crate) fn fill(row: &mut LedgerRow, account: &Account) {
    let text = |name: &Option<Arc<str>>| name.as_deref().map(ToOwned::to_owned);
    row.key = text(&account.key);
    row.user = text(&account.user);
    row.tag = text(&account.tag);
    row.route = text(&account.route);
}

fn payer(account: &Account, provider: &Arc<str>) -> Payer {
    let mut payer = Payer::default();
    payer.key.clone_from(&account.key);
    payer.user.clone_from(&account.user);
    payer.tag.clone_from(&account.tag);
    payer.route.clone_from(&account.route);
    payer.provider = Some(Arc::clone(provider));
    payer
}

impl fmt::Debug for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Books")
            .field("budgets", &self.budgets)
            .field("ledger", &self.ledger)
            .finish_non_exhaustive()
    }
}

/// Takes the records of one provider's calls.
#[derive(Debug)]
pub(crate) struct Clerk {
    pub(crate) books: Arc<Books>,
    /// Its name in the configuration, whatever it calls itself.
    pub(crate) provider: Arc<str>,
    /// Whoever else wants to know.
    pub(crate) also: Option<Arc<dyn MetricsSink>>,
}

impl MetricsSink for Clerk {
    fn record(&self, record: &RunRecord) {
        self.books.settle(record, &self.provider);
        if let Some(also) = &self.also {
            also.record(record);
        }
    }

    fn breaker_changed(&self, change: &BreakerChange<'_>) {
        if let Some(also) = &self.also {
            also.breaker_changed(&change.of(&self.provider));
        }
    }

    fn trace_context(&self) -> Option<TraceContext> {
        self.also.as_ref()?.trace_context()
    }
}

/// Asks the budgets before every try.
#[derive(Debug)]
pub(crate) struct BudgetKeeper(pub(crate) Arc<Books>);

#[async_trait]
impl Gate for BudgetKeeper {
    async fn ask(&self, plea: &Plea<'_>) -> Verdict {
        // Estimating reads the whole prompt. A budget that comes into force meanwhile is charged from the call's record.
        if self.0.budgets.is_empty() && self.0.shared.is_alone() {
            return Verdict::Allow;
        }
        // Most calls have no budget and should not carry its room.
        Box::pin(self.reserve(plea)).await
    }
}

impl BudgetKeeper {
    async fn reserve(&self, plea: &Plea<'_>) -> Verdict {
        let (id, routing, user, tokens): (&RequestId, &Routing, Option<&str>, u64) = match plea.request {
            Request::Answer(batch) => {
                (&batch.request_id, &batch.routing, batch.user.as_deref(), expected_tokens(batch))
            }
            Request::Vectors(batch) => {
                (&batch.request_id, &batch.routing, batch.user.as_deref(), input_tokens(batch))
            }
            // What sets no model to work costs nothing.
            Request::Relay(request) if request.method.is_billed() => {
                (&request.request_id, &request.routing, request.user.as_deref(), request.input_tokens())
            }
            _ => return Verdict::Allow,
        };
        let provider: Arc<str> = plea.provider.into();
        let cost = plea.estimate().map(|cost| cost.total()).unwrap_or_default();
        let payer = payer(&Account::of(routing, user), &provider);
        let books = &self.0;
        let reserved = match books.shared.reserve(&books.budgets, payer, Spend::new(cost, tokens)).await {
            Ok(reserved) => reserved,
            Err(error) => return Verdict::Refuse(error),
        };
        match reserved {
            Reserve::Reserved(permit) => {
                for exceeded in &permit.warnings {
                    tracing::warn!(request_id = %id, route = plea.route, %exceeded, "over budget");
                }
                let turn = match books.shared.take(plea, id, tokens).await {
                    Ok(turn) => turn,
                    Err(error) => return Verdict::Refuse(error),
                };
                let name = (id.as_str().to_owned(), provider, plea.model.to_owned());
                let number = self.0.enter(&name);
                Verdict::Permit(Box::new(Opened {
                    books: Arc::clone(&self.0),
                    name,
                    number,
                    permit: Some(permit),
                    _turn: turn,
                }))
            }
            Reserve::Exceeded(Exceeded { action: OnExceed::Downgrade(ref route), ref budget, .. }) => {
                Verdict::Downgrade { route: route.clone(), reason: format!("budget {budget} is used up") }
            }
            Reserve::Exceeded(exceeded) => Verdict::Deny(exceeded.to_string()),
        }
    }
}

/// Tokens as the sums of the ledger count them.
fn tokens(usage: &Usage) -> u64 {
    usage.input_tokens.saturating_add(usage.output_tokens)
}

/// Tokens that a call will use, as far as it says; an output without a limit counts as nothing.
fn expected_tokens(batch: &ExecuteBatch) -> u64 {
    let output = u64::from(batch.max_output_tokens.unwrap_or(0)).saturating_mul(u64::from(batch.choices()));
    model_facts::estimate_request(batch).saturating_add(output)
}

/// A try that has reserved something.
struct Opened {
    books: Arc<Books>,
    name: Try,
    number: u64,
    permit: Option<BudgetPermit>,
    /// Settled when it is dropped.
    _turn: Option<Turn>,
}

impl Opened {
    /// What its records say counts; what the router saw only where there is no record.
    fn close(&mut self, seen: Option<Spend>) {
        let used = self.books.leave(&self.name, self.number).or(seen);
        match (self.permit.take(), used) {
            (Some(permit), Some(used)) => permit.settle(used),
            (permit, _) => drop(permit),
        }
    }
}

impl Permit for Opened {
    fn settle(mut self: Box<Self>, spent: Spent) {
        let cost = spent.cost.map(|cost| cost.total());
        let tokens = spent.usage.map(|usage| tokens(&usage));
        let seen = (cost.is_some() || tokens.is_some())
            .then(|| Spend::new(cost.unwrap_or_default(), tokens.unwrap_or_default()));
        self.close(seen);
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if self.permit.is_some() {
            self.close(None);
        }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("number", &self.number).finish_non_exhaustive()
    }
}
