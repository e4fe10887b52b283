//! `release plan`: what would go out, in which order, and what is new in it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::counted;
use super::history::{History, Touched};
use super::order::{Order, Place};
use crate::workspace::Workspace;

/// Show the order of publishing, and what changed in each crate since the last tag.
///
/// A crate comes after every crate of ours that it needs, at run time or to be built; what only its tests need has no
/// version and does not count. Crates with `publish = false` are named at the end.
///
/// The last tag is the highest `vX.Y.Z` among the ancestors of what is checked out. Per crate you see how many commits
/// touched its folder since and how many of its files differ, or through which crates alone it changed. Nothing is written.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask release plan\n  cargo xtask release plan --json | jq -r '.publish[].name'\n\n\
                  Exit codes: 0 shown, 1 there is no order or no history, 2 bad command line."
)]
pub(super) struct Args {
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// What became of a crate since the last tag.
#[derive(Debug, PartialEq, Eq)]
enum Change<'a> {
    New,
    Touched(Touched),
    /// Only these crates below it changed.
    Through(Vec<&'a str>),
    None,
}

pub(super) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let order = Order::of(workspace)?;
    let history = History::of(workspace)?;
    let tag = history.last_release()?.map(|(_, tag)| tag);
    let changes = changes(&order, |place| own_change(workspace, &history, tag.as_deref(), place))?;
    if args.json {
        anstream::println!("{}", report(&order, &changes, tag.as_deref()));
    } else {
        anstream::print!("{}", shown(&order, &changes, tag.as_deref()));
    }
    Ok(())
}

/// What became of the crate itself, whatever it needs.
fn own_change<'a>(
    workspace: &Workspace,
    history: &History,
    tag: Option<&str>,
    place: &Place<'_>,
) -> Result<Change<'a>> {
    let Some(tag) = tag else { return Ok(Change::New) };
    let folder = place.package.manifest_path.parent().context("a manifest is in a folder")?;
    let folder = folder.strip_prefix(&workspace.root)?.as_str();
    if !history.had(tag, &format!("{folder}/Cargo.toml"))? {
        return Ok(Change::New);
    }
    let touched = history.touched(tag, folder)?;
    Ok(if touched.files > 0 { Change::Touched(touched) } else { Change::None })
}

/// The change of each crate, in order; `own` tells what became of the crate alone.
fn changes<'a>(order: &Order<'a>, own: impl Fn(&Place<'a>) -> Result<Change<'a>>) -> Result<Vec<Change<'a>>> {
    let mut moved = BTreeSet::new();
    let mut changes = Vec::new();
    for place in &order.crates {
        let below: Vec<&str> = place.needs.iter().copied().filter(|need| moved.contains(need)).collect();
        let change = match own(place)? {
            Change::None if !below.is_empty() => Change::Through(below),
            own => own,
        };
        if change != Change::None {
            moved.insert(place.package.name.as_str());
        }
        changes.push(change);
    }
    Ok(changes)
}

impl Change<'_> {
    fn words(&self) -> String {
        match self {
            Self::New => "new".to_owned(),
            Self::Touched(Touched { commits, files }) => {
                format!("{}, {}", counted(*commits, "commit"), counted(*files, "file"))
            }
            Self::Through(below) => format!("only through {}", below.join(", ")),
            Self::None => "unchanged".to_owned(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::New => json!({ "kind": "new" }),
            Self::Touched(Touched { commits, files }) => {
                json!({ "kind": "changed", "commits": commits, "files": files })
            }
            Self::Through(below) => json!({ "kind": "through", "crates": below }),
            Self::None => json!({ "kind": "none" }),
        }
    }
}

fn shown(order: &Order<'_>, changes: &[Change<'_>], tag: Option<&str>) -> String {
    let since = tag.map_or("no release is tagged, so everything is new".to_owned(), |tag| {
        format!("changes since {tag}")
    });
    let mut text = format!("{} in the order of publishing; {since}:\n", counted(order.crates.len(), "crate"));
    let width = order.crates.iter().map(|place| place.package.name.len()).max().unwrap_or(0);
    for (index, (place, change)) in order.crates.iter().zip(changes).enumerate() {
        let (name, version) = (place.package.name.as_str(), &place.package.version);
        _ = writeln!(text, "  {:>2}  {name:<width$}  {version}  {}", index + 1, change.words());
    }
    if !order.left_out.is_empty() {
        _ = writeln!(text, "not published (`publish = false`): {}", order.left_out.join(", "));
    }
    text
}

fn report(order: &Order<'_>, changes: &[Change<'_>], tag: Option<&str>) -> Value {
    let publish = order.crates.iter().zip(changes).map(|(place, change)| {
        json!({
            "name": place.package.name.as_str(),
            "version": place.package.version.to_string(),
            "manifest": place.package.manifest_path.as_str(),
            "needs": place.needs,
            "change": change.json(),
        })
    });
    json!({ "last_tag": tag, "publish": publish.collect::<Vec<_>>(), "not_published": order.left_out })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_at_the_bottom_reaches_all_above_it_and_no_other() {
        let workspace = Workspace::load().unwrap();
        let order = Order::of(&workspace).unwrap();
        let touched = Touched { commits: 2, files: 1 };
        let own = |place: &Place<'_>| {
            Ok(if place.package.name.as_str() == "wire-messages" {
                Change::Touched(touched)
            } else {
                Change::None
            })
        };
        let changes = changes(&order, own).unwrap();
        let of = |name: &str| {
            let at = order.crates.iter().position(|place| place.package.name.as_str() == name).unwrap();
            changes[at].words()
        };
        assert_eq!(of("infer-core"), "unchanged");
        assert_eq!(of("runtime-openai"), "unchanged");
        assert_eq!(of("wire-messages"), "2 commits, 1 file");
        assert_eq!(of("runtime-anthropic"), "only through wire-messages");
        assert!(of("infer-kit").contains("runtime-anthropic"), "{}", of("infer-kit"));
    }
}
