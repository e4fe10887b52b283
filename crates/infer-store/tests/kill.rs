//! A process that appends and is killed at a random moment: no row it acknowledged may be missing, and sums must agree
//! with rows. This test binary is its own child.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test")]

use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use infer_core::{Usage, Usd};
use infer_store::ledger::{Dimension, Query, RowCost, Sums};
use infer_store::{Ledger, LedgerConfig, LedgerRow};

const DIRECTORY: &str = "INFER_STORE_KILL_DIRECTORY";
const FIRST: &str = "INFER_STORE_KILL_FIRST";
const KILLS: u64 = 200;
/// Ledgers of their own that are killed side by side.
const SIDES: u64 = 4;

fn row(number: u64) -> LedgerRow {
    // Hours pass quickly, so that kills also fall into sealing.
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + number * 40);
    let mut row = LedgerRow::new(at, format!("m{}", number % 3), number.to_string());
    row.user = Some(format!("u{}", number % 17));
    row.usage = Usage::new(number, 2 * number);
    row.cost = RowCost::Priced(Usd::from_picos(u128::from(number) * 1_000_000_007));
    row
}

fn config() -> LedgerConfig {
    LedgerConfig { keep_rows: Duration::from_secs(1 << 36), ..LedgerConfig::default() }
}

/// The child: appends rows from several tasks for ever and prints the number of each once it is acknowledged.
#[test]
fn child_that_appends_until_it_is_killed() {
    let (Ok(directory), Ok(first)) = (std::env::var(DIRECTORY), std::env::var(FIRST)) else { return };
    let first: u64 = first.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + first * 40);
        let clock = infer_store::Clock::new(move || now);
        let ledger = Ledger::open_at(directory, config(), clock).unwrap();
        let tasks: Vec<_> = (0..4)
            .map(|task| {
                let ledger = ledger.clone();
                tokio::spawn(async move {
                    for number in (first + task..).step_by(4) {
                        ledger.append(row(number)).await.unwrap();
                        let mut out = std::io::stdout().lock();
                        writeln!(out, "\n+{number}").unwrap();
                        out.flush().unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    println!("unreachable");
}

/// Starts the child, kills it after a while, and returns what it had acknowledged.
fn run_and_kill(directory: &Path, first: u64, after: Duration) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_appends_until_it_is_killed", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        lines.filter_map(|line| line.strip_prefix('+').and_then(|number| number.parse().ok())).collect()
    });
    // The moment is the point here: nothing is waited for.
    std::thread::park_timeout(after);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// Kills `kills` children one after the other and looks after each; how many rows they acknowledged.
fn kill_and_look(seed: u64, kills: u64) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let (mut acknowledged, mut first) = (Vec::new(), 0);
    let mut dice = fastrand::Rng::with_seed(seed);
    for kill in 0..kills {
        let after = Duration::from_micros(dice.u64(0..90_000));
        acknowledged.extend(run_and_kill(directory.path(), first, after));
        let ledger = Ledger::open(directory.path(), config()).unwrap();
        let (mut stored, mut sums) = (Vec::new(), Sums::default());
        ledger
            .rows(|sequence, found| {
                assert_eq!(sequence, stored.len() as u64, "kill {kill}: a gap or a repetition");
                let number: u64 = found.request_id.parse().unwrap();
                assert_eq!(found, row(number));
                sums.add(&Sums::of(&found));
                stored.push(number);
                ControlFlow::Continue(())
            })
            .unwrap();
        stored.sort_unstable();
        let missing: Vec<_> =
            acknowledged.iter().filter(|number| stored.binary_search(number).is_err()).collect();
        assert!(missing.is_empty(), "kill {kill}: acknowledged and gone: {missing:?}");
        assert!(stored.is_sorted_by(|a, b| a < b), "kill {kill}: a row twice");
        let report = ledger.query(&Query::new().by(Dimension::User)).unwrap();
        assert_eq!(report.total, sums, "kill {kill}");
        first = stored.last().map_or(0, |last| last + 1);
    }
    acknowledged.len() as u64
}

#[test]
fn rows_that_were_acknowledged_survive_a_kill_at_any_moment_and_sums_agree() {
    let acknowledged: u64 = std::thread::scope(|scope| {
        let sides: Vec<_> =
            (0..SIDES).map(|side| scope.spawn(move || kill_and_look(side, KILLS / SIDES))).collect();
        sides.into_iter().map(|side| side.join().unwrap()).sum()
    });
    eprintln!("{KILLS} kills, {acknowledged} rows acknowledged");
    assert!(acknowledged > KILLS, "the child hardly ever got to write");
}
