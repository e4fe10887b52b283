//! Sessions on a paused clock: when credentials are fetched, by how many, and what wins.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use infer_core::{ErrorKind, InferenceError};
use proptest::prelude::*;
use remote_core::session::{
    Credential, CredentialSource, RemoteSessionActor, SecretRef, SessionHandle, SessionSnapshot, invalidate,
    rotate,
};
use tokio::time::{Instant, advance, sleep};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A source whose answers are told in advance; the last one stays.
#[derive(Debug)]
struct Scripted {
    answers: Mutex<VecDeque<Answer>>,
    takes: Duration,
    fetches: Mutex<Vec<Instant>>,
    /// Fetches at this moment and at most.
    open: Mutex<(u32, u32)>,
}

#[derive(Clone, Debug)]
enum Answer {
    Key(String, Option<Duration>),
    Fails(&'static str),
    Panics,
}

fn key(key: &str) -> Answer {
    Answer::Key(key.to_owned(), None)
}

fn token(key: &str, life: u64) -> Answer {
    Answer::Key(key.to_owned(), Some(s(life)))
}

impl Scripted {
    fn new(takes: Duration, answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        let answers = Mutex::new(answers.into_iter().collect());
        Arc::new(Self { answers, takes, fetches: Mutex::default(), open: Mutex::default() })
    }

    async fn session(self: &Arc<Self>) -> SessionHandle {
        RemoteSessionActor::bootstrap(Arc::clone(self) as Arc<dyn CredentialSource>).await.unwrap()
    }

    fn fetches(&self) -> Vec<Instant> {
        self.fetches.lock().unwrap().clone()
    }

    fn answer(&self, answer: Answer) {
        *self.answers.lock().unwrap() = [answer].into();
    }
}

struct Open<'a>(&'a Mutex<(u32, u32)>);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().0 -= 1;
    }
}

#[async_trait]
impl CredentialSource for Scripted {
    async fn fetch(&self) -> Result<Credential, InferenceError> {
        self.fetches.lock().unwrap().push(Instant::now());
        let _open = {
            let mut open = self.open.lock().unwrap();
            *open = (open.0 + 1, open.1.max(open.0 + 1));
            Open(&self.open)
        };
        let answer = {
            let mut answers = self.answers.lock().unwrap();
            if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() }
        };
        sleep(self.takes).await;
        match answer {
            Answer::Key(key, Some(life)) => Ok(Credential::new(key).with_lifetime(life)),
            Answer::Key(key, None) => Ok(Credential::new(key)),
            Answer::Fails(why) => Err(InferenceError::config(why)),
            Answer::Panics => panic!("a source with a bug"),
        }
    }
}

