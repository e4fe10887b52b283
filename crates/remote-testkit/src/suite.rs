//! From scenarios to tests.

use std::future::Future;
use std::io::Write as _;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::check::{Verdict, ensure};
use crate::{Place, Stage, Subject};

/// Plays a scenario, or says why not. What [`conformance_suite!`](crate::conformance_suite) calls.
///
/// # Panics
/// When the scenario fails.
#[track_caller]
pub fn play<F: Future<Output = Verdict>>(
    subject: Subject,
    name: &str,
    place: Place,
    scenario: impl FnOnce(Stage) -> F,
) {
    if let Some((_, reason)) = subject.skips.iter().find(|(skipped, _)| *skipped == name) {
        // Past the test harness, which would keep it to itself as long as all is well.
        let _ = writeln!(std::io::stderr(), "conformance: {name} skipped: {reason}");
        return;
    }
    settle(name, run(place, scenario(Stage::new(subject, place))));
}

/// Fails if the list of skipped scenarios is wrong, or leaves nothing to run.
///
/// # Panics
/// Then.
#[track_caller]
pub fn check_skips(subject: &Subject, scenarios: &[&str]) {
    settle("the list of skipped scenarios", skips_are_sound(&subject.skips, scenarios));
}

fn skips_are_sound(skips: &[(&str, &str)], scenarios: &[&str]) -> Verdict {
    for (name, reason) in skips {
        let known = scenarios.join(", ");
        ensure(scenarios.contains(name), format!("there is no scenario {name:?}, only {known}"))?;
        ensure(!reason.trim().is_empty(), format!("say why {name:?} is skipped"))?;
        let times = skips.iter().filter(|(other, _)| other == name).count();
        ensure(times == 1, format!("{name:?} is skipped {times} times"))?;
    }
    ensure(skips.len() < scenarios.len(), "nothing is left to run, which shows nothing")
}

/// Runs a scenario on a runtime of its own, with a limit on time that no scenario needs.
fn run(place: Place, scenario: impl Future<Output = Verdict>) -> Verdict {
    let mut builder = Builder::new_current_thread();
    let (runtime, limit) = match place {
        Place::Scripted => {
            (builder.enable_time().start_paused(true).build()?, Duration::from_secs(1_000_000))
        }
        Place::Socket => (builder.enable_all().build()?, Duration::from_secs(60)),
    };
    runtime.block_on(async {
        timeout(limit, scenario).await.unwrap_or_else(|_| Err(format!("not over after {limit:?}").into()))
    })
}

#[track_caller]
#[expect(clippy::panic, reason = "the one place where a verdict becomes a failed test")]
fn settle(name: &str, verdict: Verdict) {
    if let Err(found) = verdict {
        let causes = std::iter::successors(found.source(), |cause| cause.source());
        let causes: Vec<String> = causes.map(|cause| format!("\n  because {cause}")).collect();
        panic!("conformance: {name}: {found}{}", causes.concat());
    }
}

/// Makes a test of every scenario in [`scenario`](crate::scenario) for one provider.
///
/// - `model`: what is asked for, and `rates`: what it costs ([`Rates`](infer_core::Rates)).
/// - `wire`: what its upstream speaks, a [`Wire`](crate::Wire).
/// - `runner`: makes a runner from [`Parts`](crate::Parts).
/// - `skip`: scenarios this provider cannot play, each with the reason, which the test prints. A name that is no
///   scenario's fails, and so does a list that leaves nothing to run.
///
/// The tests stand in two modules: `scripted` has all of them, on a paused clock and without a network; `socket` repeats
/// those that a real transport could spoil against an [`Upstream`](crate::Upstream). With `over: socket,` in front of the
/// rest there is only the second: for what cannot be given a transport, such as a server between the runner and the
/// upstream. Call it once in a file of `tests/`; the crate's documentation has an example.
#[macro_export]
macro_rules! conformance_suite {
    (over: socket, $($rest:tt)*) => {
        $crate::__conformance_suite! { __conformance_socket $($rest)* }
    };
    ($($rest:tt)*) => {
        $crate::__conformance_suite! { __conformance_modules $($rest)* }
    };
}

/// The subject, and the tests of it.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_suite {
    (
        $modules:ident
        model: $model:expr,
        rates: $rates:expr,
        wire: $wire:expr,
        runner: $runner:expr
        $(, skip: { $($name:literal: $reason:literal),* $(,)? })? $(,)?
    ) => {
        fn conformance_subject() -> $crate::Subject {
            $crate::Subject::new($model, $rates, $wire, $runner).skipping(&[$($(($name, $reason)),*)?])
        }
        $crate::__conformance_tests!(conformance_subject $modules);
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(skips: &[(&str, &str)]) -> String {
        skips_are_sound(skips, &["one", "two"]).unwrap_err().to_string()
    }

    #[test]
    fn skips_name_scenarios_give_reasons_and_leave_something() {
        assert!(skips_are_sound(&[("one", "it has none")], &["one", "two"]).is_ok());
        assert_eq!(fault(&[("three", "x")]), "there is no scenario \"three\", only one, two");
        assert_eq!(fault(&[("one", " ")]), "say why \"one\" is skipped");
        assert_eq!(fault(&[("one", "x"), ("one", "y")]), "\"one\" is skipped 2 times");
        assert!(fault(&[("one", "x"), ("two", "y")]).starts_with("nothing is left"));
        assert!(skips_are_sound(&[], &[]).is_err());
    }

    #[test]
    fn a_scenario_that_never_ends_fails() {
        let error = run(Place::Scripted, std::future::pending()).unwrap_err().to_string();
        assert!(error.starts_with("not over after"), "{error}");
    }

    #[test]
    fn a_verdict_becomes_a_failed_test() {
        let fails = || settle("toy", ensure(false, "it is wrong"));
        let panic = std::panic::catch_unwind(fails).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().unwrap(), "conformance: toy: it is wrong");
    }
}
