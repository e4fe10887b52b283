//! One run of libFuzzer: its arguments, its words as they come, and what it leaves behind.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::table::Target;
use crate::workspace::Workspace;

/// What an input may take before it counts as found, and how often libFuzzer is asked how it goes.
const LIMITS: [&str; 3] = ["-timeout=5", "-rss_limit_mb=1024", "-print_final_stats=1"];
/// A C library may ask for more than an input ever should; this is per allocation.
const LARGEST_ALLOCATION: &str = "-malloc_limit_mb=256";

/// Where inputs are kept and programs are built.
#[derive(Debug)]
pub(super) struct Ground {
    root: PathBuf,
    build: PathBuf,
    cargo: PathBuf,
}

/// One target that was run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) target: String,
    pub(super) seconds: u32,
    pub(super) stats: Stats,
    /// Files, from the root, each with an input that breaks the law.
    pub(super) findings: Vec<String>,
}

/// What libFuzzer says of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stats {
    pub(super) executions: u64,
    pub(super) per_second: u64,
    /// Edges of the program that were reached.
    pub(super) edges: u64,
    /// What it tells inputs apart by.
    pub(super) features: u64,
    pub(super) peak_rss_mb: u64,
}

impl Ground {
    pub(super) fn of(workspace: &Workspace) -> Self {
        Self { root: workspace.root.clone(), build: workspace.target().join("fuzz"), cargo: "cargo".into() }
    }

    /// Builds `target` and runs it for `seconds`.
    ///
    /// # Errors
    /// When it cannot be built or started, or ends badly without a finding.
    pub(super) fn run(&self, target: &Target, seconds: u32) -> Result<Run> {
        let artifacts = self.folder("artifacts", &target.name)?;
        let known = names(&artifacts)?;
        let mut stats = Stats::default();
        let mut command = Command::new(&self.cargo);
        command.args(self.arguments(target, seconds)?).current_dir(&self.root);
        // The sanitizer's runtime comes with stable Rust, the flags that ask for it do not.
        command.env("RUSTC_BOOTSTRAP", "1").stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cargo cannot be started")?;
        let said = child.stderr.take().context("cargo has no standard error")?;
        for line in BufReader::new(said).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            stats.read(&line);
            if !is_noise(&line) {
                anstream::eprintln!("{line}");
            }
        }
        let ended = child.wait()?;
        let findings = self.keep(target, &artifacts, &known)?;
        if !ended.success() && findings.is_empty() {
            bail!("cargo fuzz ended with {ended} and left no input: its last lines stand above");
        }
        Ok(Run { target: target.name.clone(), seconds, stats, findings })
    }

    fn arguments(&self, target: &Target, seconds: u32) -> Result<Vec<OsString>> {
        let corpus = self.folder("work", &target.name)?;
        let mut inputs = vec![corpus, self.root.join("fuzz/corpus").join(&target.name)];
        inputs.push(self.root.join("fuzz/findings").join(&target.name));
        inputs.extend(target.fixtures.iter().map(|folder| self.root.join(folder)));
        inputs.retain(|folder| folder.is_dir());
        let mut prefix = self.root.join("fuzz/artifacts").join(&target.name).into_os_string();
        prefix.push("/");
        let mut artifacts = OsString::from("-artifact_prefix=");
        artifacts.push(prefix);
        let mut arguments: Vec<OsString> = ["fuzz", "run", "--fuzz-dir"].map(Into::into).into();
        arguments.push(self.root.join("fuzz").into());
        arguments.extend(["--target-dir".into(), self.build.clone().into(), (&target.name).into()]);
        arguments.extend(inputs.into_iter().map(Into::into));
        arguments.extend(["--".into(), format!("-max_total_time={seconds}").into()]);
        arguments.push(format!("-max_len={}", target.max_bytes).into());
        arguments.extend(LIMITS.map(Into::into));
        arguments.extend([LARGEST_ALLOCATION.into(), artifacts]);
        Ok(arguments)
    }

    fn folder(&self, kind: &str, name: &str) -> Result<PathBuf> {
        let folder = self.root.join("fuzz").join(kind).join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    /// Copies new artifacts to where the tests replay them.
    fn keep(&self, target: &Target, artifacts: &Path, known: &[OsString]) -> Result<Vec<String>> {
        let mut findings = Vec::new();
        for name in names(artifacts)?.into_iter().filter(|name| !known.contains(name)) {
            let folder = self.folder("findings", &target.name)?;
            fs::copy(artifacts.join(&name), folder.join(&name))?;
            findings.push(format!("fuzz/findings/{}/{}", target.name, name.display()));
        }
        Ok(findings)
    }
}

fn names(folder: &Path) -> Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name());
    }
    names.sort();
    Ok(names)
}

