//! What came of the runs: a table for people, an object for programs.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::json;

use super::run::Run;

/// The runs so far, and what went wrong.
#[derive(Debug, Default)]
pub(super) struct Report {
    runs: Vec<Run>,
    failures: Vec<String>,
}

impl Report {
    pub(super) fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    pub(super) fn failed(&mut self, line: String) {
        self.failures.push(line);
    }

    /// What went wrong, one line or more each.
    pub(super) fn failures(&self) -> &[String] {
        &self.failures
    }

    pub(super) fn print(&self, json: bool) -> Result<()> {
        if json {
            anstream::println!("{}", serde_json::to_string(&self.object())?);
        } else {
            anstream::println!("{}", self.table());
        }
        Ok(())
    }

    fn object(&self) -> serde_json::Value {
        let runs = self.runs.iter().map(|run| {
            json!({
                "target": run.target, "seconds": run.seconds, "executions": run.stats.executions,
                "executions_per_second": run.stats.per_second, "features": run.stats.features,
                "edges": run.stats.edges, "peak_rss_mb": run.stats.peak_rss_mb, "findings": run.findings,
            })
        });
        json!({ "fuzzed": true, "runs": runs.collect::<Vec<_>>(), "failures": self.failures })
    }

    fn table(&self) -> String {
        let width = self.runs.iter().map(|run| run.target.len()).max().unwrap_or(0).max("target".len());
        let mut table = format!(
            "  {:<width$}  {:>12}  {:>8}  {:>8}  {:>8}  {:>8}\n",
            "target", "executions", "each s", "edges", "features", "findings"
        );
        for run in &self.runs {
            let stats = &run.stats;
            _ = writeln!(
                table,
                "  {:<width$}  {:>12}  {:>8}  {:>8}  {:>8}  {:>8}",
                run.target,
                stats.executions,
                stats.per_second,
                stats.edges,
                stats.features,
                run.findings.len()
            );
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::run::Stats;

    #[test]
    fn a_run_is_a_row_and_an_object_with_its_findings() {
        let stats = Stats { executions: 12, per_second: 3, edges: 4, features: 5, peak_rss_mb: 6 };
        let findings = vec!["fuzz/findings/a/crash-1".to_owned()];
        let mut report = Report::default();
        report.add(Run { target: "a".into(), seconds: 60, stats, findings });
        let object = report.object();
        assert_eq!(object["runs"][0]["executions"], 12);
        assert_eq!(object["runs"][0]["findings"][0], "fuzz/findings/a/crash-1");
        let table = report.table();
        let row: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["a", "12", "3", "4", "5", "1"]);
    }
}
