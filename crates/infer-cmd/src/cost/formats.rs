//! Spend for programs. Money is text, in dollars with every digit: numbers would be rounded by whoever reads them.

use infer_store::ledger::{Group, Sums};
use serde_json::{Map, Value, json};

use super::groups::{Spend, known};
use super::when::moment;

type Count = fn(&Sums) -> u64;

const COUNTS: [(&str, Count); 10] = [
    ("calls", |sums| sums.calls),
    ("failed", |sums| sums.failed),
    ("cached", |sums| sums.cached),
    ("unpriced", |sums| sums.unpriced),
    ("estimated", |sums| sums.estimated),
    ("input_tokens", |sums| sums.input_tokens),
    ("output_tokens", |sums| sums.output_tokens),
    ("cached_input_tokens", |sums| sums.cached_input_tokens),
    ("cache_write_tokens", |sums| sums.cache_write_tokens),
    ("reasoning_tokens", |sums| sums.reasoning_tokens),
];

/// One object: groups, their total, and the time that they cover.
pub(super) fn json(spend: &Spend) -> String {
    let by = spend.by();
    let group = |group: &Group| {
        let mut object: Map<String, Value> =
            by.iter().zip(names(spend, group)).map(|(by, name)| ((*by).to_owned(), name.into())).collect();
        object.append(&mut sums(&group.sums));
        object
    };
    let groups: Vec<_> = spend.groups.iter().map(group).collect();
    let (from, to) = spend.ends();
    json!({ "from": from.map(moment), "to": to.map(moment), "groups": groups, "total": sums(&spend.total) })
        .to_string()
}

/// A head and a row for each group; no total, which would be counted twice.
pub(super) fn csv(spend: &Spend) -> String {
    let head: Vec<_> =
        spend.by().into_iter().chain(COUNTS.map(|(name, _)| name)).chain(["cost_usd"]).collect();
    let mut lines = vec![head.join(",")];
    for group in &spend.groups {
        let names = names(spend, group).into_iter().map(|name| field(&name.unwrap_or_default()));
        let counts = COUNTS.iter().map(|(_, count)| count(&group.sums).to_string());
        let row: Vec<_> = names.chain(counts).chain([dollars(&group.sums).unwrap_or_default()]).collect();
        lines.push(row.join(","));
    }
    lines.join("\n")
}

/// As labels, with the period's beginning as a whole moment.
fn names(spend: &Spend, group: &Group) -> Vec<Option<String>> {
    let mut names = spend.labels(group);
    if let (Some(start), Some(first)) = (group.start, names.first_mut()) {
        *first = Some(moment(start));
    }
    names
}

fn sums(sums: &Sums) -> Map<String, Value> {
    let counts = COUNTS.iter().map(|(name, count)| ((*name).to_owned(), Value::from(count(sums))));
    counts.chain([("cost_usd".to_owned(), dollars(sums).into())]).collect()
}

/// The known cost without its sign; `None` where nothing is known.
fn dollars(sums: &Sums) -> Option<String> {
    known(sums).map(|usd| usd.to_string().trim_start_matches('$').to_owned())
}

/// A field by RFC 4180: in quotes where it holds what parts fields and rows.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::groups::By;
    use super::super::groups::tests::spend;
    use super::*;

    #[test]
    fn a_row_of_csv_stays_one_row_and_an_unknown_cost_stays_empty() {
        let rows: [(&[&str], _, _, _); 2] = [(&["a,\"b\"\nc"], 1, 0, 1), (&["d"], 1, 1, 0)];
        let csv = csv(&spend(&[By::Day, By::Model], &rows));
        let (head, rows) = csv.split_once('\n').unwrap();
        assert!(head.starts_with("day,model,calls,") && head.ends_with(",cost_usd"), "{head}");
        assert_eq!(
            rows,
            "1970-01-01T00:00:00Z,\"a,\"\"b\"\"\nc\",1,0,0,0,0,10,2,0,0,0,0.000000000001\n\
             1970-01-01T00:00:00Z,d,1,0,0,1,0,10,2,0,0,0,"
        );
    }

    #[test]
    fn json_has_null_for_an_unknown_cost_and_for_no_name() {
        let spend = spend(&[By::Model, By::Key], &[(&["d"], 1, 1, 0)]);
        let object: Value = serde_json::from_str(&json(&spend)).unwrap();
        assert_eq!(object["groups"][0]["key"], Value::Null);
        assert_eq!(object["groups"][0]["cost_usd"], Value::Null);
        assert_eq!(object["total"]["unpriced"], 1);
        assert_eq!((&object["from"], &object["to"]), (&Value::Null, &Value::Null));
    }
}
