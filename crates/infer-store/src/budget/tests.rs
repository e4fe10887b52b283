//! The machine against a slow model, and its laws.

use std::time::{Duration, SystemTime};

use infer_core::{Usage, Usd};
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::window::Window;
use super::*;
use crate::ledger::RowCost;
use crate::{LedgerConfig, LedgerRow};

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
}

fn rule(name: &str, per: Scope, every: Every, tokens: u64) -> BudgetRule {
    BudgetRule {
        name: name.to_owned(),
        per,
        only: Vec::new(),
        every,
        usd: None,
        tokens: Some(tokens),
        zone: "UTC".to_owned(),
        on_exceed: OnExceed::Reject,
    }
}

fn config(limits: Vec<BudgetRule>) -> BudgetConfig {
    BudgetConfig { limits, reservation_timeout: Duration::from_secs(600), ..BudgetConfig::default() }
}

fn machine(limits: Vec<BudgetRule>) -> Machine {
    Machine::new(&config(limits)).unwrap()
}

fn tokens(count: u64) -> Spend {
    Spend::new(Usd::ZERO, count)
}

fn reserved(decision: Decision) -> u64 {
    match decision {
        Decision::Reserved { ticket, .. } => ticket,
        Decision::Exceeded(exceeded) => panic!("{exceeded}"),
    }
}

fn exceeded(decision: Decision) -> Exceeded {
    match decision {
        Decision::Exceeded(exceeded) => exceeded,
        Decision::Reserved { .. } => panic!("reserved"),
    }
}

#[test]
fn a_call_that_does_not_fit_is_told_which_budget_and_until_when() {
    let mut machine = machine(vec![
        rule("all", Scope::All, Every::Total, 1_000),
        rule("daily", Scope::Key, Every::Day, 100),
    ]);
    let payer = Payer::key("team-a");
    let ticket = reserved(machine.reserve(at(0), &payer, tokens(60)));
    machine.settle(at(1), ticket, &payer, tokens(70));
    let no = exceeded(machine.reserve(at(2), &payer, tokens(31)));
    assert_eq!(
        (&*no.budget, no.account.as_deref(), no.action.clone()),
        ("daily", Some("team-a"), OnExceed::Reject)
    );
    assert_eq!(
        no.to_string(),
        "budget daily of team-a: 70 tokens of 100 tokens used; begins anew at 2023-11-15T00:00:00Z"
    );
    reserved(machine.reserve(at(2), &payer, tokens(30)));
    reserved(machine.reserve(at(2), &Payer::key("team-b"), tokens(100)));
    reserved(machine.reserve(no.resets_at.unwrap(), &payer, tokens(70)));
    assert!(machine.balances(at(2)).iter().any(|balance| balance.spent == Amount::Tokens(70)));
}

#[test]
fn a_refused_call_reserves_nothing_anywhere() {
    let mut machine = machine(vec![
        rule("wide", Scope::All, Every::Total, 100),
        rule("narrow", Scope::User, Every::Hour, 10),
    ]);
    let payer = Payer { user: Some("u".into()), ..Payer::default() };
    assert_eq!(&*exceeded(machine.reserve(at(0), &payer, tokens(11))).budget, "narrow");
    assert!(machine.balances(at(0)).iter().all(|balance| balance.reserved == Amount::Tokens(0)));
    // Budgets for somebody do not bind calls of nobody.
    reserved(machine.reserve(at(0), &Payer::default(), tokens(100)));
}

#[test]
fn a_used_up_budget_refuses_even_calls_that_are_expected_to_cost_nothing() {
    let mut machine = machine(vec![rule("all", Scope::All, Every::Total, 10)]);
    let ticket = reserved(machine.reserve(at(0), &Payer::default(), tokens(10)));
    exceeded(machine.reserve(at(0), &Payer::default(), tokens(0)));
    machine.refund(ticket);
    reserved(machine.reserve(at(0), &Payer::default(), tokens(0)));
}

