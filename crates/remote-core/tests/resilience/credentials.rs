//! A key that is refused, and a key that changes.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use infer_core::{ErrorKind, InferenceError};
use remote_core::RemoteConfig;
use remote_core::meter::Outcome;
use remote_core::session::{Credential, CredentialSource, RemoteSessionActor, rotate};
use tokio::time::{Instant, sleep};

use super::{
    Act, Rig, Script, ask, assert_nothing_is_held, event, fine, run, seconds, session, status, streaming,
};

/// Gives `key-0`, and another key each time it is asked again.
#[derive(Debug, Default)]
struct Keys {
    given: AtomicU32,
    takes: Duration,
}

#[async_trait]
impl CredentialSource for Keys {
    async fn fetch(&self) -> Result<Credential, InferenceError> {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        if number > 0 {
            sleep(self.takes).await;
        }
        Ok(Credential::new(format!("key-{number}")))
    }
}

/// An upstream that takes only `key`, after a second.
async fn guarded(takes: Duration, key: &'static str) -> (Rig, Arc<Keys>) {
    let keys = Arc::new(Keys { takes, ..Keys::default() });
    let source = Arc::clone(&keys) as Arc<dyn CredentialSource>;
    let session = RemoteSessionActor::bootstrap_with_seed(source, 7).await.unwrap();
    let rig = Rig::new(RemoteConfig::default(), session, 7, move |_, seen| {
        let script = if seen.bearer == format!("Bearer {key}") { fine() } else { status(401) };
        Script { head_after: seconds(1), ..script }
    });
    (rig, keys)
}

fn bearers(rig: &Rig) -> Vec<String> {
    rig.upstream.seen().into_iter().map(|seen| seen.bearer).collect()
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_is_refreshed_once_and_the_call_repeated_with_the_new_one() {
    let (rig, keys) = guarded(seconds(2), "key-1").await;
    let (meta, whole) = ask(&rig).await.unwrap();
    assert_eq!((meta.attempts, whole.text()), (2, "fine"));
    assert_eq!(bearers(&rig), ["Bearer key-0", "Bearer key-1"]);
    assert_eq!(keys.given.load(Ordering::Relaxed), 2);
    let retried = Outcome::Retried(ErrorKind::Unauthenticated);
    assert_eq!(rig.log.attempts()[0].outcome, retried);
    assert_nothing_is_held(&rig);
}

#[tokio::test(start_paused = true)]
async fn a_second_refusal_ends_the_call() {
    let (rig, keys) = guarded(seconds(0), "another").await;
    let error = ask(&rig).await.unwrap_err();
    assert_eq!((error.kind(), error.origin().unwrap().attempts), (ErrorKind::Unauthenticated, 2));
    assert_eq!((bearers(&rig).len(), keys.given.load(Ordering::Relaxed)), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_nobody_can_replace_ends_the_call_with_the_upstreams_words_and_the_reason() {
    let rig = Rig::new(RemoteConfig::default(), session(), 7, |_, _| status(401));
    let error = ask(&rig).await.unwrap_err();
    assert_eq!((error.kind(), rig.upstream.seen().len()), (ErrorKind::Unauthenticated, 1));
    assert!(error.to_string().contains("no source"), "{error}");
    assert_eq!(rig.log.attempts()[0].outcome, Outcome::Failed(ErrorKind::Unauthenticated));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_refused_calls_fetch_one_key() {
    let (rig, keys) = guarded(seconds(2), "key-1").await;
    let results = join_all((0..100).map(|_| ask(&rig))).await;
    assert!(results.iter().all(|result| result.as_ref().is_ok_and(|(meta, _)| meta.attempts == 2)));
    assert_eq!(keys.given.load(Ordering::Relaxed), 2, "one at the start and one for all");
    assert_eq!(bearers(&rig).len(), 200);
    assert_nothing_is_held(&rig);
}

#[tokio::test(start_paused = true)]
async fn a_call_does_not_wait_for_a_fresh_key_beyond_its_deadline() {
    let (rig, _) = guarded(seconds(30), "key-1").await;
    let begun = Instant::now();
    let error = run(&rig.runner, streaming().with_deadline(seconds(5))).await.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::Unauthenticated, seconds(5)));
    assert!(error.to_string().contains("no fresh credential in time"), "{error}");
    assert_nothing_is_held(&rig);
}

/// Every second the upstream takes another key for what begins then; what is under way goes on.
#[tokio::test(start_paused = true)]
async fn keys_rotate_under_200_calls_in_flight_without_a_failure() {
    let valid = Arc::new(Mutex::new("Bearer key-0".to_owned()));
    let accepted = Arc::clone(&valid);
    let rig = Rig::new(super::once(), session(), 7, move |_, seen| {
        if seen.bearer != *accepted.lock().unwrap() {
            return status(401);
        }
        let pieces = (0..20).flat_map(|_| [event("a"), Act::Wait(seconds(1))]);
        Script::stream(pieces.chain([event("!end")]))
    });
    let rotations = async {
        for number in 1..12 {
            sleep(seconds(1)).await;
            rotate(rig.runner.session(), Some(format!("key-{number}").into())).unwrap();
            *valid.lock().unwrap() = format!("Bearer key-{number}");
        }
    };
    let calls = join_all((0..200).map(|nth| {
        let rig = &rig;
        async move {
            sleep(Duration::from_millis(nth * 50 + 5)).await;
            ask(rig).await
        }
    }));
    let (results, ()) = tokio::join!(calls, rotations);
    for result in results {
        let (meta, whole) = result.unwrap();
        assert_eq!((meta.attempts, whole.text().len()), (1, 20));
    }
    let mut used = bearers(&rig);
    used.dedup();
    assert_eq!(used.len(), 10, "each key was used, and none after the next one came: {used:?}");
    assert_nothing_is_held(&rig);
}
