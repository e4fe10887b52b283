//! `release check`: whether what would be published is fit to be.

use anyhow::{Result, bail, ensure};
use cargo_metadata::Package;
use serde_json::{Value, json};

use super::counted;
use super::order::is_published;
use super::rules::{self, Finding};
use super::semver_checks::{Comparison, Reason};
use super::tarball::{self, Tarball, Verify, kib};
use crate::steps::Steps;
use crate::workspace::Workspace;

/// Hold every crate that is published to what a registry and its readers ask.
///
/// In this order: manifests (licence, README, description, repository, keywords, categories, no dependency by path without
/// a version); packages (each is packed, holds README and licences, and is no larger than the limit); building (each
/// package compiles from its tarball, with the other tarballs in place of the workspace); interfaces (`cargo-semver-checks`
/// against the last tag). All findings are listed at once, as `crate: what and how to mend it`.
///
/// What cannot be checked here is named as skipped. `--strict` takes a tool that is missing for a failure; a crate without
/// an earlier release has nothing to be compared with and never fails for that. Nothing is changed outside the target folder.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask release check\n  cargo xtask release check --no-build --list\n\n\
                  Exit codes: 0 all is well, 1 there are findings, or with --strict skipped checks, 2 bad command line."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch on the command line")]
pub(super) struct Args {
    /// Fail when a check is skipped because of a missing tool or --no-build
    #[arg(long)]
    strict: bool,
    /// The largest package that is in order, packed, in KiB
    #[arg(long, value_name = "KIB", default_value_t = 200)]
    max_size: u32,
    /// Leave out building the packages, which takes minutes
    #[arg(long)]
    no_build: bool,
    /// List the files of each package
    #[arg(long)]
    list: bool,
    /// The registry that packages are meant for, as cargo's settings call it
    #[arg(long, value_name = "NAME")]
    registry: Option<String>,
    /// Print one JSON object instead of text; the steps go to standard error
    #[arg(long)]
    json: bool,
}

/// What was found, and what was not looked at.
#[derive(Debug, Default)]
struct Report<'a> {
    tarballs: Vec<Tarball<'a>>,
    findings: Vec<Finding>,
    compared: Vec<&'a Package>,
    skipped: Vec<Skipped>,
}

#[derive(Debug)]
struct Skipped {
    check: &'static str,
    why: String,
    /// Whether another machine could have checked it.
    counts_if_strict: bool,
}

pub(super) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let mut steps = Steps::default();
    let result = check(workspace, args, &mut steps);
    anstream::eprint!("{}", steps.table());
    let report = result?;
    let is_well = report.findings.is_empty() && !(args.strict && report.is_incomplete());
    if args.json {
        anstream::println!("{}", report.json(args, is_well));
    } else {
        report.print(args);
    }
    if !report.findings.is_empty() {
        let lines: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        bail!("{}:\n  {}", counted(lines.len(), "finding"), lines.join("\n  "));
    }
    if !is_well {
        bail!("all that was checked is well, but --strict wants what was skipped as well");
    }
    Ok(())
}

fn check<'a>(workspace: &'a Workspace, args: &Args, steps: &mut Steps) -> Result<Report<'a>> {
    let (packages, private): (Vec<&Package>, Vec<&Package>) =
        workspace.members().into_iter().partition(|p| is_published(p));
    let private: Vec<&str> = private.iter().map(|p| p.name.as_str()).collect();
    let mut report = Report::default();
    report.look(steps, "manifests", || {
        Ok(packages.iter().flat_map(|package| rules::check(package, &private)).collect())
    })?;
    if report.findings.iter().any(|finding| finding.rule == "dependency") {
        report.skip(steps, "packages", "cargo packs nothing before the dependencies found are mended", false);
    } else {
        pack(workspace, args, steps, &packages, &mut report)?;
    }
    let comparison = Comparison::of(workspace, &packages)?;
    if !comparison.compared.is_empty() {
        report.look(steps, "interfaces", || comparison.broken(workspace))?;
    }
    for (reason, names) in comparison.skipped {
        let why = format!("{}: {}", reason.words(), names.join(", "));
        report.skip(steps, "interfaces", why, reason == Reason::NoTool);
    }
    report.compared = comparison.compared;
    Ok(report)
}

