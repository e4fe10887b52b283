//! `cargo xtask dist`: what people download, byte for byte the same from the same commit.
//!
//! [`linked`] says what is in the binary, [`sbom`] and [`notices`] write that down, [`release`] says which file goes
//! where, [`archive`] and [`deb`] pack it, [`checksums`] closes the folder.

mod archive;
mod checksums;
mod deb;
mod libraries;
mod linked;
mod notices;
mod release;
mod sbom;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use xshell::cmd;

use self::deb::Debian;
use self::linked::Linked;
use self::release::Release;
use crate::completions::{self, Texts, said};
use crate::steps::Steps;
use crate::workspace::{Workspace, cargo};

/// The features of the binary, those of deploy/container/Containerfile. Redis is in without one.
const FEATURES: &str = "otel";

/// Build what is released: archives, a Debian package, a bill of materials, checksums.
///
/// Builds `infer` as the release profile has it and writes, for one target: a tar.gz with the binary,
/// licences, the notices of all crates in it, manual pages and completions; a .deb where the target is
/// GNU/Linux; a CycloneDX bill of exactly the crates that are linked; SHA256SUMS over all that lies in the
/// folder, which `sha256sum -c` verifies. Then the binaries are unpacked again and asked for their version.
///
/// Two runs on one commit write the same bytes: times are that of SOURCE_DATE_EPOCH, or of the commit.
/// Nothing is published; `cargo xtask release publish` does that.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask dist\n  cargo xtask dist --target x86_64-unknown-linux-musl --out /tmp/out\n\n\
                  Exit codes: 0 written and tried, 1 something failed and was named, 2 bad command line."
)]
pub(crate) struct Args {
    /// Where to put the files; target/dist if nothing is said
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What to build for, as rustc names it; this machine if nothing is said
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let workspace = Workspace::load()?;
    let result = Steps::shown(|steps| write(&workspace, steps, args));
    if let Ok(files) = &result {
        for file in files {
            anstream::println!("{}", file.display());
        }
    }
    result.map(|_| ())
}

/// Does all of it; says which files it has written.
fn write(workspace: &Workspace, steps: &mut Steps, args: &Args) -> Result<Vec<PathBuf>> {
    let out = args.out.clone().unwrap_or_else(|| workspace.target().join("dist"));
    let compiler = Compiler::of(workspace)?;
    let target = args.target.as_deref().unwrap_or(&compiler.host).to_owned();
    let shown = out.display();
    anstream::eprintln!(
        "Builds infer for {target}, and writes archive, package, bill and checksums to {shown}.\n"
    );

    let binary = steps.run("build infer", "Repeat the `cargo build` line above.", || {
        build(workspace, args.target.as_deref())
    })?;
    // One for another machine may, as a static one does; then it need not be asked in its place.
    let runs_here = said(&binary, &["--version"]).is_ok();
    let texts = steps.run("completions and manual", "See `cargo xtask completions`.", || {
        // A binary for another machine does not run here; its pages are those of any other.
        let asked = if runs_here {
            binary.clone()
        } else {
            completions::build(workspace, &["--features", FEATURES])?
        };
        Texts::of(&asked)
    })?;
    let linked = steps.run("what is linked", "Repeat with `cargo tree -p infer-cmd`.", || {
        Linked::of(workspace, &target, FEATURES)
    })?;
    let release = steps.run("collect", "See what is missing at the path named.", || {
        let bytes = fs::read(&binary).with_context(|| format!("cannot read {}", binary.display()))?;
        Release::collect(workspace, target, compiler.version, bytes, texts, linked)
    })?;
    fs::create_dir_all(&out).with_context(|| format!("cannot make {shown}"))?;
    let mut written = vec![
        steps.run("archive", "See what is in the way at the path named.", || {
            put(&out, &release.archive_name(), &release.archive()?)
        })?,
        steps.run("bill of materials", "See what is in the way at the path named.", || {
            put(&out, &release.sbom_name(), release.sbom()?.as_bytes())
        })?,
    ];
    let mut package = None;
    match Debian::of(&release) {
        Ok(debian) => {
            let path = steps.run("debian package", "See deploy/debian for what it is made from.", || {
                put(&out, &debian.file_name(), &debian.package()?)
            })?;
            written.push(path.clone());
            package = Some(path);
        }
        Err(why) => steps.skip("debian package", &why),
    }
    written.push(steps.run("checksums", "Remove what does not belong into the folder.", || {
        put(&out, checksums::NAME, checksums::of(&out)?.as_bytes())
    })?);
    if runs_here {
        steps.run("try", "Unpack it by hand and look; it is left where it is.", || {
            trial::run(&release, written.first().map(PathBuf::as_path), package.as_deref())
        })?;
    } else {
        steps.skip("try", "a binary for another machine does not run here");
    }
    Ok(written)
}

/// The release build; the path of the binary.
fn build(workspace: &Workspace, target: Option<&str>) -> Result<PathBuf> {
    let shell = workspace.shell()?;
    let command =
        cargo(&shell).args(["build", "--release", "--locked", "-p", "infer-cmd", "--features", FEATURES]);
    let mut folder = workspace.target().to_path_buf();
    match target {
        Some(target) => {
            command.args(["--target", target]).run()?;
            folder.push(target);
        }
        None => command.run()?,
    }
    let is_windows = target.map_or(cfg!(windows), |target| target.contains("windows"));
    let program = folder.join("release").join(if is_windows { "infer.exe" } else { "infer" });
    ensure!(program.is_file(), "infer-cmd was built, but {} is not there", program.display());
    Ok(program)
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// The compiler the release is built with.
#[derive(Debug)]
struct Compiler {
    version: String,
    host: String,
}

impl Compiler {
    fn of(workspace: &Workspace) -> Result<Self> {
        let shell = workspace.shell()?;
        Self::parse(&cmd!(shell, "rustc -vV").quiet().read()?)
    }

    fn parse(said: &str) -> Result<Self> {
        let value = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let (Some(version), Some(host)) = (value("release"), value("host")) else {
            bail!("`rustc -vV` names no release or no host: {said:?}");
        };
        Ok(Self { version: version.to_owned(), host: host.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_built_with_the_features_of_the_release() {
        let workspace = Workspace::load().unwrap();
        let file = fs::read_to_string(workspace.root.join("deploy/container/Containerfile")).unwrap();
        assert!(file.contains(&format!("-p infer-cmd --features {FEATURES} ")), "{file}");
    }

    #[test]
    fn host_and_version_are_read_from_what_the_compiler_says() {
        let said = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\n";
        let compiler = Compiler::parse(said).unwrap();
        assert_eq!(
            (compiler.version.as_str(), compiler.host.as_str()),
            ("1.95.0", "x86_64-unknown-linux-gnu")
        );
        assert!(Compiler::parse("rustc 1.95.0\n").is_err());
    }
}
