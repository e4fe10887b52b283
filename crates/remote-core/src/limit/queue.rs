//! Who waits, in the order of their turns, with the sums that answer "how much stands before me?".
//!
//! A treap: a search tree by key that a hash of the keys keeps balanced. Joining, leaving from anywhere, and summing all
//! that stands before a place take a logarithm of the length. Every node knows the earliest moment at which a call below
//! it has waited too long, so nobody looks through those who have not.

use std::cmp::Ordering;

/// What stands before a place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ahead {
    pub(super) calls: u64,
    pub(super) tokens: u64,
}

/// Places by key, the lowest first.
#[derive(Debug)]
pub(super) struct Queue<W> {
    /// In pieces of one size, so that a long queue is never moved and keeps no half of its memory empty.
    pieces: Vec<Vec<Node<W>>>,
    root: u32,
    /// The first of the nodes to use again, each of which names the next in `left`.
    free: u32,
}

#[derive(Debug)]
struct Node<W> {
    key: u64,
    /// As many as fit: no burst is larger.
    tokens: u32,
    expires: u64,
    /// `None` when free.
    waiter: Option<W>,
    left: u32,
    right: u32,
    /// Over the node and all below it.
    calls: u32,
    sum: u64,
    first_expiry: u64,
}

const NONE: u32 = u32::MAX;

/// Places in a piece; an empty queue keeps one piece for the next time.
const PIECE: usize = 256;

impl<W> Queue<W> {
    pub(super) fn new() -> Self {
        Self { pieces: Vec::new(), root: NONE, free: NONE }
    }

    /// How many wait.
    pub(super) fn len(&self) -> u32 {
        self.node(self.root).map_or(0, |node| node.calls)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.root == NONE
    }

    /// What stands before `key`.
    pub(super) fn ahead(&self, key: u64) -> Ahead {
        let mut ahead = Ahead::default();
        let mut at = self.root;
        while let Some(node) = self.node(at) {
            if node.key < key {
                let left = self.sums(node.left);
                ahead.calls += left.calls + 1;
                ahead.tokens = ahead.tokens.saturating_add(left.tokens).saturating_add(node.tokens.into());
                at = node.right;
            } else {
                at = node.left;
            }
        }
        ahead
    }

    /// The key and the tokens of the first.
    pub(super) fn first(&self) -> Option<(u64, u64)> {
        self.leftmost().map(|node| (node.key, node.tokens.into()))
    }

    /// Who is first.
    pub(super) fn first_waiter(&self) -> Option<&W> {
        self.leftmost()?.waiter.as_ref()
    }

    /// Who waits at `key`.
    pub(super) fn waiter(&mut self, key: u64) -> Option<&mut W> {
        let mut at = self.root;
        loop {
            let node = self.node(at)?;
            at = match key.cmp(&node.key) {
                Ordering::Less => node.left,
                Ordering::Greater => node.right,
                Ordering::Equal => break,
            };
        }
        self.node_mut(at)?.waiter.as_mut()
    }

    /// Joins. No two have the same key.
    pub(super) fn insert(&mut self, key: u64, tokens: u64, expires: u64, waiter: W) {
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        let node = Node {
            key,
            tokens,
            expires,
            waiter: Some(waiter),
            left: NONE,
            right: NONE,
            calls: 1,
            sum: tokens.into(),
            first_expiry: expires,
        };
        let at = self.store(node);
        let (before, after) = self.split(self.root, key);
        let before = self.merge(before, at);
        self.root = self.merge(before, after);
    }

    /// Leaves.
    pub(super) fn remove(&mut self, key: u64) -> Option<W> {
        let (root, found) = self.without(self.root, key);
        self.root = root;
        let waiter = self.release(found);
        if self.root == NONE {
            self.free = NONE;
            self.pieces.truncate(1);
            self.pieces.iter_mut().for_each(Vec::clear);
            if self.pieces.capacity() > PIECE {
                self.pieces.shrink_to_fit();
            }
        }
        waiter
    }

    /// The key of a call that has waited too long at `now`.
    pub(super) fn expired(&self, now: u64) -> Option<u64> {
        let mut at = self.root;
        while let Some(node) = self.node(at).filter(|node| node.first_expiry <= now) {
            if node.expires <= now {
                return Some(node.key);
            }
            let left_is_late = self.node(node.left).is_some_and(|left| left.first_expiry <= now);
            at = if left_is_late { node.left } else { node.right };
        }
        None
    }

    fn node(&self, at: u32) -> Option<&Node<W>> {
        self.pieces.get(at as usize / PIECE)?.get(at as usize % PIECE)
    }

    fn node_mut(&mut self, at: u32) -> Option<&mut Node<W>> {
        self.pieces.get_mut(at as usize / PIECE)?.get_mut(at as usize % PIECE)
    }

    fn sums(&self, at: u32) -> Ahead {
        self.node(at).map_or(Ahead::default(), |node| Ahead { calls: node.calls.into(), tokens: node.sum })
    }

    fn leftmost(&self) -> Option<&Node<W>> {
        let mut found = self.node(self.root)?;
        while let Some(left) = self.node(found.left) {
            found = left;
        }
        Some(found)
    }

