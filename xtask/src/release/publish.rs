//! `release publish`: every crate into the registry, in an order in which each finds what it needs.

use std::fs;

use anyhow::{Context as _, Result, anyhow, ensure};
use cargo_metadata::Package;
use semver::Version;

use super::changelog;
use super::counted;
use super::edits::workspace_version;
use super::history::History;
use super::order::Order;
use super::registry::{Published, Registry};
use super::version::tag;
use crate::steps::Steps;
use crate::workspace::Workspace;

/// Upload the crates of the tagged version, one after another, each after those it needs.
///
/// Asks the registry first which crates it has in this version, and leaves those out: after a failure run the same command
/// again, and it goes on where it stopped. Cargo builds each package as packed, uploads it, and waits until the index has it
/// before the next one. An upload that is refused because the version is there already counts as done.
///
/// Without `--execute` shows the order and what the registry has, and sends nothing. Refuses when something is not
/// committed, CHANGELOG.md has no dated section for the version, or the tag `vX.Y.Z` is missing or names another commit.
///
/// For `--registry`, dependencies must come from that registry too: `registry = "NAME"` beside their version, or cargo's
/// source replacement. Log in with `cargo login`; no key is read or printed here.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask release publish\n  cargo xtask release publish --execute --registry staging\n\n\
                  Exit codes: 0 all is in the registry, or shown what would be done, 1 refused or failed and said why, 2 bad \
                  command line."
)]
pub(super) struct Args {
    /// Upload
    #[arg(long)]
    execute: bool,
    /// The registry, as cargo's settings call it; cargo's default unless given
    #[arg(long, value_name = "NAME")]
    registry: Option<String>,
}

pub(super) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let order = Order::of(workspace)?;
    let version = version(workspace, &order)?;
    let refusal = refusal(workspace, &version);
    if args.execute {
        refusal?;
        return publish(&order, &Registry::of(workspace, args.registry.as_deref()));
    }
    show(&order, &Registry::of(workspace, args.registry.as_deref()));
    refusal.context("this is what would be published, but not now")?;
    anstream::println!("Nothing is sent. With --execute it is.");
    Ok(())
}

/// The one version of all that is published.
fn version(workspace: &Workspace, order: &Order<'_>) -> Result<Version> {
    let manifest =
        fs::read_to_string(workspace.root.join("Cargo.toml")).context("Cargo.toml cannot be read")?;
    let version = workspace_version(&manifest)?;
    for Package { name, version: own, .. } in order.crates.iter().map(|place| place.package) {
        ensure!(
            *own == version,
            "{name} has version {own} and the workspace {version}: write `version.workspace = true`"
        );
    }
    Ok(version)
}

/// # Errors
/// The first reason not to publish what is checked out.
fn refusal(workspace: &Workspace, version: &Version) -> Result<()> {
    let history = History::of(workspace)?;
    history.ensure_committed()?;
    let log = fs::read_to_string(workspace.root.join(changelog::FILE));
    let log = log.with_context(|| format!("{} cannot be read", changelog::FILE))?;
    ensure!(
        changelog::has_section(&log, version),
        "{} has no dated section for {version}: `cargo xtask release bump LEVEL --execute` writes it",
        changelog::FILE
    );
    let tag = tag(version);
    match history.tag_is_head(&tag)? {
        Some(true) => Ok(()),
        Some(false) => {
            Err(anyhow!("the tag {tag} names another commit: check that one out, or take a higher version"))
        }
        None => {
            Err(anyhow!("the tag {tag} is missing: `git tag -a {tag} -m {tag}` on the commit to publish"))
        }
    }
}

/// What would be done; asks the registry, which may be out of reach.
fn show(order: &Order<'_>, registry: &Registry<'_>) {
    anstream::println!("To {}, in this order:", registry.words());
    let mut unknown = None;
    let width = order.crates.iter().map(|place| place.package.name.len()).max().unwrap_or(0);
    for (index, place) in order.crates.iter().enumerate() {
        let Package { name, version, .. } = place.package;
        let there = if unknown.is_none() { registry.has(place.package) } else { Ok(false) };
        let state = match there {
            Ok(true) => "is there already",
            Ok(false) if unknown.is_none() => "to be uploaded",
            Ok(false) => "not asked",
            Err(error) => {
                unknown = Some(error);
                "not known"
            }
        };
        anstream::println!("  {:>2}  {:<width$}  {version}  {state}", index + 1, name.as_str());
    }
    if let Some(error) = unknown {
        anstream::eprintln!("note: {error:#}");
    }
}

fn publish(order: &Order<'_>, registry: &Registry<'_>) -> Result<()> {
    let mut missing = Vec::new();
    for place in &order.crates {
        if !registry.has(place.package)? {
            missing.push(place.package);
        }
    }
    let there = order.crates.len() - missing.len();
    let names: Vec<&str> = missing.iter().map(|package| package.name.as_str()).collect();
    let words = registry.words();
    if names.is_empty() {
        anstream::println!("{words} has all {} already.", counted(there, "crate"));
        return Ok(());
    }
    let (all, names) = (order.crates.len(), names.join(", "));
    anstream::println!(
        "To {words}, which has {there} of {all} crates. To be uploaded, in this order: {names}"
    );
    let mut steps = Steps::default();
    let result = missing.iter().try_for_each(|package| publish_one(&mut steps, registry, package));
    anstream::println!("{}", steps.table());
    result?;
    anstream::println!("{words} has all {} now.", counted(order.crates.len(), "crate"));
    Ok(())
}

fn publish_one(steps: &mut Steps, registry: &Registry<'_>, package: &Package) -> Result<()> {
    let name = package.name.as_str();
    let way_out =
        "What is uploaded stays. Mend the cause and run the same command again: it goes on with this crate.";
    let published = steps.run(name, way_out, || registry.publish(package))?;
    if published == Published::Before {
        anstream::println!("{name} {} was there already.", package.version);
    }
    Ok(())
}
