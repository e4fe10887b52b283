//! A stretch of time cut into equal parts, of which only the last ones are kept.

/// What a part holds.
pub(crate) trait Part: Default {
    /// Makes it as new.
    fn clear(&mut self);
}

/// The last parts up to the newest one that was named. Parts are numbered by the clock, so that the number of a part says
/// when it was.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    /// None before the first was named.
    parts: Vec<T>,
    count: usize,
    newest: u64,
}

impl<T: Part> Ring<T> {
    /// Keeps the last `count` parts; at least one.
    pub(crate) fn new(count: usize) -> Self {
        Self { parts: Vec::new(), count: count.max(1), newest: 0 }
    }

    /// The part with `number`, which becomes the newest if it is later than all before.
    ///
    /// A clock that steps back within the ring meets the parts that were there. One that steps back by more was far ahead
    /// before, so what is kept belongs to no time and is forgotten.
    pub(crate) fn part(&mut self, number: u64) -> Option<&mut T> {
        self.parts.resize_with(self.count, T::default);
        let count = self.count as u64;
        if number > self.newest {
            let missed = (number - self.newest).min(count);
            for number in number - missed + 1..=number {
                self.slot(number)?.clear();
            }
            self.newest = number;
        } else if number + count <= self.newest {
            self.parts.iter_mut().for_each(Part::clear);
            self.newest = number;
        }
        self.slot(number)
    }

    /// The parts from `first` to `last` that are kept, in order, each with its number.
    pub(crate) fn between(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, &T)> {
        let count = self.count as u64;
        let oldest = (self.newest + 1).saturating_sub(count);
        let kept = first.max(oldest)..last.min(self.newest).saturating_add(1);
        kept.filter_map(move |number| Some((number, self.parts.get(self.place(number))?)))
    }

    fn slot(&mut self, number: u64) -> Option<&mut T> {
        let place = self.place(number);
        self.parts.get_mut(place)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below a usize")]
    fn place(&self, number: u64) -> usize {
        (number % self.count as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Part for u32 {
        fn clear(&mut self) {
            *self = 0;
        }
    }

    fn kept(ring: &Ring<u32>) -> Vec<(u64, u32)> {
        ring.between(0, u64::MAX)
            .map(|(number, count)| (number, *count))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    #[test]
    fn a_clock_that_was_far_ahead_leaves_nothing_behind_when_it_is_set_right() {
        let mut ring = Ring::<u32>::new(4);
        *ring.part(1_000_000).unwrap() += 1;
        *ring.part(10).unwrap() += 1;
        assert_eq!(kept(&ring), [(10, 1)]);
    }

    #[test]
    fn a_clock_that_steps_back_a_little_counts_into_the_parts_it_had() {
        let mut ring = Ring::<u32>::new(4);
        for number in [7, 8, 9, 7] {
            *ring.part(number).unwrap() += 1;
        }
        assert_eq!(kept(&ring), [(7, 2), (8, 1), (9, 1)]);
    }

    proptest! {
        /// Whatever is counted while time goes on, the ring holds the counts of the last parts and nothing else.
        #[test]
        fn the_ring_holds_the_last_parts_and_nothing_else(
            steps in proptest::collection::vec(0_u64..7, 1..60),
            count in 1_usize..9,
        ) {
            let (mut ring, mut model, mut now) = (Ring::<u32>::new(count), std::collections::BTreeMap::new(), 100_u64);
            for step in steps {
                now += step;
                *ring.part(now).unwrap() += 1;
                *model.entry(now).or_insert(0_u32) += 1;
            }
            model.retain(|number, _| number + count as u64 > now);
            prop_assert_eq!(kept(&ring), model.into_iter().collect::<Vec<_>>());
        }
    }
}
