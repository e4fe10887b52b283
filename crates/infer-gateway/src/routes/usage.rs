//! Spend and budgets: `GET /v1/usage` for who calls, `GET /admin/usage` and `GET /admin/budgets` for who operates.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::SystemTime;

use axum::body::Body;
use http::{HeaderMap, Response, StatusCode};
use infer_core::Usd;
use infer_store::Ledger;
use infer_store::budget::{Amount, Balance, Every, OnExceed, Payer, Scope};
use infer_store::ledger::{Dimension, Period, Query, Report, Sums};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Map, Value, json};

use super::admin::Answer;
use super::models::to_json;
use crate::caller::caller;
use crate::denial::{Denial, Failure};
use crate::state::State;

/// What the calling key has spent today and this month, by model, and what its budgets still allow.
///
/// # Errors
/// 401 without a key where one is needed; 500 when the ledger cannot be read.
pub(crate) async fn own(state: &State, headers: &HeaderMap) -> Answer {
    let caller = caller(state, headers)?;
    let name = caller.name().cloned();
    let told = match &name {
        Some(name) => state.inference.shared_balances_of(&Payer::key(name.clone())).await,
        None => state.inference.shared_balances().await,
    };
    let mut budgets = told.accounts;
    // What others spend of a budget for all is nobody's business.
    budgets
        .retain(|balance| if name.is_some() { balance.per == Scope::Key } else { balance.per == Scope::All });
    let budgets: Vec<Value> = budgets.iter().map(balance).collect();
    let mut answer = json!({ "object": "usage", "key": name, "budgets": budgets });
    let Value::Object(members) = &mut answer else { return Ok(to_json(&answer)) };
    if told.is_partial {
        members.insert("budgets_partial".to_owned(), true.into());
    }
    let Some(ledger) = state.inference.ledger() else {
        members.insert("recorded".to_owned(), false.into());
        members.insert(
            "note".to_owned(),
            "calls are not recorded here: this gateway has no data directory".into(),
        );
        return Ok(to_json(&answer));
    };
    members.insert("recorded".to_owned(), true.into());
    let (day, month) = beginnings(state.now());
    for (what, since) in [("today", day), ("month", month)] {
        let mut query = Query::new().by(Dimension::Model).since(since);
        if let Some(name) = &name {
            query = query.only(Dimension::Key, [name.to_string()]);
        }
        let report = ask(ledger, query).await?;
        let mut spent = sums(&report.total);
        spent.insert("since".to_owned(), moment(since).into());
        spent.insert("by_model".to_owned(), groups(report, None, &[Dimension::Model]).into());
        members.insert(what.to_owned(), spent.into());
    }
    Ok(to_json(&answer))
}

/// Every budget in force with its accounts.
pub(super) async fn budgets(state: &State) -> Response<Body> {
    let told = state.inference.shared_balances().await;
    let mut accounts: HashMap<String, Vec<Value>> = HashMap::new();
    for held in told.accounts {
        accounts.entry(held.budget.to_string()).or_default().push(balance(&held));
    }
    let rules = state.inference.budget_rules();
    let shown = rules.iter().map(|rule| {
        let on_exceed = match &rule.on_exceed {
            OnExceed::Downgrade(route) => json!({ "downgrade": route }),
            OnExceed::Warn => "warn".into(),
            _ => "reject".into(),
        };
        json!({
            "name": rule.name,
            "per": rule.per,
            "only": rule.only,
            "every": rule.every,
            "zone": rule.zone,
            "usd": rule.usd,
            "tokens": rule.tokens,
            "on_exceed": on_exceed,
            "accounts": accounts.remove(&rule.name).unwrap_or_default(),
        })
    });
    to_json(&json!({ "budgets": shown.collect::<Vec<_>>(), "partial": told.is_partial }))
}

/// Sums of the ledger: `from` and `to` are days or moments, `by` names dimensions and one period, parted by commas.
///
/// # Errors
/// 400 for what cannot be read, by the parameter's name; 404 without a ledger; 500 when it cannot be read.
pub(super) async fn spent(state: &State, text: &str) -> Answer {
    let Some(ledger) = state.inference.ledger() else {
        let message = "calls are not recorded here: set data to a directory where they are kept";
        return Err(Denial::new(StatusCode::NOT_FOUND, "no_ledger", message).for_good().into());
    };
    let query = question(text)?;
    let (period, by) = (query.period, query.by.clone());
    let is_open = (query.from.is_none(), query.to.is_none());
    let report = ask(ledger, query).await?;
    let from =
        (!is_open.0 || report.covers.start != SystemTime::UNIX_EPOCH).then(|| moment(report.covers.start));
    let to = (!is_open.1).then(|| moment(report.covers.end));
    let total = sums(&report.total);
    let groups = groups(report, period, &by);
    Ok(to_json(&json!({ "from": from, "to": to, "groups": groups, "total": total })))
}

