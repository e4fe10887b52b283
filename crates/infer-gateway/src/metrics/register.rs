//! The registry of one gateway: every metric with its name, so that what is documented can be compared with what there is.

use std::borrow::Cow;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

/// A value of a label: a word of the program, or a name that was let in.
pub(super) type Value = Cow<'static, str>;
/// Labels, in the order of their names' registration.
pub(super) type Labels<const N: usize> = [(&'static str, Value); N];
/// Whole numbers that only grow.
pub(super) type Counters<const N: usize> = Family<Labels<N>, Counter>;
/// An amount that only grows.
pub(super) type Sum = Counter<f64, AtomicU64>;
/// Amounts that only grow.
pub(super) type Sums<const N: usize> = Family<Labels<N>, Sum>;
/// What goes up and down.
pub(super) type Level = Gauge<f64, AtomicU64>;
/// What goes up and down.
pub(super) type Levels<const N: usize> = Family<Labels<N>, Level>;
/// Distributions of seconds.
pub(super) type Times<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

/// Labels from names and values.
pub(super) fn labels<const N: usize>(names: [&'static str; N], values: [Value; N]) -> Labels<N> {
    let mut values = values.into_iter();
    names.map(|name| (name, values.next().unwrap_or_default()))
}

/// Metrics and their names.
#[derive(Debug, Default)]
pub(super) struct Register {
    pub(super) registry: Registry,
    names: Vec<&'static str>,
}

impl Register {
    /// The names, as they are asked for in queries, in the order of registration.
    pub(super) fn into_parts(self) -> (Registry, Vec<&'static str>) {
        (self.registry, self.names)
    }

    /// Takes in `metric`. Of a counter the encoder adds `_total` itself, so the name is told with it and kept without.
    pub(super) fn add<M: Metric + Clone>(&mut self, name: &'static str, help: &'static str, metric: M) -> M {
        self.names.push(name);
        let bare = name.strip_suffix("_total").unwrap_or(name);
        self.registry.register(bare, help, metric.clone());
        metric
    }

    pub(super) fn counters<const N: usize>(&mut self, name: &'static str, help: &'static str) -> Counters<N> {
        self.add(name, help, Counters::default())
    }

    pub(super) fn sums<const N: usize>(&mut self, name: &'static str, help: &'static str) -> Sums<N> {
        self.add(name, help, Sums::default())
    }

    pub(super) fn levels<const N: usize>(&mut self, name: &'static str, help: &'static str) -> Levels<N> {
        self.add(name, help, Levels::default())
    }

    pub(super) fn times<const N: usize>(
        &mut self,
        name: &'static str,
        help: &'static str,
        times: fn() -> Histogram,
    ) -> Times<N> {
        self.add(name, help, Times::new_with_constructor(times))
    }
}

/// For what an upstream takes: 10 ms to 10 min.
pub(super) fn long() -> Histogram {
    Histogram::new([
        0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0,
    ])
}

/// For what we take ourselves: 50 µs to 1 s.
pub(super) fn short() -> Histogram {
    Histogram::new([
        0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0,
    ])
}

/// For waits in a queue: 1 ms to 1 min.
pub(super) fn waits() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}
