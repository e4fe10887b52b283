//! The picture of the crates: the floor each stands on, and which it is built from.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use cargo_metadata::DependencyKind;

use super::layers::{self, Layers};
use super::svg::{Area, Drawing};
use crate::floors::floor_of;
use crate::workspace::Workspace;

const BOX: i32 = 38;
const GAP: i32 = 12;
const STEP: i32 = 84;
const MARGIN: i32 = 24;
/// What stands at the left of each floor.
const LABEL: i32 = 34;
/// The shortest arrow still to be seen.
const HEAD: i32 = 20;

/// The crates and, of each, which others it is built from.
#[derive(Debug)]
pub(super) struct Plan {
    /// The floor of each, 0 at the bottom.
    pub(super) floors: BTreeMap<String, u8>,
    pub(super) uses: BTreeSet<(String, String)>,
}

impl Plan {
    /// What the manifests and the laws say.
    ///
    /// # Errors
    /// When a crate has no law.
    pub(super) fn of(workspace: &Workspace) -> Result<Self> {
        let crates = workspace.crates();
        let floors: BTreeMap<String, u8> =
            crates.iter().map(|p| Ok((p.name.to_string(), floor_of(&p.name)?))).collect::<Result<_>>()?;
        let mut uses = BTreeSet::new();
        for package in crates {
            let shipped = package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development);
            let ours = shipped.filter(|dependency| floors.contains_key(&dependency.name));
            uses.extend(ours.map(|dependency| (package.name.to_string(), dependency.name.clone())));
        }
        Ok(Self { floors, uses })
    }

    /// The row of each crate, 0 at the bottom: a floor has as many as its crates stand on each other.
    fn rows(&self) -> BTreeMap<&str, usize> {
        let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
        let mut base = 0;
        let top = self.floors.values().copied().max().unwrap_or_default();
        for floor in 0..=top {
            let here: Vec<&str> =
                self.floors.iter().filter(|(_, at)| **at == floor).map(|(name, _)| name.as_str()).collect();
            rows.extend(here.iter().map(|name| (*name, base)));
            // Each pass lifts whoever stands on somebody of the same floor, and its family with it; so many are enough.
            for _ in 0..here.len() {
                lift_families(&mut rows, &here);
                for (user, used) in self
                    .uses
                    .iter()
                    .filter(|(user, used)| here.contains(&user.as_str()) && here.contains(&used.as_str()))
                {
                    let below = rows.get(used.as_str()).copied().unwrap_or(base);
                    let row = rows.entry(user).or_insert(base);
                    *row = (*row).max((below + 1).min(base + here.len()));
                }
            }
            base = here.iter().filter_map(|name| rows.get(name)).max().map_or(base, |row| row + 1);
        }
        rows
    }

    /// The arrows without those that follow from others: who builds on the kit builds on what is below it.
    fn arrows(&self) -> Vec<(&str, &str)> {
        let direct = |from: &str| {
            let from = from.to_owned();
            self.uses.iter().filter(move |(user, _)| *user == from).map(|(_, used)| used.as_str())
        };
        let reaches = |from: &str, to: &str| {
            let (mut open, mut seen) = (vec![from.to_owned()], BTreeSet::new());
            while let Some(next) = open.pop() {
                if next == to {
                    return true;
                }
                if seen.insert(next.clone()) {
                    open.extend(direct(&next).map(str::to_owned));
                }
            }
            false
        };
        let follows =
            |user: &str, used: &str| direct(user).any(|between| between != used && reaches(between, used));
        self.uses
            .iter()
            .map(|(user, used)| (user.as_str(), used.as_str()))
            .filter(|(user, used)| !follows(user, used))
            .collect()
    }
}

/// Draws `plan`.
pub(super) fn drawing(plan: &Plan) -> Drawing {
    let rows = plan.rows();
    let arrows = plan.arrows();
    let widths: BTreeMap<&str, i32> = rows.keys().map(|name| (*name, width_of(name))).collect();
    let layers = layers::lay_out(&rows, &widths, &arrows, GAP);
    let count = rows.values().max().map_or(0, |row| row + 1);
    let top = |row: usize| MARGIN + HEAD / 2 + STEP * i32::try_from(count - 1 - row).unwrap_or_default();
    let left = MARGIN + LABEL;
    let width = left + layers.width + MARGIN;
    let height = top(0) + BOX + HEAD / 2 + MARGIN;
    let mut picture = Drawing::new(width, height, "The crates and their floors", description(plan));
    floors(&mut picture, plan, &rows, &top, width);
    let area = |name: &str| {
        let place = layers.places.get(name)?;
        Some(Area::new(left + place, top(*rows.get(name)?), *widths.get(name)?, BOX))
    };
    lines(&mut picture, &layers, &arrows, &area, &|row| top(row) + BOX / 2, left);
    for name in rows.keys() {
        if let Some(area) = area(name) {
            let class = if plan.arrows().iter().any(|(_, used)| used == name) { "box" } else { "end" };
            picture.panel(area, class, name, "");
        }
    }
    picture
}

