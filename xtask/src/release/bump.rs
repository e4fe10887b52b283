//! `release bump`: a new version, in every place that names it, as one commit.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use semver::Version;
use xshell::{Shell, cmd};

use super::edits::{Move, workspace_version};
use super::history::History;
use super::order::is_published;
use super::version::{Level, tag};
use super::{changelog, counted};
use crate::scaffold::today;
use crate::steps::is_watched;
use crate::workspace::Workspace;

/// Turn what is unreleased into a version: manifests, Cargo.lock and changelog, in one commit.
///
/// Changes the version of the workspace, what crates of the workspace require of each other, their entries in Cargo.lock,
/// and lines such as `infer-core = "0.1"` in pages and templates. In CHANGELOG.md what stands below `## Unreleased` comes
/// to stand below `## X.Y.Z - YYYY-MM-DD`.
///
/// Without `--execute` prints the difference and writes nothing. With it, commits exactly these files as `release: X.Y.Z`;
/// if that fails, they are as before. Refuses when nothing is unreleased, the version is not above the present one, its tag
/// is there, or something is not committed. The first release of all may be the present version. The tag is a step of its
/// own, or `--tag`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask release bump minor\n  cargo xtask release bump 1.0.0-rc.1 --execute --tag\n\n\
                  Exit codes: 0 committed, or shown what would be, 1 refused or failed and said why, 2 bad command line."
)]
pub(super) struct Args {
    /// major, minor, patch, or the version itself
    #[arg(value_name = "LEVEL")]
    level: Level,
    /// Write the files and commit them
    #[arg(long)]
    execute: bool,
    /// Create the tag after the commit as well
    #[arg(long, requires = "execute")]
    tag: bool,
    /// The day of the release; today in UTC unless given
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    date: Option<String>,
}

/// A change to a file that is there.
#[derive(Debug)]
struct Edit {
    path: String,
    before: String,
    after: String,
}

pub(super) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let history = History::of(workspace)?;
    let old = workspace_version(&read(&workspace.root, "Cargo.toml")?)?;
    let new = args.level.after(&old);
    let is_first = new == old && history.last_release()?.is_none();
    ensure!(new > old || is_first, "{new} is not above {old}, the present version: take a higher one");
    let tag = tag(&new);
    let is_free = history.tag_is_head(&tag)?.is_none();
    ensure!(is_free, "the tag {tag} is there already: take a higher version");
    let date = args.date.clone().unwrap_or_else(today);
    let log = read(&workspace.root, changelog::FILE)?;
    let edits = edits(workspace, &old, &new, &date)?;
    anstream::println!("{old} -> {new}, dated {date}. Changes:");
    for edit in &edits {
        anstream::println!("  {}", edit.path);
    }
    let breaking = changelog::breaking(&log);
    if breaking > 0 && is_compatible(&old, &new) {
        let lines = counted(breaking, "entry").replace("entrys", "entries");
        anstream::eprintln!(
            "note: the changelog has {lines} tagged `breaking`, and cargo takes {new} for compatible with {old}"
        );
    }
    let subject = format!("release: {new}");
    if args.execute {
        history.ensure_committed()?;
        commit(&workspace.root, &history, &edits, &subject)?;
        if args.tag {
            history.tag(&tag)?;
        } else {
            anstream::println!("\nNext:\n  git tag -a {tag} -m {tag}");
        }
        anstream::println!("  cargo xtask release publish");
        return Ok(());
    }
    anstream::println!("\n{}", difference(&edits)?);
    history.ensure_committed().context("this is what would change, but not now")?;
    anstream::println!("Nothing is written. With --execute these files are committed as `{subject}`.");
    Ok(())
}

/// Every file that names the version and changes.
fn edits(workspace: &Workspace, old: &Version, new: &Version, date: &str) -> Result<Vec<Edit>> {
    let members = workspace.members();
    for member in &members {
        let (name, version) = (&member.name, &member.version);
        let in_step = version == old || !is_published(member);
        ensure!(
            in_step,
            "{name} has version {version} and the workspace {old}: write `version.workspace = true`"
        );
    }
    let names: Vec<&str> = members.iter().filter(|m| m.version == *old).map(|m| m.name.as_str()).collect();
    let step = Move { names: &names, old, new };
    let mut edits = Vec::new();
    for path in workspace.files()? {
        let change = |before: &str| -> Result<Option<String>> {
            Ok(match path.as_str() {
                changelog::FILE => Some(changelog::released(before, new, date)?),
                "Cargo.lock" => Some(step.of_lock(before)?),
                "Cargo.toml" => Some(step.of_manifest(before)?),
                _ if members.iter().any(|m| m.manifest_path == workspace.root.join(&path)) => {
                    Some(step.of_manifest(before).with_context(|| path.clone())?)
                }
                _ if is_text(&path) => Some(step.of_text(before)),
                _ => None,
            })
        };
        let Ok(before) = fs::read_to_string(workspace.root.join(&path)) else { continue };
        let Some(after) = change(&before)? else { continue };
        if before != after {
            edits.push(Edit { path, before, after });
        }
    }
    Ok(edits)
}