fn pack<'a>(
    workspace: &Workspace,
    args: &Args,
    steps: &mut Steps,
    packages: &[&'a Package],
    report: &mut Report<'a>,
) -> Result<()> {
    let (name, verify) =
        if args.no_build { ("packing", Verify::No) } else { ("packing and building", Verify::Build) };
    let way_out = "Mend what cargo names above; a package must carry every file it is built from.";
    let registry = args.registry.as_deref();
    report.tarballs = steps.run(name, way_out, || tarball::pack(workspace, packages, registry, verify))?;
    if args.no_build {
        report.skip(steps, "building", "--no-build", true);
    }
    let limit = u64::from(args.max_size) * 1024;
    let tarballs = std::mem::take(&mut report.tarballs);
    report.look(steps, "packages", || {
        let findings: Result<Vec<_>> =
            tarballs.iter().map(|tarball| tarball.findings(workspace, limit)).collect();
        Ok(findings?.into_iter().flatten().collect())
    })?;
    report.tarballs = tarballs;
    Ok(())
}

impl Report<'_> {
    fn skip(
        &mut self,
        steps: &mut Steps,
        check: &'static str,
        why: impl Into<String>,
        counts_if_strict: bool,
    ) {
        let why = why.into();
        steps.skip(check, &why);
        self.skipped.push(Skipped { check, why, counts_if_strict });
    }

    /// A step that fails where there are findings, and lets the next one look all the same.
    ///
    /// # Errors
    /// When it could not look.
    fn look(
        &mut self,
        steps: &mut Steps,
        name: &str,
        work: impl FnOnce() -> Result<Vec<Finding>>,
    ) -> Result<()> {
        let mut found = None;
        let result = steps.run(name, "", || {
            let findings = found.insert(work()?);
            ensure!(findings.is_empty(), "{}", counted(findings.len(), "finding"));
            Ok(())
        });
        match found {
            Some(findings) => self.findings.extend(findings),
            None => result?,
        }
        Ok(())
    }

    fn is_incomplete(&self) -> bool {
        self.skipped.iter().any(|skipped| skipped.counts_if_strict)
    }

    fn print(&self, args: &Args) {
        let width = self.tarballs.iter().map(|tarball| tarball.package.name.len()).max().unwrap_or(0);
        for Tarball { package, files, packed_bytes } in &self.tarballs {
            let (name, count) = (package.name.as_str(), counted(files.len(), "file"));
            anstream::println!("  {name:<width$}  {:>10} packed  {count:>9}", kib(*packed_bytes));
            for file in files.iter().filter(|_| args.list) {
                anstream::println!("      {file}");
            }
        }
        for Skipped { check, why, .. } in &self.skipped {
            anstream::println!("not checked: {check}: {why}");
        }
    }

    fn json(&self, args: &Args, is_well: bool) -> Value {
        let crates = self.tarballs.iter().map(|tarball| {
            json!({
                "name": tarball.package.name.as_str(),
                "version": tarball.package.version.to_string(),
                "packed_bytes": tarball.packed_bytes,
                "files": tarball.files,
            })
        });
        let findings = self
            .findings
            .iter()
            .map(|finding| json!({ "crate": finding.krate, "rule": finding.rule, "text": finding.text }));
        let skipped =
            self.skipped.iter().map(|skipped| json!({ "check": skipped.check, "why": skipped.why }));
        let compared = self.compared.iter().map(|package| package.name.as_str());
        json!({
            "ok": is_well,
            "strict": args.strict,
            "max_packed_bytes": u64::from(args.max_size) * 1024,
            "crates": crates.collect::<Vec<_>>(),
            "compared": compared.collect::<Vec<_>>(),
            "findings": findings.collect::<Vec<_>>(),
            "skipped": skipped.collect::<Vec<_>>(),
        })
    }
}
