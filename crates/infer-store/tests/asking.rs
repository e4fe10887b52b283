//! Questions to a ledger that another process has open.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use infer_core::{Usage, Usd};
use infer_store::ledger::{Dimension, Period, Query, RowCost};
use infer_store::{Ledger, LedgerConfig, LedgerRow, StoreError};

const SOCKET: &str = "ledger.sock";
/// A line longer than any.
static FLOOD: &[u8] = &[b' '; 100_000];
const CHILD: &str = "INFER_STORE_TEST_HELD";

/// Not a test of its own: what the other process does.
#[tokio::test]
async fn child_that_holds_a_ledger_until_its_input_ends() {
    let Ok(directory) = std::env::var(CHILD) else { return };
    let ledger = filled(Path::new(&directory)).await;
    println!("held");
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).unwrap();
    ledger.close().unwrap();
}

async fn filled(directory: &Path) -> Ledger {
    let ledger = Ledger::open(directory, LedgerConfig::default()).unwrap();
    for (number, model) in (0_u64..).zip(["mini", "large", "mini", "own"]) {
        let mut row = LedgerRow::new(
            SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number * 50_000),
            model,
            "r",
        );
        row.usage = Usage::new(100 + number, 10);
        row.key = (number > 0).then(|| format!("key\n{number}"));
        row.cost = if model == "own" {
            RowCost::Unpriced("no price".to_owned())
        } else {
            RowCost::Priced(Usd::from_picos(u128::from(u64::MAX) << number))
        };
        ledger.append(row).await.unwrap();
    }
    ledger
}

fn child(directory: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_holds_a_ledger_until_its_input_ends", "--nocapture"])
        .env(CHILD, directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(said.map_while(Result::ok).any(|line| line.contains("held")), "the child ended early");
    child
}

fn queries() -> Vec<Query> {
    let at = |secs| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(secs);
    vec![
        Query::new(),
        Query::new().by(Dimension::Model),
        Query::new().by_period(Period::Day).by(Dimension::Key).by(Dimension::Model),
        Query::new().by_period(Period::Hour),
        Query::new().between(at(40_000), at(110_000)).by(Dimension::Key),
        Query::new().since(at(60_000)).only(Dimension::Model, ["mini", "nobody"]),
    ]
}

#[tokio::test]
async fn another_process_answers_every_question_as_its_file_does_once_it_has_ended() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = child(directory.path());
    let refused = Ledger::open(directory.path(), LedgerConfig::default()).unwrap_err();
    assert!(matches!(refused, StoreError::Locked { .. }));
    let asked: Vec<_> =
        queries().iter().map(|query| Ledger::query_at(directory.path(), query).unwrap()).collect();
    assert_eq!(asked.first().unwrap().total.calls, 4);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert!(!directory.path().join(SOCKET).exists(), "it is gone with whoever answered");
    let read: Vec<_> =
        queries().iter().map(|query| Ledger::query_at(directory.path(), query).unwrap()).collect();
    assert_eq!(asked, read);
}

#[tokio::test]
async fn a_process_that_was_killed_leaves_a_socket_that_the_next_one_replaces() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = child(directory.path());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(directory.path().join(SOCKET).exists());
    let ledger = Ledger::open(directory.path(), LedgerConfig::default()).unwrap();
    assert_eq!(Ledger::query_at(directory.path(), &Query::new()).unwrap().total.calls, 4);
    ledger.close().unwrap();
}

/// Sends `question` and returns all that comes back.
fn say(directory: &Path, question: &[u8]) -> String {
    let mut stream = UnixStream::connect(directory.join(SOCKET)).unwrap();
    // A refusal may close the connection before everything is said.
    let _ = stream.write_all(question);
    stream.shutdown(std::net::Shutdown::Write).ok();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn only_its_user_may_ask_and_nonsense_is_told_so_without_harm() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = filled(directory.path()).await;
    let socket = fs::metadata(directory.path().join(SOCKET)).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    for (question, part) in [
        (&b"{\"by\": [\"flavour\"]}\n"[..], "unknown variant `flavour`"),
        (b"{\"bye\": []}\n", "unknown field `bye`"),
        (b"\xff\xfe\n", "not a question"),
        (b"{}", "one line"),
        (b"", "one line"),
    ] {
        let told = say(directory.path(), question);
        assert!(told.starts_with("{\"error\":\"") && told.contains(part), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    // One that never ends is cut at its limit.
    assert!(say(directory.path(), &vec![b' '; 1 << 20]).len() < 1_000);
    // Whoever connects and says nothing holds up nobody.
    let _silent: Vec<_> =
        (0..4).map(|_| UnixStream::connect(directory.path().join(SOCKET)).unwrap()).collect();
    assert_eq!(Ledger::query_at(directory.path(), &Query::new()).unwrap().total.calls, 4);
    let total = say(directory.path(), b"{}\n").lines().last().unwrap().to_owned();
    assert!(total.starts_with("{\"total\":{\"calls\":4,"), "{total}");
    ledger.close().unwrap();
}

#[tokio::test]
async fn without_anybody_who_answers_the_ledger_is_in_use_and_nonsense_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = filled(directory.path()).await;
    let socket = directory.path().join(SOCKET);
    fs::remove_file(&socket).unwrap();
    let locked = StoreError::Locked { path: directory.path().to_owned() };
    assert_eq!(Ledger::query_at(directory.path(), &Query::new()), Err(locked));
    // Something else answers, or breaks off.
    for (answer, part) in [
        (&b"hello\n"[..], "not an answer"),
        (b"{\"covers\":{\"from\":\"1970-01-01T00:00:00Z\",\"to\":\"1970-01-01T00:00:00Z\"}}\n", "cut off"),
        (b"", "cut off"),
        (FLOOD, "cut off"),
    ] {
        let listener = UnixListener::bind(&socket).unwrap();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut question).unwrap();
            // The asker may have left by then.
            let _ = stream.write_all(answer);
            question
        });
        let told = Ledger::query_at(directory.path(), &Query::new()).unwrap_err().to_string();
        assert!(told.contains(part) && told.contains(SOCKET) && !told.contains('\n'), "{told}");
        assert!(answering.join().unwrap().starts_with('{'));
        fs::remove_file(&socket).unwrap();
    }
    ledger.close().unwrap();
}

/// A directory whose socket's path is too long: the system takes 108 bytes on Linux and 104 elsewhere.
fn deep(directory: &Path) -> PathBuf {
    directory.join("d".repeat(120))
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_and_a_file_in_its_place_keep_no_ledger_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let long = deep(directory.path());
    let ledger = filled(&long).await;
    assert_eq!(Ledger::query_at(&long, &Query::new()), Err(StoreError::Locked { path: long.clone() }));
    ledger.close().unwrap();
    assert_eq!(Ledger::query_at(&long, &Query::new()).unwrap().total.calls, 4);

    fs::write(directory.path().join(SOCKET), "mine").unwrap();
    let ledger = filled(directory.path()).await;
    ledger.close().unwrap();
    assert_eq!(fs::read(directory.path().join(SOCKET)).unwrap(), b"mine");
}
