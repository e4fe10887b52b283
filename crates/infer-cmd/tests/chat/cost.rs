//! `infer cost`: sums out of a ledger, and what is said where there is none.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use infer_core::{Usage, Usd};
use infer_store::ledger::RowCost;
use infer_store::{Clock, Ledger, LedgerConfig, LedgerRow};
use serde_json::{Value, json};

use crate::running::{Ran, infer, run};

fn at(text: &str) -> SystemTime {
    text.parse::<jiff::Timestamp>().unwrap().into()
}

fn call(when: &str, model: &str, cost: RowCost) -> LedgerRow {
    let mut row = LedgerRow::new(at(when), model, "req");
    row.usage = Usage::new(100, 10);
    row.cost = cost;
    row
}

fn priced(picos: u128) -> RowCost {
    RowCost::Priced(Usd::from_picos(picos))
}

/// Writes the rows, as a process did that has ended since, at this time.
fn write(directory: &Path, now: &str, rows: Vec<LedgerRow>) {
    let now = at(now);
    let ledger = Ledger::open_at(directory, LedgerConfig::default(), Clock::new(move || now)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for row in rows {
        runtime.block_on(ledger.append(row)).unwrap();
    }
    ledger.close().unwrap();
}

/// Three days: two priced models, one that is not.
fn three_days() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut own = call("2026-11-03T10:00:00Z", "own", RowCost::Unpriced("no price".into()));
    own.key = Some("team-a".into());
    write(
        directory.path(),
        "2026-11-03T12:00:00Z",
        vec![
            call("2026-11-01T10:00:00Z", "mini", priced(1)),
            call("2026-11-01T15:30:00Z", "mini", priced(162_000_000)),
            call("2026-11-02T23:59:59Z", "large", priced(2_500_000_000_000)),
            own,
        ],
    );
    directory
}

fn cost(directory: &Path, args: &[&str]) -> Ran {
    run(infer(&["cost", "--data-dir", directory.to_str().unwrap()]).args(args))
}

fn object(directory: &Path, args: &[&str]) -> Value {
    let ran = cost(directory, &[args, &["--format", "json"]].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    ran.json()
}

#[test]
fn sums_are_exact_and_what_is_unpriced_is_counted_apart() {
    let dir = three_days();
    let ran = cost(dir.path(), &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        ran.stdout,
        "\
MODEL  CALLS  INPUT  OUTPUT  UNPRICED             COST
large      1    100      10         0             $2.5
mini       2    200      20         0  $0.000162000001
own        1    100      10         1         unpriced
total      4    400      40         1  $2.500162000001
"
    );
    assert_eq!(ran.stderr, "infer: unpriced: 1 of 4 calls, whose cost is in no sum\n");
}

#[test]
fn programs_get_money_as_text_with_every_digit_and_null_where_nobody_knows() {
    let dir = three_days();
    let spend = object(dir.path(), &["--by", "month,model"]);
    assert_eq!((&spend["from"], &spend["to"]), (&Value::Null, &Value::Null));
    let of = |model: &str| {
        spend["groups"].as_array().unwrap().iter().find(|group| group["model"] == model).unwrap()
    };
    assert_eq!(of("mini")["cost_usd"], "0.000162000001");
    assert_eq!(of("mini")["month"], "2026-11-01T00:00:00Z");
    assert_eq!((&of("own")["cost_usd"], &of("own")["unpriced"]), (&Value::Null, &json!(1)));
    assert_eq!(spend["total"]["cost_usd"], "2.500162000001");

    let ran = cost(dir.path(), &["--by", "key", "--format=csv"]);
    let rows: Vec<_> = ran.stdout.lines().collect();
    assert!(rows[0].starts_with("key,calls,") && rows[0].ends_with(",cost_usd"), "{ran:?}");
    assert_eq!(rows[1..], [",3,0,0,0,0,300,30,0,0,0,2.500162000001", "team-a,1,0,0,1,0,100,10,0,0,0,"]);
}

#[test]
fn days_are_whole_and_count_from_the_first_to_the_last_inclusive() {
    let dir = three_days();
    let spend = object(dir.path(), &["--by", "day", "--from", "2026-11-01", "--to", "2026-11-02"]);
    assert_eq!(
        (&spend["from"], &spend["to"]),
        (&json!("2026-11-01T00:00:00Z"), &json!("2026-11-03T00:00:00Z"))
    );
    let calls: Vec<_> =
        spend["groups"].as_array().unwrap().iter().map(|group| (&group["day"], &group["calls"])).collect();
    let (first, second) = (json!("2026-11-01T00:00:00Z"), json!("2026-11-02T00:00:00Z"));
    assert_eq!(calls, [(&first, &json!(2)), (&second, &json!(1))]);
    let spend = object(dir.path(), &["--from", "2026-11-01T15:00Z", "--to", "2026-11-01T16:00Z"]);
    assert_eq!(spend["total"]["cost_usd"], "0.000162");
}

#[test]
fn every_group_can_be_asked_for() {
    let dir = three_days();
    for by in ["day", "hour", "month", "model", "provider", "key", "user", "tag", "route"] {
        let spend = object(dir.path(), &["--by", by]);
        assert_eq!(spend["total"]["calls"], 4, "{by}");
        assert!(spend["groups"][0].as_object().unwrap().contains_key(by), "{by}");
    }
}

#[test]
fn a_chart_is_plain_bars_in_a_pipe_and_coloured_ones_only_where_that_is_wanted() {
    let dir = three_days();
    let ran = cost(dir.path(), &["--chart", "--by", "day"]);
    let rows: Vec<_> = ran.stdout.lines().collect();
    assert!(rows[0].starts_with("2026-11-01  ") && rows[0].ends_with("$0.000162000001  ▏"), "{ran:?}");
    assert!(rows[1].starts_with("2026-11-02  ") && rows[1].ends_with('█'), "{ran:?}");
    assert!(rows[2].starts_with("2026-11-03  ") && rows[2].ends_with("unpriced (1)"), "{ran:?}");
    assert_eq!((rows.len(), rows[1].chars().count()), (3, 80), "{ran:?}");
    assert!(!ran.stdout.contains('\u{1b}'), "{ran:?}");
    for (force, plain, is_coloured) in [("1", "", true), ("", "1", false)] {
        let mut command = infer(&["cost", "--chart", "--data-dir", dir.path().to_str().unwrap()]);
        let ran = run(command.env("CLICOLOR_FORCE", force).env("NO_COLOR", plain));
        assert_eq!(ran.stdout.contains('\u{1b}'), is_coloured, "{ran:?}");
    }
}

#[test]
fn hours_that_are_no_longer_kept_are_said_to_be_missing_or_counted_as_days() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "2026-01-05T12:00:00Z", vec![call("2026-01-05T10:00:00Z", "old", priced(5))]);
    write(dir.path(), "2026-11-03T12:00:00Z", vec![call("2026-11-03T10:00:00Z", "new", priced(7))]);
    let ran = cost(dir.path(), &["--by", "hour"]);
    assert!(ran.stdout.contains("2026-11-03 10:00") && !ran.stdout.contains("2026-01"), "{ran:?}");
    assert_eq!(ran.stderr, "infer: hours are kept from 2026-10-03 on: --by day has what was before\n");
    let ran = cost(dir.path(), &["--from", "2026-01-05T12:00Z", "--to", "2026-01-05T13:00Z"]);
    assert!(ran.stdout.contains("$0.000000000005"), "{ran:?}");
    assert!(ran.stderr.contains("whole days, from 2026-01-05 up to 2026-01-06"), "{ran:?}");
}