/// A line for each input that is new, and each word that was of use, would hide how it goes.
fn is_noise(line: &str) -> bool {
    let is_of_an_input = |kind: &str| line.starts_with('#') && line.contains(&format!("\t{kind} "));
    let is_of_a_word = line.contains("# Uses: ") || line.contains("ecommended dictionary. ###");
    is_of_an_input("NEW   ") || is_of_an_input("REDUCE") || line.contains("\tNEW_FUNC[") || is_of_a_word
}

impl Stats {
    /// Takes what a line says, such as `#4096 pulse cov: 52 ft: 80 corp: 9/90b exec/s: 1365 rss: 40Mb`.
    fn read(&mut self, line: &str) {
        let mut words = line.split_whitespace().peekable();
        while let (Some(word), next) = (words.next(), words.peek()) {
            let Some(number) = next.and_then(|next| next.parse().ok()) else { continue };
            match word {
                "cov:" => self.edges = number,
                "ft:" => self.features = number,
                "stat::number_of_executed_units:" => self.executions = number,
                "stat::average_exec_per_sec:" => self.per_second = number,
                "stat::peak_rss_mb:" => self.peak_rss_mb = number,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_figures_of_a_run_are_its_figures() {
        let mut stats = Stats::default();
        for line in [
            "#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 30Mb",
            "#4096\tpulse  cov: 52 ft: 80 corp: 9/90b lim: 43 exec/s: 1365 rss: 40Mb",
            "stat::number_of_executed_units: 5000",
            "stat::average_exec_per_sec:     1250",
            "stat::peak_rss_mb:              41",
            "cov: none",
        ] {
            stats.read(line);
        }
        let expect = Stats { executions: 5000, per_second: 1250, edges: 52, features: 80, peak_rss_mb: 41 };
        assert_eq!(stats, expect);
    }

    #[test]
    fn progress_and_faults_are_shown_and_each_new_input_is_not() {
        assert!(is_noise("#9\tNEW    cov: 1 ft: 1 corp: 1/1b"));
        assert!(is_noise("#9\tREDUCE cov: 1 ft: 1 corp: 1/1b"));
        assert!(is_noise("\"retry-after\" # Uses: 27") && is_noise("###### Recommended dictionary. ######"));
        for line in
            ["#4096\tpulse  cov: 1 ft: 1", "thread 'main' panicked at x", "==1== ERROR: libFuzzer: deadly"]
        {
            assert!(!is_noise(line), "{line}");
        }
    }

    /// A root with a `cargo` of its own, which runs these lines.
    #[cfg(unix)]
    fn ground(root: &Path, lines: &str) -> Ground {
        use std::os::unix::fs::PermissionsExt as _;
        let cargo = root.join("cargo");
        fs::write(&cargo, format!("#!/bin/sh\n{lines}\n")).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        Ground { root: root.to_owned(), build: root.join("target"), cargo }
    }

    fn target() -> Target {
        Target { name: "a".into(), max_bytes: 9, fixtures: vec!["none".into()], law: String::new() }
    }

    #[cfg(unix)]
    #[test]
    fn a_run_that_left_an_input_is_a_finding_and_one_that_left_none_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let lines =
            "echo 'stat::number_of_executed_units: 7' >&2\necho new > fuzz/artifacts/a/crash-2\nexit 77";
        let ground = ground(root.path(), lines);
        fs::write(ground.folder("artifacts", "a").unwrap().join("crash-1"), "old").unwrap();
        let run = ground.run(&target(), 60).unwrap();
        assert_eq!(
            (run.stats.executions, run.findings.as_slice()),
            (7, &["fuzz/findings/a/crash-2".into()][..])
        );
        assert_eq!(fs::read_to_string(root.path().join(&run.findings[0])).unwrap(), "new\n");
        let error = self::ground(root.path(), "exit 101").run(&target(), 60).unwrap_err().to_string();
        assert!(error.contains("left no input"), "{error}");
        assert!(self::ground(root.path(), "exit 0").run(&target(), 60).unwrap().findings.is_empty());
    }

    #[test]
    fn a_run_is_told_its_length_its_limits_and_the_folders_that_are_there() {
        let root = tempfile::tempdir().unwrap();
        let ground = Ground { root: root.path().into(), build: "target".into(), cargo: "cargo".into() };
        let arguments = ground.arguments(&target(), 60).unwrap();
        let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
        for word in ["-max_total_time=60", "-max_len=9", "-timeout=5", "-rss_limit_mb=1024"] {
            assert!(words.contains(&word.into()), "{word} is missing in {words:?}");
        }
        assert!(!words.iter().any(|word| word.ends_with("none")), "a folder that is not there");
    }
}
