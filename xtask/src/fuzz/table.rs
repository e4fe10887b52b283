//! The rows of `fuzz/targets.tsv`.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// One thing to fuzz.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The name of its law, its program and its corpus.
    pub(super) name: String,
    /// The longest input that is tried.
    pub(super) max_bytes: u32,
    /// Folders, from the root, whose files are inputs to begin with.
    pub(super) fixtures: Vec<String>,
    /// What must hold, in words.
    pub(super) law: String,
}

/// The targets in the order of the file, or the one that is `wanted`.
///
/// # Errors
/// When the table cannot be read, or there is no such target.
pub(super) fn read(root: &Path, wanted: Option<&str>) -> Result<Vec<Target>> {
    let file = root.join("fuzz/targets.tsv");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    chosen(parse(&text)?, wanted)
}

fn chosen(mut targets: Vec<Target>, wanted: Option<&str>) -> Result<Vec<Target>> {
    let Some(wanted) = wanted else { return Ok(targets) };
    let names: Vec<_> = targets.iter().map(|target| target.name.clone()).collect();
    targets.retain(|target| target.name == wanted);
    if targets.is_empty() {
        bail!("there is no target {wanted}: it is one of {}", names.join(", "));
    }
    Ok(targets)
}

fn parse(text: &str) -> Result<Vec<Target>> {
    let rows = text.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
    rows.map(|(index, line)| row(line).with_context(|| format!("fuzz/targets.tsv:{}: {line:?}", index + 1)))
        .collect()
}

fn row(line: &str) -> Result<Target> {
    let cells: Vec<_> = line.split('\t').collect();
    let [name, max_bytes, fixtures, law] = cells.as_slice() else {
        bail!("has {} cells and not the four that the first lines name", cells.len());
    };
    Ok(Target {
        name: (*name).to_owned(),
        max_bytes: max_bytes.parse().with_context(|| format!("{max_bytes:?} is no number of bytes"))?,
        fixtures: fixtures.split_whitespace().map(str::to_owned).collect(),
        law: (*law).to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "# words\na\t16\tx/y z\tholds\nb\t8\t\tholds too\n";

    #[test]
    fn a_row_is_a_name_a_length_folders_and_a_law() {
        let targets = parse(TABLE).unwrap();
        assert_eq!(targets.len(), 2);
        assert_eq!(
            (targets[0].max_bytes, targets[0].fixtures.as_slice()),
            (16, &["x/y".into(), "z".into()][..])
        );
        assert_eq!((targets[1].name.as_str(), targets[1].fixtures.len()), ("b", 0));
    }

    #[test]
    fn a_broken_row_is_named_by_its_line() {
        for (text, line) in [("a\t16\tx\n", 1), ("# words\na\tlong\t\tlaw\n", 2)] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(&format!("fuzz/targets.tsv:{line}: ")), "{error}");
        }
    }

    #[test]
    fn a_target_that_is_not_there_is_refused_with_those_that_are() {
        assert_eq!(chosen(parse(TABLE).unwrap(), Some("b")).unwrap()[0].name, "b");
        let error = chosen(parse(TABLE).unwrap(), Some("c")).unwrap_err().to_string();
        assert_eq!(error, "there is no target c: it is one of a, b");
    }
}