/// How many rows there are, and from when on there are hours.
fn kept(directory: &Path) -> (usize, SystemTime) {
    let ledger = Ledger::open(directory, LedgerConfig::default()).unwrap();
    let mut rows = 0;
    let each = |_, _| {
        rows += 1;
        std::ops::ControlFlow::Continue(())
    };
    ledger.rows(each).unwrap();
    (rows, ledger.hours_kept_from())
}

#[test]
fn asking_forgets_nothing_that_whoever_writes_keeps_for_longer() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "2020-01-05T12:00:00Z", vec![call("2020-01-05T10:00:00Z", "old", priced(5))]);
    let before = kept(dir.path());
    for flags in [&["--by", "hour"][..], &["--by", "day"]] {
        assert!(cost(dir.path(), flags).stdout.contains("$0.000000000005"));
    }
    assert_eq!((before.0, kept(dir.path())), (1, before));
}

#[test]
fn an_empty_ledger_is_no_error_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "2026-11-03T12:00:00Z", Vec::new());
    for flags in [&[][..], &["--chart"], &["--by", "hour", "--from", "2026-11-01"]] {
        let ran = cost(dir.path(), flags);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
        assert_eq!(ran.stderr, "infer: there are no calls in this time\n");
    }
    let spend = object(dir.path(), &[]);
    assert_eq!((&spend["groups"], &spend["total"]["cost_usd"]), (&json!([]), &json!("0")));
    assert_eq!(cost(dir.path(), &["--format", "csv"]).stdout.lines().count(), 1);
}

#[cfg(unix)]
#[test]
fn a_ledger_that_another_process_has_open_prints_the_same_in_every_format() {
    let dir = three_days();
    let asked = [
        &["--by", "day,model"][..],
        &["--by", "key", "--format", "csv"],
        &["--by", "hour", "--format", "json"],
        &["--by", "month", "--chart"],
        &["--from", "2026-11-02", "--to", "2026-11-03", "--format", "json"],
    ];
    let print = || asked.map(|args| cost(dir.path(), args)).map(|ran| (ran.code, ran.stdout, ran.stderr));
    let before = print();
    let now = at("2026-11-03T12:00:00Z");
    let held = Ledger::open_at(dir.path(), LedgerConfig::default(), Clock::new(move || now)).unwrap();
    assert_eq!(print(), before);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(held.append(call("2026-11-03T11:00:00Z", "mini", priced(2)))).unwrap();
    assert_eq!(object(dir.path(), &[])["total"]["cost_usd"], "2.500162000003");
    held.close().unwrap();
    assert_eq!(object(dir.path(), &[])["total"]["cost_usd"], "2.500162000003");
}

