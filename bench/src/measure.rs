//! What a piece of work costs this process: time on the processor, time on the clock, memory.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::alloc;

/// What a piece of work cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// Time on a processor, kernel included, of all threads of this process.
    pub(crate) cpu: Duration,
    /// Time on the clock.
    pub(crate) wall: Duration,
    /// How often memory was asked for.
    pub(crate) allocations: u64,
    /// The most memory held beyond what was held before.
    pub(crate) peak_bytes: usize,
    /// How often this process slept to wait for the server.
    pub(crate) sleeps: u64,
}

/// Reads the clock; the one place that does.
#[expect(clippy::disallowed_methods, reason = "this program owns its clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A measurement that has begun.
#[derive(Debug)]
pub(crate) struct Meter {
    cpu: Duration,
    sleeps: u64,
    started: Instant,
    allocations: u64,
    held: usize,
}

impl Meter {
    /// Begins to measure.
    pub(crate) fn start() -> Result<Self> {
        let (cpu, sleeps) = scheduled(std::process::id())?;
        alloc::reset_peak();
        Ok(Self { cpu, sleeps, started: now(), allocations: alloc::count(), held: alloc::held() })
    }

    /// What was used since.
    pub(crate) fn stop(self) -> Result<Cost> {
        let wall = self.started.elapsed();
        let allocations = alloc::count() - self.allocations;
        let peak_bytes = alloc::peak().saturating_sub(self.held);
        let (cpu, sleeps) = scheduled(std::process::id())?;
        let (cpu, sleeps) = (cpu.saturating_sub(self.cpu), sleeps.saturating_sub(self.sleeps));
        Ok(Cost { cpu, wall, allocations, peak_bytes, sleeps })
    }
}

/// Time on a processor of all threads of a process that are alive, and how often they went to sleep.
///
/// From the scheduler's own nanosecond counts (`/proc/PID/task/*/schedstat`, Linux only). They are brought up to date
/// when a thread gives way, which is what the yield is for.
pub(crate) fn scheduled(process: u32) -> Result<(Duration, u64)> {
    std::thread::yield_now();
    let (mut nanos, mut sleeps) = (0, 0);
    let threads = std::fs::read_dir(format!("/proc/{process}/task"))
        .context("time on a processor is read from Linux's /proc")?;
    for thread in threads {
        let folder = thread?.path();
        let read = |file: &str| std::fs::read_to_string(folder.join(file));
        let (Ok(schedstat), Ok(status)) = (read("schedstat"), read("status")) else {
            continue; // it has just ended
        };
        let first = schedstat.split(' ').next().unwrap_or_default();
        nanos += first.parse::<u64>().context("schedstat holds no number")?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sleeps +=
            line.unwrap_or_default().trim().parse::<u64>().context("status holds no number of switches")?;
    }
    Ok((Duration::from_nanos(nanos), sleeps))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeping_costs_wall_time_and_working_costs_time_on_the_processor() {
        let meter = Meter::start().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let slept = meter.stop().unwrap();
        assert!(slept.wall >= Duration::from_millis(20) && slept.cpu < slept.wall);

        let meter = Meter::start().unwrap();
        let started = now();
        while started.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        assert!(meter.stop().unwrap().cpu > Duration::from_millis(1));
    }
}
