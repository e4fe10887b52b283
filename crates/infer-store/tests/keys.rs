//! Keys as a gateway and a command use them: together on one file, in several processes, through every kind of damage.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use infer_store::budget::{BudgetConfig, Every, Scope};
use infer_store::keys::{
    KeyBook, KeyBudget, KeyError, KeyHash, KeyLimits, KeyOrigin, KeySecret, KeySpec, KeyState, Refusal,
};
use infer_store::{Clock, KeysConfig, StoreError};
use proptest::prelude::*;

const DIRECTORY: &str = "INFER_STORE_KEYS_DIRECTORY";
const NAMES: &str = "INFER_STORE_KEYS_NAMES";
const SECOND: Duration = Duration::from_secs(1);

/// A clock that tests move, in seconds from 2026.
#[derive(Clone, Default)]
struct Time(Arc<AtomicU64>);

impl Time {
    fn clock(&self) -> Clock {
        let time = self.clone();
        Clock::new(move || time.now())
    }

    fn now(&self) -> SystemTime {
        at(self.0.load(Ordering::Relaxed))
    }

    fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + second)
}

fn open(directory: &Path) -> KeyBook {
    KeyBook::open(directory, &KeysConfig::default(), Clock::system()).unwrap()
}

fn config(json: &str) -> KeysConfig {
    serde_json::from_str(json).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn full_spec() -> KeySpec {
    KeySpec {
        name: "team-a".to_owned(),
        expires: Some(SystemTime::UNIX_EPOCH + Duration::from_micros(4_000_000_000_123_456)),
        routes: vec!["gpt-4o*".to_owned(), "fast".to_owned()],
        limits: KeyLimits {
            requests_per_minute: Some(60),
            tokens_per_minute: Some(1 << 60),
            concurrency: Some(3),
        },
        budget: vec![KeyBudget::usd(0.1, Every::Day), KeyBudget::tokens(7, Every::Total)],
        tags: vec!["blue".to_owned()],
        metadata: BTreeMap::from([("owner".to_owned(), "Ünal \"U\"".to_owned())]),
        admin: true,
    }
}

/// Everything that is made of keys, with what it must then be.
#[derive(Clone, Debug)]
enum Step {
    Create { name: usize, lives: Option<u64> },
    Revoke { name: usize },
    Rotate { name: usize, grace: u64 },
    Pass { seconds: u64 },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4_usize, proptest::option::of(1..30_u64)).prop_map(|(name, lives)| Step::Create { name, lives }),
        1 => (0..4_usize).prop_map(|name| Step::Revoke { name }),
        3 => (0..4_usize, 0..20_u64).prop_map(|(name, grace)| Step::Rotate { name, grace }),
        3 => (1..10_u64).prop_map(|seconds| Step::Pass { seconds }),
        1 => Just(Step::Reopen),
    ]
}

