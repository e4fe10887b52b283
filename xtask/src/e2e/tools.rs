//! The clients and servers that parts need: found, installed or fetched, in the pinned versions.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use super::Ground;
use super::process::Service;
use crate::real::create_venv;

/// The oldest Node that the browser's driver runs on.
const NODE: u32 = 20;
/// What a browser is called, by the systems that have one.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A private Python with the SDKs of requirements.txt.
pub(super) fn python(ground: &Ground) -> Result<PathBuf> {
    let home = ground.home.join("python");
    let interpreter = home.join(if cfg!(windows) { "venv/Scripts/python.exe" } else { "venv/bin/python" });
    let requirements = ground.source("requirements.txt");
    let wanted = read(&requirements)?;
    fetched(&home, &wanted, || {
        create_venv(&home.join("venv"))?;
        let mut pip = Command::new(&interpreter);
        pip.args([
            "-m",
            "pip",
            "install",
            "--no-deps",
            "--no-input",
            "--disable-pip-version-check",
            "--quiet",
        ]);
        pip.args(["--only-binary", ":all:", "--retries", "2", "--progress-bar", "off", "-r"])
            .arg(&requirements);
        succeeds(&mut pip).context("pip cannot install what requirements.txt pins")
    })?;
    Ok(interpreter)
}

/// A folder with the scripts for Node beside the packages of package-lock.json.
pub(super) fn node(ground: &Ground) -> Result<PathBuf> {
    if !is_new_enough() {
        install(&["nodejs", "npm"]);
    }
    ensure!(is_new_enough(), "node {NODE} or newer is missing: install nodejs and npm");
    ensure!(answers("npm", "--version"), "npm is missing: install it with nodejs");
    let home = ground.home.join("node");
    let manifests = ["package.json", "package-lock.json"];
    let wanted = manifests.map(|name| read(&ground.source(name)));
    let [manifest, lock] = wanted;
    let wanted = manifest? + &lock?;
    fetched(&home, &wanted, || {
        for name in manifests {
            fs::copy(ground.source(name), home.join(name))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"])
            .current_dir(&home);
        succeeds(&mut npm).context("npm cannot install what package-lock.json pins")
    })?;
    // Node looks for packages beside the script that asks for them.
    for entry in fs::read_dir(&ground.sources)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "mjs") {
            let name = path.file_name().context("a script without a name")?;
            fs::copy(&path, home.join(name))?;
        }
    }
    Ok(home)
}

/// A browser that runs without a screen.
pub(super) fn chromium() -> Result<PathBuf> {
    let find = || {
        let named = std::env::var_os("CHROMIUM").map(PathBuf::from).filter(|path| path.is_file());
        named.or_else(|| BROWSERS.iter().find_map(|name| found(name)))
    };
    if find().is_none() {
        install(&["chromium", "fonts-dejavu-core"]);
    }
    find().context("chromium is missing: install it, or name a browser by the variable CHROMIUM")
}

/// Whether there is a Redis to start.
pub(super) fn redis_server() -> Result<()> {
    if found("redis-server").is_none() {
        install(&["redis-server"]);
    }
    ensure!(found("redis-server").is_some(), "redis-server is missing: install it");
    Ok(())
}

/// A Redis of its own, which keeps nothing.
pub(super) fn start_redis(folder: &Path) -> Result<Service> {
    // Redis takes no port 0, so one is chosen here and let go of; a moment later it is most likely still free.
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port().to_string();
    let mut command = Command::new("redis-server");
    command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.arg("--dir").arg(folder);
    let url = format!("redis://127.0.0.1:{port}");
    Service::start(command, &folder.join("redis.log"), move |line| {
        line.contains("Ready to accept connections").then(|| url.clone())
    })
}

/// Runs `fetch` in an empty `home`, unless what is there was fetched for the same `wanted`.
fn fetched(home: &Path, wanted: &str, fetch: impl FnOnce() -> Result<()>) -> Result<()> {
    let stamp = home.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if home.exists() {
        fs::remove_dir_all(home).with_context(|| format!("cannot clear {}", home.display()))?;
    }
    fs::create_dir_all(home)?;
    fetch()?;
    Ok(fs::write(stamp, wanted)?)
}

/// Installs packages of the system, where this process may. Whoever asks looks again afterwards.
fn install(packages: &[&str]) {
    let is_root = output("id", &["-u"]).is_some_and(|output| output.stdout.trim_ascii() == b"0");
    if !is_root || found("apt-get").is_none() {
        return;
    }
    anstream::eprintln!("installing {}, which is missing here", packages.join(" "));
    let mut update = Command::new("apt-get");
    update.args(["update", "-qq"]);
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages);
    for command in [&mut update, &mut install] {
        if let Err(error) = succeeds(command.env("DEBIAN_FRONTEND", "noninteractive")) {
            anstream::eprintln!("{error:#}");
        }
    }
}

/// Runs `command`; its words are shown only when it fails.
fn succeeds(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let output =
        command.stdin(Stdio::null()).output().map_err(|e| anyhow!("{program} cannot be started: {e}"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.trim().lines().collect();
        let last = lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join("\n");
        bail!("{program} ended with {}: {last}", output.status);
    }
    Ok(())
}

fn output(program: &str, args: &[&str]) -> Option<Output> {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())
}

fn answers(program: &str, question: &str) -> bool {
    output(program, &[question]).is_some()
}

fn is_new_enough() -> bool {
    output("node", &["--version"])
        .and_then(|output| major(&String::from_utf8_lossy(&output.stdout)))
        .is_some_and(|version| version >= NODE)
}

/// 20 of `v20.11.1`.
fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// A program on the path.
fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_node_is_the_number_before_the_first_dot() {
        assert_eq!(major("v20.11.1\n"), Some(20));
        assert_eq!(major("20.11.1"), None);
        assert_eq!(major("v"), None);
    }

    #[test]
    fn what_is_pinned_otherwise_is_fetched_anew_and_a_failed_fetch_is_not_taken_for_done() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().join("tool");
        let mut fetches = 0;
        let mut fetch = |wanted: &str, works: bool| {
            fetched(&home, wanted, || {
                fetches += 1;
                ensure!(works, "no network");
                Ok(())
            })
            .is_ok()
        };
        assert!(!fetch("a", false));
        assert!(fetch("a", true) && fetch("a", true));
        assert!(fetch("b", true));
        assert_eq!(fetches, 3);
    }
}