fn question(text: &str) -> Result<Query, Denial> {
    let wrong = |name: &str, message: String| {
        Denial::new(StatusCode::BAD_REQUEST, "invalid_query", format!("{name}: {message}"))
            .about(name)
            .for_good()
    };
    let uri = format!("/?{text}").parse().map_err(|_| wrong("query", "cannot be read".to_owned()))?;
    let parameters = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri)
        .map_err(|error| wrong("query", error.to_string()))?;
    let mut query = Query::new();
    for (name, value) in parameters.0 {
        match name.as_str() {
            "from" => query.from = Some(when(&value).map_err(|fault| wrong("from", fault))?.0),
            "to" => query.to = Some(when(&value).map_err(|fault| wrong("to", fault))?.1),
            "by" => {
                for word in value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
                    by(&mut query, word).map_err(|fault| wrong("by", fault))?;
                }
            }
            _ => {
                let shown: String = name.chars().take(40).collect();
                return Err(wrong(&shown, "there are from, to and by".to_owned()));
            }
        }
    }
    if query.from.zip(query.to).is_some_and(|(from, to)| from >= to) {
        return Err(wrong("from", "does not lie before the end of to".to_owned()));
    }
    Ok(query)
}

const PERIODS: [(&str, Period); 3] = [("hour", Period::Hour), ("day", Period::Day), ("month", Period::Month)];

const NAMES: [Dimension; 6] = [
    Dimension::Model,
    Dimension::Provider,
    Dimension::Key,
    Dimension::User,
    Dimension::Tag,
    Dimension::Route,
];

fn by(query: &mut Query, word: &str) -> Result<(), String> {
    if let Some((_, period)) = PERIODS.iter().find(|(name, _)| *name == word) {
        if query.period.is_some_and(|known| known != *period) {
            return Err("only one of hour, day and month".to_owned());
        }
        query.period = Some(*period);
        return Ok(());
    }
    let Some(name) = NAMES.into_iter().find(|name| name.name() == word) else {
        let shown: String = word.chars().take(40).collect();
        return Err(format!(
            "{shown:?} is none of hour, day, month, model, provider, key, user, tag and route"
        ));
    };
    if !query.by.contains(&name) {
        query.by.push(name);
    }
    Ok(())
}

/// Where a day begins and ends; a moment has no length.
fn when(text: &str) -> Result<(SystemTime, SystemTime), String> {
    let day = |date: Date| {
        let midnight = |date: Date| Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp());
        Some((midnight(date)?, midnight(date.checked_add(1.day()).ok()?)?))
    };
    let read = match text.len() {
        10 => text.parse().ok().and_then(day),
        _ => text.parse().ok().map(|at: Timestamp| (at, at)),
    };
    let known = read.filter(|(start, _)| *start >= Timestamp::UNIX_EPOCH);
    known.map(|(start, end)| (start.into(), end.into())).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        format!("{shown:?} is no day such as 2026-11-01 and no moment such as 2026-11-01T15:00Z")
    })
}

/// When the day and the month of `now` began, in UTC.
fn beginnings(now: SystemTime) -> (SystemTime, SystemTime) {
    let now = Timestamp::try_from(now).unwrap_or(Timestamp::UNIX_EPOCH);
    let today = now.to_zoned(TimeZone::UTC).date();
    let begins = |date: Date| date.to_zoned(TimeZone::UTC).map_or(now, |at| at.timestamp()).into();
    (begins(today), begins(today.first_of_month()))
}

fn moment(at: SystemTime) -> String {
    Timestamp::try_from(at).unwrap_or(Timestamp::MAX).to_string()
}

/// Asks the ledger, which reads the disk, with all calls that are over.
async fn ask(ledger: &Ledger, query: Query) -> Result<Report, Failure> {
    let failed = |what: String| {
        let message = format!("the ledger cannot be read: {what}");
        Failure::from(Denial::new(StatusCode::INTERNAL_SERVER_ERROR, "ledger_failed", message))
    };
    ledger.flush().await.map_err(|error| failed(error.to_string()))?;
    let ledger = ledger.clone();
    let read = tokio::task::spawn_blocking(move || ledger.query(&query)).await;
    read.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
}

