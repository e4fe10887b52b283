//! How the command ends before its time, and that the upstream's work ends with it.
#![cfg(unix)]

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;
use upstream_sim::{Behaviour, Sim};

use crate::running::{DEADLINE, Running, infer, run, sim};

async fn until_cancelled(sim: &Sim) {
    timeout(DEADLINE, sim.until_cancelled(1)).await.expect("the upstream call was not dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_with_130_keeps_what_arrived_and_drops_the_call() {
    let sim = sim().await;
    let mut running = Running::start(&["chat", "--model", "sim-stall", "Hello"], Some(&sim.base_url()));
    let seen = running.read_until("simulator");
    running.signal("-INT");
    let ran = running.end();
    assert_eq!(ran.code, 130, "{ran:?}");
    assert!(seen.starts_with("This is a") && ran.stderr.is_empty(), "{ran:?}");
    until_cancelled(&sim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_is_heard_before_the_answer_begins() {
    let sim = sim().await;
    let running =
        Running::start(&["chat", "--json", "--model", "sim-silent", "Hello"], Some(&sim.base_url()));
    timeout(DEADLINE, sim.until_calls(1)).await.unwrap();
    running.signal("-INT");
    let ran = running.end();
    assert_eq!((ran.code, &ran.json()["error"]["kind"]), (130, &json!("interrupted")), "{ran:?}");
    until_cancelled(&sim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_with_143() {
    let sim = sim().await;
    let mut running = Running::start(&["chat", "--model", "sim-stall", "Hello"], Some(&sim.base_url()));
    running.read_until("This");
    running.signal("-TERM");
    assert_eq!(running.end().code, 143);
    until_cancelled(&sim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_is_heard_while_nobody_reads_standard_output() {
    // Far more than a pipe holds, so the answer cannot end before the signal comes.
    let sim = Sim::builder().behaviour("endless", Behaviour::Long(300_000)).start().await.unwrap();
    let mut running = Running::start(&["chat", "--model", "endless", "Hello"], Some(&sim.base_url()));
    running.read_until("\n");
    let unread = running.child.stdout.take();
    running.signal("-INT");
    assert_eq!(running.end().code, 130);
    until_cancelled(&sim).await;
    drop(unread);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_leaves_is_no_error_and_ends_the_call() {
    let sim = Sim::builder().chunk_delay(Duration::from_millis(2)).start().await.unwrap();
    let mut running = Running::start(&["chat", "--model", "sim-long", "Hello"], Some(&sim.base_url()));
    running.read_until("\n");
    running.child.stdout = None;
    let ran = running.end();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    until_cancelled(&sim).await;
}

#[test]
fn the_simulator_runs_in_the_foreground_and_says_how_to_reach_it() {
    let mut running = Running::start(&["sim", "--delay", "0", "--seed", "3"], None);
    let banner = running.read_until("Hello\"\n");
    let url = banner.lines().next().unwrap();
    assert!(banner.contains(&format!("infer chat --base-url {url} \"Hello\"")), "{banner}");
    let ran = run(&mut infer(&["chat", "--base-url", url, "Hello"]));
    assert!(ran.code == 0 && ran.stdout.contains("This is a simulator"), "{ran:?}");
    running.signal("-INT");
    assert_eq!(running.end().code, 130);
}
