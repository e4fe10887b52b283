//! What is only looked at when somebody asks: the state of queues, targets, budgets, the ledger and the process.

use std::collections::BTreeMap;

use infer_store::budget::{Amount, Balance};
use inference::remote::Operation;
use inference::remote::breaker::BreakerState;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::names::MAX_MODELS;
use super::register::{Counters, Level, Levels, Register, Value, labels};
use super::upstream::Upstream;
use crate::drain::Phase;
use crate::state::State;

/// The state of everything now, as metrics.
pub(super) fn registry(state: &State, upstream: &Upstream, balances: Vec<Balance>) -> Registry {
    let mut register = Register::default();
    queue(&mut register, state);
    providers(&mut register, state, upstream);
    targets(&mut register, state);
    budgets(&mut register, balances);
    ledger(&mut register, state);
    register.into_parts().0
}

/// The names of what [`registry`] tells.
pub(super) const NAMES: [&str; 20] = [
    "infer_admission_in_flight",
    "infer_admission_in_flight_limit",
    "infer_admission_queued",
    "infer_admission_queue_limit",
    "infer_draining",
    "infer_provider_ready_in_seconds",
    "infer_spend_capture_ratio",
    "infer_target_calls_total",
    "infer_target_failures_total",
    "infer_target_in_flight",
    "infer_budget_used_ratio",
    "infer_budget_spent_usd",
    "infer_budget_reserved_usd",
    "infer_budget_limit_usd",
    "infer_budget_spent_tokens",
    "infer_budget_reserved_tokens",
    "infer_budget_limit_tokens",
    "infer_budget_accounts",
    "infer_ledger_rows_total",
    "infer_ledger_rows_waiting",
];

fn queue(register: &mut Register, state: &State) {
    let (running, waiting) = state.admission().state();
    let config = state.config();
    let (most, places) = (config.admission.max_in_flight, config.admission.max_queue);
    let mut level = |name, help, value: u32| {
        register.registry.register(name, help, ConstGauge::new(i64::from(value)));
    };
    level("infer_admission_in_flight", "Calls that were let in and are not over", running);
    level("infer_admission_in_flight_limit", "Calls that are let in at once", most);
    level("infer_admission_queued", "Calls that wait for their turn", waiting);
    level("infer_admission_queue_limit", "Calls that may wait for their turn", places);
    level(
        "infer_draining",
        "Whether the gateway is stopping",
        u32::from(state.drain.phase() > Phase::Serving),
    );
}

fn providers(register: &mut Register, state: &State, upstream: &Upstream) {
    let ready: Levels<1> =
        register.levels("infer_provider_ready_in_seconds", "The wait until a provider lets a call through");
    for name in state.inference.config().providers.into_keys() {
        let Some(provider) = state.inference.provider(&name) else { continue };
        let wait = provider.ready_in("");
        let operation = Operation::Generate.name();
        // Time alone ends an open breaker's pause, and nobody tells of that before the next call.
        if wait.is_zero() && upstream.is_told_open(&name, operation) {
            upstream.set_breaker(&name, operation, BreakerState::HalfOpen);
        }
        ready.get_or_create_owned(&labels(["provider"], [name.into()])).set(wait.as_secs_f64());
    }
    let captured = ConstGauge::new(upstream.captured());
    let help = "The part of the calls that cost something whose cost is known, since the start";
    register.registry.register("infer_spend_capture_ratio", help, captured);
}

fn targets(register: &mut Register, state: &State) {
    let calls: Counters<2> =
        register.counters("infer_target_calls_total", "Calls that a route sent to a target");
    let failures: Counters<2> =
        register.counters("infer_target_failures_total", "Calls that failed there before any content");
    let running: Levels<2> = register.levels("infer_target_in_flight", "Calls there that are not over");
    let targets = state.inference.router().targets();
    for target in targets.into_iter().filter(|target| !target.model.contains('*')).take(MAX_MODELS) {
        let values: [Value; 2] = [target.provider.to_string().into(), target.model.into()];
        let name = labels(["provider", "model"], values);
        calls.get_or_create_owned(&name).inc_by(target.calls);
        failures.get_or_create_owned(&name).inc_by(target.failures);
        running.get_or_create_owned(&name).set(f64::from(target.in_flight));
    }
}