/// The groups, the dearest first in each period.
fn groups(mut report: Report, period: Option<Period>, by: &[Dimension]) -> Vec<Value> {
    report.groups.sort_by_key(|group| (group.start, Reverse((group.sums.cost, group.sums.calls))));
    let word = PERIODS.iter().find(|(_, known)| Some(*known) == period).map(|(word, _)| *word);
    let shown = |group: infer_store::ledger::Group| {
        let mut members = Map::new();
        if let (Some(word), Some(start)) = (word, group.start) {
            members.insert(word.to_owned(), moment(start).into());
        }
        for (name, value) in by.iter().zip(group.names) {
            members.insert(name.name().to_owned(), json!(value));
        }
        members.append(&mut sums(&group.sums));
        Value::Object(members)
    };
    report.groups.into_iter().map(shown).collect()
}

/// Money is text with every digit; `null` where no price is known.
fn sums(sums: &Sums) -> Map<String, Value> {
    let counts = [
        ("calls", sums.calls),
        ("failed", sums.failed),
        ("cached", sums.cached),
        ("unpriced", sums.unpriced),
        ("estimated", sums.estimated),
        ("input_tokens", sums.input_tokens),
        ("output_tokens", sums.output_tokens),
        ("cached_input_tokens", sums.cached_input_tokens),
        ("cache_write_tokens", sums.cache_write_tokens),
        ("reasoning_tokens", sums.reasoning_tokens),
    ];
    let cost = (sums.cost > Usd::ZERO || sums.unpriced == 0).then(|| dollars(sums.cost));
    let counts = counts.into_iter().map(|(name, count)| (name.to_owned(), count.into()));
    counts.chain([("cost_usd".to_owned(), cost.into())]).collect()
}

fn dollars(usd: Usd) -> String {
    usd.to_string().trim_start_matches('$').to_owned()
}

/// What an account holds, in the unit of its budget.
fn balance(held: &Balance) -> Value {
    let left = match (held.limit, held.spent, held.reserved) {
        (Amount::Usd(limit), Amount::Usd(spent), Amount::Usd(reserved)) => {
            let used = spent.picos().saturating_add(reserved.picos());
            Amount::Usd(Usd::from_picos(limit.picos().saturating_sub(used)))
        }
        (Amount::Tokens(limit), Amount::Tokens(spent), Amount::Tokens(reserved)) => {
            Amount::Tokens(limit.saturating_sub(spent.saturating_add(reserved)))
        }
        // A budget counts in one unit.
        (limit, ..) => limit,
    };
    let unit = if matches!(held.limit, Amount::Usd(_)) { "usd" } else { "tokens" };
    let amount = |amount: Amount| match amount {
        Amount::Usd(usd) => Value::from(dollars(usd)),
        Amount::Tokens(tokens) => Value::from(u64::try_from(tokens).unwrap_or(u64::MAX)),
    };
    let every = match held.every {
        Every::Hour => "hour",
        Every::Day => "day",
        Every::Month => "month",
        Every::Total => "total",
    };
    json!({
        "budget": held.budget,
        "account": held.account,
        "every": every,
        "unit": unit,
        "limit": amount(held.limit),
        "spent": amount(held.spent),
        "reserved": amount(held.reserved),
        "left": amount(left),
        "begins_anew": held.resets_at.map(moment),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_or_refused_by_the_name_of_its_parameter() {
        let query = question("from=2026-11-01&to=2026-11-02&by=day,model,day&by=key").unwrap();
        assert_eq!((query.period, query.by), (Some(Period::Day), vec![Dimension::Model, Dimension::Key]));
        let (from, to) = query.from.zip(query.to).unwrap();
        assert_eq!(to.duration_since(from).unwrap().as_secs(), 2 * 86_400);
        for (text, param) in [
            ("from=yesterday", "from"),
            ("to=1969-01-01", "to"),
            ("by=day,month", "by"),
            ("by=price", "by"),
            ("from=2026-11-02&to=2026-11-01", "from"),
            ("since=2026-11-02", "since"),
        ] {
            let denial = question(text).unwrap_err();
            assert_eq!(denial.param.as_deref(), Some(param), "{text}: {}", denial.message);
        }
    }

    #[test]
    fn a_day_and_a_month_begin_at_midnight_of_utc() {
        let (day, month) = beginnings("2026-11-21T15:00:00Z".parse::<Timestamp>().unwrap().into());
        assert_eq!(
            (moment(day), moment(month)),
            ("2026-11-21T00:00:00Z".into(), "2026-11-01T00:00:00Z".into())
        );
    }
}
