//! Which numbers of a scenario are reported, and what each must hold to.

use crate::clients::Who;
use crate::inside::decision::Decision;
use crate::scenario::{Sample, Scenario};
use crate::table::{Row, Spread, Target};

const MIB: f64 = 1_048_576.0;
/// The size of the large event.
const LARGE_MIB: f64 = 4.0;

/// The samples of one scenario, in the order of [`Who::ALL`].
#[derive(Debug, Default)]
pub(crate) struct Samples([Vec<Sample>; 3]);

impl Samples {
    /// Takes one more sample of `who`.
    pub(crate) fn add(&mut self, who: Who, sample: Sample) {
        if let Some((samples, _)) = self.0.iter_mut().zip(Who::ALL).find(|(_, other)| *other == who) {
            samples.push(sample);
        }
    }

    /// Takes a round, which counts as its median turn: a turn that was disturbed does not speak for its round.
    pub(crate) fn add_round(&mut self, turns: Self) {
        for (samples, mut turns) in self.0.iter_mut().zip(turns.0) {
            turns.sort_by_key(|turn| turn.cost.cpu);
            samples.extend(turns.get(turns.len() / 2));
        }
    }

    fn each(&self, number: impl Fn(&Sample) -> f64) -> [Option<Spread>; 3] {
        self.0.each_ref().map(|samples| Spread::of(samples.iter().map(&number).collect()))
    }
}

/// The lines of the table for one scenario.
pub(crate) fn rows(scenario: Scenario, samples: &Samples) -> Vec<Row> {
    let row = |per, unit, number: fn(&Sample) -> f64, target| Row {
        scenario: scenario.name(),
        per,
        unit,
        found: samples.each(number),
        target,
    };
    match scenario {
        Scenario::Unary => vec![
            row("call, CPU", "µs", cpu, Target::Times(Who::Floor, 1.15)),
            row("call, CPU", "µs", cpu, Target::Over(Who::Floor, 3.0)),
            row("call, allocations", "number", allocations, Target::None),
        ],
        Scenario::Busy => vec![
            row("call, CPU", "µs", cpu, Target::Times(Who::Floor, 1.15)),
            row("call, CPU", "µs", cpu, Target::Over(Who::Floor, 3.0)),
        ],
        Scenario::Batched => vec![
            row("chunk, CPU", "µs", cpu, Target::Times(Who::Plain, 0.45)),
            row("chunk, allocations", "number", allocations, Target::AtMost(2.0)),
        ],
        Scenario::Flushed => vec![
            row("chunk, CPU", "µs", cpu, Target::Times(Who::Plain, 0.75)),
            row("first chunk, clock", "µs", |sample| micros(sample.first), Target::None),
            row("chunks per wake", "number", chunks_per_wake, Target::None),
        ],
        Scenario::Large => vec![
            row("event, clock", "ms", |sample| micros(sample.cost.wall) / 1e3, Target::AtMost(50.0)),
            row(
                "event, peak memory",
                "MiB",
                |sample| sample.cost.peak_bytes as f64 / MIB,
                Target::AtMost(3.0 * LARGE_MIB),
            ),
        ],
        Scenario::Stalled => {
            vec![row("stall, growth", "MiB", |sample| sample.growth as f64 / MIB, Target::AtMost(1.0))]
        }
        Scenario::Pipeline => vec![
            row("call, CPU", "µs", cpu, Target::Over(Who::Floor, 2.0)),
            row("call, allocations", "number", allocations, Target::Over(Who::Floor, 10.0)),
        ],
        Scenario::Decision => Vec::new(), // see `decision`
        Scenario::GatewayUnary => {
            vec![row("call, CPU", "µs", cpu, Target::Times(Who::Plain, 3.0))]
        }
        Scenario::GatewayPaced | Scenario::GatewayUnpaced => vec![
            row("chunk, CPU", "µs", cpu, Target::Times(Who::Plain, 1.2)),
            row("chunks per wake", "number", chunks_per_wake, Target::None),
        ],
        Scenario::GatewayLatency => vec![
            row("call, median", "ms", |sample| micros(sample.median) / 1e3, Target::Over(Who::Floor, 0.2)),
            row(
                "call, 99th percentile",
                "ms",
                |sample| micros(sample.p99) / 1e3,
                Target::Over(Who::Floor, 1.0),
            ),
        ],
        Scenario::GatewayMemory => vec![
            row("process, resident", "MiB", |sample| sample.resident as f64 / MIB, Target::AtMost(15.0)),
            row(
                "open stream, resident",
                "KiB",
                |sample| each(sample, sample.growth) / 1024.0,
                Target::AtMost(20.0),
            ),
        ],
        Scenario::GatewayLarge => vec![row(
            "call of 1 MiB, median",
            "ms",
            |sample| micros(sample.median) / 1e3,
            Target::Over(Who::Floor, 2.0),
        )],
        Scenario::GatewayStart => vec![row(
            "process, until it answers",
            "ms",
            |sample| micros(sample.median) / 1e3,
            Target::AtMost(100.0),
        )],
        Scenario::Queue => vec![
            row("waiter, growth", "bytes", |sample| each(sample, sample.growth), Target::AtMost(200.0)),
            row(
                "waiter, with its future",
                "bytes",
                |sample| each(sample, sample.cost.peak_bytes),
                Target::None,
            ),
            row("waiter, CPU", "µs", cpu, Target::None),
            row("waiters misled", "number", |sample| sample.misled as f64, Target::AtMost(0.0)),
        ],
    }
}

/// The line of the table for one decision.
pub(crate) fn decision(decision: Decision, samples: &Samples) -> Row {
    let (per, target) = match decision {
        Decision::Limiter => ("limiter, acquire and settle, CPU", Target::AtMost(150.0)),
        Decision::Breaker => ("breaker, admit and settle, CPU", Target::AtMost(150.0)),
        Decision::Contended => ("limiter, 8 threads, CPU", Target::Times(Who::Floor, 5.0)),
    };
    let found = samples.each(|sample| cpu(sample) * 1e3);
    Row { scenario: Scenario::Decision.name(), per, unit: "ns", found, target }
}

fn cpu(sample: &Sample) -> f64 {
    micros(sample.cost.cpu) / sample.units as f64
}

fn allocations(sample: &Sample) -> f64 {
    sample.cost.allocations as f64 / sample.units as f64
}

fn each(sample: &Sample, all: usize) -> f64 {
    all as f64 / sample.units as f64
}

/// How many chunks came together: 1 when the reader slept before each, more when it found several waiting.
fn chunks_per_wake(sample: &Sample) -> f64 {
    sample.units as f64 / sample.cost.sleeps.max(1) as f64
}

fn micros(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
