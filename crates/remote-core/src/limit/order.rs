//! Whose turn comes first: by arrival, with a head start in time for those who matter more.
//!
//! A head start is fixed, so nothing starves: a call is overtaken only by those that arrive within its class's handicap
//! against theirs, at most 35 s after it, and from then on its place only improves. Strict classes would let a steady
//! stream of urgent calls keep the others out for ever; weights would need tuning to each load.

use infer_core::Priority;

const SECOND: u64 = 1_000_000_000;

/// How long after its arrival a call takes its place in the queue.
///
/// Against the usual: critical 15 s earlier, high 5 s earlier, background 20 s later. Half of the longest wait by default,
/// so that critical calls pass a full queue's better half, and background work still has its turn before it is refused.
fn handicap(priority: Priority) -> (u64, u8) {
    match priority {
        Priority::Critical => (0, 0),
        Priority::High => (10 * SECOND, 1),
        Priority::Background => (35 * SECOND, 3),
        _ => (15 * SECOND, 2),
    }
}

/// Gives out places. A place is a number: the time in nanoseconds, and in its last two bits the class.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The last place given out in each class.
    last: [u64; 4],
}

impl Order {
    /// The place of a call that arrives now: behind all of its class, so that nobody is overtaken by an equal.
    pub(super) fn place(&self, now: u64, priority: Priority) -> u64 {
        let (handicap, class) = handicap(priority);
        let time = now.saturating_add(handicap).min(u64::MAX >> 3);
        let last = self.last.get(usize::from(class)).copied().unwrap_or(0);
        // Arrivals in one nanosecond are told apart by the next ones.
        ((time << 2) | u64::from(class)).max(last.saturating_add(4))
    }

    /// The place is taken.
    pub(super) fn take(&mut self, place: u64) {
        let class = usize::try_from(place & 3).unwrap_or_default();
        if let Some(last) = self.last.get_mut(class) {
            *last = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [Priority; 4] =
        [Priority::Background, Priority::Normal, Priority::High, Priority::Critical];

    #[test]
    fn a_head_start_is_worth_its_seconds_and_no_more() {
        let order = Order::default();
        for (ahead, behind, seconds) in [
            (Priority::Critical, Priority::Background, 35),
            (Priority::Critical, Priority::High, 10),
            (Priority::High, Priority::Normal, 5),
            (Priority::Normal, Priority::Background, 20),
        ] {
            let first = order.place(100 * SECOND, behind);
            assert!(order.place((100 + seconds) * SECOND, ahead) < first, "{ahead:?}");
            assert!(order.place((100 + seconds) * SECOND + 1, ahead) > first, "{ahead:?}");
        }
    }

    #[test]
    fn places_are_unique_and_rise_within_a_class_even_in_one_nanosecond() {
        let mut order = Order::default();
        let mut seen = std::collections::BTreeSet::new();
        for class in CLASSES {
            let mut last = 0;
            for _ in 0..100 {
                let place = order.place(7, class);
                order.take(place);
                assert!(place > last && seen.insert(place));
                last = place;
            }
        }
    }
}
