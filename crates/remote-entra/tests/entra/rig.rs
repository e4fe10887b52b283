//! A process as the tests want it: scripted network, a map for an environment, a clock that stands still.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use remote_entra::{EntraConfig, Surroundings};
use remote_testkit::{Playbook, Script, ScriptedTransport};

/// 2026-11-21T12:00:00Z.
pub(crate) const NOW: u64 = 1_795_262_400;

/// The secret of every application here.
pub(crate) const SECRET: &str = "p~ss/w+rd very=secret&1";

/// What is heard of a process.
pub(crate) struct Rig {
    pub(crate) login: Arc<Playbook>,
    pub(crate) local: Arc<Playbook>,
    pub(crate) around: Surroundings,
}

impl Rig {
    pub(crate) fn new(
        login: impl IntoIterator<Item = Script>,
        local: impl IntoIterator<Item = Script>,
        environment: &[(&str, &str)],
    ) -> Self {
        let (login, local) = (ScriptedTransport::new(login), ScriptedTransport::new(local));
        let books = (Arc::clone(login.playbook()), Arc::clone(local.playbook()));
        let around = Surroundings::new(Arc::new(login), Arc::new(local)).with_clock(now);
        Self { login: books.0, local: books.1, around: with(around, environment) }
    }

    /// How many requests went to the login host and to local services.
    pub(crate) fn requests(&self) -> (usize, usize) {
        (self.login.seen().len(), self.local.seen().len())
    }
}

/// `around` with exactly these variables.
pub(crate) fn with(around: Surroundings, environment: &[(&str, &str)]) -> Surroundings {
    let known: Vec<(String, String)> =
        environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    around.with_environment(move |name| {
        known.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    })
}

pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

pub(crate) fn config(json: &str) -> EntraConfig {
    serde_json::from_str(json).unwrap()
}

/// An application with [`SECRET`].
pub(crate) fn application() -> EntraConfig {
    let secret = serde_json::to_string(SECRET).unwrap();
    config(&format!(
        r#"{{"type":"client_secret","tenant":"contoso.com","client_id":"app-1","client_secret":{secret}}}"#
    ))
}

/// The answer in the file `name`.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read(path).unwrap()
}

/// A token of a platform, with these claims.
pub(crate) fn federated(claims: &str) -> String {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#), part(claims), part("a signature of the platform"))
}
