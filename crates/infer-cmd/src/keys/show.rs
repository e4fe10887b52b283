//! Keys as people and programs read them.

use std::sync::Arc;
use std::time::SystemTime;

use comfy_table::{Attribute, Cell, Color};
use infer_store::keys::{KeyRecord, KeyState};
use jiff::Timestamp;
use serde_json::Value;

use crate::look::{Look, text};
use crate::terminal::one_line;

/// What is shown of one key.
type Column = fn(&KeyRecord) -> String;

/// Those that tables leave out where no key has any.
const COLUMNS: [(&str, Column); 7] = [
    ("EXPIRES", |key| when(key.expires)),
    ("LIMITS", limits),
    ("BUDGET", |key| list(&key.budget)),
    ("ROUTES", |key| list(&key.routes)),
    ("TAGS", |key| list(&key.tags)),
    ("METADATA", metadata),
    ("ADMIN", |key| if key.admin { "yes" } else { "" }.to_owned()),
];

/// One row a key.
pub(super) fn table(keys: &[Arc<KeyRecord>], now: SystemTime, look: Look) -> String {
    let columns: Vec<_> = COLUMNS
        .into_iter()
        .filter(|(title, column)| *title != "METADATA" && keys.iter().any(|key| !column(key).is_empty()))
        .collect();
    let mut table = look.table();
    let titles = ["NAME", "PREFIX", "CREATED", "STATE"].into_iter().chain(columns.iter().map(|(t, _)| *t));
    table.set_header(titles.map(|title| Cell::new(title).add_attribute(Attribute::Dim)));
    for key in keys {
        let state = key.state(now);
        let first = [&*key.name, &format!("{}…", key.prefix), &when(key.created)]
            .map(|text| Cell::new(one_line(text)));
        let more = columns.iter().map(|(_, column)| Cell::new(one_line(&column(key))));
        let mut state_cell = Cell::new(word(state));
        if state != KeyState::Active {
            state_cell = state_cell.fg(Color::Red);
        }
        table.add_row(first.into_iter().chain([state_cell]).chain(more));
    }
    text(&mut table)
}

/// One line for everything that is known of a key.
pub(super) fn lines(key: &KeyRecord, now: SystemTime) -> String {
    let first = [
        ("NAME", key.name.to_string()),
        ("PREFIX", format!("{}…", key.prefix)),
        ("STATE", word(key.state(now)).to_owned()),
        ("CREATED", when(key.created)),
        ("ROTATED", when(key.rotated)),
        ("REVOKED", when(key.revoked)),
    ];
    let more = COLUMNS.into_iter().map(|(title, column)| (title, column(key)));
    let known = first.into_iter().chain(more).filter(|(_, text)| !text.is_empty());
    let lines: Vec<_> =
        known.map(|(title, text)| format!("{:<10}{}", title.to_lowercase(), one_line(&text))).collect();
    lines.join("\n")
}

/// The object for a key.
pub(super) fn object(key: &KeyRecord, now: SystemTime) -> Value {
    let mut object = serde_json::to_value(key).unwrap_or_default();
    if let Value::Object(object) = &mut object {
        object.insert("state".to_owned(), word(key.state(now)).into());
    }
    object
}

fn word(state: KeyState) -> &'static str {
    match state {
        KeyState::Active => "active",
        KeyState::Expired => "expired",
        KeyState::Revoked => "revoked",
    }
}

/// `2026-11-01 15:00`, in UTC.
fn when(at: Option<SystemTime>) -> String {
    let at = at.and_then(|at| Timestamp::try_from(at).ok());
    at.map(|at| at.strftime("%Y-%m-%d %H:%M").to_string()).unwrap_or_default()
}

fn limits(key: &KeyRecord) -> String {
    let limits = [
        key.limits.requests_per_minute.map(|number| format!("{number} rpm")),
        key.limits.tokens_per_minute.map(|number| format!("{number} tpm")),
        key.limits.concurrency.map(|number| format!("{number} at once")),
    ];
    list(&limits.into_iter().flatten().collect::<Vec<_>>())
}

fn metadata(key: &KeyRecord) -> String {
    list(&key.metadata.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>())
}

fn list(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
