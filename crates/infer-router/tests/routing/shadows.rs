//! Copies that nobody waits for.

use infer_core::{ErrorKind, ModelRunner as _, Priority};
use tokio::task::yield_now;

use super::scripted::{Act, does, fails, says};
use super::{ask, config, ms, registry, router, run, who};

const ALL: &str = r#"{"routes": {"r": {"targets": [{"provider": "main", "model": "m"}],
    "shadow": {"provider": "copy", "model": "new", "rate": 1.0, "max_in_flight": 3}}}}"#;

async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_goes_to_the_shadow_under_a_name_that_tells_it_apart() {
    let (main, copy) = (says("main", []), says("copy", []));
    let router = router(&[main.clone(), copy.clone()], ALL);
    let batch = ask("r").with_user("ann");
    assert_eq!(who(&router, batch.clone()).await, "main");
    settle().await;
    let (main, copy) = (main.seen().remove(0), copy.seen().remove(0));
    assert!(copy.request_id.is_shadow() && !main.request_id.is_shadow());
    assert_eq!(copy.request_id, batch.request_id.shadow());
    assert_eq!(
        (copy.model.as_str(), copy.priority, copy.user.as_deref()),
        ("new", Priority::Background, Some("ann"))
    );
    assert_eq!(copy.messages, main.messages);
    assert_eq!(router.shadows_in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_shadow_that_fails_or_hangs_changes_nothing_and_no_more_copies_are_made_than_allowed() {
    for act in [Act::Hang, Act::Stall("half a")] {
        let (main, copy) = (says("main", []), does("copy", act));
        let router = router(&[main, copy.clone()], ALL);
        for _ in 0..10 {
            assert_eq!(run(&router, ask("r")).await.unwrap().1.text(), "fine");
            settle().await;
        }
        assert_eq!((copy.calls(), router.shadows_in_flight(), copy.open()), (3, 3, 3));
        // A copy that hangs ends in time, and dropping the router ends the rest.
        tokio::time::advance(ms(300_001)).await;
        settle().await;
        assert_eq!((router.shadows_in_flight(), copy.open()), (0, 0));
        who(&router, ask("r")).await;
        settle().await;
        assert_eq!(copy.open(), 1);
        drop(router);
        settle().await;
        assert_eq!(copy.open(), 0);
    }
    let dead = fails("copy", ErrorKind::Upstream);
    let router = router(&[says("main", []), dead.clone()], ALL);
    for _ in 0..10 {
        who(&router, ask("r")).await;
        settle().await;
    }
    assert_eq!(dead.calls(), 10);
}

#[tokio::test(start_paused = true)]
async fn the_share_of_copies_is_the_rate() {
    let (main, copy) = (says("main", []), says("copy", []));
    let mut table = config(ALL);
    let shadow = table.routes.get_mut("r").unwrap().shadow.as_mut().unwrap();
    (shadow.rate, shadow.max_in_flight) = (0.25, 1_000);
    let router =
        infer_router::Router::builder(registry(&[main, copy.clone()]), table).with_seed(5).build().unwrap();
    for _ in 0..4_000 {
        who(&router, ask("r")).await;
    }
    settle().await;
    assert!((900..1_100).contains(&copy.calls()), "{}", copy.calls());
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_not_copied_again() {
    let (main, copy) = (says("main", []), says("copy", []));
    let inner = std::sync::Arc::new(router(&[main, copy.clone()], ALL));
    let mut batch = ask("r");
    batch.request_id = batch.request_id.shadow();
    inner.execute(batch).await.unwrap();
    settle().await;
    assert_eq!(copy.calls(), 0);
}
