//! The short spellings of a provider's settings, rewritten into the long ones.
//!
//! | short | long |
//! |---|---|
//! | `timeout: 30s`, or a number of seconds | `timeouts.total` |
//! | `max_retries: 3` | `retry.attempts: 4` |
//! | `rate_limit.requests_per_second: 2.0` | `rate_limits.requests_per_minute: 120` |
//!
//! Whoever writes both has said two things, which is a fault.

use super::fault::Fault;
use super::known::unknown;
use super::tree::{Key, Node, Value, join};

/// The only key of `rate_limit`.
const PER_SECOND: &str = "requests_per_second";

/// Rewrites the short spellings in one provider's settings.
pub(crate) fn lengthen(provider: &mut Node, path: &str, faults: &mut Vec<Fault>) {
    let mut rewrite = |short: &str, long: (&str, &str), read: fn(&Node) -> Result<Value, &'static str>| {
        if let Some((key, node)) = provider.take(short) {
            place(provider, path, (short, key, node), long, read, faults);
        }
    };
    rewrite("timeout", ("timeouts", "total"), seconds);
    rewrite("max_retries", ("retry", "attempts"), attempts);
    let Some((key, mut limit)) = provider.take("rate_limit") else { return };
    let limit_path = join(path, &key.name);
    if !matches!(limit.value, Value::Table(_)) {
        let message = "must be a table with requests_per_second; other limits are set in rate_limits";
        faults.push(Fault::new(&limit.place, limit_path, message));
        return;
    }
    if let Some((key, node)) = limit.take(PER_SECOND) {
        let long = ("rate_limits", "requests_per_minute");
        place(provider, path, ("rate_limit.requests_per_second", key, node), long, per_minute, faults);
    }
    for (stranger, _) in limit.entries() {
        let message = unknown("key", &stranger.name, [PER_SECOND]);
        let message = format!("{message}; other limits are set in rate_limits");
        faults.push(Fault::new(&stranger.place, join(&limit_path, &stranger.name), message));
    }
}

/// Puts what `short` says to where `long` is read.
fn place(
    provider: &mut Node,
    path: &str,
    (short, key, mut node): (&str, Key, Node),
    (table, name): (&str, &str),
    read: fn(&Node) -> Result<Value, &'static str>,
    faults: &mut Vec<Fault>,
) {
    let written_as = join(path, short);
    match read(&node) {
        Ok(value) => node.value = value,
        Err(wanted) => {
            let got = if node.is_filled { String::new() } else { got(&node.value) };
            faults.push(Fault::new(&node.place, written_as, format!("{wanted}{got}")));
            return;
        }
    }
    let Some(entries) = provider.table_mut(table, &key.place) else {
        // What stands there is no table, which is reported when it is read.
        return;
    };
    if entries.iter().any(|(other, _)| other.name == name) {
        let message = format!("says the same as {table}.{name}: keep one of them");
        faults.push(Fault::new(&key.place, written_as, message));
        return;
    }
    node.written_as = Some(written_as.into());
    entries.push((Key { name: name.to_owned(), place: key.place }, node));
}

fn got(value: &Value) -> String {
    match value {
        Value::Null | Value::Broken => ", got nothing".to_owned(),
        Value::Bool(is) => format!(", got {is}"),
        Value::Integer(number) => format!(", got {number}"),
        Value::Float(number) => format!(", got {number}"),
        Value::Text(text) => format!(", got {:?}", text.chars().take(40).collect::<String>()),
        Value::List(_) => ", got a list".to_owned(),
        Value::Table(_) => ", got a table".to_owned(),
    }
}

/// A number, also where it is a text that came from outside.
pub(crate) fn number(node: &Node) -> Option<f64> {
    match &node.value {
        Value::Integer(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        Value::Text(text) if node.is_filled => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|number: &f64| number.is_finite())
}

/// Seconds as a number become a text; a text stays, and is checked where it is read.
fn seconds(node: &Node) -> Result<Value, &'static str> {
    const WANTED: &str = "must be a time such as 30s, above 0s";
    match (number(node), &node.value) {
        (Some(seconds), _) => std::time::Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|time| !time.is_zero())
            .map(|time| Value::Text(format!("{}ns", time.as_nanos())))
            .filter(|_| seconds <= 1e9)
            .ok_or(WANTED),
        (None, Value::Text(text)) => Ok(Value::Text(text.clone())),
        _ => Err(WANTED),
    }
}

fn attempts(node: &Node) -> Result<Value, &'static str> {
    match number(node) {
        Some(retries) if (0.0..=1000.0).contains(&retries) && retries.fract() == 0.0 =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within bounds")]
            Ok(Value::Integer(retries as i128 + 1))
        }
        _ => Err("must be a whole number from 0 to 1000"),
    }
}

fn per_minute(node: &Node) -> Result<Value, &'static str> {
    let Some(rate) = number(node) else { return Err("must be a number above 0") };
    let rate = (rate * 60.0).round();
    if rate <= 0.0 {
        let is_slow = number(node).is_some_and(|rate| rate > 0.0);
        return Err(if is_slow { "must be at least one a minute, 0.017" } else { "must be above 0" });
    }
    if rate > f64::from(u32::MAX) {
        Err("must be below 71,000,000")
    } else {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within bounds")]
        Ok(Value::Integer(rate as i128))
    }
}