fn held(session: &SessionHandle) -> (u64, String) {
    let snapshot = session.load_full();
    (snapshot.generation(), snapshot.secret().unwrap().expose().to_owned())
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Lets every task run that can.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_a_hundred_refusals_leads_to_one_fetch() {
    let source = Scripted::new(s(2), [key("k0"), key("k1")]);
    let session = source.session().await;
    let ends = join_all((0..100).map(|_| tokio::spawn(invalidate(&session, 0)))).await;
    assert!(ends.into_iter().all(|end| end.unwrap().is_ok()));
    assert_eq!(source.fetches().len(), 2);
    assert_eq!(held(&session), (1, "k1".to_owned()));
    // Stragglers that were refused with the old key find the new one there.
    invalidate(&session, 0).now_or_never().unwrap().unwrap();
    assert_eq!(source.fetches().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_source_with_nothing_new_answers_a_storm_with_one_error_and_is_left_in_peace_for_a_second() {
    let source = Scripted::new(s(2), [key("sk-very-secret")]);
    let session = source.session().await;
    for end in join_all((0..100).map(|_| invalidate(&session, 0))).await {
        let error = end.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        let text = format!("{error} {error:?}");
        assert!(text.contains("nothing new") && !text.contains("sk-very-secret"), "{text}");
    }
    assert!(invalidate(&session, 0).now_or_never().unwrap().is_err());
    assert_eq!((source.fetches().len(), held(&session).0), (2, 0));
    advance(s(1)).await;
    invalidate(&session, 0).await.unwrap_err();
    assert_eq!(source.fetches().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_replaced_four_to_five_minutes_before_its_end_at_times_that_differ_by_seed() {
    let mut times = Vec::new();
    for seed in 0..40 {
        let source = Scripted::new(Duration::ZERO, [token("t0", 3600), token("t1", 3600)]);
        let begun = Instant::now();
        let session = RemoteSessionActor::bootstrap_with_seed(
            Arc::clone(&source) as Arc<dyn CredentialSource>,
            seed % 20, // every seed twice
        )
        .await
        .unwrap();
        sleep(s(3299)).await;
        assert_eq!(source.fetches().len(), 1);
        sleep(s(62)).await;
        assert_eq!(held(&session), (1, "t1".to_owned()));
        times.push(source.fetches()[1] - begun);
    }
    assert!(times.iter().all(|time| (s(3300)..=s(3361)).contains(time)), "{times:?}");
    assert_eq!(times[..20], times[20..]);
    assert!(times.iter().max().unwrap().abs_diff(*times.iter().min().unwrap()) > s(30), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_lives_a_minute_is_replaced_at_half_its_life_again_and_again() {
    let source = Scripted::new(Duration::ZERO, (0..9).map(|n| token(&format!("t{n}"), 60)));
    let session = source.session().await;
    sleep(s(150)).await;
    let times = source.fetches();
    assert_eq!(usize::try_from(held(&session).0).unwrap(), times.len() - 1);
    assert!(times.windows(2).all(|pair| (s(30)..=s(37)).contains(&(pair[1] - pair[0]))), "{times:?}");
    assert_eq!(tasks(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_refresh_keeps_the_old_token_and_is_tried_again_after_30_s_and_then_60_s() {
    let fails = || Answer::Fails("the token service is down");
    let lasts = |name| token(name, 3600);
    let answers = [lasts("t0"), fails(), fails(), lasts("t1"), fails(), lasts("t2")];
    let source = Scripted::new(Duration::ZERO, answers);
    let session = source.session().await;
    sleep(s(3361)).await;
    assert_eq!((source.fetches().len() > 1, held(&session)), (true, (0, "t0".to_owned())));
    sleep(s(120)).await;
    assert_eq!(held(&session), (1, "t1".to_owned()));
    sleep(s(3400)).await;
    assert_eq!(held(&session), (2, "t2".to_owned()));
    let times = source.fetches();
    assert_eq!(times.len(), 6);
    for (failed, pause) in [(1, s(30)), (2, s(60)), (4, s(30))] {
        let waited = times[failed + 1] - times[failed];
        assert!((pause..pause + s(1)).contains(&waited), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_fetch_after_a_refusal_says_why_and_is_made_good_in_the_background() {
    let answers = [token("t-very-secret", 3600), Answer::Fails("t-very-secret is\nno good"), key("t1")];
    let source = Scripted::new(s(1), answers);
    let session = source.session().await;
    let error = invalidate(&session, 0).await.unwrap_err().to_string();
    assert!(error.contains("no other credential could be fetched: [redacted] is no good"), "{error}");
    assert_eq!(held(&session).0, 0);
    sleep(s(32)).await;
    assert_eq!(held(&session), (1, "t1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_blocks_nobody_for_ever() {
    let source = Scripted::new(Duration::ZERO, [key("k0"), Answer::Panics, key("k1")]);
    let session = source.session().await;
    let ends = join_all((0..3).map(|_| invalidate(&session, 0))).await;
    assert!(ends.into_iter().all(|end| end.unwrap_err().to_string().contains("interrupted")));
    advance(s(1)).await;
    invalidate(&session, 0).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_leader_who_leaves_neither_stops_the_fetch_nor_takes_it_along() {
    let source = Scripted::new(s(5), [key("k0"), key("k1")]);
    let session = source.session().await;
    let mut leader = Box::pin(invalidate(&session, 0));
    assert!((&mut leader).now_or_never().is_none());
    let follower = tokio::spawn(invalidate(&session, 0));
    sleep(s(2)).await;
    drop(leader);
    follower.await.unwrap().unwrap();
    assert_eq!((source.fetches().len(), held(&session).0), (2, 1));

    source.answer(key("k2"));
    assert!(invalidate(&session, 1).now_or_never().is_none()); // dropped with nobody else waiting
    sleep(s(6)).await;
    assert_eq!(held(&session), (2, "k2".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_rotation_stands_against_a_fetch_that_began_before_it() {
    let source = Scripted::new(s(5), [key("k0"), key("k1")]);
    let session = source.session().await;
    let refused = tokio::spawn(invalidate(&session, 0));
    sleep(s(2)).await;
    assert_eq!(rotate(&session, Some("by-hand".into())).unwrap(), 1);
    refused.await.unwrap().unwrap();
    assert_eq!(held(&session), (1, "by-hand".to_owned()));
    // What was dropped is still new to the session.
    invalidate(&session, 1).await.unwrap();
    assert_eq!(held(&session), (2, "k1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_begins_after_a_rotation_replaces_it_only_by_what_the_source_had_not_given() {
    let source = Scripted::new(s(5), [key("k0")]);
    let session = source.session().await;
    rotate(&session, Some("by-hand".into())).unwrap();
    let error = invalidate(&session, 1).await.unwrap_err();
    assert!(error.to_string().contains("nothing new"), "{error}");
    assert_eq!(held(&session), (1, "by-hand".to_owned()));
    source.answer(key("k1"));
    sleep(s(2)).await;
    invalidate(&session, 1).await.unwrap();
    assert_eq!(held(&session), (2, "k1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_with_a_rotated_key_does_not_take_the_result_of_an_older_fetch() {
    let source = Scripted::new(s(5), [key("k0"), key("k0"), key("k1")]);
    let session = source.session().await;
    let first = tokio::spawn(invalidate(&session, 0));
    sleep(s(1)).await;
    rotate(&session, Some("by-hand".into())).unwrap();
    let second = tokio::spawn(invalidate(&session, 1));
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!((source.fetches().len(), held(&session)), (3, (2, "k1".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn no_task_is_left_when_the_handles_are_gone() {
    let source = Scripted::new(s(5), [token("t0", 3600)]);
    let session = source.session().await;
    settle().await;
    assert_eq!(tasks(), 1);
    let weak = Arc::downgrade(&session);
    drop(session);
    settle().await;
    assert_eq!((tasks(), weak.strong_count()), (0, 0));

    // In the middle of a fetch.
    let session = source.session().await;
    assert!(invalidate(&session, 0).now_or_never().is_none());
    settle().await;
    assert_eq!((tasks(), source.open.lock().unwrap().0), (2, 1));
    drop(session);
    settle().await;
    assert_eq!((tasks(), source.open.lock().unwrap().0), (0, 0));

    // While a call still holds the credential.
    let session = source.session().await;
    let snapshot = session.load_full();
    drop(session);
    sleep(s(61)).await;
    assert_eq!((tasks(), snapshot.generation()), (0, 0));
    assert_eq!(Arc::strong_count(&source), 2, "only the test and the held snapshot know the source");
}

#[tokio::test(start_paused = true)]
async fn what_neither_expires_nor_changes_starts_no_task() {
    let source = Scripted::new(Duration::ZERO, [key("k0")]);
    let sessions = [
        source.session().await,
        RemoteSessionActor::bootstrap(SecretRef::inline("k")).await.unwrap(),
        RemoteSessionActor::bootstrap(SecretRef::env("CARGO_PKG_NAME")).await.unwrap(),
    ];
    settle().await;
    assert_eq!(tasks(), 0);
    assert_eq!(held(&sessions[2]).1, "remote-core");
    for session in &sessions {
        invalidate(session, 0).await.unwrap_err();
    }
    settle().await;
    assert_eq!(tasks(), 0);
    assert!(RemoteSessionActor::bootstrap(SecretRef::None).await.unwrap().load().secret().is_none());
    // A source that begins to expire is looked after from then on.
    sleep(s(1)).await;
    source.answer(token("t1", 60));
    invalidate(&sessions[0], 0).await.unwrap();
    source.answer(token("t2", 60));
    sleep(s(40)).await;
    assert_eq!(held(&sessions[0]), (2, "t2".to_owned()));
}

/// What can happen to a session.
#[derive(Clone, Debug)]
enum Event {
    Rotate(u8),
    /// By a caller who was refused with a generation this many behind, and waits for at most so long.
    Refuse {
        behind: u64,
        patience: u64,
    },
    Source(Answer),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0u8..4).prop_map(Event::Rotate),
        4 => (0u64..3, prop_oneof![Just(0), Just(1), 2u64..40]).prop_map(|(behind, patience)| {
            Event::Refuse { behind, patience }
        }),
        1 => (0u8..4).prop_map(|n| Event::Source(key(&format!("k{n}")))),
        2 => (0u8..4, 1u64..900).prop_map(|(n, life)| Event::Source(token(&format!("k{n}"), life))),
        1 => Just(Event::Source(Answer::Fails("down"))),
        4 => (0u64..200).prop_map(Event::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Generations strictly rise and each names one credential for ever; there is one fetch at a time; whoever was refused
    /// gets an end, which is a newer generation or an error; nothing is left at the end.
    #[test]
    fn generations_strictly_rise_whatever_happens(
        events in prop::collection::vec(event(), 1..40),
        takes in 0u64..8,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let source = Scripted::new(s(takes), [token("k0", 100)]);
            let session = source.session().await;
            let mut seen: Vec<Arc<SessionSnapshot>> = vec![session.load_full()];
            let mut keys = vec![held(&session)];
            let mut callers = Vec::new();
            for event in events {
                match event {
                    Event::Rotate(n) => {
                        let before = session.load().generation();
                        let after = rotate(&session, Some(format!("r{n}").into())).unwrap();
                        assert_eq!(after, before + 1);
                    }
                    Event::Refuse { behind, patience } => {
                        let used = session.load().generation().saturating_sub(behind);
                        let (session, call) = (Arc::clone(&session), invalidate(&session, used));
                        callers.push(tokio::spawn(async move {
                            match tokio::time::timeout(s(patience), call).await {
                                Ok(Ok(())) => assert!(session.load().generation() > used),
                                Ok(Err(error)) => assert_eq!(error.kind(), ErrorKind::Unauthenticated),
                                Err(_) => {}
                            }
                        }));
                    }
                    Event::Source(answer) => source.answer(answer),
                    Event::Wait(seconds) => sleep(s(seconds)).await,
                }
                tokio::task::yield_now().await;
                let now = session.load_full();
                let last = seen.last().unwrap();
                if Arc::ptr_eq(&now, last) {
                    assert_eq!(now.generation(), last.generation());
                } else {
                    assert!(now.generation() > last.generation());
                    keys.push(held(&session));
                    seen.push(now);
                }
            }
            for caller in callers {
                caller.await.unwrap();
            }
            for (snapshot, (generation, key)) in seen.iter().zip(&keys) {
                assert_eq!((snapshot.generation(), snapshot.secret().unwrap().expose()), (*generation, key.as_str()));
            }
            assert!(source.open.lock().unwrap().1 <= 1, "two fetches at a time");
            drop((session, seen));
            settle().await;
            assert_eq!((tasks(), Arc::strong_count(&source)), (0, 1));
        });
    }
}
