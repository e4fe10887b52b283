//! What a new provider changes in a workspace: known in full before anything is written, and taken back on failure.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::files::{NewFile, Speaks};
use super::manifest;
use super::names::Name;

/// Everything that will be written.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) root: PathBuf,
    pub(crate) name: Name,
    /// The new crates, those that are used first.
    pub(crate) crates: Vec<String>,
    pub(crate) new: Vec<NewFile>,
    pub(crate) edits: Vec<Edit>,
}

/// A change to a file that is there.
#[derive(Debug)]
pub(crate) struct Edit {
    pub(crate) path: &'static str,
    before: String,
    after: String,
}

impl Plan {
    /// What `name` means for the workspace at `root`. Writes nothing.
    ///
    /// # Errors
    /// When the name is taken, or when a file to change is not as it should be.
    pub(crate) fn of(root: &Path, name: &Name, speaks: Speaks, today: &str) -> Result<Self> {
        if let Some(word) = speaks.taken_word(name) {
            let why = format!("its code would define `{word}`, which it also uses for something else");
            return Err(anyhow!("the name {name} cannot be used: {why}: take another, such as {name}-cloud"));
        }
        let crates = speaks.crates(name);
        for krate in &crates {
            let taken = root.join("crates").join(krate).exists();
            ensure!(!taken, "crates/{krate} is there already: take another name, or remove it first");
        }
        let edit = |path: &'static str, change: &dyn Fn(&str, &str) -> Result<String>| {
            let before = fs::read_to_string(root.join(path));
            let before = before.with_context(|| format!("{path} cannot be read in {}", root.display()))?;
            let after = crates.iter().try_fold(before.clone(), |text, krate| change(&text, krate))?;
            Ok::<_, anyhow::Error>(Edit { path, before, after })
        };
        let edits = vec![
            edit("Cargo.toml", &manifest::with_crate)?,
            edit("README.md", &|text, krate| manifest::with_row(text, krate, &about(krate, name, speaks)))?,
            edit("CHANGELOG.md", &|text, krate| {
                manifest::with_entry(text, &format!("added: {krate}: {}.", about(krate, name, speaks)))
            })?,
        ];
        let new = speaks.files(name, today);
        Ok(Self { root: root.to_owned(), name: name.clone(), crates, new, edits })
    }

    /// Writes everything, or takes back what it wrote.
    ///
    /// # Errors
    /// What could not be written; and if something could not be taken back, what is left.
    pub(crate) fn write(&self) -> Result<()> {
        let mut done = Done { root: &self.root, folders: Vec::new(), edits: Vec::new() };
        let written = self.write_into(&mut done);
        written.map_err(|error| match done.take_back() {
            Ok(()) => error.context("nothing is left of it"),
            Err(left) => error.context(format!("not taken back, mend by hand: {left}")),
        })
    }

    fn write_into<'a>(&'a self, done: &mut Done<'a>) -> Result<()> {
        for krate in &self.crates {
            let folder = self.root.join("crates").join(krate);
            // Fails when it is there by now, so nothing of anybody else's is taken back.
            fs::create_dir(&folder).with_context(|| format!("crates/{krate} cannot be made"))?;
            done.folders.push(folder);
        }
        for file in &self.new {
            let path = self.root.join(&file.path);
            let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
            let written = folder.and_then(|()| fs::write(&path, &file.text));
            written.with_context(|| format!("{} cannot be written", file.path))?;
        }
        for edit in &self.edits {
            done.edits.push(edit); // a write that breaks off half way is undone too
            let written = fs::write(self.root.join(edit.path), &edit.after);
            written.with_context(|| format!("{} cannot be written", edit.path))?;
        }
        Ok(())
    }
}

/// The crate's line in tables and in the changelog.
fn about(krate: &str, name: &Name, speaks: Speaks) -> String {
    let vendor = name.pascal();
    match speaks {
        _ if krate.starts_with("wire-") => format!("{vendor}'s wire format as bytes, client side; no I/O"),
        Speaks::Chat => format!("{vendor}, which speaks Chat Completions"),
        Speaks::Own => format!("{vendor}, on its own wire format"),
    }
}

/// What has been written so far.
struct Done<'a> {
    root: &'a Path,
    folders: Vec<PathBuf>,
    edits: Vec<&'a Edit>,
}