#[test]
fn warning_lets_calls_pass_and_downgrading_names_the_route_once() {
    let mut warn = rule("warn", Scope::All, Every::Day, 10);
    warn.on_exceed = OnExceed::Warn;
    let mut down = rule("down", Scope::All, Every::Day, 20);
    down.on_exceed = OnExceed::Downgrade("cheap".to_owned());
    let mut machine = machine(vec![warn, down, rule("stop", Scope::All, Every::Day, 30)]);
    let payer = Payer::default();
    let Decision::Reserved { warnings, .. } = machine.reserve(at(0), &payer, tokens(15)) else { panic!() };
    assert_eq!(&*warnings[0].budget, "warn");
    let no = exceeded(machine.reserve(at(0), &payer, tokens(10)));
    assert_eq!(no.action, OnExceed::Downgrade("cheap".to_owned()));
    let cheap = Payer { route: Some("cheap".into()), ..Payer::default() };
    let Decision::Reserved { warnings, .. } = machine.reserve(at(0), &cheap, tokens(10)) else { panic!() };
    assert_eq!(warnings.len(), 2);
    assert_eq!(
        &*exceeded(machine.reserve(at(0), &payer, tokens(10))).budget,
        "stop",
        "rejecting comes first"
    );
}

#[test]
fn a_reservation_that_was_forgotten_is_returned_and_a_late_bill_still_counts() {
    let mut machine = machine(vec![rule("all", Scope::All, Every::Total, 10)]);
    let payer = Payer::default();
    let ticket = reserved(machine.reserve(at(0), &payer, tokens(10)));
    exceeded(machine.reserve(at(599), &payer, tokens(1)));
    reserved(machine.reserve(at(600), &payer, tokens(4)));
    machine.settle(at(700), ticket, &payer, tokens(9));
    let balance = machine.balances(at(700)).remove(0);
    assert_eq!((balance.spent, balance.reserved), (Amount::Tokens(9), Amount::Tokens(4)));
}

#[test]
fn a_clock_that_steps_back_hands_out_no_second_allowance_and_one_set_right_shuts_nobody_out() {
    let mut machine = machine(vec![rule("hourly", Scope::All, Every::Hour, 10)]);
    let payer = Payer::default();
    let start = Window::around(at(7_200), Every::Hour, &TimeZone::UTC).start;
    let second = Duration::from_secs(1);
    let ticket = reserved(machine.reserve(start, &payer, tokens(10)));
    machine.settle(start, ticket, &payer, tokens(10));
    exceeded(machine.reserve(start - second, &payer, tokens(1)));
    exceeded(machine.reserve(start, &payer, tokens(1)));
    // Far ahead, spent there, and set right: still used up, and open again an hour later.
    let ahead = start + Duration::from_secs(86_400 * 365);
    let ticket = reserved(machine.reserve(ahead, &payer, tokens(10)));
    machine.settle(ahead, ticket, &payer, tokens(10));
    exceeded(machine.reserve(start, &payer, tokens(1)));
    reserved(machine.reserve(start + Duration::from_secs(3_600), &payer, tokens(10)));
}

#[test]
fn names_without_end_share_an_account_and_take_no_memory() {
    let mut config = config(vec![rule("each", Scope::User, Every::Total, 10)]);
    config.max_accounts = 100;
    let mut machine = Machine::new(&config).unwrap();
    for number in 0..10_000 {
        let payer = Payer { user: Some(format!("u{number}").into()), ..Payer::default() };
        if let Decision::Reserved { ticket, .. } = machine.reserve(at(0), &payer, tokens(1)) {
            machine.settle(at(0), ticket, &payer, tokens(1));
        }
    }
    assert_eq!(machine.balances(at(0)).len(), 101);
    let known = Payer { user: Some("u5".into()), ..Payer::default() };
    reserved(machine.reserve(at(0), &known, tokens(9)));
}

