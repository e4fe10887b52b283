//! Sessions kept by a scripted token service, on a paused clock.

use std::time::Duration;

use crate::rig::{Rig, application};
use futures_util::future::join_all;
use infer_core::ErrorKind;
use remote_core::session::{RemoteSessionActor, SessionHandle, invalidate};
use remote_entra::Cloud;
use remote_testkit::Script;
use tokio::time::sleep;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A token that lives for an hour; it took a second to come.
fn token(name: &str) -> Script {
    let body = format!(r#"{{"token_type":"Bearer","expires_in":3600,"access_token":"{name}"}}"#);
    Script::json(body).after(s(1))
}

async fn session(rig: &Rig) -> SessionHandle {
    let source = application().source_in(Cloud::Public, &rig.around).unwrap();
    RemoteSessionActor::bootstrap_with_seed(source, 1).await.unwrap()
}

fn held(session: &SessionHandle) -> (u64, String) {
    let snapshot = session.load_full();
    (snapshot.generation(), snapshot.secret().unwrap().expose().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_hundred_refusals_at_once_lead_to_one_token_request() {
    let rig = Rig::new([token("one"), token("two")], [], &[]);
    let session = session(&rig).await;
    let ends = join_all((0..100).map(|_| tokio::spawn(invalidate(&session, 0)))).await;
    assert!(ends.into_iter().all(|end| end.unwrap().is_ok()));
    assert_eq!(rig.requests(), (2, 0));
    assert_eq!(held(&session), (1, "two".to_owned()));
    assert_eq!(session.load().bearer().unwrap(), "Bearer two");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_replaced_ahead_of_its_end_while_nobody_asks() {
    let rig = Rig::new([token("one"), token("two")], [], &[]);
    let session = session(&rig).await;
    sleep(s(3290)).await;
    assert_eq!((held(&session), rig.requests()), ((0, "one".to_owned()), (1, 0)));
    sleep(s(75)).await;
    assert_eq!((held(&session), rig.requests()), ((1, "two".to_owned()), (2, 0)));
}

#[tokio::test(start_paused = true)]
async fn the_old_token_stays_while_the_service_fails_and_goes_when_it_is_back() {
    let down = || Script::status(503);
    let rig = Rig::new([token("one"), down(), down(), token("two")], [], &[]);
    let session = session(&rig).await;
    sleep(s(3365)).await;
    assert_eq!((held(&session), rig.requests().0 >= 2), ((0, "one".to_owned()), true));
    sleep(s(100)).await;
    assert_eq!((held(&session), rig.requests()), ((1, "two".to_owned()), (4, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_token_without_an_end_is_replaced_within_minutes() {
    let endless = |name: &str| Script::json(format!(r#"{{"access_token":"{name}"}}"#));
    let rig = Rig::new([endless("one"), endless("two")], [], &[]);
    let session = session(&rig).await;
    sleep(s(149)).await;
    assert_eq!(held(&session), (0, "one".to_owned()));
    sleep(s(32)).await;
    assert_eq!(held(&session), (1, "two".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_refused_secret_is_the_error_of_everybody_who_waits_and_spreads_no_secret() {
    let refusal = Script::status(401).body(crate::rig::fixture("token_error_401.json"));
    let rig = Rig::new([token("one"), refusal], [], &[]);
    let session = session(&rig).await;
    for end in join_all((0..100).map(|_| invalidate(&session, 0))).await {
        let error = end.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        let text = format!("{error} {error:?}");
        assert!(text.contains("AADSTS7000215") && text.contains("value, not its id"), "{text}");
        assert!(!text.contains(crate::rig::SECRET), "{text}");
    }
    assert_eq!((held(&session), rig.requests()), ((0, "one".to_owned()), (2, 0)));
}
