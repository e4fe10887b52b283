//! Keeps a running gateway in step with its configuration, its keys and its certificate.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use infer_store::KeysConfig;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use crate::config::{GatewayConfig, TlsConfig};
use crate::drain::Phase;
use crate::sections;
use crate::state::State;
use crate::tls::Tls;

/// How long files must be quiet before they are read: a certificate and its key are replaced one after the other.
const QUIET: Duration = Duration::from_millis(500);

/// How long that is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the configuration said of the gateway.
#[derive(Debug)]
pub(crate) struct Followed {
    tls: Option<Tls>,
    said: Mutex<Said>,
}

#[derive(Debug)]
struct Said {
    /// When the listener was started.
    first: Arc<GatewayConfig>,
    /// At last.
    now: Arc<GatewayConfig>,
    /// Of keys, at last.
    keys: Arc<KeysConfig>,
}

/// What became of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Settings that differ from those in force until the gateway is started anew.
    pub(crate) restart: Vec<&'static str>,
    /// What could not be put in force; what was stays.
    pub(crate) faults: Vec<String>,
}

impl Followed {
    pub(crate) fn new(said: Arc<GatewayConfig>, keys: Arc<KeysConfig>, tls: Option<Tls>) -> Self {
        Self { tls, said: Mutex::new(Said { first: Arc::clone(&said), now: said, keys }) }
    }
}

/// Puts in force what the configuration says of the gateway and of keys now.
pub(crate) async fn apply(state: &State) -> Applied {
    let (settings, keys) = sections::settings(&state.inference.config());
    // Held to the end, so that of two the later one stands.
    let mut said = state.followed.said.lock().await;
    let mut applied = Applied { restart: needs_restart(&said.first, &settings), faults: Vec::new() };
    if *said.now != *settings {
        state.replace(in_force(&state.config(), &settings));
        if !applied.restart.is_empty() {
            let names = applied.restart.join(", ");
            tracing::warn!(settings = names, "these settings change when the gateway is started anew");
        }
        said.now = Arc::clone(&settings);
    }
    // A program may have given keys of its own, which the configuration knows nothing of.
    if *said.keys != *keys {
        match state.keys().replace(&keys) {
            Ok(()) => said.keys = keys,
            Err(error) => applied.faults.push(error.to_string()),
        }
    }
    if let (Some(tls), Some(files)) = (&state.followed.tls, &settings.tls)
        && let Err(error) = tls.replace(files)
    {
        applied.faults.push(error);
    }
    applied.faults.extend(follow_keys(state).await.err());
    for fault in &applied.faults {
        tracing::error!(fault, "not put in force: what was before stays");
    }
    applied
}

/// Puts the budgets of the keys in force, and forgets the limits of keys that are gone.
///
/// # Errors
/// Why the budgets cannot be put in force; those before stay.
pub(crate) async fn follow_keys(state: &State) -> Result<(), String> {
    let keys = state.keys().list();
    let names: HashSet<&str> =
        keys.iter().filter(|key| key.revoked.is_none()).map(|key| &*key.name).collect();
    state.admission().forget(|name| names.contains(name));
    state.inference.set_key_rules(state.keys().budget_rules()).await.map_err(|error| error.to_string())
}