#[test]
fn a_payer_sees_what_is_left_also_where_nothing_is_used_and_asking_opens_no_account() {
    let mut own = rule("own", Scope::Key, Every::Day, 50);
    own.only = vec!["b".to_owned()];
    let mut machine = machine(vec![rule("all", Scope::All, Every::Total, 1_000), own]);
    let ticket = reserved(machine.reserve(at(0), &Payer::key("a"), tokens(7)));
    machine.settle(at(1), ticket, &Payer::key("a"), tokens(7));
    let seen = machine.balances_of(at(2), &Payer::key("b"));
    let told: Vec<_> = seen.iter().map(|held| (&*held.budget, held.account.as_deref(), held.spent)).collect();
    assert_eq!(told, [("all", None, Amount::Tokens(7)), ("own", Some("b"), Amount::Tokens(0))]);
    assert_eq!(seen[1].resets_at, Some(at(0) - Duration::from_secs(80_000) + Duration::from_secs(86_400)));
    assert_eq!(machine.balances(at(2)).len(), 1);
}

#[tokio::test]
async fn budgets_begin_with_what_the_ledger_says_was_spent() {
    let directory = tempfile::tempdir().unwrap();
    let now = at(86_400 * 2 + 3_700);
    let clock = Clock::new(move || now);
    let ledger = Ledger::open_at(directory.path(), LedgerConfig::default(), clock.clone()).unwrap();
    for (number, seconds) in [0, 86_400 * 2, 86_400 * 2 + 3_600].into_iter().enumerate() {
        let mut row = LedgerRow::new(at(seconds), "m", format!("call-{number}"));
        row.key = Some(["a", "a", "b"][number].to_owned());
        row.usage = Usage::new(1 << number, 0);
        row.cost = RowCost::Priced(Usd::from_picos(100 << number));
        ledger.append(row).await.unwrap();
    }
    let mut money = rule("money", Scope::Key, Every::Total, 1);
    (money.tokens, money.usd, money.only) = (None, Some(1.0), vec!["a".to_owned()]);
    let mut own = rule("own", Scope::Key, Every::Total, 100);
    own.only = vec!["b".to_owned(), "c".to_owned()];
    let (daily, keys) =
        (rule("daily", Scope::All, Every::Day, 100), rule("keys", Scope::Key, Every::Hour, 100));
    let limits = vec![daily, keys, money, own];
    let budgets = Budgets::open(&config(limits), Some(&ledger), clock).unwrap();
    let spent = |budgets: &Budgets, name: &str, account: Option<&str>| {
        let found =
            budgets.balances().into_iter().find(|b| &*b.budget == name && b.account.as_deref() == account);
        found.map(|balance| balance.spent)
    };
    assert_eq!(spent(&budgets, "daily", None), Some(Amount::Tokens(2 + 4)));
    assert_eq!(spent(&budgets, "keys", Some("a")), None);
    assert_eq!(spent(&budgets, "keys", Some("b")), Some(Amount::Tokens(4)));
    assert_eq!(spent(&budgets, "money", Some("a")), Some(Amount::Usd(Usd::from_picos(300))));
    assert_eq!(spent(&budgets, "money", Some("b")), None);
    assert_eq!(spent(&budgets, "own", Some("b")), Some(Amount::Tokens(4)));
    assert_eq!(spent(&budgets, "own", Some("a")), None);

    let Reserve::Reserved(permit) = budgets.reserve(Payer::key("b"), tokens(90)).await.unwrap() else {
        panic!()
    };
    assert!(matches!(budgets.try_reserve(Payer::key("b"), tokens(7)), Reserve::Exceeded(_)));
    drop(permit);
    let Reserve::Reserved(permit) = budgets.try_reserve(Payer::key("b"), tokens(90)) else { panic!() };
    permit.settle(tokens(1));
    assert_eq!(spent(&budgets, "keys", Some("b")), Some(Amount::Tokens(5)));
}

