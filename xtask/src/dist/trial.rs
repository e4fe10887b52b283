//! What was packed is unpacked again, and the binary in it is run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::GzDecoder;

use super::release::Release;
use crate::completions::said;

/// Runs the binary out of the archive and out of the package, and checks the settings the package brings.
pub(super) fn run(release: &Release, archive: Option<&Path>, package: Option<&Path>) -> Result<()> {
    let home = tempfile::tempdir()?;
    if let Some(archive) = archive {
        let bytes = fs::read(archive)?;
        tar::Archive::new(GzDecoder::new(bytes.as_slice())).unpack(home.path().join("archive"))?;
        let program = home.path().join("archive").join(release.name()).join(release.binary_name());
        answers(&program, &release.version)?;
    }
    let Some(package) = package else { return Ok(()) };
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        anstream::eprintln!("note: dpkg-deb is not installed, so the package was not unpacked");
        return Ok(());
    }
    for question in ["--info", "--contents"] {
        let package = package.to_str().context("the package's path is not UTF-8")?;
        let answer = said(Path::new("dpkg-deb"), &[question, package])?;
        anstream::eprintln!("$ dpkg-deb {question} {package}\n{}", String::from_utf8_lossy(&answer));
    }
    let root = home.path().join("root");
    let unpacked = Command::new("dpkg-deb").arg("-x").arg(package).arg(&root).status()?;
    ensure!(unpacked.success(), "dpkg-deb -x ended with {unpacked}");
    let program: PathBuf = root.join("usr/bin/infer");
    answers(&program, &release.version)?;
    let settings = root.join("etc/infer/llm.yaml");
    let settings = settings.to_str().context("the folder for temporary files has no name in UTF-8")?;
    said(&program, &["config", "check", settings])
        .context("the settings the package brings are not in order")?;
    Ok(())
}

fn answers(program: &Path, version: &str) -> Result<()> {
    let answer = said(program, &["--version"])?;
    let answer = String::from_utf8_lossy(&answer);
    if answer.trim() != format!("infer {version}") {
        bail!("{} --version says {:?}, and not infer {version}", program.display(), answer.trim());
    }
    anstream::eprintln!("{} says: {}", program.display(), answer.trim());
    Ok(())
}