/// What the accounts of one budget hold together.
#[derive(Default)]
struct Sheet {
    accounts: u32,
    /// Of the fullest account.
    used: f64,
    in_usd: bool,
    spent: f64,
    reserved: f64,
    limit: f64,
}

fn budgets(register: &mut Register, balances: Vec<Balance>) {
    let mut sheets: BTreeMap<String, Sheet> = BTreeMap::new();
    for balance in balances {
        let sheet = sheets.entry(balance.budget.to_string()).or_default();
        let [limit, spent, reserved] = [balance.limit, balance.spent, balance.reserved].map(number);
        sheet.accounts += 1;
        sheet.in_usd = matches!(balance.limit, Amount::Usd(_));
        sheet.spent += spent;
        sheet.reserved += reserved;
        sheet.limit = limit;
        let used = if limit > 0.0 { (spent + reserved) / limit } else { 1.0 };
        sheet.used = sheet.used.max(used);
    }
    let used: Levels<1> = register.levels(
        "infer_budget_used_ratio",
        "The part of a budget that is spent or reserved, of its fullest account",
    );
    let accounts: Levels<1> = register.levels("infer_budget_accounts", "Accounts of a budget");
    let dollars: [Levels<1>; 3] = [
        register.levels("infer_budget_spent_usd", "Spent of a budget in this window, by all its accounts"),
        register.levels("infer_budget_reserved_usd", "Reserved by calls under way"),
        register.levels("infer_budget_limit_usd", "The limit of each account of a budget"),
    ];
    let tokens: [Levels<1>; 3] = [
        register.levels("infer_budget_spent_tokens", "Spent of a budget in this window, by all its accounts"),
        register.levels("infer_budget_reserved_tokens", "Reserved by calls under way"),
        register.levels("infer_budget_limit_tokens", "The limit of each account of a budget"),
    ];
    for (name, sheet) in sheets {
        let name = labels(["budget"], [name.into()]);
        used.get_or_create_owned(&name).set(sheet.used);
        accounts.get_or_create_owned(&name).set(f64::from(sheet.accounts));
        let levels = if sheet.in_usd { &dollars } else { &tokens };
        for (level, value) in levels.iter().zip([sheet.spent, sheet.reserved, sheet.limit]) {
            level.get_or_create_owned(&name).set(value);
        }
    }
}

fn number(amount: Amount) -> f64 {
    match amount {
        Amount::Usd(usd) => usd.as_usd(),
        Amount::Tokens(tokens) => tokens as f64,
    }
}

fn ledger(register: &mut Register, state: &State) {
    let rows: Counters<1> =
        register.counters("infer_ledger_rows_total", "Rows for the ledger, by what became of them");
    let Some(ledger) = state.inference.ledger() else { return };
    let counts = ledger.stats();
    for (outcome, count) in
        [("written", counts.written), ("refused", counts.refused), ("failed", counts.failed)]
    {
        rows.get_or_create_owned(&labels(["outcome"], [outcome.into()])).inc_by(count);
    }
    let waiting = ConstGauge::new(i64::try_from(counts.waiting).unwrap_or(i64::MAX));
    register.registry.register("infer_ledger_rows_waiting", "Rows that are not written yet", waiting);
}

/// What a process says of itself, by the names that Prometheus has for it.
pub(super) fn process(register: &mut Register, started: f64) {
    let began: Level = register.add(
        "process_start_time_seconds",
        "When the process began, in seconds since 1970",
        Level::default(),
    );
    began.set(started);
    let build: Levels<1> = register.levels("infer_build_info", "1, with the version");
    build.get_or_create_owned(&labels(["version"], [env!("CARGO_PKG_VERSION").into()])).set(1.0);
}
