//! Routes that change while calls run.

use futures_util::StreamExt as _;
use infer_core::ModelRunner as _;

use super::scripted::{Act, does, says};
use super::{ask, config, registry, router, who};

const A_AND_B: &str =
    r#"{"routes": {"r": {"targets": [{"provider": "a", "model": "m"}, {"provider": "b", "model": "m"}]}}}"#;

#[tokio::test]
async fn a_running_call_ends_on_what_it_began_with_and_new_ones_go_the_new_way() {
    let (a, b) = (does("a", Act::Stall("half a")), says("b", []));
    let router = router(
        std::slice::from_ref(&a),
        r#"{"routes": {"r": {"targets": [{"provider": "a", "model": "m"}]}}}"#,
    );
    let mut stream = router.execute(ask("r").streaming()).await.unwrap().into_stream();
    let only_b = config(r#"{"routes": {"r": {"targets": [{"provider": "b", "model": "m"}]}}}"#);
    router.reload(registry(&[b]), &only_b).unwrap();
    assert_eq!(who(&router, ask("r")).await, "b");
    assert_eq!(stream.next().await.unwrap().unwrap().text, "half a");
    assert_eq!(a.open(), 1);
    drop(stream);
    assert_eq!(a.open(), 0);
}

#[tokio::test]
async fn what_is_known_of_a_target_outlives_a_change_of_routes() {
    let (a, b, c) = (does("a", Act::Stall("half a")), says("b", []), says("c", []));
    let router = router(&[a.clone(), b.clone()], A_AND_B);
    let held = router.execute(ask("r").streaming()).await.unwrap();
    let with_c = A_AND_B.replace("[{", r#"[{"provider": "c", "model": "m"}, {"#);
    router.reload(registry(&[a, b, c]), &config(&with_c)).unwrap();
    let of_a = |router: &infer_router::Router| {
        router.targets().into_iter().find(|target| &*target.provider == "a" && target.model == "m").unwrap()
    };
    assert_eq!((of_a(&router).in_flight, of_a(&router).calls), (1, 1));
    drop(held);
    assert_eq!(of_a(&router).in_flight, 0);
}

#[tokio::test]
async fn whose_turn_it_is_outlives_a_change_of_routes() {
    let runners = [says("a", []), says("b", [])];
    let router = router(&runners, A_AND_B);
    let mut order = String::new();
    for _ in 0..6 {
        order.push_str(&who(&router, ask("r")).await);
        router.reload(registry(&runners), &config(A_AND_B)).unwrap();
    }
    assert_eq!(order, "ababab");
}

#[tokio::test]
async fn a_change_that_is_wrong_changes_nothing() {
    let router = router(&[says("a", []), says("b", [])], A_AND_B);
    let error = router.reload(registry(&[]), &config(A_AND_B)).unwrap_err();
    assert!(error.to_string().contains(r#"there is no provider "a""#), "{error}");
    assert_eq!(who(&router, ask("r")).await, "a");
}

#[tokio::test]
async fn a_hundred_changes_under_load_fail_no_call() {
    let runners = [says("a", []), says("b", [])];
    let router = std::sync::Arc::new(router(&runners, A_AND_B));
    let only_b = config(&A_AND_B.replace(r#"{"provider": "a", "model": "m"}, "#, ""));
    let calls = async {
        for _ in 0..2_000 {
            who(&router, ask("r")).await;
            tokio::task::yield_now().await;
        }
    };
    let changes = async {
        for nth in 0..100 {
            let table = if nth % 2 == 0 { &only_b } else { &config(A_AND_B) };
            router.reload(registry(&runners), table).unwrap();
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
    };
    futures_util::future::join(calls, changes).await;
    assert_eq!(runners[0].calls() + runners[1].calls(), 2_000);
    super::assert_nothing_in_flight(&router);
}
