//! `docs/configuration.md` has every key of the schema, and lags behind neither the types nor their documentation.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::rows::{self, Row};
use crate::sources::{Sources, Table};

const HEAD: &str = include_str!("head.md");

/// Sections in the order in which people write them, with what their table says where no type does.
const SECTIONS: [(&str, &str); 15] = [
    ("providers", ""),
    ("model", ""),
    ("routes", "RouterConfig"),
    ("aliases", "RouterConfig"),
    ("default_route", "RouterConfig"),
    ("direct", "RouterConfig"),
    ("max_cooldown_wait", "RouterConfig"),
    ("data", ""),
    ("budgets", ""),
    ("ledger", ""),
    ("cache", ""),
    ("redis", ""),
    ("observability", ""),
    ("gateway", ""),
    ("keys", ""),
];

/// What no type declares by itself.
const TEXTS: [(&str, &str); 7] = [
    (
        "model",
        "The model that calls get which name none: `openai/gpt-4o`, or `{ provider: openai, model: gpt-4o }`.",
    ),
    ("data", "The directory of the ledger, of stored keys and of a cache on disk. None: nothing is written."),
    ("budgets", "What may be spent."),
    ("ledger", "What is kept of settled calls, where there is `data`."),
    ("cache", "Which answers are kept and given again; none where the file has no `cache`."),
    ("redis", "Where budgets, limits, keys and answers are shared with other processes; feature `redis`."),
    ("observability", "What is told of the work."),
];

/// The page, and the keys of which nobody says what they are for.
fn page(whole: &Value, sources: &Sources) -> (String, Vec<String>) {
    let mut missing = Vec::new();
    let mut page = HEAD.to_owned();
    let sections = whole["properties"].as_object().unwrap();
    let listed: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
    let unlisted: Vec<&String> = sections.keys().filter(|name| !listed.contains(&name.as_str())).collect();
    assert!(unlisted.is_empty(), "new sections need a place in SECTIONS: {unlisted:?}");
    let mut tops = Vec::new();
    let mut parts = String::new();
    for (name, table) in SECTIONS {
        let schema =
            sections.get(name).unwrap_or_else(|| panic!("the schema has no {name}: is a feature missing?"));
        let section = section(name, schema, sources.named(table), sources, &mut missing);
        if section.is_long {
            _ = write!(parts, "\n## `{name}`\n\n{}\n\n", section.top.text);
            if name == "providers" {
                parts.push_str(&providers(whole["$defs"].as_object().unwrap(), sources, &mut missing));
            } else {
                parts.push_str(&as_table(&section.rest));
            }
        }
        let key = if section.is_long { format!("[`{name}`](#{name})") } else { format!("`{name}`") };
        tops.push((key, section.top));
    }
    page.push_str("| key | takes | what it is for |\n|---|---|---|\n");
    for (key, top) in tops {
        _ = writeln!(page, "| {key} | {} | {} |", top.takes, top.text);
    }
    (page + &parts, missing)
}

struct SectionRows {
    top: Row,
    rest: Vec<Row>,
    is_long: bool,
}

fn section(
    name: &str,
    schema: &Value,
    table: Option<&Table>,
    sources: &Sources,
    missing: &mut Vec<String>,
) -> SectionRows {
    let said = TEXTS.iter().find(|(key, _)| *key == name).map(|(_, text)| *text);
    let mut schema = schema.clone();
    if let Some(text) = said {
        schema["description"] = Value::from(text);
    }
    let member = table.and_then(|table| table.members.get(name));
    if name == "providers" {
        let text = schema["description"].as_str().unwrap().to_owned();
        let top = Row { key: name.to_owned(), takes: "tables by name".to_owned(), text };
        return SectionRows { top, rest: Vec::new(), is_long: true };
    }
    let mut below = rows::of_key(name, &schema, member, sources, missing);
    let top = below.remove(0);
    let prefixes = [format!("{name}."), format!("{name}[].")];
    for row in &mut below {
        let inside = prefixes.iter().find_map(|prefix| row.key.strip_prefix(prefix.as_str()));
        row.key = inside.unwrap_or(&row.key).to_owned();
    }
    SectionRows { top, is_long: !below.is_empty(), rest: below }
}

