//! SIGHUP reloads. In a file of its own, since a signal reaches every watch of a process.
#![cfg(all(unix, feature = "openai"))]

use std::process::Command;
use std::time::Duration;

use inference::Inference;
use tokio::sync::mpsc;
use tokio::time::timeout;

#[tokio::test]
async fn a_hangup_reads_the_file_again_although_it_did_not_change() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("llm.yaml");
    std::fs::write(&path, "providers: {openai: {base_url: 'http://localhost:9/v1'}}").unwrap();
    let (tell, mut told) = mpsc::unbounded_channel();
    let inference = Inference::builder()
        .with_file(&path)
        .with_listener(move |outcome| {
            let _ = tell.send(outcome.as_ref().is_ok_and(|reloaded| reloaded.kept == ["openai"]));
        })
        .build()
        .await
        .unwrap();
    let _watch = inference.watch().unwrap();
    let kill = Command::new("kill").args(["-HUP", &std::process::id().to_string()]).status();
    assert!(kill.unwrap().success());
    assert!(timeout(Duration::from_secs(30), told.recv()).await.unwrap().unwrap());
}