/// What is remembered of a key in the obvious way: times in seconds.
#[derive(Default)]
struct Known {
    ends: Option<u64>,
    is_revoked: bool,
    /// Every secret it ever had, with its own end.
    secrets: Vec<(KeySecret, Option<u64>)>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Exactly the secrets of keys that are neither revoked nor expired open them: the present one, and older ones to the
    /// end of their grace and not a second longer. A book that is opened anew says the same.
    #[test]
    fn nothing_but_a_living_secret_opens_a_key(steps in proptest::collection::vec(step(), 1..24)) {
        let directory = tempfile::tempdir().unwrap();
        let time = Time::default();
        let mut book = KeyBook::open(directory.path(), &KeysConfig::default(), time.clock()).unwrap();
        let mut known: BTreeMap<usize, Known> = BTreeMap::new();
        let (runtime, mut now) = (runtime(), 0);
        for step in steps {
            match step {
                Step::Create { name, lives } => {
                    let ends = lives.map(|lives| now + lives);
                    let spec = KeySpec { expires: ends.map(at), ..KeySpec::new(format!("key-{name}")) };
                    match runtime.block_on(book.create(spec)) {
                        Ok((_, secret)) => {
                            let key = Known { ends, secrets: vec![(secret, None)], ..Known::default() };
                            prop_assert!(known.insert(name, key).is_none());
                        }
                        Err(error) => {
                            let is_taken = matches!(&error, KeyError::Taken { .. });
                            prop_assert!(is_taken && known.contains_key(&name), "{}", error);
                        }
                    }
                }
                Step::Revoke { name } => {
                    let revoked = runtime.block_on(book.revoke(&format!("key-{name}")));
                    prop_assert_eq!(revoked.is_ok(), known.contains_key(&name));
                    if let Some(key) = known.get_mut(&name) {
                        key.is_revoked = true;
                    }
                }
                Step::Rotate { name, grace } => {
                    let rotated = runtime.block_on(book.rotate(&format!("key-{name}"), Duration::from_secs(grace)));
                    let key = known.get_mut(&name);
                    let living = key.filter(|key| !key.is_revoked && key.ends.is_none_or(|end| now < end));
                    // Beyond sixteen living secrets it is refused, which so few steps with so short a grace never reach.
                    prop_assert_eq!(rotated.is_ok(), living.is_some());
                    if let (Ok((_, secret)), Some(key)) = (rotated, living) {
                        for (_, end) in &mut key.secrets {
                            *end = Some(end.map_or(now + grace, |end| end.min(now + grace)));
                        }
                        key.secrets.push((secret, None));
                    }
                }
                Step::Pass { seconds } => {
                    time.pass(seconds);
                    now += seconds;
                }
                Step::Reopen => {
                    book = KeyBook::open(directory.path(), &KeysConfig::default(), time.clock()).unwrap();
                }
            }
            for (name, key) in &known {
                for (secret, end) in &key.secrets {
                    let is_open = !key.is_revoked && [key.ends, *end].iter().flatten().all(|end| now < *end);
                    let opened = book.authenticate(secret.reveal(), time.now());
                    prop_assert_eq!(opened.is_ok(), is_open, "key-{} at {}: {:?}", name, now, opened);
                    if let Ok(record) = opened {
                        prop_assert_eq!(&*record.name, format!("key-{name}"));
                    }
                }
            }
            prop_assert_eq!(book.list().len(), known.len());
        }
    }

    /// No text that is not a secret opens anything, and a secret with one letter more, fewer or changed is none.
    #[test]
    fn what_is_not_a_secret_opens_nothing(text: String, place in 0..46_usize) {
        let book = KeyBook::fixed(&config(r#"[{"name": "a", "secret": "0123456789abcdef"}]"#), Clock::system()).unwrap();
        let now = SystemTime::UNIX_EPOCH;
        prop_assert_eq!(book.authenticate(&text, now).unwrap_err(), Refusal::Unknown);
        let mut near = "0123456789abcdef".to_owned();
        let place = place % near.len();
        near.replace_range(place..=place, "X");
        for near in [near, format!("0123456789abcdef{text}x"), "0123456789abcde".to_owned()] {
            prop_assert_eq!(book.authenticate(&near, now).unwrap_err(), Refusal::Unknown);
        }
        prop_assert!(book.authenticate("0123456789abcdef", now).is_ok());
    }

    /// Whatever is in the file, it is read or refused in one line that names it.
    #[test]
    fn any_bytes_are_one_clear_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0..2_000_usize, flip in 0..2_000_usize) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        runtime().block_on(open(directory.path()).create(full_spec())).unwrap();
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        let place = flip % flipped.len();
        flipped[place] ^= 1 << (flip % 8);
        for bytes in [bytes, whole[..cut.min(whole.len())].to_vec(), flipped] {
            fs::write(&path, bytes).unwrap();
            if let Err(error) = KeyBook::open(directory.path(), &KeysConfig::default(), Clock::system()) {
                let line = error.to_string();
                prop_assert!(line.contains("keys.json: ") && line.lines().count() == 1, "{}", line);
            }
        }
    }
}