/// Settings that a listener is made from.
fn needs_restart(before: &GatewayConfig, after: &GatewayConfig) -> Vec<&'static str> {
    let differs = [
        ("gateway.listen", before.listen != after.listen),
        ("gateway.insecure", before.insecure != after.insecure),
        ("gateway.tls", before.tls.is_some() != after.tls.is_some()),
        ("gateway.head_timeout", before.head_timeout != after.head_timeout),
        ("gateway.write_timeout", before.write_timeout != after.write_timeout),
        (
            "gateway.admission.max_connections",
            before.admission.max_connections != after.admission.max_connections,
        ),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

/// What is said now, with what a listener keeps as long as it runs.
fn in_force(running: &GatewayConfig, said: &GatewayConfig) -> GatewayConfig {
    let mut config = said.clone();
    config.listen = running.listen;
    config.insecure = running.insecure;
    (config.head_timeout, config.write_timeout) = (running.head_timeout, running.write_timeout);
    config.admission.max_connections = running.admission.max_connections;
    if config.tls.is_some() != running.tls.is_some() {
        config.tls.clone_from(&running.tls);
    }
    config
}

/// Follows every change until the gateway stops.
pub(crate) async fn follow(state: Arc<State>) {
    let mut reloads = state.inference.reloads();
    let mut keys = state.keys().version();
    let mut files = Files::of(state.followed.tls.as_ref());
    // Whatever changed between the binding and now.
    apply(&state).await;
    loop {
        tokio::select! {
            () = state.drain.reached(Phase::Draining) => return,
            changed = reloads.changed() => {
                if changed.is_err() {
                    return;
                }
                apply(&state).await;
                files.watch(state.followed.tls.as_ref());
            }
            changed = keys.changed() => {
                if changed.is_err() {
                    return;
                }
                if let Err(fault) = follow_keys(&state).await {
                    tracing::error!(fault, "budgets of keys not put in force: those before stay");
                }
            }
            () = files.changed() => {
                if let Some(tls) = &state.followed.tls {
                    match tls.reload() {
                        Ok(true) => tracing::info!("certificate read again"),
                        Ok(false) => {}
                        Err(fault) => tracing::error!(fault, "certificate not read: the one before stays"),
                    }
                }
            }
        }
    }
}

/// The files of HTTPS, by the directories they are in, since tools replace files instead of writing them.
struct Files {
    watcher: Option<RecommendedWatcher>,
    directories: BTreeSet<PathBuf>,
    changes: mpsc::Receiver<()>,
}

impl Files {
    fn of(tls: Option<&Tls>) -> Self {
        // One place is enough: what counts is that something happened.
        let (tell, changes) = mpsc::channel(1);
        let watcher = tls.and_then(|_| {
            let heard = move |event: notify::Result<notify::Event>| {
                if event.map_or(true, |event| !matches!(event.kind, EventKind::Access(_))) {
                    _ = tell.try_send(());
                }
            };
            let watcher = notify::recommended_watcher(heard);
            watcher
                .inspect_err(|error| tracing::warn!(%error, "certificate not watched: changes need a reload"))
                .ok()
        });
        let mut files = Self { watcher, directories: BTreeSet::new(), changes };
        files.watch(tls);
        files
    }

    /// Watches where the files are now.
    fn watch(&mut self, tls: Option<&Tls>) {
        let (Some(watcher), Some(tls)) = (&mut self.watcher, tls) else { return };
        let wanted = directories(&tls.files());
        for idle in self.directories.difference(&wanted) {
            // One that is gone is not watched any more either.
            _ = watcher.unwatch(idle);
        }
        for directory in wanted.difference(&self.directories) {
            if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                let path = directory.display();
                tracing::warn!(%path, %error, "certificate not watched: changes need a reload");
            }
        }
        self.directories = wanted;
    }

    /// Until something changed and it is quiet again.
    async fn changed(&mut self) {
        if self.watcher.is_none() || self.changes.recv().await.is_none() {
            return std::future::pending().await;
        }
        let quiet = async { while let Ok(Some(())) = timeout(QUIET, self.changes.recv()).await {} };
        _ = timeout(PATIENCE, quiet).await;
    }
}

/// The directories of the files, and of those that links lead to.
fn directories(files: &TlsConfig) -> BTreeSet<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let paths = [Some(&files.cert), Some(&files.key), files.client_ca.as_ref()];
    let paths = paths.into_iter().flatten();
    paths
        .flat_map(|path| [Some(parent(path)), path.canonicalize().ok().map(|real| parent(&real))])
        .flatten()
        .collect()
}