/// The settings of all kinds of providers: those that all have, and those of each.
fn providers(kinds: &Map<String, Value>, sources: &Sources, missing: &mut Vec<String>) -> String {
    assert!(kinds.len() >= 3, "kinds of providers: {:?}: is a feature missing?", kinds.keys());
    let mut page = String::new();
    let (_, first) = kinds.iter().next().unwrap();
    let is_common = |key: &str| {
        let same = |kind: &Value| kind["properties"].get(key) == first["properties"].get(key);
        ["type", "preset"].contains(&key) || kinds.values().all(same)
    };
    let part = |kind: &Value, wanted: bool, missing: &mut Vec<String>| {
        let all = rows::of(kind, sources, missing);
        let top = |row: &Row| row.key.split(['.', '[']).next().unwrap_or_default().to_owned();
        let refer = |mut row: Row| {
            if row.key == "entra" {
                row.text
                    .push_str(" Its forms are in [the crate's README](../crates/remote-entra/README.md).");
            }
            row
        };
        all.into_iter().map(refer).filter(|row| is_common(&top(row)) == wanted).collect::<Vec<_>>()
    };
    let mut common = part(first, true, missing);
    for row in &mut common {
        if ["type", "preset"].contains(&row.key.as_str()) {
            let names = kinds
                .iter()
                .flat_map(|(_, kind)| kind["properties"][&row.key]["enum"].as_array().unwrap().iter());
            let mut names: Vec<String> =
                names.filter_map(Value::as_str).map(|name| format!("`{name}`")).collect();
            names.sort();
            names.dedup();
            row.takes = names.join(", ");
        }
    }
    _ = write!(page, "### What every provider has\n\n{}", as_table(&common));
    let mut shown: Vec<(String, Vec<Row>)> = Vec::new();
    // The most used one first; others may refer to it.
    let (most_used, others): (Vec<_>, Vec<_>) = kinds.iter().partition(|(name, _)| *name == "openai");
    for (name, kind) in most_used.into_iter().chain(others) {
        let rows = without_repeats(&part(kind, false, missing), name, &mut shown);
        _ = write!(page, "\n### Only `{name}`\n\n{}", as_table(&rows));
    }
    page
}

/// The rows of `kind`, where tables whose keys another kind has shown refer to that one.
fn without_repeats(rows: &[Row], kind: &str, shown: &mut Vec<(String, Vec<Row>)>) -> Vec<Row> {
    let mut kept = Vec::new();
    for top in rows.iter().filter(|row| !row.key.contains('.')) {
        let mut top = top.clone();
        let prefix = format!("{}.", top.key);
        let below: Vec<Row> = rows.iter().filter(|row| row.key.starts_with(&prefix)).cloned().collect();
        match shown.iter().find(|(_, other)| !below.is_empty() && *other == below) {
            Some((other, _)) => {
                _ = write!(top.text, " Its keys are those of [`{other}`](#only-{other}).");
                kept.push(top);
            }
            None => {
                kept.push(top);
                kept.extend(below.iter().cloned());
                shown.push((kind.to_owned(), below));
            }
        }
    }
    kept
}

fn as_table(rows: &[Row]) -> String {
    let mut table = "| key | takes | what it is for |\n|---|---|---|\n".to_owned();
    for Row { key, takes, text } in rows {
        _ = writeln!(table, "| `{key}` | {takes} | {text} |");
    }
    table
}

#[test]
fn the_reference_has_every_key_and_says_what_it_is_for() {
    let sources = Sources::of(&crate::root().join("crates"));
    let (page, mut missing) = page(&crate::reader().schema(), &sources);
    missing.sort();
    missing.dedup();
    assert!(missing.is_empty(), "no documentation stands above these settings: {missing:#?}");
    let path = crate::root().join("docs/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == page, "docs/configuration.md is stale: run `cargo xtask docs --bless`");
}

#[test]
fn a_key_that_is_new_changes_the_reference_and_one_without_documentation_is_named() {
    let sources = Sources::of(&crate::root().join("crates"));
    let mut schema = crate::reader().schema();
    let (before, _) = page(&schema, &sources);
    schema["properties"]["ledger"]["properties"]["invented"] = serde_json::json!({"type": "string"});
    let (after, missing) = page(&schema, &sources);
    assert_ne!(before, after);
    assert!(missing.contains(&"ledger.invented".to_owned()), "{missing:?}");
}