impl Done<'_> {
    /// Takes it back. The error lists what could not be.
    fn take_back(&self) -> Result<(), String> {
        let mut left = Vec::new();
        for edit in &self.edits {
            if fs::write(self.root.join(edit.path), &edit.before).is_err() {
                left.push(edit.path.to_owned());
            }
        }
        for folder in &self.folders {
            if fs::remove_dir_all(folder).is_err() {
                left.push(folder.display().to_string());
            }
        }
        if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const MANIFEST: &str = "[workspace.package]\nversion = \"0.1.0\"\n\n[workspace.dependencies]\n# ours\nbytes = \"1\" # shared\n";

    /// A workspace with just the files that are changed.
    fn workspace() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("Cargo.toml", MANIFEST),
            ("README.md", "| crate | what |\n|---|---|\n| `infer-core` | the trait |\n"),
            ("CHANGELOG.md", "## Unreleased\n\n- a\n"),
        ] {
            fs::write(root.path().join(path), text).unwrap();
        }
        fs::create_dir(root.path().join("crates")).unwrap();
        root
    }

    fn plan(root: &Path, name: &str, speaks: Speaks) -> Result<Plan> {
        Plan::of(root, &name.parse().unwrap(), speaks, "2026-11-21")
    }

    fn contents(root: &Path) -> BTreeMap<PathBuf, Option<String>> {
        let mut found = BTreeMap::new();
        let mut open = vec![root.to_owned()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path.clone());
                }
                found.insert(path.clone(), fs::read_to_string(path).ok());
            }
        }
        found
    }

    #[test]
    fn a_plan_writes_nothing_and_its_write_writes_all_of_it() {
        let root = workspace();
        let before = contents(root.path());
        let plan = plan(root.path(), "my-cloud", Speaks::Own).unwrap();
        assert_eq!(contents(root.path()), before);
        plan.write().unwrap();
        let after = contents(root.path());
        for file in &plan.new {
            assert_eq!(after[&root.path().join(&file.path)].as_ref(), Some(&file.text), "{}", file.path);
        }
        for (path, text) in [
            ("README.md", "| `runtime-my-cloud` | MyCloud, on its own wire format |\n"),
            (
                "CHANGELOG.md",
                "- added: wire-my-cloud: MyCloud's wire format as bytes, client side; no I/O.\n",
            ),
            ("Cargo.toml", "bytes = \"1\" # shared\nwire-my-cloud = "),
        ] {
            assert!(after[&root.path().join(path)].as_ref().unwrap().contains(text), "{path}");
        }
        let files = after.values().flatten().count();
        assert_eq!(files, plan.new.len() + 3, "nothing else is written");
    }

    #[test]
    fn a_crate_that_is_there_is_not_touched() {
        for (speaks, taken) in [(Speaks::Chat, "runtime-x"), (Speaks::Own, "wire-x")] {
            let root = workspace();
            fs::create_dir(root.path().join("crates").join(taken)).unwrap();
            let before = contents(root.path());
            let error = plan(root.path(), "x", speaks).unwrap_err().to_string();
            assert!(
                error.contains(&format!("crates/{taken} is there already: take another name")),
                "{error}"
            );
            assert_eq!(contents(root.path()), before);
        }
    }

    #[test]
    fn a_name_that_the_code_needs_is_refused_with_the_word() {
        let root = workspace();
        let error = plan(root.path(), "site", Speaks::Chat).unwrap_err().to_string();
        assert!(error.contains("the name site cannot be used") && error.contains("`Site`"), "{error}");
    }

    #[test]
    fn a_failure_half_way_leaves_nothing_behind() {
        // A folder in the place of a file fails for every user, root included.
        for broken in ["CHANGELOG.md", "README.md"] {
            let root = workspace();
            let plan = plan(root.path(), "x", Speaks::Own).unwrap();
            fs::remove_file(root.path().join(broken)).unwrap();
            fs::create_dir(root.path().join(broken)).unwrap();
            let before = contents(root.path());
            let error = format!("{:#}", plan.write().unwrap_err());
            assert!(error.contains(broken), "{error}");
            let mut after = contents(root.path());
            assert_eq!(after.remove(&root.path().join(broken)), Some(None));
            let mut expect = before;
            expect.remove(&root.path().join(broken));
            assert_eq!(after, expect);
        }
    }

    #[test]
    fn a_crate_that_appears_meanwhile_is_not_taken_back() {
        let root = workspace();
        let plan = plan(root.path(), "x", Speaks::Own).unwrap();
        let theirs = root.path().join("crates/runtime-x");
        fs::create_dir(&theirs).unwrap();
        fs::write(theirs.join("work.rs"), "mine").unwrap();
        let before = contents(root.path());
        let error = format!("{:#}", plan.write().unwrap_err());
        assert!(error.contains("nothing is left of it") && error.contains("crates/runtime-x"), "{error}");
        assert_eq!(contents(root.path()), before);
    }

    #[test]
    fn a_folder_that_is_no_workspace_is_named() {
        let root = tempfile::tempdir().unwrap();
        let error = format!("{:#}", plan(root.path(), "x", Speaks::Chat).unwrap_err());
        assert!(error.contains("Cargo.toml cannot be read in "), "{error}");
    }
}
