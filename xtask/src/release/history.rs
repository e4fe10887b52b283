//! What git knows: the last release, what changed since, and whether all is committed.

use anyhow::{Context as _, Result, ensure};
use semver::Version;
use xshell::{Shell, cmd};

use super::version;
use crate::workspace::Workspace;

/// The history below the workspace's root, as of `HEAD`.
#[derive(Debug)]
pub(super) struct History {
    shell: Shell,
}

/// What touched a folder since a tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) commits: usize,
    /// Files that differ now; those changed back do not count.
    pub(super) files: usize,
}

impl History {
    /// # Errors
    /// When the workspace is in no git checkout, or nothing is committed.
    pub(super) fn of(workspace: &Workspace) -> Result<Self> {
        let history = Self { shell: workspace.shell()? };
        let found = history.is_known("HEAD")?;
        ensure!(found, "{} has no git history: a release is a tagged commit", workspace.root.display());
        Ok(history)
    }

    /// The highest version tagged on the way to `HEAD`, and its tag.
    pub(super) fn last_release(&self) -> Result<Option<(Version, String)>> {
        let tags = cmd!(self.shell, "git tag --merged HEAD").quiet().read().context("git lists no tags")?;
        Ok(tags.lines().filter_map(|tag| Some((version::of_tag(tag)?, tag.to_owned()))).max())
    }

    /// Whether `tag` is there, and if so whether it names the commit that is checked out.
    pub(super) fn tag_is_head(&self, tag: &str) -> Result<Option<bool>> {
        let tagged = format!("refs/tags/{tag}^{{commit}}");
        if !self.is_known(&tagged)? {
            return Ok(None);
        }
        let commits = cmd!(self.shell, "git rev-parse {tagged} HEAD").quiet().read()?;
        let mut commits = commits.lines();
        Ok(Some(commits.next() == commits.next()))
    }

    /// # Errors
    /// When something is changed and not committed; names the first such file.
    pub(super) fn ensure_committed(&self) -> Result<()> {
        let status =
            cmd!(self.shell, "git status --porcelain -- .").quiet().read().context("git has no status")?;
        let first = status.lines().next().unwrap_or_default().trim();
        let count = status.lines().count();
        let files = super::counted(count, "file");
        ensure!(
            status.is_empty(),
            "the tree is dirty, {files} (`{first}`): commit or remove what is not committed"
        );
        Ok(())
    }

    /// What touched `folder` after `tag`.
    pub(super) fn touched(&self, tag: &str, folder: &str) -> Result<Touched> {
        let range = format!("{tag}..HEAD");
        let commits = cmd!(self.shell, "git rev-list --count {range} -- {folder}").quiet().read();
        let commits = commits?.trim().parse().context("git counts no commits")?;
        let files = cmd!(self.shell, "git diff --name-only {range} -- {folder}").quiet().read()?;
        Ok(Touched { commits, files: files.lines().count() })
    }

    /// Whether `file` was part of the commit that `tag` names.
    pub(super) fn had(&self, tag: &str, file: &str) -> Result<bool> {
        self.is_known(&format!("{tag}:./{file}"))
    }

    /// Commits these files and nothing else.
    pub(super) fn commit(&self, files: &[&str], subject: &str) -> Result<()> {
        cmd!(self.shell, "git commit --quiet -m {subject} -- {files...}").run()?;
        Ok(())
    }

    /// Tags `HEAD`, with a note.
    pub(super) fn tag(&self, tag: &str) -> Result<()> {
        cmd!(self.shell, "git tag -a {tag} -m {tag}").run()?;
        Ok(())
    }

    /// Whether git can resolve `object`.
    fn is_known(&self, object: &str) -> Result<bool> {
        let asked = cmd!(self.shell, "git rev-parse --quiet --verify {object}").quiet().ignore_status();
        let answer = asked.output().context("git cannot be started: install it")?;
        Ok(answer.status.success())
    }
}