#[tokio::test]
async fn a_key_survives_the_file_to_the_last_letter() {
    let directory = tempfile::tempdir().unwrap();
    let (made, secret) = open(directory.path()).create(full_spec()).await.unwrap();
    let book = open(directory.path());
    assert_eq!(book.list(), std::slice::from_ref(&made));
    assert_eq!(book.authenticate(secret.reveal(), at(0)).unwrap(), made);
    assert_eq!(made.expires, full_spec().expires);
    assert!(made.allows("gpt-4o-mini") && made.allows("fast") && !made.allows("faster"));
    assert!(secret.reveal().starts_with(&made.prefix) && made.prefix.len() == 7);
}

#[tokio::test]
async fn a_secret_is_shown_nowhere_but_to_whoever_made_the_key() {
    let directory = tempfile::tempdir().unwrap();
    let book = open(directory.path());
    let (record, secret) = book.create(full_spec()).await.unwrap();
    let rest = secret.reveal().strip_prefix(&record.prefix).unwrap();
    let file = fs::read_to_string(directory.path().join("keys.json")).unwrap();
    let hash = file.split("\"hash\": \"").nth(1).unwrap()[..64].to_owned();
    let rules = format!("{:?}", book.budget_rules());
    let json = serde_json::to_string(&record).unwrap();
    for shown in [format!("{record:?} {book:?} {secret:?} {rules}"), json] {
        assert!(!shown.contains(rest) && !shown.contains(&hash), "{shown}");
    }
    assert!(!file.contains(rest), "{file}");
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let book = open(directory.path());
    for name in ["a", "b"] {
        book.create(KeySpec::new(name)).await.unwrap();
        let mode = fs::metadata(directory.path().join("keys.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_file_that_was_never_finished_is_ignored_and_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let book = open(directory.path());
    let (_, a) = book.create(KeySpec::new("a")).await.unwrap();
    fs::write(directory.path().join("keys.json.next"), r#"{"format": 1, "sal"#).unwrap();
    let book = open(directory.path());
    let (_, b) = book.create(KeySpec::new("b")).await.unwrap();
    let book = open(directory.path());
    assert!(book.authenticate(a.reveal(), at(0)).is_ok() && book.authenticate(b.reveal(), at(0)).is_ok());
    assert!(!directory.path().join("keys.json.next").exists());
}

#[tokio::test]
async fn a_broken_file_is_reported_and_the_keys_in_force_stay() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let book = open(directory.path());
    let (_, secret) = book.create(KeySpec::new("a")).await.unwrap();
    let whole = fs::read_to_string(&path).unwrap();
    let salt = whole.split("\"salt\": \"").nth(1).unwrap()[..64].to_owned();
    let cases = [
        ("", "not readable"),
        ("{\"format\": 1", "not readable"),
        ("{\"format\": 1, \"salt\": \"ik-hunter2\", \"keys\": []}", "not readable"),
        ("{\"format\": 7, \"odd\": []}", "written by a newer version (format 7, this version knows 1)"),
    ];
    let odd = [
        (whole.replace("\"name\": \"a\"", "\"name\": \"a b\""), "name: must be 1 to 64 letters"),
        (whole.replace("\"record\"", "\"rekord\""), "not readable"),
        (whole.replace("\"name\": \"a\"", "\"name\": \"a\", \"only_on_sundays\": true"), "not readable"),
        (whole.replace(&format!("\"{salt}\""), "null"), "no salt"),
    ];
    let cases = cases.map(|(text, words)| (text.to_owned(), words)).into_iter().chain(odd);
    for (text, words) in cases {
        assert_ne!(text, whole);
        fs::write(&path, &text).unwrap();
        let line = book.reload().await.unwrap_err().to_string();
        assert!(line.contains("keys.json: ") && line.contains(words), "{line}");
        assert!(!line.contains("hunter2") && line.lines().count() == 1, "{line}");
        assert!(book.authenticate(secret.reveal(), at(0)).is_ok());
        assert!(book.create(KeySpec::new("b")).await.is_err() && fs::read_to_string(&path).unwrap() == text);
    }
    fs::remove_file(&path).unwrap();
    let line = book.reload().await.unwrap_err().to_string();
    assert!(line.contains("is gone") && book.authenticate(secret.reveal(), at(0)).is_ok(), "{line}");
    fs::write(&path, &whole).unwrap();
    assert_eq!(book.reload().await, Ok(false));
}

#[tokio::test]
async fn two_books_on_one_file_see_what_the_other_did_once_they_look() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (open(directory.path()), open(directory.path()));
    let mut version = other.version();
    let (_, secret) = one.create(KeySpec::new("a")).await.unwrap();
    assert_eq!(other.authenticate(secret.reveal(), at(0)).unwrap_err(), Refusal::Unknown);
    assert_eq!(other.reload().await, Ok(true));
    assert_eq!(other.reload().await, Ok(false));
    assert!(version.has_changed().unwrap() && *version.borrow_and_update() == 1);
    assert!(other.authenticate(secret.reveal(), at(0)).is_ok());
    // Who changes sees what others did before, whether it looked or not.
    one.create(KeySpec::new("b")).await.unwrap();
    assert_eq!(other.create(KeySpec::new("b")).await.unwrap_err(), KeyError::Taken { name: "b".to_owned() });
    other.revoke("a").await.unwrap();
    assert_eq!(one.reload().await, Ok(true));
    assert_eq!(one.authenticate(secret.reveal(), at(0)).unwrap_err(), Refusal::Revoked);
}

#[tokio::test]
async fn a_watched_book_sees_a_new_key_and_a_revoked_one_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (open(directory.path()), open(&directory.path().join(".")));
    let mut version = other.version();
    let _watch = other.watch().unwrap();
    let (_, secret) = one.create(KeySpec::new("a")).await.unwrap();
    let deadline = Duration::from_secs(30);
    tokio::time::timeout(deadline, version.changed()).await.unwrap().unwrap();
    assert!(other.authenticate(secret.reveal(), at(0)).is_ok());
    // What is broken meanwhile changes nothing.
    let path = directory.path().join("keys.json");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, "broken").unwrap();
    fs::write(&path, whole).unwrap();
    one.revoke("a").await.unwrap();
    let is_revoked = || other.authenticate(secret.reveal(), at(0)) == Err(Refusal::Revoked);
    while !is_revoked() {
        tokio::time::timeout(deadline, version.changed()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_watch_does_not_keep_a_book_alive_and_makes_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("not/there/yet");
    let book = open(&data);
    assert!(!data.exists());
    let watch = book.watch().unwrap();
    assert!(data.is_dir());
    let mut version = book.version();
    drop(book);
    drop(watch);
    assert!(tokio::time::timeout(Duration::from_secs(30), version.changed()).await.unwrap().is_err());
}

#[tokio::test]
async fn keys_of_the_configuration_stand_beside_those_of_the_file_and_change_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let hash = KeyHash::of("the secret that only its owner has");
    let keys = config(&format!(
        r#"[{{"name": "fixed", "secret": "0123456789abcdef", "expires": "2026-01-02", "admin": true}}, {{"name": "hashed", "hash": "{hash}"}}]"#
    ));
    let time = Time::default();
    let (_, stored) = open(directory.path()).create(KeySpec::new("hashed")).await.unwrap();
    let book = KeyBook::open(directory.path(), &keys, time.clock()).unwrap();
    let fixed = book.authenticate("0123456789abcdef", at(0)).unwrap();
    assert_eq!((&*fixed.name, fixed.origin, fixed.admin), ("fixed", KeyOrigin::Config, true));
    assert_eq!(fixed.state(at(86_399)), KeyState::Active);
    assert_eq!(book.authenticate("0123456789abcdef", at(86_400)).unwrap_err(), Refusal::Expired);
    assert_eq!(&*book.authenticate("the secret that only its owner has", at(0)).unwrap().name, "hashed");
    // A stored key cannot pass for one of the configuration.
    assert_eq!(book.authenticate(stored.reveal(), at(0)).unwrap_err(), Refusal::Unknown);
    for name in ["fixed", "hashed"] {
        let taken = KeyError::Taken { name: name.to_owned() };
        assert_eq!(book.create(KeySpec::new(name)).await.unwrap_err(), taken);
        let there = KeyError::IsConfigured { name: name.to_owned() };
        assert_eq!(book.revoke(name).await.unwrap_err(), there);
        assert_eq!(book.rotate(name, SECOND).await.unwrap_err(), there);
    }
    book.replace(&KeysConfig::default()).unwrap();
    assert_eq!(book.authenticate("0123456789abcdef", at(0)).unwrap_err(), Refusal::Unknown);
    assert!(book.authenticate(stored.reveal(), at(0)).is_ok());
    let wrong = book.replace(&config(r#"[{"name": "x", "secret": "short"}]"#)).unwrap_err();
    assert!(wrong.to_string().contains("keys[0].secret") && book.list().len() == 1, "{wrong}");
}

#[tokio::test]
async fn a_book_without_a_place_says_where_one_is_set() {
    let book = KeyBook::fixed(&KeysConfig::default(), Clock::system()).unwrap();
    let error = book.create(KeySpec::new("a")).await.unwrap_err();
    assert!(error == KeyError::NoPlace && error.to_string().contains("set data"), "{error}");
    assert_eq!(book.reload().await, Ok(false));
    let _watch = book.watch().unwrap();
}

#[tokio::test]
async fn budgets_of_keys_are_rules_for_their_calls_alone() {
    let directory = tempfile::tempdir().unwrap();
    let book = open(directory.path());
    book.create(full_spec()).await.unwrap();
    book.create(KeySpec { name: "gone".to_owned(), ..full_spec() }).await.unwrap();
    book.revoke("gone").await.unwrap();
    let rules = book.budget_rules();
    let names: Vec<_> = rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["key:team-a:usd:day", "key:team-a:tokens:total"]);
    assert!(rules.iter().all(|rule| rule.per == Scope::Key && rule.only == ["team-a"]));
    assert_eq!((rules[0].usd, rules[0].every, rules[1].tokens), (Some(0.1), Every::Day, Some(7)));
    BudgetConfig { limits: rules, ..BudgetConfig::default() }.validate().unwrap();
}

#[tokio::test]
async fn what_makes_no_key_is_refused_with_all_its_faults() {
    let directory = tempfile::tempdir().unwrap();
    let book = open(directory.path());
    let spec = KeySpec {
        name: "a{b}".to_owned(),
        budget: vec![KeyBudget::usd(1.0, Every::Day), KeyBudget::usd(2.0, Every::Day)],
        tags: vec![String::new()],
        ..KeySpec::default()
    };
    let line = book.create(spec).await.unwrap_err().to_string();
    for words in ["name: must be", "budget[1]: usd:day is limited already", "tags[0]"] {
        assert!(line.contains(words), "{line}");
    }
    book.create(KeySpec::new("team-a")).await.unwrap();
    let line = book.revoke("taem-a").await.unwrap_err().to_string();
    assert_eq!(line, "there is no key \"taem-a\"; did you mean team-a?");
    book.revoke("team-a").await.unwrap();
    let line = book.rotate("team-a", SECOND).await.unwrap_err().to_string();
    assert_eq!(line, "key \"team-a\" was revoked: create another");
    let line = book.create(KeySpec::new("team-a")).await.unwrap_err().to_string();
    assert!(line.contains("is taken"), "{line}");
}

#[tokio::test]
async fn older_secrets_are_counted_and_a_rotation_without_grace_ends_them_all() {
    let directory = tempfile::tempdir().unwrap();
    let time = Time::default();
    let book = KeyBook::open(directory.path(), &KeysConfig::default(), time.clock()).unwrap();
    let mut secrets = vec![book.create(KeySpec::new("a")).await.unwrap().1];
    for _ in 0..16 {
        secrets.push(book.rotate("a", 60 * SECOND).await.unwrap().1);
    }
    let line = book.rotate("a", 60 * SECOND).await.unwrap_err().to_string();
    assert!(line.contains("a grace of 0s"), "{line}");
    assert!(secrets.iter().all(|secret| book.authenticate(secret.reveal(), time.now()).is_ok()));
    let (record, last) = book.rotate("a", Duration::ZERO).await.unwrap();
    assert!(secrets.iter().all(|secret| book.authenticate(secret.reveal(), time.now()).is_err()));
    assert!(book.authenticate(last.reveal(), time.now()).is_ok());
    assert!(last.reveal().starts_with(&record.prefix) && record.rotated == Some(time.now()));
    let (_, next) = book.rotate("a", Duration::MAX).await.unwrap();
    let century = at(100 * 365 * 86_400);
    assert!([last, next].iter().all(|secret| book.authenticate(secret.reveal(), century).is_ok()));
}

#[tokio::test]
async fn a_directory_that_cannot_be_is_said_so() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = KeyBook::open(&file, &KeysConfig::default(), Clock::system()).unwrap_err();
    assert!(matches!(error, KeyError::Store(StoreError::NotADirectory { .. })), "{error}");
    assert!(error.to_string().contains("not a directory"), "{error}");
}

/// The child: makes keys of these names, one after another.
#[test]
fn child_that_makes_keys() {
    let (Ok(directory), Ok(names)) = (std::env::var(DIRECTORY), std::env::var(NAMES)) else { return };
    let book = open(Path::new(&directory));
    for name in names.split(',') {
        let (_, secret) = runtime().block_on(book.create(KeySpec::new(name))).unwrap();
        println!("\n+{name} {}", secret.reveal());
    }
}

fn maker(directory: &Path, names: &[String]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_makes_keys", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(NAMES, names.join(","))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn processes_that_make_keys_at_once_lose_none() {
    const EACH: usize = 25;
    let directory = tempfile::tempdir().unwrap();
    let names = |process: usize| -> Vec<String> { (0..EACH).map(|n| format!("p{process}-{n}")).collect() };
    let children: Vec<_> = (0..3).map(|process| maker(directory.path(), &names(process))).collect();
    let mut made = Vec::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix('+')?.split_once(' '));
        made.extend(lines.map(|(name, secret)| (name.to_owned(), secret.to_owned())));
    }
    let book = open(directory.path());
    assert_eq!((made.len(), book.list().len()), (3 * EACH, 3 * EACH));
    for (name, secret) in made {
        assert_eq!(*book.authenticate(&secret, at(0)).unwrap().name, *name);
    }
}

#[test]
fn a_process_that_is_killed_while_it_makes_keys_leaves_a_whole_file() {
    use std::io::{BufRead as _, BufReader};
    let directory = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let names: Vec<_> = (0..200).map(|n| format!("r{round}-{n}")).collect();
        let mut child = maker(directory.path(), &names);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut made = lines.filter(|line| line.starts_with('+')).take(3 + round).collect::<Vec<_>>();
        child.kill().unwrap();
        child.wait().unwrap();
        let book = open(directory.path());
        for line in made.drain(..) {
            let (name, secret) = line[1..].split_once(' ').unwrap();
            assert_eq!(&*book.authenticate(secret, at(0)).unwrap().name, name);
        }
        // The lock went with the process.
        runtime().block_on(book.create(KeySpec::new(format!("after-{round}")))).unwrap();
    }
}