#[derive(Clone, Debug)]
enum Step {
    Reserve { user: u8, estimate: u64 },
    Settle { call: prop::sample::Index, actual: u64 },
    Drop { call: prop::sample::Index },
    Wait { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..3, 0_u64..40).prop_map(|(user, estimate)| Step::Reserve { user, estimate }),
        3 => (any::<prop::sample::Index>(), 0_u64..80).prop_map(|(call, actual)| Step::Settle { call, actual }),
        1 => any::<prop::sample::Index>().prop_map(|call| Step::Drop { call }),
        1 => (0_u64..2_000).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// A call under way, as the slow model remembers it.
#[derive(Clone, Debug)]
struct Call {
    ticket: u64,
    user: u8,
    estimate: u64,
    expires: u64,
}

proptest! {
    /// The machine decides as a model does that looks through all calls each time, and no account is ever above its limit
    /// by more than what the calls under way at its last admission cost beyond their reservations.
    #[test]
    fn an_account_is_overshot_only_by_what_calls_under_way_cost_more_than_reserved(
        steps in prop::collection::vec(step(), 1..120),
        limit in 1_u64..200,
    ) {
        let mut machine = machine(vec![rule("each", Scope::User, Every::Hour, limit)]);
        let payer = |user: u8| Payer { user: Some(format!("u{user}").into()), ..Payer::default() };
        let window = |now: u64| Window::around(at(now), Every::Hour, &TimeZone::UTC);
        let (mut now, mut calls) = (0_u64, Vec::<Call>::new());
        let mut settled: Vec<(u8, u64, u64)> = Vec::new();
        let mut debts = [0_u64; 3];
        for step in steps {
            match step {
                Step::Wait { seconds } => now += seconds,
                Step::Reserve { user, estimate } => {
                    let spent: u64 = settled.iter()
                        .filter(|(who, when, _)| *who == user && window(*when) == window(now)).map(|(_, _, what)| what).sum();
                    let held: u64 = calls.iter().filter(|call| call.user == user && call.expires > now).map(|call| call.estimate).sum();
                    let fits = spent + held < limit && spent + held + estimate <= limit;
                    match machine.reserve(at(now), &payer(user), tokens(estimate)) {
                        Decision::Reserved { ticket, .. } => {
                            prop_assert!(fits);
                            debts[usize::from(user)] = 0;
                            calls.push(Call { ticket, user, estimate, expires: now + 600 });
                        }
                        Decision::Exceeded(_) => prop_assert!(!fits),
                    }
                }
                Step::Settle { call, actual } if !calls.is_empty() => {
                    let call = calls.swap_remove(call.index(calls.len()));
                    machine.settle(at(now), call.ticket, &payer(call.user), tokens(actual));
                    let reserved = if call.expires > now { call.estimate } else { 0 };
                    debts[usize::from(call.user)] += actual.saturating_sub(reserved);
                    settled.push((call.user, now, actual));
                }
                Step::Drop { call } if !calls.is_empty() => {
                    machine.refund(calls.swap_remove(call.index(calls.len())).ticket);
                }
                Step::Settle { .. } | Step::Drop { .. } => {}
            }
            for balance in machine.balances(at(now)) {
                let user = usize::from(balance.account.as_deref().unwrap().as_bytes()[1] - b'0');
                let (Amount::Tokens(spent), Amount::Tokens(reserved)) = (balance.spent, balance.reserved) else { panic!() };
                prop_assert!(spent + reserved <= u128::from(limit + debts[user]));
            }
        }
    }

    /// However the clock jumps, nothing is spent or reserved below zero and everything reserved is returned in the end.
    #[test]
    fn no_reservation_leaks_whatever_the_clock_does(
        steps in prop::collection::vec((0_u64..100_000, 0_u64..50, any::<Option<u8>>()), 1..80),
    ) {
        let mut machine = machine(vec![rule("a", Scope::All, Every::Day, 1_000), rule("b", Scope::User, Every::Hour, 500)]);
        let payer = Payer { user: Some("u".into()), ..Payer::default() };
        for (second, amount, settles) in steps {
            if let Decision::Reserved { ticket, .. } = machine.reserve(at(second), &payer, tokens(amount))
                && let Some(actual) = settles
            {
                machine.settle(at(second), ticket, &payer, tokens(actual.into()));
            }
        }
        for balance in machine.balances(at(200_000)) {
            prop_assert_eq!(balance.reserved, Amount::Tokens(0));
        }
    }
}