/// Pages, and the templates that crates are made from.
fn is_text(path: &str) -> bool {
    let is_page = Path::new(path).extension().is_some_and(|extension| extension == "md");
    is_page || path.starts_with("xtask/templates/")
}

/// Writes and commits all, or leaves all as it was.
fn commit(root: &Path, history: &History, edits: &[Edit], subject: &str) -> Result<()> {
    let written = edits.iter().try_for_each(|edit| write(root, &edit.path, &edit.after));
    let files: Vec<&str> = edits.iter().map(|edit| edit.path.as_str()).collect();
    let done = written.and_then(|()| history.commit(&files, subject));
    if let Err(error) = done {
        for edit in edits {
            write(root, &edit.path, &edit.before)?;
        }
        bail!("nothing is committed and all files are as before: {error:#}");
    }
    Ok(())
}

/// The edits as git shows them.
fn difference(edits: &[Edit]) -> Result<String> {
    let folder = tempfile::tempdir()?;
    for edit in edits {
        for (side, text) in [("old", &edit.before), ("new", &edit.after)] {
            let path = folder.path().join(side).join(&edit.path);
            fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
            fs::write(path, text)?;
        }
    }
    let shell = Shell::new()?;
    shell.change_dir(folder.path());
    let colour = if is_watched() { "--color=always" } else { "--color=never" };
    // Ends with 1 where there is a difference.
    let diff = cmd!(shell, "git diff --no-index --no-prefix {colour} old new").quiet().ignore_status().read();
    Ok(diff.context("git shows no difference")?.replace(" old/", " ").replace(" new/", " "))
}

/// Whether cargo takes `new` where `old` is asked for.
fn is_compatible(old: &Version, new: &Version) -> bool {
    semver::VersionReq::parse(&old.to_string()).is_ok_and(|requirement| requirement.matches(new))
}

fn day(text: &str) -> Result<String, String> {
    let is_day = changelog::is_date(text);
    is_day.then(|| text.to_owned()).ok_or_else(|| format!("`{text}` is no day: write it as 2026-11-21"))
}

fn read(root: &Path, file: &str) -> Result<String> {
    let shown = root.display();
    fs::read_to_string(root.join(file)).with_context(|| format!("{file} cannot be read in {shown}"))
}

fn write(root: &Path, file: &str, text: &str) -> Result<()> {
    fs::write(root.join(file), text).with_context(|| format!("{file} cannot be written"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bump_of_this_workspace_touches_versions_and_no_source() {
        let workspace = Workspace::load().unwrap();
        let old = workspace_version(&read(&workspace.root, "Cargo.toml").unwrap()).unwrap();
        let new = Level::Major.after(&old);
        let log = read(&workspace.root, changelog::FILE).unwrap();
        let edits = match (
            edits(&workspace, &old, &new, "2030-01-01"),
            changelog::released(&log, &new, "2030-01-01"),
        ) {
            (Ok(edits), Ok(_)) => edits,
            // Right after a release.
            (Err(error), Err(_)) => {
                return assert!(error.to_string().starts_with("nothing is unreleased"), "{error}");
            }
            (edits, log) => panic!("{edits:?} where the changelog gives {log:?}"),
        };
        let paths: Vec<&str> = edits.iter().map(|edit| edit.path.as_str()).collect();
        for path in ["CHANGELOG.md", "Cargo.lock", "Cargo.toml", "README.md"] {
            assert!(paths.contains(&path), "{path} is missing in {paths:?}");
        }
        assert!(paths.iter().all(|path| !path.contains("/src/")), "{paths:?}");
        for edit in edits.iter().filter(|edit| edit.path != "CHANGELOG.md") {
            assert_eq!(edit.before.lines().count(), edit.after.lines().count(), "{}", edit.path);
        }
    }

    #[test]
    fn compatible_is_what_cargo_takes_for_it() {
        let is = |old: &str, new: &str| is_compatible(&old.parse().unwrap(), &new.parse().unwrap());
        assert!(is("0.1.0", "0.1.1") && is("1.0.0", "1.4.0"));
        assert!(!is("0.1.0", "0.2.0") && !is("1.9.0", "2.0.0"));
    }

    #[test]
    fn a_difference_names_files_by_their_own_paths() {
        let edit = Edit { path: "a/b.toml".to_owned(), before: "x\n".to_owned(), after: "y\n".to_owned() };
        let shown = difference(&[edit]).unwrap();
        let plain = anstream::adapter::strip_str(&shown).to_string();
        for line in ["diff --git a/b.toml a/b.toml", "--- a/b.toml", "+++ a/b.toml", "-x", "+y"] {
            assert!(plain.lines().any(|shown| shown == line), "{line} is missing in {plain}");
        }
    }
}
