//! `infer keys`: secrets that are shown once, and keys that a running process takes.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use infer_store::keys::{KeyBook, KeysConfig, Refusal};
use infer_store::{Clock, budget::Every};
use serde_json::Value;

use crate::running::{Ran, infer, run};

fn keys(directory: &Path, args: &[&str]) -> Ran {
    run(infer(&["keys"]).args(args).args(["--data-dir", directory.to_str().unwrap()]))
}

fn object(directory: &Path, args: &[&str]) -> Value {
    let ran = keys(directory, &[args, &["--json"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()
}

/// The secret of a new key.
fn create(directory: &Path, args: &[&str]) -> String {
    let ran = keys(directory, &[&["create"], args].concat());
    assert_eq!((ran.code, ran.stdout.lines().count()), (0, 1), "{ran:?}");
    ran.stdout.trim_end_matches('\n').to_owned()
}

fn book(directory: &Path) -> KeyBook {
    KeyBook::open(directory, &KeysConfig::default(), Clock::system()).unwrap()
}

fn now() -> SystemTime {
    Clock::system().now()
}

#[test]
fn a_secret_stands_alone_on_standard_output_once_and_nowhere_else_ever() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("made/on/the/way");
    let ran = keys(&data, &["create", "team-a"]);
    let secret = ran.stdout.strip_suffix('\n').unwrap();
    assert!(ran.code == 0 && secret.len() == 46 && secret.starts_with("ik-"), "{ran:?}");
    assert!(ran.stderr.contains("not shown again") && !ran.stderr.contains(secret), "{ran:?}");
    assert_eq!(&*book(&data).authenticate(secret, now()).unwrap().name, "team-a");
    for args in [
        &["list"][..],
        &["list", "--json"],
        &["show", "team-a"],
        &["show", "team-a", "--json"],
        &["revoke", "team-a"],
    ] {
        let ran = keys(&data, args);
        assert!(ran.code == 0 && !format!("{ran:?}").contains(&secret[7..]), "{ran:?}");
    }
    assert!(!fs::read_to_string(data.join("keys.json")).unwrap().contains(&secret[7..]));
}

#[test]
fn everything_that_is_asked_for_is_in_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let args = "create team-a --expires 30d --route gpt-4o* --route fast --rpm 60 --tpm 100000 --concurrency 4 \
                --budget 5usd/day --budget 1000000tokens/month --tag blue --tag ci --meta owner=ann=a --admin";
    let made = object(dir.path(), &args.split_whitespace().collect::<Vec<_>>());
    let key = book(dir.path()).authenticate(made["secret"].as_str().unwrap(), now()).unwrap();
    let days = key.expires.unwrap().duration_since(key.created.unwrap()).unwrap().as_secs_f64() / 86_400.0;
    assert!((29.99..=30.0).contains(&days), "{days}");
    assert_eq!(
        (&*key.routes, &*key.tags),
        (&["gpt-4o*".to_owned(), "fast".to_owned()][..], &["blue".to_owned(), "ci".to_owned()][..])
    );
    let limits = (key.limits.requests_per_minute, key.limits.tokens_per_minute, key.limits.concurrency);
    assert_eq!(limits, (Some(60), Some(100_000), Some(4)));
    assert_eq!((key.budget[0].usd, key.budget[0].every), (Some(5.0), Every::Day));
    assert_eq!((key.budget[1].tokens, key.budget[1].every), (Some(1_000_000), Every::Month));
    assert!(key.admin && key.metadata["owner"] == "ann=a");
    let shown = object(dir.path(), &["show", "team-a"]);
    assert_eq!(shown, made["key"]);
    assert_eq!((&shown["state"], &shown["limits"]["concurrency"]), (&"active".into(), &4.into()));
    let lines = keys(dir.path(), &["show", "team-a"]).stdout;
    for line in [
        "limits    60 rpm, 100000 tpm, 4 at once",
        "budget    5usd/day, 1000000tokens/month",
        "metadata  owner=ann=a",
        "admin     yes",
    ] {
        assert!(lines.lines().any(|shown| shown == line), "{line:?} is not in {lines}");
    }
}

#[test]
fn a_list_has_a_row_a_key_and_no_column_without_anything() {
    let dir = tempfile::tempdir().unwrap();
    let ran = keys(dir.path(), &["list"]);
    assert!(ran.code == 0 && ran.stdout.is_empty() && ran.stderr.contains("infer keys create"), "{ran:?}");
    assert_eq!(object(dir.path(), &["list"])["keys"], Value::Array(Vec::new()));
    create(dir.path(), &["b"]);
    create(dir.path(), &["a", "--budget", "5usd/day"]);
    assert_eq!(keys(dir.path(), &["revoke", "b"]).code, 0);
    let ran = keys(dir.path(), &["list"]);
    let rows: Vec<Vec<_>> = ran.stdout.lines().map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "PREFIX", "CREATED", "STATE", "BUDGET"], "{ran:?}");
    // A moment is two words.
    assert_eq!((rows[1][0], &rows[1][4..]), ("a", &["active", "5usd/day"][..]), "{ran:?}");
    assert_eq!((rows[2][0], &rows[2][4..]), ("b", &["revoked"][..]), "{ran:?}");
    assert!(rows.len() == 3 && !ran.stdout.contains('\u{1b}'), "{ran:?}");
    let mut command = infer(&["keys", "list", "--data", dir.path().to_str().unwrap()]);
    assert!(run(command.env("CLICOLOR_FORCE", "1")).stdout.contains('\u{1b}'));
    let list = object(dir.path(), &["list"]);
    assert_eq!((&list["keys"][0]["name"], &list["keys"][1]["state"]), (&"a".into(), &"revoked".into()));
}

