//! Changes since they were last taken, and everything in portions: for storage that appends instead of rewriting all.
//!
//! Remembers hashes of items, not items: what is overwritten before it is taken is never stored.

use alloc::vec::Vec;
use core::hash::BuildHasherDefault;

use indexmap::IndexSet;
use siphasher::sip::SipHasher13;

use super::Node;
use super::snapshot::Snapshot;
use crate::address::Address;
use crate::update::{Entry, Whose};

/// Bytes of values in a portion: it ends with the item that exceeds them.
const PORTION_BYTES: usize = 256 << 10;
/// Rows looked at for each item wanted, so that a portion of a sparse table takes a bounded time as well.
const ROWS: usize = 16;

/// Hashes of items that are new since they were last taken; none while nobody wants them.
#[derive(Debug, Default)]
pub(super) struct Changes(Option<IndexSet<u64, BuildHasherDefault<SipHasher13>>>);

impl Changes {
    pub(super) const fn are_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// Takes note of an item that is new here, perhaps in the place of another. At most one hash is kept for each item.
    pub(super) fn note(&mut self, hash: u64, replaced: Option<u64>) {
        if let Some(hashes) = &mut self.0 {
            if let Some(replaced) = replaced {
                hashes.swap_remove(&replaced);
            }
            hashes.insert(hash);
        }
    }

    fn take(&mut self) -> Option<u64> {
        let hashes = self.0.as_mut()?;
        let hash = hashes.pop();
        if hashes.is_empty() {
            hashes.shrink_to(0);
        }
        hash
    }
}

/// Position in everything that a node holds: see [`Node::snapshot_portion`].
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub struct Portion {
    /// True among what is set aside, which comes last.
    aside: bool,
    from: u64,
}

impl<A: Address> Node<A> {
    /// Begins to record changes for [`take_changes`](Self::take_changes), from now on.
    pub fn record_changes(&mut self) {
        self.changes.0.get_or_insert_default();
    }

    /// Returns true if changes wait to be taken. What has changed may be gone by now, and then nothing is taken.
    pub fn has_changes(&self) -> bool {
        self.changes.0.as_ref().is_some_and(|hashes| !hashes.is_empty())
    }

    /// Takes up to `most` items that have changed since they were taken last; none if nothing has. A sequence of these,
    /// each [restored](Self::restore), is as good as a [`snapshot`](Self::snapshot) after the last of them, if it begins with
    /// one. Bounded work: some microseconds for each item, and no value is copied.
    pub fn take_changes(&mut self, most: usize) -> Option<Snapshot<A>> {
        let (mut updates, mut aside, mut bytes) = (Vec::new(), Vec::new(), 0);
        while updates.len() + aside.len() < most.max(1) && bytes <= PORTION_BYTES {
            let Some(hash) = self.changes.take() else { break };
            if let Some(update) = self.replica.by_hash(hash) {
                bytes += update.body_len();
                updates.push(update);
            } else if let Some(entry) = self.aside.by_hash(hash) {
                bytes += entry.value.as_ref().map_or(0, |value| value.len());
                aside.push(entry.clone());
            }
            // Otherwise it is gone: forgotten since, or overwritten by what is recorded, too.
        }
        (updates.len() + aside.len() > 0).then(|| self.snapshot_of(updates, aside))
    }

    /// Returns a part of a [`snapshot`](Self::snapshot) of up to `most` items, and where the next begins; none after the
    /// last. Begin with [`Portion::default`]. What changes meanwhile may be missing in all portions, and is in
    /// [`take_changes`](Self::take_changes). Bounded work, as there.
    pub fn snapshot_portion(&self, from: Portion, most: usize) -> (Snapshot<A>, Option<Portion>) {
        let (mut updates, mut bytes) = (Vec::new(), 0);
        let most = most.max(1);
        if from.aside {
            let mut aside = self.aside.iter_from(from.from);
            let part: Vec<Entry> = aside.by_ref().take(most).map(|(_, entry)| entry.clone()).collect();
            let next = aside.next().map(|(from, _)| Portion { aside: true, from });
            return (self.snapshot_of([], part), next);
        }
        for (rows, (after, update)) in self.replica.stored_from(from.from).enumerate() {
            if let Some(update) = update {
                bytes += update.body_len();
                updates.push(update);
            }
            if updates.len() == most || bytes > PORTION_BYTES || rows == ROWS * most {
                return (self.snapshot_of(updates, []), Some(Portion { aside: false, from: after }));
            }
        }
        let aside = (self.aside.len() > 0).then_some(Portion { aside: true, from: 0 });
        (self.snapshot_of(updates, []), aside)
    }