    fn store(&mut self, node: Node<W>) -> u32 {
        let free = self.free;
        if let Some(place) = self.node_mut(free) {
            let next = place.left;
            *place = node;
            self.free = next;
            return free;
        }
        if self.pieces.last().is_none_or(|piece| piece.len() == PIECE) {
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        let before = (self.pieces.len() - 1) * PIECE;
        let Some(piece) = self.pieces.last_mut() else { return NONE };
        piece.push(node);
        u32::try_from(before + piece.len() - 1).unwrap_or(NONE)
    }

    fn release(&mut self, at: u32) -> Option<W> {
        let next = self.free;
        let node = self.node_mut(at)?;
        node.left = next;
        let waiter = node.waiter.take();
        self.free = at;
        waiter
    }

    /// Hangs `left` and `right` below a node and sums up.
    fn hang(&mut self, at: u32, left: u32, right: u32) {
        let below = [left, right].map(|side| (self.sums(side), self.expiry(side)));
        let [(before, first), (after, second)] = below;
        let Some(node) = self.node_mut(at) else { return };
        (node.left, node.right) = (left, right);
        node.calls = u32::try_from(before.calls + after.calls + 1).unwrap_or(u32::MAX);
        node.sum = before.tokens.saturating_add(node.tokens.into()).saturating_add(after.tokens);
        node.first_expiry = first.min(node.expires).min(second);
    }

    fn expiry(&self, at: u32) -> u64 {
        self.node(at).map_or(u64::MAX, |node| node.first_expiry)
    }

    /// Cuts the tree at `at` into what is before `key` and the rest.
    fn split(&mut self, at: u32, key: u64) -> (u32, u32) {
        let Some(&Node { key: own, left, right, .. }) = self.node(at) else { return (NONE, NONE) };
        if own < key {
            let (before, after) = self.split(right, key);
            self.hang(at, left, before);
            (at, after)
        } else {
            let (before, after) = self.split(left, key);
            self.hang(at, after, right);
            (before, at)
        }
    }

    /// Joins two trees, all of the first before all of the second.
    fn merge(&mut self, first: u32, second: u32) -> u32 {
        let Some(&Node { key, left, right, .. }) = self.node(first) else { return second };
        let Some(&Node { key: other, left: middle, right: last, .. }) = self.node(second) else {
            return first;
        };
        if weight(key) >= weight(other) {
            let right = self.merge(right, second);
            self.hang(first, left, right);
            first
        } else {
            let left = self.merge(first, middle);
            self.hang(second, left, last);
            second
        }
    }

    /// The tree at `at` without `key`, and where that was.
    fn without(&mut self, at: u32, key: u64) -> (u32, u32) {
        let Some(&Node { key: own, left, right, .. }) = self.node(at) else { return (NONE, NONE) };
        if own == key {
            return (self.merge(left, right), at);
        }
        let (left, right, found) = if key < own {
            let (left, found) = self.without(left, key);
            (left, right, found)
        } else {
            let (right, found) = self.without(right, key);
            (left, right, found)
        };
        self.hang(at, left, right);
        (at, found)
    }
}

/// Which of two nodes stands above the other: the finalizer of SplitMix64, since keys rise steadily and would make a list.
fn weight(key: u64) -> u64 {
    let mixed = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Join { key: u64, tokens: u64, expires: u64 },
        Leave(u64),
        Expire(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..200_u64, 0..50_u64, 0..100_u64)
                .prop_map(|(key, tokens, expires)| Step::Join { key, tokens, expires }),
            2 => (0..200_u64).prop_map(Step::Leave),
            1 => (0..100_u64).prop_map(Step::Expire),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Law: the tree is a sorted map whose sums are counted by hand.
        #[test]
        fn the_tree_agrees_with_a_sorted_map(steps in prop::collection::vec(step(), 0..120)) {
            let mut queue = Queue::new();
            let mut model: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Join { key, tokens, expires } => {
                        if model.insert(key, (tokens, expires)).is_some() {
                            prop_assert_eq!(queue.remove(key), Some(key));
                        }
                        queue.insert(key, tokens, expires, key);
                    }
                    Step::Leave(key) => {
                        prop_assert_eq!(queue.remove(key), model.remove(&key).map(|_| key));
                    }
                    Step::Expire(now) => {
                        let late = model.values().filter(|(_, expires)| *expires <= now).count();
                        for _ in 0..late {
                            let key = queue.expired(now).unwrap();
                            prop_assert!(model.remove(&key).unwrap().1 <= now);
                            prop_assert_eq!(queue.remove(key), Some(key));
                        }
                        prop_assert_eq!(queue.expired(now), None);
                    }
                }
                prop_assert_eq!(queue.len() as usize, model.len());
                prop_assert_eq!(queue.first(), model.iter().next().map(|(key, (tokens, _))| (*key, *tokens)));
                prop_assert_eq!(queue.first_waiter(), model.keys().next());
                let mut place = 100;
                let found = model.contains_key(&place).then_some(&mut place);
                prop_assert_eq!(queue.waiter(100), found);
                for key in [0, 50, 100, 150, 200] {
                    let before = model.range(..key).map(|(_, (tokens, _))| *tokens);
                    let ahead = Ahead { calls: before.clone().count() as u64, tokens: before.sum() };
                    prop_assert_eq!(queue.ahead(key), ahead);
                }
            }
        }
    }

    #[test]
    fn an_emptied_queue_keeps_little_and_a_shifting_one_does_not_grow() {
        let mut queue = Queue::new();
        for key in 0..100_000_u64 {
            queue.insert(key, 1, u64::MAX, ());
            if key >= 10 {
                queue.remove(key - 10);
            }
        }
        assert!(queue.pieces.len() == 1 && queue.pieces[0].len() <= 11);
        for key in 100_000..110_000_u64 {
            queue.insert(key, 1, u64::MAX, ());
        }
        for key in 0..110_000_u64 {
            queue.remove(key);
        }
        assert!(queue.is_empty() && queue.pieces.len() <= 1);
    }
}