#[test]
fn a_ledger_that_another_process_has_open_and_does_not_answer_for_is_a_failure_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let held = Ledger::open(dir.path(), LedgerConfig::default()).unwrap();
    // Where there is no socket, as on other systems, nobody can be asked.
    let _ = fs::remove_file(dir.path().join("ledger.sock"));
    let ran = cost(dir.path(), &["--format", "json"]);
    assert_eq!((ran.code, &ran.json()["error"]["kind"]), (1, &json!("ledger")), "{ran:?}");
    assert!(ran.stderr.contains("in use by another process") && ran.stderr.lines().count() == 1, "{ran:?}");
    held.close().unwrap();
    assert_eq!(cost(dir.path(), &[]).code, 0);
}

#[test]
fn a_directory_without_a_ledger_is_named_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "text").unwrap();
    let nowhere = dir.path().join("nowhere");
    for (path, part) in [
        (dir.path(), "is not a ledger's directory: there is no ledger.redb in it"),
        (&nowhere, "cannot be read"),
        (&file, "is not a directory"),
    ] {
        let ran = cost(path, &[]);
        assert!(ran.code == 2 && ran.stdout.is_empty() && ran.stderr.contains(part), "{ran:?}");
        assert!(ran.stderr.starts_with(&format!("infer: {}: ", path.display())), "{ran:?}");
    }
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["file"]);
    fs::write(dir.path().join("ledger.redb"), "this is no ledger").unwrap();
    let ran = cost(dir.path(), &[]);
    assert!(ran.code == 1 && ran.stderr.contains("ledger.redb: ") && ran.stdout.is_empty(), "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
}

#[test]
fn the_environment_may_name_the_directory() {
    let dir = three_days();
    let ran = run(infer(&["cost"]).env("INFER_DATA_DIR", dir.path()));
    assert!(ran.code == 0 && ran.stdout.contains("$2.500162000001"), "{ran:?}");
    let nowhere = tempfile::tempdir().unwrap();
    let ran = run(infer(&["cost"]).current_dir(nowhere.path()));
    assert!(ran.code == 2 && ran.stderr.contains("--data-dir or INFER_DATA_DIR"), "{ran:?}");
}

#[test]
fn a_configuration_may_name_the_directory_and_its_faults_are_told() {
    let dir = three_days();
    let with = |data: &str| format!("providers: {{ one: {{ type: openai, model: a }} }}\n{data}\n");
    let data = serde_json::to_string(dir.path().to_str().unwrap()).unwrap();
    fs::write(dir.path().join("llm.yaml"), with(&format!("data: {data}"))).unwrap();
    fs::write(dir.path().join("none.yaml"), with("")).unwrap();
    fs::write(dir.path().join("bad.yaml"), with("dada: x")).unwrap();
    let cost = |args: &[&str], environment: &str| {
        run(infer(&["cost"]).args(args).env("INFER_CONFIG", environment).current_dir(dir.path()))
    };
    for (args, environment) in [(&[][..], ""), (&["--config", "llm.yaml"], "none.yaml"), (&[], "llm.yaml")] {
        let ran = cost(args, environment);
        assert!(ran.code == 0 && ran.stdout.contains("$2.500162000001"), "{args:?}: {ran:?}");
    }
    let ran = cost(&["--config", "none.yaml"], "");
    assert!(ran.code == 2 && ran.stderr.starts_with("infer: none.yaml: has no data: "), "{ran:?}");
    let ran = cost(&["--config", "bad.yaml"], "");
    assert!(ran.code == 2 && ran.stderr.starts_with("bad.yaml:2:1: dada: unknown key"), "{ran:?}");
    let ran = cost(&["--config", "nowhere.yaml"], "");
    assert!(ran.code == 2 && ran.stderr.starts_with("nowhere.yaml:1:1: there is no such file"), "{ran:?}");
    assert_eq!(cost(&["--config", "llm.yaml", "--data-dir", "."], "").code, 2);
}

#[test]
fn wrong_usage_of_dates_and_groups_ends_with_two_before_the_ledger_is_opened() {
    for (args, part) in [
        (&["--by", "flavour"][..], "possible values: day, hour, month, model"),
        (&["--by", "day,hour"], "only one of hour, day and month"),
        (
            &["--from", "2026-11-05", "--to", "2026-11-01"],
            "--from 2026-11-05 does not lie before the end of --to 2026-11-01",
        ),
        (&["--from", "last week"], "such as 2026-11-01"),
        (&["--to", "2026-02-30"], "such as 2026-11-01"),
        (&["--format", "xml"], "possible values: table, csv, json"),
        (&["--chart", "--format", "csv"], "--chart draws for people"),
    ] {
        let ran = cost(Path::new("/nowhere"), args);
        assert!(ran.code == 2 && ran.stdout.is_empty() && ran.stderr.contains(part), "{args:?}: {ran:?}");
    }
    let ran = cost(Path::new("/nowhere"), &["--format", "json", "--by", "flavour"]);
    assert_eq!((ran.code, &ran.json()["error"]["kind"]), (2, &json!("config")), "{ran:?}");
}