    /// Takes note of entries that appeared by other ways than a merge: those that had waited for their owner's record.
    pub(super) fn note_appeared(&mut self, whose: Whose, name: &str) {
        if self.changes.are_recorded()
            && let Some(hash) = self.replica.hash_of(self.replica.hasher.entry(whose, name))
        {
            self.changes.note(hash, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::format;

    use super::*;
    use crate::node::tests::{Net, START, node};
    use crate::update::Update;
    use crate::{Config, Event, Instant, RestoreError};

    fn names(node: &Node<u32>) -> Vec<smol_str::SmolStr> {
        node.entries("").map(|(name, _)| name).collect()
    }

    /// A node that has restored these, in this order.
    fn restored(parts: Vec<Snapshot<u32>>, now: Instant) -> Node<u32> {
        let mut node = node(9, Config::lan());
        parts.into_iter().for_each(|part| node.restore(now, part).unwrap());
        node
    }

    #[test]
    fn portions_and_the_changes_since_are_as_good_as_a_snapshot() {
        let mut net = Net::joined(3, &Config::lan());
        let now = net.now;
        for n in 0..500 {
            net.nodes[0].put(now, &format!("{n}"), b"before").unwrap();
        }
        net.nodes[0].record_changes();
        let (mut parts, mut from) = (Vec::new(), Some(Portion::default()));
        while let Some(at) = from {
            let (part, next) = net.nodes[0].snapshot_portion(at, 64);
            assert!(part.len() <= 64);
            parts.push(part);
            from = next;
            // Meanwhile.
            let turn = parts.len();
            net.nodes[0].put(now, &format!("{turn}"), b"after").unwrap();
            net.nodes[0].delete(now, &format!("{}", 499 - turn)).unwrap();
        }
        assert!(parts.len() > 7);
        while let Some(part) = net.nodes[0].take_changes(5) {
            assert!(part.len() <= 5);
            parts.push(part);
        }
        // All at once, and one by one.
        let mut again = node(9, Config::lan());
        again.restore_all(now, parts.iter().cloned().map(Ok::<_, RestoreError>)).unwrap();
        let left: Vec<_> = core::iter::from_fn(|| again.poll_event()).collect();
        assert!(!left.iter().any(|event| matches!(event, Event::Entry { .. })), "{left:?}");
        let one_by_one = restored(parts, now);
        for cut in [again.clock(now), Instant::MAX] {
            assert_eq!(again.reconciled(cut), one_by_one.reconciled(cut));
            assert!(again.updates(cut).eq(one_by_one.updates(cut)));
        }
        assert_eq!(names(&again), names(&net.nodes[0]));
        assert!(again.entries("").all(|(name, value)| net.nodes[0].get(&name) == Some(value)));
        assert_eq!(again.members().count(), 3, "the other members, and itself");
    }

    #[test]
    fn the_first_part_that_is_an_error_ends_restoring_and_what_came_before_it_is_in() {
        let mut node = node(1, Config::lan());
        node.record_changes();
        let mut part = |name| {
            node.put(START, name, b"value").unwrap();
            node.take_changes(10).unwrap()
        };
        let (first, second) = (part("a"), part("b"));
        let mut again = self::node(9, Config::lan());
        let parts = [Ok(first), Err(RestoreError::ForeignLabel { label: "other".into() }), Ok(second)];
        assert!(matches!(again.restore_all(START, parts), Err(RestoreError::ForeignLabel { .. })));
        assert_eq!(names(&again), ["a"]);
        again.put(START, "c", b"after").unwrap();
        let entries = again.updates(START).filter(|update| matches!(update, Update::Entry(_))).count();
        assert_eq!((names(&again).len(), entries), (2, 2));
    }

    #[test]
    fn what_is_overwritten_before_it_is_taken_is_stored_once() {
        let mut node = node(1, Config::lan());
        assert_eq!(node.take_changes(10), None);
        node.put(START, "a", b"not recorded").unwrap();
        node.record_changes();
        assert!(!node.has_changes());
        for n in 0..1_000_u32 {
            node.put(START, "a", &n.to_le_bytes()).unwrap();
        }
        assert!(node.has_changes());
        let part = node.take_changes(10).unwrap();
        assert_eq!((part.len(), node.has_changes(), node.take_changes(10)), (1, false, None));
        assert_eq!(restored([part].into(), START).get("a").as_deref(), Some(&999_u32.to_le_bytes()[..]));
    }

    #[test]
    fn a_portion_is_bounded_in_bytes() {
        let mut node = node(1, Config::lan());
        node.record_changes();
        for n in 0..20 {
            node.put(START, &format!("{n}"), &[7; 100_000]).unwrap();
        }
        let mut seen = BTreeSet::new();
        while let Some(part) = node.take_changes(1_000) {
            assert!(part.len() <= 3, "{}", part.len());
            seen.insert(seen.len());
        }
        assert_eq!(seen.len(), 7);
        assert!(node.snapshot_portion(Portion::default(), 1_000).0.len() <= 4, "the record is no value");
    }
}