#[test]
fn a_rotated_secret_works_for_its_grace_and_a_revoked_key_never_again() {
    let dir = tempfile::tempdir().unwrap();
    let first = create(dir.path(), &["a"]);
    let ran = keys(dir.path(), &["rotate", "a", "--grace", "1h"]);
    let second = ran.stdout.trim_end().to_owned();
    assert!(ran.code == 0 && ran.stderr.contains("still works for 1h"), "{ran:?}");
    let (opened, hour) = (book(dir.path()), Duration::from_secs(3_600));
    assert!(opened.authenticate(&first, now()).is_ok() && opened.authenticate(&second, now()).is_ok());
    assert_eq!(opened.authenticate(&first, now() + hour).unwrap_err(), Refusal::Expired);
    assert!(opened.authenticate(&second, now() + hour).is_ok());
    let ran = keys(dir.path(), &["rotate", "a"]);
    assert!(ran.code == 0 && ran.stderr.contains("no longer works"), "{ran:?}");
    let opened = book(dir.path());
    assert!([&first, &second].iter().all(|secret| opened.authenticate(secret, now()).is_err()));
    assert_eq!(keys(dir.path(), &["revoke", "a"]).code, 0);
    assert_eq!(book(dir.path()).authenticate(ran.stdout.trim_end(), now()).unwrap_err(), Refusal::Revoked);
}

#[test]
fn a_process_that_watches_takes_a_key_that_the_command_makes() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let running = book(dir.path());
    let mut version = running.version();
    let _watch = runtime.block_on(async { running.watch() }).unwrap();
    let secret = create(dir.path(), &["a"]);
    let seen = async { tokio::time::timeout(Duration::from_secs(30), version.changed()).await };
    runtime.block_on(seen).unwrap().unwrap();
    assert!(running.authenticate(&secret, now()).is_ok());
}

#[test]
fn what_cannot_be_is_one_line_with_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), &["team-a"]);
    for (args, code, part) in [
        (&["show", "taem-a"][..], 2, "did you mean team-a?"),
        (&["revoke", "nobody"], 2, "there is no key \"nobody\""),
        (&["create", "team-a"], 2, "\"team-a\" is taken"),
        (&["create", "team a"], 2, "name: must be 1 to 64 letters"),
        (&["create", "b", "--tag", ""], 2, "tags[0]"),
    ] {
        let ran = keys(dir.path(), args);
        assert!(ran.code == code && ran.stderr.contains(part) && ran.stdout.is_empty(), "{args:?}: {ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{args:?}: {ran:?}");
        let ran = keys(dir.path(), &[args, &["--json"]].concat());
        let error = &ran.json()["error"];
        assert!(
            error["kind"] == "keys" && error["message"].as_str().unwrap().contains(part),
            "{args:?}: {ran:?}"
        );
    }
    for (args, part) in [
        (&["create", "b", "--budget", "5usd"][..], "5usd/day"),
        (&["create", "b", "--budget", "5usd/week"], "hour, day, month or total"),
        (&["create", "b", "--expires", "soon"], "30d"),
        (&["create", "b", "--expires", "2020-01-01"], "must lie ahead"),
        (&["create", "b", "--rpm", "0"], "--rpm"),
        (&["create", "b", "--meta", "x"], "NAME=VALUE"),
        (&["rotate", "team-a", "--grace", "long"], "--grace"),
    ] {
        let ran = keys(dir.path(), args);
        assert!(ran.code == 2 && ran.stderr.contains(part) && ran.stdout.is_empty(), "{args:?}: {ran:?}");
    }
    assert_eq!(book(dir.path()).list().len(), 1);
    fs::write(dir.path().join("keys.json"), "{").unwrap();
    let ran = keys(dir.path(), &["create", "b"]);
    assert!(
        ran.code == 1 && ran.stderr.contains("keys.json: not readable") && ran.stdout.is_empty(),
        "{ran:?}"
    );
}

#[test]
fn a_directory_that_is_not_there_or_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    let ran = keys(&nowhere, &["list"]);
    assert!(ran.code == 2 && ran.stderr.contains("nowhere: cannot be read"), "{ran:?}");
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let ran = keys(&file, &["create", "a"]);
    assert!(
        ran.code == 1 && ran.stderr.contains("file: not a directory")
            || ran.stderr.contains("keys.json: not a directory"),
        "{ran:?}"
    );
    let ran = run(infer(&["keys", "list"]).current_dir(dir.path()));
    assert!(ran.code == 2 && ran.stderr.contains("--data-dir or INFER_DATA_DIR"), "{ran:?}");
    if cfg!(target_os = "linux") {
        // Even root may not write there.
        let ran = keys(Path::new("/sys/infer-keys"), &["create", "a"]);
        assert!(ran.code == 1 && ran.stderr.contains("cannot be written"), "{ran:?}");
    }
}

#[test]
fn the_environment_or_a_configuration_may_name_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    create(dir.path(), &["a"]);
    let ran = run(infer(&["keys", "show", "a"]).env("INFER_DATA_DIR", dir.path()));
    assert!(ran.code == 0 && ran.stdout.starts_with("name      a\n"), "{ran:?}");
    let file = dir.path().join("llm.yaml");
    fs::write(&file, format!("providers:\n  ollama:\n    preset: ollama\ndata: {}\n", dir.path().display()))
        .unwrap();
    let ran = run(&mut infer(&["keys", "show", "a", "--config", file.to_str().unwrap()]));
    assert!(ran.code == 0 && ran.stdout.starts_with("name      a\n"), "{ran:?}");
}