/// Puts crates of one family, such as `runtime-*`, into the highest row of them.
fn lift_families<'a>(rows: &mut BTreeMap<&'a str, usize>, here: &[&'a str]) {
    let family = |name: &'a str| name.split_once('-').map_or(name, |(family, _)| family);
    let mut highest: BTreeMap<&str, usize> = BTreeMap::new();
    for name in here {
        let row = rows.get(name).copied().unwrap_or_default();
        let most = highest.entry(family(name)).or_default();
        *most = row.max(*most);
    }
    rows.extend(here.iter().filter_map(|name| Some((*name, *highest.get(family(name))?))));
}

/// A ground for each floor, with its number.
fn floors(
    picture: &mut Drawing,
    plan: &Plan,
    rows: &BTreeMap<&str, usize>,
    top: &impl Fn(usize) -> i32,
    width: i32,
) {
    let numbers: BTreeSet<u8> = plan.floors.values().copied().collect();
    for number in numbers {
        let here =
            || rows.iter().filter(|(name, _)| plan.floors.get(**name) == Some(&number)).map(|(_, row)| *row);
        let (Some(lowest), Some(highest)) = (here().min(), here().max()) else { continue };
        let (from, to) = (top(highest) - HEAD / 2, top(lowest) + BOX + HEAD / 2);
        picture.shape(Area::new(12, from, width - 24, to - from), "floor");
        picture.words(MARGIN + 4, i32::midpoint(from, to) + 5, "note", "start", &number.to_string());
    }
}

fn lines<'a>(
    picture: &mut Drawing,
    layers: &Layers<'a>,
    arrows: &[(&'a str, &'a str)],
    area: &impl Fn(&str) -> Option<Area>,
    middle: &impl Fn(usize) -> i32,
    left: i32,
) {
    for (user, used) in arrows {
        let (Some(from), Some(to)) = (area(user), area(used)) else { continue };
        let mut points = vec![(from.middle(), from.bottom())];
        for (row, x) in layers.lanes.get(&(*user, *used)).into_iter().flatten() {
            points.push((left + x, middle(*row) - BOX / 2));
            points.push((left + x, middle(*row) + BOX / 2));
        }
        points.push((to.middle(), to.y));
        picture.curve(&points, "faint");
    }
}

/// Room for a crate's name.
fn width_of(name: &str) -> i32 {
    i32::try_from(name.len()).unwrap_or_default() * 8 + 24
}

fn description(plan: &Plan) -> String {
    let top = plan.floors.values().copied().max().unwrap_or_default();
    let floors = (0..=top).map(|floor| {
        let names: Vec<&str> =
            plan.floors.iter().filter(|(_, at)| **at == floor).map(|(name, _)| name.as_str()).collect();
        format!("Floor {floor}: {}.", names.join(", "))
    });
    let floors: Vec<String> = floors.collect();
    format!(
        "Arrows lead from a crate to those it is built from, without those that follow from others. {}",
        floors.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_has_a_box_of_its_own_with_its_name() {
        let workspace = Workspace::load().unwrap();
        let plan = Plan::of(&workspace).unwrap();
        let picture = drawing(&plan);
        let text = picture.finish();
        for package in workspace.crates() {
            assert!(text.contains(&format!(">{}</text>", package.name)), "{} is missing", package.name);
        }
        let boxes = picture.boxes();
        assert_eq!(boxes.len(), workspace.crates().len());
        for (place, one) in boxes.iter().enumerate() {
            assert!(
                boxes.iter().skip(place + 1).all(|other| !one.meets(*other)),
                "{one:?} lies over another box"
            );
        }
    }

    #[test]
    fn arrows_that_follow_from_others_are_left_out() {
        let uses = [("c", "b"), ("b", "a"), ("c", "a")].map(|(x, y)| (x.to_owned(), y.to_owned()));
        let floors = [("a", 0), ("b", 1), ("c", 2)].map(|(name, floor)| (name.to_owned(), floor)).into();
        let plan = Plan { floors, uses: uses.into() };
        assert_eq!(plan.arrows(), [("b", "a"), ("c", "b")]);
    }

    #[test]
    fn a_crate_stands_above_those_of_its_floor_that_it_is_built_from() {
        let plan = Plan::of(&Workspace::load().unwrap()).unwrap();
        let rows = plan.rows();
        for (user, used) in &plan.uses {
            assert!(rows[user.as_str()] > rows[used.as_str()], "{user} does not stand above {used}");
        }
    }
}
