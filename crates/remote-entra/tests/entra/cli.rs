//! The Azure CLI, played by a script.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::rig::{Rig, config};
use remote_core::TransportFault;
use remote_entra::{Cloud, EntraConfig};
use remote_testkit::Script;
use tempfile::TempDir;

/// A program called `az` that notes its arguments, its time zone and whether its input was empty.
fn az(dir: &TempDir, prints: &str) -> PathBuf {
    let path = dir.path().join("az");
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" \"TZ=$TZ\" \"in=$(cat)\" > {}\ncat <<'END'\n{prints}\nEND\n",
        dir.path().join("args").display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn cli(program: &PathBuf) -> EntraConfig {
    let json = serde_json::json!({"type": "azure_cli", "tenant": "contoso.com", "program": program});
    config(&json.to_string())
}

#[tokio::test]
async fn the_cli_is_asked_for_the_scope_and_its_token_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let printed = r#"{
  "accessToken": "from-the-cli",
  "expiresOn": "2026-11-21 14:00:00.000000",
  "expires_on": 1795305600,
  "subscription": "s",
  "tenant": "contoso.com",
  "tokenType": "Bearer"
}"#;
    let rig = Rig::new([], [], &[]);
    let source = cli(&az(&dir, printed)).source_in(Cloud::UsGovernment, &rig.around).unwrap();
    let credential = source.fetch().await.unwrap();
    assert_eq!(credential.secret().unwrap().expose(), "from-the-cli");
    let args = std::fs::read_to_string(dir.path().join("args")).unwrap();
    let expect = "account\nget-access-token\n--output\njson\n--scope\n\
                  https://cognitiveservices.azure.us/.default\n--tenant\ncontoso.com\nTZ=UTC0\nin=\n";
    assert_eq!(args, expect);
    assert_eq!(rig.requests(), (0, 0));
}

#[tokio::test]
async fn an_old_cli_tells_the_end_as_a_time_in_the_zone_it_was_given() {
    let rig = Rig::new([], [], &[]);
    for (time, is_good) in [("2026-11-21 12:00:01.000000", true), ("2026-11-21 12:00:00.000000", false)] {
        let dir = tempfile::tempdir().unwrap();
        let program = az(&dir, &format!(r#"{{"accessToken": "secret", "expiresOn": "{time}"}}"#));
        match cli(&program).source_in(Cloud::Public, &rig.around).unwrap().fetch().await {
            Ok(_) => assert!(is_good, "{time}"),
            Err(error) => {
                let text = error.to_string();
                assert!(!is_good && text.contains("expired at 2026-11-21T12:00:00Z"), "{text}");
                assert!(!text.contains("secret"), "{text}");
            }
        }
    }
}

/// Needs that no CLI is found, so it looks for one in a `PATH` of its own: that of a process that runs this test alone.
#[tokio::test]
async fn a_default_that_finds_nothing_names_each_way_and_why_it_was_not_taken() {
    let name = "cli::a_default_that_finds_nothing_names_each_way_and_why_it_was_not_taken";
    if std::env::var_os("PATH").is_some_and(|path| !path.is_empty()) {
        let mut own = tokio::process::Command::new(std::env::current_exe().unwrap());
        let ran = own.args(["--exact", name]).env("PATH", "").output().await.unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(ran.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let rig = Rig::new([], [Script::fault(TransportFault::ConnectTimeout)], &[("AZURE_TENANT_ID", "t")]);
    let source = EntraConfig::default().source_in(Cloud::Public, &rig.around).unwrap();
    let text = source.fetch().await.unwrap_err().to_string();
    for part in [
        "client secret (not set: AZURE_CLIENT_ID, AZURE_CLIENT_SECRET)",
        "workload identity (not set: AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE)",
        "managed identity (managed identity: cannot connect: nothing answers in time (at http://169.254.169.254)",
        "azure cli (azure cli az: not found: install the Azure CLI",
    ] {
        assert!(text.contains(part), "{part} missing in {text}");
    }
    assert!(!text.contains('\n'), "{text}");
    // A machine without an identity, and another cloud's service at the same address.
    for elsewhere in [
        Script::status(400).body(crate::rig::fixture("token_imds_400.json")),
        Script::status(401).body("<html>"),
    ] {
        let rig = Rig::new([], [elsewhere], &[]);
        let source = EntraConfig::default().source_in(Cloud::Public, &rig.around).unwrap();
        let text = source.fetch().await.unwrap_err().to_string();
        assert!(text.contains("azure cli (azure cli az: not found"), "{text}");
    }
}
