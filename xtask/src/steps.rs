//! Long work in named steps: the name before, the time after, a table at the end.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use anyhow::{Result, anyhow};

const BOLD: Style = Style::new().bold();
const GOOD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
const BAD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
const FAINT: Style = Style::new().dimmed();

/// What was run so far, and how long each step took.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<Done>,
}

#[derive(Debug)]
struct Done {
    name: String,
    took: Duration,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug)]
enum Verdict {
    Passed,
    Failed,
    Skipped,
}

impl Verdict {
    const fn look(self) -> (Style, &'static str) {
        match self {
            Self::Passed => (GOOD, "ok"),
            Self::Failed => (BAD, "failed"),
            Self::Skipped => (FAINT, "not run"),
        }
    }
}

impl Steps {
    /// Runs `work` under `name`; `way_out` says what to do when it fails.
    ///
    /// # Errors
    /// One line with the step's name, what went wrong and `way_out`.
    pub(crate) fn run<T>(
        &mut self,
        name: &str,
        way_out: &str,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        anstream::eprintln!("{BOLD}== {name}{BOLD:#}");
        let start = now();
        let result = work();
        let took = start.elapsed();
        let verdict = if result.is_ok() { Verdict::Passed } else { Verdict::Failed };
        let (colour, shown) = verdict.look();
        anstream::eprintln!("{colour}== {name}: {shown}{colour:#} in {}\n", seconds(took));
        self.done.push(Done { name: name.to_owned(), took, verdict });
        result.map_err(|e| anyhow!("step `{name}` failed after {}: {e:#}\n  {way_out}", seconds(took)))
    }

    /// Does `work` and shows the table of its steps, however it ended.
    pub(crate) fn shown<T>(work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let mut steps = Self::default();
        let result = work(&mut steps);
        anstream::println!("{}", steps.table());
        result
    }

    /// Notes that `name` was not run, and says `why`.
    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        anstream::eprintln!("{BAD}== {name}: not run{BAD:#}: {why}\n");
        self.done.push(Done { name: name.to_owned(), took: Duration::ZERO, verdict: Verdict::Skipped });
    }

    /// The steps as a table, one a line, the total last. Coloured; print it through `anstream`.
    pub(crate) fn table(&self) -> String {
        let width = self.done.iter().map(|d| d.name.len()).max().unwrap_or(0).max("total".len());
        let mut table = String::new();
        for Done { name, took, verdict } in &self.done {
            let (colour, shown) = verdict.look();
            let took = seconds(*took);
            _ = writeln!(table, "  {name:<width$}  {colour}{shown:<7}{colour:#}  {took:>8}");
        }
        let total = seconds(self.done.iter().map(|d| d.took).sum());
        _ = writeln!(table, "  {FAINT}{:<width$}           {total:>8}{FAINT:#}", "total");
        table
    }
}

/// The current time, for measuring how long a chore takes.
#[expect(clippy::disallowed_methods, reason = "xtask is a shell: it owns the clock it reports from")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// `1.2s`, or `2m 03s` from a minute on.
pub(crate) fn seconds(took: Duration) -> String {
    let whole = took.as_secs();
    if whole < 60 {
        format!("{whole}.{}s", took.subsec_millis() / 100)
    } else {
        format!("{}m {:02}s", whole / 60, whole % 60)
    }
}

/// Whether a person is likely to be watching.
pub(crate) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn a_failed_step_names_itself_its_cause_and_the_way_out() {
        let mut steps = Steps::default();
        let failed: Result<()> = steps.run("lint", "mend it", || bail!("two warnings"));
        let text = format!("{:#}", failed.unwrap_err());
        assert!(text.starts_with("step `lint` failed after "), "{text}");
        assert!(text.ends_with("two warnings\n  mend it"), "{text}");
    }

    #[test]
    fn the_table_lists_steps_in_the_order_they_ran() {
        let mut steps = Steps::default();
        steps.run("one", "", || Ok(())).unwrap();
        _ = steps.run("second", "", || -> Result<()> { bail!("no") });
        let table = anstream::adapter::strip_str(&steps.table()).to_string();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 3, "{table}");
        assert!(lines[0].starts_with("  one     ok       "), "{table}");
        assert!(lines[1].starts_with("  second  failed  "), "{table}");
        assert!(lines[2].starts_with("  total "), "{table}");
    }

    #[test]
    fn times_read_in_seconds_below_a_minute_and_in_minutes_above() {
        assert_eq!(seconds(Duration::from_millis(1290)), "1.2s");
        assert_eq!(seconds(Duration::from_secs(123)), "2m 03s");
    }
}
